// Opens the doubtful cutouts of a batch in Photoshop, one at a time, the most doubtful first.
//
// Run it again when one is done: it keeps your work in the folder "corrected" beside this script, closes the
// document and opens the next one. The batch's own PSDs stay as they are. ExtendScript knows ECMAScript 3 only.
(function (batch) {
    var here = new File($.fileName).parent;
    var corrected = below(new Folder(here.absoluteURI), "corrected", Folder);
    var list = below(corrected, "looked-at.txt", File);

    function below(folder, name, Kind) {
        return new Kind(folder.absoluteURI + "/" + encodeURI(name).replace(/#/g, "%23").replace(/\?/g, "%3F"));
    }

    function make(folder) {
        if (folder.exists) {
            return;
        }
        make(folder.parent);
        if (!folder.create()) {
            throw new Error("This folder cannot be made: " + folder.fsName);
        }
    }

    // Names as keys, with a letter in front so that none is that of a property which every object has.
    function lookedAt() {
        var found = {}, lines, i;
        list.encoding = "UTF-8";
        if (list.open("r")) {
            lines = list.read().split("\n");
            list.close();
            for (i = 0; i < lines.length; i += 1) {
                found["n" + lines[i]] = true;
            }
        }
        return found;
    }

    function note(name) {
        make(corrected);
        list.encoding = "UTF-8";
        if (!list.open("a") || !list.write(name + "\n") || !list.close()) {
            throw new Error("This file cannot be written: " + list.fsName);
        }
    }

    function nameOf(document) {
        var i, place;
        try {
            place = document.fullName.absoluteURI;
        } catch (neverSaved) {
            return null;
        }
        for (i = 0; i < batch.psds.length; i += 1) {
            if (below(here, batch.psds[i], File).absoluteURI === place) {
                return batch.psds[i];
            }
        }
        return null;
    }

    function finish(document, name) {
        var options = new PhotoshopSaveOptions(), file = below(corrected, name, File);
        // A document that was only looked at is no correction; one that was saved in place is.
        if (!document.saved || document.historyStates.length > 1) {
            make(file.parent);
            options.layers = true;
            options.alphaChannels = true;
            options.embedColorProfile = true;
            document.saveAs(file, options, true, Extension.LOWERCASE);
        }
        note(name);
        document.close(SaveOptions.DONOTSAVECHANGES);
    }

    function openNext() {
        var done = lookedAt(), missing = 0, i, file;
        for (i = 0; i < batch.psds.length; i += 1) {
            file = below(here, batch.psds[i], File);
            if (!done["n" + batch.psds[i]] && file.exists) {
                app.open(file);
                return;
            }
            missing += file.exists ? 0 : 1;
        }
        alert("All " + (batch.psds.length - missing) + " doubtful cutouts are done" +
            (missing ? ", and " + missing + " are not there any more" : "") +
            ".\n\nTo train on your corrections:\n" + batch.next);
    }

    try {
        if (app.documents.length && nameOf(app.activeDocument) !== null) {
            finish(app.activeDocument, nameOf(app.activeDocument));
        }
        openNext();
    } catch (error) {
        alert("garmentcut: " + error.message);
    }
}(BATCH));
