import numpy as np
import pytest

from garmentcut.photo.coverage import draw_coverage, flatten_curves
from garmentcut.photo.photo import PhotoError

STEP = 1 / 65535  # results are rounded to 16 bits


def rectangle(left, top, right, bottom):
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def sampled(polygon, size_hw, fold=64):
    """Even-odd coverage by `fold * fold` points a pixel."""
    y, x = (np.mgrid[: size_hw[0] * fold, : size_hw[1] * fold] + 0.5) / fold
    inside = np.zeros(y.shape, bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside.reshape(size_hw[0], fold, size_hw[1], fold).mean(axis=(1, 3))


def test_a_rectangle_by_hand():
    alpha = draw_coverage([rectangle(1.25, 1.5, 3.5, 4)], (5, 5))
    across, down = [0, 0.75, 1, 0.5, 0], [0, 0.5, 1, 1, 0]
    np.testing.assert_allclose(alpha, np.outer(down, across), atol=STEP)
    assert alpha.dtype == np.float32


def test_a_triangle_by_hand():
    alpha = draw_coverage([np.array([(0, 0), (2, 0), (0, 2)], float)], (2, 2))
    np.testing.assert_allclose(alpha, [[1, 0.5], [0.5, 0]], atol=STEP)


@pytest.mark.parametrize("turn", [1, -1])
def test_either_direction_fills_the_same(turn):
    polygon = np.random.default_rng(0).uniform(0, 8, (3, 2))
    np.testing.assert_array_equal(draw_coverage([polygon[::turn]], (8, 8)), draw_coverage([polygon], (8, 8)))


@pytest.mark.parametrize("seed", range(5))
def test_any_triangle_agrees_with_sampling_also_beyond_the_borders(seed):
    polygon = np.random.default_rng(seed).uniform(-4, 12, (3, 2))
    assert np.abs(draw_coverage([polygon], (7, 9)) - sampled(polygon, (7, 9))).max() < 0.02


@pytest.mark.parametrize("turn", [1, -1])
def test_an_outline_within_another_is_a_hole_whatever_its_direction(turn):
    alpha = draw_coverage([rectangle(0, 0, 8, 8), rectangle(2, 2, 6, 6)[::turn]], (8, 8))
    assert alpha.sum() == 64 - 16
    assert not alpha[2:6, 2:6].any()


def test_an_outline_around_the_picture_fills_it_and_one_beside_it_nothing():
    assert (draw_coverage([rectangle(-5, -5, 20, 20)], (4, 6)) == 1).all()
    for beside in (
        rectangle(-5, 0, -1, 4),
        rectangle(7, 0, 9, 4),
        rectangle(0, -5, 6, -1),
        rectangle(0, 5, 6, 9),
    ):
        assert not draw_coverage([beside], (4, 6)).any()


def test_no_outline_and_flat_ones_enclose_nothing():
    assert not draw_coverage([], (3, 3)).any()
    assert not draw_coverage([rectangle(0, 1, 3, 1)], (3, 3)).any()


def test_nothing_is_left_far_from_the_outline():
    """Rounding errors would stand as alpha above 0 in whole rows."""
    polygon = np.random.default_rng(1).uniform(2, 300, (200, 2))
    alpha = draw_coverage([polygon], (310, 700))
    assert not alpha[:, 301:].any()
    assert alpha.min() == 0
    assert alpha.max() <= 1


def test_rows_beyond_one_band_are_drawn():
    alpha = draw_coverage([rectangle(1, 100.5, 3, 900.25)], (1000, 4))
    assert alpha.sum() == pytest.approx(2 * 799.75, abs=0.01)
    assert alpha[899:901, 1].tolist() == pytest.approx([1, 0.25], abs=STEP)


def test_a_curve_encloses_its_area():
    """An arch over (0, 0) to (300, 0) with both control points 400 higher: 0.6 * 300 * 400, by integration."""
    points = flatten_curves(np.array([[(0, 0), (0, 400), (300, 400), (300, 0)]], float))
    assert points[0].tolist() == [0, 0]
    assert points[:, 1].max() == pytest.approx(300, abs=0.01)
    alpha = draw_coverage([np.vstack([points, (300, 0)])], (310, 310))
    assert alpha.sum() == pytest.approx(72_000, rel=1e-5)


def test_straight_curves_stay_their_ends():
    corners = rectangle(0, 0, 9, 9)
    curves = np.stack([corners, corners, np.roll(corners, -1, 0), np.roll(corners, -1, 0)], axis=1)
    alpha = draw_coverage([flatten_curves(curves)], (9, 9))
    assert (alpha == 1).all()


def test_absurd_outlines_are_refused_before_they_take_memory():
    wild = np.random.default_rng(0).uniform(-3e6, 3e6, (5000, 4, 2))
    with pytest.raises(PhotoError, match="million points"):
        flatten_curves(wild)
    zigzag = np.stack([np.tile([0.0, 30_000], 1000), np.linspace(0, 30_000, 2000)], axis=1)
    with pytest.raises(PhotoError, match="absurdly long"):
        draw_coverage([zigzag], (30_000, 30_000))
