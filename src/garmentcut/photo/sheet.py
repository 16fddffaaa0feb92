"""Draws the pages of `garmentcut sheet`: cutouts in lines, on one or several backgrounds, doubtful ones framed."""

import functools
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from garmentcut.errors import ConfigError
from garmentcut.photo.color import srgb_of
from garmentcut.photo.mask import bounding_box, slices_of
from garmentcut.photo.photo import Picture, to_8_bit

Rgb = NDArray[np.uint8]
"""`(H, W, 3)` sRGB."""
Thumbnail = NDArray[np.uint8]
"""`(h, w, 4)` sRGB and alpha, premultiplied: what alpha hides is black."""

CHECKERBOARD: Literal["checkerboard"] = "checkerboard"
LIGHT, DARK = 255, 204
"""Levels of the checkerboard's squares, as in Photoshop."""

_SEEN = 0.05  # of alpha: on any ground, less is seen by nobody

STRONG = "#ff00aa"
"""A colour that no studio and few garments have: soft edges and holes show on it."""

MOST_WORDS = 2
"""Lines of reasons and notes below a picture."""

Mark = Literal["", "doubtful", "failed", "not finished"]
Color = tuple[int, int, int]

FRAMES: dict[Mark, Color] = {"doubtful": (245, 146, 0), "failed": (200, 30, 40), "not finished": (130, 138, 148)}
"""Colours of the frames; the caption says the same in words, for the colour-blind and for black-and-white prints."""

_ELLIPSIS = "…"
_NOT_IN_ANY_FONT = "\uffff"  # a noncharacter: drawn as the box that stands for a missing glyph
_SUBSTITUTE = "?"
ALL_GROUNDS = (CHECKERBOARD, "#ffffff", STRONG)
_ASPECT = 3 / 4  # width of a picture by its height: dressed mannequins are tall, tops are wide
_FILLED = 0.95  # of the picture's sides: the rest is air
_SQUARES = 40  # of the checkerboard, down a picture
_USUAL_CELL_PX, _USUAL_PAGE_PX = 320, 2400
_VIEWS = 3
_PAGE, _CARD, _BORDER, _INK, _MUTED = (234, 236, 238), (248, 249, 250), (214, 218, 222), (28, 30, 33), (100, 106, 114)
_TEXT: dict[Mark, Color] = {"": _MUTED, "doubtful": (160, 84, 0), "failed": (176, 20, 30), "not finished": _MUTED}
_EMPTY: dict[Mark, Color] = {"failed": (253, 236, 236), "not finished": (242, 243, 245)}
SHEET_SUFFIXES = (".jpg", ".jpeg", ".png")
_MARK = b"garmentcut contact sheet"
_HEAD_BYTES = 512  # the mark stands before the pixels
_QUALITY = 92


def shrink_cutout(picture: Picture, size_hw: tuple[int, int], *, trim: bool = True) -> Thumbnail:
    """Fit a cutout into a size; a small one is not enlarged.

    Every pixel counts by its alpha, so that hidden colours do not bleed into the edge; the filter does not overshoot,
    so that the edge gets no halo that the file does not have.

    Args:
        picture: any size.
        size_hw: height and width to fit into.
        trim: show only the box of what an eye sees, specks too; where there is nothing, the whole frame.

    Raises:
        PhotoError: its colour profile cannot be applied.
    """
    part = slices_of((bounding_box(picture.alpha > _SEEN) if trim else None) or (0, 0, *picture.alpha.shape[::-1]))
    alpha: NDArray[np.uint8] = np.rint(picture.alpha[part] * np.float32(255)).astype(np.uint8)
    rgb = srgb_of(to_8_bit(picture.rgb[part]), picture.metadata.profile)
    image = Image.fromarray(np.dstack([rgb, alpha])).convert("RGBa")
    scale = min(size_hw[0] / image.height, size_hw[1] / image.width, 1)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return np.array(image.resize(size, Image.Resampling.HAMMING, reducing_gap=3.0))


