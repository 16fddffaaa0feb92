"""Batch norm over the batch of all devices, on CPUs: PyTorch's own `SyncBatchNorm` knows GPUs only."""

from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, distributed, nn


def join_batch_norms(network: nn.Module) -> nn.Module:
    """Let a network's batch norms see the whole batch, of which each device has an equal share; changes `network`.

    What one device would compute with the whole batch comes out on each of several, to rounding. Weights, their names
    and what is saved stay the same.
    """
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            network.add_module(name, JoinedBatchNorm.of(child))
        else:
            join_batch_norms(child)
    return network


class JoinedBatchNorm(nn.BatchNorm2d):
    """A batch norm whose mean and variance are those of all devices' photos (Ioffe and Szegedy 2015)."""

    behind: nn.Module

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "JoinedBatchNorm":
        """The same layer, joined; timm's activation behind it, if it has one, stays."""
        joined = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        for kind in (joined._parameters, joined._buffers):
            kind.clear()
        joined._parameters.update(norm._parameters)
        joined._buffers.update(norm._buffers)
        joined.train(norm.training)
        joined.behind = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
        return joined

    def forward(self, x: Tensor) -> Tensor:
        """See `torch.nn.BatchNorm2d`: `(N, C, H, W)` of this device."""
        x = self._normed(x) if self.training else super().forward(x)
        behind: Tensor = self.behind(x)
        return behind

    def _normed(self, x: Tensor) -> Tensor:
        num_devices = distributed.get_world_size()
        mean = _Sum.apply(x.mean((0, 2, 3))) / num_devices
        apart = x - mean[:, None, None]
        # Two rounds, not a mean of squares: that would lose half of float32's digits.
        variance = _Sum.apply(apart.square().mean((0, 2, 3))) / num_devices
        self._follow(mean.detach(), variance.detach(), num_devices * x.numel() // x.shape[1])
        scale = (variance + self.eps).rsqrt() * self.weight
        normed: Tensor = apart * scale[:, None, None] + self.bias[:, None, None]
        return normed

    def _follow(self, mean: Tensor, variance: Tensor, num: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        step = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(variance * (num / max(num - 1, 1)), step)


class _Sum(torch.autograd.Function):
    """The sum over all devices, and so is its gradient."""

    @staticmethod
    def forward(_context: Any, own: Tensor) -> Tensor:
        total = own.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total
