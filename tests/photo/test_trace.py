from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut.photo.path import draw_coverage, draw_path, flatten_curves
from garmentcut.photo.trace import (
    EDITABLE_PX,
    EXACT_PX,
    Contours,
    area_of,
    contours_of,
    fit_curves,
    fit_lines,
    path_tolerance_px,
    trace_contours,
    trace_outline,
)


def covered(polygon, size_hw=(80, 60)):
    """The alpha of a polygon, exactly."""
    return draw_coverage([np.array(polygon, float)], size_hw)


def test_the_border_is_found_where_it_is_and_not_where_pixels_suggest():
    # Straight interpolation between 1 and 0.3 would find 0.714 of the way, 0.086 pixels off.
    alpha = covered([(10.3, 20.25), (40.7, 20.25), (40.7, 60.6), (10.3, 60.6)])
    (line,) = trace_contours(alpha)
    middle = line[(line.real > 14) & (line.real < 36)]
    assert set(np.round(middle.imag, 3)) == {20.25, 60.6}
    beside = line[(line.imag > 24) & (line.imag < 56)]
    assert set(np.round(beside.real, 3)) == {10.3, 40.7}


@pytest.mark.parametrize("slope", [0.02, 0.3, 0.7, 1.0, 1.7, 6.0])
def test_a_slanted_border_is_straight(slope):
    alpha = covered([(0, 10), (60, 10 + 60 * slope), (60, 500), (0, 500)], (480, 60))
    (line,) = trace_contours(alpha)
    line = line[(line.real > 6) & (line.real < 54) & (line.imag < 470)]
    off = (line.imag - 10 - slope * line.real) / np.hypot(1, slope)
    assert np.abs(off).max() < 0.01
    assert len(line) > 45


def test_a_soft_border_is_found_too():
    x = np.arange(60) + 0.5
    alpha = np.repeat([((x - 20.4) / 2.4 + 0.5).clip(0, 1)], 80, axis=0).astype(np.float32)  # a ramp of 2.4 pixels
    (line,) = trace_contours(alpha)
    beside = line[(line.real < 40) & (line.imag > 5) & (line.imag < 75)]
    np.testing.assert_allclose(beside.real, 20.4, atol=0.05)


def test_a_thin_strap_keeps_both_borders():
    alpha = covered([(20, 5), (21.6, 5), (21.6, 75), (20, 75)])
    (line,) = trace_contours(alpha)
    middle = line[(line.imag > 10) & (line.imag < 70)]
    assert middle.real.min() == pytest.approx(20, abs=0.1)
    assert middle.real.max() == pytest.approx(21.6, abs=0.2)


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
    assert [(line.real.min(), line.imag.min()) for line in lines] == [(0, 0)]
    assert (lines[0].real.max(), lines[0].imag.max()) == (40, 50)


@pytest.mark.parametrize("alpha", [np.zeros((9, 9)), np.full((9, 9), 0.49), np.eye(1)])
def test_nothing_to_trace(alpha):
    assert trace_contours(alpha.astype(np.float32)) == []


def rectangle(width=40, height=30):
    """A rectangle's border from (0, 0), as traced: points half a pixel beside its corners, none on them."""
    right, down = np.arange(0.5, width), np.arange(0.5, height)
    sides = [(right, 0 * right), (width + 0 * down, down), (right[::-1], height + 0 * right), (0 * down, down[::-1])]
    return np.concatenate([x + 1j * y for x, y in sides])


def test_corners_are_put_where_the_sides_meet():
    contours = contours_of([rectangle()])
    corners = np.flatnonzero(contours.is_joint)
    assert set(np.round(contours.points[corners], 6)) == {0, 40, 40 + 30j, 30j}
    at = next(place for place in corners if np.isclose(contours.points[place], 40))
    np.testing.assert_allclose(contours.leaving[at], 1j, atol=1e-9)
    np.testing.assert_allclose(contours.arriving[at], 1, atol=1e-9)


def test_directions_do_not_look_across_a_corner():
    contours = contours_of([rectangle()])
    for directions in (contours.leaving, contours.arriving):
        assert np.maximum(np.abs(directions.real), np.abs(directions.imag)).min() > 0.999


