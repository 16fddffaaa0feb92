"""`garmentcut cut` on a folder: reading, network and writing of many photos overlap; a stopped run continues."""

import errno
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path, PurePosixPath

from garmentcut.config import Config, CutConfig
from garmentcut.dataset.bounded import map_in_order
from garmentcut.dataset.corrections import Decision
from garmentcut.errors import (
    FolderError,
    LockLostError,
    LockTakenError,
    Note,
    OutputError,
    PhotoError,
    RunError,
    SourceError,
    code_of,
)
from garmentcut.formats import FORMATS
from garmentcut.observe.monitor import Monitor
from garmentcut.photo.compose import Preparation
from garmentcut.photo.files import LOCK_NAME, StagedFile, read_photo_bytes, remove_staged
from garmentcut.photo.lock import FolderLock
from garmentcut.photo.metadata import capture_of
from garmentcut.photo.photo import Cutout, Photo
from garmentcut.photo.read import decode_photo
from garmentcut.photo.spec import Delivery, Sighting, Specification, deliver, shared_scales, sight_garment
from garmentcut.photo.write import encode_prepared, lost_metadata
from garmentcut.photo.xmp import read_xmp
from garmentcut.prediction.attempts import Attempts
from garmentcut.prediction.batch import (
    Order,
    check_batch,
    corrected_cutout,
    decision_for,
    held_for_review,
    record_order,
    with_written,
)
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.frame import Frame
from garmentcut.prediction.locate import split_garments
from garmentcut.prediction.names import (
    Named,
    adopt_moved,
    garment_of,
    is_another_at,
    name_each,
    name_files,
    subject_of,
    tell_apart,
)
from garmentcut.prediction.results import (
    Journal,
    Row,
    fails_again,
    fingerprint,
    is_another_photo,
    is_done,
    is_unchanged,
)
from garmentcut.prediction.sources import Skipped, Source, capture_one_folders, find_sidecars, write_skipped
from garmentcut.prediction.stages import Prediction
from garmentcut.prediction.verdict import Judge, keep_heat, remove_misplaced, sorted_outputs, unsorted_output
from garmentcut.prediction.views import ViewComparison

_MASK_SUFFIX = FORMATS["mask"].suffix
_OF_OUTPUT = frozenset({"color_profile", "nothing_visible", "does_not_fit", "format_limit", "no_path"})
GUILTY = (
    "two runs died while it was being read, so it is passed over; make it smaller or give the run more memory, then try"
    " it again with --overwrite"
)
_LATE = "its garment's other photos were cut without it, at their own scale; run again to have all cut at one"


