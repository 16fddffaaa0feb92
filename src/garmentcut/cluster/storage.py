"""Reads and writes whole files in a folder or an object store (fsspec): a cluster run's photos and its target."""

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from garmentcut.errors import SourceError
from garmentcut.photo.files import LOCK_NAME, is_junk, read_regular_file, write_atomic
from garmentcut.photo.read import PHOTO_SUFFIXES
from garmentcut.prediction.results import OWN_FOLDER
from garmentcut.prediction.sources import NotLookedAt, Skipped, find_sources

_T = TypeVar("_T")

_WAITS_S = (0.2, 1.0, 3.0, 10.0)
"""Between the tries of one request, on top of what the object store's own client repeats."""
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError, SourceError)
# A put there shows the whole object or none. Elsewhere (SFTP, SMB, HDFS) it is written beside and renamed.
_PUT_AT_ONCE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "r2", "memory"}
_TOO_LATE = (409, 412)  # 409: another one is under way
_CLIENT_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"retries": {"max_attempts": 3, "mode": "standard"}, "max_pool_connections": 64}},
}


@dataclass(frozen=True)
class StoredFile:
    """A file as a listing shows it."""

    name: str  # below the listed place, with `/`
    num_bytes: int  # its size
    mtime_ns: int  # when it was written; 0: the store does not say
    etag: str = ""  # the store's mark of its content; empty: it has none


@dataclass(frozen=True)
class Storage:
    """A folder that all machines see under the same path, or a prefix on a file system that fsspec knows.

    Requests to a store that fail for a reason that may pass are repeated.
    """

    url: str  # an absolute path, or a URL; without a slash at its end

    @property
    def folder(self) -> Path | None:
        """Its path, if it is a folder; None: it is a prefix in a store."""
        return None if is_url(self.url) else Path(self.url)

    def url_of(self, name: str) -> str:
        """Where a file below it is."""
        return f"{self.url}/{name}" if name else self.url

    def walk(self, below: str = "") -> Iterator[StoredFile]:
        """All files below it, or below one of its folders, hidden ones too; none if there is no such place."""
        if self.folder is not None:
            for file in (Path(here, name) for here, _, names in os.walk(self.folder / below) for name in names):
                if file.is_file():  # no broken link
                    status = file.stat()
                    yield StoredFile(file.relative_to(self.folder).as_posix(), status.st_size, status.st_mtime_ns)
            return
        (fs, root), (_, path) = self._at(), self._at(below)
        try:
            found = _persistently(lambda: fs.find(path, detail=True, withdirs=False))
        except FileNotFoundError:
            return
        for path, info in sorted(found.items()):
            if info.get("type") == "file" and not path.endswith("/"):  # a slash: a folder that a browser made
                yield _found(path[len(root) + 1 :], info)

    def info(self) -> StoredFile | None:
        """The object that the URL itself names; None if it names none."""
        fs, root = self._at()
        try:
            info = _persistently(lambda: fs.info(root))
        except FileNotFoundError:
            return None
        return _found("", info) if info.get("type") == "file" else None

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read, after several tries.
        """
        if self.folder is not None:
            return read_regular_file(self.folder / name)
        fs, path = self._at(name)
        return bytes(_persistently(lambda: fs.cat_file(path)))

    def put(self, name: str, data: bytes) -> None:
        """Write a file so that nobody ever sees half of it; what is there is replaced.

        Raises:
            OSError: it cannot be written, after several tries.
        """
        if self.folder is not None:
            write_atomic(self.folder / name, data)
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
        """Write a file that nobody else has: True for one of all who try at the same time.

        False may also mean that it was written, and the answer lost: read it and see whose it is.
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
                # A conditional put that came too late: botocore's answer, which s3fs has put into its own words.
                answer = getattr(error.__cause__, "response", None) or {}
                status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if isinstance(error, FileExistsError) or status in _TOO_LATE:
                    return False
                raise
            return True

        return _persistently(create)

    def delete(self, names: Iterable[str]) -> None:
        """Remove files; those that are gone already are no error."""
        for name in names:
            if self.folder is not None:
                (self.folder / name).unlink(missing_ok=True)
                continue
            fs, path = self._at(name)
            with suppress(FileNotFoundError):
                _persistently(functools.partial(fs.rm_file, path))

    def _at(self, name: str = "") -> tuple[Any, str]:
        """The store's file system, and a file's path there."""
        fs, root = _file_system(self.url)
        return fs, f"{root}/{name}" if name else root


@dataclass(frozen=True)
class StoredPhoto:
    """A photo that was found."""

    input: str  # absolute path, or URL
    place: PurePosixPath  # where it belongs below the target, without suffix: the tree is mirrored
    num_bytes: int = 0  # see `StoredFile`
    mtime_ns: int = 0
    etag: str = ""
    refused: str = ""  # why it cannot be worked on; empty: nothing is against it


def is_url(text: str) -> bool:
    """True for `s3://bucket/photos` and the like, `file://` too; False for a path."""
    return "://" in text and len(text.partition("://")[0]) > 1  # one letter would be a Windows drive


def local_path(text: str) -> Path | None:
    """The path that a path or a `file://` URL names; None for other URLs."""
    if not is_url(text):
        return Path(text)
    parts = urlsplit(text)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def open_storage(url: str) -> Storage:
    """The place that a path or URL names; nothing is read or made yet."""
    path = local_path(url)
    return Storage(url.rstrip("/") if path is None else str(path.resolve()))


