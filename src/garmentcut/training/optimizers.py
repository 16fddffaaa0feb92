"""Optimizers: how a gradient becomes a step. PyTorch's own, and two of timm's."""

from collections.abc import Callable
from typing import Any

from timm.optim.lion import Lion
from timm.optim.muon import Muon
from torch import nn, optim

from garmentcut.recipe import OptimizerConfig

Groups = list[dict[str, Any]]

_SECOND_BETA = 0.999


def build_optimizer(network: nn.Module, config: OptimizerConfig) -> optim.Optimizer:
    """Build the optimizer of a recipe over all parameters that can be trained.

    | name | step | source |
    | --- | --- | --- |
    | adam | lr m / sqrt(v), m and v running means of g and g^2 | Kingma and Ba 2015 |
    | adamw | the same, weights shrunk apart from it | Loshchilov and Hutter 2019 |
    | rmsprop | g / sqrt(v), v over 10 steps, then momentum | Hinton 2012, as in Keras |
    | adadelta | g times the ratio of running steps to running gradients; lr about 1 | Zeiler 2012 |
    | sgd | momentum m = momentum m + g | Robbins and Monro 1951, Polyak 1964 |
    | nesterov | the gradient looked up one step ahead | Nesterov 1983, Sutskever et al. 2013 |
    | lion | the sign of a running mean; a third to a tenth of AdamW's lr | Chen et al. 2023 |
    | muon | running mean of a matrix, made orthogonal; scaled so that AdamW's lr fits | Jordan 2024, Liu et al. 2025 |

    Muon takes each convolution as a matrix of outputs by (inputs x height x width); biases, norms, depthwise
    convolutions and matrices with a side below 4 go to AdamW. It multiplies in bfloat16: made for GPUs.

    Weight decay shrinks the weights themselves in adamw, lion and muon, and is added to the gradient in the others;
    biases and norms have none anywhere. All groups share `lr`.

    Args:
        network: on the device it is trained on.
        config: the recipe's section.

    Returns:
        A PyTorch optimizer; after `load_state_dict` it goes on bit for bit.

    Raises:
        ValueError: there is nothing to train.
    """
    groups = _groups(network, config.weight_decay)
    if not groups:
        raise ValueError("the network has no parameters to train")
    return _BUILDERS[config.name](groups, config)


def _groups(network: nn.Module, weight_decay: float) -> Groups:
    """Weights, and then biases and norms, which have one dimension; each parameter once, also where layers share it."""
    weights: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (rest if parameter.ndim <= 1 or name.endswith("bias") else weights).append(parameter)
    groups: Groups = [{"params": weights, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _adam(groups: Groups, config: OptimizerConfig) -> optim.Optimizer:
    return optim.Adam(groups, config.lr, betas=(config.momentum, _SECOND_BETA), fused=True)


def _adamw(groups: Groups, config: OptimizerConfig) -> optim.Optimizer:
    return optim.AdamW(groups, config.lr, betas=(config.momentum, _SECOND_BETA), fused=True)


def _rmsprop(groups: Groups, config: OptimizerConfig) -> optim.Optimizer:
    # Keras' constants: the proposal's figures were reached with them.
    return optim.RMSprop(groups, config.lr, alpha=0.9, eps=1e-7, momentum=config.momentum)


def _adadelta(groups: Groups, config: OptimizerConfig) -> optim.Optimizer:
    return optim.Adadelta(groups, config.lr, rho=0.95)


def _sgd(groups: Groups, config: OptimizerConfig) -> optim.Optimizer:
    return optim.SGD(groups, config.lr, momentum=config.momentum, nesterov=config.name == "nesterov", fused=True)


def _lion(groups: Groups, config: OptimizerConfig) -> optim.Optimizer:
    return Lion(groups, config.lr, betas=(config.momentum, 0.99))


def _muon(groups: Groups, config: OptimizerConfig) -> optim.Optimizer:
    return Muon(groups, config.lr, momentum=config.momentum, betas=(config.momentum, _SECOND_BETA))


_BUILDERS: dict[str, Callable[[Groups, OptimizerConfig], optim.Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
    "adadelta": _adadelta,
    "sgd": _sgd,
    "nesterov": _sgd,
    "lion": _lion,
    "muon": _muon,
}
