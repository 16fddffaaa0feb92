"""The steps of one photo in a folder run: load, predict, finish; whatever fails becomes a row with its reason."""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from garmentcut.dataset.corrections import Decision
from garmentcut.errors import FolderError, Note, OutputError, PhotoError, RunError, code_of
from garmentcut.formats import FORMATS
from garmentcut.photo.compose import Preparation
from garmentcut.photo.files import StagedFile, read_photo_bytes
from garmentcut.photo.metadata import capture_of
from garmentcut.photo.photo import Cutout, Photo
from garmentcut.photo.read import decode_photo
from garmentcut.photo.spec import Delivery, Sighting, deliver, sight_garment
from garmentcut.photo.write import encode_prepared, lost_metadata
from garmentcut.photo.xmp import read_xmp
from garmentcut.prediction.batch import corrected_cutout, decision_for, held_for_review, with_written, write_heat
from garmentcut.prediction.locate import Frame, split_garments
from garmentcut.prediction.results import Row, is_another_photo, may_replace
from garmentcut.prediction.sources import Named, name_each, sorted_outputs, subject_of, unsorted_output
from garmentcut.prediction.stages import Prediction

if TYPE_CHECKING:
    from garmentcut.prediction.folder import FolderCutter, Plan

_MASK_SUFFIX = FORMATS["mask"].suffix
GUILTY = (
    "two runs died while it was being read, so it is passed over; make it smaller or give the run more memory, then try"
    " it again with --overwrite"
)


