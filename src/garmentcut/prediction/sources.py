"""Finds the photos that a run is to cut, and lists what lies among them but is skipped, with the reason."""

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from garmentcut.errors import SKIPPED, SourceError
from garmentcut.photo.files import walk_files, write_atomic
from garmentcut.photo.read import PHOTO_SUFFIXES

SKIPPED_NAME = ".garmentcut/skipped.jsonl"
"""Below the output folder: what the last run passed over, a line each."""


def _suffixes(text: str) -> frozenset[str]:
    return frozenset(f".{suffix}" for suffix in text.split())


_RAW_SUFFIXES = _suffixes(
    "3fr ari arw bay cap cr2 cr3 crw dcr dng eip erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf pef ptx r3d raf"
    " raw rw2 rwl sr2 srf srw x3f"
)
_SIDECAR_SUFFIXES = _suffixes("xmp cos comask cot cop cof")
_OTHER_SUFFIXES = _suffixes(
    "ai avi avif bmp cin dcm eps exr gif hdr heic heif hif ico j2k jfif jp2 jpf jxl jxr m4v mkv mov mp4 mts pcx pdf pic"
    " pict psb psd svg tga wdp webm wmv xcf"
)


@dataclass(frozen=True)
class Source:
    """A photo to cut."""

    path: Path  # absolute path of the photo
    place: PurePosixPath  # where it belongs below the output folder, without suffix: the tree is mirrored


class Skipped(NamedTuple):
    """A file or folder that was not looked at; `code` is a key of `garmentcut.errors.SKIPPED`."""

    path: str
    code: str

    @classmethod
    def of_walk(cls, path: str, code: str) -> "Skipped":
        """The kind of a file or folder that `walk_files` passed over; of another suffix, which kind of file it is."""
        if code != "suffix":
            return cls(path, code)
        suffix = PurePath(path).suffix.lower()
        kinds = {"camera_raw": _RAW_SUFFIXES, "sidecar": _SIDECAR_SUFFIXES, "other_format": _OTHER_SUFFIXES}
        return cls(path, next((code for code, suffixes in kinds.items() if suffix in suffixes), "no_picture"))


class NotLookedAt:
    """Counts what was skipped, for a summary.

    Attributes:
        num_files: files that may hold something and were not looked at; junk, hidden files, sidecar files and cutouts
            are none.
        kinds: their number by suffix, `links to folders` being one kind.
        num_junk: files and folders that operating systems left or hid.
    """

    def __init__(self, skipped: Iterable[Skipped] = ()) -> None:
        skipped = list(skipped)
        listed = [one for one in skipped if one.code not in ("junk", "hidden", "cutouts", "sidecar")]
        self.num_files = len(listed)
        self.kinds = dict(sorted(Counter(map(_kind_of, listed)).items()))
        self.num_junk = sum(one.code in ("junk", "hidden") for one in skipped)

    def as_text(self) -> str:
        """One line; empty: nothing was passed over that may matter."""
        if not self.num_files:
            return ""
        number = "1 file was" if self.num_files == 1 else f"{self.num_files} files were"
        return f"{number} not looked at: {', '.join(f'{kind} {count}' for kind, count in self.kinds.items())}"


def find_sources(inputs: Iterable[Path], out_dir: Path, *, skipped: list[Skipped] | None = None) -> list[Source]:
    """The photos that were named, and those in folders that were named; each once, in a stable order.

    Args:
        inputs: photos and folders. Folders are searched with all below them; hidden files and folders, junk, links to
            folders and the output folders of other runs are passed over; a folder that cannot be read is found itself,
            so that reading it fails with a reason. With several folders each one's own name comes first in the tree.
        out_dir: not searched, if it lies inside an input.
        skipped: gets what is passed over.

    Raises:
        SourceError: an input does not exist or is the output folder itself, or there is no photo.
    """
    inputs, out_dir = [Path(path) for path in inputs], out_dir.resolve()
    passed_over: list[Skipped] = [] if skipped is None else skipped
    are_folders = {given: _is_folder(given) for given in inputs}
    found: dict[Path, Source] = {}
    for given in inputs:
        root = Path(os.path.realpath(given))
        if root == out_dir:
            raise SourceError(f"{given}: the output folder must not be the photos' folder; choose another --out")
        if are_folders[given]:
            prefix = PurePosixPath(root.name) if sum(are_folders.values()) > 1 else PurePosixPath()
            sources = list(_photos_below(root, out_dir, prefix, passed_over))
        else:
            sources = [Source(root, PurePosixPath(given.stem))]  # a link's own name, not its target's
        for source in sources:
            found.setdefault(source.path, source)
    if not found:
        where = ", ".join(str(path) for path in inputs) or "nothing"
        others = NotLookedAt(passed_over).as_text()
        raise SourceError(
            f"no photos in {where}; looked for {' '.join(PHOTO_SUFFIXES)}{f'; {others}' if others else ''}"
        )
    return list(found.values())


