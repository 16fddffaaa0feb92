"""Saves and loads trained networks as safetensors, with the spec that rebuilds the network in the metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pydantic.dataclasses
import safetensors
import safetensors.torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor, nn

from garmentcut.errors import ModelError
from garmentcut.model.networks import build_network
from garmentcut.photo.files import write_atomic

_KEY = "garmentcut.network"
_OLD_FACTS = {"trained_prints": "trained_hashes"}  # names until November 2026, and what they are called now
_NAMED_KEYS = 3  # of each kind; a wrong file misses hundreds
_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@pydantic.dataclasses.dataclass(frozen=True, config=_STRICT)
class NetworkSpec:
    """What builds a network again, how it was trained, and what else is known of it."""

    name: str
    """Builder in `garmentcut.model.networks`."""
    options: dict[str, Any]
    """Arguments of the builder."""
    size_hw: tuple[int, int]
    """Height and width in pixels of the photos it was trained at."""
    target: str
    """What it was trained on: `alpha`, `alpha >= 128` or `alpha > 0`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Anything else that JSON can hold: recipe, scores, hashes of the photos. `garmentcut.export.onnx` says which of
    them go on to the model's card."""


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class _Facts:
    """What others read of a spec's facts, by the types that they rely on."""

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
    """Write a network's weights and its spec atomically.

    Args:
        path: the file to write, usually `.safetensors`.
        network: bare, not compiled or wrapped for several devices.
        spec: how to build it again.
        half: store float16, half the size; the weights are rounded by a thousandth of themselves at most.

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
    """Read what `save_network` wrote.

    Returns:
        The network in training mode, its weights float32 on the CPU, and its spec.

    Raises:
        ModelError: missing, damaged, or not such a file.
    """
    weights, spec = read_weights(path)
    if spec is None:
        raise ModelError(f"{path} does not say what network it is of; use a file that garmentcut saved")
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
        raise ModelError(f"{path} is damaged or no safetensors file ({error}); copy or save it again") from error
    if content is None:
        return weights, None
    return weights, _spec_of(content, path)


def _spec_of(content: str, path: Path) -> NetworkSpec:
    place = ""
    try:
        spec = TypeAdapter(NetworkSpec).validate_json(content)
        spec = replace(spec, facts={_OLD_FACTS.get(key, key): value for key, value in spec.facts.items()})
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
    """Where two sets of weights differ; false if nowhere, a sentence as text."""

    missing: tuple[str, ...]  # keys of the network that the weights lack
    unexpected: tuple[str, ...]  # keys of the weights that the network lacks
    misshapen: tuple[str, ...]  # keys of both, with both shapes

    @classmethod
    def between(cls, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> "Mismatch":
        """Compare a network's own state with weights that are given for it."""
        # Older files lack a batch norm's counter, which only one without momentum reads.
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
