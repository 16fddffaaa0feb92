"""Finds the photos to cut and their sidecar files, records what is skipped, and names the outputs."""

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
from garmentcut.photo.files import NotLookedAt, walk_files, write_atomic
from garmentcut.photo.read import PHOTO_SUFFIXES
from garmentcut.photo.spec import FilledPattern, Output, Specification, Subject, fill_pattern

SKIPPED_NAME = ".garmentcut/skipped.jsonl"
"""Below the output folder: what the last run skipped, one line for each."""

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
    place: PurePosixPath  # where it belongs below the output folder, without suffix; the folder tree is mirrored


class Skipped(NamedTuple):
    """A file or folder that was skipped; `code` is a key of `garmentcut.errors.SKIPPED`."""

    path: str
    code: str

    @classmethod
    def of_walk(cls, path: str, code: str) -> "Skipped":
        """From what `walk_files` skipped; for an unwanted suffix, the code is the kind of file."""
        if code == "suffix":
            code = _KIND_OF_SUFFIX.get(PurePath(path).suffix.lower(), "no_picture")
        return cls(path, code)


class Folder(NamedTuple):
    """A folder that is searched for photos."""

    root: Path  # absolute path
    prefix: PurePosixPath  # first part of its photos' places; empty if only one folder is searched

    def walk(
        self, out_dir: Path, *, on_error: Callable[[OSError], None], on_skip: Callable[[Skipped], None]
    ) -> Iterator[str]:
        """Paths of the photos in it and its subfolders, by name; see `find_sources` for what is skipped."""

        def skip(path: str, code: str) -> None:
            on_skip(Skipped.of_walk(path, code))

        return walk_files(self.root, PHOTO_SUFFIXES, passed=(out_dir,), on_error=on_error, on_skip=skip)

    def photo_at(self, path: str) -> Source:
        """The source for a photo in this folder."""
        found = Path(path)
        return Source(found, self.prefix / found.relative_to(self.root).with_suffix("").as_posix())

    def folder_at(self, path: str) -> Source:
        """The source for an unreadable folder in it, so that it gets a row; its place cannot be a photo's."""
        found = Path(path)
        return Source(found, self.prefix / found.relative_to(self.root).parent / f"{found.name} (folder)")


def find_sources(
    inputs: Iterable[str | Path], out_dir: str | Path, *, skipped: list[Skipped] | None = None
) -> list[Source]:
    """Find the photos among `inputs`, and those in folders among them; each once, in a stable order.

    Folders are searched with their subfolders. Hidden files and folders, junk, links to folders, `out_dir` and the
    output folders of other runs are skipped and appended to `skipped`. A folder that cannot be read is returned itself,
    so that reading it fails with a reason. If there are several folders, each one's name comes first in its photos'
    places.

    Raises:
        SourceError: an input does not exist or is the output folder, or there is no photo.
    """
    named, out_dir = [Path(path) for path in inputs], Path(out_dir).resolve()
    passed_over: list[Skipped] = [] if skipped is None else skipped
    are_folders = {given: _is_folder(given) for given in named}
    found: dict[Path, Source] = {}
    for given in named:
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
        raise nothing_found(named, passed_over)
    return list(found.values())


def nothing_found(inputs: Iterable[Path | str], skipped: Iterable[Skipped]) -> SourceError:
    """The error if there is no photo, which mentions what was skipped."""
    where = ", ".join(map(str, inputs)) or "nothing"
    others = NotLookedAt(skipped).as_text()
    return SourceError(f"no photos in {where}; looked for {' '.join(PHOTO_SUFFIXES)}{others and f'; {others}'}")


def write_skipped(out_dir: Path, skipped: Iterable[Skipped]) -> None:
    """Write what a run skipped; if nothing, remove the file of an earlier run."""
    if lines := skipped_lines(skipped):
        write_atomic(out_dir / SKIPPED_NAME, lines, root=out_dir)
    else:
        (out_dir / SKIPPED_NAME).unlink(missing_ok=True)


def skipped_lines(skipped: Iterable[Skipped]) -> bytes:
    """Encode what was skipped as lines of JSON."""
    contents = ({"path": one.path, "code": one.code, "reason": SKIPPED[one.code]} for one in sorted(skipped))
    return "".join(json.dumps(content) + "\n" for content in contents).encode()


