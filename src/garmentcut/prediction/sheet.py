"""`garmentcut sheet`: plans the contact sheet of a folder as pages, and draws them one by one in flat memory."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.dataset.manifest import VIEWS
from garmentcut.dataset.pairing import DEFAULT_PATTERN, NamePattern
from garmentcut.errors import PhotoError, SourceError
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.files import write_atomic
from garmentcut.photo.read import read_photo, read_profile
from garmentcut.photo.sheet import (
    SHEET_SUFFIXES,
    Cell,
    Mark,
    SheetStyle,
    break_lines,
    draw_page,
    encode_sheet,
    is_contact_sheet,
    shrink_cutout,
)
from garmentcut.photo.truth import CUTOUT_SUFFIXES, CutoutFile, read_cutout
from garmentcut.prediction.results import RESULTS_NAME, Journal, Row

_BEST_FIRST = (".png", ".tif", ".tiff", ".webp", ".psd", ".psb")  # of several outputs, one is shown
_MASK_END, _JPEG_SUFFIXES = "_mask", (".jpg", ".jpeg", ".jpe", ".mpo")
_PATTERN = NamePattern(DEFAULT_PATTERN)


@dataclass(frozen=True)
class Entry:
    """One cutout on a sheet.

    Attributes:
        place: its name below the folder, with `/` and without suffix.
        file: the file to show; None: there is none.
        photo: what it was cut out of, where that is known.
        mark: why it needs a person, as far as is known without opening it.
        reason: of the mark, in words.
        notes: further words.
        doubt: in [0, 1]; None: not known.
    """

    place: str
    file: Path | None = None
    photo: Path | None = None
    mark: Mark = ""
    reason: str = ""
    notes: tuple[str, ...] = ()
    doubt: float | None = None

    @property
    def garment(self) -> str:
        """Folder and garment: all views of one garment share it."""
        return self._key[0]

    @property
    def order(self) -> tuple[object, ...]:
        """A sort key: garments by name with numbers by value (2 before 10), views as they are photographed."""
        garment, view = self._key
        suffix = self.file.suffix.lower() if self.file else ""
        return _counted(garment), VIEWS.index(view) if view in VIEWS else len(VIEWS), _counted(self.place), suffix

    @property
    def _key(self) -> tuple[str, str]:
        place = PurePosixPath(self.place)
        key = _PATTERN.read(PurePosixPath(f"{place.name.removesuffix(_MASK_END)}.x"))  # x: dots in names are no suffix
        if key is None or key.view not in VIEWS:
            return self.place, ""
        return str(place.with_name(key.garment)), key.view


def find_entries(folder: Path, *, doubt_over: float) -> list[Entry]:
    """The cutouts of a folder, in order; reads no pictures.

    Where `garmentcut cut` has written, or still writes, its `results.jsonl` says what is there: one entry a photo, the
    failed ones too. Elsewhere every picture in the folder and all below it counts, but for contact sheets, and for
    masks and JPEG files beside a cutout of the same name.

    Args:
        folder: the cutouts.
        doubt_over: above this doubt a cutout is doubtful, where no verdict stands beside it.

    Raises:
        SourceError: no such folder, nothing in it, or its `results.jsonl` is not ours.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    results = folder / RESULTS_NAME
    try:
        found = _of_results(folder, doubt_over) if results.exists() else _of_files(folder)
        entries = sorted(found, key=lambda entry: entry.order)
    except (OSError, SourceError) as error:
        raise SourceError(str(error)) from error
    if not entries:
        raise SourceError(f"{folder}: no cutouts{' yet' if results.exists() else ''}; name a folder that holds some")
    return entries


def _of_results(folder: Path, doubt_over: float) -> Iterator[Entry]:
    # The lock is not needed: rows are appended whole, or the file is replaced by another in one step.
    for row in Journal(folder).rows.values():
        yield _of_row(folder, row, doubt_over)


