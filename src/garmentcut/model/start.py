"""Loads what the training loop starts from: ImageNet's weights, none, the embedded model's, or those of a file."""

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from garmentcut.errors import ModelError
from garmentcut.model.card import UNKNOWN, read_model
from garmentcut.model.checkpoint import Mismatch, NetworkSpec, read_weights


class Origin(NamedTuple):
    """Where the weights of a start come from."""

    words: str  # for the card
    trained_on: tuple[str, ...] = ()  # as the card's: what the network has learned from already
    trained_hashes: str = ""  # likewise


_EMBEDDED = ("segment", "refine")  # builders of the networks whose weights the embedded model has


def default_weights(stage: str) -> Path:
    """Path of the embedded model's weights, of one stage: `locate`, `segment` or `refine`."""
    return Path(str(resources.files("garmentcut") / "weights" / f"default-{stage}.safetensors"))


def start_network(network: nn.Module, name: str, start: str) -> tuple[str, ...]:
    """Load the weights that a training starts from into a network.

    Args:
        network: as `build_network` made it; changed in place, or left as it is when an error is raised.
        name: of its builder, for messages.
        start: `imagenet`, `scratch`, `default/STAGE`, or the path of a .safetensors file: of a whole network that
            `save_network` wrote, or else of the encoder, in the keys that its source (timm, torchvision) gives them.

    Returns:
        What was loaded and what was not, a sentence each.

    Raises:
        ModelError: the weights do not fit, or cannot be read or fetched, the network has no encoder, and so on.
    """
    if start == "scratch":
        return (f"{name}: all weights drawn at random",)
    if start == "imagenet":
        return _load_encoder(network, name, None, start)
    weights, spec = read_weights(_path_of(start))
    if spec is None:
        return _load_encoder(network, name, weights, start)
    return _load_whole(network, name, weights, spec, start)


def origin_of(start: str) -> Origin:
    """What a start has already learned from.

    Raises:
        ModelError: the file is not there, or cannot be used.
    """
    if start == "scratch":
        return Origin("random weights")
    if start == "imagenet":
        return Origin("ImageNet's weights of the encoder, from the hub")
    path = _path_of(start)
    _, spec = read_weights(path)
    if start.partition("/")[0] == "default":
        card = read_model(path.with_name("default.onnx"))[1]
        return Origin(f"the embedded model {card.label}", card.trained_on, card.trained_hashes)
    if spec is None:
        return Origin(f"{path.name}, weights of the encoder")
    trained_on = spec.facts.get("trained_on") or (UNKNOWN,)
    return Origin(f"{path.name} of a {spec.name}", tuple(trained_on), spec.facts.get("trained_hashes", ""))


def _path_of(start: str) -> Path:
    first, _, stage = start.partition("/")
    path = default_weights(stage) if first == "default" else Path(start)
    if first == "default" and not path.is_file():
        raise ModelError(
            "network.start = default: the embedded model's weights are of three stages; build on a recipe with stages"
            ' (base = "finetune"), or set it to a .safetensors file, to imagenet or to scratch'
        )
    if not path.is_file():
        raise ModelError(f"network.start: {start!r} is no file; give one, or imagenet, scratch or default")
    return path


def _load_encoder(network: nn.Module, name: str, weights: dict[str, Tensor] | None, start: str) -> tuple[str, ...]:
    load: Callable[[dict[str, Tensor] | None], str] | None = getattr(network, "load_encoder", None)
    if load is None:
        raise ModelError(f"{name} has no encoder that could start from {start}; set network.start to scratch")
    try:
        return (f"{name}: encoder is {load(weights)}, the rest drawn at random",)
    except Exception as error:  # the hub's clients raise all kinds
        if weights is not None and not isinstance(error, ValueError):
            raise
        if weights is not None:
            raise ModelError(f"{start}: {error}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        embedded = " default (the embedded model's)," if name in _EMBEDDED else ""
        raise ModelError(
            f"{name}: ImageNet's weights are neither here nor to be had from the hub ({reason}); set network.start to"
            f"{embedded} scratch, or to a .safetensors file of the encoder's weights"
        ) from error


def _load_whole(
    network: nn.Module, name: str, weights: dict[str, Tensor], spec: NetworkSpec, start: str
) -> tuple[str, ...]:
    if spec.options.get("in_channels", 3) in range(getattr(network, "in_channels", 3)):
        weights = widened(weights, network.state_dict())
    mismatch = Mismatch.between(network.state_dict(), weights)
    # Parts that add nothing until they have learned: without them, the network is the one in the file.
    neutral: tuple[str, ...] = getattr(network, "neutral_parts", ())
    fresh = tuple(key for key in mismatch.missing if key.startswith(neutral))
    missing = tuple(key for key in mismatch.missing if key not in fresh)
    if spec.name != name or missing or mismatch.unexpected or mismatch.misshapen:
        differs = Mismatch(missing, mismatch.unexpected, mismatch.misshapen)
        reason = f"is a {spec.name}, not a {name}" if spec.name != name else f"does not fit these options: {differs}"
        raise ModelError(f"{start} {reason}; set network.name and network.options to {spec.name}, {spec.options}")
    network.load_state_dict(weights, strict=False)
    notes = (f"{name}: all weights from {start}",)
    parts = sorted({key.partition(".")[0] for key in fresh})
    return (*notes, f"new and neutral until they learn: {', '.join(parts)}") if parts else notes


def widened(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fill up convolutions whose input has more channels than the weights know.

    New channels stand behind the old ones, and their weights are 0: the network gives what it gave, whatever is in
    them, until it learns better.

    Returns:
        All weights, those that are too narrow filled up.
    """
    fitted = dict(weights)
    for key, tensor in weights.items():
        wide = own.get(key)
        if wide is None or tensor.ndim != 4 or wide.shape == tensor.shape:
            continue
        out, channels, *kernel = tensor.shape
        if wide.shape[0] == out and list(wide.shape[2:]) == kernel and wide.shape[1] > channels:
            missing = torch.zeros(out, wide.shape[1] - channels, *kernel, dtype=tensor.dtype)
            fitted[key] = torch.cat([tensor, missing], dim=1)
    return fitted
