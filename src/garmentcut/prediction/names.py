"""Names in folder runs and review: a file's garment and view, output names, and photos moved or replaced."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from garmentcut.config import Format, OutputConfig
from garmentcut.dataset.manifest import VIEWS
from garmentcut.dataset.pairing import DEFAULT_PATTERN
from garmentcut.dataset.pairing import NamePattern as StudioPattern
from garmentcut.errors import ConfigError, PhotoError
from garmentcut.formats import FORMATS
from garmentcut.photo.files import sha256_of
from garmentcut.photo.metadata import capture_of_file
from garmentcut.photo.spec import FilledPattern, Output, Specification, Subject, fill_pattern
from garmentcut.prediction.results import Journal, Row, is_another_photo
from garmentcut.prediction.sources import Source

_NUMBERED = re.compile(r"(.+)-\d+", re.DOTALL)
_STUDIO_PATTERN = StudioPattern(DEFAULT_PATTERN)


class Named(NamedTuple):
    """What a photo's outputs are called, relative to the output folder."""

    place: str
    outputs: tuple[str, ...]


def subject_of(place: PurePosixPath) -> Subject:
    """The garment and view that a photo's name says, read as `garmentcut ingest` reads it.

    Args:
        place: the photo's, without suffix.
    """
    stem = place.name
    key = _STUDIO_PATTERN.read(PurePosixPath(f"{stem}.photo"))  # whatever stands behind a dot is no suffix any more
    return Subject(key.garment, key.view, stem) if key else Subject(stem, "", stem)


def garment_of(source: Source) -> str:
    """The key that all views of one garment share; a photo without a known view stands alone."""
    subject = subject_of(source.place)
    return folded(subject.garment) if subject.view in VIEWS else str(source.path)


def by_garment(sources: Iterable[Source]) -> list[Source]:
    """The photos, garment by garment, Front first; garments in the order in which they were found."""
    groups: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        groups[garment_of(source)].append(source)
    return [source for group in groups.values() for source in sorted(group, key=_view_order)]