def _of_row(folder: Path, row: Row, doubt_over: float) -> Entry:
    place, photo = row.place or Path(row.input).stem, Path(row.input)
    if row.status == "failed":
        return Entry(place, photo=photo, mark="failed", reason=row.reason, notes=row.notes)
    if row.status == "pending":
        return Entry(place, photo=photo, mark="not finished", reason="being cut, or stopped: run garmentcut cut again")
    file = folder / min(row.outputs, key=_rank) if row.outputs else None
    if file is None or not file.is_file():
        gone = f"{file.name} is gone" if file else "nothing was written"
        return Entry(place, photo=photo, mark="failed", reason=f"{gone}; run garmentcut cut again")
    is_over = row.doubt is not None and row.doubt > doubt_over
    is_doubtful = row.is_foreign or (row.verdict == "review" if row.verdict else is_over)
    why = "; ".join(row.reasons) or ("to review" if row.verdict else f"its doubt is over {doubt_over:g}")
    mark: Mark = "doubtful" if is_doubtful else ""
    return Entry(place, file, photo, mark, why if is_doubtful else "", row.notes, row.doubt)


def _rank(output: str) -> tuple[int, int]:
    path = PurePosixPath(output)
    place = _BEST_FIRST.index(path.suffix) if path.suffix in _BEST_FIRST else len(_BEST_FIRST)
    return int(path.stem.endswith(_MASK_END)), place


def _of_files(folder: Path) -> Iterator[Entry]:
    unreadable: list[OSError] = []
    pictures = _pictures_below(folder, unreadable)
    files = {path: path.relative_to(folder).with_suffix("").as_posix() for path in pictures}
    cutouts = {place for path, place in files.items() if not _is_aside(path)}
    for path, place in files.items():
        if not (_is_aside(path) and place.removesuffix(_MASK_END) in cutouts):
            yield Entry(place, path)
    for error in unreadable:
        place = Path(error.filename).relative_to(folder).as_posix()
        yield Entry(place, mark="failed", reason=f"the folder cannot be read: {error.strerror}")


def _is_aside(path: Path) -> bool:
    """A mask, or a JPEG file: of less worth than a cutout of the same name."""
    return path.stem.endswith(_MASK_END) or path.suffix.lower() in _JPEG_SUFFIXES