@dataclass(frozen=True)
class Plan:
    """What a run is to do.

    Attributes:
        todo: photos to cut, with their output names.
        done: rows of photos cut before with the same model and options.
        originals: `folded_path` of every photo of this and earlier runs.
        garments: under a specification, what all photos of a garment share, for each photo; they follow each other.
        renamed: photos that get a name of their own, because another photo of their name was cut before.
    """

    todo: dict[Path, Named]
    done: tuple[Row, ...]
    originals: frozenset[str]
    garments: dict[str, str] = field(default_factory=dict)
    renamed: frozenset[Path] = frozenset()


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
    """The steps of a photo: load, predict, finish. Each may run in several threads at once.

    Attributes:
        cutter: the model, ready to run.
        journal: where rows are recorded.
        attempts: records what is under way.
        out_dir: absolute path of the output folder.
        config: limits and output options.
        overwrite: replace files that garmentcut did not write, or that were changed since.
        originals: `folded_path` of every photo of the run: never written to, not even with `overwrite`.
        owner: marks this folder's staged files.
        specification: a customer's, which then decides the files instead of `config.output`.
        hold_back: called with each row that says `failed`; if it returns true, the row is not recorded.
        judge: gives each cutout its doubt and verdict; None: neither is wanted.
        renamed: see `Plan`.
    """

    cutter: Cutter
    journal: Journal
    attempts: Attempts
    out_dir: Path
    config: Config
    overwrite: bool = False
    originals: frozenset[str] = frozenset()
    owner: str = ""
    specification: Specification | None = None
    hold_back: Callable[[Row], bool] = lambda _row: False
    judge: Judge | None = None
    renamed: frozenset[Path] = frozenset()

    def load(self, path: Path, named: Named, options: str) -> Work:
        """Read and decode a photo and frame it for the network."""
        start = time.perf_counter()
        earlier = self.journal.rows.get(str(path))
        row = Row(str(path), named.place, model=self.cutter.card.label, options=options)
        row = replace(row, written=earlier.written if earlier else {})
        if path in self.renamed:
            row = replace(row, flags=("another_photo",))
        elif earlier and "moved" in earlier.flags:
            row = replace(row, flags=("moved",))
        try:
            changed_ns = _changed_ns(path)  # before reading: a photo exchanged meanwhile counts as changed
            if self.attempts.find(path).is_guilty and not self.overwrite:
                raise PhotoError(GUILTY, code="kills_run")
            self.attempts.begin(path)
            data = read_photo_bytes(path, self.config.read)
            digest = hashlib.sha256(data).hexdigest()
            row = replace(row, input_bytes=len(data), input_mtime_ns=changed_ns, input_sha256=digest)
            photo = decode_photo(data, limits=self.config.read)
            row = self._compared(replace(row, size_hw=photo.size_hw).noted(photo.notes), photo, earlier)
            work = Work(row, named.outputs, photo, self.cutter.frame(photo))
            self.attempts.go_on(path)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one photo must not stop the others
            work = Work(failed_row(row, error), named.outputs)
        return replace(work, seconds=time.perf_counter() - start)

    def _compared(self, row: Row, photo: Photo, earlier: Row | None) -> Row:
        """The row, with what EXIF says of the photo, and with what became of the one that had its name before."""
        taken, camera = capture_of(photo.exif)
        row = replace(row, taken=taken, camera=camera)
        if Path(row.input) in self.renamed:
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
            prediction = self.cutter.predict(work.photo, work.frame)
        except RunError:  # the network does not start: no other photo could be cut either
            raise
        except Exception as error:  # noqa: BLE001 - out of memory on one huge photo must not stop the others
            return Work(failed_row(work.row, error), work.outputs, seconds=work.seconds)
        return replace(work, prediction=prediction, seconds=work.seconds + time.perf_counter() - start)

    def sight(self, work: Work) -> Work:
        """Find the garment's box, then drop the photo: the photos of a large garment would fill the memory."""
        if work.photo is None or work.frame is None or work.prediction is None:
            return work
        start = time.perf_counter()
        try:
            decision = decision_for(self.out_dir, work.row)
            cutout = corrected_cutout(self.out_dir, work.row, work.photo, decision, limits=self.config.read)
            cutout = cutout or self.cutter.finish(work.photo, work.frame, work.prediction)
            sighting = sight_garment(cutout, subject_of(PurePosixPath(work.row.place)).view)
        except Exception as error:  # noqa: BLE001 - no garment on this one; the garment's other photos go on
            return Work(failed_row(work.row, error), work.outputs, seconds=work.seconds)
        self.attempts.let_go(Path(work.row.input))
        seconds = work.seconds + time.perf_counter() - start
        return replace(work, photo=None, sighting=sighting, seconds=seconds)

    def finish(self, work: Work) -> Row:
        """Make the cutout, write its files and record its row.

        Raises:
            FolderError: the disk is full: every further photo would fail too.
        """
        row = self._finished(work)
        if row.code != "kills_run":
            self.attempts.end(Path(row.input))
        return row

    def _finished(self, work: Work, *, is_again: bool = False) -> Row:
        start = time.perf_counter()
        row, staged, heat = work.row, list[StagedFile](), None
        decision = decision_for(self.out_dir, row)
        try:
            if (frame := work.frame) is not None and (prediction := work.prediction) is not None:
                row = with_written(self.out_dir, row, decision)
                work, row, heat = self._judged(replace(work, row=row), row)
                photo = work.photo or self._read_again(row)
                cutout = corrected_cutout(self.out_dir, row, photo, decision, limits=self.config.read)
                cutout = cutout or self.cutter.finish(photo, frame, prediction)
                notes = dict.fromkeys(prediction.notes)
                cutouts, work = self._apart(cutout, work, notes)
                written = self._stage(self._files_of(cutouts, work), work, staged, notes)
                copied = self._stage_sidecars(work, staged, notes)
                row = replace(row, outputs=work.outputs, sidecars=tuple(copied)).noted(notes)
                row = replace(row, written={**row.written, **written, **copied})
            row = replace(row, seconds=round(work.seconds + time.perf_counter() - start, 3))
            if staged:
                self.journal.append(replace(row, status="pending"))
                with held_for_review(self.out_dir, row, decision):
                    for file in staged:
                        file.commit()
                keep_heat(self.out_dir, row.place, heat)
                remove_misplaced(self.out_dir, row)
            if row.ok or not self.hold_back(row):
                self.journal.append(row)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one photo must not stop the others
            for file in staged:
                file.discard()
            if self._is_due_again(error, row, decision, is_again=is_again):
                again = replace(work, seconds=work.seconds + time.perf_counter() - start)
                return self._finished(again, is_again=isinstance(error, FileNotFoundError))
            row = failed_row(row, error, os_error="not_written")
            self.journal.append(row)
        return row

    def _is_due_again(self, error: Exception, row: Row, decision: Decision | None, *, is_again: bool) -> bool:
        """True if a person decided on the photo meanwhile, or what was staged went with its folder, which is back.

        Raises:
            FolderError: every further photo would fail too.
        """
        if isinstance(error, FolderError):
            raise error
        if decision_for(self.out_dir, row) != decision:
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = "free some space and run again: it goes on where it stopped"
            raise FolderError(f"{error.filename or self.out_dir}: {error.strerror}; {fix}") from error
        if isinstance(error, FileNotFoundError) and not is_again:
            self.journal.check()
            return True
        return False

    def _judged(self, work: Work, row: Row) -> tuple[Work, Row, bytes | None]:
        """The same with doubt, verdict and reasons, its outputs in the verdict's folder; and the heat map, if any."""
        if self.judge is None or work.prediction is None:
            return work, row, None
        found = self.judge(work.prediction)
        outputs = sorted_outputs(work.outputs, found.verdict) if self.config.folder.by_verdict else work.outputs
        row = replace(
            row,
            doubt=found.doubt,
            own_doubt=found.doubt,
            verdict=found.verdict,
            reasons=found.reasons,
            flags=(*found.flags, *row.flags),
            appearance=found.appearance,
        )
        return replace(work, outputs=outputs), row, found.heat

    def _read_again(self, row: Row) -> Photo:
        self.attempts.begin(Path(row.input))
        data = read_photo_bytes(Path(row.input), self.config.read)
        if hashlib.sha256(data).hexdigest() != row.input_sha256:
            raise PhotoError("changed while its garment's photos were cut; run again", code="changed")
        photo = decode_photo(data, limits=self.config.read)
        self.attempts.go_on(Path(row.input))
        return photo

    def _apart(self, cutout: Cutout, work: Work, notes: dict[str, None]) -> tuple[list[Cutout], Work]:
        """With `output.each`, a cutout of each garment, and the work with the names of their files."""
        output = self.config.output
        alphas = split_garments(cutout.alpha) if output.each and self.specification is None else []
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
            if self.specification is not None:
                subject = subject_of(PurePosixPath(work.row.place))
                yield from deliver(cutout, self.specification, subject=subject, scales=work.scales)
                continue
            prepared = Preparation(cutout, self.config.output, name=Path(work.row.input).stem)
            for format in self.config.output.formats:
                yield Delivery(format, encode_prepared(prepared, format), lost_metadata(prepared.metadata, format))

    def _stage(
        self, files: Iterator[Delivery], work: Work, staged: list[StagedFile], notes: dict[str, None]
    ) -> dict[str, tuple[str, ...]]:
        written = {}
        for name in work.outputs:
            path, hashes = self.out_dir / name, work.row.written.get(name, ())
            self.journal.check()
            if folded_path(path) in self.originals:
                raise OutputError(f"{path} is itself one of the photos; choose another --out", code="output_is_photo")
            if not self.overwrite and not self.journal.is_ours(path, hashes):
                raise OutputError(
                    f"{path} is there already and not as garmentcut wrote it; move it or use --overwrite",
                    code="output_exists",
                )
            _, content, new_notes = next(files)
            notes.update(dict.fromkeys(new_notes))
            staged.append(StagedFile(path, content, owner=self.owner, root=self.out_dir))
            # Until the new file has its name the old one stands there, and is ours too.
            written[name] = (*hashes[-1:], hashlib.sha256(content).hexdigest())
        return written

    def _stage_sidecars(
        self, work: Work, staged: list[StagedFile], notes: dict[str, None]
    ) -> dict[str, tuple[str, ...]]:
        """Copies of the photo's sidecar files under its outputs' names; whatever is wrong with one costs a note."""
        copied: dict[str, tuple[str, ...]] = {}
        output = self.config.output
        keeps_frame = self.specification is None and not output.trim
        pictures = [name for name in work.outputs if not name.endswith(_MASK_SUFFIX)] or work.outputs
        for sidecar in find_sidecars(Path(work.row.input)):
            if sidecar.is_adjustments and not keeps_frame:
                notes[Note(f"{sidecar.path.name} was left behind: it fits the whole frame only", "sidecar_left")] = None
                continue
            for name in dict.fromkeys(map(sidecar.name_beside, pictures)):
                path, hashes = self.out_dir / name, work.row.written.get(name, ())
                if not self.journal.is_ours(path, hashes):
                    if not path.samefile(sidecar.path):
                        note = f"{name} is there already, not as garmentcut wrote it, and was left as it is"
                        notes[Note(note, "sidecar_left")] = None
                    continue
                try:
                    content = read_photo_bytes(sidecar.path, self.config.read)
                    # The cutout is upright, whatever the camera's orientation was.
                    content = (sidecar.suffix == ".xmp" and read_xmp(content).packet) or content
                    staged.append(StagedFile(path, content, owner=self.owner, root=self.out_dir))
                except PhotoError as error:
                    notes[Note(f"{sidecar.path.name} was left behind: {error}", "sidecar_left")] = None
                    continue
                copied[name] = (*hashes[-1:], hashlib.sha256(content).hexdigest())
        return copied


