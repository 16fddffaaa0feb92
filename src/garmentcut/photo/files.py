"""Files on disk: walks a folder's photos, refuses unfit ones before they are read, and writes atomically."""

import errno
import functools
import hashlib
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError

LOCK_NAME = ".garmentcut.lock"
"""Lies in every folder that garmentcut writes: holds other runs off, and tells that its pictures are no photos. Such a
folder is not searched, unless it is named itself."""

_JUNK = frozenset(
    {
        *("$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),  # Windows
        *(".spotlight-v100", ".trashes", ".fseventsd", ".temporaryitems", ".ds_store", "__macosx", "icon\r"),  # macOS
        *("@recycle", "@eadir", "#recycle", "#snapshot"),  # network drives
    }
)
# Measured by cutting photos of 16 megapixels: bytes of a pixel beside those that it is decoded to.
_WORK_BYTES, _DEEP_WORK_BYTES = 34, 46
_PHOTO_SHARE, _NO_LIMIT = 0.7, 1 << 62
_STAGED = ".garmentcut-{owner}-{token}.part"


def read_photo_bytes(path: Path, limits: ReadConfig) -> bytes:
    """Content of a regular file within `limits.max_mb`.

    Raises:
        PhotoError: missing, unreadable, not a regular file, empty or too large.
    """
    try:
        with open(path, "rb", opener=open_regular) as file:
            num_bytes = os.fstat(file.fileno()).st_size
            if num_bytes == 0:
                raise PhotoError("empty file; copy it again", code="empty")
            if num_bytes > limits.max_mb * 1_000_000:
                raise PhotoError(
                    f"{num_bytes / 1e6:.0f} MB: over read.max_mb = {limits.max_mb}; raise it if meant", code="too_large"
                )
            return file.read(num_bytes)  # no more, should the file grow while it is read
    except FileNotFoundError as error:
        raise PhotoError("no such file; check the path", code="missing") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        if isinstance(error, PhotoError):
            raise
        raise PhotoError(f"cannot be read: {getattr(error, 'strerror', None) or error}", code="unreadable") from error


def open_regular(path: str, flags: int) -> int:
    """Open a regular file, for `open`'s `opener`.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device or a folder.
    """
    # O_NONBLOCK: opening a named pipe must not wait for a writer. The type is checked on the opened file, so it cannot
    # be exchanged in between.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def read_regular_file(path: Path) -> bytes:
    """Content of one of garmentcut's own files in a folder where others write too.

    Raises:
        OSError: it cannot be read, or is a pipe or device, which may have no end.
    """
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def json_of(data: bytes | str) -> Any:
    """What a file of JSON says.

    Raises:
        ValueError: it is none, or nested very deeply.
    """
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def sha256_of(path: Path) -> str:
    """Of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is a pipe or device, which may have no end.
    """
    with open(path, "rb", opener=open_regular) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_junk(name: str) -> bool:
    """True for a file or folder that an operating system or a network drive left: no photo of a studio is in it."""
    return name.startswith("._") or name.casefold() in _JUNK  # ._x.jpg: what macOS keeps about x.jpg (AppleDouble)


def walk_files(
    root: Path,
    suffixes: tuple[str, ...],
    *,
    passed: Collection[Path] = (),
    on_error: Callable[[OSError], None],
    on_skip: Callable[[str, str], None] = lambda _path, _code: None,
) -> Iterator[str]:
    """Paths of the files in a folder and all below it, by name.

    Passed over are hidden files and folders, links to folders, output folders of garmentcut, and junk.

    Args:
        root: absolute path of the folder.
        suffixes: of the files wanted, lower case.
        passed: absolute paths of folders that are not searched.
        on_error: called for each folder that cannot be read; its path is the error's `filename`. The others go on.
        on_skip: called with the path of each file and folder that is passed over, and why: `junk`, `hidden`, `link` to
            a folder, output folder (`cutouts`), or another `suffix`; what is in such a folder is not reported.
    """
    for folder, subfolders, names in os.walk(root, onerror=on_error):
        # Not the methods of Path here: they raise where a folder may not be entered, which the walk then tells of.
        here, searched = Path(folder), list[str]()
        for name in sorted(subfolders):
            path = here / name
            if path in passed:
                continue
            if code := _skip_code(name) or ("link" if os.path.islink(path) else "") or _cutouts_code(path):  # noqa: PTH114
                on_skip(str(path), code)
            else:
                searched.append(name)
        subfolders[:] = searched
        for name in sorted(names):
            path_text = os.path.join(folder, name)  # noqa: PTH118 - a Path for each of 100,000 would take half the time
            if code := _skip_code(name) or ("" if name.lower().endswith(suffixes) else "suffix"):
                on_skip(path_text, code)
            else:
                yield path_text


def _skip_code(name: str) -> str:
    return "junk" if is_junk(name) else "hidden" if name.startswith(".") else ""


def _cutouts_code(folder: Path) -> str:
    return "cutouts" if os.path.exists(folder / LOCK_NAME) else ""  # noqa: PTH110


def check_size(
    width_px: int, height_px: int, limits: ReadConfig, *, channels: int = 3, bits: int = 8, num_bytes: int = 0
) -> None:
    """Refuse a picture by what its header declares, before anything of it is decoded.

    Args:
        width_px: as declared.
        height_px: as declared.
        limits: what the user accepts.
        channels: of a pixel as it is decoded.
        bits: of a channel.
        num_bytes: of the file, all of which is in memory.

    Raises:
        PhotoError: a side or the number of pixels is zero or over the limit, or it would take too much memory.
    """
    if width_px <= 0 or height_px <= 0:
        raise PhotoError(f"its header says {width_px}x{height_px} pixels; export it again", code="damaged")
    size = f"{width_px}x{height_px} pixels"
    if max(width_px, height_px) > limits.max_side_px:
        raise PhotoError(
            f"{size}: a side is over read.max_side_px = {limits.max_side_px}; raise it if meant", code="too_large"
        )
    if width_px * height_px > limits.max_megapixels * 1e6:
        raise PhotoError(
            f"{size}: over read.max_megapixels = {limits.max_megapixels:g}; raise it if meant", code="too_large"
        )
    work_bytes = _DEEP_WORK_BYTES if bits > 8 else _WORK_BYTES
    needed = num_bytes + width_px * height_px * (channels * -(-bits // 8) + work_bytes)  # a tenth to spare
    if needed > (limit := memory_limit(limits)):
        raise PhotoError(
            f"{size} of {channels} channels and {bits} bits take about {needed / 1e9:.1f} GB of memory, and one photo "
            f"may take {limit / 1e9:.1f}; make it smaller, or give it more memory (read.max_memory_mb)",
            code="no_memory",
        )


def memory_limit(limits: ReadConfig) -> int:
    """Bytes that one photo may take: what the user says, else seven tenths of what this process may have."""
    return limits.max_memory_mb * 1_000_000 if limits.max_memory_mb else int(_PHOTO_SHARE * _process_memory())


@functools.lru_cache(maxsize=1)
def _process_memory() -> int:
    """The machine's memory, or less where its container or service is given less."""
    found = [_NO_LIMIT]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        import resource

        found += [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit != resource.RLIM_INFINITY]
    except ImportError:  # Windows
        pass
    return min(found + list(_cgroup_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))))


def _cgroup_limits(membership: Path, root: Path) -> Iterator[int]:
    """Limits on this process' memory of its control group and those around it, of version 1 and 2."""
    try:
        lines = membership.read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, place = line.split(":", 2) if line.count(":") >= 2 else ("", "none", "")
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        names = ("memory.limit_in_bytes",) if controllers else ("memory.max", "memory.high")
        inner = PurePosixPath(place.lstrip("/"))
        for folder in (inner, *inner.parents):
            for name in names:
                try:
                    text = (top / folder / name).read_text().strip()
                except (OSError, ValueError):
                    continue
                if text.isdigit():
                    yield int(text)


class StagedFile:
    """A file written whole under a hidden name; `commit` gives it its own, in one step.

    Raises:
        OSError: the disk is full, the folder cannot be written, and so on; nothing is left behind.
    """

    def __init__(self, path: Path, data: bytes, *, owner: str = "", root: Path | None = None) -> None:
        """Write the bytes; folders are made as needed, but not `root`: where it is gone, it may be a mount point."""
        self.path = path
        if root is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            for folder in reversed(path.relative_to(root).parents[:-1]):
                (root / folder).mkdir(exist_ok=True)
        self._part = path.with_name(_STAGED.format(owner=owner, token=secrets.token_hex(8)))
        # Not tempfile: its files are private to the user (mode 0600), a cutout follows the user's umask.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(self._part, flags, 0o666), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # or a power cut could leave an empty file under the final name
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                error.filename = str(path)  # the hidden name tells nobody anything
            raise

    def commit(self) -> None:
        """Replace `path` by the staged bytes, atomically."""
        try:
            self._part.replace(self.path)
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                error.filename, error.filename2 = str(self.path), None
            raise

    def discard(self) -> None:
        """Remove the staged bytes; `path` stays as it was."""
        self._part.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes, *, root: Path | None = None) -> None:
    """Write a file so that nobody ever sees half of it; folders are made as needed, but not `root` itself.

    Raises:
        OSError: nothing was changed.
    """
    StagedFile(path, data, root=root).commit()


def remove_staged(folder: Path, owner: str = "", *, older_than_s: float | None = None) -> None:
    """Remove what a killed run of this owner left staged in a folder; nobody else's, and not in folders below.

    Args:
        folder: where the files would have got their names.
        owner: as of `StagedFile`.
        older_than_s: leave younger ones, which others of this owner may be writing; None: there are no others.
    """
    for part in folder.glob(_STAGED.format(owner=owner, token="*")):
        with suppress(FileNotFoundError):
            if older_than_s is None or time.time() - part.stat().st_mtime > older_than_s:
                part.unlink()
