"""`garmentcut sheet`: a folder's cutouts in lines on pages, on one or several backgrounds, doubtful ones framed.

A sheet is planned whole and drawn page by page, in flat memory.
"""

import functools
import io
import re
import unicodedata
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from garmentcut.config import ReadConfig
from garmentcut.errors import ConfigError, SourceError
from garmentcut.photo.files import write_atomic
from garmentcut.prediction.thumbnails import (
    CHECKERBOARD,
    SHEET_MARK,
    Cell,
    Mark,
    Rgb,
    draw_ground,
    find_cells,
    is_contact_sheet,
    lay_on_ground,
    read_cell,
)

Color = tuple[int, int, int]

FRAMES: dict[Mark, Color] = {"doubtful": (245, 146, 0), "failed": (200, 30, 40), "not finished": (130, 138, 148)}
"""Colours of the frames; the caption says the same in words, for the colour-blind and for black-and-white prints."""
SHEET_SUFFIXES = (".jpg", ".jpeg", ".png")
_STRONG = "#ff00aa"  # a colour that no studio and few garments have: soft edges and holes show on it
_ALL_GROUNDS = (CHECKERBOARD, "#ffffff", _STRONG)
_PAGE, _CARD, _BORDER, _INK, _MUTED = (234, 236, 238), (248, 249, 250), (214, 218, 222), (28, 30, 33), (100, 106, 114)
_TEXT: dict[Mark, Color] = {"": _MUTED, "doubtful": (160, 84, 0), "failed": (176, 20, 30), "not finished": _MUTED}
_EMPTY: dict[Mark, Color] = {"failed": (253, 236, 236), "not finished": (242, 243, 245)}

_ASPECT = 3 / 4  # width of a picture by its height: dressed mannequins are tall, tops are wide
_FILLED = 0.95  # of the picture's sides: the rest is air
_SQUARES = 40  # of the checkerboard, down a picture
_USUAL_CELL_PX, _USUAL_PAGE_PX, _VIEWS = 320, 2400, 3
_MOST_WORDS = 2  # lines of reasons and notes below a picture
_MOST_SIDE_PX, _MOST_PIXELS = 30_000, 100_000_000  # of a page
_READERS = 2  # threads; each holds one cutout at full size
_QUALITY = 92
_DRAWN = frozenset({*map(chr, range(32, 127)), *"©«°±´·»‘’“”…‹›⁄™"})  # noqa: RUF001 by the font that comes with Pillow


