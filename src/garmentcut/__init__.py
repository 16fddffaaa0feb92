"""garmentcut: cut a garment out of a studio photo of a dressed mannequin.

>>> import garmentcut
>>> cutter = garmentcut.Cutter.load()  # doctest: +SKIP
>>> cutter(garmentcut.read_photo("dress.jpg")).save("dress.png")  # doctest: +SKIP

Names are loaded on first use, so importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from garmentcut.photo.cutout import Cutout
    from garmentcut.photo.photo import Photo, PhotoError
    from garmentcut.photo.read import read_photo
    from garmentcut.prediction.cutter import Cutter

__version__ = "0.1.0"
__all__ = ["Cutout", "Cutter", "Photo", "PhotoError", "__version__", "read_photo"]

_HOMES = {
    "PhotoError": "garmentcut.photo.photo",
    "Cutout": "garmentcut.photo.cutout",
    "Cutter": "garmentcut.prediction.cutter",
    "Photo": "garmentcut.photo.photo",
    "read_photo": "garmentcut.photo.read",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'garmentcut' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
