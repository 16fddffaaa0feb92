"""The steps of one photo in a folder run: load, predict, finish; whatever fails becomes a row with its reason.

Decisions made in the review take precedence; a photo that repeatedly kills the run is found and skipped.
"""

import errno
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter

from garmentcut.config import OutputConfig, ReadConfig
from garmentcut.dataset.corrections import DECISIONS_FOLDER, LOCK_NAME, Decision, decision_on
from garmentcut.errors import FolderError, Note, OutputError, PhotoError, RunError
from garmentcut.naming import FORMATS
from garmentcut.photo.compose import Preparation
from garmentcut.photo.files import FolderLock, StagedFile, read_photo_bytes, read_regular_file, sha256_of, write_atomic
from garmentcut.photo.metadata import capture_of
from garmentcut.photo.photo import Cutout, Photo, to_alpha
from garmentcut.photo.read import decode_photo, read_gray_png
from garmentcut.photo.spec import Delivery, Sighting, Specification, deliver, sight_garment
from garmentcut.photo.write import encode_prepared, lost_metadata
from garmentcut.photo.xmp import read_xmp
from garmentcut.prediction.cutter import Prediction
from garmentcut.prediction.locate import Frame, split_garments
from garmentcut.prediction.results import Row, failed_row, is_another_photo, remove_misplaced, write_heat
from garmentcut.prediction.sources import Named, find_sidecars, folded_path, name_each, sorted_outputs, subject_of

if TYPE_CHECKING:
    from garmentcut.prediction.folder import FolderCutter, Plan

CORRECTED = "corrected"
APPROVED = "accepted", CORRECTED  # on the review page: a person has seen the cutout, so it is no longer doubtful
ATTEMPTS_NAME = ".garmentcut/attempts.jsonl"
"""Below the output folder; removed when a run ends normally and no photo is suspected."""
_MOST_LINES = 3000  # before the file is rewritten
_DEATHS_WHILE_READING, _DEATHS = 2, 3
_MASK_SUFFIX = FORMATS["mask"].suffix
GUILTY = (
    "two runs died while it was being read, so it is skipped; make it smaller or give the run more memory, then try"
    " it again with --overwrite"
)


