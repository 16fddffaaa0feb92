"""ImageNet weights into the encoders of the papers' networks: from torchvision's or timm's hub, or as given."""

from collections.abc import Mapping

import timm
from torch import Tensor, nn
from torchvision.models import get_weight

Weights = Mapping[str, Tensor]


def torchvision_weights(name: str) -> Weights:
    """Weights by their name in torchvision, for example `VGG16_Weights.IMAGENET1K_V1`; fetched once, then cached.

    Raises:
        OSError: they are not on this machine and the hub cannot be reached.
    """
    weights: Weights = get_weight(name).get_state_dict(progress=False, check_hash=True)
    return weights


def timm_weights(name: str) -> Weights:
    """Weights by their name in timm, for example `resnet50s.gluon_in1k`; fetched once, then cached.

    Raises:
        OSError: they are not on this machine and the hub cannot be reached.
    """
    return timm.create_model(name, pretrained=True).state_dict()


def load_weights(module: nn.Module, weights: Weights, *, of: str, names: Mapping[str, str] | None = None) -> None:
    """Copy weights into a module: all of its own, and nothing if one of them does not fit.

    Args:
        module: What they go into.
        weights: State dict; what the module lacks in it (a classifier, say) is left.
        of: The architecture, for the error.
        names: The module's own key to the key in `weights`; equal by default.

    Raises:
        ValueError: a tensor is missing or has another shape.
    """
    chosen = {}
    for key, own in module.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue  # older files lack it, and only a batch norm without momentum reads it
        theirs = names[key] if names else key
        if theirs not in weights:
            raise ValueError(f"these are not the weights of {of}: {theirs} is missing")
        if weights[theirs].shape != own.shape:
            shapes = f"{tuple(weights[theirs].shape)}, not {tuple(own.shape)}"
            raise ValueError(f"these are not the weights of {of}: {theirs} is {shapes}")
        chosen[key] = weights[theirs]
    module.load_state_dict(chosen, strict=False)
