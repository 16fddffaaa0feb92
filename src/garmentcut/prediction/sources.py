"""Which photos a run is about, and what each one's outputs are called."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from garmentcut.errors import SourceError as SourceError
from garmentcut.photo.files import walk_files
from garmentcut.photo.read import PHOTO_SUFFIXES


@dataclass(frozen=True)
class Source:
    """A photo to cut.

    Attributes:
        path: absolute path of the photo.
        place: where it belongs below the output folder, without suffix: the tree is mirrored.
    """

    path: Path
    place: PurePosixPath


def find_sources(inputs: Iterable[Path], out_dir: Path) -> list[Source]:
    """Photos named, and photos in folders named, each once, in a stable order.

    Args:
        inputs: photos and folders. Folders are searched with all below them; hidden files and folders, links to
            folders and the output folders of other runs are passed over; a folder that cannot be read is found itself,
            so that reading it fails with a reason. With several folders each one's own name comes first in the tree.
        out_dir: not searched, if it lies inside an input.

    Raises:
        SourceError: an input does not exist, cannot be read or is the output folder itself, or there is no photo.
    """
    inputs, out_dir = [Path(path) for path in inputs], out_dir.resolve()
    folders = [path for path in inputs if path.is_dir()]
    found: dict[Path, Source] = {}
    for given in inputs:
        try:
            given.stat()
        except OSError as error:
            raise SourceError(f"{given}: {(error.strerror or 'cannot be read').lower()}") from error
        root = given.resolve()
        if root == out_dir:
            raise SourceError(f"{given}: the output folder must not be the photos' folder; choose another --out")
        prefix = PurePosixPath(root.name) if len(folders) > 1 else PurePosixPath()
        if given.is_dir():
            sources = list(_photos_below(root, out_dir, prefix))
        else:
            sources = [Source(root, PurePosixPath(given.stem))]  # a link's own name, not its target's
        for source in sources:
            found.setdefault(source.path, source)
    if not found:
        where = ", ".join(str(path) for path in inputs) or "nothing"
        raise SourceError(f"no photos in {where}; looked for {' '.join(PHOTO_SUFFIXES)}")
    return list(found.values())


def walk_photos(root: Path, out_dir: Path, *, on_error: Callable[[OSError], None]) -> Iterator[str]:
    """Paths of the photos in a folder and all below it, by name; see `find_sources` for what is passed over.

    Args:
        root: absolute path of the folder.
        out_dir: absolute path; not searched.
        on_error: told of each folder that cannot be read.
    """
    return walk_files(root, PHOTO_SUFFIXES, passed=(out_dir,), on_error=on_error)


def place_below(root: Path, path: str, prefix: PurePosixPath) -> Source:
    """A photo found in a folder.

    Args:
        root: absolute path of the folder.
        path: absolute path of the photo.
        prefix: stands first in its place.
    """
    found = Path(path)
    return Source(found, prefix / found.relative_to(root).with_suffix("").as_posix())


def _photos_below(root: Path, out_dir: Path, prefix: PurePosixPath) -> Iterator[Source]:
    unreadable: list[OSError] = []
    for path in walk_photos(root, out_dir, on_error=unreadable.append):
        yield place_below(root, path, prefix)
    for error in unreadable:
        yield place_below(root, error.filename, prefix)
