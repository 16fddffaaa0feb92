"""`Cutout`, the public result of cutting one photo: photo and alpha, with methods to save and convert it."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo import compose
from garmentcut.photo.mask import Box
from garmentcut.photo.photo import Metadata, Photo, Picture, Pixels, to_8_bit

if TYPE_CHECKING:
    from PIL import Image


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
        is_clean: edge colours are the garment's own and hidden pixels black: cleaning again would only do harm.
        is_whole: it has the photo's own frame: neither trimmed nor laid on another canvas.
        iptc: records of IPTC's Information Interchange Model; None: no IPTC.
        doubt: 1 - expected surface Dice at 2 px, in [0, 1]; None: nobody has judged it, or the model cannot tell.
        reasons: why it is doubtful, in words.
        flags: codes of the reasons, keys of `garmentcut.errors.FLAGS`: `foreign` first, if the photo looks unlike the
            studio that the model was trained on.
    """

    rgb: Pixels
    alpha: NDArray[np.float32]
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    is_clean: bool = False
    is_whole: bool = True
    iptc: bytes | None = None
    doubt: float | None = None
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Size, garment and doubt; the pixels themselves would fill pages."""
        height, width = self.alpha.shape
        doubt = "" if self.doubt is None else f", doubt {self.doubt:.3f}"
        return f"<Cutout {width}x{height} {self.rgb.dtype}, garment at {self.garment_box_xyxy}{doubt}>"

    def __post_init__(self) -> None:
        """Check shapes, dtypes and range once, at the edge."""
        _ = self.picture

    @classmethod
    def of(cls, photo: Photo, alpha: NDArray[np.float32]) -> "Cutout":
        """A photo and its alpha; all that travels with the photo goes along."""
        return cls(photo.rgb, alpha, photo.profile, photo.dpi, photo.exif, photo.xmp, iptc=photo.iptc)

    def _with(self, picture: Picture) -> "Cutout":
        """The same cutout with another picture of it, which keeps what travels with the photo."""
        return replace(self, rgb=picture.rgb, alpha=picture.alpha, is_clean=picture.is_clean, is_whole=picture.is_whole)

    @cached_property
    def picture(self) -> Picture:
        """The same for the writers."""
        metadata = Metadata(self.profile, self.dpi, self.exif, self.xmp, self.iptc)
        return Picture(self.rgb, self.alpha, metadata, self.is_clean, self.is_whole)

    @property
    def box_xyxy(self) -> Box | None:
        """Left, top, right, bottom of what an 8-bit alpha shows, right and bottom exclusive; None: nothing."""
        return self.picture.box_xyxy

    @property
    def garment_box_xyxy(self) -> Box | None:
        """The same without specks: the box by which a garment is sized, placed and trimmed."""
        return self.picture.garment_box_xyxy

    def rounded_alpha(self) -> Pixels:
        """Alpha as full-range integers of the photo's depth, `(H, W)`."""
        return self.picture.rounded_alpha()

    def rgba(self, *, clean: bool = True) -> Pixels:
        """`(H, W, 4)` of the photo's depth, straight (not premultiplied) alpha.

        Args:
            clean: take the background's colour out of edge pixels and make hidden ones black, as in a file; False:
                the photo's own pixels, untouched.
        """
        return (self.cleaned if clean else self).picture.rgba()

    def to_pil(self) -> "Image.Image":
        """A PIL image, RGBA, 8 bits, cleaned, with the photo's colour profile and resolution."""
        from PIL import Image

        image = Image.fromarray(to_8_bit(self.rgba()))
        image.info |= {"icc_profile": self.profile} if self.profile else {}
        image.info |= {"dpi": self.dpi} if self.dpi else {}
        return image

    @cached_property
    def cleaned(self) -> "Cutout":
        """The same, worked out once, with the background's colour taken out of edge pixels and hidden pixels black."""
        return self if self.is_clean else self._with(compose.clean(self.picture))

    def trimmed(self, margin_px: int = 0) -> "Cutout":
        """Crop to the garment, with a margin; where the margin leaves the photo it is transparent black.

        Raises:
            ValueError: everything is transparent, or `margin_px` is negative.
        """
        return self._with(compose.trim(self.picture, margin_px))

    def over(self, color: str | None) -> Pixels:
        """The cutout on a plain background, `(H, W, 3)` of the photo's depth.

        Args:
            color: `#rrggbb` in sRGB, converted to the photo's profile; None: the white of that profile.

        Raises:
            PhotoError: the profile cannot tell which numbers the colour has.
        """
        return compose.lay_over(self.picture, color)

    def save(self, file: str | os.PathLike[str], /, *, format: str | None = None, **output: Any) -> None:
        """Write the cutout to a file, whole or not at all.

        Args:
            file: its suffix gives the format where `format` is None: `.png`, `.webp`, `.tif`, `.psd`, `.jpg`. A PSD's
                layer is named after the file.
            format: `png`, `mask`, `webp`, `tiff`, `psd` or `jpeg`.
            **output: the other fields of `garmentcut.config.OutputConfig`: `background`, `trim`, `margin_px`, `hidden`,
                `path`, `quality`.

        Raises:
            garmentcut.errors.ConfigError: an unknown format or field, or ones that contradict each other or the suffix.
            garmentcut.errors.OutputError: the format cannot hold it, or there is nothing to trim to.
            OSError: the file cannot be written; nothing is left half written.
        """
        from garmentcut.photo.files import write_atomic
        from garmentcut.photo.write import format_for

        chosen = format_for(Path(file), format)
        write_atomic(Path(file), self._encoded(chosen, output, name=Path(file).stem))

    def to_bytes(self, format: str = "png", **output: Any) -> bytes:
        """A file's content.

        Args:
            format: `png`, `mask`, `webp`, `tiff`, `psd` or `jpeg`.
            **output: as for `save`.

        Raises:
            garmentcut.errors.ConfigError: an unknown format or field, or ones that contradict each other.
            garmentcut.errors.OutputError: the format cannot hold it, or there is nothing to trim to.
        """
        return self._encoded(format, output)

    def _encoded(self, format: str, output: dict[str, Any], *, name: str = "") -> bytes:
        from garmentcut.config import load_config
        from garmentcut.errors import ConfigError
        from garmentcut.photo.write import encode_cutout

        if "formats" in output:
            raise ConfigError("one file has one format: name it by format, not formats")
        settings = {f"output.{key}": value for key, value in output.items()}
        config = load_config(overrides={"output.formats": (format,), **settings})
        return encode_cutout(self.picture, format, config.output, name=name)
