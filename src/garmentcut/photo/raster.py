"""Decode PNG, JPEG and WebP: Pillow for what it does best, exact decoders where it would lose something."""

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.config import ReadConfig
from garmentcut.photo.color import ToRgb, rgb_of_cmyk, rgb_of_gray, rgb_of_rgba, usable_profile
from garmentcut.photo.exif import keep_descriptive, orientation_of
from garmentcut.photo.files import check_size
from garmentcut.photo.photo import Photo, PhotoError, turn_upright


def decode_raster(data: bytes, limits: ReadConfig) -> Photo:
    """Decode a PNG, JPEG, MPO or WebP file.

    Args:
        data: the file's content.
        limits: checked against the header, before pixels are decoded.

    Raises:
        PhotoError: too large, animated, a colour mode not known; any other exception means a damaged file.
    """
    with warnings.catch_warnings():
        # Pillow's own limit only warns up to twice its size; ours, below, is the stricter one.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            check_size(*image.size, limits)
            _refuse_animation(image)
            depth = data[24] if image.format == "PNG" else 8
            converted = _rgb_of_deep_png(data, image) if depth == 16 else _rgb_of_image(data, image)
            exif = image.getexif()
            dpi = _dpi_of(image.info)
    orientation = orientation_of(exif)
    rgb = np.ascontiguousarray(turn_upright(converted.rgb, orientation))
    if dpi and orientation >= 5:
        dpi = dpi[::-1]
    return Photo(rgb, converted.profile, dpi, keep_descriptive(exif), converted.notes)


def _refuse_animation(image: Image.Image) -> None:
    # An MPO is a camera's JPEG with a preview behind it: the first frame is the photo.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise PhotoError(f"animated, {getattr(image, 'n_frames', 2)} frames; save the frame you want as a photo")


def _rgb_of_image(data: bytes, image: Image.Image) -> ToRgb:
    profile = image.info.get("icc_profile")
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        # Pillow hides libjpeg's warnings: a file with damaged scans would pass as a good photo.
        import simplejpeg

        gray = image.mode == "L"
        pixels = simplejpeg.decode_jpeg(data, colorspace="GRAY" if gray else "RGB", strict=True)
        if gray:
            return rgb_of_gray(pixels[..., 0], profile)
        return ToRgb(pixels, *usable_profile(profile))
    image.load()
    if image.mode == "CMYK":
        return rgb_of_cmyk(np.asarray(image), profile)
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return rgb_of_gray(np.asarray(image.convert("L")), profile)
    if image.mode == "RGB" and "transparency" not in image.info:
        return ToRgb(np.asarray(image), *usable_profile(profile))
    if image.mode in ("RGBA", "LA", "PA", "P", "RGB", "L", "1"):
        return rgb_of_rgba(np.asarray(image.convert("RGBA")), profile)
    raise PhotoError(f"colour mode {image.mode} is not read; convert it to RGB")


def _rgb_of_deep_png(data: bytes, image: Image.Image) -> ToRgb:
    """16-bit PNG, which Pillow would cut down to 8 bits."""
    import imagecodecs

    profile = image.info.get("icc_profile")
    pixels: NDArray[np.uint16] = imagecodecs.png_decode(data)
    if pixels.dtype != np.uint16 or pixels.shape[:2] != image.size[::-1]:
        raise PhotoError("damaged PNG; export it again")
    if "transparency" in image.info:
        raise PhotoError("16-bit PNG with a transparent colour key; flatten it first")
    image.load()  # reads the chunks behind the pixels too: EXIF may stand there
    if pixels.ndim == 2:
        return rgb_of_gray(pixels, profile)
    if pixels.shape[2] == 2:
        return rgb_of_rgba(pixels[..., [0, 0, 0, 1]], profile)
    if pixels.shape[2] == 4:
        return rgb_of_rgba(pixels, profile)
    return ToRgb(pixels, *usable_profile(profile))


def _dpi_of(info: dict[Any, Any]) -> tuple[float, float] | None:
    dpi = info.get("dpi")
    if not dpi or not all(0 < float(value) < 100_000 for value in dpi):
        return None
    return float(dpi[0]), float(dpi[1])
