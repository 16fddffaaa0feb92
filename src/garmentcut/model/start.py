"""What a training starts from: ImageNet, nothing, the embedded model, or a file."""

from importlib import resources
from pathlib import Path

from torch import Tensor, nn

from garmentcut.model.checkpoint import CheckpointError, NetworkSpec, read_weights
from garmentcut.model.matching import Mismatch


class StartError(ValueError):
    """A start that does not fit the network or is out of reach; the message names the mend."""


def default_weights() -> Path:
    """Path of the embedded model's weights."""
    return Path(str(resources.files("garmentcut") / "weights" / "default.safetensors"))


def start_network(network: nn.Module, name: str, start: str) -> tuple[str, ...]:
    """Fill a network with the weights its training starts from.

    Args:
        network: as `build_network` made it; changed in place, or left as it is when an error is raised.
        name: of its builder, for messages.
        start: `imagenet`, `scratch`, `default`, or the path of a .safetensors file: of a whole network that
            `save_network` wrote, or else of the encoder, in the keys that its source (timm, torchvision) gives them.

    Returns:
        What was loaded and what was not, a sentence each.

    Raises:
        StartError: the hub is out of reach, the weights do not fit, the network has no encoder, and so on.
        CheckpointError: the file cannot be used.
    """
    if start == "scratch":
        return (f"{name}: all weights drawn at random",)
    if start == "imagenet":
        return (f"{name}: encoder is {_load_encoder(network, name, None, 'imagenet')}, the rest drawn at random",)
    path = default_weights() if start == "default" else Path(start)
    if not path.is_file():
        raise StartError(f"network.start: {start!r} is no file; give one, or imagenet, scratch or default")
    weights, spec = read_weights(path)
    if spec is None:
        return (f"{name}: encoder is {_load_encoder(network, name, weights, start)}, the rest drawn at random",)
    return _load_whole(network, name, weights, spec, start)


def _load_encoder(network: nn.Module, name: str, weights: dict[str, Tensor] | None, start: str) -> str:
    load = getattr(network, "load_encoder", None)
    if load is None:
        raise StartError(f"{name} has no encoder that could start from {start}; set network.start to scratch")
    try:
        return str(load(weights))
    except Exception as error:  # the hub's clients raise all kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        if weights is not None:
            raise StartError(f"{start}: {reason}") from error
        raise StartError(
            f"ImageNet weights for {name} cannot be had from the hub ({reason}); set network.start to a .safetensors "
            "file of the encoder's weights, or to scratch"
        ) from error


def _load_whole(
    network: nn.Module, name: str, weights: dict[str, Tensor], spec: NetworkSpec, start: str
) -> tuple[str, ...]:
    mismatch = Mismatch.between(network.state_dict(), weights)
    # Parts that add nothing until they have learned: without them, the network is the one in the file.
    neutral: tuple[str, ...] = getattr(network, "neutral_parts", ())
    fresh = tuple(key for key in mismatch.missing if key.startswith(neutral))
    missing = tuple(key for key in mismatch.missing if key not in fresh)
    if spec.name != name or missing or mismatch.unexpected or mismatch.misshapen:
        differs = Mismatch(missing, mismatch.unexpected, mismatch.misshapen)
        reason = f"is a {spec.name}, not a {name}" if spec.name != name else f"does not fit these options: {differs}"
        raise CheckpointError(f"{start} {reason}; set network.name and network.options to {spec.name}, {spec.options}")
    network.load_state_dict(weights, strict=False)
    notes = (f"{name}: all weights from {start}",)
    parts = sorted({key.partition(".")[0] for key in fresh})
    return (*notes, f"new and neutral until they learn: {', '.join(parts)}") if parts else notes