def walk_photos(
    root: Path,
    out_dir: Path,
    *,
    on_error: Callable[[OSError], None],
    on_skip: Callable[[Skipped], None] = lambda _skipped: None,
) -> Iterator[str]:
    """Paths of the photos in a folder and all below it, by name; see `find_sources` for what is passed over.

    Args:
        root: absolute path of the folder.
        out_dir: absolute path; not searched.
        on_error: called for each folder that cannot be read.
        on_skip: called for what is passed over.
    """
    return walk_files(
        root,
        PHOTO_SUFFIXES,
        passed=(out_dir,),
        on_error=on_error,
        on_skip=lambda path, code: on_skip(Skipped.of_walk(path, code)),
    )


def place_below(root: Path, path: str, prefix: PurePosixPath) -> Source:
    """A photo found in a folder.

    Args:
        root: absolute path of the folder.
        path: absolute path of the photo.
        prefix: stands first in its place.
    """
    found = Path(path)
    return Source(found, prefix / found.relative_to(root).with_suffix("").as_posix())


def folder_below(root: Path, path: str, prefix: PurePosixPath) -> Source:
    """A folder that cannot be read, as if it were a photo, so that it gets a row; its place is no photo's."""
    found = Path(path)
    return Source(found, prefix / found.relative_to(root).parent / f"{found.name} (folder)")


class Sidecar(NamedTuple):
    """A file in which Lightroom or Capture One keeps what was done to a photo."""

    path: Path  # absolute path
    suffix: str  # what its name has behind the photo's: `.xmp`, `.cos`
    folder: str = ""  # it lies in, below the photo's; empty: beside the photo
    # Its name begins with the photo's whole name, `IMG_1.jpg.cos`, not with `IMG_1` alone.
    is_named_in_full: bool = True

    def name_beside(self, output: str) -> str:
        """What it is called beside a photo's output, relative to the output folder."""
        place = PurePosixPath(output)
        return str(place.parent / self.folder / f"{place.name if self.is_named_in_full else place.stem}{self.suffix}")

    @property
    def is_adjustments(self) -> bool:
        """It holds crops and masks in the photo's frame, so it fits no cutout of another frame."""
        return bool(self.folder)


def find_sidecars(photo: Path) -> list[Sidecar]:
    """A photo's sidecar files: `NAME.xmp` and `NAME.jpg.xmp` beside it, `CaptureOne/Settings*/NAME.jpg.*`.

    Links are none, for they may lead anywhere.

    Args:
        photo: absolute path; of a folder that cannot be read, there are none.
    """
    parent, found = photo.parent, list[Sidecar]()
    for start in (photo.stem, photo.name):
        for suffix in (".xmp", ".XMP"):
            path = parent / f"{start}{suffix}"
            if _is_plain(path) and not any(path.samefile(one.path) for one in found):
                found.append(Sidecar(path, ".xmp", is_named_in_full=start == photo.name))
    for folder in capture_one_folders(parent):
        with suppress(OSError):
            names = sorted(name for name in os.listdir(folder) if name.startswith(f"{photo.name}."))  # noqa: PTH208
            within = folder.relative_to(parent).as_posix()
            found += [
                Sidecar(folder / name, name[len(photo.name) :], within) for name in names if _is_plain(folder / name)
            ]
    return found


def capture_one_folders(folder: Path) -> list[Path]:
    """Where Capture One keeps the adjustments of a folder's photos, one for each of its versions that was used."""
    above = folder / "CaptureOne"
    with suppress(OSError):
        return sorted(path for path in above.glob("Settings*") if not (above.is_symlink() or path.is_symlink()))
    return []


def _is_plain(path: Path) -> bool:
    # Not the methods of Path: they raise where a folder may not be entered.
    return os.path.isfile(path) and not os.path.islink(path)  # noqa: PTH113, PTH114


def write_skipped(out_dir: Path, skipped: Iterable[Skipped]) -> None:
    """Write what a run passed over, or remove what an earlier one did.

    Raises:
        OSError: it cannot be written.
    """
    if lines := skipped_lines(skipped):
        write_atomic(out_dir / SKIPPED_NAME, lines, root=out_dir)
    else:
        (out_dir / SKIPPED_NAME).unlink(missing_ok=True)


def skipped_lines(skipped: Iterable[Skipped]) -> bytes:
    """What was skipped, as lines of JSON."""
    contents = ({"path": one.path, "code": one.code, "reason": SKIPPED[one.code]} for one in sorted(skipped))
    return "".join(json.dumps(content) + "\n" for content in contents).encode()


def _photos_below(root: Path, out_dir: Path, prefix: PurePosixPath, skipped: list[Skipped]) -> Iterator[Source]:
    unreadable: list[OSError] = []
    for path in walk_photos(root, out_dir, on_error=unreadable.append, on_skip=skipped.append):
        yield place_below(root, path, prefix)
    for error in unreadable:
        yield folder_below(root, error.filename, prefix)


def _is_folder(given: Path) -> bool:
    try:
        return stat.S_ISDIR(given.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a path with a zero byte
        raise SourceError(f"{given}: {(getattr(error, 'strerror', None) or str(error)).lower()}") from error
    except OSError:  # reading it will say why
        return False


def _kind_of(skipped: Skipped) -> str:
    if skipped.code == "link":
        return "links to folders"
    return PurePath(skipped.path).suffix.lower() or "without suffix"
