"""Files on disk: walks a folder, reads ahead and within limits, writes atomically, and locks a folder for one run."""

import errno
import hashlib
import json
import os
import re
import secrets
import socket
import stat
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any, TypeVar

from garmentcut.config import ReadConfig
from garmentcut.errors import LockTakenError, PhotoError

LOCK_NAME = ".garmentcut.lock"
"""Lies in every output folder: it keeps other runs out, and marks the pictures there as cutouts, not photos. Such a
folder is skipped when photos are searched, unless it was named itself."""

_JUNK = frozenset(  # made by operating systems and network drives; holds no photos
    {
        *("$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),  # Windows
        *(".spotlight-v100", ".trashes", ".fseventsd", ".temporaryitems", ".ds_store", "__macosx", "icon\r"),  # macOS
        # Network drives
        *("@recycle", "@eadir", "#recycle", "#snapshot", "@recently-snapshot", "network trash folder"),
    }
)
_STAGED = ".garmentcut-{owner}-{token}.part"


def read_photo_bytes(path: Path, limits: ReadConfig) -> bytes:
    """Content of a regular file; PhotoError: missing, unreadable, no regular file, empty or over `limits.max_mb`."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            num_bytes = os.fstat(file.fileno()).st_size
            check_size(num_bytes, limits)
            return file.read(num_bytes)  # no more, even if the file grows meanwhile
    except FileNotFoundError as error:
        raise PhotoError("no such file; check the path", code="missing") from error
    except PhotoError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise PhotoError(f"cannot be read: {getattr(error, 'strerror', None) or error}", code="unreadable") from error


def check_size(num_bytes: int, limits: ReadConfig) -> None:
    """Raise PhotoError if a photo's file is empty or over `limits.max_mb`."""
    if num_bytes == 0:
        raise PhotoError("empty file; copy it again", code="empty")
    if num_bytes > limits.max_mb * 1_000_000:
        message = f"{num_bytes / 1e6:.0f} MB: over read.max_mb = {limits.max_mb}; raise the limit if intended"
        raise PhotoError(message, code="too_large")


def open_regular(path: str, flags: int) -> int:
    """Open a regular file, for `open`'s `opener`; a pipe, a device or a folder raises OSError too."""
    # O_NONBLOCK: opening a named pipe must not wait for a writer. The type is checked on the opened file, so it cannot
    # be exchanged in between.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def read_regular_file(path: Path) -> bytes:
    """Read one of garmentcut's own files, where others may write too; OSError also for an endless pipe or device."""
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def json_of(data: bytes | str) -> Any:
    """Parse the content of a JSON file; ValueError also if it is nested very deeply."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal; OSError also for a pipe or device, which may have no end."""
    with open(path, "rb", opener=open_regular) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk_files(
    root: Path,
    suffixes: tuple[str, ...],
    *,
    passed: Collection[Path] = (),
    on_error: Callable[[OSError], None],
    on_skip: Callable[[str, str], None] = lambda _path, _code: None,
) -> Iterator[str]:
    """Paths of the files in a folder and its subfolders, sorted by name.

    Hidden files and folders, links to folders, output folders of garmentcut and junk are skipped.

    Args:
        root: absolute path of the folder.
        suffixes: suffixes of the wanted files, lower case.
        passed: absolute paths of further folders to skip.
        on_error: called for each folder that cannot be read; its path is the error's `filename`. The walk goes on.
        on_skip: called with the path of each skipped file or folder, and why: `junk`, `hidden`, `link` (to a folder),
            `cutouts` (an output folder) or `suffix` (another suffix). The contents of skipped folders are not reported.
    """
    for folder, subfolders, names in os.walk(root, onerror=on_error):
        # Path's methods raise if a folder may not be entered; os.walk reports that through `on_error`.
        here, searched = Path(folder), list[str]()
        for name in sorted(subfolders):
            path = here / name
            if path in passed:
                continue
            code = skip_code(name) or ("link" if os.path.islink(path) else "")  # noqa: PTH114
            if code := code or ("cutouts" if os.path.exists(path / LOCK_NAME) else ""):  # noqa: PTH110
                on_skip(str(path), code)
            else:
                searched.append(name)
        subfolders[:] = searched
        for name in sorted(names):
            path_text = os.path.join(folder, name)  # noqa: PTH118 - 100,000 Path objects would take half the time
            if code := skip_code(name) or ("" if name.lower().endswith(suffixes) else "suffix"):
                on_skip(path_text, code)
            else:
                yield path_text


def skip_code(name: str) -> str:
    """Why `walk_files` skips a file or folder of this name, `junk` or `hidden`; empty: it does not."""
    if name.startswith("._") or name.casefold() in _JUNK:  # ._x.jpg: what macOS keeps about x.jpg (AppleDouble)
        return "junk"
    return "hidden" if name.startswith(".") else ""


class NotLookedAt:
    """Counts what was skipped, for a summary; junk, hidden files, sidecar files and cutouts do not matter."""

    def __init__(self, skipped: Iterable[tuple[str, str]] = ()) -> None:
        """Count paths, each with the code that it was skipped for; `kinds` are by suffix, or `links to folders`."""
        skipped = list(skipped)
        listed = [one for one in skipped if one[1] not in ("junk", "hidden", "cutouts", "sidecar")]
        kinds = ("links to folders" if code == "link" else PurePath(path).suffix.lower() for path, code in listed)
        self.kinds = dict(sorted(Counter(kind or "without suffix" for kind in kinds).items()))
        self.num_files, self.num_junk = len(listed), sum(code in ("junk", "hidden") for _, code in skipped)

    def as_text(self) -> str:
        """What may matter, in one line; empty: nothing."""
        number = "1 file was" if self.num_files == 1 else f"{self.num_files} files were"
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.items())
        return f"{number} not looked at: {kinds}" if kinds else ""

    def lines(self, listed_in: str = "") -> Iterator[str]:
        """Lines of a summary; `listed_in` says where the files are listed, if they are."""
        if text := self.as_text():
            yield f"{text}{listed_in and f'; listed in {listed_in}'}"
        if number := self.num_junk:
            yield f"{number} hidden or left by operating systems (Thumbs.db, ._x.jpg and the like): skipped"

    def as_dict(self) -> dict[str, Any]:
        """The counts for machines."""
        return {"not_looked_at": self.num_files, "not_looked_at_kinds": self.kinds, "junk": self.num_junk}


