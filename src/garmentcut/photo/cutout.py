"""Cutout, the currency: a photo, the garment's alpha, and what must survive to the output."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.color import color_in_profile
from garmentcut.photo.edge import clean_edge_color, edge_reach_px
from garmentcut.photo.mask import bounding_box, garment_box, slices_of
from garmentcut.photo.photo import Photo, Pixels

_HALF_LEVEL = np.float32(0.5 / 255)


@dataclass(frozen=True, eq=False)
class Cutout:
    """A garment cut out of a photo.

    Attributes:
        rgb: `(H, W, 3)` uint8 or uint16, upright, in the colour space of `profile`.
        alpha: `(H, W)` float32 in [0, 1], the garment's coverage of each pixel.
        profile: ICC profile of an RGB colour space; None: sRGB.
        dpi: horizontal and vertical pixels an inch; None: not known.
        exif: TIFF-structured bytes, orientation 1; None: no EXIF.
        xmp: a UTF-8 packet of XMP, orientation 1; None: no XMP.
        is_clean: rim colours are the garment's own and hidden pixels black: cleaning again would only do harm.
        is_whole: it has the photo's own frame: neither trimmed nor laid on another canvas.
    """

    rgb: Pixels
    alpha: NDArray[np.float32]
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    is_clean: bool = False
    is_whole: bool = True

    def __post_init__(self) -> None:
        """Check shapes and dtypes once, at the edge."""
        if (
            self.rgb.ndim != 3
            or self.rgb.shape[2] != 3
            or self.rgb.dtype not in (np.uint8, np.uint16)
            or not self.rgb.size
        ):
            raise ValueError(f"rgb must be (H, W, 3) uint8 or uint16, not {self.rgb.shape} {self.rgb.dtype}")
        if self.alpha.dtype != np.float32 or self.alpha.shape != self.rgb.shape[:2]:
            raise ValueError(f"alpha must be float32 {self.rgb.shape[:2]}, not {self.alpha.dtype} {self.alpha.shape}")
        if not 0 <= self.alpha.min() <= self.alpha.max() <= 1:  # nor is any of it NaN
            raise ValueError(f"alpha must be in [0, 1], not in [{self.alpha.min()}, {self.alpha.max()}]")

    @classmethod
    def of(cls, photo: Photo, alpha: NDArray[np.float32]) -> "Cutout":
        """A photo and its alpha; the photo's profile, DPI, EXIF and XMP go along."""
        return cls(photo.rgb, alpha, photo.profile, photo.dpi, photo.exif, photo.xmp)

    @property
    def box_xyxy(self) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of what an 8-bit alpha shows, right and bottom exclusive; None: nothing."""
        return bounding_box(self.alpha > _HALF_LEVEL)

    @cached_property
    def garment_box_xyxy(self) -> tuple[int, int, int, int] | None:
        """The same without stray specks: the box by which a garment is sized, placed and trimmed."""
        return garment_box(self.alpha)

    def rounded_alpha(self) -> Pixels:
        """Alpha as full-range integers of the photo's depth, `(H, W)`."""
        top = np.iinfo(self.rgb.dtype).max
        rounded: Pixels = np.rint(self.alpha * np.float32(top)).astype(self.rgb.dtype)
        return rounded

    def rgba(self) -> Pixels:
        """`(H, W, 4)` of the photo's depth, straight (not premultiplied) alpha."""
        rgba = np.empty((*self.alpha.shape, 4), self.rgb.dtype)
        for channel in range(3):  # four times as fast as all at once: numpy is slow on axes of three
            rgba[..., channel] = self.rgb[..., channel]
        rgba[..., 3] = self.rounded_alpha()
        return rgba

    @cached_property
    def cleaned(self) -> "Cutout":
        """The same, worked out once, with the background's colour taken out of rim pixels and hidden pixels black.

        What counts as rim and as hidden is the alpha as it will be written: a pixel that rounds to opaque keeps the
        photo's colour, one that rounds to nothing gives none away.
        """
        if self.is_clean:
            return self
        written = self.rounded_alpha()
        rgb = np.zeros_like(self.rgb)
        if box := bounding_box(written > 0):
            # The garment and the background it is compared with: a third of a studio photo.
            area = slices_of(box, edge_reach_px(self.alpha.shape[0]))
            near = written[area]
            alpha: NDArray[np.float32] = np.divide(near, np.iinfo(near.dtype).max, dtype=np.float32)
            garment = clean_edge_color(self.rgb[area], alpha, full_height_px=len(written))
            for channel in range(3):
                np.multiply(garment[..., channel], near > 0, out=rgb[area][..., channel])
        return replace(self, rgb=rgb, is_clean=True)

    def trimmed(self, margin_px: int = 0) -> "Cutout":
        """Crop to the garment, with a margin; where the margin leaves the photo it is transparent black.

        Stray specks do not count: faint ones that nobody sees would leave most of a picture empty.

        Raises:
            ValueError: everything is transparent, or `margin_px` is negative.
        """
        if self.garment_box_xyxy is None or margin_px < 0:
            raise ValueError("nothing to trim to" if margin_px >= 0 else f"margin_px is {margin_px}")
        height, width = self.alpha.shape
        left, top, right, bottom = np.add(self.garment_box_xyxy, (-margin_px, -margin_px, margin_px, margin_px))
        inside = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
        pad = (max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0))
        rgb, alpha = np.pad(self.rgb[inside], (*pad, (0, 0))), np.pad(self.alpha[inside], pad)
        return replace(self, rgb=rgb, alpha=alpha, is_whole=False)

    def over(self, color: str | None) -> Pixels:
        """Lay the cutout on a plain background.

        Args:
            color: `#rrggbb` in sRGB, converted to the photo's profile; None: the white of that profile.

        Returns:
            `(H, W, 3)` of the photo's depth.

        Raises:
            PhotoError: the profile cannot tell which numbers the colour has.
        """
        scale = int(np.iinfo(self.rgb.dtype).max) // 255
        background = np.array(color_in_profile(color, self.profile) if color else (255, 255, 255)) * scale
        flat = np.empty_like(self.rgb)
        for channel in range(3):  # numpy is slow on axes of three
            flat[..., channel] = background[channel]
        inside = slices_of(bounding_box(self.alpha > 0) or (0, 0, 0, 0))
        alpha, garment, ground = self.alpha[inside], self.rgb[inside], flat[inside]
        for channel in range(3):
            np.copyto(ground[..., channel], garment[..., channel], where=alpha > 0)
        rim = np.nonzero((alpha > 0) & (alpha < 1))
        share = alpha[rim][:, None]
        ground[rim] = np.rint(share * garment[rim] + (1 - share) * background.astype(np.float32))
        return flat

    def save(self, file: str | os.PathLike[str], /, *, format: str | None = None, **output: Any) -> None:
        """Write the cutout to a file, whole or not at all.

        Args:
            file: its suffix gives the format where `format` is None: `.png`, `.webp`, `.tif`, `.psd`, `.jpg`. A PSD's
                layer is named after the file.
            format: `png`, `mask`, `webp`, `tiff`, `psd` or `jpeg`.
            **output: the other fields of `garmentcut.config.OutputConfig`: `background`, `trim`, `margin_px`, `hidden`,
                `path`, `quality`.

        Raises:
            garmentcut.config.ConfigError: an unknown format or field, or ones that contradict each other or the suffix.
            garmentcut.photo.encoding.OutputError: the format cannot hold it, or there is nothing to trim to.
            OSError: the file cannot be written; nothing is left half written.
        """
        from garmentcut.config import ConfigError, load_config
        from garmentcut.photo.encoding import encode_cutout, format_of
        from garmentcut.photo.files import write_atomic

        chosen = format_of(Path(file), format)
        if "formats" in output:
            raise ConfigError("one file has one format: name it by format, not formats")
        settings = {f"output.{key}": value for key, value in output.items()}
        config = load_config(overrides={"output.formats": (chosen,), **settings})
        write_atomic(Path(file), encode_cutout(self, chosen, config.output, name=Path(file).stem))
