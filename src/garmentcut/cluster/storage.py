"""Reads and writes whole files in a folder or an object store (fsspec): a cluster run's photos and its target."""

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import fsspec

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError, SourceError
from garmentcut.photo.files import LOCK_NAME, check_size, read_photo_bytes, read_regular_file, skip_code, write_atomic
from garmentcut.photo.read import PHOTO_SUFFIXES
from garmentcut.prediction.results import OWN_FOLDER, Row
from garmentcut.prediction.sources import Skipped, Source, find_sources, nothing_found

_T = TypeVar("_T")

_WAITS_S = (0.2, 1.0, 3.0, 10.0)
"""Pauses between the tries of a request, in addition to the retries of the object store's client."""
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError, SourceError)
# A put there is atomic. Elsewhere (SFTP, SMB, HDFS) a file is written under another name and renamed.
_PUT_AT_ONCE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "r2", "memory"}
_TOO_LATE = (409, 412)  # 409: another put is in progress
_CLIENT_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"retries": {"max_attempts": 3, "mode": "standard"}, "max_pool_connections": 64}},
}


@dataclass(frozen=True)
class Storage:
    """A folder with the same path on all machines, or a prefix on a file system that fsspec supports.

    Requests to a store that fail for a temporary reason are repeated.
    """

    url: str  # an absolute path or a URL, without a slash at its end

    @property
    def folder(self) -> Path | None:
        """Its path if it is a folder; None if it is a prefix in a store."""
        return None if is_url(self.url) else Path(self.url)

    def url_of(self, name: str) -> str:
        """Path or URL of a file below it."""
        return f"{self.url}/{name}" if name else self.url

    def walk(self, below: str = "") -> list[str]:
        """Names of all files, including hidden ones, below it or one of its folders; empty if that does not exist."""
        if self.folder is None:
            return list(self.listed(below))
        files = (Path(here, name) for here, _, names in os.walk(self.folder / below) for name in names)
        return [file.relative_to(self.folder).as_posix() for file in files if file.is_file()]  # not broken links

    def listed(self, below: str = "") -> dict[str, dict[str, Any]]:
        """As `walk` in a store, sorted, with fsspec's details; an empty name stands for the object of the URL."""
        (fs, root), (_, path) = self._at(), self._at(below)
        try:
            if not below and (itself := _persistently(lambda: fs.info(root)))["type"] == "file":
                return {"": itself}
            found = _persistently(lambda: fs.find(path, detail=True, withdirs=False))
        except FileNotFoundError:
            return {}
        files = ((path, info) for path, info in sorted(found.items()) if info.get("type") == "file")
        # Objects whose names end with a slash are folders made by store browsers.
        return {path[len(root) + 1 :]: info for path, info in files if not path.endswith("/")}

    def read(self, name: str, *, most_bytes: int = 0) -> bytes:
        """Content of a file; of one in a store at most the first `most_bytes`, unless it is 0.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read, after several tries.
        """
        if self.folder is not None:
            return read_regular_file(self.folder / name)
        fs, path = self._at(name)

        def read_first() -> bytes:  # without a range: some servers ignore it, others refuse it for an empty file
            content = bytearray()
            with fs.open(path, "rb") as file:
                while piece := file.read(most_bytes - len(content)):  # a stream gives what has arrived so far
                    content += piece
            return bytes(content)

        return _persistently(read_first) if most_bytes else bytes(_persistently(lambda: fs.cat_file(path)))

    def put(self, name: str, data: bytes) -> None:
        """Write a file atomically; an existing one is replaced. Raises OSError if several tries fail.

        The folder must exist, because it may be a share that is not mounted on this machine.
        """
        if self.folder is not None:
            write_atomic(self.folder / name, data, root=self.folder)
            return
        fs, path = self._at(name)
        if urlsplit(self.url).scheme in _PUT_AT_ONCE:
            _persistently(lambda: fs.pipe_file(path, data))
            return
        folder, _, last = path.rpartition("/")
        part = f"{folder}/.{last}-{os.getpid()}.part"

        def put_beside() -> None:
            fs.makedirs(folder, exist_ok=True)
            fs.pipe_file(part, data)
            fs.mv(part, path)

        _persistently(put_beside)

    def create(self, name: str, data: bytes) -> bool:
        """Create a file unless it exists; of several processes that try at the same time, exactly one gets True.

        False may also mean that the file was written but the response was lost: read it to see whose it is.
        """
        if self.folder is not None:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as file:
                    file.write(data)
            except FileExistsError:
                return False
            return True
        fs, there = self._at(name)

        def create() -> bool:
            try:
                fs.pipe_file(there, data, mode="create")
            except OSError as error:
                # A conditional put that came too late: botocore's error, which s3fs has wrapped in its own.
                answer = getattr(error.__cause__, "response", None) or {}
                status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if isinstance(error, FileExistsError) or status in _TOO_LATE:
                    return False
                raise
            return True

        return _persistently(create)

    def delete(self, name: str) -> None:
        """Remove a file; it is not an error if it does not exist."""
        if self.folder is not None:
            (self.folder / name).unlink(missing_ok=True)
            return
        fs, path = self._at(name)
        with suppress(FileNotFoundError):
            _persistently(lambda: fs.rm_file(path))

    def _at(self, name: str = "") -> tuple[Any, str]:
        """The store's file system, and a file's path in it."""
        fs, root = _file_system(self.url)
        return fs, f"{root}/{name}" if name else root


