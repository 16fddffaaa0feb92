"""Where a garment goes on a customer's canvas, and how large: arithmetic on boxes, no pixels."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from garmentcut.config import ConfigError
from garmentcut.photo.length import Length
from garmentcut.photo.photo import OutputError
from garmentcut.photo.specification_sections import MAX_CANVAS_PIXELS, MAX_SIDE_PX, CanvasSection, GarmentSection

_MOST_SHARE = 95  # per cent that margins may take of a canvas that grows with them
_SHARES = {"left": 0.0, "top": 0.0, "center": 0.5, "right": 1.0, "bottom": 1.0, "baseline": 1.0}


class Placement(NamedTuple):
    """A canvas and the box on it that the garment's box fills."""

    canvas_hw: tuple[int, int]
    box_xyxy: tuple[int, int, int, int]


@dataclass(frozen=True)
class _Axis:
    """One direction: the rules that count on it.

    Attributes:
        side: `height` or `width`.
        canvas_px: of the canvas; None: follows from the garment.
        size: of the garment; None: not said.
        before, after: margins.
        share: of the spare room that lies before the garment.
    """

    side: str
    canvas_px: int | None
    size: Length | None
    before: Length
    after: Length
    share: float

    def room_px(self, canvas_px: int) -> int:
        return canvas_px - self.before.px(canvas_px) - self.after.px(canvas_px)

    @property
    def most_px(self) -> int | None:
        """What the garment may measure at most; None: the canvas follows it."""
        if self.canvas_px is not None:
            room = self.room_px(self.canvas_px)
            return room if self.size is None else min(self.size.px(self.canvas_px), room)
        return None if self.size is None or self.size.is_share else self.size.px(0)

    def canvas_for(self, garment_px: int) -> int:
        """The least canvas that holds the garment, its share and its margins."""
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
        spare = self.room_px(canvas_px) - garment_px
        return self.before.px(canvas_px) + math.floor(self.share * spare)


def is_whole_frame(canvas: CanvasSection, garment: GarmentSection) -> bool:
    """True if nothing is asked for: the picture stays as the photo framed it."""
    return canvas.size_hw == (None, None) and canvas.aspect is None and garment.says_nothing


def check_room(canvas: CanvasSection, garment: GarmentSection, source: str) -> None:
    """Refuse what no garment can fit.

    Args:
        canvas: the canvas.
        garment: size and place.
        source: where they come from, for the message.

    Raises:
        ConfigError: names `source` and the keys.
    """
    if is_whole_frame(canvas, garment) and garment != GarmentSection():
        raise ConfigError(
            f"{source}: garment: without canvas, size or margin the photo's frame stays; name one of them"
        )
    for axis, margins in zip(_axes_of(canvas, garment), (("top", "bottom"), ("left", "right")), strict=True):
        names = f"garment.margin_{margins[0]} ({axis.before}) and margin_{margins[1]} ({axis.after})"
        if axis.canvas_px is None:
            if sum(margin.amount for margin in (axis.before, axis.after) if margin.is_share) > _MOST_SHARE:
                raise ConfigError(f"{source}: {names} leave no room; make them smaller")
            continue
        room = axis.room_px(axis.canvas_px)
        if room < 1:
            raise ConfigError(
                f"{source}: {names} leave no room on canvas.{axis.side}_px = {axis.canvas_px}; make them smaller"
            )
        if axis.size is not None and axis.size.px(axis.canvas_px) > room:
            raise ConfigError(
                f"{source}: garment.{axis.side} = {axis.size} is more than the {room} px that {names} leave of "
                f"canvas.{axis.side}_px = {axis.canvas_px}; make one of them smaller"
            )


def fitting_scale(canvas: CanvasSection, garment: GarmentSection, box_hw: tuple[int, int]) -> float:
    """The largest scale at which a garment fits its canvas, sizes and margins, may it be an enlargement; 1: none asked.

    Args:
        canvas: the canvas.
        garment: size and place.
        box_hw: of the garment on the photo.
    """
    if not garment.resize:
        return 1.0
    scales = [
        axis.most_px / extent
        for axis, extent in zip(_axes_of(canvas, garment), box_hw, strict=True)
        if axis.most_px is not None
    ]
    return min(scales, default=1.0)


def shared_scale(canvas: CanvasSection, boxes: Iterable[tuple[GarmentSection, tuple[int, int]]]) -> float:
    """One scale for the views of a garment: the largest at which all of them fit.

    Args:
        canvas: the canvas.
        boxes: of each view, its rules and its box's height and width on the photo.
    """
    return min(min(fitting_scale(canvas, garment, box_hw), garment.max_enlargement) for garment, box_hw in boxes)


def place_garment(
    canvas: CanvasSection, garment: GarmentSection, box_hw: tuple[int, int], *, scale: float
) -> Placement:
    """The canvas, and where the garment's box lands on it, to the pixel.

    Raises:
        OutputError: the garment is larger than its room, or the canvas grows too large.
    """
    axes = _axes_of(canvas, garment)
    sizes = [max(round(extent * scale), 1) for extent in box_hw]
    _refuse_large(axes, sizes)
    canvas_hw = _grown([axis.canvas_for(size) for axis, size in zip(axes, sizes, strict=True)], canvas)
    if max(canvas_hw) > MAX_SIDE_PX or canvas_hw[0] * canvas_hw[1] > MAX_CANVAS_PIXELS:
        raise OutputError(
            f"margins and garment make a canvas of {canvas_hw[1]}x{canvas_hw[0]} pixels; at most {MAX_SIDE_PX} a side "
            f"and {MAX_CANVAS_PIXELS // 10**6} megapixels",
            code="does_not_fit",
        )
    top, left = (axis.start_px(side, size) for axis, side, size in zip(axes, canvas_hw, sizes, strict=True))
    return Placement(canvas_hw, (left, top, left + sizes[1], top + sizes[0]))


def _axes_of(canvas: CanvasSection, garment: GarmentSection) -> tuple[_Axis, _Axis]:
    """The vertical and the horizontal one: sizes are height first."""
    top, bottom, left, right = (garment.margin_of(side) for side in ("top", "bottom", "left", "right"))
    height, width = canvas.size_hw
    return (
        _Axis("height", height, garment.height, top, bottom, _SHARES[garment.vertical]),
        _Axis("width", width, garment.width, left, right, _SHARES[garment.horizontal]),
    )


def _refuse_large(axes: tuple[_Axis, _Axis], sizes: list[int]) -> None:
    pairs = zip(axes, sizes, strict=True)
    rooms = [size if axis.canvas_px is None else axis.room_px(axis.canvas_px) for axis, size in pairs]
    if any(size > room for size, room in zip(sizes, rooms, strict=True)):
        raise OutputError(
            f"the garment has {sizes[1]}x{sizes[0]} pixels, the canvas has room for {rooms[1]}x{rooms[0]}; allow "
            "garment.resize, or enlarge the canvas",
            code="does_not_fit",
        )


def _grown(sides: list[int], canvas: CanvasSection) -> tuple[int, int]:
    """The sides, one of them enlarged to the aspect that is wanted of a canvas without a size."""
    height, width = sides
    if canvas.proportions is None or canvas.size_hw != (None, None):
        return height, width
    across, down = canvas.proportions
    return max(height, round(width * down / across)), max(width, round(height * across / down))