@dataclass(frozen=True, eq=False)
class Work:
    """A photo on its way through the steps; without `frame`, its row says why it goes no further.

    Under a specification, `sighting` is what it shows of its garment, and `scales` is what all photos of the garment
    have in common. While these are gathered the photo itself is dropped, and read again afterwards.
    """

    row: Row
    outputs: tuple[str, ...]
    photo: Photo | None = None
    frame: Frame | None = None
    prediction: Prediction | None = None
    sighting: Sighting | None = None
    scales: tuple[float, ...] | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Steps:
    """The steps of a photo: load, predict, finish. Each may run in several threads at once."""

    run: "FolderCutter"
    plan: "Plan"
    hold_back: Callable[[Row], bool]  # called with each row that says `failed`; if it returns true, it is not recorded

    def load(self, path: Path, named: Named) -> Work:
        """Read and decode a photo and frame it for the network."""
        start = time.perf_counter()
        earlier = self.run.journal.rows.get(str(path))
        row = Row(str(path), named.place, model=self.run.cutter.card.label, options=self.run.options)
        row = replace(row, written=earlier.written if earlier else {})
        if path in self.plan.renamed:
            row = replace(row, flags=("another_photo",))
        elif earlier and "moved" in earlier.flags:
            row = replace(row, flags=("moved",))
        try:
            changed_ns = _changed_ns(path)  # before reading: a photo exchanged meanwhile counts as changed
            if self.run.attempts.find(path).is_guilty and not self.run.overwrite:
                raise PhotoError(GUILTY, code="kills_run")
            self.run.attempts.begin(path)
            data = read_photo_bytes(path, self.run.config.read)
            digest = hashlib.sha256(data).hexdigest()
            row = replace(row, input_bytes=len(data), input_mtime_ns=changed_ns, input_sha256=digest)
            photo = decode_photo(data, limits=self.run.config.read)
            row = self._compared(replace(row, size_hw=photo.size_hw).noted(photo.notes), photo, earlier)
            work = Work(row, named.outputs, photo, self.run.cutter.frame(photo))
            self.run.attempts.go_on(path)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one photo must not stop the others
            work = Work(failed_row(row, error), named.outputs)
        return replace(work, seconds=time.perf_counter() - start)

    def _compared(self, row: Row, photo: Photo, earlier: Row | None) -> Row:
        """The row, with what EXIF says of the photo, and with what became of the one that had its name before."""
        taken, camera = capture_of(photo.exif)
        row = replace(row, taken=taken, camera=camera)
        if Path(row.input) in self.plan.renamed:
            note = f"another photo of this name was cut before: this one is named {PurePosixPath(row.place).name}"
            return row.noted([Note(note, "another_photo")])
        if earlier is None or not earlier.written or earlier.input_sha256 in ("", row.input_sha256):
            return row
        is_other = is_another_photo(earlier, taken, camera)
        if is_other:
            raise PhotoError("another photo took its place while it was cut; run again", code="changed")
        return row if is_other is False else replace(row, flags=(*row.flags, "replaced"))

    def predict(self, work: Work) -> Work:
        """Run the network."""
        if work.photo is None or work.frame is None:
            return work
        start = time.perf_counter()
        try:
            prediction = self.run.cutter.predict(work.photo, work.frame)
        except RunError:  # the network does not start: no other photo could be cut either
            raise
        except Exception as error:  # noqa: BLE001 - out of memory on one huge photo must not stop the others
            return Work(failed_row(work.row, error), work.outputs, seconds=work.seconds)
        return replace(work, prediction=prediction, seconds=work.seconds + time.perf_counter() - start)

    def sight(self, work: Work) -> Work:
        """Find the garment's box, then drop the photo: the photos of a large garment would fill the memory."""
        if work.photo is None or work.prediction is None:
            return work
        start = time.perf_counter()
        try:
            decision = decision_for(self.run.out_dir, work.row)
            cutout = corrected_cutout(self.run.out_dir, work.row, work.photo, decision, limits=self.run.config.read)
            cutout = cutout or self.run.cutter.finish(work.photo, work.prediction)
            sighting = sight_garment(cutout, subject_of(PurePosixPath(work.row.place)).view)
        except Exception as error:  # noqa: BLE001 - no garment on this one; the garment's other photos go on
            return Work(failed_row(work.row, error), work.outputs, seconds=work.seconds)
        self.run.attempts.let_go(Path(work.row.input))
        seconds = work.seconds + time.perf_counter() - start
        return replace(work, photo=None, sighting=sighting, seconds=seconds)

    def finish(self, work: Work) -> Row:
        """Make the cutout, write its files and record its row.

        Raises:
            FolderError: the disk is full: every further photo would fail too.
        """
        row = self._finished(work)
        if row.code != "kills_run":
            self.run.attempts.end(Path(row.input))
        return row

    def _finished(self, work: Work, *, is_again: bool = False) -> Row:
        start = time.perf_counter()
        row, staged, heat, decision = work.row, list[StagedFile](), None, None
        try:
            decision = decision_for(self.run.out_dir, row)
            if (prediction := work.prediction) is not None:
                row = with_written(self.run.out_dir, row, decision)
                work, row, heat = self._judged(replace(work, row=row), prediction)
                photo = work.photo or self._read_again(row)
                cutout = corrected_cutout(self.run.out_dir, row, photo, decision, limits=self.run.config.read)
                cutout = cutout or self.run.cutter.finish(photo, prediction)
                notes = dict.fromkeys(prediction.notes)
                cutouts, work = self._apart(cutout, work, notes)
                written = self._stage(self._files_of(cutouts, work), work, staged, notes)
                copied = self._stage_sidecars(work, staged, notes)
                row = replace(row, outputs=work.outputs, sidecars=tuple(copied)).noted(notes)
                row = replace(row, written={**row.written, **written, **copied})
            row = replace(row, seconds=round(work.seconds + time.perf_counter() - start, 3))
            if staged:
                self.run.journal.append(replace(row, status="pending"))
                with held_for_review(self.run.out_dir, row, decision):
                    for file in staged:
                        file.commit()
                write_heat(self.run.out_dir, row.place, heat)
                remove_misplaced(self.run.out_dir, row)
            if row.ok or not self.hold_back(row):
                self.run.journal.append(row)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one photo must not stop the others
            for file in staged:
                file.discard()
            if self._is_due_again(error, row, decision, is_again=is_again):
                again = replace(work, seconds=work.seconds + time.perf_counter() - start)
                return self._finished(again, is_again=isinstance(error, FileNotFoundError))
            row = failed_row(row, error, os_error="not_written")
            self.run.journal.append(row)
        return row

    def _is_due_again(self, error: Exception, row: Row, decision: Decision | None, *, is_again: bool) -> bool:
        """True if a person decided on the photo meanwhile, or what was staged went with its folder, which is back.

        Raises:
            FolderError: every further photo would fail too.
        """
        if isinstance(error, FolderError):
            raise error
        with suppress(PhotoError):  # of a decision that cannot be read
            if decision_for(self.run.out_dir, row) != decision:
                return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = "free some space and run again: it goes on where it stopped"
            raise FolderError(f"{error.filename or self.run.out_dir}: {error.strerror}; {fix}") from error
        if isinstance(error, FileNotFoundError) and not is_again:
            self.run.journal.check()
            return True
        return False

    def _judged(self, work: Work, prediction: Prediction) -> tuple[Work, Row, bytes | None]:
        """The work, its outputs in the verdict's folder; its row with doubt and verdict; the heat map, if any."""
        found = self.run.judge(prediction)
        outputs = sorted_outputs(work.outputs, found.verdict) if self.run.config.folder.by_verdict else work.outputs
        row = replace(
            work.row,
            doubt=found.doubt,
            own_doubt=found.doubt,
            verdict=found.verdict,
            reasons=found.reasons,
            flags=(*found.flags, *work.row.flags),
            appearance=found.appearance,
        )
        return replace(work, outputs=outputs), row, found.heat

    def _read_again(self, row: Row) -> Photo:
        self.run.attempts.begin(Path(row.input))
        data = read_photo_bytes(Path(row.input), self.run.config.read)
        if hashlib.sha256(data).hexdigest() != row.input_sha256:
            raise PhotoError("changed while its garment's photos were cut; run again", code="changed")
        photo = decode_photo(data, limits=self.run.config.read)
        self.run.attempts.go_on(Path(row.input))
        return photo

    def _apart(self, cutout: Cutout, work: Work, notes: dict[str, None]) -> tuple[list[Cutout], Work]:
        """With `output.each`, a cutout of each garment, and the work with the names of their files."""
        output = self.run.config.output
        alphas = split_garments(cutout.alpha) if output.each and self.run.specification is None else []
        if len(alphas) < 2:
            return [cutout], work
        for note in [note for note in notes if isinstance(note, Note) and note.flag == "several_garments"]:
            del notes[note]
        notes[Note(f"{len(alphas)} garments, each in files of its own", "several_garments")] = None
        outputs = name_each(work.outputs, output.formats, len(alphas))
        return [replace(cutout, alpha=alpha) for alpha in alphas], replace(work, outputs=outputs)

    def _files_of(self, cutouts: list[Cutout], work: Work) -> Iterator[Delivery]:
        """The contents of the files, in the order of the work's outputs, each made when it is asked for."""
        for cutout in cutouts:
            if self.run.specification is not None:
                subject = subject_of(PurePosixPath(work.row.place))
                yield from deliver(cutout, self.run.specification, subject=subject, scales=work.scales)
                continue
            prepared = Preparation(cutout, self.run.config.output, name=Path(work.row.input).stem)
            for format in self.run.config.output.formats:
                yield Delivery(format, encode_prepared(prepared, format), lost_metadata(prepared.metadata, format))

    def _stage(
        self, files: Iterator[Delivery], work: Work, staged: list[StagedFile], notes: dict[str, None]
    ) -> dict[str, tuple[str, ...]]:
        written = {}
        for name in work.outputs:
            path, hashes = self.run.out_dir / name, work.row.written.get(name, ())
            self.run.journal.check()
            if folded_path(path) in self.plan.originals:
                raise OutputError(f"{path} is itself one of the photos; choose another --out", code="output_is_photo")
            if not self.run.overwrite and not self.run.journal.is_ours(path, hashes):
                raise OutputError(
                    f"{path} is there already and not as garmentcut wrote it; move it or use --overwrite",
                    code="output_exists",
                )
            _, content, new_notes = next(files)
            notes.update(dict.fromkeys(new_notes))
            staged.append(StagedFile(path, content, owner=self.run.owner, root=self.run.out_dir))
            # Until the new file has its name the old one stands there, and is ours too.
            written[name] = (*hashes[-1:], hashlib.sha256(content).hexdigest())
        return written

    def _stage_sidecars(
        self, work: Work, staged: list[StagedFile], notes: dict[str, None]
    ) -> dict[str, tuple[str, ...]]:
        """Copies of the photo's sidecar files under its outputs' names; whatever is wrong with one costs a note."""
        copied: dict[str, tuple[str, ...]] = {}
        output = self.run.config.output
        keeps_frame = self.run.specification is None and not output.trim
        pictures = [name for name in work.outputs if not name.endswith(_MASK_SUFFIX)] or work.outputs
        for sidecar in find_sidecars(Path(work.row.input)):
            if sidecar.is_adjustments and not keeps_frame:
                notes[Note(f"{sidecar.path.name} was left behind: it fits the whole frame only", "sidecar_left")] = None
                continue
            for name in dict.fromkeys(map(sidecar.name_beside, pictures)):
                path, hashes = self.run.out_dir / name, work.row.written.get(name, ())
                if not self.run.journal.is_ours(path, hashes):
                    if not path.samefile(sidecar.path):
                        note = f"{name} is there already, not as garmentcut wrote it, and was left as it is"
                        notes[Note(note, "sidecar_left")] = None
                    continue
                try:
                    content = read_photo_bytes(sidecar.path, self.run.config.read)
                    # The cutout is upright, whatever the camera's orientation was.
                    content = (sidecar.suffix == ".xmp" and read_xmp(content).packet) or content
                    staged.append(StagedFile(path, content, owner=self.run.owner, root=self.run.out_dir))
                except PhotoError as error:
                    notes[Note(f"{sidecar.path.name} was left behind: {error}", "sidecar_left")] = None
                    continue
                copied[name] = (*hashes[-1:], hashlib.sha256(content).hexdigest())
        return copied


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # reading it will say why
        return 0


