"""`Photo`, which the readers return, and `Picture`, a photo with its alpha, which the writers take."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import HALF_LEVEL, Box, Sample, bounding_box, garment_box

Pixels = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16, full range."""

_BAND_ROWS = 64


@dataclass(frozen=True)
class Metadata:
    """What travels with pixels from a photo to its files.

    Attributes:
        profile: ICC profile of an RGB colour space; None: sRGB.
        dpi: horizontal and vertical pixels an inch; None: the file did not say.
        exif: TIFF-structured bytes (without the `Exif` marker), orientation 1; None: no EXIF.
        xmp: a UTF-8 packet of XMP, orientation 1; None: no XMP.
        iptc: records of IPTC's Information Interchange Model; None: no IPTC.
    """

    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None


NO_METADATA = Metadata()


@dataclass(frozen=True, eq=False)
class Photo:
    """One studio photo.

    Attributes:
        rgb: `(H, W, 3)`, uint8 or uint16 (full range), upright, in the colour space of `profile`.
        profile: ICC profile of an RGB colour space; None: sRGB.
        dpi: horizontal and vertical pixels an inch; None: the file did not say.
        exif: TIFF-structured bytes (without the `Exif` marker), orientation 1; None: no EXIF.
        notes: what the reader had to change, in words.
        xmp: a UTF-8 packet of XMP, orientation 1; None: no XMP.
        iptc: records of IPTC's Information Interchange Model; None: no IPTC.
    """

    rgb: Pixels
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = field(default=())
    xmp: bytes | None = None
    iptc: bytes | None = None

    def __post_init__(self) -> None:
        """Check shape and dtype once, at the edge."""
        _check_rgb(self.rgb)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def metadata(self) -> Metadata:
        """All that travels with its pixels."""
        return Metadata(self.profile, self.dpi, self.exif, self.xmp, self.iptc)


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo and the alpha of what is cut out of it, on the way to its files.

    Attributes:
        rgb: `(H, W, 3)` uint8 or uint16, upright.
        alpha: `(H, W)` float32 in [0, 1], the garment's coverage of each pixel.
        metadata: what travels with it; `metadata.profile` is the colour space of `rgb`.
        is_clean: edge colours are the garment's own and hidden pixels black: cleaning again would only do harm.
        is_whole: it has the photo's own frame: neither trimmed nor laid on another canvas.
    """

    rgb: Pixels
    alpha: NDArray[np.float32]
    metadata: Metadata = NO_METADATA
    is_clean: bool = False
    is_whole: bool = True

    def __post_init__(self) -> None:
        """Check shapes, dtypes and range once, at the edge."""
        _check_rgb(self.rgb)
        if self.alpha.dtype != np.float32 or self.alpha.shape != self.rgb.shape[:2]:
            raise ValueError(f"alpha must be float32 {self.rgb.shape[:2]}, not {self.alpha.dtype} {self.alpha.shape}")
        if not 0 <= self.alpha.min() <= self.alpha.max() <= 1:  # nor is any of it NaN
            raise ValueError(f"alpha must be in [0, 1], not in [{self.alpha.min()}, {self.alpha.max()}]")

    @property
    def box_xyxy(self) -> Box | None:
        """Left, top, right, bottom of what an 8-bit alpha shows, right and bottom exclusive; None: nothing."""
        return bounding_box(self.alpha > HALF_LEVEL)

    @cached_property
    def garment_box_xyxy(self) -> Box | None:
        """The same without specks: the box by which a garment is sized, placed and trimmed."""
        return garment_box(self.alpha)

    def rounded_alpha(self) -> Pixels:
        """Alpha as full-range integers of the photo's depth, `(H, W)`."""
        rounded: Pixels = np.empty(self.alpha.shape, self.rgb.dtype)
        self._round_alpha(rounded)
        return rounded

    def rgba(self) -> Pixels:
        """`(H, W, 4)` of the photo's depth, straight (not premultiplied) alpha."""
        rgba = np.empty((*self.alpha.shape, 4), self.rgb.dtype)
        for channel in range(3):  # four times as fast as all at once: numpy is slow on axes of three
            rgba[..., channel] = self.rgb[..., channel]
        self._round_alpha(rgba[..., 3])
        return rgba

    def _round_alpha(self, out: Pixels) -> None:
        top = np.float32(np.iinfo(out.dtype).max)
        for start in range(0, len(out), _BAND_ROWS):  # in bands: the float steps between are four times as large
            out[start : start + _BAND_ROWS] = np.rint(self.alpha[start : start + _BAND_ROWS] * top)


def _check_rgb(rgb: Pixels) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype not in (np.uint8, np.uint16) or not rgb.size:
        raise ValueError(f"rgb must be (H, W, 3) uint8 or uint16, not {rgb.shape} {rgb.dtype}")


def to_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Round full-range uint16 to uint8; uint8 passes through uncopied. Any shape."""
    if pixels.dtype == np.uint8:
        return pixels.view(np.uint8)
    # The nearest of 255 levels, round(v / 257), without a slow division; exact for all 65536 values. In bands: the sums
    # need 32 bits.
    levels = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), _BAND_ROWS):
        wide = pixels[top : top + _BAND_ROWS].astype(np.uint32)
        wide *= 255
        wide += 32_895
        wide >>= 16
        levels[top : top + _BAND_ROWS] = wide
    return levels


def to_alpha(plane: Pixels) -> NDArray[np.float32]:
    """Full-range integers to float32 in [0, 1]. Any shape."""
    alpha: NDArray[np.float32] = np.divide(plane, np.iinfo(plane.dtype).max, dtype=np.float32)
    return alpha


def turn_upright(pixels: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """Undo an EXIF or TIFF orientation.

    Args:
        pixels: `(H, W)` or `(H, W, C)`, as stored.
        orientation: 1 to 8 (TIFF 6.0, tag 274); anything else counts as 1.

    Returns:
        The upright picture; a view where no copy is needed.
    """
    turned = pixels
    match orientation:
        case 2:
            turned = pixels[:, ::-1]
        case 3:
            turned = pixels[::-1, ::-1]
        case 4:
            turned = pixels[::-1]
        case 5:
            turned = pixels.swapaxes(0, 1)
        case 6:
            turned = np.rot90(pixels, -1)
        case 7:
            turned = pixels[::-1, ::-1].swapaxes(0, 1)
        case 8:
            turned = np.rot90(pixels, 1)
    return turned
