"""`ingest.jsonl`, which records what `garmentcut ingest` found in each pair, and the paths of a dataset's other files.

Each entry is written as soon as its pair has been read, so that no pair is read again after an interrupted run.
"""

import errno
import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from json import dumps
from operator import attrgetter
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError

from garmentcut.dataset.manifest import Pair
from garmentcut.dataset.pairing import Candidate
from garmentcut.errors import DatasetError, RunError
from garmentcut.photo.files import read_regular_file, sha256_of, write_atomic

LEDGER_NAME = "ingest.jsonl"
ALPHA_FOLDER, PHOTO_FOLDER = "alpha", "photos"
"""Folders in the dataset: one for the targets, one for the photos that were extracted from PSDs."""
_LINE_START = b'{"pair": {'


class Stamp(NamedTuple):
    """Length and modification time of a file, by which it is recognised without being read."""

    num_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """Raises: OSError: the file is missing or its status cannot be read."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class LedgerEntry:
    """What was found in a photo and its cutout."""

    pair: Pair  # the manifest row, without split and group yet; its faults are those found in the pixels
    options: str  # fingerprint of the options that affect the result
    # Stamps of the files before they were read.
    photo: Stamp
    cutout: Stamp
    alpha_bytes: int = 0  # length of the target's file; 0: refused
    fingerprint: str = ""  # perceptual hash of the photo (`garmentcut.dataset.split`), hexadecimal; empty: refused
    inside: bool = False  # the photo was extracted from the cutout; both then have the cutout's stamp
    photo_bytes: int = 0  # length of the extracted photo's file; 0: none, or refused

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def has_own_files(self, folder: Path) -> bool:
        """Whether the files that were written for this entry are there, as long as they were written."""
        own = ((self.pair.alpha, self.alpha_bytes), (self.pair.photo, self.photo_bytes))
        try:
            return all((folder / text).stat().st_size == num_bytes for text, num_bytes in own if num_bytes)
        except OSError:
            return False


_ENTRIES = TypeAdapter(LedgerEntry)
_HASH = re.compile("[0-9a-f]{384}")


class IngestLedger:
    """The entries of a dataset, by name of the pair. If a name occurs more than once, its last entry counts.

    A killed run may leave an incomplete line. Lines that cannot be read are dropped, and their pairs read again.

    Raises:
        DatasetError: the folder has an `ingest.jsonl` that garmentcut did not write.
        OSError: the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_NAME
        lines = read_regular_file(self.path).splitlines(keepends=True) if self.path.exists() else []
        entries = [entry for line in lines if (entry := _entry_of(line)) is not None]
        if lines and not entries and not _is_torn(lines[0]):
            raise DatasetError(f"{self.path} is not a file of garmentcut's; move it or choose another --out")
        self.entries = {entry.pair.name: entry for entry in entries}
        if len(entries) < len(lines):
            self.keep(self.entries)  # otherwise the next entry would be appended to an incomplete line

    def append(self, entry: LedgerEntry) -> None:
        """Append an entry to the file immediately, as one line in one write."""
        self.entries[entry.pair.name] = entry
        with self.path.open("ab") as file:
            file.write(_line(entry))

    def keep(self, names: Iterable[str]) -> None:
        """Atomically rewrite the file with only the entries of these names, sorted by name."""
        self.entries = {name: self.entries[name] for name in sorted(names) if name in self.entries}
        write_atomic(self.path, b"".join(map(_line, self.entries.values())))

    def current(
        self, candidate: Candidate, folder: Path, options: str, *, retry: Collection[str] = ()
    ) -> LedgerEntry | None:
        """The entry of a candidate, with its current paths; None if its files or the options have changed.

        `retry` lists codes of faults that may be gone by now; the result is None if the entry has one of them.
        """
        entry = self.entries.get(candidate.name)
        if entry is None or entry.options != options or any(fault.code in retry for fault in entry.pair.faults):
            return None
        is_out = entry.inside and not candidate.inside  # there is a separate photo now
        photo = candidate.cutout if entry.inside else candidate.photo
        if is_out or photo is None or candidate.cutout is None:
            return None
        pair = replace(
            entry.pair,
            photo=entry.pair.photo if entry.inside else path_text(photo, folder),
            cutout=path_text(candidate.cutout, folder),
            garment=candidate.garment,
            view=candidate.view,
        )
        try:
            if not entry.has_own_files(folder):
                return None
            found = replace(entry, pair=pair, photo=Stamp.of(photo), cutout=Stamp.of(candidate.cutout))
            place_of = attrgetter("pair.photo", "pair.cutout", "photo", "cutout")
            if place_of(found) == place_of(entry):
                return found
            # Moving or copying changes paths and times but not contents, so only now are the contents compared.
            is_same = [found.photo.num_bytes, found.cutout.num_bytes] == [entry.photo.num_bytes, entry.cutout.num_bytes]
            is_same = is_same and sha256_of(candidate.cutout) == pair.cutout_sha256
            return found if is_same and (entry.inside or sha256_of(photo) == pair.photo_sha256) else None
        except OSError:
            return None


def read_hashes(folder: Path) -> dict[str, bytes]:
    """Perceptual hashes in a dataset's ledger by the photo's SHA-256; empty if the ledger cannot be read."""
    try:
        lines = read_regular_file(folder / LEDGER_NAME).splitlines(keepends=True)
    except OSError:
        return {}
    entries = [entry for line in lines if (entry := _entry_of(line)) and _HASH.fullmatch(entry.fingerprint)]
    return {entry.pair.photo_sha256: bytes.fromhex(entry.fingerprint) for entry in entries}


def path_text(path: Path | None, folder: Path) -> str:
    """An absolute path as the manifest stores it: with `/`, relative to `folder` if they share a parent folder."""
    if path is None:
        return ""
    try:
        shared = Path(os.path.commonpath([path, folder]))
    except ValueError:  # another drive
        shared = Path(path.anchor)
    text = path.as_posix() if shared == Path(shared.anchor) else Path(os.path.relpath(path, folder)).as_posix()
    return text.encode(errors="backslashreplace").decode()  # files with such names are refused


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write a file of the dataset into a RunError that says how to fix it."""
    try:
        yield
    except OSError as error:
        fix = "make the folder writable and run again"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = "free some space and run again: it continues where it stopped"
        raise RunError(f"{path}: {error.strerror or error}; {fix}") from error


def _line(entry: LedgerEntry) -> bytes:
    return (dumps(asdict(entry)) + "\n").encode()


def _is_torn(line: bytes) -> bool:
    """True for an incomplete line of this file, and for the zero bytes that a power cut may leave."""
    return not line.strip(b"\0") or line.startswith(_LINE_START[: len(line)])


def _entry_of(line: bytes) -> LedgerEntry | None:
    try:
        return _ENTRIES.validate_json(line) if line.endswith(b"\n") else None
    except ValidationError:
        return None


def files_of(pair: Pair) -> set[str]:
    """The pair's files that `ingest` wrote into the dataset's folder, relative to it."""
    own = ((pair.alpha, ALPHA_FOLDER), (pair.photo, PHOTO_FOLDER))
    return {text for text, folder in own if "/" not in pair.name and text == f"{folder}/{pair.name}.png"}