def is_url(text: str) -> bool:
    """True for `s3://bucket/photos` and the like, `file://` too; False for a path."""
    return "://" in text and len(text.partition("://")[0]) > 1  # a single letter is a Windows drive


def local_path(text: str) -> Path | None:
    """The path that a path or a `file://` URL names; None for other URLs."""
    if not is_url(text):
        return Path(text)
    parts = urlsplit(text)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def open_storage(url: str) -> Storage:
    """The storage that a path or URL names; nothing is read or created yet."""
    path = local_path(url)
    return Storage(url.rstrip("/") if path is None else str(path.resolve()))


def list_photos(inputs: Sequence[str], target: Storage, *, skipped: list[Skipped] | None = None) -> list[Row]:
    """List photos by paths or URLs of files, folders and prefixes, each photo once, in a stable order.

    As in `garmentcut.prediction.sources.find_sources`, hidden names, the target and targets of other runs are skipped
    and added to `skipped`; with several folders, places begin with the folder's own name. Returns a row per photo with
    its location, its place below the target and its details in the listing; `failed` if its name cannot be used.

    Raises:
        SourceError: an input does not exist or is the target itself, or there is no photo.
    """
    skipped = [] if skipped is None else skipped
    paths = [path for text in inputs if (path := local_path(text)) is not None]
    if paths and len(paths) < len(inputs):
        raise SourceError("do not mix paths and URLs: copy the photos into one place, or run once for each")
    if paths:
        return [_local_photo(each) for each in find_sources(paths, target.folder or Path("/nowhere"), skipped=skipped)]
    photos: dict[str, Row] = {}
    for photo in _remote_photos(inputs, target, skipped):
        photos.setdefault(photo.input, photo)
    if not photos:
        raise nothing_found(inputs, skipped)
    return list(photos.values())


def _local_photo(source: Source) -> Row:
    readable = str(source.path).encode(errors="backslashreplace").decode()
    if readable != str(source.path):  # cannot be stored in a Parquet file
        return _refused(readable, "its name is no valid Unicode; rename it")
    row = Row(str(source.path), str(source.place))
    with suppress(OSError):  # gone meanwhile, which reading it will report
        status = source.path.stat()
        row = replace(row, input_bytes=status.st_size, input_mtime_ns=status.st_mtime_ns)
    return row