def name_outputs(
    sources: Iterable[Source],
    suffixes: Iterable[str],
    *,
    places: Mapping[str, str] | None = None,
    owners: Mapping[str, str] | None = None,
    each: bool = False,
) -> dict[Path, Named]:
    """Output names of each photo, relative to the output folder; no two are the same on any file system.

    `a.jpg` becomes `a.png`; where `a.jpg` and `a.png` lie side by side they become `a_jpg.png` and `a_png.png`. A
    counter separates names that are still the same. Names are compared as macOS and Windows do: without case, composed
    (NFC).

    Args:
        sources: the photos.
        suffixes: one output each, such as `.png` and `_mask.png`.
        places: input path to the place an earlier run gave it: a photo keeps its name.
        owners: output name to the input path an earlier run wrote it for: nobody else gets it.
        each: keep names free for `name_each`: `a.jpg` becomes `a_jpg.png` beside `a-1.jpg`.

    Returns:
        For each photo's path, its place and its outputs in the order of `suffixes`.
    """
    sources, suffixes, places = list(sources), tuple(suffixes), places or {}
    takers = {folded(name): path for name, path in (owners or {}).items()}
    alike = Counter(folded(str(source.place)) for source in sources)
    numbered = {match[1] for place in alike if each and (match := _NUMBERED.fullmatch(place))}
    names: dict[Path, Named] = {}
    for source in sources:
        mine = str(source.path)
        alone = alike[folded(str(source.place))] == 1
        for place in _candidates(source, alone=alone, earlier=places.get(mine)):
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

    Args:
        outputs: the photo's names if it showed one garment.
        formats: of each of them.
        num: of garments.
    """
    named = [(name, FORMATS[format].suffix) for name, format in zip(outputs, formats, strict=True)]
    return tuple(f"{name.removesuffix(end)}-{number}{end}" for number in range(1, num + 1) for name, end in named)


def name_files(
    sources: Iterable[Source],
    output: OutputConfig,
    specification: Specification | None,
    *,
    places: Mapping[str, str] | None = None,
    owners: Mapping[str, str] | None = None,
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
    sources: Iterable[Source], specification: Specification, *, owners: Mapping[str, str] | None = None
) -> dict[Path, Named]:
    """Names of each photo's files, relative to the output folder, in the order of `deliver`.

    Names are compared as macOS and Windows do: without case, composed (NFC).

    Args:
        sources: the photos; those named first get the lower counters.
        specification: what the customer wants.
        owners: output name to the input path that an earlier run wrote it for: photos keep their counters, and no
            other gets a name with one.

    Raises:
        ConfigError: two photos, or two outputs of one photo, would get the same name.
    """
    sources, owners = list(sources), owners or {}
    columns = [_names_of(output, sources, owners) for output in specification.outputs]
    takers: dict[str, tuple[Path, int]] = {}
    names: dict[Path, Named] = {}
    for row, source in enumerate(sources):
        outputs = [(number, name) for number, column in enumerate(columns, 1) for name in column[row]]
        for number, name in outputs:
            other, first = takers.setdefault(folded(name), (source.path, number))
            if (other, first) != (source.path, number):
                raise ConfigError(_clash(name, (other, first), (source.path, number)))
        names[source.path] = Named(str(source.place), tuple(name for _, name in outputs))
    return names


def adopt_moved(sources: Iterable[Source], journal: Journal) -> None:
    """A photo without a row whose content is that of one that is gone is that photo, moved or renamed: it has its row.

    A photo whose name changed in more than case or Unicode normalisation is flagged `moved`: its files keep their
    names, and with them what a person decided on it. Once these files are removed, it is a new photo.
    """
    rows = journal.rows
    journal.forget([input for input, row in rows.items() if "moved" in row.flags and not journal.has_outputs(row)])
    sizes: dict[int, list[Source]] = defaultdict(list)
    for source in sources:
        if str(source.path) not in rows:
            with suppress(OSError):
                sizes[source.path.stat().st_size].append(source)
    names = dict[Path, frozenset[str]]()
    gone: dict[str, list[Row]] = defaultdict(list)
    for row in rows.values() if sizes else ():
        if row.input_bytes in sizes and not _stands(row.input, names):
            gone[row.input_sha256].append(row)
    for source in (source for group in sizes.values() for source in group) if gone else ():
        with suppress(OSError):
            place = folded(str(source.place))
            same = gone.get(sha256_of(source.path), [])
            if same:
                same.sort(key=lambda row: _is_placed(row, place))
                journal.adopt(row := same.pop(), str(source.path), is_renamed=not _is_placed(row, place))


def _is_placed(row: Row, place: str) -> bool:
    """True if a photo of this place, folded, has the place of the row, or would if no other had its name."""
    own = PurePosixPath(row.place).with_name(Path(row.input).stem)
    return place == folded(row.place) or ("moved" not in row.flags and place == folded(str(own)))


def tell_apart(
    sources: list[Source],
    rows: Mapping[str, Row],
    is_another: Callable[[Row, Path], bool],
    part: Callable[[Row], None],
) -> tuple[list[Source], frozenset[Path]]:
    """Give sources that stand in the place of another photo of the same name a place of their own.

    Two cameras, or one whose counter was reset, give two photos one name: EXIF shows which is which.

    Args:
        sources: what a run is about.
        rows: of what was cut before, by path.
        is_another: whether a path now holds another photo than the one its row is about; see `is_another_at`.
        part: called with the row of each photo in whose place another one stands.

    Returns:
        All sources, and the paths of those renamed.
    """
    found = (re.fullmatch(r"(.+)#[0-9a-f]{8}", path, re.DOTALL) for path in rows if path[-9:-8] == "#")
    parted = {match[1] for match in found if match}
    renamed: set[Path] = set()
    placed: list[Source] = []
    for source in sources:
        row = rows.get(str(source.path))
        if row is not None and is_another(row, source.path):
            part(row)
            row, parted = None, parted | {str(source.path)}
        if row is not None and not {"another_photo", "moved"}.isdisjoint(row.flags):
            source = replace(source, place=PurePosixPath(row.place))
            renamed |= {source.path} if "another_photo" in row.flags else set()
        elif row is None and str(source.path) in parted:
            taken = {folded(str(one.place)) for one in (*sources, *placed)}
            taken |= {folded(row.place) for row in rows.values()}
            places = (source.place.with_name(f"{source.place.name}_{number}") for number in count(2))
            source = replace(source, place=next(place for place in places if folded(str(place)) not in taken))
            renamed.add(source.path)
        placed.append(source)
    return placed, frozenset(renamed)


def is_another_at(row: Row, read: Callable[[], bytes]) -> bool:
    """True if EXIF shows that a file, which has changed, holds another photo than the one its row is about."""
    if not (row.taken or row.camera) or not row.written:
        return False
    try:
        return bool(is_another_photo(row, *capture_of_file(read())))
    except (PhotoError, OSError):  # reading it will say why
        return False


def _stands(path: str, names: dict[Path, frozenset[str]]) -> bool:
    """True if a file stands there under this very name, not only under one that its file system takes for the same.

    `names` keeps those of the files in each folder that was asked for.
    """
    folder, name = Path(path).parent, Path(path).name
    if not os.path.exists(path):  # noqa: PTH110 - never raises
        return False
    if folder not in names:
        try:
            names[folder] = frozenset(os.listdir(folder))  # noqa: PTH208 - names are enough
        except OSError:
            return True
    return name in names[folder]


def _names_of(output: Output, sources: list[Source], owners: Mapping[str, str]) -> list[tuple[str, ...]]:
    """One output's names for each photo."""
    suffixes = [FORMATS[format].suffix for format in output.sections.file.formats]
    patterns = []
    for source in sources:
        filled = fill_pattern(output.sections.file.name, subject_of(source.place))
        folder = "" if source.place.parent == PurePosixPath() else f"{source.place.parent}/"
        patterns.append(filled._replace(before=f"{folder}{filled.before}"))
    counters = [0] * len(sources)
    if patterns and patterns[0].num_digits:
        counters = _counters_of(patterns, sources, suffixes[0], owners)
    return [
        tuple(pattern.numbered(counter) + suffix for suffix in suffixes)
        for pattern, counter in zip(patterns, counters, strict=True)
    ]


