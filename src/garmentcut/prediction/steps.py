"""The three steps of one photo in a folder run: load, predict, finish. Whatever goes wrong becomes its row's reason."""

import errno
import hashlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import Config
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.encoding import OutputError, encode_cutout
from garmentcut.photo.files import StagedFile, read_photo_bytes
from garmentcut.photo.photo import Photo
from garmentcut.photo.reading import decode_photo
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.frame import Frame
from garmentcut.prediction.results import Journal, Row, may_replace
from garmentcut.prediction.sources import Named


class FolderError(RuntimeError):
    """A run that cannot go on; what was finished stays finished. The message says what to mend."""


@dataclass(frozen=True, eq=False)
class Work:
    """A photo on its way; without `photo`, its row says why it goes no further."""

    row: Row
    outputs: tuple[str, ...]
    photo: Photo | None = None
    frame: Frame | None = None
    alpha: NDArray[np.float32] | None = None
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
    """

    cutter: Cutter
    journal: Journal
    out_dir: Path
    config: Config
    overwrite: bool = False
    originals: frozenset[str] = frozenset()
    owner: str = ""

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
        if work.frame is None:
            return work
        start = time.perf_counter()
        try:
            alpha = self.cutter.runtime(work.frame.rgb)
        except Exception as error:  # noqa: BLE001 - out of memory on one huge photo must not stop the others
            return Work(_failed(work.row, error), work.outputs, seconds=work.seconds)
        return replace(work, alpha=alpha, seconds=work.seconds + time.perf_counter() - start)

    def finish(self, work: Work) -> Row:
        """Make the cutout, write its files and record its row.

        Raises:
            FolderError: the disk is full: every further photo would fail too.
        """
        start = time.perf_counter()
        row, staged = work.row, list[StagedFile]()
        try:
            if work.photo is not None and work.frame is not None and work.alpha is not None:
                cutout = self.cutter.finish(work.photo, work.frame, work.alpha)
                written = self._stage(cutout, work, staged)
                row = replace(row, outputs=work.outputs, written={**row.written, **written})
            row = replace(row, seconds=round(work.seconds + time.perf_counter() - start, 3))
            if staged:
                self.journal.append(replace(row, status="pending"))
            for file in staged:
                file.commit()
            self.journal.append(row)
        except Exception as error:
            for file in staged:
                file.discard()
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                message = f"{error.strerror}; free some space and run again: it goes on where it stopped"
                raise FolderError(message) from error
            row = _failed(row, error)
            self.journal.append(row)
        return row

    def _stage(self, cutout: Cutout, work: Work, staged: list[StagedFile]) -> dict[str, tuple[str, ...]]:
        written = {}
        for name, format in zip(work.outputs, self.config.output.formats, strict=True):
            path, hashes = self.out_dir / name, work.row.written.get(name, ())
            if folded_path(path) in self.originals:
                raise OutputError(f"{path} is itself one of the photos; choose another --out")
            if not self.overwrite and not may_replace(path, hashes):
                raise OutputError(f"{path} is there already and not as garmentcut wrote it; move it or use --overwrite")
            content = encode_cutout(cutout, format, self.config.output)
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
