"""An alpha as the review page keeps it: a gray file that is nothing else, however soft it is."""

from pathlib import Path

from garmentcut.config import ReadConfig
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.photo import PhotoError, to_alpha
from garmentcut.photo.read import damage_named, read_png
from garmentcut.photo.truth import CutoutError, CutoutFile


def read_alpha(path: Path, config: ReadConfig | None = None) -> CutoutFile:
    """Read it; a mask of an unknown source would have to be nearly black and white to be taken for one.

    Args:
        path: a gray PNG.
        config: bytes, pixels and sides accepted.

    Raises:
        CutoutError: it cannot be read, or is not gray.
    """
    limits = config or ReadConfig()
    try:
        data = read_photo_bytes(path, limits)
        with damage_named():
            pixels = read_png(data, limits).pixels
            if pixels.ndim == 3 and pixels.shape[2] == 1:
                pixels = pixels[..., 0]
            if pixels.ndim != 2:
                raise PhotoError("not a gray PNG; review the photo again")
            return CutoutFile(to_alpha(pixels), None, "mask image")
    except PhotoError as error:
        raise CutoutError(f"{path}: {error}") from error
