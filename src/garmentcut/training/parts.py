"""What is trained, and what trains it, built from a recipe."""

from dataclasses import dataclass
from typing import cast

import torch
from lightning.fabric import Fabric
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn

from garmentcut.model.networks import build_network
from garmentcut.model.start import start_network
from garmentcut.recipe import Recipe
from garmentcut.training.average import WeightAverage, average_weights
from garmentcut.training.devices import compiles
from garmentcut.training.errors import TrainingError
from garmentcut.training.joined_norm import join_batch_norms
from garmentcut.training.optimizers import build_optimizer
from garmentcut.training.schedules import Schedule, build_schedule
from garmentcut.training.state import Stateful


@dataclass(frozen=True, eq=False)
class Parts:
    """What a training step works with.

    Attributes:
        network: plain, on the device; its weights are those of `module`.
        module: the network as the step calls it: compiled, at the training's precision, joined over the devices.
        optimizer: wrapped by Fabric.
        plain_optimizer: the same, unwrapped.
        schedule: of its learning rate.
        average: of the network's weights; None if the recipe wants none.
    """

    network: nn.Module
    module: nn.Module
    optimizer: torch.optim.Optimizer
    plain_optimizer: torch.optim.Optimizer
    schedule: Schedule
    average: WeightAverage | None

    @property
    def kept(self) -> nn.Module:
        """The network that is evaluated and kept: the averaged one, if there is an average."""
        return self.network if self.average is None else self.average.network

    def follow(self) -> None:
        """Let the average take in the weights of this step."""
        if self.average is not None:
            self.average.update(self.network)

    @property
    def states(self) -> dict[str, Stateful]:
        """What changes from step to step, in the order in which it is given back."""
        found: dict[str, Stateful] = {
            "network": self.network,
            "optimizer": self.plain_optimizer,
            "schedule": self.schedule,
        }
        return found if self.average is None else {**found, "average": self.average}


def build_parts(recipe: Recipe, fabric: Fabric, *, with_start: bool = True) -> Parts:
    """Build all of a recipe's parts; the seed decides on weights that are drawn.

    Args:
        recipe: all knobs.
        fabric: launched.
        with_start: load the weights the recipe starts from; False where others will take their place.

    Raises:
        TrainingError: the size does not fit the network.
        NetworkError, CheckpointError: the network cannot be built or started.
    """
    torch.manual_seed(recipe.training.seed)
    network = build_network(recipe.network.name, **recipe.network.options)
    check_size(recipe, network)
    if with_start:
        start_network(network, recipe.network.name, recipe.network.start)
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        network = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    elif fabric.world_size > 1:  # PyTorch has it for GPUs only
        network = join_batch_norms(network)
    network = network.to(fabric.device).to(memory_format=torch.channels_last).train()
    compiled = cast(nn.Module, torch.compile(network)) if compiles(fabric, recipe.training) else network
    module = cast(nn.Module, fabric.setup(compiled))
    optimizer = build_optimizer(network, recipe.optimizer)
    schedule = build_schedule(optimizer, recipe.schedule, recipe.training.steps)
    average = average_weights(network, recipe.training)
    wrapped = cast(torch.optim.Optimizer, fabric.setup_optimizers(optimizer))
    return Parts(network, module, wrapped, optimizer, schedule, average)


def shorten_gradient(parts: Parts, clip_norm: float) -> Tensor | None:
    """Scale the gradients so that their norm is `clip_norm` at most.

    Returns:
        The norm before, on the device; None if nothing is to be shortened.
    """
    if clip_norm == 0:
        return None
    # Not `error_if_nonfinite`: asking the GPU makes the processor wait; the watch asks later.
    return nn.utils.clip_grad_norm_(parts.network.parameters(), clip_norm)


def check_size(recipe: Recipe, network: nn.Module) -> None:
    """Refuse photos that the network cannot take.

    Raises:
        TrainingError: names the nearest size that fits.
    """
    multiple = int(getattr(network, "multiple_of", 1))
    height, width = recipe.data.size_hw
    if height % multiple or width % multiple:
        near = [max(round(side / multiple), 1) * multiple for side in (height, width)]
        raise TrainingError(
            f"data.size_hw = [{height}, {width}]: {recipe.network.name} needs multiples of {multiple}; near is {near}"
        )
