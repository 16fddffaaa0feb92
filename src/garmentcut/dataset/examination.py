"""One pair of files: read, checked, its target written; whatever goes wrong becomes a fault of its row."""

import errno
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from garmentcut.config import ReadConfig
from garmentcut.dataset.checks import Checked, check_pair
from garmentcut.dataset.duplicates import print_of
from garmentcut.dataset.faults import Fault, fault_of
from garmentcut.dataset.ledger import Entry, Stamp, path_text, sha256_of, stamp_of
from garmentcut.dataset.manifest import DatasetError, Pair
from garmentcut.dataset.pairing import Candidate
from garmentcut.dataset.target import target_bytes
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import read_photo_bytes, write_atomic
from garmentcut.photo.photo import Photo, PhotoError, to_8_bit
from garmentcut.photo.photoshop import CutoutFile, read_cutout
from garmentcut.photo.reading import decode_photo

ALPHA_FOLDER = "alpha"
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class WriteError(DatasetError):
    """The data set's folder cannot be written; what was read is kept. The message says what to mend."""


@dataclass(frozen=True)
class Examination:
    """How pairs are examined; called with one, in any thread.

    Attributes:
        folder: absolute path of the data set.
        options: fingerprint of the rest, recorded in each entry.
        mend: see `check_pair`.
        read: bytes, pixels and sides accepted.
    """

    folder: Path
    options: str
    mend: bool = False
    read: ReadConfig = field(default_factory=ReadConfig)

    def __call__(self, candidate: Candidate) -> Entry:
        """Read a candidate's photo and cutout, check them, write the target.

        Raises:
            WriteError: the disk is full, or the folder cannot be written.
        """
        entry = Entry(pair_of(candidate, self.folder), self.options, Stamp(0, 0), Stamp(0, 0))
        try:
            return self._examine(candidate, entry)
        except WriteError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one pair must not stop the others
            reason = "not enough memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
            return _with_faults(entry, (fault_of("unreadable", reason),))

    def _examine(self, candidate: Candidate, entry: Entry) -> Entry:
        assert candidate.photo is not None and candidate.cutout is not None
        # Before reading: a file exchanged meanwhile counts as changed.
        entry = replace(entry, photo=stamp_of(candidate.photo), cutout=stamp_of(candidate.cutout))
        photo, digest = self._read_photo(candidate.photo)
        cutout = read_cutout(candidate.cutout, self.read)
        pair = replace(
            entry.pair,
            photo_sha256=digest,
            cutout_sha256=sha256_of(candidate.cutout),
            size_hw=photo.size_hw,
            source=cutout.source,
            notes=(*(f"photo: {note}" for note in photo.notes), *(f"cutout: {note}" for note in cutout.notes)),
        )
        return self._check(photo, cutout, replace(entry, pair=pair))

    def _read_photo(self, path: Path) -> tuple[Photo, str]:
        try:
            data = read_photo_bytes(path, self.read)
            return decode_photo(data, limits=self.read), hashlib.sha256(data).hexdigest()
        except PhotoError as error:
            raise PhotoError(f"{path}: {error}") from error

    def _check(self, photo: Photo, cutout: CutoutFile, entry: Entry) -> Entry:
        checked: Checked = check_pair(photo, cutout, mend=self.mend)
        entry = _with_faults(entry, checked.faults)
        if checked.alpha is None:
            return entry
        content = target_bytes(checked.alpha)
        text = f"{ALPHA_FOLDER}/{entry.pair.name}.png"
        fingerprint = print_of(srgb_of(to_8_bit(photo.rgb), photo.profile), checked.alpha).tobytes().hex()
        write_in(self.folder / text, content)
        pair = replace(entry.pair, alpha=text, box_xyxy=checked.box_xyxy)
        return replace(entry, pair=pair, alpha_bytes=len(content), fingerprint=fingerprint)


def pair_of(candidate: Candidate, folder: Path) -> Pair:
    """A candidate's row before anything is read, with the faults that its names tell."""
    return Pair(
        name=candidate.name,
        garment=candidate.garment,
        view=candidate.view,
        photo=path_text(candidate.photo, folder),
        cutout=path_text(candidate.cutout, folder),
        alpha="",
        photo_sha256="",
        cutout_sha256="",
        size_hw=(0, 0),
        box_xyxy=(0, 0, 0, 0),
        split="",
        source="",
        faults=candidate.faults,
        group="",
    )


def write_in(path: Path, content: bytes) -> None:
    """Write a file of the data set, whole or not at all.

    Raises:
        WriteError: it cannot be written.
    """
    try:
        write_atomic(path, content)
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> WriteError:
    """What to tell about a file that cannot be written."""
    if error.errno in _FULL_DISK:
        return WriteError(f"{path}: {error.strerror}; free some space and run again: it goes on where it stopped")
    return WriteError(f"{path}: {error.strerror or error}; make the folder writable and run again")


def _with_faults(entry: Entry, faults: tuple[Fault, ...]) -> Entry:
    return replace(entry, pair=replace(entry.pair, faults=faults))