def test_a_circle_has_no_corners_and_runs_along_itself():
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    contours = contours_of([50 + 50j + 40 * np.exp(1j * angle)])
    np.testing.assert_array_equal(np.flatnonzero(contours.is_joint), [0, 100, 200])  # halves; it ends where it begins
    for directions in (contours.leaving, contours.arriving):
        np.testing.assert_allclose(directions, 1j * (contours.points - (50 + 50j)) / 40, atol=1e-9)


def test_a_spike_is_one_corner_at_its_tip():
    down = np.arange(0, 31.0)
    left, right = down * (0.2 + 1j), (12 + down * (-0.2 + 1j))[::-1]
    contours = contours_of([np.concatenate([left, right[1:], np.arange(11.0, 0, -1)])])
    tips = contours.points[contours.is_joint]
    assert np.abs(tips - (6 + 30j)).min() < 0.5


def test_a_short_line_has_no_corners():
    square = np.array([0, 1, 2, 2 + 1j, 2 + 2j, 1 + 2j, 2j, 1j])
    contours = contours_of([square])
    np.testing.assert_array_equal(contours.points, [0, 1, 2, 2 + 1j, 2 + 2j, 1 + 2j, 2j, 1j, 0])
    np.testing.assert_array_equal(np.flatnonzero(contours.is_joint), [0, 4, 8])


CURVE = np.array([0, 20 + 30j, 60 + 35j, 80 + 5j])


def points_on(curve, num=60):
    t = np.linspace(0, 1, num)
    start, leaving, arriving, end = curve
    return (1 - t) ** 3 * start + 3 * t * (1 - t) ** 2 * leaving + 3 * t**2 * (1 - t) * arriving + t**3 * end


def outline(points, directions):
    none = np.zeros(len(points), int)
    return Contours(points, directions, directions, none.astype(bool), none)


def fit(points, *rows, limits):
    """Curves and errors of rows `(first, last)` of points that run along `CURVE`."""
    directions = np.gradient(points)
    directions[[0, -1]] = CURVE[1] - CURVE[0], CURVE[3] - CURVE[2]
    return fit_curves(outline(points, directions / np.abs(directions)), *np.transpose(rows), limits)


def test_a_curve_is_found_again_from_its_points():
    points = points_on(CURVE)
    (curve,), (error,) = fit(points, (0, 59), limits=(0.15, 0.15))
    assert error <= 1
    np.testing.assert_allclose(curve, CURVE, atol=3)
    assert np.abs(points_on(curve, 1000)[None] - points[:, None]).min(axis=1).max() < 0.15


def test_rows_are_fitted_as_if_alone():
    points, limits, rows = points_on(CURVE), (0.01, 0.01), [(0, 30), (0, 59), (30, 59)]
    curves, errors = fit(points, *rows, limits=limits)
    for number, row in enumerate(rows):
        (curve,), (error,) = fit(points, row, limits=limits)
        assert min(errors[number], error) <= 1 or errors[number] == pytest.approx(error)
        assert np.abs(points_on(curve, 200) - points_on(curves[number], 200)).max() < 0.05


def test_one_point_off_breaks_either_limit():
    points = points_on(CURVE)
    points[17] += -3 + 4j  # 5 pixels
    assert 4 < fit(points, (0, 59), limits=(1, 1))[1][0] < 5.5
    assert fit(points, (0, 59), limits=(100, 0.01))[1][0] > 5, "a twentieth of a pixel off on average and more"


def test_two_points_are_joined_by_a_straight_curve():
    straight = np.full(2, 0.6 + 0.8j)
    line = outline(np.array([0, 3 + 4j]), straight)
    (curve,), (error,) = fit_curves(line, np.array([0]), np.array([1]), (0.1, 0.1))
    np.testing.assert_allclose(curve, [0, 1 + 4j / 3, 2 + 8j / 3, 3 + 4j])
    assert error <= 1


