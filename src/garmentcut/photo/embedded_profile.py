"""The colour profile in a picture file, found without decoding pixels."""

import io
import os
from collections.abc import Callable
from pathlib import Path

from PIL import ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from garmentcut.config import ReadConfig
from garmentcut.photo.clipping_path import split_resources
from garmentcut.photo.color import usable_profile
from garmentcut.photo.exif import silent_pillow
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.reading import damage_named, format_of

_PSD_SIGNATURE, _PSD_HEADER_BYTES, _PSD_PROFILE = b"8BPS", 26, 1039
_TIFF_PROFILE = 34675
_OPENERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "png": PngImagePlugin.PngImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}


def read_profile(path: str | os.PathLike[str], limits: ReadConfig | None = None) -> bytes | None:
    """The ICC profile that a PNG, JPEG, WebP, TIFF or PSD file's RGB pixels are in; None: sRGB, or no usable one.

    Raises:
        PhotoError: the file cannot be read, or is damaged before its pixels begin.
    """
    data = read_photo_bytes(Path(path), limits or ReadConfig())
    with damage_named():
        return usable_profile(_find_profile(data))[0]


def _find_profile(data: bytes) -> bytes | None:
    if data.startswith(_PSD_SIGNATURE):
        return _profile_of_psd(data)
    if (form := format_of(data)) == "tiff":
        import tifffile

        with tifffile.TiffFile(io.BytesIO(data)) as file:
            tag = file.pages.first.tags.get(_TIFF_PROFILE)
            return bytes(tag.value) if tag else None
    with silent_pillow():
        profile: bytes | None = _OPENERS[form](io.BytesIO(data)).info.get("icc_profile")
    return profile


def _profile_of_psd(data: bytes) -> bytes | None:
    """The image resources stand behind the header and the colour mode data, each with its length before it."""
    start = _PSD_HEADER_BYTES
    start += 4 + int.from_bytes(data[start : start + 4])
    end = start + 4 + int.from_bytes(data[start : start + 4])
    resources = split_resources(data[start + 4 : end])
    return next((resource.data for resource in resources if resource.number == _PSD_PROFILE), None)
