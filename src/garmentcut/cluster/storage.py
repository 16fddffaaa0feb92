"""Where photos lie and cutouts go: a folder, or a prefix in an object store; whole files only, read and written."""

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from garmentcut.errors import SourceError
from garmentcut.photo.files import write_atomic

_T = TypeVar("_T")

_WAITS_S = (0.2, 1.0, 3.0, 10.0)
"""Between the tries of one request, on top of what the object store's own client repeats."""
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError, SourceError)
# A put there shows the whole object or none. Elsewhere (SFTP, SMB, HDFS) it is written beside and renamed.
_PUT_AT_ONCE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "r2", "memory"}
_TOO_LATE = (409, 412)
_CLIENT_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"retries": {"max_attempts": 3, "mode": "standard"}, "max_pool_connections": 64}},
}


@dataclass(frozen=True)
class Found:
    """A file as a listing shows it.

    Attributes:
        name: below the listed place, with `/`.
        num_bytes: its size.
        mtime_ns: when it was written; 0: the store does not say.
        etag: the store's mark of its content; empty: it has none.
    """

    name: str
    num_bytes: int
    mtime_ns: int
    etag: str = ""


class Storage(Protocol):
    """A place for files, known by its URL; may be sent to other processes."""

    @property
    def url(self) -> str:
        """An absolute path, or a URL; without a slash at its end."""
        ...

    def url_of(self, name: str) -> str:
        """Where a file below it is."""
        ...

    def walk(self, below: str = "") -> Iterator[Found]:
        """All files below it, or below one of its folders, hidden ones too; none if there is no such place."""
        ...

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read, after several tries.
        """
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write a file so that nobody ever sees half of it; what is there is replaced.

        Raises:
            OSError: it cannot be written, after several tries.
        """
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that nobody else has: True for one of all who try at the same time.

        False may also mean that it was written, and the answer lost: read it and see whose it is.
        """
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Remove files; those that are gone already are no error."""
        ...


def is_url(text: str) -> bool:
    """True for `s3://bucket/photos` and the like, `file://` too; False for a path."""
    return "://" in text and len(text.partition("://")[0]) > 1  # one letter would be a Windows drive


def local_path(text: str) -> Path | None:
    """The path that a path or a `file://` URL names; None for other URLs."""
    if not is_url(text):
        return Path(text)
    parts = urlsplit(text)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


@functools.lru_cache(maxsize=32)
def open_storage(url: str) -> Storage:
    """The place that a path or URL names; nothing is read or made yet.

    Raises:
        SourceError: no such kind of URL, or its package is not installed.
    """
    if (path := local_path(url)) is not None:
        return LocalStorage(str(path.resolve()))
    return RemoteStorage(url.rstrip("/"))


