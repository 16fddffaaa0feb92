"""Files of contact sheets; they carry a mark, so that a sheet is never taken for a cutout, nor written over one."""

import io
from pathlib import Path

from PIL import Image, PngImagePlugin

from garmentcut.photo.thumbnail import Rgb

SHEET_SUFFIXES = (".jpg", ".jpeg", ".png")

_MARK = b"garmentcut contact sheet"
_HEAD_BYTES = 512  # the mark stands before the pixels
_QUALITY = 92


def encode_sheet(page: Rgb, suffix: str) -> bytes:
    """A page as a file's content.

    Args:
        page: `(H, W, 3)` uint8 sRGB.
        suffix: one of `SHEET_SUFFIXES`.
    """
    file, image = io.BytesIO(), Image.fromarray(page)
    if suffix.lower() == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", _MARK.decode())
        image.save(file, "PNG", pnginfo=text, compress_level=6)
    else:
        # No colour subsampling: the strong ground would bleed into the rims that it is there to show.
        image.save(file, "JPEG", quality=_QUALITY, subsampling=0, comment=_MARK)
    return file.getvalue()


def is_contact_sheet(path: Path) -> bool:
    """True for files of `encode_sheet`; False also for what cannot be read."""
    try:
        with path.open("rb") as file:
            return _MARK in file.read(_HEAD_BYTES)
    except OSError:
        return False
