"""Weights of a network for photos, fitted to the same network with more channels in its input: they are passed over."""

from collections.abc import Mapping

import torch
from torch import Tensor


def widened(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fill up convolutions whose input has more channels than the weights know.

    New channels stand behind the old ones, and their weights are 0: the network gives what it gave, whatever is in
    them, until it learns better.

    Args:
        weights: of a network.
        own: the state of the wider one.

    Returns:
        All weights, those that are too narrow filled up.
    """
    fitted = dict(weights)
    for key, tensor in weights.items():
        wide = own.get(key)
        if wide is None or tensor.ndim != 4 or wide.shape == tensor.shape:
            continue
        out, channels, *kernel = tensor.shape
        if wide.shape[0] == out and list(wide.shape[2:]) == kernel and wide.shape[1] > channels:
            missing = torch.zeros(out, wide.shape[1] - channels, *kernel, dtype=tensor.dtype)
            fitted[key] = torch.cat([tensor, missing], dim=1)
    return fitted
