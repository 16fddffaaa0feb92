import numpy as np
import pytest

from garmentcut.synthetic import composite
from garmentcut.synthetic.mannequin import design_mannequin, paint_mannequin
from garmentcut.synthetic.scene import (
    GROUNDS,
    STUDIOS,
    VIEWS,
    design_light,
    design_scene,
    expose,
    paint_ground,
    paint_scene,
    place_figure,
)

SIZE = (216, 144)


def test_every_studio_is_drawn_by_some_seed_and_fills_the_frame():
    seeds = {}
    for seed in range(80):
        seeds.setdefault(design_scene(seed).name, seed)
    assert set(seeds) == set(STUDIOS)
    for seed in seeds.values():
        room = paint_scene(design_scene(seed), place_figure(seed, "Front", SIZE))
        assert room.shape == (*SIZE, 3) and room.min() >= 0 and room.max() <= 1
        assert room.mean() > 0.25  # the light falls on paper, not on black


@pytest.mark.parametrize("view", VIEWS)
def test_the_mannequin_stands_whole_in_the_frame(view):
    for seed in range(6):
        place = place_figure(seed, view, SIZE)
        figure = paint_mannequin(design_mannequin(seed), place, design_light(seed))
        assert 0.04 < figure.alpha.mean() < 0.2
        assert figure.alpha[0].max() == 0 and figure.alpha[:, 0].max() == 0 and figure.alpha[-1].max() == 0
        assert (figure.rgb <= figure.alpha[..., None] + 1e-5).all()


def test_the_turned_torso_is_narrower():
    def width(view):
        place = place_figure(0, view, (432, 288))
        alpha = paint_mannequin(design_mannequin(0), place, design_light(0)).alpha
        return alpha[round(place.neck_px + 0.24 * place.unit_px)].sum()

    assert width("FrontRight") < 0.95 * width("Front")
    assert width("Back") == pytest.approx(width("Front"), rel=0.03)


def test_the_lens_blurs_photo_and_alpha_alike():
    alpha = np.zeros((200, 120), np.float32)
    alpha[60:140, 30:90] = 1
    grey = np.repeat(alpha[..., None], 3, axis=2) * 0.9
    rgb, blurred = expose(grey, alpha, design_light(4), seed=4, view="Front")
    assert rgb.dtype == np.uint8 and blurred.dtype == np.float32
    assert abs(float(blurred.sum() - alpha.sum())) < 1e-2
    soft = (blurred > 0.001) & (blurred < 0.999)
    assert soft.sum() <= 2 * 2 * (80 + 60) + 8  # one pixel on each side of the edge
    inner = np.median(rgb[80:120, 50:70].astype(float))
    assert abs(np.corrcoef(rgb[55:65, 60, 1] / inner, blurred[55:65, 60])[0, 1]) > 0.99


def test_each_view_has_noise_of_its_own():
    flat = np.full((40, 40, 3), 0.5, np.float32)
    photos = [expose(flat, flat[..., 0], design_light(4), seed=4, view=view)[0] for view in ("Front", "Back", "Front")]
    assert (photos[0] != photos[1]).mean() > 0.2
    np.testing.assert_array_equal(photos[0], photos[2])
    assert photos[0].std() < 6


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
