"""`garmentcut sheet`: finds a folder's cutouts and draws thumbnails of them, in lines on pages, doubtful ones framed.

All pages are planned first, then drawn one by one, in flat memory. The review page shows the same thumbnails.
"""

import io
import os
import re
import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import chain, groupby
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from garmentcut.config import ReadConfig
from garmentcut.errors import ConfigError, PhotoError, SourceError, counted
from garmentcut.naming import VIEWS
from garmentcut.photo.compose import CHECKERBOARD, Rgb, Thumbnail, draw_ground, lay_on_ground, shrink_cutout
from garmentcut.photo.files import write_atomic
from garmentcut.photo.mask import HALF_LEVEL
from garmentcut.photo.photo import Cutout
from garmentcut.photo.read import read_photo
from garmentcut.photo.truth import CUTOUT_SUFFIXES, read_cutout
from garmentcut.prediction.results import DOUBT_OVER, RESULTS_NAME, Journal, Row
from garmentcut.prediction.sources import subject_of
from garmentcut.prediction.steps import APPROVED, review_state

Mark = Literal["", "doubtful", "failed", "not finished"]
Color = tuple[int, int, int]

SHEET_MARK, _HEAD_BYTES = b"garmentcut contact sheet", 512  # marks files of contact sheets, before the pixels
_BEST_FIRST = (".png", ".tif", ".tiff", ".webp", ".psd", ".psb")  # of several outputs, the first of these is shown
_MASK_END, _JPEG_SUFFIXES = "_mask", (".jpg", ".jpeg", ".jpe", ".mpo")

FRAMES: dict[Mark, Color] = {"doubtful": (245, 146, 0), "failed": (200, 30, 40), "not finished": (130, 138, 148)}
"""Colours of the frames; the caption says the same in words, for the colour-blind and for black-and-white prints."""
SHEET_SUFFIXES = (".jpg", ".jpeg", ".png")
_STRONG = "#ff00aa"  # a colour of no studio and few garments, so that soft edges and holes show on it
_ALL_GROUNDS = (CHECKERBOARD, "#ffffff", _STRONG)
_PAGE, _CARD, _BORDER, _INK, _MUTED = (234, 236, 238), (248, 249, 250), (214, 218, 222), (28, 30, 33), (100, 106, 114)
_TEXT = {"": _MUTED, "doubtful": (160, 84, 0), "failed": (176, 20, 30), "not finished": _MUTED}
_EMPTY = {"failed": (253, 236, 236), "not finished": (242, 243, 245)}

_ASPECT = 3 / 4  # width of a picture over its height: dressed mannequins are tall, tops are wide
_FILLED = 0.95  # of the picture's sides; the rest is empty
_SQUARES = 40  # of the checkerboard, over a picture's height
_USUAL_CELL_PX, _USUAL_PAGE_PX, _VIEWS = 320, 2400, 3
_MOST_WORDS = 2  # lines of reasons and notes below a picture
_MOST_SIDE_PX, _MOST_PIXELS = 30_000, 100_000_000  # of a page
_READERS = 2  # threads; each holds one cutout at full size
_QUALITY = 92
_DRAWN = frozenset({*map(chr, range(32, 127)), *"©«°±´·»‘’“”…‹›⁄™"})  # noqa: RUF001 - by Pillow's font


