"""Photo, what a reader hands over: upright pixels and what must survive to the output."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import OutputError as OutputError
from garmentcut.errors import PhotoError as PhotoError

Pixels = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16, full range."""
Sample = TypeVar("Sample", bound=np.generic)


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
    """

    rgb: Pixels
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = field(default=())
    xmp: bytes | None = None

    def __post_init__(self) -> None:
        """Check shape and dtype once, at the edge."""
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or 0 in self.rgb.shape:
            raise ValueError(f"rgb must be (H, W, 3), not {self.rgb.shape}")
        if self.rgb.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"rgb must be uint8 or uint16, not {self.rgb.dtype}")

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]


def to_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Round full-range uint16 to uint8; uint8 passes through uncopied. Any shape."""
    if pixels.dtype == np.uint8:
        return pixels.view(np.uint8)
    # The nearest of 255 levels, round(v / 257), without a slow division; exact for all 65536 values.
    wide = pixels.astype(np.uint32)
    wide *= 255
    wide += 32_895
    wide >>= 16
    return wide.astype(np.uint8)


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