def test_handles_never_point_backward():
    zigzag = np.array([0, 1 + 5j, 2 - 5j, 3 + 5j, 4])
    line = outline(zigzag, np.full(5, -1j))
    (curve,), _ = fit_curves(line, np.array([0]), np.array([4]), (0.1, 0.1))
    assert curve[1].imag < curve[0].imag
    assert curve[2].imag > curve[3].imag


def ring(radius, wobble=0.0, num=None):
    angle = np.linspace(0, 2 * np.pi, num or int(6 * radius), endpoint=False)
    away = radius + wobble * np.sin(7 * angle)
    return 200 + 150j + away * np.exp(1j * angle)


def joints(curves):
    """Directions before and after each joint."""
    before, after = np.roll(curves[:, 3] - curves[:, 2], 1), curves[:, 1] - curves[:, 0]
    return before / np.abs(before), after / np.abs(after)


def farthest_from(curves, line):
    """How far the farthest point of a line lies from the curves around it."""
    x, y = flatten_curves(np.stack([curves.real, curves.imag], axis=2)).T
    return max(np.abs(x + 1j * y - point).min() for point in line)


@pytest.mark.parametrize("wobble", [0, 3, 15])
def test_curves_join_smoothly_and_keep_to_the_points(wobble):
    line = ring(100, wobble)
    (curves,) = fit_lines([line], (0.5, 0.2))
    np.testing.assert_array_equal(curves[:, 3], np.roll(curves[:, 0], -1))
    before, after = joints(curves)
    np.testing.assert_allclose(before, after, atol=1e-9)
    assert farthest_from(curves, line) < 0.52


def test_a_circle_needs_few_curves_wherever_it_begins():
    for begin in range(0, 600, 97):
        (curves,) = fit_lines([np.roll(ring(100), begin)], (0.25, 0.1))
        assert 2 <= len(curves) <= 6


def test_each_line_gets_its_own_curves():
    lines = [ring(100, 15), ring(30), ring(60, 5)]
    for curves, line in zip(fit_lines(lines, (0.4, 0.2)), lines, strict=True):
        np.testing.assert_array_equal(curves[:, 3], np.roll(curves[:, 0], -1))
        assert farthest_from(curves, line) < 0.42


def test_tiny_lines_keep_two_curves():
    (curves,) = fit_lines([ring(3, num=8)], (100, 100))
    assert len(curves) == 2


def test_points_in_the_same_place_are_joined():
    here = np.full(2, 3 + 4j)  # a corner, moved, may lie on its neighbour
    (curve,), _ = fit(here, (0, 1), limits=(0.1, 0.1))
    np.testing.assert_array_equal(curve, np.full(4, 3 + 4j))


def test_noise_ends():
    line = ring(40) + np.random.default_rng(0).normal(0, 2, (240, 2)) @ (1, 1j)
    (curves,) = fit_lines([line], (0.01, 0.01))
    assert len(curves) <= 240


REAL = Path(__file__).parents[3] / "shared/garments/cutout"


def disc(size_hw, center_xy, radius):
    y, x = np.indices(size_hw) + 0.5
    return (radius - np.hypot(x - center_xy[0], y - center_xy[1]) + 0.5).clip(0, 1).astype(np.float32)


def iou(a, b):
    return np.minimum(a, b).sum() / np.maximum(a, b).sum()


def num_knots(path):
    return sum(len(subpath.knots) for subpath in path.subpaths)


def test_a_disc_needs_few_knots_and_loses_nothing():
    alpha = disc((300, 400), (210.3, 140.7), 90)
    path = trace_outline(alpha)
    assert iou(draw_path(path, alpha.shape), alpha) > 0.998
    assert num_knots(path) <= 16


def test_exact_is_nearer_than_editable_and_has_more_knots():
    y, x = np.indices((400, 400)) + 0.5
    angle, radius = np.arctan2(y - 200, x - 200), np.hypot(x - 200, y - 200)
    alpha = (120 + 25 * np.sin(7 * angle) - radius + 0.5).clip(0, 1).astype(np.float32)
    editable, exact = (trace_outline(alpha, tolerance_px=tolerance) for tolerance in (EDITABLE_PX, EXACT_PX))
    assert num_knots(exact) > num_knots(editable)
    assert iou(draw_path(exact, alpha.shape), alpha) > iou(draw_path(editable, alpha.shape), alpha) > 0.995


