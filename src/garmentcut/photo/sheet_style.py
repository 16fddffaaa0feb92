"""How a contact sheet looks: its grounds, and every length on it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from garmentcut.config import ConfigError
from garmentcut.photo.thumbnail import CHECKERBOARD

STRONG = "#ff00aa"
"""A colour that no studio and few garments have: rims and holes show on it."""

ALL_GROUNDS = (CHECKERBOARD, "#ffffff", STRONG)

_ASPECT = 3 / 4  # width of a picture by its height: dressed mannequins are tall, tops are wide
_FILLED = 0.95  # of the picture's sides: the rest is air
_SQUARES = 40  # of the checkerboard, down a picture
_USUAL_CELL_PX, _USUAL_PAGE_PX = 320, 2400
_VIEWS = 3

MOST_WORDS = 2
"""Lines of reasons and notes below a picture."""


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