class FolderCutter:
    """Cuts many photos into one output folder; used as a context, it holds the folder's lock.

    >>> sources = find_sources([Path("photos")], out_dir)  # doctest: +SKIP
    >>> with FolderCutter(cutter, out_dir) as folder:  # doctest: +SKIP
    ...     for row in folder.cut(folder.plan(sources)):
    ...         print(row.input, row.ok, row.reason, row.seconds)

    Attributes:
        num_damaged: lines of the results that were no rows when the folder was entered; they were set aside.
    """

    def __init__(
        self,
        cutter: Cutter,
        out_dir: Path,
        *,
        config: Config | None = None,
        overwrite: bool = False,
        specification: Specification | None = None,
        model: Path | None = None,
    ) -> None:
        """Prepare a run; nothing is written before the context is entered.

        Args:
            cutter: a loaded model.
            out_dir: made if it is missing.
            config: limits, output options, threads.
            overwrite: replace files that garmentcut did not write, or that were changed since it wrote them.
            specification: a customer's, which then decides the files instead of `config.output`.
            model: the cutter's file, for the record; None: the embedded one.

        Raises:
            garmentcut.errors.ConfigError: the model cannot guarantee `folder.accept_risk`; says why.
        """
        self.cutter = cutter
        self.out_dir = out_dir.resolve()
        self.config = config or Config()
        self.overwrite = overwrite
        self.specification = specification
        card = cutter.card
        # What decides the pixels that are written; not how many threads write them.
        wanted = specification.fingerprint if specification else asdict(self.config.output)
        if isinstance(wanted, dict) and not wanted["each"]:
            del wanted["each"]  # as in folders of earlier versions, which need not be cut again
        self.options = fingerprint(card.sha256, card.edge_bias, card.edge_gain, wanted)
        if card.choke_px or cutter.config != CutConfig():
            self.options = fingerprint(self.options, card.choke_px, asdict(cutter.config))
        if card.doubt is not None:  # another doubt, other verdicts
            self.options = fingerprint(self.options, asdict(card.doubt))
        self.judge = Judge.of(card, self.config.folder.accept_risk, cut=cutter.config)
        named = str(model.resolve()) if model else ""
        self._order = Order(named, self.config.read, self.config.output, specification, cutter.config)
        self._owner = fingerprint(str(self.out_dir))
        self._lock = FolderLock(self.out_dir / LOCK_NAME)
        self.num_damaged = 0
        self._tidied: set[Path] = set()
        self._folded: dict[str, str] = {}  # following links is slow, and a watch plans every few seconds

    def __enter__(self) -> "FolderCutter":
        """Take the folder's lock, read its results and clear what a killed run left.

        Raises:
            SourceError: another run is at work there, its results are not ours, or it cannot be written.
            garmentcut.errors.SourceError: its `batch.json` cannot be used.
        """
        try:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self.journal = Journal(self.out_dir, check=self.check)
            self.num_damaged = self.journal.num_damaged
            self.journal.compact()
            check_batch(self.out_dir)
            self.attempts = Attempts(self.out_dir, check=self.check)
        except LockTakenError as error:
            raise SourceError(f"{error}; wait or choose another --out") from error
        except (OSError, SourceError) as error:
            self._lock.release()
            if isinstance(error, SourceError):
                raise
            reason = "not a folder" if isinstance(error, FileExistsError) else error.strerror
            file = error.filename or self.out_dir
            raise SourceError(f"{file}: {reason}; fix that, or choose another --out") from error
        return self

    def __exit__(self, *_: object) -> None:
        """Leave one row for each photo in the results, and release the lock."""
        try:
            # A full disk, or a lost folder: the rows are as they were, only not tidied.
            with suppress(OSError, FolderError):
                self.journal.compact()
            self.attempts.close()
        finally:
            self._lock.release()

    @property
    def note(self) -> str:
        """One sentence on how the folder is locked, if people should know it; otherwise empty."""
        return self._lock.note

    def num_gone(self) -> int:
        """Photos that were cut but whose files are gone, if the folder was taken away; otherwise 0."""
        outputs = [row.outputs for row in self.journal.rows.values() if row.ok] if self.problem() else []
        return sum(not all(os.path.isfile(self.out_dir / name) for name in names) for names in outputs)  # noqa: PTH113

    def check(self) -> None:
        """Make sure that the output folder is still the one that was entered.

        Raises:
            FolderError: it was removed, replaced or unmounted, or another run has taken it.
        """
        try:
            self._lock.check()
        except LockLostError as error:
            raise FolderError(f"{self.out_dir}: {error}; put it back and run again") from error

    def problem(self) -> str:
        """What became of the output folder, in words; empty: it is still the one that was entered."""
        try:
            self._lock.check()
        except LockLostError as error:
            return str(error)
        return ""

    def reopen(self) -> None:
        """Take the output folder again if it was lost and is back, and read its results anew.

        Raises:
            FolderError: it is not back, or another run is at work there.
            OSError: it cannot be read or written.
        """
        with suppress(LockLostError):
            self._lock.check()
            return
        if not self._lock.path.is_file():  # a mount point, perhaps: only the marker tells that it is the folder
            self.check()
        self._lock.release()
        try:
            self._lock.acquire()
        except LockTakenError as error:
            raise FolderError(str(error)) from error
        self.attempts.close()
        self.attempts = Attempts(self.out_dir, check=self.check)
        self.journal.read()

    def plan(self, sources: Iterable[Source]) -> Plan:
        """Name the outputs, and separate photos done before from those to do.

        Args:
            sources: what `find_sources` found; files that this folder's runs wrote are passed over.

        Raises:
            garmentcut.errors.ConfigError: the specification would give two files the same name.
        """
        self.check()
        sources = list(sources)
        self.journal.forget(_readable_folders(self.journal.rows.values()))
        adopt_moved(sources, self.journal)
        sources, renamed = tell_apart(sources, self.journal.rows, self._is_another, self.journal.part)
        owners = self.journal.owners()
        sources = [source for source in sources if self._name_below(source.path) not in owners]
        names = name_files(
            sources,
            self.config.output,
            self.specification,
            places=self.journal.places(),
            owners={unsorted_output(name): path for name, path in owners.items()},
        )
        done = {path: row for path in names if (row := self._done_row(path, names[path].outputs))}
        garments = {str(source.path): garment_of(source) for source in sources} if self.specification else {}
        # Photos of a garment have one scale: one of them new, and all are cut; but not for one that only fails again.
        rows = self.journal.rows
        failed_for_good = {path for path in names if fails_again(rows.get(str(path)), path, options=self.options)}
        failed_for_good = set() if self.overwrite else failed_for_good
        to_cut = {garments.get(str(path)) for path in names if path not in done and path not in failed_for_good}
        done = {path: row for path, row in done.items() if not garments or garments[str(path)] not in to_cut}
        todo = {path: named for path, named in names.items() if path not in done}
        for folder in {
            (self.out_dir / name).parent for named in todo.values() for name in named.outputs
        } - self._tidied:
            with suppress(OSError):  # writing to it will say what is wrong with it
                for one in (folder, *capture_one_folders(folder)):
                    remove_staged(one, self._owner)
            self._tidied.add(folder)
        originals = {str(path) for path in names} | self.journal.rows.keys()
        self._folded |= {path: folded_path(Path(path)) for path in originals - self._folded.keys()}
        return Plan(todo, tuple(done.values()), frozenset(self._folded.values()), garments, renamed)

    def _is_another(self, row: Row, path: Path) -> bool:
        return not is_unchanged(row, path) and is_another_at(row, lambda: read_photo_bytes(path, self.config.read))

    def _name_below(self, path: Path) -> str | None:
        """A path as outputs are named; None if it does not lie in the output folder."""
        return path.relative_to(self.out_dir).as_posix() if path.is_relative_to(self.out_dir) else None

    def _done_row(self, path: Path, outputs: tuple[str, ...]) -> Row | None:
        row = self.journal.rows.get(str(path))
        if row is not None and row.verdict != self.judge.verdict_of(row.doubt, row.flags):
            return None
        if row is not None and self.config.folder.by_verdict:
            outputs = sorted_outputs(outputs, row.verdict)
        if row is not None and self.config.output.each and (num := len(row.outputs) // max(len(outputs), 1)) > 1:
            outputs = name_each(outputs, self.config.output.formats, num)
        return row if is_done(row, path, self.out_dir, options=self.options, outputs=outputs) else None

    def cut(
        self,
        plan: Plan,
        *,
        monitor: Monitor | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
        hold_back: Callable[[Row], bool] = lambda _row: False,
    ) -> Iterator[Row]:
        """Cut the photos of a plan; yields each photo's row once its files are written.

        Args:
            plan: what to do.
            monitor: gets how long each step takes.
            is_stopping: once it returns true, no further photo is begun; those under way are finished.
            hold_back: called with each row that says `failed`; if it returns true, the row is yielded but not recorded.

        Raises:
            garmentcut.errors.FolderError: the disk is full, or the output folder was taken away.
        """
        self.record_order()
        steps = Steps(
            self.cutter,
            self.journal,
            self.attempts,
            self.out_dir,
            self.config,
            self.overwrite,
            plan.originals,
            self._owner,
            self.specification,
            hold_back,
            self.judge,
            plan.renamed,
        )
        views = ViewComparison(self.judge, self.journal, self.config.folder.by_verdict)
        parts = (
            self._cut_part(part, steps, monitor or Monitor(), is_stopping, is_alone=is_alone)
            for part, is_alone in self._parts_of(plan)
        )
        rows = (row for part in parts for row in part)
        yield from views.follow(rows, ((path, named.place) for path, named in plan.todo.items()))
        self.check()

    def _parts_of(self, plan: Plan) -> Iterator[tuple[Plan, bool]]:
        """First all photos with which no run has died; then the others, one garment at a time."""
        keys = {path: plan.garments.get(str(path), str(path)) for path in plan.todo}
        suspected = dict.fromkeys(keys[path] for path in plan.todo if self.attempts.find(path).is_suspect)
        for chosen, is_alone in ((keys.keys(), False), *((key, True) for key in suspected)):
            todo = {
                path: named
                for path, named in plan.todo.items()
                if (keys[path] == chosen if is_alone else keys[path] not in suspected)
            }
            yield replace(plan, todo=todo), is_alone

    def _cut_part(
        self, plan: Plan, steps: Steps, monitor: Monitor, is_stopping: Callable[[], bool], *, is_alone: bool
    ) -> Iterator[Row]:
        """Rows of the photos of a plan, many under way or, `is_alone`, one at a time."""
        folder = self.config.folder
        # Between its stages a photo is cropped, tiled and cleaned: meanwhile the networks take the next one.
        lookers = self.cutter.runtime.streams + (self.cutter.stages is not None)
        ahead = (0, 0, 0) if is_alone else (folder.readers, lookers, folder.writers)
        jobs = _jobs_of(plan, self.options, is_stopping)
        with (
            ThreadPoolExecutor(folder.readers) as readers,
            ThreadPoolExecutor(lookers) as network,
            ThreadPoolExecutor(folder.writers) as writers,
        ):
            load, in_flight = monitor.timed("read", steps.load), 0 if is_alone else folder.in_flight - 1
            loaded = map_in_order(readers, lambda job: load(*job), jobs, num_ahead=ahead[0] + in_flight)
            predicted = map_in_order(network, monitor.timed("network", steps.predict), loaded, num_ahead=ahead[1])
            if self.specification is not None:
                predicted = self._scaled(predicted, plan.garments, steps, writers, num_ahead=ahead[2])
            finish = monitor.timed("write", steps.finish)
            yield from map_in_order(writers, finish, predicted, num_ahead=ahead[2] + in_flight)

    def record_order(self) -> None:
        """Record what this run is asked for, so that a review knows the batch before its first photo is cut.

        Raises:
            garmentcut.errors.FolderError: it cannot be written.
        """
        with self._written():
            record_order(self.out_dir, self.options, self._order)

    def record_skipped(self, skipped: Iterable[Skipped]) -> None:
        """Record what `find_sources` passed over.

        Raises:
            FolderError: it cannot be written.
        """
        with self._written():
            write_skipped(self.out_dir, skipped)

    @contextmanager
    def _written(self) -> Iterator[None]:
        self.check()
        try:
            yield
        except OSError as error:
            raise FolderError(f"{self.out_dir} cannot be written: {error.strerror}; fix that and run again") from error

    def _scaled(
        self,
        works: Iterable[Work],
        garments: dict[str, str],
        steps: Steps,
        writers: ThreadPoolExecutor,
        *,
        num_ahead: int,
    ) -> Generator[Work, None, None]:
        """The same works; those of a garment are held back until its common scale is known."""
        assert self.specification is not None
        num_photos = Counter(garments.values())
        sighted = map_in_order(
            writers,
            lambda work: work if num_photos[garments[work.row.input]] == 1 else steps.sight(work),
            works,
            num_ahead=num_ahead,
        )
        for _, group in groupby(sighted, key=lambda work: garments[work.row.input]):
            waiting = list(group)
            if len(waiting) < num_photos[garments[waiting[0].row.input]]:
                waiting = [self._put_off(work) if work.sighting is not None else work for work in waiting]
            sightings = [work.sighting for work in waiting if work.sighting is not None]
            scales = shared_scales(self.specification, sightings) if sightings else None
            yield from (replace(work, scales=scales) for work in waiting)

    def _put_off(self, work: Work) -> Work:
        """A photo that failed before, now sighted without its garment's other photos.

        If its output failed, that is so still. If it could not be read or shown, it could be now; without options its
        row has the garment cut anew next time.
        """
        row, earlier = work.row, self.journal.rows.get(work.row.input)
        known = (row.options, row.input_sha256)
        if earlier and earlier.code in _OF_OUTPUT and (earlier.options, earlier.input_sha256) == known:
            return Work(earlier, work.outputs)
        failed = replace(row, status="failed", code="late_view", reason=_LATE, options="", outputs=())
        return Work(failed, work.outputs)


def _jobs_of(plan: Plan, options: str, is_stopping: Callable[[], bool]) -> Iterator[tuple[Path, Named, str]]:
    """The jobs of the first step, one for each photo; no more after a stop, once a garment is complete."""
    last = None
    for path, named in plan.todo.items():
        garment = plan.garments.get(str(path))
        if is_stopping() and (garment is None or garment != last):  # half a garment would have another scale
            return
        last = garment
        yield path, named, options


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # reading it will say why
        return 0


def _readable_folders(rows: Iterable[Row]) -> list[str]:
    """Folders that an earlier run could not read, and that can be read now."""
    unread = [row.input for row in rows if row.code == "unreadable"]
    # Not Path.is_dir: it raises where a folder may not be entered.
    return [path for path in unread if os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK)]  # noqa: PTH112


def folded_path(path: Path) -> str:
    """A path as file systems that ignore case compare it, with links followed."""
    return os.path.realpath(path).casefold()


def failed_row(row: Row, error: Exception, *, os_error: str = "unreadable") -> Row:
    """The row of a photo that could not be cut; `os_error` as for `code_of`."""
    reason = "not enough memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        reason = f"{error.filename}: {error.strerror}"
    return replace(row, status="failed", code=code_of(error, os_error=os_error), reason=reason, outputs=(), sidecars=())
