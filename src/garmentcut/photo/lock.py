"""The lock that a run holds on its folder; it notices when the folder goes away, and works on shares without locks."""

import errno
import json
import os
import re
import secrets
import socket
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from garmentcut.errors import LockLostError, LockTakenError
from garmentcut.photo.files import json_of, open_regular

_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS}
"""What a file system answers that has no locks: SMB, NFS without its lock daemon, many in user space."""
_TAKEN_FOR_DEAD_S = 120.0
_RENEWED_EVERY_S = 15.0
_ASKED_EVERY_S = 0.05


class FolderLock:
    """The right to write to a folder, for one process at a time; used as a context, or by `acquire` and `release`.

    The file stays when the lock is released: it also marks the folder. Where the file system has no locks, the holder
    makes a numbered file beside it, which a file system lets one process do, and renews it every 15 seconds. A holder
    that has not for two minutes, or whose process on this machine is gone, is taken for dead.

    >>> with FolderLock(Path("cutouts/.garmentcut.lock")) as lock:  # doctest: +SKIP
    ...     lock.check()

    Attributes:
        path: the lock's file.
        note: one sentence for people, where the file system has no locks; else empty.
    """

    def __init__(
        self, path: Path, *, timeout_s: float | None = None, renewed_every_s: float = _RENEWED_EVERY_S
    ) -> None:
        """Nothing is taken or written yet.

        Args:
            path: the lock's file.
            timeout_s: how long the context waits for another holder; None: for ever.
            renewed_every_s: where the file system has no locks.
        """
        self.path, self.note = path, ""
        self._timeout_s = timeout_s
        self._every_s = renewed_every_s
        self._token = ""
        self._descriptor = -1
        self._known: tuple[tuple[int, int], ...] = ()
        self._claim: Path | None = None
        self._lost = ""
        self._over = threading.Event()

    def __enter__(self) -> "FolderLock":
        """Wait for the lock and take it."""
        self.acquire(self._timeout_s)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """Give it back."""
        self.release()

    def acquire(self, timeout_s: float | None = 0.0) -> None:
        """Take the lock.

        Args:
            timeout_s: how long to wait for another holder; None: for ever.

        Raises:
            LockTakenError: it is still held.
            OSError: the folder cannot be written.
        """
        began = time.monotonic()
        while not self._try():
            if timeout_s is not None and time.monotonic() - began >= timeout_s:
                raise LockTakenError(f"{self.path.parent}: another run is at work there{self._holder()}")
            time.sleep(_ASKED_EVERY_S)

    @property
    def is_held(self) -> bool:
        """It was taken and not given back."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Give the lock back; without one, nothing happens."""
        self._drop_claim()
        if self._descriptor >= 0:
            os.close(self._descriptor)  # which unlocks it
            self._descriptor = -1
        self._token, self._known = "", ()

    def check(self) -> None:
        """Make sure that what is written into the folder now goes where the lock was taken.

        Raises:
            LockLostError: the folder was removed, replaced or unmounted, or another run has taken it.
        """
        folder = self.path.parent
        if self._lost:
            raise LockLostError(self._lost)
        try:
            found = _identity(folder.stat()), _identity(self.path.stat())
            # Some shares draw new inode numbers now and then: what the file says decides.
            if found == self._known or (self._token and self._token == _read(self.path).get("token")):
                self._known = found
                return
            what = "replaced by another"
        except OSError as error:
            what = "removed or unmounted" if isinstance(error, FileNotFoundError) else error.strerror or "lost"
        raise LockLostError(f"this is not the folder that the run began in: it was {what}")

    def _try(self) -> bool:
        descriptor, is_taken = open_regular(str(self.path), os.O_RDWR | os.O_CREAT), False
        try:
            is_taken = self._locked(descriptor) and self._sign(descriptor)
        finally:
            if not is_taken:
                os.close(descriptor)
                self._drop_claim()
        return is_taken

    def _sign(self, descriptor: int) -> bool:
        """Write down who holds the lock; False if the file was exchanged since it was opened."""
        opened = _identity(os.fstat(descriptor))
        try:
            if opened != _identity(self.path.stat()):
                return False
        except FileNotFoundError:
            return False
        self._token = secrets.token_hex(8)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, _signature(self._token))
        self._descriptor, self._lost = descriptor, ""
        self._known = _identity(self.path.parent.stat()), opened
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
        """Take the lock by a numbered file of which only one process can make the next."""
        number = max(self._claims(), default=0)
        if number and self._is_live(self._claim_path(number)):
            return False
        claim = self._claim_path(number + 1)
        try:
            descriptor = os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as file:
            file.write(_signature(""))
        if max(self._claims(), default=0) != number + 1:
            _remove(claim)
            return False
        for earlier in self._claims():
            if earlier <= number:
                _remove(self._claim_path(earlier))
        self._claim = claim
        self.note = (
            f"{self.path.parent}: its file system has no locks, so this run holds the folder by {claim.name}, which it"
            f" renews every {self._every_s:.0f} s"
        )
        self._over = threading.Event()
        threading.Thread(target=self._renew_for_ever, args=(claim, self._over), name="lock", daemon=True).start()
        return True

    def _claim_path(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number:06d}")

    def _claims(self) -> list[int]:
        pattern = re.compile(rf"{re.escape(self.path.name)}\.(\d{{6,}})")
        return [int(found[1]) for path in self.path.parent.iterdir() if (found := pattern.fullmatch(path.name))]

    def _is_live(self, claim: Path) -> bool:
        try:
            os.utime(self.path)  # by the share's own clock
            if self.path.stat().st_mtime - claim.stat().st_mtime > _TAKEN_FOR_DEAD_S:
                return False
        except FileNotFoundError:
            return False
        holder = _read(claim)
        return not holder or holder.get("host") != this_host() or is_running(holder.get("pid"))

    def _renew_for_ever(self, claim: Path, over: threading.Event) -> None:
        renewed, number = time.monotonic(), int(claim.name.rpartition(".")[2])
        while not over.wait(self._every_s):
            try:
                os.utime(claim)
                if max(self._claims(), default=0) == number:
                    renewed = time.monotonic()
                    continue
            except FileNotFoundError:
                pass
            except OSError:  # the share may be back before anyone takes this run for dead
                if time.monotonic() - renewed <= _TAKEN_FOR_DEAD_S:
                    continue
            if not over.is_set():
                self._lost = "another run has taken this folder"
            return

    def _holder(self) -> str:
        try:
            found = _read(self._claim_path(max(self._claims()))) or _read(self.path)
        except (OSError, ValueError):
            found = _read(self.path)
        pid, host = found.get("pid"), str(found.get("host", "")).partition("/")[0]
        return f" (process {pid} on {host})" if isinstance(pid, int) and host else ""


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # a byte behind what is read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:

    def _lock(descriptor: int) -> None:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _signature(token: str) -> bytes:
    return json.dumps({"token": token, "host": this_host(), "pid": os.getpid()}).encode()


def _read(path: Path) -> dict[str, object]:
    """What a lock's file says; nothing, if it cannot be read or says nothing."""
    try:
        content = json_of(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def this_host() -> str:
    """Name of the machine and which of its boots: after another boot no process of the last one runs."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def is_running(pid: object) -> bool:
    """Whether a process of this machine is, as far as can be told."""
    if not isinstance(pid, int) or pid <= 0 or sys.platform == "win32":  # where signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the share is gone, and the file with it
        return