def _counters_of(
    patterns: list[FilledPattern], sources: list[Source], suffix: str, owners: Mapping[str, str]
) -> list[int]:
    """Numbers that separate photos whose names are the same otherwise; those of earlier runs stay."""
    owned: dict[str, list[str]] = defaultdict(list)
    for name, owner in owners.items():
        owned[owner].append(name.removesuffix(suffix))
    takers = {folded(name): owner for name, owner in owners.items()}
    used: dict[FilledPattern, set[int]] = defaultdict(set)
    counters = [0] * len(sources)
    for row, (pattern, source) in enumerate(zip(patterns, sources, strict=True)):
        earlier = [number for name in owned[str(source.path)] if (number := pattern.counter_of(name)) is not None]
        counters[row] = next((number for number in sorted(earlier) if number not in used[_alike(pattern)]), 0)
        used[_alike(pattern)].add(counters[row])
    following: dict[FilledPattern, Iterator[int]] = defaultdict(lambda: count(1))
    for row, (pattern, source) in enumerate(zip(patterns, sources, strict=True)):
        while not counters[row]:
            number = next(following[_alike(pattern)])
            owner = takers.get(folded(pattern.numbered(number) + suffix), str(source.path))
            if number not in used[_alike(pattern)] and owner == str(source.path):
                counters[row] = number
    return counters


def _alike(pattern: FilledPattern) -> FilledPattern:
    return pattern._replace(before=folded(pattern.before), behind=folded(pattern.behind))


def _clash(name: str, first: tuple[Path, int], second: tuple[Path, int]) -> str:
    if first[0] == second[0]:
        return f"outputs {first[1]} and {second[1]} both write {name} for {first[0]}; give each its own file.name"
    return f"file.name gives {name} to both {first[0]} and {second[0]}; add {{view}}, {{stem}} or {{counter}} to it"


def _view_order(source: Source) -> int:
    view = subject_of(source.place).view
    return VIEWS.index(view) if view in VIEWS else len(VIEWS)


def _candidates(source: Source, *, alone: bool, earlier: str | None) -> Iterable[str]:
    place = str(source.place)
    if earlier:
        yield earlier
    if alone:
        yield place
    with_kind = f"{place}_{source.path.suffix.lstrip('.').lower()}"
    yield with_kind
    yield from (f"{with_kind}_{number}" for number in count(2))


def folded(name: str) -> str:
    """A name as macOS and Windows compare it: without case, composed (NFC)."""
    return (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()