def _remote_photos(inputs: Sequence[str], target: Storage, skipped: list[Skipped]) -> Iterator[Row]:
    for given in inputs:
        storage = open_storage(given)
        if storage.url == target.url:
            raise SourceError(f"{given}: the output folder must not be the photos' folder; choose another --out")
        listed = storage.listed()
        if not listed:
            raise SourceError(f"{given}: no such file or folder, or nothing in it")
        targets, own_name = _targets_among(listed, storage, target), PurePosixPath(storage.url).name
        for name, info in listed.items():
            suffix = PurePosixPath(name).suffix.lower()
            codes = [*map(skip_code, name.split("/")), "" if not name or suffix in PHOTO_SUFFIXES else "suffix"]
            if name.startswith(targets):
                continue
            if code := next(filter(None, codes), ""):
                skipped.append(Skipped.of_walk(storage.url_of(name), code))
            elif name and "" in name.split("/"):  # `a//b` and `a/b` are different objects but the same path
                yield _refused(storage.url_of(name), "its name holds `//`, which no path can; rename it")
            else:
                place = PurePosixPath(own_name if len(inputs) > 1 or not name else "", name).with_suffix("")
                yield _remote_photo(storage.url_of(name), place, info)


def _remote_photo(url: str, place: PurePosixPath, info: Mapping[str, Any]) -> Row:
    changed = next(
        (info[key] for key in ("LastModified", "mtime", "updated", "last_modified", "created") if key in info), 0
    )
    moment = datetime.fromisoformat(changed) if isinstance(changed, str) else changed
    seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment or 0)
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    num_bytes, mtime_ns = int(info.get("size") or 0), round(seconds * 1000) * 1_000_000
    return Row(url, str(place), input_bytes=num_bytes, input_mtime_ns=mtime_ns, input_etag=etag)


def _refused(input: str, reason: str) -> Row:
    return Row(input, status="failed", code="bad_name", reason=reason)


def read_photo(photo: Row, limits: ReadConfig) -> bytes:
    """Content of a photo that `list_photos` found.

    Raises:
        PhotoError: it is missing, too large, and so on.
        OSError: it cannot be read, after several tries.
    """
    if not is_url(photo.input):
        return read_photo_bytes(Path(photo.input), limits)
    check_size(photo.input_bytes or 1, limits)  # 0: it is empty, or the store does not report sizes
    try:
        content = open_storage(photo.input).read("", most_bytes=limits.max_mb * 1_000_000 + 1)
    except FileNotFoundError as error:
        raise PhotoError("no such file; it was removed after it was listed", code="missing") from error
    check_size(len(content), limits)
    return content


def _targets_among(listed: Iterable[str], storage: Storage, target: Storage) -> tuple[str, ...]:
    """Prefixes below a source that hold cutouts instead of photos; the source itself is always searched."""
    marks = (f"/{OWN_FOLDER}/", f"/{LOCK_NAME}")
    skipped = {name.partition(mark)[0] + "/" for name in listed for mark in marks if mark in name}
    if target.url.startswith(f"{storage.url}/"):
        skipped.add(target.url[len(storage.url) + 1 :] + "/")
    return tuple(skipped)


@functools.lru_cache(maxsize=32)
def _file_system(url: str) -> tuple[Any, str]:
    """Fsspec's file system for a URL, and the URL's path in it."""
    scheme = urlsplit(url).scheme
    try:
        options = {"use_listings_cache": False, **_CLIENT_OPTIONS.get(scheme, {})}
        fs, root = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise SourceError(f"{url}: {scheme}:// cannot be opened: {error}") from error
    return fs, str(root).rstrip("/")


def _persistently(request: Callable[[], _T]) -> _T:
    """Repeat a request that fails for a temporary reason; the request must be safe to repeat."""
    waits_s = iter(_WAITS_S)
    while True:
        try:
            return request()
        except _FINAL:
            raise
        except Exception as error:
            if (wait_s := next(waits_s, None)) is None:
                raise OSError(f"{str(error) or type(error).__name__} (tried {len(_WAITS_S) + 1} times)") from error
            time.sleep(wait_s)
