"""Schedules: the learning rate over the steps, as a factor of the recipe's."""

import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from garmentcut.recipe import ScheduleConfig

_CYCLE_CLIMB = 0.3  # one_cycle: share of the steps up to its peak
_CYCLE_START, _CYCLE_END = 1 / 25, 1e-4  # factors


def factor_at(step: int, config: ScheduleConfig, steps: int) -> float:
    """The factor that the step with this number is taken with; `plateau` falls from here on its own.

    | name | factor | source |
    | --- | --- | --- |
    | constant, plateau | 1 | |
    | step | factor^k in the k-th of `cycles` equal stretches, from 0 | |
    | cosine | floor + (1 - floor) (1 + cos pi t) / 2 | Loshchilov and Hutter 2017, without restarts |
    | one_cycle | cosine from 1/25 up to 1 in 30 % of the steps, then down to 1e-4 | Smith and Topin 2018 |
    | triangular | floor, straight up to factor^k in the middle of cycle k, straight back | Smith 2015 |

    t runs from 0 to 1: over all steps for one_cycle and triangular, which begin low, else over those after the warm-up.
    In the first `warmup` of the steps the factor is also multiplied by a straight climb from 0 to 1, so that it lies
    below `floor` only there. `floor` bounds all but constant. one_cycle leaves the momentum as it
    is, where Smith cycles it against the rate.

    Args:
        step: from 0; from `steps` on, the end's factor.
        config: the recipe's section.
        steps: of the whole training.

    Returns:
        In [0, 1]. The last step is one short of the curve's end, so no step is wasted on a rate of 0 there.
    """
    climb_steps = round(config.warmup * steps)
    begins_low = config.name in ("one_cycle", "triangular")
    start = 0 if begins_low else climb_steps
    done, whole = min(max(step - start, 0), max(steps - start, 0)), max(steps - start, 1)
    climb = min((step + 1) / climb_steps, 1.0) if climb_steps else 1.0
    return climb * _shape(done, whole, config)


def _shape(done: int, whole: int, config: ScheduleConfig) -> float:
    """The factor at `done` of `whole` steps; whole numbers, so that corners fall exactly on steps."""
    if config.name == "cosine":
        return _cosine(1.0, config.floor, done / whole)
    if config.name == "step":
        stretch = min(done * config.cycles // whole, config.cycles - 1)
        return max(config.factor**stretch, config.floor)
    if config.name == "one_cycle":
        return max(_one_cycle(done / whole), config.floor)
    if config.name == "triangular":
        cycle, place = divmod(done * config.cycles, whole)
        peak = max(config.factor**cycle, config.floor)
        return config.floor + (peak - config.floor) * (1 - abs(2 * place / whole - 1))
    return 1.0


def _one_cycle(share: float) -> float:
    if share < _CYCLE_CLIMB:
        return _cosine(_CYCLE_START, 1.0, share / _CYCLE_CLIMB)
    return _cosine(1.0, _CYCLE_END, (share - _CYCLE_CLIMB) / (1 - _CYCLE_CLIMB))


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


class Schedule:
    """Sets an optimizer's learning rates; call `step` after each of its steps, `evaluated` after each evaluation.

    The rate is computed from the number of the step each time, never from the last rate: a resumed training has the
    same rates to the last bit. (PyTorch's LambdaLR would do the same product, but patches the optimizer's `step`.)

    Args:
        optimizer: its groups' rates at this point are the highest.
        config: the recipe's section.
        steps: of the whole training.
    """

    def __init__(self, optimizer: Optimizer, config: ScheduleConfig, steps: int) -> None:
        self._optimizer, self._config, self._steps = optimizer, config, steps
        self._done = 0
        self._fallen = 1.0
        self._best = -math.inf
        self._waited = 0
        for group in optimizer.param_groups:
            # Kept in the optimizer's state: `lr` itself is the last step's once that state has been loaded.
            group.setdefault("initial_lr", group["lr"])
        self._apply()

    @property
    def lr(self) -> float:
        """The learning rate that the next step is taken with."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """One optimizer step was taken."""
        self._done += 1
        self._apply()

    def evaluated(self, score: float) -> None:
        """Tell the score of an evaluation, more is better; `plateau` falls after `patience` of them without gain.

        A score that is not a number is no gain. Other schedules take no notice.
        """
        if self._config.name != "plateau":
            return
        if score > self._best:
            self._best, self._waited = score, 0
            return
        self._waited += 1
        if self._waited >= self._config.patience:
            self._fallen, self._waited = max(self._fallen * self._config.factor, self._config.floor), 0
            self._apply()

    def state_dict(self) -> dict[str, Any]:
        """All that changes, as plain numbers."""
        return {"done": self._done, "fallen": self._fallen, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; before or after the optimizer's own state is loaded."""
        self._done, self._fallen = int(state["done"]), float(state["fallen"])
        self._best, self._waited = float(state["best"]), int(state["waited"])
        self._apply()

    def _apply(self) -> None:
        factor = factor_at(self._done, self._config, self._steps) * self._fallen
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def build_schedule(optimizer: Optimizer, config: ScheduleConfig, steps: int) -> Schedule:
    """The schedule of a recipe, its first rate already set."""
    return Schedule(optimizer, config, steps)
