"""The three steps of one photo in a folder run: load, predict, finish. Whatever goes wrong becomes its row's reason."""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from garmentcut.config import Config
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.delivery import Delivery, Sighting, deliver, sight_garment
from garmentcut.photo.encoding import encode_prepared
from garmentcut.photo.files import StagedFile, read_photo_bytes
from garmentcut.photo.photo import OutputError, Photo, PhotoError
from garmentcut.photo.preparation import Preparation
from garmentcut.photo.reading import decode_photo
from garmentcut.photo.specification import Specification
from garmentcut.prediction.corrected import corrected_cutout, decision_for, held_for_review, with_written
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.delivery import subject_of
from garmentcut.prediction.frame import Frame
from garmentcut.prediction.looks import Looks
from garmentcut.prediction.results import Journal, Row, may_replace
from garmentcut.prediction.sources import Named
from garmentcut.prediction.verdict import Judge
from garmentcut.prediction.verdict_files import keep_heat, remove_misplaced, sorted_outputs


class FolderError(RuntimeError):
    """A run that cannot go on; what was finished stays finished. The message says what to mend."""


@dataclass(frozen=True, eq=False)
class Work:
    """A photo on its way; without `frame`, its row says why it goes no further.

    Under a specification, `sighting` is what it shows of its garment, `scales` what all of its photos have in
    common; while these are gathered the photo itself is let go, and read again after.
    """

    row: Row
    outputs: tuple[str, ...]
    photo: Photo | None = None
    frame: Frame | None = None
    looks: Looks | None = None
    sighting: Sighting | None = None
    scales: tuple[float, ...] | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Steps:
    """The steps, with what they share; each may run in several threads at once.

    Attributes:
        cutter: the model, ready to run.
        journal: where rows are recorded.
        out_dir: absolute path of the output folder.
        config: limits and output options.
        overwrite: replace files that garmentcut did not write, or that were changed since.
        originals: `folded_path` of every photo of the run: never written to, not even with `overwrite`.
        owner: marks this folder's staged files.
        specification: a customer's, which then decides the files instead of `config.output`.
        hold_back: asked for each row that says `failed`; true: it is not recorded.
        judge: says what each cutout is worth; None: nobody does.
    """

    cutter: Cutter
    journal: Journal
    out_dir: Path
    config: Config
    overwrite: bool = False
    originals: frozenset[str] = frozenset()
    owner: str = ""
    specification: Specification | None = None
    hold_back: Callable[[Row], bool] = lambda _row: False
    judge: Judge | None = None

    def load(self, path: Path, named: Named, options: str) -> Work:
        """Read and decode a photo and frame it for the network."""
        start = time.perf_counter()
        earlier = self.journal.rows.get(str(path))
        row = Row(str(path), named.place, model=self.cutter.card.label, options=options)
        row = replace(row, written=earlier.written if earlier else {})
        try:
            changed_ns = path.stat().st_mtime_ns  # before reading: a photo exchanged meanwhile counts as changed
            data = read_photo_bytes(path, self.config.read)
            digest = hashlib.sha256(data).hexdigest()
            row = replace(row, input_bytes=len(data), input_mtime_ns=changed_ns, input_sha256=digest)
            photo = decode_photo(data, limits=self.config.read)
            row = replace(row, size_hw=photo.size_hw, notes=photo.notes)
            work = Work(row, named.outputs, photo, self.cutter.frame(photo))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one photo must not stop the others
            work = Work(_failed(row, error), named.outputs)
        return replace(work, seconds=time.perf_counter() - start)

    def predict(self, work: Work) -> Work:
        """Run the network."""
        if work.photo is None or work.frame is None:
            return work
        start = time.perf_counter()
        try:
            looks = self.cutter.look(work.photo, work.frame)
        except Exception as error:  # noqa: BLE001 - out of memory on one huge photo must not stop the others
            return Work(_failed(work.row, error), work.outputs, seconds=work.seconds)
        return replace(work, looks=looks, seconds=work.seconds + time.perf_counter() - start)

    def sight(self, work: Work) -> Work:
        """Find the garment's box and let the photo go: a garment of many photos would else fill the memory."""
        if work.photo is None or work.frame is None or work.looks is None:
            return work
        start = time.perf_counter()
        try:
            decision = decision_for(self.out_dir, work.row)
            cutout = corrected_cutout(self.out_dir, work.row, work.photo, decision, limits=self.config.read)
            cutout = cutout or self.cutter.finish(work.photo, work.frame, work.looks)
            sighting = sight_garment(cutout, subject_of(PurePosixPath(work.row.place)).view)
        except Exception as error:  # noqa: BLE001 - no garment on this one; the garment's other photos go on
            return Work(_failed(work.row, error), work.outputs, seconds=work.seconds)
        seconds = work.seconds + time.perf_counter() - start
        return replace(work, photo=None, sighting=sighting, seconds=seconds)

    def finish(self, work: Work) -> Row:
        """Make the cutout, write its files and record its row.

        Raises:
            FolderError: the disk is full: every further photo would fail too.
        """
        start = time.perf_counter()
        row, staged, heat = work.row, list[StagedFile](), None
        decision = decision_for(self.out_dir, row)
        try:
            if (frame := work.frame) is not None and (looks := work.looks) is not None:
                row = with_written(self.out_dir, row, decision)
                work, row, heat = self._judged(replace(work, row=row), row)
                photo = work.photo or self._read_again(row)
                cutout = corrected_cutout(self.out_dir, row, photo, decision, limits=self.config.read)
                cutout = cutout or self.cutter.finish(photo, frame, looks)
                notes = dict.fromkeys((*row.notes, *looks.notes))
                written = self._stage(self._files_of(cutout, work), work, staged, notes)
                row = replace(row, outputs=work.outputs, notes=tuple(notes), written={**row.written, **written})
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
        except Exception as error:
            for file in staged:
                file.discard()
            if decision_for(self.out_dir, row) != decision:  # a person was at it meanwhile
                return self.finish(replace(work, seconds=work.seconds + time.perf_counter() - start))
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                mend = "free some space and run again: it goes on where it stopped"
                raise FolderError(f"{error.filename or self.out_dir}: {error.strerror}; {mend}") from error
            row = _failed(row, error)
            self.journal.append(row)
        return row

    def _judged(self, work: Work, row: Row) -> tuple[Work, Row, bytes | None]:
        """The same with doubt, verdict and reasons, and outputs in the verdict's folder; and the heat map, if any."""
        if self.judge is None or work.looks is None:
            return work, row, None
        found = self.judge(work.looks)
        outputs = sorted_outputs(work.outputs, found.verdict) if self.config.folder.by_verdict else work.outputs
        row = replace(
            row,
            doubt=found.doubt,
            own_doubt=found.doubt,
            verdict=found.verdict,
            reasons=found.reasons,
            looks=found.looks,
        )
        return replace(work, outputs=outputs), row, found.heat

    def _read_again(self, row: Row) -> Photo:
        data = read_photo_bytes(Path(row.input), self.config.read)
        if hashlib.sha256(data).hexdigest() != row.input_sha256:
            raise PhotoError("changed while its garment's photos were cut; run again")
        return decode_photo(data, limits=self.config.read)

    def _files_of(self, cutout: Cutout, work: Work) -> Iterator[Delivery]:
        """The files' contents, in the order of the work's outputs; each made when it is its turn."""
        if self.specification is not None:
            subject = subject_of(PurePosixPath(work.row.place))
            yield from deliver(cutout, self.specification, subject=subject, scales=work.scales)
            return
        prepared = Preparation(cutout, self.config.output, name=Path(work.row.input).stem)
        for format in self.config.output.formats:
            yield Delivery(format, encode_prepared(prepared, format))

    def _stage(
        self, files: Iterator[Delivery], work: Work, staged: list[StagedFile], notes: dict[str, None]
    ) -> dict[str, tuple[str, ...]]:
        written = {}
        for name in work.outputs:
            path, hashes = self.out_dir / name, work.row.written.get(name, ())
            if folded_path(path) in self.originals:
                raise OutputError(f"{path} is itself one of the photos; choose another --out")
            if not self.overwrite and not may_replace(path, hashes):
                raise OutputError(f"{path} is there already and not as garmentcut wrote it; move it or use --overwrite")
            _, content, new_notes = next(files)
            notes.update(dict.fromkeys(new_notes))
            staged.append(StagedFile(path, content, owner=self.owner))
            # Until the new file has its name the old one stands there, and is ours too.
            written[name] = (*hashes[-1:], hashlib.sha256(content).hexdigest())
        return written


def folded_path(path: Path) -> str:
    """A path as file systems that ignore case compare it, links followed."""
    return os.path.realpath(path).casefold()


def _failed(row: Row, error: Exception) -> Row:
    reason = "not enough memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
    return replace(row, status="failed", reason=reason, outputs=())
