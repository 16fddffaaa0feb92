"""Places a garment on a customer's canvas, for `spec`: size, alignment and margins, as arithmetic on boxes."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator
from pydantic.dataclasses import dataclass as section

from garmentcut.config import STRICT, Color
from garmentcut.errors import ConfigError, OutputError
from garmentcut.photo.mask import Box

Side = Literal["top", "bottom", "left", "right"]
MAX_SIDE_PX, MAX_CANVAS_PIXELS = 30_000, 100_000_000
"""Limits on a canvas: what PSD and TIFF hold, and what fits in memory."""

_MOST = f"at most {MAX_SIDE_PX} a side and {MAX_CANVAS_PIXELS // 10**6} megapixels"
_PER_CENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
_PIXELS = re.compile(r"([0-9]+)(?: ?px)?")
_MOST_SHARE = 95  # largest share, in per cent, that margins may take of a canvas that grows with them
_SHARES = {"left": 0.0, "top": 0.0, "center": 0.5, "right": 1.0, "bottom": 1.0, "baseline": 1.0}


def _is_too_large(height: int, width: int) -> bool:
    return max(height, width) > MAX_SIDE_PX or height * width > MAX_CANVAS_PIXELS


class Length(NamedTuple):
    """A length in pixels or, with `is_share`, in per cent of the canvas's side.

    >>> Length(85, is_share=True).px(2000)
    1700
    """

    amount: float
    is_share: bool = False

    def px(self, side_px: int) -> int:
        """Whole pixels on a canvas whose side has `side_px`."""
        return round(self.amount * side_px / 100) if self.is_share else round(self.amount)

    def __str__(self) -> str:
        """As it is written in a specification."""
        return f"{self.amount:.15g} {'%' if self.is_share else 'px'}"


def parse_length(value: Any) -> Length | None:
    """Parse a length of a TOML file: `1700`, `"1700 px"`, `"85 %"`; ValueError for anything else, or out of range."""
    if value is None or isinstance(value, Length):
        return value
    text = "" if isinstance(value, bool | float) else str(value)
    if found := _PER_CENT.fullmatch(text):
        length = Length(float(found[1]), is_share=True)
    elif found := _PIXELS.fullmatch(text):
        length = Length(int(found[1]))
    else:
        raise ValueError(f"{value!r} is neither pixels such as 1700 nor per cent such as '85 %'")
    if length.amount > (100 if length.is_share else MAX_SIDE_PX):
        raise ValueError(f"{length} is too much; at most 100 % or {MAX_SIDE_PX} px")
    return length


OptionalLength = Annotated[
    Length | None,
    BeforeValidator(parse_length),
    PlainSerializer(lambda length: None if length is None else str(length)),
]
"""The type of a length in a specification; None: not given. In JSON it is text, as in a specification."""
_Pixels = Annotated[int, Field(strict=True, ge=1, le=MAX_SIDE_PX)]


@section(frozen=True, config=STRICT)
class CanvasSection:
    """The picture that the garment is laid on."""

    width_px: _Pixels | None = None
    """Width in pixels; none: derived from `aspect`, else from the garment and its margins."""
    height_px: _Pixels | None = None
    """Height in pixels; none: derived likewise."""
    aspect: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$")] | None = None
    """Width to height, such as "3:4". With neither `width_px` nor `height_px` the canvas grows to it."""
    background: Color | None = None
    """`#rrggbb` in sRGB; none: transparent (jpeg: white)."""
    shadow: Literal["off"] = "off"
    """No shadow is drawn: `off` is the only value."""

    @property
    def size_hw(self) -> tuple[int | None, int | None]:
        """Height and width in pixels; None: follows from the garment."""
        height, width, (across, down) = self.height_px, self.width_px, self.proportions or (0, 0)
        if across and height is None and width is not None:
            height = max(round(width * down / across), 1)
        elif across and width is None and height is not None:
            width = max(round(height * across / down), 1)
        return height, width

    @property
    def proportions(self) -> tuple[int, int] | None:
        """Width to height, as whole numbers; None: `aspect` is not given."""
        if self.aspect is None:
            return None
        across, _, down = self.aspect.partition(":")
        return int(across), int(down)

    @model_validator(mode="after")
    def _fits_together(self) -> "CanvasSection":
        if self.aspect and self.width_px and self.height_px:
            raise ValueError("aspect follows from width_px and height_px; leave one of the three out")
        height, width = self.size_hw
        if _is_too_large(height or 1, width or 1):
            raise ValueError(f"{width}x{height} pixels; {_MOST}")
        return self


@section(frozen=True, config=STRICT)
class GarmentSection:
    """Size and place of the garment; lengths are pixels (`1700`) or per cent of the canvas ("85 %")."""

    height: OptionalLength = None
    """Height of the garment's tallest view; smaller if its width would not fit. None: as the margins allow."""
    width: OptionalLength = None
    """Width of the widest view, likewise; if `height` is given too, the garment fits into both."""
    margin: OptionalLength = None
    """Minimum distance to every side of the canvas. Without canvas, size and margins, the photo keeps its frame."""
    margin_top: OptionalLength = None
    """Overrides `margin` on this side."""
    margin_bottom: OptionalLength = None
    """Overrides `margin` on this side."""
    margin_left: OptionalLength = None
    """Overrides `margin` on this side."""
    margin_right: OptionalLength = None
    """Overrides `margin` on this side."""
    horizontal: Literal["left", "center", "right"] = "center"
    """Alignment between the left and the right margin."""
    vertical: Literal["top", "center", "bottom", "baseline"] = "center"
    """Alignment between the top and the bottom margin; `baseline`: the hem stands on a line."""
    baseline: OptionalLength = None
    """Height of this line above the canvas's bottom edge; it replaces the bottom margin."""
    resize: Annotated[bool, Field(strict=True)] = True
    """`false`: pixels stay as photographed; a garment that is too large for its space is refused."""
    max_enlargement: Annotated[float, Field(ge=0.01, le=8, strict=True)] = 1.0
    """Largest factor by which a photo is enlarged; a garment that would need more stays smaller, with a note."""

    @property
    def says_nothing(self) -> bool:
        """True if neither a size nor a margin is given."""
        margins = (self.margin, self.margin_top, self.margin_bottom, self.margin_left, self.margin_right)
        return all(length is None for length in (self.height, self.width, self.baseline, *margins))

    def margin_of(self, side: Side) -> Length:
        """The margin that applies to a side."""
        if side == "bottom" and self.vertical == "baseline" and self.baseline is not None:
            return self.baseline
        own: Length | None = getattr(self, f"margin_{side}")
        return own if own is not None else self.margin if self.margin is not None else Length(0)

    @model_validator(mode="after")
    def _fits_together(self) -> "GarmentSection":
        if self.vertical == "baseline" and self.baseline is None:
            raise ValueError("vertical = 'baseline' needs the key baseline too, such as '8 %'")
        if not self.resize and (self.height is not None or self.width is not None):
            raise ValueError("resize = false keeps the size as photographed; leave height and width out")
        for name in ("height", "width"):
            if (length := getattr(self, name)) is not None and length.amount == 0:
                raise ValueError(f"{name} must be more than 0")
        return self