def draw_ground(ground: str, size_hw: tuple[int, int], *, square_px: int = 8) -> Rgb:
    """A ground to lay thumbnails on.

    Args:
        ground: `checkerboard`, or a colour `#rrggbb`.
        size_hw: height and width.
        square_px: side of the checkerboard's squares.
    """
    if ground != CHECKERBOARD:
        return np.broadcast_to(np.frombuffer(bytes.fromhex(ground[1:]), np.uint8), (*size_hw, 3)).copy()
    y, x = (np.arange(side) // square_px for side in size_hw)
    odd = (y[:, None] + x) % 2 == 1
    return np.repeat(np.where(odd, np.uint8(DARK), np.uint8(LIGHT))[..., None], 3, axis=2)


def lay_on_ground(thumbnail: Thumbnail, ground: Rgb) -> Rgb:
    """The ground with the thumbnail in its middle; the thumbnail is no larger than the ground."""
    height, width = thumbnail.shape[:2]
    top, left = (ground.shape[0] - height) // 2, (ground.shape[1] - width) // 2
    laid = ground.copy()
    place = laid[top : top + height, left : left + width]
    shown_through = (place * (255 - thumbnail[..., 3:].astype(np.uint16)) + 127) // 255
    place[:] = np.minimum(shown_through + thumbnail[..., :3], 255)
    return laid


def legible(text: str) -> str:
    """The text with what the font cannot draw replaced: `é` by `e`, anything without a base letter by `?`."""
    return "".join(map(_legible_character, text))


def width_of(text: str, size_px: int) -> float:
    """Pixels a line of text takes."""
    return font_of(size_px).getlength(text)


def fit_line(text: str, width_px: int, size_px: int) -> str:
    """One line of at most `width_px`; what is too long loses its middle: a name's end holds the view."""
    text = legible(text)
    if width_of(text, size_px) <= width_px:
        return text
    for num_kept in range(len(text) - 1, 0, -1):
        tail = num_kept // 2
        shortened = text[: num_kept - tail] + _ELLIPSIS + text[len(text) - tail :]
        if width_of(shortened, size_px) <= width_px:
            return shortened
    return ""


def wrap_lines(text: str, width_px: int, size_px: int, *, max_lines: int) -> list[str]:
    """Lines of at most `width_px`, broken between words where possible; the last one ends in `…` if there is more."""
    rest, lines = " ".join(legible(text).split()), list[str]()
    while rest and len(lines) < max_lines:
        num_fitting = _num_fitting(rest, width_px, size_px)
        blank = rest.rfind(" ", 0, num_fitting + 1)
        end = num_fitting if num_fitting == len(rest) or blank <= 0 else blank
        lines.append(rest[:end])
        rest = rest[end:].lstrip()
    if rest and lines:
        last = lines[-1]
        while last and width_of(last + _ELLIPSIS, size_px) > width_px:
            last = last[:-1]
        lines[-1] = last + _ELLIPSIS
    return lines


@functools.lru_cache(maxsize=16)
def font_of(size_px: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow."""
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont)  # a size was given
    return font


def _num_fitting(text: str, width_px: int, size_px: int) -> int:
    """How many of its first characters fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(text[:middle], size_px) <= width_px else (low, middle - 1)
    return low


@functools.lru_cache(maxsize=4096)
def _legible_character(character: str) -> str:
    if character.isspace():
        return " "
    for candidate in (character, unicodedata.normalize("NFKD", character)[:1]):
        if candidate.isprintable() and _glyph(candidate) != _glyph(_NOT_IN_ANY_FONT):
            return candidate
    return "" if unicodedata.combining(character) else _SUBSTITUTE


def _glyph(character: str) -> tuple[tuple[int, int], bytes]:
    mask = font_of(16).getmask(character)
    return mask.size, bytes(mask)


@dataclass(frozen=True)
class SheetStyle:
    """How a sheet looks.

    Attributes:
        grounds: one or more of `checkerboard` and colours `#rrggbb`; each cutout is shown on all, side by side.
        columns: cutouts in a line; 0: what fills a page of usual width, three views to a garment.
        cell_px: height of a picture.

    Raises:
        ConfigError: a ground that is neither; the message says so.
    """

    grounds: tuple[str, ...] = ALL_GROUNDS
    columns: int = 0
    cell_px: int = _USUAL_CELL_PX

    def __post_init__(self) -> None:
        """Check the grounds, count the columns."""
        for ground in self.grounds:
            if ground != CHECKERBOARD and not re.fullmatch("#[0-9a-fA-F]{6}", ground):
                raise ConfigError(
                    f"{ground!r} is not a ground; use checkerboard, white, all or a colour such as {STRONG}"
                )
        if not self.columns:
            fitting = max(round(_USUAL_PAGE_PX * self.scale) // self.measures.card_width, 1)
            object.__setattr__(self, "columns", fitting - fitting % _VIEWS if fitting > _VIEWS else fitting)

    @property
    def scale(self) -> float:
        """Of letters and gaps, to those of a usual cell."""
        return min(max(self.cell_px / _USUAL_CELL_PX, 0.7), 3)

    @property
    def picture_hw(self) -> tuple[int, int]:
        """Height and width of a picture with the air around it."""
        return self.cell_px, round(self.cell_px * _ASPECT)

    @property
    def thumbnail_hw(self) -> tuple[int, int]:
        """Largest height and width of a thumbnail."""
        return round(self.picture_hw[0] * _FILLED), round(self.picture_hw[1] * _FILLED)

    @property
    def square_px(self) -> int:
        """Side of the checkerboard's squares."""
        return max(self.cell_px // _SQUARES, 2)

    @property
    def measures(self) -> "Measures":
        """Lengths in pixels."""
        gap, inset, frame, title, text = (round(length * self.scale) for length in (10, 10, 5, 15, 13))
        return Measures(gap, inset, frame, title, text, len(self.grounds) * self.picture_hw[1] + 2 * inset)

    def page_hw(self, num_lines: int) -> tuple[int, int]:
        """Largest size a page of so many lines can have."""
        size = self.measures
        card_height = self.cell_px + 2 * size.inset + size.title_line + (1 + MOST_WORDS) * size.text_line
        return size.header + num_lines * (card_height + size.gap) + size.gap, size.page_width(self.columns)


def named_grounds(names: Iterable[str]) -> tuple[str, ...]:
    """Grounds for a style: `white` is a colour, `all` is checkerboard, white and the strong colour."""
    grounds = {"all": ALL_GROUNDS, "white": ("#ffffff",)}
    # A dict keeps the order: each ground once.
    return tuple(dict.fromkeys(ground for name in names for ground in grounds.get(name, (name,))))


class Measures(NamedTuple):
    """Lengths of a sheet in pixels."""

    gap: int
    inset: int
    frame: int
    title: int
    text: int
    card_width: int

    @property
    def title_line(self) -> int:
        """Height of a line of the title."""
        return round(self.title * 1.5)

    @property
    def text_line(self) -> int:
        """Height of a line of other text."""
        return round(self.text * 1.4)

    @property
    def header(self) -> int:
        """Height of the head of a page."""
        return 8 * self.gap

    def page_width(self, columns: int) -> int:
        """Of so many cards; wide enough for the legend."""
        return max(columns * (self.card_width + self.gap) + 3 * self.gap, 48 * self.text)


@dataclass(frozen=True, eq=False)
class Cell:
    """One cutout of a sheet.

    Attributes:
        title: its name.
        garment: cells that stand side by side and share it, share a card.
        thumbnail: the cutout; None: there is none, and the reason takes its place.
        facts: what to know of every cutout, such as its size.
        mark: why it needs a person; empty: it does not.
        reason: of the mark, in words.
        notes: further words.
    """

    title: str
    garment: str = ""
    thumbnail: Thumbnail | None = None
    facts: str = ""
    mark: Mark = ""
    reason: str = ""
    notes: str = ""


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


def draw_page(lines: Sequence[Sequence[Cell]], style: SheetStyle, *, title: str, subtitle: str = "") -> Rgb:
    """One page.

    Args:
        lines: as `break_lines` places them, at most `style.columns` each.
        style: how it looks; the page is as wide as its columns.
        title: head of the page.
        subtitle: a line below it.

    Returns:
        `(H, W, 3)` uint8 sRGB.
    """
    size = style.measures
    heights = [_card_height(line, style) for line in lines]
    page_size = size.page_width(style.columns), size.header + sum(heights) + size.gap * (len(lines) + 1)
    page = Image.new("RGB", page_size, _PAGE)
    _draw_head(page, size, title, subtitle)
    top = size.header
    for line, height in zip(lines, heights, strict=True):
        _draw_line(page, line, style, (top, height))
        top += height + size.gap
    return np.array(page)


def _draw_head(page: Image.Image, size: Measures, title: str, subtitle: str) -> None:
    draw, left = ImageDraw.Draw(page), 2 * size.gap
    large, top = round(size.title * 1.6), round(1.4 * size.gap)
    draw.text((left, top), fit_line(title, page.width - 2 * left, large), _INK, font_of(large))
    top, right = round(5 * size.gap), page.width - left
    for mark in reversed(FRAMES):
        right -= round(width_of(mark, size.text))
        draw.text((right, top), mark, _MUTED, font_of(size.text))
        right -= round(1.5 * size.text)
        swatch = (right, top + size.text // 6, right + size.text, top + size.text // 6 + size.text)
        draw.rectangle(swatch, _CARD, FRAMES[mark], max(size.frame // 2, 2))
        right -= 2 * size.gap
    draw.text((left, top), fit_line(subtitle, right - left, size.text), _MUTED, font_of(size.text))


def _draw_line(page: Image.Image, line: Sequence[Cell], style: SheetStyle, span: tuple[int, int]) -> None:
    """Cards of one garment are joined into one."""
    size, draw, (top, height) = style.measures, ImageDraw.Draw(page), span
    lefts = [2 * size.gap + column * (size.card_width + size.gap) for column in range(len(line))]
    for _, run in groupby(range(len(line)), key=lambda place: line[place].garment or place):
        first, *_, last = [*run] * 2
        box = lefts[first], top, lefts[last] + size.card_width - 1, top + height - 1
        draw.rectangle(box, _CARD, _BORDER)
    for cell, left in zip(line, lefts, strict=True):
        _draw_cell(page, cell, style, (left, top))
        if cell.mark:
            box = left, top, left + size.card_width - 1, top + height - 1
            draw.rectangle(box, None, FRAMES[cell.mark], size.frame)


def _draw_cell(page: Image.Image, cell: Cell, style: SheetStyle, corner_xy: tuple[int, int]) -> None:
    size, draw = style.measures, ImageDraw.Draw(page)
    left, top = corner_xy[0] + size.inset, corner_xy[1] + size.inset
    if cell.thumbnail is not None:
        page.paste(Image.fromarray(_on_grounds(cell.thumbnail, style)), (left, top))
    else:
        _draw_reason(draw, cell, style, (left, top))
    top += style.cell_px + size.inset // 2
    width = size.card_width - 2 * size.inset
    draw.text((left, top), fit_line(cell.title, width, size.title), _INK, font_of(size.title))
    top += size.title_line
    draw.text((left, top), fit_line(cell.facts, width, size.text), _MUTED, font_of(size.text))
    for words in _words_below(cell, style):
        top += size.text_line
        draw.text((left, top), words, _TEXT[cell.mark], font_of(size.text))


def _on_grounds(thumbnail: Thumbnail, style: SheetStyle) -> Rgb:
    grounds = (draw_ground(ground, style.picture_hw, square_px=style.square_px) for ground in style.grounds)
    return np.hstack([lay_on_ground(thumbnail, ground) for ground in grounds])


def _draw_reason(draw: ImageDraw.ImageDraw, cell: Cell, style: SheetStyle, corner_xy: tuple[int, int]) -> None:
    """Where there is no picture, its place says why."""
    size, (left, top) = style.measures, corner_xy
    width, large = size.card_width - 2 * size.inset, round(size.title * 1.2)
    draw.rectangle((left, top, left + width - 1, top + style.cell_px - 1), _EMPTY.get(cell.mark, _PAGE))
    left, top, width = left + size.inset, top + size.inset, width - 2 * size.inset
    draw.text((left, top), cell.mark, _TEXT[cell.mark], font_of(large))
    max_lines = (style.cell_px - 2 * size.inset) // size.text_line - 2
    for words in wrap_lines(cell.reason, width, size.text, max_lines=max_lines):
        top += size.text_line if top > corner_xy[1] + size.inset else 2 * size.text_line
        draw.text((left, top), words, _INK, font_of(size.text))


def _words_below(cell: Cell, style: SheetStyle) -> list[str]:
    """Reason and notes in a few lines; the reason of a missing picture stands in its place already."""
    reason = f"{cell.mark}: {cell.reason}" if cell.mark and cell.thumbnail is not None else ""
    words = "; ".join(filter(None, (reason.removesuffix(": "), cell.notes)))
    size = style.measures
    return wrap_lines(words, size.card_width - 2 * size.inset, size.text, max_lines=MOST_WORDS)


def _card_height(line: Iterable[Cell], style: SheetStyle) -> int:
    """As high as the cell with the most words needs it."""
    size = style.measures
    num_lines = 1 + max(len(_words_below(cell, style)) for cell in line)
    return style.cell_px + 2 * size.inset + size.title_line + num_lines * size.text_line


def encode_sheet(page: Rgb, suffix: str) -> bytes:
    """A page as a file's content.

    Args:
        page: `(H, W, 3)` uint8 sRGB.
        suffix: one of `SHEET_SUFFIXES`.
    """
    file, image = io.BytesIO(), Image.fromarray(page)
    if suffix.lower() == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", _MARK.decode())
        image.save(file, "PNG", pnginfo=text, compress_level=6)
    else:
        # No colour subsampling: the strong ground would bleed into the soft edges that it is there to show.
        image.save(file, "JPEG", quality=_QUALITY, subsampling=0, comment=_MARK)
    return file.getvalue()


def is_contact_sheet(path: Path) -> bool:
    """True for files of `encode_sheet`; False also for what cannot be read."""
    try:
        with path.open("rb") as file:
            return _MARK in file.read(_HEAD_BYTES)
    except OSError:
        return False