def _is_folder(given: Path) -> bool:
    try:
        return stat.S_ISDIR(given.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a path with a zero byte
        raise SourceError(f"{given}: {(getattr(error, 'strerror', None) or str(error)).lower()}") from error
    except OSError:  # reading it will give the reason
        return False


class Named(NamedTuple):
    """Names of a photo's outputs, relative to the output folder."""

    place: str
    outputs: tuple[str, ...]


def subject_of(place: PurePosixPath) -> Subject:
    """The garment and view in the name of a photo's place, which has no suffix; read as `garmentcut ingest` does."""
    stem = place.name
    key = _STUDIO_PATTERN.read(PurePosixPath(f"{stem}.photo"))  # what follows a dot in the stem is no suffix
    return Subject(key.garment, key.view, stem) if key else Subject(stem, "", stem)


def garment_of(source: Source) -> str:
    """The key that all views of one garment share; a photo without a known view stands alone."""
    subject = subject_of(source.place)
    return folded(subject.garment) if subject.view in VIEWS else str(source.path)


def by_garment(sources: Iterable[Source]) -> list[Source]:
    """Sort photos by garment, Front first; garments stay in the order in which they were found."""
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

    `a.jpg` becomes `a.png`; if `a.jpg` and `a.png` are in one folder, they become `a_jpg.png` and `a_png.png`. Names
    that are still the same get a counter. Names are compared as macOS and Windows do: without case, composed (NFC).

    Args:
        sources: the photos.
        suffixes: suffix of each output, such as `_mask.png`.
        places: input path to the place that an earlier run gave it; a photo keeps its name.
        owners: output name to the input path for which an earlier run wrote it; no other photo gets it.
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
    """Names of the files of several garments in one photo, garment by garment.

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
    """Names of each photo's files, by a customer's specification or, without one, one file for each format."""
    if specification is not None:
        return name_deliveries(by_garment(sources), specification, owners=owners)
    suffixes = [FORMATS[format].suffix for format in output.formats]
    return name_outputs(sources, suffixes, places=places, owners=owners, each=output.each)


def name_deliveries(
    sources: Iterable[Source], specification: Specification, *, owners: Mapping[str, str] = MappingProxyType({})
) -> dict[Path, Named]:
    """Names of each photo's files, relative to the output folder, in the order of `deliver`; compared like others.

    Earlier photos get the lower counters; those in `owners`, which an earlier run wrote for, keep theirs.

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
    """Counters for photos whose names would be the same otherwise; those of earlier runs stay."""
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
"""Folders of outputs that are sorted by verdict; without a verdict, outputs have no such folder."""


def sorted_outputs(outputs: Iterable[str], verdict: str) -> tuple[str, ...]:
    """Output names in the verdict's folder."""
    folder = VERDICT_FOLDERS.get(verdict)
    return tuple(f"{folder}/{name}" if folder else name for name in outputs)


def folded_path(path: Path) -> str:
    """A path with links followed, folded as by file systems that ignore case."""
    return os.path.realpath(path).casefold()


def unsorted_output(name: str, place: str = "") -> str:
    """An output's name without the verdict's folder; `place`, its photo's, may itself begin with such a name."""
    first, _, rest = name.partition("/")
    is_own = place.startswith(f"{first}/") and name.startswith(place)
    return rest if rest and first in VERDICT_FOLDERS.values() and not is_own else name


class Sidecar(NamedTuple):
    """A file in which Lightroom or Capture One keeps what was done to a photo."""

    path: Path  # absolute path
    suffix: str  # what follows the photo's name: `.xmp`, `.cos`
    # Its folder below the photo's; empty: beside the photo. A sidecar in such a folder holds crops and masks in the
    # photo's frame, so it fits no cutout with another frame.
    folder: str = ""
    # Its name begins with the photo's whole name, `IMG_1.jpg.cos`, not with `IMG_1` alone.
    is_named_in_full: bool = True

    def name_beside(self, output: str) -> str:
        """Its name beside a photo's output, relative to the output folder."""
        place = PurePosixPath(output)
        return str(place.parent / self.folder / f"{place.name if self.is_named_in_full else place.stem}{self.suffix}")


def find_sidecars(photo: Path) -> list[Sidecar]:
    """A photo's sidecar files: `NAME.xmp` and `NAME.jpg.xmp` beside it, `CaptureOne/Settings*/NAME.jpg.*`.

    Links are left out, because they may lead anywhere.
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
    """Folders in which Capture One keeps the adjustments of a folder's photos, one for each version that was used."""
    above = folder / "CaptureOne"
    with suppress(OSError):
        return sorted(path for path in above.glob("Settings*") if not (above.is_symlink() or path.is_symlink()))
    return []


def _is_plain(path: Path) -> bool:
    # Not with Path's methods, which raise if a folder may not be entered.
    return os.path.isfile(path) and not os.path.islink(path)  # noqa: PTH113, PTH114
