"""The registry of networks: maps a recipe's `network.name` to the module and class that build it."""

import difflib
import importlib
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from garmentcut.errors import ModelError

if TYPE_CHECKING:
    from garmentcut.model.layers import PhotoNetwork

NETWORKS: Mapping[str, str] = MappingProxyType(
    {
        "cutnet": "cutnet:CutNet",
        "segment": "cutnet:SegmentNet",
        "refine": "cutnet:RefineNet",
        "simple": "papers.unets:Simple",
        "unet": "papers.unets:UNet",
        "unet_paper": "papers.unets:UnetPaper",
        "ternausnet": "papers.unets:TernausNet",
        "linknet34": "papers.unets:LinkNet34",
        "tiramisu": "papers.unets:Tiramisu",
        "fcn": "papers.vgg:Fcn",
        "segnet": "papers.vgg:SegNet",
        "deeplab_largefov": "papers.vgg:DeepLabLargeFov",
        "pspnet": "papers.dilated:PspNet",
        "deeplab_plus": "papers.dilated:DeepLabPlus",
        "prepared": "prepared:Prepared",
    }
)
"""Name -> `module:class` in `garmentcut.model`.

A network maps float32 `(N, 3, H, W)` sRGB in [0, 1] to float32 logits `(N, 1, H, W)`, and has an attribute
`multiple_of` for H and W. A recipe's options are its arguments, except keyword-only ones, which build what a paper
published. If its encoder can start from ImageNet, it has `load_encoder(weights: Mapping | None)`: from tensors or, if
None, from the hub."""


def build_network(name: str, **options: Any) -> "PhotoNetwork":
    """Build a network with random weights; ModelError for an unknown network, option or value, or without `train`."""
    if name not in NETWORKS:
        raise ModelError(f"there is no network {name!r}{nearest(name, list(NETWORKS))}")
    module, _, kind_name = NETWORKS[name].partition(":")
    try:
        kind: type[PhotoNetwork] = getattr(importlib.import_module(f"garmentcut.model.{module}"), kind_name)
    except ModuleNotFoundError as error:
        raise ModelError(f"{name} needs {error.name}, which is not installed; install garmentcut[train]") from error
    known = [key for key, one in inspect.signature(kind).parameters.items() if one.kind is not one.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise ModelError(f"{name} has no option {option!r}{nearest(option, known)}")
    try:
        return kind(**options)
    except ModelError:
        raise
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} cannot be built with {options}: {error}") from error


def nearest(word: str, known: list[str]) -> str:
    """The end of an error message: the nearest known name, or else all of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there is {', '.join(known) or 'none'}"
