"""Synthetic photos whose true alpha and colours are known."""

from typing import NamedTuple

import numpy as np
import pytest


class Studio(NamedTuple):
    photo: np.ndarray  # uint8 (H, W, 3)
    alpha: np.ndarray  # float32 (H, W), true
    garment: np.ndarray  # uint8 (H, W, 3), its colour everywhere
    background: np.ndarray  # uint8 (H, W, 3)


@pytest.fixture(scope="session")
def studio():
    """A function that draws an ellipse of patterned cloth on studio grey, its edge soft by `sigma` pixels."""

    def draw(height=288, width=192, *, sigma=0.8):
        y, x = np.mgrid[:height, :width].astype(np.float32)
        radius = np.hypot((y - height / 2) / (0.36 * height), (x - width / 2) / (0.32 * width))
        distance = (1 - radius) * 0.33 * min(height, width)
        alpha = np.round(127.5 + 127.5 * np.tanh(0.85 * distance / sigma)) / 255
        garment = np.stack([150 + 40 * np.sin(x / 17), 30 + 20 * np.sin(y / 23), 60 + 30 * np.cos((x + y) / 31)], -1)
        background = np.stack([205 + 20 * y / height] * 3, -1) + np.array([0, 2, 5])
        photo = alpha[..., None] * garment + (1 - alpha[..., None]) * background
        return Studio(
            *(
                np.rint(values).astype(np.uint8) if values.ndim == 3 else values.astype(np.float32)
                for values in (photo, alpha, garment, background)
            )
        )

    return draw
