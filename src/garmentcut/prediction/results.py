"""results.jsonl: one row a photo, written as the run goes, true even after a power cut."""

import hashlib
import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from garmentcut.photo.files import write_atomic

RESULTS_NAME = "results.jsonl"


@dataclass(frozen=True)
class Row:
    """What became of one photo.

    Attributes:
        input: absolute path of the photo.
        place: where its outputs stand below the output folder, without suffix.
        outputs: files written with these options, relative to the output folder; empty if it failed.
        status: `ok` or `failed`.
        reason: why it failed; empty if it did not.
        notes: what had to be changed on the way in.
        seconds: the work on this photo itself, waiting excluded.
        size_hw: height and width of the photo in pixels; None if it could not be read.
        model: name and hash of the model.
        options: fingerprint of model and output options: the same means the same result.
        input_bytes, input_mtime_ns, input_sha256: the photo as it was read.
        written: every file ever written for this photo, with its last two SHA-256: what may be replaced.
    """

    input: str
    place: str = ""
    outputs: tuple[str, ...] = ()
    status: Literal["ok", "failed"] = "ok"
    reason: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    size_hw: tuple[int, int] | None = None
    model: str = ""
    options: str = ""
    input_bytes: int = 0
    input_mtime_ns: int = 0
    input_sha256: str = ""
    written: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """The photo was cut."""
        return self.status == "ok"


class Journal:
    """The rows of an output folder; the last row of a photo counts.

    A row is appended before its outputs get their names: a killed run leaves either no row, or a row whose files are
    missing, and both are done again. `compact` leaves one row a photo.
    """

    def __init__(self, out_dir: Path) -> None:
        self.path = out_dir / RESULTS_NAME
        self.rows: dict[str, Row] = {row.input: row for row in _read_rows(self.path)}
        self._lock = threading.Lock()

    def append(self, row: Row) -> None:
        """Record a row at once; a whole line in one write."""
        line = _line(row)
        with self._lock:
            self.rows[row.input] = row
            with self.path.open("ab") as file:
                file.write(line)

    def compact(self) -> None:
        """Rewrite the file with one row a photo, sorted by input, atomically."""
        rows = sorted(self.rows.values(), key=lambda row: row.input)
        write_atomic(self.path, b"".join(_line(row) for row in rows))

    def owners(self) -> dict[str, str]:
        """Output name to input path, of every output ever written here."""
        return {name: row.input for row in self.rows.values() for name in row.written}

    def places(self) -> dict[str, str]:
        """Input path to the place its outputs have."""
        return {row.input: row.place for row in self.rows.values()}


def is_done(row: Row | None, path: Path, out_dir: Path, *, options: str, outputs: Iterable[str]) -> bool:
    """True if a photo was cut with these options, has not changed since, and its outputs are there.

    Args:
        row: the photo's row of an earlier run.
        path: the photo.
        out_dir: the output folder.
        options: fingerprint of model and options now.
        outputs: the photo's output names now.
    """
    if row is None or not row.ok or row.options != options or tuple(outputs) != row.outputs:
        return False
    if not all((out_dir / name).is_file() for name in row.outputs):
        return False
    try:
        status = path.stat()
        if status.st_size != row.input_bytes:
            return False
        # Copying a folder changes times, not contents: only then is the content compared.
        return status.st_mtime_ns == row.input_mtime_ns or sha256_of(path) == row.input_sha256
    except OSError:
        return False


def may_replace(path: Path, hashes: Iterable[str]) -> bool:
    """True if there is no such file, or it is byte for byte what was written; False once somebody has worked on it."""
    return not path.exists() or sha256_of(path) in hashes


def fingerprint(*parts: Any) -> str:
    """Short hash of anything JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(row: Row) -> bytes:
    # surrogateescape: a file name that is not valid UTF-8 is still a file name.
    return (json.dumps(asdict(row), ensure_ascii=True) + "\n").encode()


def _read_rows(path: Path) -> Iterable[Row]:
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n"):
        try:
            content = json.loads(line)
            lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
            written = {name: tuple(hashes) for name, hashes in content.get("written", {}).items()}
            yield Row(**{**content, **lists, "written": written})
        except (ValueError, TypeError, AttributeError):
            continue  # the torn last line of a killed run, or a line of another version: that photo is done again
