"""What every network asks of the photos it is given, checked in one place."""

import torch
from torch import Tensor


def check_input(x: Tensor, multiple_of: int, channels: int = 3) -> None:
    """Refuse what a network would misread; call it once, first thing in `forward`.

    Args:
        x: should be float32 (or what autocast makes of it) `(N, channels, H, W)`, sRGB in [0, 1].
        multiple_of: what H and W must be multiples of.
        channels: how many the network was built for.

    Raises:
        ValueError: another shape or dtype; says which, and what is wanted.
    """
    if torch.compiler.is_exporting():
        return  # sizes are unknowns then, and `if` would freeze them
    shape = tuple(x.shape)
    if x.ndim != 4 or shape[1] != channels:
        raise ValueError(f"expected photos of shape (N, {channels}, H, W), not {shape}")
    if not x.is_floating_point():
        raise ValueError(f"expected float32 in [0, 1], not {str(x.dtype).removeprefix('torch.')}; divide by 255")
    if 0 in shape or shape[2] % multiple_of or shape[3] % multiple_of:
        raise ValueError(f"expected sides that are multiples of {multiple_of}, not {shape[2]}x{shape[3]}; pad them")
