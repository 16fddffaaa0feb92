import numpy as np
import pytest

from garmentcut.dataset.alignment import align_far, align_near


def moved(values, shift_xy):
    return np.roll(values, shift_xy[::-1], (0, 1))


@pytest.fixture
def scene(draw_pair):
    """A photo, its colours and where they are the garment's."""
    rgb, alpha = draw_pair(3, 288, 192)
    return rgb, np.where(alpha[..., None] > 0, rgb, 0).astype(np.uint8), alpha == 1


def test_a_cutout_is_most_like_its_photo_where_it_stands(scene):
    found = align_near(*scene)
    assert found.shift_xy == (0, 0)
    assert found.likeness == pytest.approx(1, abs=1e-3)
    assert found.unshifted == pytest.approx(found.likeness, abs=1e-5)


@pytest.mark.parametrize("shift_xy", [(1, 0), (0, -1), (-3, 2), (4, 4)])
def test_small_shifts_are_found_to_the_pixel(scene, shift_xy):
    rgb, colors, inside = scene
    found = align_near(rgb, moved(colors, shift_xy), moved(inside, shift_xy))
    assert found.shift_xy == shift_xy
    assert found.likeness == pytest.approx(1, abs=1e-3)
    assert found.unshifted < found.likeness - 0.005


@pytest.mark.parametrize("shift_xy", [(30, -25), (-28, 12), (3, 40)])
def test_large_shifts_are_found_to_the_pixel(scene, shift_xy):
    rgb, colors, inside = scene
    colors, inside = moved(colors, shift_xy), moved(inside, shift_xy)
    assert align_far(rgb, colors, inside).shift_xy == shift_xy


def test_it_agrees_with_the_definition(scene):
    """SSIM of the garment as one window, worked out directly."""
    rgb, colors, inside = scene
    dark = (colors * 0.5).astype(np.uint8)
    one, other = (values[inside] @ np.array([0.299, 0.587, 0.114]) for values in (rgb, dark))
    shared = np.cov(one, other, ddof=0)
    light = (2 * one.mean() * other.mean() + 128) / (one.mean() ** 2 + other.mean() ** 2 + 128)
    expected = light * (2 * shared[0, 1] + 128) / (shared[0, 0] + shared[1, 1] + 128)
    assert align_near(rgb, dark, inside).unshifted == pytest.approx(expected, abs=1e-3)


def test_plain_cloth_on_plain_ground_has_a_place_too():
    """The cloth's edge tells, though every part inside is like every other."""
    inside = np.zeros((96, 64), bool)
    inside[20:70, 15:50] = True
    rgb = np.where(inside[..., None], 30, 230).astype(np.uint8).repeat(3, axis=2)
    shifted = moved(inside, (2, -3))
    found = align_near(rgb, np.where(shifted[..., None], 30, 0).astype(np.uint8).repeat(3, axis=2), shifted)
    assert found.shift_xy == (2, -3)


def test_a_speck_at_the_border_of_a_large_photo():
    rgb = np.random.default_rng(0).integers(0, 255, (301, 517, 3), np.uint8)
    inside = np.zeros(rgb.shape[:2], bool)
    inside[-1, -1] = True
    assert align_far(rgb, rgb, inside).likeness == pytest.approx(1, abs=1e-3)