def list_photos(inputs: Sequence[str], target: Storage, *, skipped: list[Skipped] | None = None) -> list[StoredPhoto]:
    """Photos named by paths, or by URLs, and those below folders and prefixes named, each once, in a stable order.

    Found is what `garmentcut.prediction.sources.find_sources` finds: hidden names, the target and those of other runs
    are passed over, into `skipped`; with several folders each one's own name comes first.

    Raises:
        SourceError: an input does not exist or is the target itself, or there is no photo.
    """
    skipped = [] if skipped is None else skipped
    paths = [path for text in inputs if (path := local_path(text)) is not None]
    if paths and len(paths) < len(inputs):
        raise SourceError("give either paths or URLs: copy the photos into one place, or run once for each")
    if paths:
        sources = find_sources(paths, target.folder or Path("/nowhere"), skipped=skipped)
        return [_local_photo(source.path, source.place) for source in sources]
    photos: dict[str, StoredPhoto] = {}
    for photo in _remote_photos(inputs, target, skipped):
        photos.setdefault(photo.input, photo)
    if not photos:
        others = NotLookedAt(skipped).as_text()
        looked_for = f"looked for {' '.join(PHOTO_SUFFIXES)}"
        raise SourceError(f"no photos in {', '.join(inputs)}; {looked_for}{others and f'; {others}'}")
    return list(photos.values())


def _local_photo(path: Path, place: PurePosixPath) -> StoredPhoto:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # a row in a Parquet file could not name it
        readable, shown = (str(name).encode(errors="backslashreplace").decode() for name in (path, place))
        return StoredPhoto(readable, PurePosixPath(shown), refused="its name is no valid Unicode; rename it")
    try:
        status = path.stat()
    except OSError:  # gone meanwhile: reading it will say so
        return StoredPhoto(str(path), place)
    return StoredPhoto(str(path), place, status.st_size, status.st_mtime_ns)


def _remote_photos(inputs: Sequence[str], target: Storage, skipped: list[Skipped]) -> Iterator[StoredPhoto]:
    for given in inputs:
        storage = open_storage(given)
        if storage.url == target.url:
            raise SourceError(f"{given}: the output folder must not be the photos' folder; choose another --out")
        own_name = PurePosixPath(PurePosixPath(storage.url).name)
        if (found := storage.info()) is not None:
            yield _remote_photo(storage, own_name, found)
            continue
        listed = list(storage.walk())
        if not listed:
            raise SourceError(f"{given}: no such file or folder, or nothing in it")
        targets = _targets_among(listed, storage, target)
        for found in listed:
            if found.name.startswith(targets):
                continue
            if code := _skip_code(found.name):
                skipped.append(Skipped.of_walk(storage.url_of(found.name), code))
            else:
                yield _remote_photo(storage, (own_name if len(inputs) > 1 else PurePosixPath()) / found.name, found)


def _skip_code(name: str) -> str:
    """As `walk_files` tells, of a name with all of its folders; empty: it is looked at."""
    parts = name.split("/")
    if any(map(is_junk, parts)):
        return "junk"
    if any(part.startswith(".") for part in parts):
        return "hidden"
    return "" if name.lower().endswith(PHOTO_SUFFIXES) else "suffix"


def _remote_photo(storage: Storage, name: PurePosixPath, found: StoredFile) -> StoredPhoto:
    # Paths join `a//b` and `a/b`, which are two names in an object store.
    odd = "" in found.name.split("/") and found.name != ""
    refused = "its name holds `//`, which no path can; rename it" if odd else ""
    place = PurePosixPath("refused") if odd else name.with_suffix("")
    return StoredPhoto(storage.url_of(found.name), place, found.num_bytes, found.mtime_ns, found.etag, refused)


def _targets_among(listed: Sequence[StoredFile], storage: Storage, target: Storage) -> tuple[str, ...]:
    """Prefixes below a source that hold cutouts, not photos; the source itself is searched though it were one."""
    marks = (f"/{OWN_FOLDER}/", f"/{LOCK_NAME}")
    skipped = {found.name.partition(mark)[0] + "/" for found in listed for mark in marks if mark in found.name}
    if target.url.startswith(f"{storage.url}/"):
        skipped.add(target.url[len(storage.url) + 1 :] + "/")
    return tuple(skipped)


@functools.lru_cache(maxsize=32)
def _file_system(url: str) -> tuple[Any, str]:
    """Fsspec's file system for a URL, and the URL's path there."""
    import fsspec

    scheme = urlsplit(url).scheme
    try:
        options = {"use_listings_cache": False, **_CLIENT_OPTIONS.get(scheme, {})}
        fs, root = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise SourceError(f"{url}: {scheme}:// cannot be opened: {error}") from error
    return fs, str(root).rstrip("/")


def _found(name: str, info: dict[str, Any]) -> StoredFile:
    changed = next(
        (info[key] for key in ("LastModified", "mtime", "updated", "last_modified", "created") if key in info), 0
    )
    moment = datetime.fromisoformat(changed) if isinstance(changed, str) else changed
    seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment or 0)
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    return StoredFile(name, int(info.get("size") or 0), round(seconds * 1000) * 1_000_000, etag)


def _persistently(request: Callable[[], _T]) -> _T:
    """Repeat a request that fails for a reason that may pass; requests here may be done twice without harm."""
    for wait_s in (*_WAITS_S, None):
        try:
            return request()
        except _FINAL:
            raise
        except Exception as error:
            if wait_s is None:
                raise OSError(f"{str(error) or type(error).__name__} (tried {len(_WAITS_S) + 1} times)") from error
            time.sleep(wait_s)
    raise AssertionError("unreachable")
