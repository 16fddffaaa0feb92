"""The registry of networks: from a recipe's `network.name` to the file and the function that build it."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from garmentcut.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

_MODULES = {
    "cutnet": ("cutnet", "segment", "refine"),
    "papers.unets": ("simple", "unet", "unet_paper", "ternausnet", "linknet34", "tiramisu"),
    "papers.vgg": ("fcn", "segnet", "deeplab_largefov"),
    "papers.dilated": ("pspnet", "deeplab_plus"),
    "prepared": ("prepared",),
}

NETWORKS: Mapping[str, str] = MappingProxyType(
    {name: f"garmentcut.model.{module}:build_{name}" for module, names in _MODULES.items() for name in names}
)
"""Name -> `module:builder`.

A builder takes keyword arguments and returns a module that maps float32 `(N, 3, H, W)` sRGB in [0, 1] to float32 logits
`(N, 1, H, W)`, with an attribute `multiple_of` for H and W. Where an encoder can start from ImageNet, the module has
`load_encoder(weights: Mapping | None)`: from tensors, or None: from the hub."""


def build_network(name: str, **options: Any) -> "nn.Module":
    """Build a network with weights drawn at random.

    Raises:
        ModelError: no such network, option or value, or the extra `train` is not installed.
    """
    builder = _builder(name)
    known = [key for key, kind in inspect.signature(builder).parameters.items() if kind.kind is not kind.VAR_KEYWORD]
    for option in options:
        if option not in known:
            raise ModelError(f"{name} has no option {option!r}{nearest(option, known)}")
    try:
        network: nn.Module = builder(**options)
    except ModelError:
        raise
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} cannot be built with {options}: {error}") from error
    return network


def nearest(word: str, known: list[str]) -> str:
    """The end of an error message: what may have been meant, or else what there is."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there is {', '.join(known) or 'none'}"


def _builder(name: str) -> Callable[..., Any]:
    if name not in NETWORKS:
        raise ModelError(f"there is no network {name!r}{nearest(name, list(NETWORKS))}")
    module, _, function = NETWORKS[name].partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise ModelError(f"{name} needs {error.name}, which is not installed; install garmentcut[train]") from error
    return found