class StagedFile:
    """A file written under a hidden name first; `commit` then renames it, in one step.

    Raises:
        OSError: the disk is full, the folder cannot be written, and so on; nothing is left behind.
    """

    def __init__(self, path: Path, data: bytes, *, owner: str = "", root: Path | None = None) -> None:
        """Write the bytes. Missing folders are created, but not `root`, which may be a disk that is not mounted."""
        self.path = path
        if root is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            for folder in reversed(path.relative_to(root).parents[:-1]):
                (root / folder).mkdir(exist_ok=True)
        self._part = path.with_name(_STAGED.format(owner=owner, token=secrets.token_hex(8)))
        # Not tempfile: its files have mode 0600, but cutouts should follow the user's umask.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with self._discarded_on_error(), os.fdopen(os.open(self._part, flags, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave an empty file under the final name

    def commit(self) -> None:
        """Replace `path` by the staged bytes, atomically."""
        with self._discarded_on_error():
            self._part.replace(self.path)

    @contextmanager
    def _discarded_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):  # the hidden name means nothing to users
                error.filename = str(self.path)
                del error.filename2  # None would show in the message
            raise

    def discard(self) -> None:
        """Remove the staged bytes; `path` stays as it was."""
        self._part.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes, *, root: Path | None = None) -> None:
    """Write a file atomically: all of it or, after an OSError, nothing. Creates missing folders, but not `root`."""
    StagedFile(path, data, root=root).commit()


def remove_staged(folder: Path, owner: str = "", *, older_than_s: float | None = None) -> None:
    """Remove the staged files that a killed run of this owner left in a folder, but not in its subfolders.

    Files younger than `older_than_s` stay, because other runs of this owner may be writing them; None: there are none.
    """
    for part in folder.glob(_STAGED.format(owner=owner, token="*")):
        with suppress(FileNotFoundError):
            if older_than_s is None or time.time() - part.stat().st_mtime > older_than_s:
                part.unlink()


