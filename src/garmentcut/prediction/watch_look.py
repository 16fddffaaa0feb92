"""A look at the watched folders: every photo there, its size and its time."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from garmentcut.prediction.sources import SourceError, walk_photos


class Folder(NamedTuple):
    """A watched folder.

    Attributes:
        root: absolute path.
        prefix: stands first in its photos' places; empty if only one folder is watched.
    """

    root: Path
    prefix: PurePosixPath


class Found(NamedTuple):
    """A photo that is there; its path as text, for there may be 100,000."""

    folder: Folder
    path: str
    num_bytes: int
    mtime_ns: int


def watched_folders(inputs: Iterable[Path], out_dir: Path) -> list[Folder]:
    """The folders to watch.

    Raises:
        SourceError: one does not exist, is no folder, or is the output folder.
    """
    roots = list(dict.fromkeys(path.resolve() for path in inputs))
    for root in roots:
        if not root.is_dir():
            raise SourceError(f"{root}: --watch needs a folder that is there; make it, or mount it")
        if root == out_dir.resolve():
            raise SourceError(f"{root}: the output folder must not be the photos' folder; choose another --out")
    return [Folder(root, PurePosixPath(root.name) if len(roots) > 1 else PurePosixPath()) for root in roots]


def look_into(folders: Iterable[Folder], out_dir: Path, *, unreadable: list[OSError]) -> Iterator[Found]:
    """Every photo in the folders, each once.

    Args:
        folders: as `watched_folders` gives them.
        out_dir: absolute path; not searched.
        unreadable: gets what went wrong with folders that cannot be read now.
    """
    folders = list(folders)
    roots = {folder.root for folder in folders}
    for folder in folders:
        for path in walk_photos(folder.root, out_dir, on_error=unreadable.append):
            if len(roots) > 1 and _nearest(path, roots) != folder.root:
                continue  # a folder inside another one: its photos are its own
            try:
                status = os.stat(path)  # noqa: PTH116 - a Path for each of 100,000 would take half the time
            except OSError:
                continue  # gone again, or a broken link
            yield Found(folder, path, status.st_size, status.st_mtime_ns)


def _nearest(path: str, roots: set[Path]) -> Path | None:
    return next((parent for parent in Path(path).parents if parent in roots), None)
