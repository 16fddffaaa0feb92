"""A contact sheet of a folder: planned whole, drawn page by page, so that thousands of cutouts need no more memory."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from garmentcut.config import ReadConfig
from garmentcut.photo.contact_sheet import Cell, Mark, break_lines, draw_page
from garmentcut.photo.files import write_atomic
from garmentcut.photo.sheet_file import SHEET_SUFFIXES, encode_sheet, is_contact_sheet
from garmentcut.photo.sheet_style import SheetStyle
from garmentcut.prediction.sheet_cells import read_cell
from garmentcut.prediction.sheet_entries import Entry, SheetError, find_entries

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
            SheetError: nothing to show, pages too large, or `out` would replace something else.
        """
        self.folder, self.out, self.options = folder, out, options or SheetOptions()
        if out.suffix.lower() not in SHEET_SUFFIXES:
            raise SheetError(f"{out}: a sheet is written as {' or '.join(SHEET_SUFFIXES)}; change the suffix")
        self.entries = find_entries(folder, doubt_over=self.options.doubt_over)
        lines = break_lines([entry.garment for entry in self.entries], self.options.style.columns)
        # Few cutouts make a narrow page.
        self._style = replace(self.options.style, columns=max(map(len, lines)))
        _refuse_huge(self._style, min(self.options.lines_per_page, len(lines)))
        self.pages = self._plan_pages([[self.entries[place] for place in line] for line in lines])
        foreign = [page.path for page in self.pages if page.path.exists() and not is_contact_sheet(page.path)]
        if foreign:
            raise SheetError(f"{foreign[0]} is there already and no contact sheet; choose another --out")

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
        """Pages of an earlier, longer sheet of the same name would be taken for pages of this one."""
        ours = {page.path.name for page in self.pages}
        name = re.compile(rf"{re.escape(self.out.stem)}(_\d{{3,}})?{re.escape(self.out.suffix)}")
        for path in list(self.out.parent.iterdir()):
            if name.fullmatch(path.name) and path.name not in ours and is_contact_sheet(path):
                path.unlink(missing_ok=True)


def _refuse_huge(style: SheetStyle, num_lines: int) -> None:
    height, width = style.page_hw(num_lines)
    if max(height, width) > _MOST_SIDE_PX or height * width > _MOST_PIXELS:
        raise SheetError(
            f"a page would have {width}x{height} pixels; use fewer --columns or --rows-per-page, or a smaller --cell"
        )
