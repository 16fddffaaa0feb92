"""Records which photos a folder run is working on, so that the next run knows which may have killed it."""

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from garmentcut.errors import RunError
from garmentcut.photo.files import read_regular_file, write_atomic

ATTEMPTS_NAME = ".garmentcut/attempts.jsonl"
"""Below the output folder; gone when a run ends by itself and no photo is suspected."""

_MOST_LINES = 3000  # before the file is written anew
_DEATHS_WHILE_READING, _DEATHS = 2, 3


@dataclass
class Attempt:
    """What is known of the attempts at one photo."""

    input: str  # path of the photo
    # The photo as it was: another one is not suspected.
    num_bytes: int = 0
    mtime_ns: int = 0
    stage: str = ""  # `read`, `work`, or empty: it is not under way
    # Runs that ended without a word while the photo was being read, or worked on.
    died_reading: int = 0
    died_working: int = 0

    @property
    def is_suspect(self) -> bool:
        """A run died while this photo was under way."""
        return self.died_reading + self.died_working > 0

    @property
    def is_guilty(self) -> bool:
        """So many runs died while it was under way that it is not tried again."""
        return self.died_reading >= _DEATHS_WHILE_READING or self.died_reading + self.died_working >= _DEATHS


class Attempts:
    """The photos under way in an output folder, and those with which runs died.

    A line is written before a photo is read, when it is decoded, and when it is finished. A process that the operating
    system kills, usually for want of memory, cannot say why. So the photos that the last lines leave under way are
    suspected, and tried one at a time after all others. A photo that was being read when two runs died is passed over.

    A file that cannot be written is no reason to stop.
    """

    def __init__(self, out_dir: Path, *, check: Callable[[], None] = lambda: None) -> None:
        """Read what the last run left; the folder's lock is held.

        Args:
            out_dir: the output folder.
            check: called before the file is written anew; raises, if the folder is not the one that was read any more.
        """
        self._out_dir, self._path, self._check = out_dir, out_dir / ATTEMPTS_NAME, check
        self._lock = threading.Lock()
        self._known: dict[str, Attempt] = {}
        self._descriptor = -1
        self._num_lines = 0
        with suppress(OSError):
            self._known = _read(self._path)
        for attempt in self._known.values():
            attempt.died_reading += attempt.stage == "read"
            attempt.died_working += attempt.stage == "work"
            attempt.stage = ""
        if self._known:
            with self._lock:
                self._rewrite()

    def find(self, path: Path) -> Attempt:
        """What is known of a photo as it is now; nothing if the file was changed since."""
        attempt = self._known.get(str(path))
        if attempt is None:
            return Attempt(str(path))
        with suppress(OSError):
            status = path.stat()
            if (status.st_size, status.st_mtime_ns) == (attempt.num_bytes, attempt.mtime_ns):
                return attempt
        return Attempt(str(path))

    def begin(self, path: Path) -> None:
        """The photo is about to be read."""
        attempt = self.find(path)
        with suppress(OSError):
            status = path.stat()
            attempt.num_bytes, attempt.mtime_ns = status.st_size, status.st_mtime_ns
        self._note(attempt, "read")

    def go_on(self, path: Path) -> None:
        """It has been read, and is worked on."""
        self._note(self._known.get(str(path)) or Attempt(str(path)), "work")

    def end(self, path: Path) -> None:
        """It is finished: no run died because of it."""
        with self._lock:
            if (attempt := self._known.pop(str(path), None)) is not None:
                self._write(Attempt(attempt.input))

    def let_go(self, path: Path) -> None:
        """It waits for others, and nothing of it is in memory."""
        with self._lock:
            if (attempt := self._known.get(str(path))) is not None and attempt.stage:
                attempt.stage = ""
                self._write(attempt)

    def close(self) -> None:
        """The run ends by itself: nothing is under way."""
        with self._lock:
            for attempt in self._known.values():
                attempt.stage = ""
            self._known = {path: attempt for path, attempt in self._known.items() if attempt.is_suspect}
            if self._descriptor >= 0:
                self._rewrite()

    def _note(self, attempt: Attempt, stage: str) -> None:
        with self._lock:
            attempt.stage = stage
            self._known[attempt.input] = attempt
            self._write(attempt)

    def _write(self, attempt: Attempt) -> None:
        with suppress(OSError):
            if self._descriptor < 0 or self._num_lines > _MOST_LINES:
                self._rewrite()
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            os.write(self._descriptor, _line(attempt))
            self._num_lines += 1

    def _rewrite(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._num_lines = 0
        with suppress(OSError, RunError):
            self._check()
            if self._known:
                write_atomic(self._path, b"".join(map(_line, self._known.values())), root=self._out_dir)
            else:
                self._path.unlink(missing_ok=True)


def _line(attempt: Attempt) -> bytes:
    return (json.dumps(asdict(attempt)) + "\n").encode()


def _read(path: Path) -> dict[str, Attempt]:
    """The last line of each photo that is under way or suspected; lines that are none are passed over."""
    found: dict[str, Attempt] = {}
    if not path.exists():
        return found
    kinds = {field.name: field.type for field in fields(Attempt)}
    for line in read_regular_file(path).split(b"\n"):
        try:
            content = json.loads(line)
            if not all(isinstance(content[name], str if kind is str else int) for name, kind in kinds.items()):
                continue
            attempt = Attempt(**{name: content[name] for name in kinds})
        except (ValueError, TypeError, LookupError, RecursionError):
            continue
        found[attempt.input] = attempt
    return {input: attempt for input, attempt in found.items() if attempt.stage or attempt.is_suspect}
