import os
from dataclasses import replace

import pytest

from garmentcut.dataset.ledger import IngestLedger, LedgerEntry, Stamp, path_text
from garmentcut.dataset.manifest import fault_of
from garmentcut.dataset.pairing import Candidate
from garmentcut.errors import DatasetError
from garmentcut.photo.files import sha256_of


@pytest.fixture
def known(small_dataset):
    """A folder, a candidate and its entry."""
    pair, folder = small_dataset.pairs[0], small_dataset.folder.resolve()
    photo, cutout = folder / pair.photo, folder / pair.cutout
    candidate = Candidate(pair.name, pair.garment, pair.view, photo, cutout)
    entry = LedgerEntry(
        replace(pair, split="", group=""), "options", Stamp.of(photo), Stamp.of(cutout), cutout.stat().st_size, "00"
    )
    return folder, candidate, entry


def test_entries_are_read_back_and_the_last_one_counts(known):
    folder, _, entry = known
    ledger = IngestLedger(folder)
    ledger.append(replace(entry, options="before"))
    ledger.append(replace(entry, pair=replace(entry.pair, name="b")))
    ledger.append(entry)
    assert IngestLedger(folder).entries == {
        entry.pair.name: entry,
        "b": replace(entry, pair=replace(entry.pair, name="b")),
    }
    ledger.keep([entry.pair.name, "never there"])
    assert IngestLedger(folder).entries == {entry.pair.name: entry}


@pytest.mark.parametrize("torn", [b'{"pair": {"na', b"\0\0\0\0\n", b"junk\n"])
def test_a_torn_line_is_dropped_and_the_next_one_stays_whole(known, torn):
    folder, _, entry = known
    IngestLedger(folder).append(entry)
    with (folder / "ingest.jsonl").open("ab") as file:
        file.write(torn)
    ledger = IngestLedger(folder)
    ledger.append(replace(entry, pair=replace(entry.pair, name="b")))
    assert set(IngestLedger(folder).entries) == {entry.pair.name, "b"}


@pytest.mark.parametrize("torn", [b'{"p', b'{"pair": {"na', bytes(40)])
def test_a_first_line_that_is_torn_is_ours(known, torn):
    folder, _, entry = known
    (folder / "ingest.jsonl").write_bytes(torn)
    IngestLedger(folder).append(entry)
    assert set(IngestLedger(folder).entries) == {entry.pair.name}


def test_a_file_that_is_not_ours(tmp_path):
    (tmp_path / "ingest.jsonl").write_text("my notes\n")
    with pytest.raises(DatasetError, match="not a file of garmentcut's; move it"):
        IngestLedger(tmp_path)
    assert (tmp_path / "ingest.jsonl").read_text() == "my notes\n"


def test_what_has_not_changed_is_current(known):
    folder, candidate, entry = known
    ledger = IngestLedger(folder)
    assert ledger.current(candidate, folder, "options") is None
    ledger.append(entry)
    assert ledger.current(candidate, folder, "options") == entry
    assert ledger.current(replace(candidate, view="Back"), folder, "options").pair.view == "Back"


def test_copied_and_moved_files_are_known_by_their_contents(known):
    folder, candidate, entry = known
    ledger = IngestLedger(folder)
    ledger.append(entry)
    os.utime(candidate.photo, ns=(1, 1))
    found = ledger.current(candidate, folder, "options")
    assert found.photo.mtime_ns == 1 and found.pair == entry.pair
    (folder / "new").mkdir()
    candidate.photo.rename(folder / "new/other.png")
    found = ledger.current(replace(candidate, photo=folder / "new/other.png"), folder, "options")
    assert found.pair.photo == "new/other.png"


def spoil(folder, candidate, what):
    match what:
        case "photo":
            content = bytearray(candidate.photo.read_bytes())
            content[-20] ^= 1  # of the same length
            candidate.photo.write_bytes(content)
            os.utime(candidate.photo, ns=(1, 1))
        case "cutout":
            candidate.cutout.write_bytes(b"x")
        case "target":
            (folder / "alpha" / f"{candidate.name}.png").unlink()


@pytest.mark.parametrize("what", ["photo", "cutout", "target", "options", "unreadable"])
def test_what_has_changed_is_read_again(known, what):
    folder, candidate, entry = known
    if what == "unreadable":
        entry = replace(entry, pair=replace(entry.pair, faults=(fault_of("unreadable", "not mounted"),)))
    ledger = IngestLedger(folder)
    ledger.append(entry)
    spoil(folder, candidate, what)
    options = "others" if what == "options" else "options"
    assert ledger.current(candidate, folder, options, retry=["unreadable"]) is None


def test_paths_are_relative_where_folders_are_shared(tmp_path):
    folder = tmp_path / "dataset"
    assert path_text(tmp_path / "photos/a b.jpg", folder) == "../photos/a b.jpg"
    assert path_text(folder / "a.jpg", folder) == "a.jpg"
    elsewhere = tmp_path.anchor + "elsewhere/a.jpg"
    assert path_text(type(tmp_path)(elsewhere), folder) == type(tmp_path)(elsewhere).as_posix()
    assert path_text(None, folder) == ""


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")
