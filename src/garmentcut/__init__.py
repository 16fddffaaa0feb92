"""garmentcut: cut a garment out of a studio photo of a dressed mannequin.

>>> import garmentcut
>>> cutter = garmentcut.Cutter.load()  # doctest: +SKIP
>>> cutter("dress.jpg").save("dress.png")  # doctest: +SKIP
>>> png = garmentcut.remove("dress.jpg")  # doctest: +SKIP

Names are loaded on first use, so importing the package takes almost no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from garmentcut.errors import ConfigError, GarmentcutError, ModelError, OutputError, PhotoError
    from garmentcut.photo.photo import Cutout, Photo
    from garmentcut.photo.read import read_photo
    from garmentcut.prediction.cutter import Cutter
    from garmentcut.prediction.folder import FolderCutter
    from garmentcut.prediction.inputs import Result, remove

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "Cutout",
    "Cutter",
    "FolderCutter",
    "GarmentcutError",
    "ModelError",
    "OutputError",
    "Photo",
    "PhotoError",
    "Result",
    "__version__",
    "read_photo",
    "remove",
]

_HOMES = {
    **dict.fromkeys(("ConfigError", "GarmentcutError", "ModelError", "OutputError", "PhotoError"), "garmentcut.errors"),
    "Cutout": "garmentcut.photo.photo",
    "Cutter": "garmentcut.prediction.cutter",
    "FolderCutter": "garmentcut.prediction.folder",
    "Photo": "garmentcut.photo.photo",
    "Result": "garmentcut.prediction.inputs",
    "read_photo": "garmentcut.photo.read",
    "remove": "garmentcut.prediction.inputs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'garmentcut' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