def folded_path(path: Path) -> str:
    """A path as file systems that ignore case compare it, with links followed."""
    return os.path.realpath(path).casefold()


def failed_row(row: Row, error: Exception, *, os_error: str = "unreadable") -> Row:
    """The row of a photo that could not be cut; `os_error` as for `code_of`."""
    reason = "not enough memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        reason = f"{error.filename}: {error.strerror}"
    return replace(row, status="failed", code=code_of(error, os_error=os_error), reason=reason, outputs=(), sidecars=())


def remove_misplaced(out_dir: Path, row: Row) -> None:
    """Remove what an earlier run wrote for this photo under another verdict, unless somebody has worked on it."""
    wanted = (*row.outputs, *row.sidecars)
    names = {unsorted_output(name) for name in wanted}
    for name, hashes in row.written.items():
        if name in wanted or unsorted_output(name) not in names:
            continue
        path = out_dir / name
        if path.is_file() and may_replace(path, hashes):
            path.unlink(missing_ok=True)


class Sidecar(NamedTuple):
    """A file in which Lightroom or Capture One keeps what was done to a photo."""

    path: Path  # absolute path
    suffix: str  # what its name has behind the photo's: `.xmp`, `.cos`
    folder: str = ""  # it lies in, below the photo's; empty: beside the photo
    # Its name begins with the photo's whole name, `IMG_1.jpg.cos`, not with `IMG_1` alone.
    is_named_in_full: bool = True

    def name_beside(self, output: str) -> str:
        """What it is called beside a photo's output, relative to the output folder."""
        place = PurePosixPath(output)
        return str(place.parent / self.folder / f"{place.name if self.is_named_in_full else place.stem}{self.suffix}")

    @property
    def is_adjustments(self) -> bool:
        """It holds crops and masks in the photo's frame, so it fits no cutout of another frame."""
        return bool(self.folder)