class Placement(NamedTuple):
    """A canvas, and the box on it that the garment's box fills, in pixels."""

    canvas_hw: tuple[int, int]
    box_xyxy: Box


@dataclass(frozen=True)
class _Axis:
    """The rules along one axis."""

    side: str  # `height` or `width`
    canvas_px: int | None  # side of the canvas; None: follows from the garment
    size: Length | None  # of the garment; None: not given
    before: Length  # margins
    after: Length
    share: float  # share of the spare room that goes before the garment

    def room_px(self, canvas_px: int) -> int:
        return canvas_px - self.before.px(canvas_px) - self.after.px(canvas_px)

    @property
    def most_px(self) -> int | None:
        """The largest size that the garment may have; None: any, because the canvas follows it."""
        if self.canvas_px is not None:
            room = self.room_px(self.canvas_px)
            return room if self.size is None else min(self.size.px(self.canvas_px), room)
        return None if self.size is None or self.size.is_share else self.size.px(0)

    def canvas_for(self, garment_px: int) -> int:
        """The smallest canvas that holds the garment and its margins, and in which the garment has its share."""
        if self.canvas_px is not None:
            return self.canvas_px
        least = garment_px * 100 / self.size.amount if self.size is not None and self.size.is_share else 0.0
        shares = sum(margin.amount for margin in (self.before, self.after) if margin.is_share)
        fixed = sum(margin.px(0) for margin in (self.before, self.after) if not margin.is_share)
        canvas_px = math.ceil(max(least, (garment_px + fixed) * 100 / (100 - shares)) - 1e-9)
        while self.room_px(canvas_px) < garment_px:  # two margins rounded up
            canvas_px += 1
        return canvas_px

    def start_px(self, canvas_px: int, garment_px: int) -> int:
        return self.before.px(canvas_px) + math.floor(self.share * (self.room_px(canvas_px) - garment_px))