@dataclass(frozen=True, eq=False)
class Cell:
    """One cutout of a sheet."""

    name: str  # path of its file below the folder, with `/`, without suffix
    file: Path | None = None  # the file to show; None: there is none
    photo: Path | None = None  # what it was cut from, if that is known
    mark: Mark = ""  # why it needs a person; empty: it does not
    reason: str = ""  # for the mark, in words
    notes: tuple[str, ...] = ()  # further words
    doubt: float | None = None  # in [0, 1]; None: not known
    facts: str = ""  # what every cutout has, such as its size
    thumbnail: Thumbnail | None = None  # None: not read yet, or there is none; then the reason is shown instead
    page: Path | None = None  # file of the page that shows it

    @cached_property
    def garment(self) -> str:
        """Folder and garment id, which all views of one garment share."""
        place = PurePosixPath(self.name.removesuffix(_MASK_END))
        subject = subject_of(place)
        return str(place.with_name(subject.garment)) if subject.view in VIEWS else self.name

    @property
    def order(self) -> tuple[object, ...]:
        """A sort key: garments by name with numbers by value (2 before 10), views as in `VIEWS`."""
        view = subject_of(PurePosixPath(self.name.removesuffix(_MASK_END))).view
        suffix = self.file.suffix.lower() if self.file else ""
        return _counted(self.garment), [*VIEWS, view].index(view), _counted(self.name), suffix


def _counted(name: str) -> list[tuple[int, str]]:
    """A sort key: numbers by value, letters without case; digits before letters belong to an id."""
    pieces = re.split(r"(\d+(?![^\W_]))", name)
    return [(int(piece), piece) if place % 2 else (0, piece.casefold()) for place, piece in enumerate(pieces)]


def find_cells(folder: Path, *, doubt_over: float) -> list[Cell]:
    """Find the cutouts of a folder, in order, without reading pictures.

    In a folder of `garmentcut cut`, even while it is running, `results.jsonl` gives one cell per photo, the failed ones
    too. In other folders every picture, subfolders included, is a cell, except contact sheets, and masks and JPEG files
    beside a cutout of the same name. A cutout without a verdict is doubtful above `doubt_over`.

    Raises:
        SourceError: there is no such folder, it has no cutouts, or its `results.jsonl` is not garmentcut's.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    has_results = (folder / RESULTS_NAME).exists()
    try:
        if has_results:  # no lock is needed, because rows are appended whole, or the file is replaced in one step
            cells = [_cell_of(folder, row, doubt_over) for row in Journal(folder).rows.values()]
        else:
            cells = _cells_of_files(folder)
    except OSError as error:
        raise SourceError(f"{error.filename or folder}: {error.strerror or error}; make it readable") from error
    if not cells:
        raise SourceError(f"{folder}: no cutouts{' yet' if has_results else ''}; name a folder that holds some")
    return sorted(cells, key=lambda cell: cell.order)


def _cell_of(folder: Path, row: Row, doubt_over: float) -> Cell:
    cell = Cell(row.place or Path(row.input).stem, photo=Path(row.input), notes=row.notes)
    if row.status == "failed":
        return replace(cell, mark="failed", reason=row.reason)
    if row.status == "pending":
        return replace(cell, mark="not finished", reason="being cut, or stopped: run garmentcut cut again")
    file = folder / min(row.outputs, key=_rank, default="")
    if not file.is_file():
        gone = f"{file.name} is gone" if row.outputs else "nothing was written"
        return replace(cell, mark="failed", reason=f"{gone}; run garmentcut cut again")
    cell = replace(cell, file=file, doubt=row.doubt)
    if not row.is_doubtful_over(doubt_over) or review_state(folder, row) in APPROVED:
        return cell
    why = "; ".join(row.reasons) or ("to review" if row.verdict else f"its doubt is over {doubt_over:g}")
    return replace(cell, mark="doubtful", reason=why)


def _rank(output: str) -> tuple[bool, int]:
    path = PurePosixPath(output)
    return path.stem.endswith(_MASK_END), [*_BEST_FIRST, path.suffix].index(path.suffix)


def _cells_of_files(folder: Path) -> list[Cell]:
    unreadable, cells = list[OSError](), list[Cell]()
    for here, subfolders, files in os.walk(folder, onerror=unreadable.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        same = defaultdict[str, list[Path]](list)  # files of the same name
        for path in (Path(here, name) for name in sorted(files) if not name.startswith(".")):
            if path.suffix.lower() in CUTOUT_SUFFIXES and not is_contact_sheet(path):
                same[path.stem.removesuffix(_MASK_END)].append(path)
        for paths in same.values():
            cutouts = [path for path in paths if not path.stem.endswith(_MASK_END)]
            shown = [path for path in cutouts if path.suffix.lower() not in _JPEG_SUFFIXES] or paths
            cells += [Cell(path.relative_to(folder).with_suffix("").as_posix(), path) for path in shown]
    for error in unreadable:
        name = Path(error.filename).relative_to(folder).as_posix()
        cells.append(Cell(name, mark="failed", reason=f"the folder cannot be read: {error.strerror}"))
    return cells


def read_cell(cell: Cell, size_hw: tuple[int, int], limits: ReadConfig, *, trim: bool = True) -> Cell:
    """Add a cell's thumbnail and what its file shows; never raises, whatever the file holds."""
    if cell.file is None:
        return cell
    try:
        cutout, notes, suspicion = _read_shown(cell.file, cell.photo, limits)
        thumbnail = shrink_cutout(cutout, size_hw, trim=trim)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one file must not stop the others
        reason = "not enough memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
        return replace(cell, facts=cell.file.name, mark="failed", reason=reason.removeprefix(f"{cell.file}: "))
    height, width = cutout.alpha.shape
    doubt = () if cell.doubt is None else (f"doubt {cell.doubt:.2f}",)
    return replace(
        cell,
        thumbnail=thumbnail,
        facts=" · ".join((f"{width} x {height} px", cell.file.suffix.lstrip(".").lower(), *doubt)),
        mark="doubtful" if suspicion else cell.mark,
        reason="; ".join(filter(None, (cell.reason, suspicion))),
        notes=(*cell.notes, *notes),
    )


