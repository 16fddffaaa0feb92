"""Photos of paths and URLs, as listings show them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from garmentcut.cluster.storage import Found, LocalStorage, RemoteStorage, Storage, is_url, local_path, open_storage
from garmentcut.errors import SourceError
from garmentcut.photo.files import LOCK_NAME
from garmentcut.photo.read import PHOTO_SUFFIXES
from garmentcut.prediction.batch import OWN_FOLDER
from garmentcut.prediction.sources import find_sources


@dataclass(frozen=True)
class Photo:
    """A photo that was found.

    Attributes:
        input: absolute path, or URL.
        place: where it belongs below the target, without suffix: the tree is mirrored.
        num_bytes, mtime_ns, etag: see `garmentcut.cluster.storage.Found`.
        refused: why it cannot be worked on; empty: nothing is against it.
    """

    input: str
    place: PurePosixPath
    num_bytes: int = 0
    mtime_ns: int = 0
    etag: str = ""
    refused: str = ""

    @property
    def is_local(self) -> bool:
        """It is a file on this machine or on a share."""
        return not is_url(self.input)


def list_photos(inputs: Sequence[str], target: Storage) -> list[Photo]:
    """Photos named, and photos below folders and prefixes named, each once, in a stable order.

    Args:
        inputs: paths, or URLs; not both. Found is what `garmentcut.prediction.sources.find_sources` finds: hidden names
            and the targets of other runs are passed over; with several folders each one's own name comes first.
        target: not searched, if it lies inside an input.

    Raises:
        SourceError: an input does not exist or is the target itself, or there is no photo.
    """
    paths = [path for text in inputs if (path := local_path(text)) is not None]
    if paths and len(paths) < len(inputs):
        raise SourceError("give either paths or URLs: copy the photos into one place, or run once for each")
    if paths:
        out_dir = Path(target.url) if isinstance(target, LocalStorage) else Path("/nowhere")
        return [_local(source.path, source.place) for source in find_sources(paths, out_dir)]
    photos: dict[str, Photo] = {}
    for photo in _remote(inputs, target):
        photos.setdefault(photo.input, photo)
    if not photos:
        raise SourceError(f"no photos in {', '.join(inputs)}; looked for {' '.join(PHOTO_SUFFIXES)}")
    return list(photos.values())


def _local(path: Path, place: PurePosixPath) -> Photo:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # a row in a Parquet file could not name it
        readable = str(path).encode(errors="backslashreplace").decode()
        shown = PurePosixPath(str(place).encode(errors="backslashreplace").decode())
        return Photo(readable, shown, refused="its name is no valid Unicode; rename it")
    try:
        status = path.stat()
    except OSError:  # gone meanwhile: reading it will say so
        return Photo(str(path), place)
    return Photo(str(path), place, status.st_size, status.st_mtime_ns)


def _remote(inputs: Sequence[str], target: Storage) -> Iterator[Photo]:
    for given in inputs:
        storage = open_storage(given)
        assert isinstance(storage, RemoteStorage)
        if storage.url == target.url:
            raise SourceError(f"{given}: the output folder must not be the photos' folder; choose another --out")
        if (found := storage.info()) is not None:
            yield _photo(storage.url, PurePosixPath(PurePosixPath(storage.url).name), found)
            continue
        prefix = PurePosixPath(PurePosixPath(storage.url).name) if len(inputs) > 1 else PurePosixPath()
        listed = list(storage.walk())
        if not listed:
            raise SourceError(f"{given}: no such file or folder, or nothing in it")
        skipped = _targets_among(listed, storage, target)
        for found in listed:
            if _is_photo(found.name) and not any(found.name.startswith(folder) for folder in skipped):
                yield _photo(storage.url_of(found.name), prefix / found.name, found)


def _photo(url: str, name: PurePosixPath, found: Found) -> Photo:
    # Paths join `a//b` and `a/b`, which are two names in an object store.
    odd = any(part in ("", ".", "..") for part in found.name.split("/")) and found.name != ""
    refused = "its name holds `//`, `/./` or `/../`; rename it" if odd else ""
    place = PurePosixPath("refused") if odd else name.with_suffix("")
    return Photo(url, place, found.num_bytes, found.mtime_ns, found.etag, refused)


def _is_photo(name: str) -> bool:
    return name.lower().endswith(PHOTO_SUFFIXES) and not any(part.startswith(".") for part in name.split("/"))


def _targets_among(listed: Sequence[Found], storage: Storage, target: Storage) -> set[str]:
    """Prefixes below a source that hold cutouts, not photos; the source itself is searched though it were one."""
    marks = (f"/{OWN_FOLDER}/", f"/{LOCK_NAME}")
    skipped = {found.name.partition(mark)[0] + "/" for found in listed for mark in marks if mark in found.name}
    if target.url.startswith(f"{storage.url}/"):
        skipped.add(target.url[len(storage.url) + 1 :] + "/")
    return skipped
