"""Shift, zoom, aspect, rotation, perspective and flip: one homography a sample, for photo and alpha together."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from torch import Tensor

from garmentcut.dataset.augment.draws import Draws, beside, put, rows_of, take
from garmentcut.dataset.augment.filters import gaussian_blur
from garmentcut.recipe import AugmentConfig

_MOST_REDUCTION = 1.35  # beyond, single pixels would fall between the samples of the cubic filter


def draw_warps(draws: Draws, config: AugmentConfig, views: Sequence[str], size_hw: tuple[int, int]) -> Tensor:
    """One homography a sample, from the photo to where it goes.

    Args:
        draws: as many as there are views.
        config: shift, zoom, aspect, rotation, perspective, flip, flip_front_right.
        views: `FrontRight` is mirrored by `flip_front_right`, every other by `flip`.
        size_hw: of the photos.

    Returns:
        `(N, 3, 3)` float64 on the CPU, in pixels from the middle of the frame, x before y; positive angles turn
        clockwise. The identity, exactly, where nothing happens.
    """
    height, width = size_hw
    sides = torch.tensor([width, height], dtype=torch.float64)
    corners = draws.signed(config.perspective.p, 4, 2) * config.perspective.amount * sides
    mirrored = [config.flip_front_right.p if view == "FrontRight" else config.flip.p for view in views]
    side = torch.where(draws.chosen(mirrored), -1.0, 1.0)
    zoom = (1 + config.zoom.amount) ** draws.signed(config.zoom.p)
    aspect = (1 + config.aspect.amount) ** draws.signed(config.aspect.p)
    turn = torch.deg2rad(draws.signed(config.rotation.p) * config.rotation.amount)
    shift = draws.signed(config.shift.p, 2) * config.shift.amount * sides
    scaled = torch.diag_embed(torch.stack([side * zoom * aspect, zoom, torch.ones_like(zoom)], dim=1))
    return _shifting(shift) @ _turning(turn) @ scaled @ _tilting(corners, sides)


def bend(photos: Tensor, alphas: Tensor, warps: Tensor) -> tuple[Tensor, Tensor]:
    """Carry photo and alpha to their new place by one and the same resampling.

    They travel as one picture of four channels, so nothing can move the one without the other.

    Args:
        photos: `(N, 3, H, W)` float32 in [0, 1].
        alphas: `(N, 1, H, W)` float32 in [0, 1].
        warps: from `draw_warps`.

    Returns:
        Both at the same size; what comes in from outside the frame repeats the border.
    """
    rows = rows_of(warps != torch.eye(3, dtype=warps.dtype))
    if not len(rows):
        return photos, alphas
    joined = _resample(torch.cat([take(photos, rows), take(alphas, rows)], dim=1), warps[rows])
    return put(photos, rows, joined[:, :3]), put(alphas, rows, joined[:, 3:])


def _resample(pictures: Tensor, warps: Tensor) -> Tensor:
    backward = torch.linalg.inv(warps)
    pictures = _soften(pictures, backward)
    height, width = pictures.shape[2:]
    steps = torch.arange(max(height, width), dtype=torch.float32, device=pictures.device)
    x, y = steps[:width] - (width - 1) / 2, steps[:height, None] - (height - 1) / 2
    # Sums of products, no matrix product: on CUDA that might be rounded to ten bits (TF32), which is whole pixels.
    to = beside(backward[..., None, None], pictures)
    across, down, depth = (to[:, row, 0] * x + to[:, row, 1] * y + to[:, row, 2] for row in range(3))
    grid = torch.stack([across / depth * (2 / width), down / depth * (2 / height)], dim=-1)
    # Cubic, for a linear filter would blur the warped photos, and only them. It overshoots: hence the clamp.
    moved = F.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return moved.clamp(0, 1)


def _soften(pictures: Tensor, backward: Tensor) -> Tensor:
    """Blur what is going to be made much smaller, photo and alpha alike, as antialiasing."""
    reduction = backward[:, :2, :2].norm(dim=1).amin(dim=1)
    rows = rows_of(reduction > _MOST_REDUCTION)
    if not len(rows):
        return pictures
    sigmas = 0.5 * (reduction[rows] ** 2 - 1).sqrt()
    return put(pictures, rows, gaussian_blur(take(pictures, rows), sigmas))


def _shifting(shift: Tensor) -> Tensor:
    matrix = _identity(len(shift))
    matrix[:, :2, 2] = shift
    return matrix


def _turning(turn: Tensor) -> Tensor:
    matrix = _identity(len(turn))
    matrix[:, 0, 0] = matrix[:, 1, 1] = turn.cos()
    matrix[:, 1, 0] = turn.sin()
    matrix[:, 0, 1] = -turn.sin()
    return matrix


def _tilting(moved: Tensor, sides: Tensor) -> Tensor:
    """The homography that moves the frame's four corners, `(N, 4, 2)`, by so much (Hartley, Zisserman, section 4.1)."""
    corners = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64) * sides / 2
    x, y = corners.expand_as(moved).unbind(dim=2)
    to_x, to_y = (corners + moved).unbind(dim=2)
    none, one = torch.zeros_like(x), torch.ones_like(x)
    equations = torch.cat(
        [
            torch.stack([x, y, one, none, none, none, -to_x * x, -to_x * y], dim=2),
            torch.stack([none, none, none, x, y, one, -to_y * x, -to_y * y], dim=2),
        ],
        dim=1,
    )
    solved = torch.linalg.solve(equations, torch.cat([to_x, to_y], dim=1))
    tilted = torch.cat([solved, one[:, :1]], dim=1).reshape(-1, 3, 3)
    return torch.where((moved != 0).any(dim=2).any(dim=1)[:, None, None], tilted, _identity(len(moved)))


def _identity(num: int) -> Tensor:
    return torch.eye(3, dtype=torch.float64).repeat(num, 1, 1)
