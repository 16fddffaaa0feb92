"""Finds the photos that a run is to cut, their sidecar files, and what is skipped among them; names the outputs."""

import json
import os
import re
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePath, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from garmentcut.config import Format, OutputConfig
from garmentcut.errors import SKIPPED, ConfigError, SourceError
from garmentcut.naming import DEFAULT_PATTERN, FORMATS, VIEWS, NamePattern
from garmentcut.photo.files import walk_files, write_atomic
from garmentcut.photo.read import PHOTO_SUFFIXES
from garmentcut.photo.spec import FilledPattern, Output, Specification, Subject, fill_pattern

SKIPPED_NAME = ".garmentcut/skipped.jsonl"
"""Below the output folder: what the last run passed over, a line each."""

_NUMBERED = re.compile(r"(.+)-\d+", re.DOTALL)
_STUDIO_PATTERN = NamePattern(DEFAULT_PATTERN)
_KINDS = {
    "camera_raw": "3fr ari arw bay cap cr2 cr3 crw dcr dng eip erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf pef"
    " ptx r3d raf raw rw2 rwl sr2 srf srw x3f",
    "sidecar": "xmp cos comask cot cop cof",
    "other_format": "ai avi avif bmp cin dcm eps exr gif hdr heic heif hif ico j2k jfif jp2 jpf jxl jxr m4v mkv mov mp4"
    " mts pcx pdf pic pict psb psd svg tga wdp webm wmv xcf",
}
_KIND_OF_SUFFIX = {f".{suffix}": kind for kind, suffixes in _KINDS.items() for suffix in suffixes.split()}


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
        if code == "suffix":
            code = _KIND_OF_SUFFIX.get(PurePath(path).suffix.lower(), "no_picture")
        return cls(path, code)


class Folder(NamedTuple):
    """A folder that is searched for photos."""

    root: Path  # absolute path
    prefix: PurePosixPath  # stands first in its photos' places; empty if only one folder is searched

    def walk(
        self, out_dir: Path, *, on_error: Callable[[OSError], None], on_skip: Callable[[Skipped], None]
    ) -> Iterator[str]:
        """Paths of the photos in it and all below, by name; see `find_sources` for what is passed over."""

        def skip(path: str, code: str) -> None:
            on_skip(Skipped.of_walk(path, code))

        return walk_files(self.root, PHOTO_SUFFIXES, passed=(out_dir,), on_error=on_error, on_skip=skip)

    def photo_at(self, path: str) -> Source:
        """A photo in it."""
        found = Path(path)
        return Source(found, self.prefix / found.relative_to(self.root).with_suffix("").as_posix())

    def folder_at(self, path: str) -> Source:
        """A folder in it that cannot be read, as if it were a photo, so that it gets a row; its place is no photo's."""
        found = Path(path)
        return Source(found, self.prefix / found.relative_to(self.root).parent / f"{found.name} (folder)")


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
        kinds = ("links to folders" if code == "link" else PurePath(path).suffix.lower() for path, code in listed)
        self.kinds = dict(sorted(Counter(kind or "without suffix" for kind in kinds).items()))
        self.num_junk = sum(one.code in ("junk", "hidden") for one in skipped)

    def as_text(self) -> str:
        """One line; empty: nothing was passed over that may matter."""
        if not self.num_files:
            return ""
        number = "1 file was" if self.num_files == 1 else f"{self.num_files} files were"
        return f"{number} not looked at: {', '.join(f'{kind} {count}' for kind, count in self.kinds.items())}"


def find_sources(inputs: Iterable[Path], out_dir: Path, *, skipped: list[Skipped] | None = None) -> list[Source]:
    """The photos that were named, and those in folders that were named; each once, in a stable order.

    Folders are searched with all below them. Hidden files and folders, junk, links to folders, `out_dir` and the output
    folders of other runs are passed over, into `skipped`; a folder that cannot be read is found itself, so that reading
    it fails with a reason. With several folders each one's own name comes first in the tree.

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
            folder = Folder(root, PurePosixPath(root.name if sum(are_folders.values()) > 1 else ""))
            unreadable = list[OSError]()
            paths = folder.walk(out_dir, on_error=unreadable.append, on_skip=passed_over.append)
            sources = [folder.photo_at(path) for path in paths]
            sources += [folder.folder_at(error.filename) for error in unreadable]
        else:
            sources = [Source(root, PurePosixPath(given.stem))]  # a link's own name, not its target's
        for source in sources:
            found.setdefault(source.path, source)
    if not found:
        raise nothing_found(inputs, passed_over)
    return list(found.values())


def nothing_found(inputs: Iterable[Path | str], skipped: Iterable[Skipped]) -> SourceError:
    """What to say where there is no photo, only what was passed over."""
    where = ", ".join(map(str, inputs)) or "nothing"
    others = NotLookedAt(skipped).as_text()
    return SourceError(f"no photos in {where}; looked for {' '.join(PHOTO_SUFFIXES)}{others and f'; {others}'}")


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


def _is_folder(given: Path) -> bool:
    try:
        return stat.S_ISDIR(given.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a path with a zero byte
        raise SourceError(f"{given}: {(getattr(error, 'strerror', None) or str(error)).lower()}") from error
    except OSError:  # reading it will say why
        return False


class Named(NamedTuple):
    """What a photo's outputs are called, relative to the output folder."""

    place: str
    outputs: tuple[str, ...]