def is_whole_frame(canvas: CanvasSection, garment: GarmentSection) -> bool:
    """True if neither canvas, size nor margin is given: the picture keeps the photo's frame."""
    return canvas.size_hw == (None, None) and canvas.aspect is None and garment.says_nothing


def check_room(canvas: CanvasSection, garment: GarmentSection, source: str) -> None:
    """Raise ConfigError, with `source` and the keys, if a canvas and margins leave no room for any garment."""
    if is_whole_frame(canvas, garment) and garment != GarmentSection():
        fault = "without canvas, size or margin the photo's frame stays; name one of them"
        raise ConfigError(f"{source}: garment: {fault}")
    for axis, margins in zip(_axes_of(canvas, garment), (("top", "bottom"), ("left", "right")), strict=True):
        names = f"garment.margin_{margins[0]} ({axis.before}) and margin_{margins[1]} ({axis.after})"
        if axis.canvas_px is None:
            if sum(margin.amount for margin in (axis.before, axis.after) if margin.is_share) > _MOST_SHARE:
                raise ConfigError(f"{source}: {names} leave no room; make them smaller")
            continue
        room = axis.room_px(axis.canvas_px)
        side = f"canvas.{axis.side}_px = {axis.canvas_px}"
        if room < 1:
            raise ConfigError(f"{source}: {names} leave no room on {side}; make them smaller")
        if axis.size is not None and axis.size.px(axis.canvas_px) > room:
            fault = f"garment.{axis.side} = {axis.size} is more than the {room} px that {names} leave of {side}"
            raise ConfigError(f"{source}: {fault}; make one of them smaller")


def fitting_scale(canvas: CanvasSection, garment: GarmentSection, box_hw: tuple[int, int]) -> float:
    """The largest scale at which a garment fits canvas, sizes and margins, even above 1; 1 if nothing limits it."""
    if not garment.resize:
        return 1.0
    pairs = zip(_axes_of(canvas, garment), box_hw, strict=True)
    return min((most / extent for axis, extent in pairs if (most := axis.most_px) is not None), default=1.0)


def shared_scale(canvas: CanvasSection, boxes: Iterable[tuple[GarmentSection, tuple[int, int]]]) -> float:
    """One scale for the views of a garment: the largest at which all of them fit."""
    return min(min(fitting_scale(canvas, garment, box_hw), garment.max_enlargement) for garment, box_hw in boxes)


def place_garment(
    canvas: CanvasSection, garment: GarmentSection, box_hw: tuple[int, int], *, scale: float
) -> Placement:
    """The canvas, and the place of the garment's box on it, in whole pixels; raises OutputError if it does not fit."""
    axes = _axes_of(canvas, garment)
    sizes = [max(round(extent * scale), 1) for extent in box_hw]
    pairs = list(zip(axes, sizes, strict=True))
    rooms = [size if axis.canvas_px is None else axis.room_px(axis.canvas_px) for axis, size in pairs]
    if any(size > room for size, room in zip(sizes, rooms, strict=True)):
        fault = f"the garment has {sizes[1]}x{sizes[0]} pixels, the canvas has room for {rooms[1]}x{rooms[0]}"
        raise OutputError(f"{fault}; allow garment.resize, or enlarge the canvas", code="does_not_fit")
    height, width = (axis.canvas_for(size) for axis, size in pairs)
    if canvas.proportions and canvas.size_hw == (None, None):  # one side grows
        across, down = canvas.proportions
        height, width = max(height, round(width * down / across)), max(width, round(height * across / down))
    canvas_hw = height, width
    if _is_too_large(*canvas_hw):
        message = f"margins and garment make a canvas of {canvas_hw[1]}x{canvas_hw[0]} pixels; {_MOST}"
        raise OutputError(message, code="does_not_fit")
    top, left = (axis.start_px(side, size) for axis, side, size in zip(axes, canvas_hw, sizes, strict=True))
    return Placement(canvas_hw, (left, top, left + sizes[1], top + sizes[0]))


def _axes_of(canvas: CanvasSection, garment: GarmentSection) -> tuple[_Axis, _Axis]:
    """The vertical axis, then the horizontal one, as sizes are height first."""
    top, bottom, left, right = (garment.margin_of(side) for side in ("top", "bottom", "left", "right"))
    height, width = canvas.size_hw
    return (
        _Axis("height", height, garment.height, top, bottom, _SHARES[garment.vertical]),
        _Axis("width", width, garment.width, left, right, _SHARES[garment.horizontal]),
    )
