"""Saves and loads trained networks as safetensors, with the spec that rebuilds each; loads a training's start weights.

The recipe's `network.start` names these: ImageNet's, random ones, the embedded model's, or those of a file.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pydantic.dataclasses
import safetensors
import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from garmentcut.config import STRICT
from garmentcut.errors import ModelError
from garmentcut.model.card import OLD_KEYS, UNKNOWN, read_model
from garmentcut.model.networks import build_network
from garmentcut.photo.files import write_atomic

_KEY = "garmentcut.network"
_NAMED_KEYS = 3  # of each kind; in a wrong file, hundreds are missing


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class NetworkSpec:
    """What is needed to rebuild a network, how it was trained, and what else is known about it."""

    name: str
    """Key of `garmentcut.model.networks.NETWORKS`."""
    options: dict[str, Any]
    """Arguments of the network's class."""
    size_hw: tuple[int, int]
    """Height and width in pixels of the photos it was trained at."""
    target: str
    """What it was trained on: `alpha`, `alpha >= 128` or `alpha > 0`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Anything else that JSON can hold: recipe, scores, hashes of the photos. `garmentcut.export.onnx` defines which of
    them go on the model's card."""


@pydantic.dataclasses.dataclass(frozen=True)
class _Facts:
    """The facts of a spec that other modules read, with the types that they rely on; others are ignored."""

    trained_on: tuple[str, ...] = ()
    trained_hashes: str = ""
    started_from: str = ""
    name: str = ""
    training_data: str = ""
    licence: str = ""
    data: str = ""
    num_trained_on: int = 0
    edge_bias: float = 0.0
    edge_gain: float = 1.0
    scores: tuple[dict[str, Any], ...] = ()
    dice: dict[str, Any] | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    boxes_xyxy: tuple[tuple[int, int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if any(left >= right or top >= bottom for left, top, right, bottom in self.boxes_xyxy):
            raise ValueError("boxes_xyxy: an empty box")


def save_network(path: Path, network: nn.Module, spec: NetworkSpec, *, half: bool = False) -> None:
    """Write a network's weights and its spec atomically, usually as `.safetensors`.

    The network must be neither compiled nor wrapped for several devices. With `half`, weights are stored as float16, at
    half the size, with a rounding error of at most a thousandth.

    Raises:
        ModelError: the disk is full, the folder cannot be written, and so on.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    if half:
        tensors = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    content = json.dumps(TypeAdapter(NetworkSpec).dump_python(spec, mode="json"), ensure_ascii=False)
    try:
        write_atomic(path, safetensors.torch.save(tensors, {_KEY: content}))
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror or error}; make room or save elsewhere") from error


def load_network(path: Path) -> tuple[nn.Module, NetworkSpec]:
    """Read what `save_network` wrote: the network in training mode, its weights float32 on the CPU, and its spec.

    Raises:
        ModelError: missing, damaged, or not such a file.
    """
    weights, spec = read_weights(path)
    if spec is None:
        raise ModelError(f"{path} does not say which network it belongs to; use a file that garmentcut saved")
    try:
        network = build_network(spec.name, **spec.options)
    except ModelError as error:
        raise ModelError(f"{path}: {error}; it was saved by another version of garmentcut") from error
    if mismatch := Mismatch.between(network.state_dict(), weights):
        raise ModelError(f"{path} does not fit {spec.name} ({mismatch}); it was saved by another version")
    network.load_state_dict(weights, strict=False)
    return network, spec


def read_weights(path: Path) -> tuple[dict[str, Tensor], NetworkSpec | None]:
    """Tensors of any safetensors file, and the spec if `save_network` wrote it.

    Raises:
        ModelError: missing, damaged or another kind of file, or a spec of another version.
    """
    try:
        path.open("rb").close()  # safetensors reports a folder or a locked file as damaged
        with safetensors.safe_open(path, framework="pt") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 not a mapping
            content = (file.metadata() or {}).get(_KEY)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path} is damaged or not a safetensors file ({error}); copy or save it again") from error
    return weights, None if content is None else _spec_of(content, path)


def _spec_of(content: str, path: Path) -> NetworkSpec:
    place = ""
    try:
        spec = TypeAdapter(NetworkSpec).validate_json(content)
        spec = replace(spec, facts={OLD_KEYS.get(key, key): value for key, value in spec.facts.items()})
        place = "facts."
        TypeAdapter(_Facts).validate_python(spec.facts)
    except ValidationError as error:
        first = error.errors()[0]
        key = place + ".".join(str(part) for part in first["loc"])
        reason = f"({key}: {first['msg'].lower()})" if place else f"({key})"
        raise ModelError(f"{path} was saved by another version of garmentcut {reason}; update one") from error
    return spec


@dataclass(frozen=True)
class Mismatch:
    """The differences of two sets of weights; false if there are none; as text, a sentence."""

    missing: tuple[str, ...]  # keys of the network that the weights lack
    unexpected: tuple[str, ...]  # keys of the weights that the network lacks
    misshapen: tuple[str, ...]  # keys of both, with both shapes

    @classmethod
    def between(cls, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> "Mismatch":
        """Compare a network's own state with weights that are given for it."""
        # Older files lack a batch norm's counter, which is only read if the norm has no momentum.
        missing = tuple(key for key in own if key not in given and not key.endswith("num_batches_tracked"))
        misshapen = tuple(
            f"{key} {tuple(given[key].shape)} for {tuple(tensor.shape)}"
            for key, tensor in own.items()
            if key in given and given[key].shape != tensor.shape
        )
        return cls(missing, tuple(key for key in given if key not in own), misshapen)

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "unknown": self.unexpected, "of another shape": self.misshapen}
        return "; ".join(f"{kind}: {_some(keys)}" for kind, keys in kinds.items() if keys)


def _some(keys: tuple[str, ...]) -> str:
    more = f" and {len(keys) - _NAMED_KEYS} more" if len(keys) > _NAMED_KEYS else ""
    return ", ".join(keys[:_NAMED_KEYS]) + more


class Origin(NamedTuple):
    """The origin of start weights."""

    words: str  # for the card
    trained_on: tuple[str, ...] = ()  # as on the card: what the weights have already learned from
    trained_hashes: str = ""  # likewise


_EMBEDDED = ("segment", "refine")  # the networks whose weights the embedded model has


def default_weights(stage: str) -> Path:
    """Path of the embedded model's weights, of one stage: `locate`, `segment` or `refine`."""
    return Path(str(resources.files("garmentcut") / "weights" / f"default-{stage}.safetensors"))


def start_network(network: nn.Module, name: str, start: str) -> tuple[str, ...]:
    """Load the weights that a training starts from into a network; returns what was loaded, in sentences.

    The network, made by `build_network` with this name, is changed in place, or left unchanged if an error is raised.
    `start` is `imagenet`, `scratch`, `default/STAGE`, or the path of a .safetensors file: a whole network that
    `save_network` wrote, or else an encoder, with the keys of its source (timm, torchvision).

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
    """What the weights of a start have already learned from; raises ModelError if the file cannot be used."""
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
        raise ModelError(f"network.start: {start!r} is not a file; give one, or imagenet, scratch or default")
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
            f"{name}: ImageNet's weights are neither cached nor available from the hub ({reason}); set network.start to"
            f"{embedded} scratch, or to a .safetensors file of the encoder's weights; for networks of folds whose"
            " start has seen held-out photos, set stages.fold_start to one of the last two"
        ) from error


def _load_whole(
    network: nn.Module, name: str, weights: dict[str, Tensor], spec: NetworkSpec, start: str
) -> tuple[str, ...]:
    if spec.options.get("in_channels", 3) in range(getattr(network, "in_channels", 3)):
        weights = widened(weights, network.state_dict())
    mismatch = Mismatch.between(network.state_dict(), weights)
    # Parts that add nothing until they are trained; without them, the network is the one in the file.
    neutral: tuple[str, ...] = getattr(network, "neutral_parts", ())
    fresh = tuple(key for key in mismatch.missing if key.startswith(neutral))
    differs = replace(mismatch, missing=tuple(key for key in mismatch.missing if key not in fresh))
    if spec.name != name or differs:
        reason = f"is a {spec.name}, not a {name}" if spec.name != name else f"does not fit these options: {differs}"
        raise ModelError(f"{start} {reason}; set network.name and network.options to {spec.name}, {spec.options}")
    network.load_state_dict(weights, strict=False)
    parts = ", ".join(sorted({key.partition(".")[0] for key in fresh}))
    return (f"{name}: all weights from {start}", *([f"new and neutral until they learn: {parts}"] if parts else []))


def widened(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Widen the weights of convolutions whose input now has more channels.

    New channels follow the old ones with weights of 0, so the network's output stays the same, whatever they contain,
    until it is trained. All weights are returned.
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