def subject_of(place: PurePosixPath) -> Subject:
    """The garment and view that a photo's place, without suffix, names; read as `garmentcut ingest` reads it."""
    stem = place.name
    key = _STUDIO_PATTERN.read(PurePosixPath(f"{stem}.photo"))  # whatever stands behind a dot is no suffix any more
    return Subject(key.garment, key.view, stem) if key else Subject(stem, "", stem)


def garment_of(source: Source) -> str:
    """The key that all views of one garment share; a photo without a known view stands alone."""
    subject = subject_of(source.place)
    return folded(subject.garment) if subject.view in VIEWS else str(source.path)


def by_garment(sources: Iterable[Source]) -> list[Source]:
    """The photos, garment by garment, Front first; garments in the order in which they were found."""
    groups = defaultdict[str, list[Source]](list)
    for source in sources:
        groups[garment_of(source)].append(source)
    return [source for group in groups.values() for source in sorted(group, key=_place_of_view)]


def _place_of_view(source: Source) -> int:
    view = subject_of(source.place).view
    return [*VIEWS, view].index(view)


def name_outputs(
    sources: Iterable[Source],
    suffixes: Iterable[str],
    *,
    places: Mapping[str, str] = MappingProxyType({}),
    owners: Mapping[str, str] = MappingProxyType({}),
    each: bool = False,
) -> dict[Path, Named]:
    """Output names of each photo, one for each suffix, such as `_mask.png`; no two are the same on any file system.

    `a.jpg` becomes `a.png`; where `a.jpg` and `a.png` lie side by side they become `a_jpg.png` and `a_png.png`. A
    counter separates names that are still the same. Names are compared as macOS and Windows do: without case, composed
    (NFC).

    Args:
        sources: the photos.
        suffixes: one output each, relative to the output folder.
        places: input path to the place an earlier run gave it: a photo keeps its name.
        owners: output name to the input path an earlier run wrote it for: nobody else gets it.
        each: keep names free for `name_each`: `a.jpg` becomes `a_jpg.png` beside `a-1.jpg`.
    """
    sources, suffixes = list(sources), tuple(suffixes)
    takers = {folded(name): path for name, path in owners.items()}
    alike = Counter(folded(str(source.place)) for source in sources)
    numbered = {match[1] for place in alike if each and (match := _NUMBERED.fullmatch(place))}
    names: dict[Path, Named] = {}
    for source in sources:
        mine, own = str(source.path), str(source.place)
        with_kind = f"{own}_{source.path.suffix.lstrip('.').lower()}"
        likely = [places.get(mine), own if alike[folded(own)] == 1 else None, with_kind]
        for place in chain(filter(None, likely), (f"{with_kind}_{number}" for number in count(2))):
            outputs = tuple(f"{place}{suffix}" for suffix in suffixes)
            is_free = all(takers.get(folded(name), mine) == mine for name in outputs)
            if is_free and folded(place) not in numbered:
                break
        takers.update((folded(name), mine) for name in outputs)
        names[source.path] = Named(place, outputs)
    return names


def name_each(outputs: Iterable[str], formats: Iterable[Format], num: int) -> tuple[str, ...]:
    """Names of the files of each of several garments on one photo, garment by garment.

    >>> name_each(["a.png", "a_mask.png"], ["png", "mask"], 2)
    ('a-1.png', 'a-1_mask.png', 'a-2.png', 'a-2_mask.png')
    """
    named = [(name, FORMATS[format].suffix) for name, format in zip(outputs, formats, strict=True)]
    return tuple(f"{name.removesuffix(end)}-{number}{end}" for number in range(1, num + 1) for name, end in named)


def name_files(
    sources: Iterable[Source],
    output: OutputConfig,
    specification: Specification | None,
    *,
    places: Mapping[str, str],
    owners: Mapping[str, str],
) -> dict[Path, Named]:
    """Names of each photo's files, by a customer's specification or, without one, an output of each format.

    Raises:
        ConfigError: the specification would give two files the same name.
    """
    if specification is not None:
        return name_deliveries(by_garment(sources), specification, owners=owners)
    suffixes = [FORMATS[format].suffix for format in output.formats]
    return name_outputs(sources, suffixes, places=places, owners=owners, each=output.each)


