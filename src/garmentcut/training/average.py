"""Averaged weights: an exponential moving average of the network, which is what is evaluated and kept."""

from collections.abc import Mapping
from typing import Any, cast

from timm.utils.model_ema import ModelEmaV3
from torch import nn

from garmentcut.recipe import TrainingConfig


class WeightAverage:
    """A copy of the network that follows it slowly.

    After step t, from 0: average = d average + (1 - d) weights, with d = min(decay, (1 + t) / (10 + t)): the first
    steps, far from good, are soon forgotten (as in TensorFlow's ExponentialMovingAverage).

    Buffers of floats, BatchNorm's means and variances, are averaged like weights: they then belong to the same stretch
    of training as the averaged weights, and are smoother than the last few batches of six photos. Whole numbers are
    copied.

    Args:
        network: what is trained, on its device; not compiled, not wrapped.
        decay: in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        # timm's warm-up, 1 - (1 + s / gamma)^-power, is (1 + t) / (10 + t) with gamma 9, power 1, s = t + 1.
        self._average = ModelEmaV3(network, decay=decay, use_warmup=True, warmup_gamma=9.0, warmup_power=1.0)
        self._average.requires_grad_(requires_grad=False)
        self._updates = 0

    @property
    def network(self) -> nn.Module:
        """The averaged network, in evaluation mode."""
        return cast(nn.Module, self._average.module)

    def update(self, network: nn.Module) -> None:
        """Follow the network after an optimizer step."""
        self._average.update(network, step=self._updates + 2)  # it takes 1 from its own step, and s is t + 1
        self._updates += 1

    def state_dict(self) -> dict[str, Any]:
        """All that changes; tensors are not copied."""
        return {"network": self.network.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self._updates = int(state["updates"])


def average_weights(network: nn.Module, config: TrainingConfig) -> WeightAverage | None:
    """The average that a recipe asks for; None where `training.ema` is 0."""
    return WeightAverage(network, config.ema) if config.ema > 0 else None