@dataclass(frozen=True, eq=False)
class Work:
    """A photo on its way through the steps; if `photo`, `frame` and so on are None, its row says why it failed.

    Under a specification, `sighting` is the garment's size in this photo, and `scales` are the scales that all photos
    of the garment share. While these are gathered the photo itself is dropped; it is read again afterwards.
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
        earlier = self.run.journal.rows.get(str(path), Row(str(path)))
        row = Row(str(path), named.place, model=self.run.cutter.card.label, options=self.run.options)
        flags = ("another_photo",) if path in self.plan.renamed else tuple({"moved"}.intersection(earlier.flags))
        row = replace(row, written=earlier.written, flags=flags)
        try:
            changed_ns = 0
            with suppress(OSError):  # reading it will give the reason
                changed_ns = path.stat().st_mtime_ns  # before reading: a photo replaced meanwhile counts as changed
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

    def _compared(self, row: Row, photo: Photo, earlier: Row) -> Row:
        """The row with what EXIF says about the photo, compared with the earlier row of the same path."""
        taken, camera = capture_of(photo.exif)
        row = replace(row, taken=taken, camera=camera)
        if Path(row.input) in self.plan.renamed:
            note = f"another photo of this name was cut before: this one is named {PurePosixPath(row.place).name}"
            return row.noted([Note(note, "another_photo")])
        if not earlier.written or earlier.input_sha256 in ("", row.input_sha256):
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
        except RunError:  # the network does not start, so no other photo could be cut either
            raise
        except Exception as error:  # noqa: BLE001 - out of memory on one huge photo must not stop the others
            return Work(failed_row(work.row, error), work.outputs, seconds=work.seconds)
        return replace(work, prediction=prediction, seconds=work.seconds + time.perf_counter() - start)

    def sight(self, work: Work) -> Work:
        """Find the garment's box, then drop the photo, because all large photos of a garment would fill the memory."""
        if work.photo is None or work.prediction is None:
            return work
        start = time.perf_counter()
        try:
            cutout = self._cutout(work.photo, work.prediction, work.row, decision_for(self.run.out_dir, work.row))
            sighting = sight_garment(cutout, subject_of(PurePosixPath(work.row.place)).view)
        except Exception as error:  # noqa: BLE001 - no garment in this one; the garment's other photos go on
            return Work(failed_row(work.row, error), work.outputs, seconds=work.seconds)
        self.run.attempts.go_on(Path(work.row.input), "")
        seconds = work.seconds + time.perf_counter() - start
        return replace(work, photo=None, sighting=sighting, seconds=seconds)

    def _cutout(self, photo: Photo, prediction: Prediction, row: Row, decision: Decision | None) -> Cutout:
        corrected = corrected_cutout(self.run.out_dir, row, photo, decision, limits=self.run.config.read)
        return corrected or self.run.cutter.finish(photo, prediction)

    def finish(self, work: Work) -> Row:
        """Make the cutout, write its files and record its row.

        Raises:
            FolderError: the disk is full, so every further photo would fail too.
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
                cutout = self._cutout(photo, prediction, row, decision)
                notes = dict.fromkeys(prediction.notes)
                cutouts, work = self._split(cutout, work, notes)
                files = files_of(cutouts, row, self.run.config.output, self.run.specification, work.scales)
                written = self._stage(files, work, staged, notes)
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
        """True if the photo must be finished again: a person decided on it, or its folder vanished and came back."""
        if isinstance(error, FolderError):
            raise error
        with suppress(PhotoError):  # a decision that cannot be read
            if decision_for(self.run.out_dir, row) != decision:
                return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = "free some space and run again: it continues where it stopped"
            raise FolderError(f"{error.filename or self.run.out_dir}: {error.strerror}; {fix}") from error
        if isinstance(error, FileNotFoundError) and not is_again:
            self.run.journal.check()
            return True
        return False

    def _judged(self, work: Work, prediction: Prediction) -> tuple[Work, Row, bytes | None]:
        """The work with its outputs in the verdict's folder; its row with doubt and verdict; the heat map, if any."""
        found = self.run.judge(prediction)
        outputs = sorted_outputs(work.outputs, found.verdict) if self.run.config.folder.by_verdict else work.outputs
        known = {name: value for name, value in vars(found).items() if name != "heat"}
        row = replace(work.row, **known | {"own_doubt": found.doubt, "flags": (*found.flags, *work.row.flags)})
        return replace(work, outputs=outputs), row, found.heat

    def _read_again(self, row: Row) -> Photo:
        self.run.attempts.begin(Path(row.input))
        data = read_photo_bytes(Path(row.input), self.run.config.read)
        if hashlib.sha256(data).hexdigest() != row.input_sha256:
            raise PhotoError("changed while its garment's photos were cut; run again", code="changed")
        photo = decode_photo(data, limits=self.run.config.read)
        self.run.attempts.go_on(Path(row.input))
        return photo

    def _split(self, cutout: Cutout, work: Work, notes: dict[str, None]) -> tuple[list[Cutout], Work]:
        """With `output.each`, one cutout per garment, and the work with the names of their files."""
        output = self.run.config.output
        alphas = split_garments(cutout.alpha) if output.each and self.run.specification is None else []
        if len(alphas) < 2:
            return [cutout], work
        for note in [note for note in notes if isinstance(note, Note) and note.flag == "several_garments"]:
            del notes[note]
        notes[Note(f"{len(alphas)} garments, each in files of its own", "several_garments")] = None
        outputs = name_each(work.outputs, output.formats, len(alphas))
        return [replace(cutout, alpha=alpha) for alpha in alphas], replace(work, outputs=outputs)

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
                there = "exists already and is not as garmentcut wrote it; move it or use --overwrite"
                raise OutputError(f"{path} {there}", code="output_exists")
            _, content, new_notes = next(files)
            notes.update(dict.fromkeys(new_notes))
            staged.append(StagedFile(path, content, owner=self.run.owner, root=self.run.out_dir))
            # Until the new file gets its name the old one is there, which may be replaced too.
            written[name] = (*hashes[-1:], hashlib.sha256(content).hexdigest())
        return written

    def _stage_sidecars(
        self, work: Work, staged: list[StagedFile], notes: dict[str, None]
    ) -> dict[str, tuple[str, ...]]:
        """Stage copies of the photo's sidecar files under its outputs' names; a note tells of those left behind."""
        copied: dict[str, tuple[str, ...]] = {}
        output = self.run.config.output
        keeps_frame = self.run.specification is None and not output.trim
        pictures = [name for name in work.outputs if not name.endswith(_MASK_SUFFIX)] or work.outputs
        for sidecar in find_sidecars(Path(work.row.input)):
            if sidecar.folder and not keeps_frame:
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
                    # The cutout is upright, so the copy must not state the camera's orientation.
                    content = (sidecar.suffix == ".xmp" and read_xmp(content).packet) or content
                    staged.append(StagedFile(path, content, owner=self.run.owner, root=self.run.out_dir))
                except PhotoError as error:
                    notes[Note(f"{sidecar.path.name} was left behind: {error}", "sidecar_left")] = None
                    continue
                copied[name] = (*hashes[-1:], hashlib.sha256(content).hexdigest())
        return copied