def name_deliveries(
    sources: Iterable[Source], specification: Specification, *, owners: Mapping[str, str] = MappingProxyType({})
) -> dict[Path, Named]:
    """Names of each photo's files, relative to the output folder, in the order of `deliver`; compared as others are.

    Photos named first get the lower counters; those that an earlier run wrote for, by `owners`, keep theirs.

    Raises:
        ConfigError: two photos, or two outputs of one photo, would get the same name.
    """
    sources = list(sources)
    columns = [_names_of(output, sources, owners) for output in specification.outputs]
    takers: dict[str, tuple[Path, int]] = {}
    names: dict[Path, Named] = {}
    for row, source in enumerate(sources):
        outputs = [(number, name) for number, column in enumerate(columns, 1) for name in column[row]]
        for number, name in outputs:
            other, first = takers.setdefault(folded(name), (source.path, number))
            if other != source.path:
                fix = "add {view}, {stem} or {counter} to it"
                raise ConfigError(f"file.name gives {name} to both {other} and {source.path}; {fix}")
            if first != number:
                fix = "give each its own file.name"
                raise ConfigError(f"outputs {first} and {number} both write {name} for {other}; {fix}")
        names[source.path] = Named(str(source.place), tuple(name for _, name in outputs))
    return names


def _names_of(output: Output, sources: list[Source], owners: Mapping[str, str]) -> list[tuple[str, ...]]:
    """One output's names for each photo."""
    suffixes = [FORMATS[format].suffix for format in output.sections.file.formats]
    patterns = []
    for source in sources:
        filled = fill_pattern(output.sections.file.name, subject_of(source.place))
        folder = "" if source.place.parent == PurePosixPath() else f"{source.place.parent}/"
        patterns.append(filled._replace(before=f"{folder}{filled.before}"))
    has_counter = any(pattern.num_digits for pattern in patterns)
    counters = _counters_of(patterns, sources, suffixes[0], owners) if has_counter else [0] * len(sources)
    stems = [pattern.numbered(counter) for pattern, counter in zip(patterns, counters, strict=True)]
    return [tuple(stem + suffix for suffix in suffixes) for stem in stems]


def _counters_of(
    patterns: list[FilledPattern], sources: list[Source], suffix: str, owners: Mapping[str, str]
) -> list[int]:
    """Numbers that separate photos whose names are the same otherwise; those of earlier runs stay."""
    owned: dict[str, list[str]] = defaultdict(list)
    for name, owner in owners.items():
        owned[owner].append(name.removesuffix(suffix))
    takers = {folded(name): owner for name, owner in owners.items()}
    alike = [pattern._replace(before=folded(pattern.before), behind=folded(pattern.behind)) for pattern in patterns]
    paths = [str(source.path) for source in sources]
    used = defaultdict[FilledPattern, set[int]](set)
    counters = []
    for pattern, same, path in zip(patterns, alike, paths, strict=True):
        earlier = {number for name in owned[path] if (number := pattern.counter_of(name)) is not None}
        counters.append(min(earlier - used[same], default=0))
        used[same].add(counters[-1])
    following = defaultdict[FilledPattern, Iterator[int]](lambda: count(1))
    for row, (pattern, same, path) in enumerate(zip(patterns, alike, paths, strict=True)):
        while not counters[row]:
            number = next(following[same])
            if number not in used[same] and takers.get(folded(pattern.numbered(number) + suffix), path) == path:
                counters[row] = number
    return counters


def folded(name: str) -> str:
    """A name as macOS and Windows compare it: without case, composed (NFC)."""
    return (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()


VERDICT_FOLDERS: Mapping[str, str] = {"accept": "accepted", "review": "review"}
"""Where outputs go, if they are sorted by verdict; without one they stay where they are."""


def sorted_outputs(outputs: Iterable[str], verdict: str) -> tuple[str, ...]:
    """Output names in the verdict's folder."""
    folder = VERDICT_FOLDERS.get(verdict)
    return tuple(f"{folder}/{name}" if folder else name for name in outputs)


def unsorted_output(name: str) -> str:
    """An output's name without the verdict's folder."""
    first, _, rest = name.partition("/")
    return rest if rest and first in VERDICT_FOLDERS.values() else name


class Sidecar(NamedTuple):
    """A file in which Lightroom or Capture One keeps what was done to a photo."""

    path: Path  # absolute path
    suffix: str  # what its name has behind the photo's: `.xmp`, `.cos`
    # It lies in, below the photo's; empty: beside the photo. A sidecar in a folder holds crops and masks in the photo's
    # frame, so it fits no cutout of another frame.
    folder: str = ""
    # Its name begins with the photo's whole name, `IMG_1.jpg.cos`, not with `IMG_1` alone.
    is_named_in_full: bool = True

    def name_beside(self, output: str) -> str:
        """What it is called beside a photo's output, relative to the output folder."""
        place = PurePosixPath(output)
        return str(place.parent / self.folder / f"{place.name if self.is_named_in_full else place.stem}{self.suffix}")


def find_sidecars(photo: Path) -> list[Sidecar]:
    """A photo's sidecar files: `NAME.xmp` and `NAME.jpg.xmp` beside it, `CaptureOne/Settings*/NAME.jpg.*`.

    Links are none, for they may lead anywhere.
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