def test_a_hole_stays_open_and_an_island_apart():
    alpha = disc((200, 300), (100, 100), 80) - disc((200, 300), (100, 100), 30) + disc((200, 300), (250, 100), 30)
    path = trace_outline(alpha)
    assert len(path.subpaths) == 3
    drawn = draw_path(path, alpha.shape)
    assert (drawn[100, 100], drawn[100, 50], drawn[100, 250]) == (0, 1, 1)
    assert iou(drawn, alpha) > 0.997


def test_corners_stay_sharp():
    alpha = np.zeros((120, 160), np.float32)
    alpha[30:90, 40:120] = 1
    path = trace_outline(alpha)
    assert num_knots(path) <= 8
    assert iou(draw_path(path, alpha.shape), alpha) > 0.999


def test_a_garment_cut_off_by_the_frame_ends_at_the_frame():
    alpha = np.zeros((100, 80), np.float32)
    alpha[40:, 10:] = 1
    path = trace_outline(alpha)
    anchors = np.concatenate([subpath.knots[:, 1] for subpath in path.subpaths])
    assert anchors.min() >= 0
    assert anchors.max() <= 1
    assert iou(draw_path(path, alpha.shape), alpha) > 0.99


def test_a_full_picture_and_an_empty_one():
    assert draw_path(trace_outline(np.ones((50, 40), np.float32)), (50, 40)).mean() > 0.998
    assert trace_outline(np.zeros((50, 40), np.float32)).subpaths == ()
    assert trace_outline(np.full((50, 40), 0.49, np.float32)).subpaths == ()


def test_dust_is_left_out():
    alpha = disc((200, 200), (100, 100), 60)
    alpha[5:8, 5:8] = 1
    assert len(trace_outline(alpha).subpaths) == 1


def test_noise_is_traced_too():
    noise = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    drawn = draw_path(trace_outline(noise), noise.shape)
    assert drawn.shape == noise.shape


def test_larger_photos_give_an_editable_path_more_room():
    heights = (600, 1728, 3456)
    assert [path_tolerance_px("editable", height) for height in heights] == [EDITABLE_PX, EDITABLE_PX, 2 * EDITABLE_PX]
    assert [path_tolerance_px("exact", height) for height in heights] == [EXACT_PX] * 3


def test_a_long_outline_around_little_is_kept_more_exactly():
    strap = disc((300, 300), (150.3, 149.6), 104) - disc((300, 300), (150.3, 149.6), 100)
    overlap = iou(draw_path(trace_outline(strap), strap.shape), strap)
    assert overlap > 0.99, "within 0.2 pixels on average a tenth of it could be lost"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real cutouts are not beside this checkout")
@pytest.mark.parametrize(("tolerance_px", "most_knots"), [(EDITABLE_PX, 110), (EXACT_PX, 200)])
def test_real_cutouts_keep_their_outline(tolerance_px, most_knots):
    for path in sorted(REAL.glob("*.png"))[::56]:
        with Image.open(path) as image:
            alpha = np.asarray(image.getchannel("A"), np.float32) / 255
        traced = trace_outline(alpha, tolerance_px=tolerance_px)
        assert iou(draw_path(traced, alpha.shape), alpha) > 0.998
        assert num_knots(traced) <= most_knots


def test_much_outline_around_little_area_is_followed_more_closely():
    """Fur, or fringes: the limits that serve a dress would leave an overlap of 0.9978."""
    y, x = (np.indices((2400, 2400)) + 0.5) / 4
    angle, radius = np.arctan2(y - 300, x - 300), np.hypot(x - 300, y - 300)
    inside = radius < 200 + 12 * np.sin(60 * angle) + 3 * np.sin(23 * angle)
    alpha = inside.reshape(600, 4, 600, 4).mean((1, 3), dtype=np.float32)
    path = trace_outline(alpha)
    assert iou(draw_path(path, alpha.shape), alpha) > 0.998
    assert num_knots(path) < 500