def files_of(
    cutouts: Iterable[Cutout],
    row: Row,
    output: OutputConfig,
    specification: Specification | None,
    scales: tuple[float, ...] | None,
) -> Iterator[Delivery]:
    """Yield the contents of a photo's files, in the order of their names; each is made when it is asked for.

    Each garment in it has a cutout, and files of its own, which a customer's `specification` decides or, without one,
    `output`. `scales` are the scales that the photos of a garment share under a specification.
    """
    for cutout in cutouts:
        if specification is not None:
            yield from deliver(cutout, specification, subject=subject_of(PurePosixPath(row.place)), scales=scales)
            continue
        prepared = Preparation(cutout, output, name=Path(row.input).stem)
        for format in output.formats:
            yield Delivery(format, encode_prepared(prepared, format), lost_metadata(prepared.metadata, format))


def decision_for(out_dir: Path, row: Row) -> Decision | None:
    """A person's decision on a row's photo, or on the photo that it replaced; None: there is none."""
    if not (out_dir / DECISIONS_FOLDER).is_dir():
        return None
    return decision_on(out_dir, row.place, row.input, row.input_sha256)


def review_state(out_dir: Path, row: Row) -> str:
    """What a row's cutout is on the review page; `open` also if the decision is on another cutout, or lost."""
    decision = None
    with suppress(PhotoError):
        decision = decision_for(out_dir, row)
    if decision is None or decision.input_sha256 != row.input_sha256:
        return "open"
    kept = (out_dir / decision.alpha).is_file() if decision.state == CORRECTED else decision.model in ("", row.model)
    return decision.state if kept else "open"


def with_written(out_dir: Path, row: Row, decision: Decision | None) -> Row:
    """Add the files that the review wrote for a row, which may be replaced too; the newest hashes come last."""
    if decision is None:
        return row
    written = dict(row.written)
    for name, hashes in decision.written.items():
        known = (*written.get(name, ()), *hashes)
        found = sha256_of(out_dir / name) if (out_dir / name).is_file() else ""
        written[name] = (*known, found) if found in known else known
    return replace(row, written=written)


def corrected_cutout(
    out_dir: Path, row: Row, photo: Photo, decision: Decision | None, *, limits: ReadConfig
) -> Cutout | None:
    """The photo with its corrected alpha; None: it has none. Raises PhotoError if the alpha is gone or damaged."""
    if decision is None or decision.state != CORRECTED or not decision.alpha:
        return None
    if decision.input_sha256 != row.input_sha256:  # the photo was replaced after the decision
        return None
    try:
        alpha = to_alpha(read_gray_png(read_photo_bytes(out_dir / decision.alpha, limits), limits))
        if alpha.shape != photo.size_hw:
            raise PhotoError("not as large as the photo")
    except PhotoError as error:
        fix = "put it back, or correct it again in garmentcut review"
        raise PhotoError(f"its correction, {decision.alpha}: {error}; {fix}", code="bad_correction") from error
    return Cutout.of(photo, alpha)


@contextmanager
def held_for_review(out_dir: Path, row: Row, decision: Decision | None) -> Iterator[None]:
    """Keep the review from replacing a photo's files; raises RunError if a person has decided since they were made."""
    if not (out_dir / DECISIONS_FOLDER).is_dir():
        yield
        return
    with FolderLock(out_dir / LOCK_NAME):
        if decision_for(out_dir, row) != decision:
            raise RunError
        yield