_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS}
"""Errors from file systems without locks: SMB, NFS without its lock daemon, many FUSE file systems."""
TAKEN_FOR_DEAD_S, RENEWED_EVERY_S = 120.0, 15.0
"""Seconds without a sign of life after which a run is taken for dead; seconds between its signs of life."""
_POLL_S = 0.05


class FolderLock:
    """Lets only one process at a time write to a folder; a context manager, or use `acquire` and `release`.

    The lock file stays when the lock is released, because it also marks the folder. If the file system has no locks,
    the holder creates a numbered file beside it, which only one process can do, and touches that file every 15 seconds.
    A holder that has not done so for two minutes, or whose process on this machine is gone, is taken for dead.

    >>> with FolderLock(Path("cutouts/.garmentcut.lock")) as lock:  # doctest: +SKIP
    ...     lock.problem()

    Attributes:
        path: the lock file.
        note: one sentence for users if the file system has no locks; else empty.
    """

    def __init__(self, path: Path, *, timeout_s: float | None = None, renewed_every_s: float = RENEWED_EVERY_S) -> None:
        """Take and write nothing yet; on entry, `with` waits `timeout_s` for another holder (None: for ever)."""
        self.path, self.note = path, ""
        self._timeout_s, self._every_s = timeout_s, renewed_every_s
        self._token, self._lost = "", ""
        self._descriptor = -1
        self._known: tuple[tuple[int, int], ...] = ()
        self._claim: Path | None = None
        self._over = threading.Event()

    def __enter__(self) -> "FolderLock":
        self.acquire(self._timeout_s)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, timeout_s: float | None = 0.0) -> None:
        """Take the lock; wait up to `timeout_s` seconds for another holder (None: for ever).

        Raises:
            LockTakenError: it is still held.
            OSError: the folder cannot be written.
        """
        began = time.monotonic()
        while not self._try():
            if timeout_s is not None and time.monotonic() - began >= timeout_s:
                raise LockTakenError(f"{self.path.parent}: another run is at work there{self._holder()}")
            time.sleep(_POLL_S)

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Release the lock, if it is held."""
        self._drop_claim()
        if self._descriptor >= 0:
            os.close(self._descriptor)  # which unlocks it
            self._descriptor = -1
        self._token, self._known = "", ()

    def problem(self) -> str:
        """What happened to the folder since the lock was taken, in words; empty: it is still the same folder."""
        if self._lost:
            return self._lost
        try:
            found = _identity(self.path.parent.stat()), _identity(self.path.stat())
            # Some shares change inode numbers now and then, so the token in the file decides.
            if found == self._known or (self._token and self._token == _read(self.path).get("token")):
                self._known = found
                return ""
            what = "replaced by another"
        except OSError as error:
            what = "removed or unmounted" if isinstance(error, FileNotFoundError) else error.strerror or "lost"
        return f"this is not the folder that the run started in: it was {what}"

    def _try(self) -> bool:
        descriptor, is_taken = open_regular(str(self.path), os.O_RDWR | os.O_CREAT), False
        try:
            is_taken = self._locked(descriptor) and self._write_holder(descriptor)
        finally:
            if not is_taken:
                os.close(descriptor)
                self._drop_claim()
        return is_taken

    def _write_holder(self, descriptor: int) -> bool:
        """Write the holder into the lock file; False if the file was replaced since it was opened."""
        opened = os.fstat(descriptor)
        try:
            if not os.path.samestat(opened, self.path.stat()):
                return False
        except FileNotFoundError:
            return False
        self._token = secrets.token_hex(8)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, _holder_record(self._token))
        self._descriptor, self._lost = descriptor, ""
        self._known = _identity(self.path.parent.stat()), _identity(opened)
        return True

    def _drop_claim(self) -> None:
        self._over.set()
        if self._claim is not None:
            _remove(self._claim)
            self._claim = None

    def _locked(self, descriptor: int) -> bool:
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
                return False
            if error.errno not in _NO_LOCKS:
                raise
            return self._claimed()
        self.note = ""
        return True

    def _claimed(self) -> bool:
        """Take the lock by creating the next numbered file, which only one process can do."""
        earlier = self._claims()
        if earlier and self._is_live(earlier[-1]):
            return False
        number = int(earlier[-1].suffix[1:]) + 1 if earlier else 1
        claim = self.path.with_name(f"{self.path.name}.{number:06d}")
        try:
            with claim.open("xb") as file:
                file.write(_holder_record(""))
        except FileExistsError:
            return False
        if self._claims()[-1:] != [claim]:
            _remove(claim)
            return False
        _remove(*earlier)
        self._claim = claim
        how = f"so this run holds the folder by {claim.name}, which it renews every {self._every_s:.0f} s"
        self.note = f"{self.path.parent}: its file system has no locks, {how}"
        self._over = threading.Event()
        threading.Thread(target=self._renew_for_ever, args=(claim, self._over), name="lock", daemon=True).start()
        return True

    def _claims(self) -> list[Path]:
        """The numbered files beside the lock file, the last one's at the end."""
        name = re.compile(rf"{re.escape(self.path.name)}\.\d{{6}}")  # a share's own copies of them have longer names
        return sorted(path for path in self.path.parent.iterdir() if name.fullmatch(path.name))

    def _is_live(self, claim: Path) -> bool:
        with suppress(FileNotFoundError):
            os.utime(self.path)  # sets the time by the share's own clock
            is_recent = self.path.stat().st_mtime - claim.stat().st_mtime <= TAKEN_FOR_DEAD_S
            return is_recent and may_be_held(claim)
        return False

    def _renew_for_ever(self, claim: Path, over: threading.Event) -> None:
        renewed = time.monotonic()
        while not over.wait(self._every_s):
            try:
                os.utime(claim)
                if self._claims()[-1:] == [claim]:
                    renewed = time.monotonic()
                    continue
            except OSError as error:  # the share may be back before anyone takes this run for dead
                if not isinstance(error, FileNotFoundError) and time.monotonic() - renewed <= TAKEN_FOR_DEAD_S:
                    continue
            if not over.is_set():
                self._lost = "another run has taken this folder"
            return

    def _holder(self) -> str:
        found: dict[str, object] = {}
        with suppress(OSError):
            found = next(filter(None, map(_read, (*self._claims()[-1:], self.path))), {})
        pid, host = found.get("pid"), str(found.get("host", "")).partition("/")[0]
        return f" (process {pid} on {host})" if isinstance(pid, int) and host else ""


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # a byte beyond the content
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:

    def _lock(descriptor: int) -> None:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _holder_record(token: str) -> bytes:
    return json.dumps({"token": token, "host": this_host(), "pid": os.getpid()}).encode()


