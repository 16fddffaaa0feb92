"""The sections of a customer's specification: every key with its meaning and unit."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from garmentcut.config import Format
from garmentcut.photo.length import Length, OptionalLength

Side = Literal["top", "bottom", "left", "right"]
MAX_SIDE_PX, MAX_CANVAS_PIXELS = 30_000, 100_000_000
"""Of a canvas: what PSD and TIFF hold, and what the memory bears."""

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
_Pixels = Annotated[int, Field(strict=True, ge=1, le=MAX_SIDE_PX)]


@dataclass(frozen=True, config=_STRICT)
class CanvasSection:
    """The picture that the garment is laid on."""

    width_px: _Pixels | None = None
    """Width in pixels; none: follows from `aspect`, else from the garment and its margins."""
    height_px: _Pixels | None = None
    """Height in pixels; none: likewise."""
    aspect: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$")] | None = None
    """Width to height, such as "3:4". With neither `width_px` nor `height_px` the canvas grows to it."""
    background: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None
    """`#rrggbb` in sRGB; none: transparent (jpeg: white)."""
    shadow: Literal["off"] = "off"
    """No shadow is drawn: the only value."""

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
        """Width to height, as whole numbers; None: as it comes."""
        if self.aspect is None:
            return None
        across, _, down = self.aspect.partition(":")
        return int(across), int(down)

    @model_validator(mode="after")
    def _fits_together(self) -> "CanvasSection":
        if self.aspect and self.width_px and self.height_px:
            raise ValueError("aspect follows from width_px and height_px; leave one of the three out")
        height, width = self.size_hw
        if max(height or 0, width or 0) > MAX_SIDE_PX or (height or 1) * (width or 1) > MAX_CANVAS_PIXELS:
            raise ValueError(
                f"{width}x{height} pixels; at most {MAX_SIDE_PX} a side and {MAX_CANVAS_PIXELS // 10**6} megapixels"
            )
        return self


@dataclass(frozen=True, config=_STRICT)
class GarmentSection:
    """Size and place of the garment; lengths are pixels (`1700`) or per cent of the canvas ("85 %")."""

    height: OptionalLength = None
    """Height of the garment's tallest view; less where its width would not fit. None: as the margins allow."""
    width: OptionalLength = None
    """Width of the widest view, likewise; with `height` too, the garment fits into both."""
    margin: OptionalLength = None
    """Least distance to every side of the canvas. Neither canvas nor size nor margins: the photo's own frame."""
    margin_top: OptionalLength = None
    """On this side, instead of `margin`."""
    margin_bottom: OptionalLength = None
    """Likewise."""
    margin_left: OptionalLength = None
    """Likewise."""
    margin_right: OptionalLength = None
    """Likewise."""
    horizontal: Literal["left", "center", "right"] = "center"
    """Place between the left and the right margin."""
    vertical: Literal["top", "center", "bottom", "baseline"] = "center"
    """Place between the upper and the lower margin; `baseline`: the hem stands on a line."""
    baseline: OptionalLength = None
    """Height of this line above the canvas' lower edge; takes the place of the lower margin there."""
    resize: Annotated[bool, Field(strict=True)] = True
    """`false`: pixels stay as photographed; a garment larger than its room is refused."""
    max_enlargement: Annotated[float, Field(ge=0.01, le=8, strict=True)] = 1.0
    """Most that a photo is enlarged, a factor; a garment that would need more stays smaller, with a note."""

    @property
    def says_nothing(self) -> bool:
        """Neither size nor margin is asked for."""
        margins = (self.margin, self.margin_top, self.margin_bottom, self.margin_left, self.margin_right)
        return all(length is None for length in (self.height, self.width, self.baseline, *margins))

    def margin_of(self, side: Side) -> Length:
        """The margin that counts on a side."""
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


@dataclass(frozen=True, config=_STRICT)
class ColorSection:
    """Colour space and depth."""

    profile: Annotated[str, Field(min_length=1)] = "keep"
    """`keep`: the photo's; `sRGB`; or a file that holds an RGB profile, seen from the specification's folder. The last
    two are embedded."""
    depth: Literal["keep", 8, 16] = "keep"
    """Bits a channel; jpeg, webp and masks have 8 in any case."""


@dataclass(frozen=True, config=_STRICT)
class FileSection:
    """Name, format, and what is written beside the pixels."""

    name: str = "{stem}"
    """Without suffix, below the photo's own folder in OUT; "/" makes more folders. Fields: {garment} and {view} of
    `<garment>_<view>`, {stem}, and {counter}, which numbers photos that would else share a name, from 1; {counter:03}
    has at least three digits."""
    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = ("png",)
    """One or more of png, mask, webp, tiff, psd, jpeg."""
    quality: Annotated[int, Field(ge=1, le=100, strict=True)] | None = None
    """Of jpeg, 95 where not said, and of webp, which is lossless where not said."""
    dpi: Annotated[float, Field(ge=1, le=10_000)] | None = None
    """Pixels an inch that the file states; none: the photo's."""
    metadata: Literal["keep", "none", "copyright"] = "keep"
    """EXIF and XMP: all of it, none, or only who made the photo and who owns it (EXIF's artist and copyright, XMP's
    creator and rights). A psd has the mark by which `garmentcut ingest` knows what was corrected with `keep` only."""
    hidden: Literal["auto", "clear", "keep"] = "auto"
    """The photo's pixels under the alpha, as `output.hidden`."""
    path: Literal["auto", "none", "editable", "exact"] = "auto"
    """Clipping path in psd, tiff and jpeg, as `output.path`."""


@dataclass(frozen=True, config=_STRICT)
class Sections:
    """All sections."""

    canvas: CanvasSection = field(default_factory=CanvasSection)
    garment: GarmentSection = field(default_factory=GarmentSection)
    color: ColorSection = field(default_factory=ColorSection)
    file: FileSection = field(default_factory=FileSection)
