"""One pair of files: read, checked, its target written; whatever goes wrong becomes a fault of its row."""

import errno
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from garmentcut.config import ReadConfig
from garmentcut.dataset.checks import Checked, check_pair
from garmentcut.dataset.duplicates import print_of
from garmentcut.dataset.faults import Fault, fault_of
from garmentcut.dataset.ledger import Entry, Stamp, path_text, sha256_of, stamp_of
from garmentcut.dataset.manifest import DatasetError, Pair
from garmentcut.dataset.pairing import Candidate
from garmentcut.dataset.reviewed_alpha import read_alpha
from garmentcut.dataset.target import target_bytes
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import read_photo_bytes, write_atomic
from garmentcut.photo.photo import Photo, PhotoError, to_8_bit
from garmentcut.photo.png import png_bytes
from garmentcut.photo.read import decode_photo
from garmentcut.photo.truth import CutoutFile, read_cutout

ALPHA_FOLDER, PHOTO_FOLDER = "alpha", "photos"
"""Of targets, and of photos that were taken out of layered documents; in the data set's folder."""

_UNCORRECTED = "mask and path are as garmentcut wrote them"
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class _FoundPhoto(NamedTuple):
    """A photo, its file's SHA-256, and, of one out of a document, the file that is to be written."""

    photo: Photo
    digest: str
    content: bytes | None = None


class WriteError(DatasetError):
    """The data set's folder cannot be written; what was read is kept. The message says what to mend."""


@dataclass(frozen=True)
class Examination:
    """How pairs are examined; called with one, in any thread.

    Attributes:
        folder: absolute path of the data set.
        options: fingerprint of the rest, recorded in each entry.
        mend: see `check_pair`.
        accept_unchanged: take documents that garmentcut wrote and nobody changed for right.
        read: bytes, pixels and sides accepted.
    """

    folder: Path
    options: str
    mend: bool = False
    accept_unchanged: bool = False
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
        assert candidate.cutout is not None
        # Before reading: a file exchanged meanwhile counts as changed.
        stamps = [stamp_of(path) for path in (candidate.photo or candidate.cutout, candidate.cutout)]
        entry = replace(entry, photo=stamps[0], cutout=stamps[1])
        cutout = read_cutout(candidate.cutout, self.read) if candidate.inside else None
        found = self._find_photo(candidate, cutout)
        if isinstance(found, Fault):
            return _with_faults(entry, (found,))
        photo, digest, content = found
        read = read_alpha if candidate.is_alpha else read_cutout
        cutout = cutout or read(candidate.cutout, self.read)
        pair = replace(
            entry.pair,
            photo=entry.pair.photo if content is None else "",
            photo_sha256=digest,
            cutout_sha256=sha256_of(candidate.cutout),
            size_hw=photo.size_hw,
            source=cutout.source,
            notes=(*(f"photo: {note}" for note in photo.notes), *(f"cutout: {note}" for note in cutout.notes)),
        )
        entry = replace(entry, pair=pair)
        if content is not None:
            entry = replace(entry, photo=entry.cutout, inside=True)
        return self._check(photo, cutout, entry, content, is_alpha=candidate.is_alpha)

    def _find_photo(self, candidate: Candidate, cutout: CutoutFile | None) -> _FoundPhoto | Fault:
        """The photo in the document, where it is looked for there, else the file; or why there is none."""
        reason = ""
        if cutout is not None and cutout.read_original is not None:
            try:
                photo = cutout.read_original()
            except PhotoError as error:
                reason = str(error)
            else:
                content = png_bytes(photo.rgb, profile=photo.profile, srgb=photo.profile is None)
                return _FoundPhoto(photo, hashlib.sha256(content).hexdigest(), content)
        if candidate.photo is not None:
            return _FoundPhoto(*self._read_photo(candidate.photo))
        missing = candidate.unless_inside[0]
        return fault_of(missing.code, "; ".join(filter(None, (missing.text, reason))))

    def _read_photo(self, path: Path) -> tuple[Photo, str]:
        try:
            data = read_photo_bytes(path, self.read)
            return decode_photo(data, limits=self.read), hashlib.sha256(data).hexdigest()
        except PhotoError as error:
            raise PhotoError(f"{path}: {error}") from error

    def _check(
        self, photo: Photo, cutout: CutoutFile, entry: Entry, photo_content: bytes | None, *, is_alpha: bool
    ) -> Entry:
        """The checks; `photo_content`: the file that is written for a photo out of a document.

        An alpha alone (`is_alpha`) was painted on this very photo: that it has no colours to compare is no fault.
        """
        if cutout.is_unchanged and not self.accept_unchanged:
            text = f"{_UNCORRECTED}: correct it, or use --accept-unchanged if all such documents are right"
            return _with_faults(entry, (fault_of("uncorrected", text),))
        checked: Checked = check_pair(photo, cutout, mend=self.mend)
        accepted = (fault_of("accepted", _UNCORRECTED),) if cutout.is_unchanged else ()
        faults = tuple(fault for fault in checked.faults if not (is_alpha and fault.code == "unchecked"))
        entry = _with_faults(entry, faults + accepted)
        if checked.alpha is None:
            return entry
        if photo_content is not None:
            text = f"{PHOTO_FOLDER}/{entry.pair.name}.png"
            write_in(self.folder / text, photo_content)
            entry = replace(entry, pair=replace(entry.pair, photo=text), photo_bytes=len(photo_content))
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
