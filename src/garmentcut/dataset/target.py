"""The target on disk: the retoucher's alpha as a gray PNG, lossless, so that his file is opened only once."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.photo import PhotoError
from garmentcut.photo.png import SIGNATURE, png_bytes

_MEND = "run `garmentcut ingest` again"
_EXACT = np.float32(1e-6)  # a float32 of k / 255 is nearer to it than that


def target_bytes(alpha: NDArray[np.float32]) -> bytes:
    """Encode an alpha `(H, W)` float32 in [0, 1]: 8-bit gray where all of it is k / 255, else 16-bit."""
    levels = np.rint(alpha * np.float32(255))
    if np.abs(levels / np.float32(255) - alpha).max(initial=0) < _EXACT:
        return png_bytes(levels.astype(np.uint8))
    return png_bytes(np.rint(alpha * np.float32(65535)).astype(np.uint16))


def read_target(path: Path, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Read a target: `size_hw` float32 in [0, 1].

    Raises:
        PhotoError: missing, damaged, no gray PNG, or of another size; names the file.
    """
    import imagecodecs

    try:
        data = read_photo_bytes(path, ReadConfig())
        if not data.startswith(SIGNATURE):
            raise PhotoError("not a PNG")
        levels = imagecodecs.png_decode(data)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}; {_MEND}") from error
    except Exception as error:  # the decoder's own exceptions are not documented
        raise PhotoError(f"{path}: damaged; {_MEND}") from error
    if levels.shape != size_hw:
        raise PhotoError(f"{path}: {levels.shape} where the photo has {size_hw}; {_MEND}")
    alpha: NDArray[np.float32] = levels.astype(np.float32)
    alpha /= np.float32(np.iinfo(levels.dtype).max)
    return alpha