@dataclass
class Attempt:
    """What is known about the attempts at one photo."""

    input: str  # path of the photo
    # The photo as it was; if the file has changed since, it is not suspected.
    num_bytes: int = 0
    mtime_ns: int = 0
    stage: str = ""  # `read`, `work`, or empty: it is not in progress
    # Number of runs that died while the photo was being read, or worked on.
    died_reading: int = 0
    died_working: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether a run died while this photo was in progress."""
        return self.died_reading + self.died_working > 0

    @property
    def is_guilty(self) -> bool:
        """Whether so many runs died while it was in progress that it is not tried again."""
        return self.died_reading >= _DEATHS_WHILE_READING or self.died_reading + self.died_working >= _DEATHS


_ATTEMPT = TypeAdapter(Attempt)


class Attempts:
    """The photos in progress in an output folder, and those on which runs died.

    A line is written before a photo is read, when it is decoded, and when it is finished. A process that the operating
    system kills, usually for lack of memory, cannot say why. So photos that were in progress when a run died are
    suspected, and tried one at a time after all others. A photo that was being read when two runs died is skipped.

    If the file cannot be written, the run continues without it.
    """

    def __init__(self, out_dir: Path, *, check: Callable[[], None] = lambda: None) -> None:
        """Read what the last run left; the folder's lock must be held. `check` is as for `Journal`."""
        self._out_dir, self._path, self._check = out_dir, out_dir / ATTEMPTS_NAME, check
        self._lock = threading.Lock()
        self._known: dict[str, Attempt] = {}
        self._num_lines = 0
        with suppress(OSError):
            for line in read_regular_file(self._path).split(b"\n"):
                with suppress(ValueError, RecursionError):  # a damaged line; the last line of each photo counts
                    attempt = _ATTEMPT.validate_python(json.loads(line))
                    self._known[attempt.input] = attempt
        for attempt in self._known.values():
            attempt.died_reading += attempt.stage == "read"
            attempt.died_working += attempt.stage == "work"
        if self._known:
            self.close()

    def find(self, path: Path) -> Attempt:
        """What is known about a photo; a new `Attempt` if nothing is, or the file was changed since."""
        # Other photos get no `stat`: for 100,000 on a slow share that would take minutes before the first is cut.
        return self._looked_at(path) if str(path) in self._known else Attempt(str(path))

    def _looked_at(self, path: Path) -> Attempt:
        found = Attempt(str(path))
        with suppress(OSError):
            status = path.stat()
            found.num_bytes, found.mtime_ns = status.st_size, status.st_mtime_ns
        known = self._known.get(found.input, found)
        return known if (known.num_bytes, known.mtime_ns) == (found.num_bytes, found.mtime_ns) else found

    def begin(self, path: Path) -> None:
        """Record that a photo is about to be read."""
        self._note(self._looked_at(path), "read")

    def go_on(self, path: Path, stage: Literal["work", ""] = "work") -> None:
        """Record that it was read and is worked on; or, without a stage, that it waits for others, not in memory."""
        if (attempt := self._known.get(str(path))) is not None:
            self._note(attempt, stage)

    def end(self, path: Path) -> None:
        """Record that it is finished, so that no run died because of it."""
        with self._lock:
            if self._known.pop(str(path), None) is not None:
                self._write(Attempt(str(path)))

    def close(self) -> None:
        """Record that the run ends normally: nothing is in progress, and only suspected photos are kept."""
        with self._lock:
            suspected = (replace(attempt, stage="") for attempt in self._known.values() if attempt.is_suspect)
            self._known = {attempt.input: attempt for attempt in suspected}
            self._rewrite()

    def _note(self, attempt: Attempt, stage: str) -> None:
        with self._lock:
            attempt.stage = stage
            self._known[attempt.input] = attempt
            self._write(attempt)

    def _write(self, attempt: Attempt) -> None:
        if not 0 < self._num_lines <= _MOST_LINES:
            self._rewrite()
            return
        with suppress(OSError, RunError):
            self._check()
            with self._path.open("ab") as file:
                file.write(_attempt_line(attempt))
            self._num_lines += 1

    def _rewrite(self) -> None:
        self._num_lines = len(self._known)
        with suppress(OSError, RunError):
            self._check()
            if self._known:
                write_atomic(self._path, b"".join(map(_attempt_line, self._known.values())), root=self._out_dir)
            else:
                self._path.unlink(missing_ok=True)


def _attempt_line(attempt: Attempt) -> bytes:
    return (json.dumps(asdict(attempt)) + "\n").encode()  # not by pydantic: a name may be no valid Unicode