@dataclass(frozen=True)
class LocalStorage:
    """A folder, on this machine or on a share that all machines see under the same path."""

    url: str

    def url_of(self, name: str) -> str:
        """See `Storage`."""
        return str(Path(self.url, name))

    def walk(self, below: str = "") -> Iterator[Found]:
        """See `Storage`."""
        root = Path(self.url)
        for folder, _, files in os.walk(root / below):
            for file in files:
                path = Path(folder, file)
                if path.is_file():  # no broken link
                    status = path.stat()
                    yield Found(path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns)

    def read(self, name: str) -> bytes:
        """See `Storage`."""
        return Path(self.url, name).read_bytes()

    def put(self, name: str, data: bytes) -> None:
        """See `Storage`."""
        write_atomic(Path(self.url, name), data)

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage`."""
        path = Path(self.url, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        return True

    def delete(self, names: Iterable[str]) -> None:
        """See `Storage`."""
        for name in names:
            Path(self.url, name).unlink(missing_ok=True)


@dataclass(frozen=True)
class RemoteStorage:
    """A prefix in an object store, or a folder on any other file system that fsspec knows."""

    url: str

    def url_of(self, name: str) -> str:
        """See `Storage`."""
        return f"{self.url}/{name}" if name else self.url

    def walk(self, below: str = "") -> Iterator[Found]:
        """See `Storage`."""
        fs, root = self._opened()
        try:
            found = _persistently(lambda: fs.find(self._path(below), detail=True, withdirs=False))
        except FileNotFoundError:
            return
        for path, info in sorted(found.items()):
            name = path[len(root) :].lstrip("/")
            if info.get("type") == "file" and not path.endswith("/"):  # a slash: a folder that a browser made
                yield _found(name, info)

    def info(self) -> Found | None:
        """The file that the URL itself names; None if it names none."""
        fs, root = self._opened()
        try:
            info = _persistently(lambda: fs.info(root))
        except FileNotFoundError:
            return None
        return _found("", info) if info.get("type") == "file" else None

    def read(self, name: str) -> bytes:
        """See `Storage`."""
        fs, _ = self._opened()
        return bytes(_persistently(lambda: fs.cat_file(self._path(name))))

    def put(self, name: str, data: bytes) -> None:
        """See `Storage`."""
        fs, _ = self._opened()
        path = self._path(name)
        if urlsplit(self.url).scheme in _PUT_AT_ONCE:
            _persistently(lambda: fs.pipe_file(path, data))
            return
        part = str(PurePosixPath(path).with_name(f".{PurePosixPath(path).name}-{os.getpid()}.part"))

        def put_beside() -> None:
            fs.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            fs.pipe_file(part, data)
            fs.mv(part, path)

        _persistently(put_beside)

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage`."""
        fs, _ = self._opened()

        def create() -> bool:
            try:
                fs.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if _is_refusal(error):
                    return False
                raise
            return True

        return _persistently(create)

    def delete(self, names: Iterable[str]) -> None:
        """See `Storage`."""
        fs, _ = self._opened()
        for name in names:
            try:
                _persistently(functools.partial(fs.rm_file, self._path(name)))
            except FileNotFoundError:
                continue

    def _opened(self) -> tuple[Any, str]:
        return _file_system(self.url)

    def _path(self, name: str) -> str:
        return f"{self._opened()[1]}/{name}" if name else self._opened()[1]


@functools.lru_cache(maxsize=32)
def _file_system(url: str) -> tuple[Any, str]:
    import fsspec

    scheme = urlsplit(url).scheme
    try:
        options = {"use_listings_cache": False, **_CLIENT_OPTIONS.get(scheme, {})}
        fs, root = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise SourceError(f"{url}: {scheme}:// cannot be opened: {error}") from error
    return fs, str(root).rstrip("/")


def _found(name: str, info: dict[str, Any]) -> Found:
    changed = next(
        (info[key] for key in ("LastModified", "mtime", "updated", "last_modified", "created") if key in info), 0
    )
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    return Found(name, int(info.get("size") or 0), _nanoseconds(changed), etag)


def _nanoseconds(moment: Any) -> int:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment or 0)
    return round(seconds * 1000) * 1_000_000


def _is_refusal(error: OSError) -> bool:
    """A conditional put that came too late: 412, or 409 while another is under way."""
    # Ceph sends the status without a message, so what s3fs makes of it says nothing: its cause does.
    response = getattr(error.__cause__, "response", None) or {}
    if response.get("ResponseMetadata", {}).get("HTTPStatusCode") in _TOO_LATE:
        return True
    return any(word in str(error) for word in ("PreconditionFailed", "ConditionalRequestConflict", "412"))


def _persistently(request: Callable[[], _T]) -> _T:
    """Repeat a request that fails for a reason that may pass; requests here may be done twice without harm."""
    for wait_s in _WAITS_S:
        try:
            return request()
        except _FINAL:
            raise
        except Exception:  # noqa: BLE001 - every client library raises its own kinds when the network stumbles
            time.sleep(wait_s)
    try:
        return request()
    except _FINAL:
        raise
    except Exception as error:
        raise OSError(f"{str(error) or type(error).__name__} (tried {len(_WAITS_S) + 1} times)") from error
