import numpy as np
import pytest

from garmentcut.synthetic import composite
from garmentcut.synthetic.grounds import GROUNDS, paint_ground

SIZE_HW = (96, 64)


@pytest.fixture
def alpha():
    y, x = np.mgrid[:96, :64]
    return np.clip((1 - np.hypot((y - 50) / 30, (x - 30) / 15)) * 6, 0, 1).astype(np.float32)


@pytest.mark.parametrize("name", GROUNDS)
def test_a_seed_draws_the_same_place_at_any_size(name):
    small, large = paint_ground(4, name, SIZE_HW), paint_ground(4, name, (192, 128))
    assert small.shape == (*SIZE_HW, 3) and small.dtype == np.float32
    assert small.min() >= 0 and small.max() <= 1
    np.testing.assert_array_equal(small, paint_ground(4, name, SIZE_HW))
    assert np.abs(large.reshape(96, 2, 64, 2, 3).mean(axis=(1, 3)) - small).mean() < 0.03
    assert np.abs(paint_ground(5, name, SIZE_HW) - small).mean() > 0


def test_a_packshot_is_white():
    assert paint_ground(1, "white", SIZE_HW).min() > 0.95


@pytest.mark.parametrize("seed", range(8))
def test_alpha_is_exact_in_every_pixel(alpha, seed):
    """Two garments that differ in colour alone differ by alpha times that colour's difference."""
    dark, light = (np.full((*SIZE_HW, 3), level, np.uint8) for level in (50, 200))
    (first, one), (second, other) = (composite(photo, alpha, seed) for photo in (dark, light))
    np.testing.assert_array_equal(one, other)
    assert one.dtype == np.float32 and one.max() == 1 and one.min() == 0
    np.testing.assert_allclose(second.astype(int) - first, (150 * one)[..., None].repeat(3, axis=2), atol=1.01)


def test_a_photo_without_a_garment_is_only_the_ground(alpha):
    rgb, nothing = composite(np.full((*SIZE_HW, 3), 90, np.uint8), 0 * alpha, 3)
    assert rgb.shape == (*SIZE_HW, 3) and not nothing.any()


def test_garments_are_of_all_sizes_and_in_the_frame(alpha):
    shares = []
    for seed in range(12):
        moved = composite(np.full((*SIZE_HW, 3), 90, np.uint8), alpha, seed)[1]
        shares.append((moved >= 0.5).any(axis=1).mean())
    assert min(shares) < 0.5 and max(shares) > 0.75
