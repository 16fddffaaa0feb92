import numpy as np
import pytest

from garmentcut.photo.contour import area_of, trace_contours
from garmentcut.photo.path import draw_coverage


def covered(polygon, size_hw=(80, 60)):
    """The alpha of a polygon, exactly."""
    return draw_coverage([np.array(polygon, float)], size_hw)


def test_the_border_is_found_where_it_is_and_not_where_pixels_suggest():
    # Straight interpolation between 1 and 0.3 would find 0.714 of the way, 0.086 pixels off.
    alpha = covered([(10.3, 20.25), (40.7, 20.25), (40.7, 60.6), (10.3, 60.6)])
    (line,) = trace_contours(alpha)
    middle = line[(line[:, 0] > 14) & (line[:, 0] < 36)]
    assert set(np.round(middle[:, 1], 3)) == {20.25, 60.6}
    beside = line[(line[:, 1] > 24) & (line[:, 1] < 56)]
    assert set(np.round(beside[:, 0], 3)) == {10.3, 40.7}


@pytest.mark.parametrize("slope", [0.02, 0.3, 0.7, 1.0, 1.7, 6.0])
def test_a_slanted_border_is_straight(slope):
    alpha = covered([(0, 10), (60, 10 + 60 * slope), (60, 500), (0, 500)], (480, 60))
    (line,) = trace_contours(alpha)
    line = line[(line[:, 0] > 6) & (line[:, 0] < 54) & (line[:, 1] < 470)]
    off = (line[:, 1] - 10 - slope * line[:, 0]) / np.hypot(1, slope)
    assert np.abs(off).max() < 0.01
    assert len(line) > 45


def test_a_soft_border_is_found_too():
    x = np.arange(60) + 0.5
    alpha = np.repeat([((x - 20.4) / 2.4 + 0.5).clip(0, 1)], 80, axis=0).astype(np.float32)  # a ramp of 2.4 pixels
    (line,) = trace_contours(alpha)
    beside = line[(line[:, 0] < 40) & (line[:, 1] > 5) & (line[:, 1] < 75)]
    np.testing.assert_allclose(beside[:, 0], 20.4, atol=0.05)


def test_a_thin_strap_keeps_both_borders():
    alpha = covered([(20, 5), (21.6, 5), (21.6, 75), (20, 75)])
    (line,) = trace_contours(alpha)
    middle = line[(line[:, 1] > 10) & (line[:, 1] < 70)]
    assert middle[:, 0].min() == pytest.approx(20, abs=0.1)
    assert middle[:, 0].max() == pytest.approx(21.6, abs=0.2)


def test_holes_have_the_other_sign_and_dust_is_left_out():
    alpha = covered([(5, 5), (55, 5), (55, 75), (5, 75)])
    alpha[30:40, 20:40] = 0
    alpha[60:63, 30:35] = 0  # 15 pixels
    areas = sorted(area_of(line) for line in trace_contours(alpha))
    assert len(areas) == 2
    assert areas[0] * areas[1] < 0
    assert sorted(map(abs, areas)) == pytest.approx([200, 3500], rel=0.01)


def test_the_frame_is_a_border():
    lines = trace_contours(np.ones((50, 40), np.float32))
    assert [line.min(axis=0).tolist() for line in lines] == [[0, 0]]
    assert lines[0].max(axis=0).tolist() == [40, 50]


@pytest.mark.parametrize("alpha", [np.zeros((9, 9)), np.full((9, 9), 0.49), np.eye(1)])
def test_nothing_to_trace(alpha):
    assert trace_contours(alpha.astype(np.float32)) == []