def _pictures_below(folder: Path, unreadable: list[OSError]) -> Iterable[Path]:
    for here, subfolders, files in os.walk(folder, onerror=unreadable.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for path in (Path(here, name) for name in sorted(files) if not name.startswith(".")):
            if path.suffix.lower() in CUTOUT_SUFFIXES and not is_contact_sheet(path):
                yield path


def _counted(name: str) -> list[tuple[int, str]]:
    """A sort key: numbers by value, letters without case; digits in front of letters are part of an id."""
    parts = re.split(r"(\d+(?![^\W_]))", name)
    return [(int(part), part) if place % 2 else (0, part.casefold()) for place, part in enumerate(parts)]


_HALF_LEVEL = np.float32(0.5 / 255)


class _Look(NamedTuple):
    """What a file shows; `suspicion`: what makes it doubtful by itself."""

    cutout: Cutout
    notes: tuple[str, ...] = ()
    suspicion: str = ""


def read_cell(entry: Entry, size_hw: tuple[int, int], *, trim: bool = True, limits: ReadConfig | None = None) -> Cell:
    """Read an entry's file and shrink it; whatever the file holds, it never raises.

    Args:
        entry: of `find_entries`.
        size_hw: largest height and width of the thumbnail.
        trim: show only what is visible, not the whole frame.
        limits: bytes and pixels accepted.
    """
    cell = Cell(entry.place, entry.garment, mark=entry.mark, reason=entry.reason, notes="; ".join(entry.notes))
    if entry.file is None:
        return cell
    try:
        look = _look_at(entry, entry.file, limits or ReadConfig())
        thumbnail = shrink_cutout(look.cutout.picture, size_hw, trim=trim)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one file must not stop the others
        mark: Mark = "failed"
        return replace(cell, facts=entry.file.name, mark=mark, reason=_reason_of(error, entry.file))
    return replace(
        cell,
        thumbnail=thumbnail,
        facts=_facts_of(entry, entry.file, look.cutout),
        mark="doubtful" if look.suspicion else cell.mark,
        reason="; ".join(filter(None, (cell.reason, look.suspicion))),
        notes="; ".join((*entry.notes, *look.notes)),
    )


def _look_at(entry: Entry, file: Path, limits: ReadConfig) -> _Look:
    try:
        found = read_cutout(file, limits)
    except PhotoError as error:
        return _flat_picture(entry, file, limits, error)
    suspicion = _suspicion_of(found.alpha)
    if found.rgb is not None:
        return _Look(Cutout(found.rgb, found.alpha, read_profile(file, limits)), found.notes, suspicion)
    cutout, note = _of_mask(entry, found, limits)
    return _Look(cutout, (*found.notes, note), suspicion)


def _flat_picture(entry: Entry, file: Path, limits: ReadConfig, error: PhotoError) -> _Look:
    """A picture without transparency as it is: `garmentcut cut --background` writes such ones, others lost it."""
    try:
        photo = read_photo(file, limits=limits)
    except PhotoError:
        raise error from None
    cutout = Cutout(photo.rgb, np.ones(photo.size_hw, np.float32), photo.profile)
    if entry.photo is not None:
        return _Look(cutout, ("on a background, not transparent",))
    return _Look(cutout, suspicion="nothing in the file says what is cut out")


def _of_mask(entry: Entry, found: CutoutFile, limits: ReadConfig) -> tuple[Cutout, str]:
    """A bare mask on the photo it was made from; without one, the mask itself, white on black."""
    note = "mask alone: its photo is not known"
    if entry.photo is not None:
        try:
            photo = read_photo(entry.photo, limits=limits)
            if photo.size_hw == found.alpha.shape:
                return Cutout.of(photo, found.alpha), "its photo under the mask"
            note = "mask alone: its photo has another size"
        except PhotoError:
            note = "mask alone: its photo cannot be read any more"
    levels = np.rint(found.alpha * np.float32(255)).astype(np.uint8)
    return Cutout(np.repeat(levels[..., None], 3, axis=2), np.ones_like(found.alpha)), note


def _suspicion_of(alpha: NDArray[np.float32]) -> str:
    if alpha.max() < _HALF_LEVEL:
        return "empty: nothing is visible"
    return "nothing is cut out: no pixel is transparent" if alpha.min() > 1 - _HALF_LEVEL else ""


def _facts_of(entry: Entry, file: Path, cutout: Cutout) -> str:
    height, width = cutout.alpha.shape
    doubt = () if entry.doubt is None else (f"doubt {entry.doubt:.2f}",)
    return " · ".join((f"{width} x {height} px", file.suffix.lstrip(".").lower(), *doubt))


def _reason_of(error: Exception, file: Path) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory"
    return str(error).removeprefix(f"{file}: ") or type(error).__name__


_READERS = 2  # threads; each holds one cutout at full size
_MOST_SIDE_PX, _MOST_PIXELS = 30_000, 100_000_000  # of a page


@dataclass(frozen=True)
class SheetOptions:
    """What a sheet shows.

    Attributes:
        style: grounds, columns, size of the cells.
        lines_per_page: lines of cells on a page.
        trim: show only what is visible of a cutout, not the whole frame.
        doubt_over: above this doubt a cutout without a verdict is doubtful; 0.1 expects 90 % of the outline right.
        read: limits for the files.
    """

    style: SheetStyle = field(default_factory=SheetStyle)
    lines_per_page: int = 6
    trim: bool = True
    doubt_over: float = 0.1
    read: ReadConfig = field(default_factory=ReadConfig)


@dataclass(frozen=True)
class Shown:
    """A cutout as it was shown: its name, the page's file, and its mark with the reason."""

    name: str
    page: Path
    mark: Mark = ""
    reason: str = ""


@dataclass(frozen=True)
class PlannedPage:
    """A page's file and the entries in its lines."""

    path: Path
    lines: Sequence[Sequence[Entry]]


class ContactSheet:
    """The pages of one sheet: `sheet.jpg`, or `sheet_001.jpg`, `sheet_002.jpg` ... if one page does not hold them.

    >>> sheet = ContactSheet(Path("cutouts"), Path("sheet.jpg"))  # doctest: +SKIP
    >>> for shown in sheet.draw():  # doctest: +SKIP
    ...     print(shown.name, shown.mark, shown.page)
    """

    def __init__(self, folder: Path, out: Path, options: SheetOptions | None = None) -> None:
        """Plan all pages; no picture is read and nothing written.

        Args:
            folder: cutouts, see `find_entries`.
            out: file of the sheet, `.jpg` or `.png`.
            options: what to show.

        Raises:
            SourceError: nothing to show, pages too large, or `out` would replace something else.
        """
        self.folder, self.out, self.options = folder, out, options or SheetOptions()
        if out.suffix.lower() not in SHEET_SUFFIXES:
            raise SourceError(f"{out}: a sheet is written as {' or '.join(SHEET_SUFFIXES)}; change the suffix")
        self.entries = find_entries(folder, doubt_over=self.options.doubt_over)
        lines = break_lines([entry.garment for entry in self.entries], self.options.style.columns)
        # Few cutouts make a narrow page.
        self._style = replace(self.options.style, columns=max(map(len, lines)))
        _refuse_huge(self._style, min(self.options.lines_per_page, len(lines)))
        self.pages = self._plan_pages([[self.entries[place] for place in line] for line in lines])
        foreign = [page.path for page in self.pages if page.path.exists() and not is_contact_sheet(page.path)]
        if foreign:
            raise SourceError(f"{foreign[0]} is there already and no contact sheet; choose another --out")

    def draw(self) -> Iterator[Shown]:
        """Read all cutouts and write the pages; yields each cutout once it is read.

        Raises:
            OSError: a page cannot be written; those before it are whole.
        """
        with ThreadPoolExecutor(_READERS) as readers:
            try:
                for number, page in enumerate(self.pages, 1):
                    cells = []
                    for cell in readers.map(self._read, [entry for line in page.lines for entry in line]):
                        cells.append(cell)
                        yield Shown(cell.title, page.path, cell.mark, cell.reason)
                    self._write(page, number, cells)
            finally:
                readers.shutdown(cancel_futures=True)
        self._remove_surplus()

    def _read(self, entry: Entry) -> Cell:
        options = self.options
        return read_cell(entry, options.style.thumbnail_hw, trim=options.trim, limits=options.read)

    def _write(self, page: PlannedPage, number: int, cells: list[Cell]) -> None:
        rest = iter(cells)
        lines = [[next(rest) for _ in line] for line in page.lines]
        drawn = draw_page(lines, self._style, title=self.folder.resolve().name, subtitle=self._subtitle(number))
        write_atomic(page.path, encode_sheet(drawn, page.path.suffix))

    def _subtitle(self, number: int) -> str:
        count = f"{len(self.entries)} cutout{'s' * (len(self.entries) > 1)}"
        grounds = ", ".join({"#ffffff": "white"}.get(ground.lower(), ground) for ground in self._style.grounds)
        pages = (f"page {number} of {len(self.pages)}",) if len(self.pages) > 1 else ()
        return " · ".join((count, *pages, f"on {grounds}"))

    def _plan_pages(self, lines: list[list[Entry]]) -> list[PlannedPage]:
        step = self.options.lines_per_page
        parts = [lines[start : start + step] for start in range(0, len(lines), step)]
        if len(parts) == 1:
            return [PlannedPage(self.out, parts[0])]
        digits = max(len(str(len(parts))), 3)
        names = (f"{self.out.stem}_{number:0{digits}}{self.out.suffix}" for number in range(1, len(parts) + 1))
        return [PlannedPage(self.out.with_name(name), part) for name, part in zip(names, parts, strict=True)]

    def _remove_surplus(self) -> None:
        """Remove pages of an earlier, longer sheet of the same name: they would be taken for pages of this one."""
        ours = {page.path.name for page in self.pages}
        name = re.compile(rf"{re.escape(self.out.stem)}(_\d{{3,}})?{re.escape(self.out.suffix)}")
        for path in list(self.out.parent.iterdir()):
            if name.fullmatch(path.name) and path.name not in ours and is_contact_sheet(path):
                path.unlink(missing_ok=True)


def _refuse_huge(style: SheetStyle, num_lines: int) -> None:
    height, width = style.page_hw(num_lines)
    if max(height, width) > _MOST_SIDE_PX or height * width > _MOST_PIXELS:
        raise SourceError(
            f"a page would have {width}x{height} pixels; use fewer --columns or --rows-per-page, or a smaller --cell"
        )
