"""Builds a recipe's optimizer, learning-rate schedule and average of the weights (EMA) for the training loop."""

import math
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, cast

from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.optim import Optimizer

from garmentcut.recipe import OptimizerConfig, ScheduleConfig

# timm's name of each optimizer, and the arguments that differ from timm's defaults.
_OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "adam": ("adam", {"fused": True}),
    "adamw": ("adamw", {"fused": True}),
    "rmsprop": ("rmsprop", {"alpha": 0.9, "eps": 1e-7}),  # the constants of Keras
    "adadelta": ("adadelta", {"rho": 0.95}),
    "sgd": ("sgd", {"nesterov": False, "fused": True}),
    "nesterov": ("sgd", {"nesterov": True, "fused": True}),
    "lion": ("lion", {}),
    "muon": ("muon", {}),
}
_SECOND_BETA = {"lion": 0.99}  # 0.999 for the others

_CYCLE_CLIMB = 0.3  # one_cycle: share of the steps before its peak
_CYCLE_START, _CYCLE_END = 1 / 25, 1e-4  # one_cycle: factors at its first and last step


def build_optimizer(network: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Build a recipe's optimizer for all trainable parameters.

    | name | step | source |
    | --- | --- | --- |
    | adam | lr m / sqrt(v), m and v running means of g and g^2 | Kingma and Ba 2015 |
    | adamw | the same, with decoupled weight decay | Loshchilov and Hutter 2019 |
    | rmsprop | g / sqrt(v), v over 10 steps, then momentum | Hinton 2012, as in Keras |
    | adadelta | g times the ratio of running steps to running gradients; lr about 1 | Zeiler 2012 |
    | sgd | momentum m = momentum m + g | Robbins and Monro 1951, Polyak 1964 |
    | nesterov | sgd with the gradient taken one step ahead | Nesterov 1983, Sutskever et al. 2013 |
    | lion | the sign of a running mean; lr a third to a tenth of AdamW's | Chen et al. 2023 |
    | muon | orthogonalised running mean of a matrix; scaled so that AdamW's lr fits | Jordan 2024, Liu et al. 2025 |

    Muon treats each convolution as a matrix of outputs by (inputs x height x width); AdamW updates biases, norms,
    depthwise convolutions and matrices with a side below 4. Muon multiplies in bfloat16, so it is meant for GPUs.

    Weight decay is decoupled in adamw, lion and muon, and added to the gradient in the others; biases and norms are
    never decayed. The parameters of `network.encoder` learn at `encoder_factor` times the rate; each group stores its
    factor as `lr_scale`. After `load_state_dict` a training continues bit for bit.

    Raises:
        ValueError: there is nothing to train.
    """
    if not (groups := _groups(network, config)):
        raise ValueError("the network has no parameters to train")
    name, options = _OPTIMIZERS[config.name]
    betas = (config.momentum, _SECOND_BETA.get(name, 0.999))
    return create_optimizer_v2(groups, name, config.lr, momentum=config.momentum, betas=betas, **options)


def _groups(network: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Parameter groups: weights; biases and norms (those of one dimension); the encoder's, if its rate differs."""
    found: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    slow = set(map(id, cast(nn.Module, network.encoder).parameters())) if config.encoder_factor != 1 else set()
    for name, tensor in network.named_parameters():
        if tensor.requires_grad:
            found.setdefault((id(tensor) in slow, tensor.ndim <= 1 or name.endswith("bias")), []).append(tensor)
    groups = []
    for (is_slow, is_spared), parameters in sorted(found.items(), key=itemgetter(0)):
        scale, decay = config.encoder_factor if is_slow else 1.0, 0.0 if is_spared else config.weight_decay
        groups.append({"params": parameters, "weight_decay": decay, "lr": config.lr * scale, "lr_scale": scale})
    return groups


def factor_at(step: int, config: ScheduleConfig, steps: int) -> float:
    """The factor of the learning rate at a step, counted from 0; `plateau` reduces its own factor in `Schedule`.

    | name | factor | source |
    | --- | --- | --- |
    | constant, plateau | 1 | |
    | step | factor^k in the k-th of `cycles` equal stretches, from 0 | |
    | cosine | floor + (1 - floor) (1 + cos pi t) / 2 | Loshchilov and Hutter 2017, without restarts |
    | one_cycle | cosine from 1/25 up to 1 in 30 % of the steps, then down to 1e-4 | Smith and Topin 2018 |
    | triangular | floor, straight up to factor^k in the middle of cycle k, straight back | Smith 2015 |

    t runs from 0 to 1, over all steps for one_cycle and triangular, which begin low, else over those after the warm-up.
    During the share `warmup` of the steps the factor is also multiplied by a linear ramp from 0 to 1, and only there it
    may be below `floor`, which bounds all schedules but constant. Unlike Smith's, one_cycle does not vary the momentum.
    The last step is one before the curve's end, so that no step is wasted on a rate of 0.
    """
    climb_steps = round(config.warmup * steps)
    begins_low = config.name in ("one_cycle", "triangular")
    start = 0 if begins_low else climb_steps
    done, whole = min(max(step - start, 0), max(steps - start, 0)), max(steps - start, 1)
    climb = min((step + 1) / climb_steps, 1.0) if climb_steps else 1.0
    return climb * _shape(done, whole, config)


def _shape(done: int, whole: int, config: ScheduleConfig) -> float:
    """The factor at `done` of `whole` steps; integers, so that corners of the curve fall exactly on steps."""
    if config.name == "cosine":
        return _cosine(1.0, config.floor, done / whole)
    if config.name == "step":
        stretch = min(done * config.cycles // whole, config.cycles - 1)
        return max(config.factor**stretch, config.floor)
    if config.name == "one_cycle":
        share = done / whole
        if share < _CYCLE_CLIMB:
            return max(_cosine(_CYCLE_START, 1.0, share / _CYCLE_CLIMB), config.floor)
        return max(_cosine(1.0, _CYCLE_END, (share - _CYCLE_CLIMB) / (1 - _CYCLE_CLIMB)), config.floor)
    if config.name == "triangular":
        cycle, place = divmod(done * config.cycles, whole)
        peak = max(config.factor**cycle, config.floor)
        return config.floor + (peak - config.floor) * (1 - abs(2 * place / whole - 1))
    return 1.0


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


class Schedule:
    """Sets an optimizer's learning rates; call `step` after each of its steps, `evaluated` after each evaluation.

    The rate is always computed from the step's number, never from the last rate, so that a resumed training has the
    same rates to the last bit. (PyTorch's LambdaLR computes the same, but patches the optimizer's `step`.) The initial
    rates of the optimizer's groups are the highest ones.
    """

    def __init__(self, optimizer: Optimizer, config: ScheduleConfig, steps: int) -> None:
        self._optimizer, self._config, self._steps = optimizer, config, steps
        self._done, self._fallen, self._best, self._waited = 0, 1.0, -math.inf, 0
        for group in optimizer.param_groups:
            # Stored in the optimizer's state, because loading a state sets `lr` to the rate of the last step.
            group.setdefault("initial_lr", group["lr"])
        self._apply()

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """Advance by one step, after the optimizer's."""
        self._done += 1
        self._apply()

    def evaluated(self, score: float) -> None:
        """Report the score of an evaluation, higher is better; `plateau` lowers the rate after `patience` without gain.

        NaN counts as no gain. Other schedules ignore scores.
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
        """Everything that changes, as plain numbers."""
        return {"done": self._done, "fallen": self._fallen, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; may be called before or after the optimizer's state is loaded."""
        self._done, self._fallen = int(state["done"]), float(state["fallen"])
        self._best, self._waited = float(state["best"]), int(state["waited"])
        self._apply()

    def _apply(self) -> None:
        factor = factor_at(self._done, self._config, self._steps) * self._fallen
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def open_ema_model(network: nn.Module, decay: float) -> ModelEmaV3 | None:
    """The exponential moving average of a network, which is what is evaluated and saved; None if `decay` is 0.

    After step t, from 0: average = d average + (1 - d) weights, with d = min(decay, (1 + t) / (10 + t)), so that the
    first, bad weights are soon forgotten (as in TensorFlow's ExponentialMovingAverage). The network must be neither
    compiled nor wrapped.

    Float buffers, that is, BatchNorm's means and variances, are averaged like weights: they then belong to the same
    period of training as the weights, and are smoother than those of the last few small batches. Integer buffers are
    copied.
    """
    if decay == 0:
        return None
    # timm's warm-up, 1 - (1 + s / gamma)^-power, equals (1 + t) / (10 + t) for gamma 9, power 1 and s = t + 1.
    ema_model = ModelEmaV3(network, decay=decay, use_warmup=True, warmup_gamma=9.0, warmup_power=1.0)
    return ema_model.requires_grad_(requires_grad=False)


def follow(ema_model: ModelEmaV3, network: nn.Module, step: int) -> None:
    """Update the average after an optimizer step, counted from 1."""
    ema_model.update(network, step=step + 1)  # timm subtracts 1, so that s above is this step's number
