"""Contact sheets: cutouts in lines on a page, each on one or several grounds, the doubtful framed. Pixels only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from garmentcut.photo.lettering import fit_line, font_of, width_of, wrap_lines
from garmentcut.photo.sheet_style import MOST_WORDS, Measures, SheetStyle
from garmentcut.photo.thumbnail import Rgb, Thumbnail, draw_ground, lay_on_ground

Mark = Literal["", "doubtful", "failed", "not finished"]
Color = tuple[int, int, int]

FRAMES: dict[Mark, Color] = {"doubtful": (245, 146, 0), "failed": (200, 30, 40), "not finished": (130, 138, 148)}
"""Colours of the frames; the caption says the same in words, for the colour-blind and for black-and-white prints."""

_PAGE, _CARD, _BORDER, _INK, _MUTED = (234, 236, 238), (248, 249, 250), (214, 218, 222), (28, 30, 33), (100, 106, 114)
_TEXT: dict[Mark, Color] = {"": _MUTED, "doubtful": (160, 84, 0), "failed": (176, 20, 30), "not finished": _MUTED}
_EMPTY: dict[Mark, Color] = {"failed": (253, 236, 236), "not finished": (242, 243, 245)}


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