@dataclass
class SheetOptions:
    """What a sheet shows, and how it looks; all lengths are in pixels.

    Raises:
        ConfigError: a ground that is neither `checkerboard` nor a colour; the message says so.
    """

    # One or more of `checkerboard` and colours `#rrggbb`; each cutout is shown on all, side by side.
    grounds: tuple[str, ...] = _ALL_GROUNDS
    columns: int = 0  # cutouts in a line; 0: what fills a page of usual width, three views to a garment
    cell_px: int = _USUAL_CELL_PX  # height of a picture
    lines_per_page: int = 6
    trim: bool = True  # show only what is visible of a cutout, not the whole frame
    doubt_over: float = 0.1  # above, a cutout without a verdict is doubtful; 0.1 expects 90 % of the outline right
    read: ReadConfig = field(default_factory=ReadConfig)  # limits for the files

    def __post_init__(self) -> None:
        """Check the grounds, and work out all lengths."""
        for ground in self.grounds:
            if ground != CHECKERBOARD and not re.fullmatch("#[0-9a-fA-F]{6}", ground):
                raise ConfigError(
                    f"{ground!r} is not a ground; use checkerboard, white, all or a colour such as {_STRONG}"
                )
        scale = min(max(self.cell_px / _USUAL_CELL_PX, 0.7), 3)
        self.gap = round(10 * scale)  # between cards, and inside of them
        self.frame = round(5 * scale)  # width of a frame
        self.title, self.text = round(15 * scale), round(13 * scale)  # size of the letters
        self.title_line, self.text_line = round(self.title * 1.5), round(self.text * 1.4)  # height of a line
        self.header = 8 * self.gap  # height of the head of a page
        self.picture_hw = self.cell_px, round(self.cell_px * _ASPECT)  # with the air around it
        self.text_width = len(self.grounds) * self.picture_hw[1]
        self.card_width = self.text_width + 2 * self.gap  # of one cutout on all grounds
        if not self.columns:
            fitting = max(round(_USUAL_PAGE_PX * scale) // self.card_width, 1)
            self.columns = fitting - fitting % _VIEWS if fitting > _VIEWS else fitting

    def card_height(self, num_words: int) -> int:
        """With so many lines of words below the name and the facts."""
        return self.cell_px + 2 * self.gap + self.title_line + (1 + num_words) * self.text_line

    def page_hw(self, card_heights: Sequence[int]) -> tuple[int, int]:
        """Size of a page of lines so high; wide enough for the legend."""
        height = self.header + sum(card_heights) + self.gap * (len(card_heights) + 1)
        return height, max(self.columns * (self.card_width + self.gap) + 3 * self.gap, 48 * self.text)


def named_grounds(names: Iterable[str]) -> tuple[str, ...]:
    """Grounds, each once: `white` is a colour, `all` is checkerboard, white and a strong colour."""
    grounds = {"all": _ALL_GROUNDS, "white": ("#ffffff",)}
    return tuple(dict.fromkeys(ground for name in names for ground in grounds.get(name, (name,))))


@functools.lru_cache(maxsize=16)
def _font_of(size_px: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow."""
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont)  # a size was given
    return font


def width_of(text: str, size_px: int) -> float:
    """Pixels a line of text takes."""
    return _font_of(size_px).getlength(text)


def legible(text: str) -> str:
    """The text with what the font cannot draw replaced: `é` by `e`, anything without a base letter by `?`."""
    characters = (" " if one.isspace() else one for one in text if not unicodedata.combining(one))
    letters = (one if one in _DRAWN else unicodedata.normalize("NFKD", one)[0] for one in characters)
    return "".join(letter if letter in _DRAWN else "?" for letter in letters)


def fit_line(text: str, width_px: int, size_px: int) -> str:
    """One line of at most `width_px`; what is too long loses its middle: a name's end holds the view."""
    text = line = legible(text)
    for num_left in range(len(text), -1, -1):
        if width_of(line, size_px) <= width_px:
            return line
        tail = num_left // 2
        line = f"{text[: num_left - tail]}…{text[len(text) - tail :]}"
    return ""


def wrap_lines(text: str, width_px: int, size_px: int, *, max_lines: int) -> list[str]:
    """Lines of at most `width_px`, broken between words where possible; the last one ends in `…` if there is more."""
    rest, lines = " ".join(legible(text).split()), list[str]()
    while rest and len(lines) < max_lines:
        end = fitting = max(_num_fitting(rest, width_px, size_px), 1)
        if fitting < len(rest) and (blank := rest.rfind(" ", 0, fitting + 1)) > 0:
            end = blank
        lines.append(rest[:end])
        rest = rest[end:].lstrip()
    if rest and lines:
        last = lines[-1]
        while last and width_of(f"{last}…", size_px) > width_px:
            last = last[:-1]
        lines[-1] = f"{last}…"
    return lines


def _num_fitting(text: str, width_px: int, size_px: int) -> int:
    """How many of the first characters take at most `width_px`."""
    return bisect(range(1, len(text) + 1), float(width_px), key=lambda num: width_of(text[:num], size_px))


def break_lines(garments: Sequence[str], columns: int) -> list[list[int]]:
    """Places of cells in lines: the views of a garment stay in one line if they fit into one at all."""
    lines: list[list[int]] = []
    for _, run in groupby(range(len(garments)), key=lambda place: garments[place]):
        views = list(run)
        if not lines or (len(lines[-1]) + len(views) > columns and len(views) <= columns):
            lines.append([])
        for place in views:
            if len(lines[-1]) == columns:
                lines.append([])
            lines[-1].append(place)
    return lines


def draw_page(lines: Sequence[Sequence[Cell]], options: SheetOptions, *, title: str, subtitle: str = "") -> Rgb:
    """One page, `(H, W, 3)` uint8 sRGB."""
    # Cards of a line are as high as the one with the most words.
    heights = [options.card_height(max(len(_words_below(cell, options)) for cell in line)) for line in lines]
    page = Image.new("RGB", options.page_hw(heights)[::-1], _PAGE)
    _draw_head(page, options, title, subtitle)
    top = options.header
    for line, height in zip(lines, heights, strict=True):
        _draw_line(page, line, options, (top, height))
        top += height + options.gap
    return np.array(page)


def _draw_head(page: Image.Image, options: SheetOptions, title: str, subtitle: str) -> None:
    draw, left, text = ImageDraw.Draw(page), 2 * options.gap, options.text
    large, top = round(options.title * 1.6), round(1.4 * options.gap)
    draw.text((left, top), fit_line(title, page.width - 2 * left, large), _INK, _font_of(large))
    top, right = 5 * options.gap, page.width - left
    for mark in reversed(FRAMES):
        right -= round(width_of(mark, text))
        draw.text((right, top), mark, _MUTED, _font_of(text))
        right -= round(1.5 * text)
        swatch = (right, top + text // 6, right + text, top + text // 6 + text)
        draw.rectangle(swatch, _CARD, FRAMES[mark], max(options.frame // 2, 2))
        right -= 2 * options.gap
    draw.text((left, top), fit_line(subtitle, right - left, text), _MUTED, _font_of(text))


def _draw_line(page: Image.Image, line: Sequence[Cell], options: SheetOptions, span: tuple[int, int]) -> None:
    """Cards of one garment are joined into one."""
    draw, (top, height), step = ImageDraw.Draw(page), span, options.card_width + options.gap
    lefts = [2 * options.gap + column * step for column in range(len(line))]
    for _, run in groupby(range(len(line)), key=lambda place: line[place].garment):
        first, *_, last = [*run] * 2
        draw.rectangle((lefts[first], top, lefts[last] + options.card_width - 1, top + height - 1), _CARD, _BORDER)
    for cell, left in zip(line, lefts, strict=True):
        _draw_cell(page, cell, options, (left + options.gap, top + options.gap))
        if cell.mark:
            box = left, top, left + options.card_width - 1, top + height - 1
            draw.rectangle(box, None, FRAMES[cell.mark], options.frame)


def _draw_cell(page: Image.Image, cell: Cell, options: SheetOptions, corner_xy: tuple[int, int]) -> None:
    draw, (left, top), font = ImageDraw.Draw(page), corner_xy, _font_of(options.text)
    if cell.thumbnail is not None:
        square_px = max(options.cell_px // _SQUARES, 2)
        grounds = (draw_ground(ground, options.picture_hw, square_px=square_px) for ground in options.grounds)
        shown = np.hstack([lay_on_ground(cell.thumbnail, ground) for ground in grounds])
        page.paste(Image.fromarray(shown), (left, top))
    else:
        _draw_reason(draw, cell, options, corner_xy)
    top += options.cell_px + options.gap // 2
    draw.text((left, top), fit_line(cell.name, options.text_width, options.title), _INK, _font_of(options.title))
    top += options.title_line
    draw.text((left, top), fit_line(cell.facts, options.text_width, options.text), _MUTED, font)
    for number, words in enumerate(_words_below(cell, options), 1):
        draw.text((left, top + number * options.text_line), words, _TEXT[cell.mark], font)


def _draw_reason(draw: ImageDraw.ImageDraw, cell: Cell, options: SheetOptions, corner_xy: tuple[int, int]) -> None:
    """Where there is no picture, its place says why."""
    gap, width, (left, top) = options.gap, options.text_width, corner_xy
    draw.rectangle((left, top, left + width - 1, top + options.cell_px - 1), _EMPTY.get(cell.mark, _PAGE))
    draw.text((left + gap, top + gap), cell.mark, _TEXT[cell.mark], _font_of(round(options.title * 1.2)))
    max_lines = (options.cell_px - 2 * gap) // options.text_line - 2
    words = wrap_lines(cell.reason, width - 2 * gap, options.text, max_lines=max_lines)
    for number, line in enumerate(words, 2):
        draw.text((left + gap, top + gap + number * options.text_line), line, _INK, _font_of(options.text))


def _words_below(cell: Cell, options: SheetOptions) -> list[str]:
    """Reason and notes in a few lines; the reason of a missing picture stands in its place already."""
    reason = f"{cell.mark}: {cell.reason}" if cell.mark and cell.thumbnail is not None else ""
    words = "; ".join(filter(None, (reason.removesuffix(": "), *cell.notes)))
    return wrap_lines(words, options.text_width, options.text, max_lines=_MOST_WORDS)


def encode_sheet(page: Rgb, suffix: str) -> bytes:
    """A page as the content of a file with one of the `SHEET_SUFFIXES`."""
    file, image = io.BytesIO(), Image.fromarray(page)
    if suffix.lower() == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", SHEET_MARK.decode())
        image.save(file, "PNG", pnginfo=text, compress_level=6)
    else:
        # No colour subsampling: the strong ground would bleed into the soft edges that it is there to show.
        image.save(file, "JPEG", quality=_QUALITY, subsampling=0, comment=SHEET_MARK)
    return file.getvalue()


class ContactSheet:
    """The pages of one sheet: `sheet.jpg`, or `sheet_001.jpg`, `sheet_002.jpg` ... if one page does not hold them.

    >>> sheet = ContactSheet(Path("cutouts"), Path("sheet.jpg"))  # doctest: +SKIP
    >>> for cell in sheet.draw():  # doctest: +SKIP
    ...     print(cell.name, cell.mark, cell.page)

    Attributes:
        cells: all cutouts, not read yet.
        pages: files of the pages.
    """

    def __init__(self, folder: Path, out: Path, options: SheetOptions | None = None) -> None:
        """Plan all pages; no picture is read and nothing written.

        Raises:
            SourceError: nothing to show, pages too large, or `out` would replace something else.
        """
        options = options or SheetOptions()
        if out.suffix.lower() not in SHEET_SUFFIXES:
            raise SourceError(f"{out}: a sheet is written as {' or '.join(SHEET_SUFFIXES)}; change the suffix")
        self._folder, self._out = folder, out
        self.cells = find_cells(folder, doubt_over=options.doubt_over)
        lines = break_lines([cell.garment for cell in self.cells], options.columns)
        self._options = replace(options, columns=max(map(len, lines)))  # few cutouts make a narrow page
        step = options.lines_per_page
        height, width = self._options.page_hw([options.card_height(_MOST_WORDS)] * min(step, len(lines)))
        if max(height, width) > _MOST_SIDE_PX or height * width > _MOST_PIXELS:
            fix = "use fewer --columns or --rows-per-page, or a smaller --cell"
            raise SourceError(f"a page would have {width}x{height} pixels; {fix}")
        pages = [lines[start : start + step] for start in range(0, len(lines), step)]
        digits = max(len(str(len(pages))), 3)
        names = [f"{out.stem}_{number:0{digits}}{out.suffix}" for number in range(1, len(pages) + 1)]
        self._lines = dict(zip(map(out.with_name, names if len(pages) > 1 else [out.name]), pages, strict=True))
        self.pages = tuple(self._lines)
        others = [path for path in self.pages if path.exists() and not is_contact_sheet(path)]
        if others:
            raise SourceError(f"{others[0]} is there already and no contact sheet; choose another --out")

    def draw(self) -> Iterator[Cell]:
        """Read all cutouts and write the pages; yields each cell once it is read, without its thumbnail.

        Raises:
            OSError: a page cannot be written; those before it are whole.
        """
        with ThreadPoolExecutor(_READERS) as readers:
            try:
                for path, lines in self._lines.items():
                    places = [place for line in lines for place in line]
                    cells = readers.map(self._read, places)
                    read = dict[int, Cell]()
                    for place, cell in zip(places, cells, strict=True):
                        read[place] = cell
                        yield replace(cell, page=path, thumbnail=None)
                    self._write(path, [[read[place] for place in line] for line in lines])
            finally:
                readers.shutdown(cancel_futures=True)
        # Pages of an earlier, longer sheet of the same name would be taken for pages of this one.
        name = re.compile(rf"{re.escape(self._out.stem)}(_\d{{3,}})?{re.escape(self._out.suffix)}")
        for path in list(self._out.parent.iterdir()):
            if name.fullmatch(path.name) and path not in self.pages and is_contact_sheet(path):
                path.unlink(missing_ok=True)

    def _read(self, place: int) -> Cell:
        height, width = (round(side * _FILLED) for side in self._options.picture_hw)
        return read_cell(self.cells[place], (height, width), self._options.read, trim=self._options.trim)

    def _write(self, path: Path, lines: list[list[Cell]]) -> None:
        count = f"{len(self.cells)} cutout{'s' * (len(self.cells) > 1)}"
        page = (f"page {self.pages.index(path) + 1} of {len(self.pages)}",) if len(self.pages) > 1 else ()
        grounds = ", ".join({"#ffffff": "white"}.get(ground.lower(), ground) for ground in self._options.grounds)
        subtitle = " · ".join((count, *page, f"on {grounds}"))
        drawn = draw_page(lines, self._options, title=self._folder.resolve().name, subtitle=subtitle)
        write_atomic(path, encode_sheet(drawn, path.suffix))