def find_sidecars(photo: Path) -> list[Sidecar]:
    """A photo's sidecar files: `NAME.xmp` and `NAME.jpg.xmp` beside it, `CaptureOne/Settings*/NAME.jpg.*`.

    Links are none, for they may lead anywhere.

    Args:
        photo: absolute path; of a folder that cannot be read, there are none.
    """
    parent, found = photo.parent, list[Sidecar]()
    for start in (photo.stem, photo.name):
        for suffix in (".xmp", ".XMP"):
            path = parent / f"{start}{suffix}"
            if _is_plain(path) and not any(path.samefile(one.path) for one in found):
                found.append(Sidecar(path, ".xmp", is_named_in_full=start == photo.name))
    for folder in capture_one_folders(parent):
        with suppress(OSError):
            names = sorted(name for name in os.listdir(folder) if name.startswith(f"{photo.name}."))  # noqa: PTH208
            within = folder.relative_to(parent).as_posix()
            found += [
                Sidecar(folder / name, name[len(photo.name) :], within) for name in names if _is_plain(folder / name)
            ]
    return found


def capture_one_folders(folder: Path) -> list[Path]:
    """Where Capture One keeps the adjustments of a folder's photos, one for each of its versions that was used."""
    above = folder / "CaptureOne"
    with suppress(OSError):
        return sorted(path for path in above.glob("Settings*") if not (above.is_symlink() or path.is_symlink()))
    return []


def _is_plain(path: Path) -> bool:
    # Not the methods of Path: they raise where a folder may not be entered.
    return os.path.isfile(path) and not os.path.islink(path)  # noqa: PTH113, PTH114