def _read_shown(file: Path, photo_file: Path | None, limits: ReadConfig) -> tuple[Cutout, tuple[str, ...], str]:
    """The cutout that a file shows, notes, and what in the file itself makes it doubtful."""
    try:
        found = read_cutout(file, limits)
    except PhotoError as error:
        # A picture without transparency is shown as it is: `garmentcut cut --background` writes such files.
        try:
            photo = read_photo(file, limits=limits)
        except PhotoError:
            raise error from None
        cutout = Cutout(photo.rgb, np.ones(photo.size_hw, np.float32), photo.profile)
        if photo_file is None:
            return cutout, (), "nothing in the file says what is cut out"
        return cutout, ("on a background, not transparent",), ""
    alpha = found.alpha
    suspicion = "nothing is cut out: no pixel is transparent" if alpha.min() > 1 - HALF_LEVEL else ""
    suspicion = "empty: nothing is visible" if alpha.max() < HALF_LEVEL else suspicion
    if found.rgb is not None:
        return Cutout(found.rgb, alpha, found.profile), found.notes, suspicion
    # A bare mask is shown on its photo or, without one, as it is, white on black.
    note = "mask alone: its photo is not known"
    try:
        if photo_file is not None:
            photo = read_photo(photo_file, limits=limits)
            if photo.size_hw == alpha.shape:
                return Cutout.of(photo, alpha), (*found.notes, "its photo under the mask"), suspicion
            note = "mask alone: its photo has another size"
    except PhotoError:
        note = "mask alone: its photo can no longer be read"
    levels = np.rint(alpha * np.float32(255)).astype(np.uint8)
    return Cutout(np.repeat(levels[..., None], 3, axis=2), np.ones_like(alpha)), (*found.notes, note), suspicion


