"""Learning-rate range test: a short training whose rate climbs, to see which rates a recipe can bear (Smith 2015)."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

_DIVERGED = 4.0  # times the lowest loss so far
_MEMORY = 0.8  # of the running mean that this is judged by: one bad batch is not enough
_LEAST_POINTS = 5


@dataclass(frozen=True)
class RangePoint:
    """One step: the learning rate it was taken with, and the loss before it."""

    lr: float
    loss: float


def range_test(
    step: Callable[[], float],
    network: nn.Module,
    optimizer: Optimizer,
    *,
    low: float = 1e-6,
    high: float = 1.0,
    num_steps: int = 100,
) -> list[RangePoint]:
    """Train for a few steps, the rate climbing evenly on a log scale, until the loss diverges; then undo it all.

    Smith, "Cyclical learning rates for training neural networks", WACV 2017 (arXiv 2015), section 3.3. It stops when
    the loss is no number, or its running mean is four times the lowest one.

    Args:
        step: takes one optimizer step on the next batch and returns its loss; leaves the learning rate alone.
        network: what `step` trains; its weights and buffers are put back.
        optimizer: what `step` calls; its state and rates are put back, gradients are dropped.
        low: rate of the first step.
        high: rate of the last step.
        num_steps: at least 2.

    Returns:
        A point a step, fewer than `num_steps` where it diverged; all finite.

    Raises:
        ValueError: not 0 < low < high, or fewer than 2 steps.
    """
    if not 0 < low < high or num_steps < 2:
        raise ValueError(f"rates from {low} to {high} in {num_steps} steps: the rate must climb, in 2 steps at least")
    points: list[RangePoint] = []
    with _undone(network, optimizer):
        lowest = mean = math.inf
        for lr in np.geomspace(low, high, num_steps).tolist():
            for group in optimizer.param_groups:
                group["lr"] = lr
            loss = step()
            if not math.isfinite(loss):
                break
            points.append(RangePoint(lr, loss))
            mean = loss if math.isinf(mean) else _MEMORY * mean + (1 - _MEMORY) * loss
            lowest = min(lowest, mean)
            if mean > _DIVERGED * lowest:
                break
    return points


def suggested_lr(points: Sequence[RangePoint]) -> float | None:
    """The rate at which the loss falls fastest per decade, left of where it is lowest: a good `optimizer.lr`.

    On the smoothed curve, see `smoothed_losses`. For a cyclical schedule it is a good peak, and a tenth of it a foot.

    Returns:
        None where the loss never falls, or there are fewer than 5 points.
    """
    if len(points) < _LEAST_POINTS:
        return None
    losses = smoothed_losses(points)
    slopes = np.gradient(losses, np.log10([point.lr for point in points]))
    falling = slopes[: int(losses.argmin()) + 1]
    steepest = int(falling.argmin())
    return points[steepest].lr if falling[steepest] < 0 else None


def smoothed_losses(points: Sequence[RangePoint]) -> NDArray[np.float64]:
    """The losses, each averaged with its neighbours on both sides, a twentieth of the points far: `(N,)`.

    To both sides, since a running mean would lag behind and suggest a rate that is too high.
    """
    losses = np.array([point.loss for point in points])
    reach = math.ceil(len(points) / 20)
    # The further, the less, as in a triangle; at the ends, what there is of it.
    window = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    full = np.convolve(losses, window)[reach : reach + len(points)]
    return np.asarray(full / np.convolve(np.ones(len(points)), window)[reach : reach + len(points)], np.float64)


@contextmanager
def _undone(network: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """Put weights, buffers, optimizer and random numbers back to where they were."""
    weights, state = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    devices = {parameter.device for parameter in network.parameters() if parameter.device.type == "cuda"}
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            network.load_state_dict(weights)
            optimizer.load_state_dict(state)
            optimizer.zero_grad()
