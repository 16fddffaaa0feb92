import numpy as np
import pytest
import torch

from garmentcut.recipe import AugmentConfig, Strength

AMOUNTS = {"rotation": 8.0, "noise": 0.04, "blur": 2.0, "jpeg": 60.0, "perspective": 0.05, "hue": 0.1}


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small are done before a second thread has begun."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def batch(studio):
    """Five photos `(5, 3, 96, 64)` and their alphas, float32; each garment of its own size, colour and place."""
    photos, alphas = [], []
    orders, shifts = [[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1], [1, 2, 0]], [0, 6, -6, 3, -3]
    for row, (order, shift) in enumerate(zip(orders, shifts, strict=True)):
        drawn, top, left = studio(96 + 6 * row, 64 + 4 * row), 3 * row, 2 * row
        photo, alpha = (part[top : top + 96, left : left + 64] for part in (drawn.photo[..., order], drawn.alpha))
        photos.append(torch.from_numpy(np.moveaxis(photo, 2, 0) / np.float32(255)).roll(shift, 2))
        alphas.append(torch.from_numpy(alpha.copy())[None].roll(shift, 2))
    return torch.stack(photos), torch.stack(alphas)


@pytest.fixture
def only():
    """A config with some knobs on: `only("shift", "zoom", p=1)`."""

    def call(*names, p=1.0, amount=None):
        strengths = {name: Strength(p, AMOUNTS.get(name, 0.3) if amount is None else amount) for name in names}
        return AugmentConfig(**strengths)

    return call


@pytest.fixture
def seeded():
    def call(seed=0):
        return torch.Generator().manual_seed(seed)

    return call