def is_contact_sheet(path: Path) -> bool:
    """True for files made by `encode_sheet`; False also if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return SHEET_MARK in file.read(_HEAD_BYTES)
    except OSError:
        return False


@dataclass
class SheetOptions:
    """Content and layout of a sheet; all lengths are in pixels.

    Raises:
        ConfigError: a ground is neither `checkerboard` nor a colour.
    """

    grounds: tuple[str, ...] = _ALL_GROUNDS  # each cutout is shown on all of them, side by side; see `draw_ground`
    columns: int = 0  # cutouts in a line; 0: as many as fill a page of usual width, for three views per garment
    cell_px: int = _USUAL_CELL_PX  # height of a picture
    lines_per_page: int = 6
    trim: bool = True  # show only the visible part of a cutout, not the whole frame
    doubt_over: float = DOUBT_OVER  # above, a cutout without a verdict is doubtful
    read: ReadConfig = field(default_factory=ReadConfig)  # limits for the files

    def __post_init__(self) -> None:
        for ground in self.grounds:
            if ground != CHECKERBOARD and not re.fullmatch("#[0-9a-fA-F]{6}", ground):
                fix = f"use checkerboard, white, all or a colour such as {_STRONG}"
                raise ConfigError(f"{ground!r} is not a ground; {fix}")
        scale = min(max(self.cell_px / _USUAL_CELL_PX, 0.7), 3)
        self.gap = round(10 * scale)  # between cards, and inside them
        self.frame = round(5 * scale)  # width of a frame
        self.title, self.text = round(15 * scale), round(13 * scale)  # font sizes
        self.title_line, self.text_line = round(self.title * 1.5), round(self.text * 1.4)  # height of a line
        self.header = 8 * self.gap  # height of a page's header
        self.picture_hw = self.cell_px, round(self.cell_px * _ASPECT)  # with the space around it
        self.text_width = len(self.grounds) * self.picture_hw[1]
        self.card_width = self.text_width + 2 * self.gap  # of one cutout on all grounds
        if not self.columns:
            fitting = max(round(_USUAL_PAGE_PX * scale) // self.card_width, 1)
            self.columns = fitting - fitting % _VIEWS if fitting > _VIEWS else fitting

    def card_height(self, num_words: int) -> int:
        """Height of a card with this many lines of words below the name and the facts."""
        return self.cell_px + 2 * self.gap + self.title_line + (1 + num_words) * self.text_line

    def page_hw(self, card_heights: Sequence[int]) -> tuple[int, int]:
        """Size of a page whose lines have these heights; it is wide enough for the legend."""
        height = self.header + sum(card_heights) + self.gap * (len(card_heights) + 1)
        return height, max(self.columns * (self.card_width + self.gap) + 3 * self.gap, 48 * self.text)


def named_grounds(names: Iterable[str]) -> tuple[str, ...]:
    """Grounds by name, each once: `white` is a colour; `all` is checkerboard, white and a strong colour."""
    grounds = {"all": _ALL_GROUNDS, "white": ("#ffffff",)}
    return tuple(dict.fromkeys(ground for name in names for ground in grounds.get(name, (name,))))


_font_of = lru_cache(maxsize=16)(ImageFont.load_default)
"""The font that comes with Pillow, by its size in pixels."""


def width_of(text: str, size_px: int) -> float:
    """Width of a line of text, in pixels."""
    return _font_of(size_px).getlength(text)


def legible(text: str) -> str:
    """Replace what the font cannot draw: `é` by `e`, anything without a base letter by `?`."""
    characters = (" " if one.isspace() else one for one in text if not unicodedata.combining(one))
    letters = (one if one in _DRAWN else unicodedata.normalize("NFKD", one)[0] for one in characters)
    return "".join(letter if letter in _DRAWN else "?" for letter in letters)


def fit_line(text: str, width_px: int, size_px: int) -> str:
    """Shorten a text to one line of at most `width_px`, in the middle, because a name ends in the view."""
    text = legible(text)
    nums_left = range(len(text) - 1, 0, -1)
    shorter = (f"{text[: num_left - num_left // 2]}…{text[len(text) - num_left // 2 :]}" for num_left in nums_left)
    return next((line for line in chain([text], shorter) if width_of(line, size_px) <= width_px), "")


def wrap_lines(text: str, width_px: int, size_px: int, *, max_lines: int) -> list[str]:
    """Wrap a text to lines of at most `width_px`, between words if possible; the last ends in `…` if there is more."""
    most = 4 * width_px // size_px + 1  # letters in a line; none is narrower than a quarter of the font's size
    text = " ".join(legible(text).split())[: max_lines * most + 1]
    for num_letters in range(most if max_lines > 0 else 0, 0, -1):
        lines = textwrap.wrap(text, num_letters, break_on_hyphens=False)
        if len(lines) > max_lines:  # textwrap's own limit would drop a whole word, perhaps the only one
            lines[max_lines - 1 :] = [f"{lines[max_lines - 1][: num_letters - 1]}…"]
        if all(width_of(line, size_px) <= width_px for line in lines):
            return lines
    return []


def break_lines(garments: Sequence[str], columns: int) -> list[list[int]]:
    """Indices of the cells in each line; the views of a garment stay in one line if they fit into one at all."""
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
    # All cards of a line are as high as the one with the most words.
    heights = [options.card_height(max(len(_words_below(cell, options)) for cell in line)) for line in lines]
    page = Image.new("RGB", options.page_hw(heights)[::-1], _PAGE)
    draw, gap, top = ImageDraw.Draw(page), options.gap, options.header
    _draw_head(draw, options, (title, subtitle), page.width)
    for line, height in zip(lines, heights, strict=True):
        left = 2 * gap
        for _, views in groupby(line, key=lambda cell: cell.garment):
            cells = list(views)  # whose cards are joined
            right = left + len(cells) * (options.card_width + gap) - gap
            draw.rectangle((left, top, right - 1, top + height - 1), _CARD, _BORDER)
            for cell in cells:
                _draw_cell(page, cell, options, (left + gap, top + gap))
                if cell.mark:
                    box = left, top, left + options.card_width - 1, top + height - 1
                    draw.rectangle(box, None, FRAMES[cell.mark], options.frame)
                left += options.card_width + gap
        top += height + gap
    return np.array(page)


def _draw_head(draw: ImageDraw.ImageDraw, options: SheetOptions, titles: tuple[str, str], page_width: int) -> None:
    left, text, large = 2 * options.gap, options.text, round(options.title * 1.6)
    top, right = 5 * options.gap, page_width - left
    draw.text((left, round(1.4 * options.gap)), fit_line(titles[0], right - left, large), _INK, _font_of(large))
    for mark in reversed(FRAMES):
        right -= round(width_of(mark, text))
        draw.text((right, top), mark, _MUTED, _font_of(text))
        right -= round(1.5 * text)
        swatch = (right, top + text // 6, right + text, top + text // 6 + text)
        draw.rectangle(swatch, _CARD, FRAMES[mark], max(options.frame // 2, 2))
        right -= 2 * options.gap
    draw.text((left, top), fit_line(titles[1], right - left, text), _MUTED, _font_of(text))


def _draw_cell(page: Image.Image, cell: Cell, options: SheetOptions, corner_xy: tuple[int, int]) -> None:
    draw, (left, top), gap, width = ImageDraw.Draw(page), corner_xy, options.gap, options.text_width
    small, title = _font_of(options.text), _font_of(options.title)
    if cell.thumbnail is not None:
        square_px = max(options.cell_px // _SQUARES, 2)
        grounds = (draw_ground(ground, options.picture_hw, square_px=square_px) for ground in options.grounds)
        shown = np.hstack([lay_on_ground(cell.thumbnail, ground) for ground in grounds])
        page.paste(Image.fromarray(shown), corner_xy)
    else:  # the reason takes the place of a missing picture
        draw.rectangle((left, top, left + width - 1, top + options.cell_px - 1), _EMPTY.get(cell.mark, _PAGE))
        draw.text((left + gap, top + gap), cell.mark, _TEXT[cell.mark], _font_of(round(options.title * 1.2)))
        num_lines = (options.cell_px - 2 * gap) // options.text_line - 2
        words = wrap_lines(cell.reason, width - 2 * gap, options.text, max_lines=num_lines)
        for number, line in enumerate(words, 2):
            draw.text((left + gap, top + gap + number * options.text_line), line, _INK, small)
    top += options.cell_px + gap // 2
    draw.text((left, top), fit_line(cell.name, width, options.title), _INK, title)
    top += options.title_line
    draw.text((left, top), fit_line(cell.facts, width, options.text), _MUTED, small)
    for number, line in enumerate(_words_below(cell, options), 1):
        draw.text((left, top + number * options.text_line), line, _TEXT[cell.mark], small)


def _words_below(cell: Cell, options: SheetOptions) -> list[str]:
    """Reason and notes in a few lines; the reason for a missing picture is already shown in its place."""
    reason = f"{cell.mark}: {cell.reason}" if cell.mark and cell.thumbnail is not None else ""
    words = "; ".join(filter(None, (reason.removesuffix(": "), *cell.notes)))
    return wrap_lines(words, options.text_width, options.text, max_lines=_MOST_WORDS)


def encode_sheet(page: Rgb, suffix: str) -> bytes:
    """Encode a page as the content of a file with one of the `SHEET_SUFFIXES`."""
    file, image = io.BytesIO(), Image.fromarray(page)
    if suffix.lower() == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", SHEET_MARK.decode())
        image.save(file, "PNG", pnginfo=text, compress_level=6)
    else:
        # No chroma subsampling: the strong ground would bleed into the soft edges that it is meant to show.
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
        """Plan all pages; no picture is read and nothing written. Raises SourceError if there is nothing to show."""
        options = options or SheetOptions()
        if out.suffix.lower() not in SHEET_SUFFIXES:
            raise SourceError(f"{out}: a sheet is written as {' or '.join(SHEET_SUFFIXES)}; change the suffix")
        self._folder, self._out = folder, out
        self.cells = find_cells(folder, doubt_over=options.doubt_over)
        lines = break_lines([cell.garment for cell in self.cells], options.columns)
        self._options = replace(options, columns=max(map(len, lines)))  # a few cutouts make a narrow page
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
        if other := next((path for path in self.pages if path.exists() and not is_contact_sheet(path)), None):
            raise SourceError(f"{other} exists already and is not a contact sheet; choose another --out")

    def draw(self) -> Iterator[Cell]:
        """Read all cutouts and write the pages; yields each cell once it is read, without its thumbnail.

        Raises:
            OSError: a page cannot be written; those before it are complete.
        """
        with ThreadPoolExecutor(_READERS) as readers:
            for path, lines in self._lines.items():
                read = list[Cell]()
                for cell in readers.map(self._read, chain(*lines)):
                    read.append(cell)
                    yield replace(cell, page=path, thumbnail=None)
                self._write(path, [[read.pop(0) for _ in line] for line in lines])
        # Remove pages of an earlier, longer sheet of the same name, which would be taken for pages of this one.
        name = re.compile(rf"{re.escape(self._out.stem)}(_\d{{3,}})?{re.escape(self._out.suffix)}")
        for path in list(self._out.parent.iterdir()):
            if name.fullmatch(path.name) and path not in self.pages and is_contact_sheet(path):
                path.unlink(missing_ok=True)

    def _read(self, place: int) -> Cell:
        height, width = (round(side * _FILLED) for side in self._options.picture_hw)
        return read_cell(self.cells[place], (height, width), self._options.read, trim=self._options.trim)

    def _write(self, path: Path, lines: list[list[Cell]]) -> None:
        page = (f"page {self.pages.index(path) + 1} of {len(self.pages)}",) if len(self.pages) > 1 else ()
        grounds = ", ".join({"#ffffff": "white"}.get(ground.lower(), ground) for ground in self._options.grounds)
        subtitle = " · ".join((counted(sum(bool(cell.file) for cell in self.cells), "cutout"), *page, f"on {grounds}"))
        drawn = draw_page(lines, self._options, title=self._folder.resolve().name, subtitle=subtitle)
        write_atomic(path, encode_sheet(drawn, path.suffix))