def may_be_held(path: Path) -> bool:
    """Whether the process that a lock's file names may be at work still, without trying the lock."""
    holder = _read(path)
    return not holder or holder.get("host") != this_host() or is_running(holder.get("pid"))


def _read(path: Path) -> dict[str, object]:
    """The content of a lock file; empty if it cannot be read or is not a JSON object."""
    try:
        content = json_of(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def this_host() -> str:
    """Name and boot id of the machine: after a reboot, no process of the previous boot is running."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def is_running(pid: object) -> bool:
    """Whether a process of this machine is running; True if that cannot be determined."""
    if not isinstance(pid, int) or pid <= 0 or sys.platform == "win32":  # on Windows, signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except OSError as error:  # otherwise it is another user's process
        return not isinstance(error, ProcessLookupError)
    return True


def _remove(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):  # the share is gone, and the file with it
            path.unlink(missing_ok=True)


_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def map_in_order(
    pool: Executor, step: Callable[[_Job], _Result], jobs: Iterable[_Job], *, num_ahead: int
) -> Generator[_Result, None, None]:
    """Yield the results of `step` in the order of the jobs, `num_ahead` of which are in progress: memory stays flat.

    Jobs that have not begun when the generator is closed are cancelled.
    """
    waiting: deque[Future[_Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(step, job))
            if len(waiting) > num_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
