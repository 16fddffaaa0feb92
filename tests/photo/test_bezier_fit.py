import numpy as np
import pytest

from garmentcut.photo.bezier_fit import Limits, Runs, fit_runs

CURVE = np.array([(0.0, 0), (20, 30), (60, 35), (80, 5)])


def points_on(curve, num=60):
    t = np.linspace(0, 1, num)[:, None]
    start, leaving, arriving, end = curve
    return (1 - t) ** 3 * start + 3 * t * (1 - t) ** 2 * leaving + 3 * t**2 * (1 - t) * arriving + t**3 * end


def unit(vector):
    return vector / np.hypot(*vector)


def runs_of(*rows):
    """Rows `(first, steps, leaving, arriving)`."""
    first, steps, leaving, arriving = zip(*rows, strict=True)
    return Runs(np.array(first), np.array(steps), np.array(leaving, float), np.array(arriving, float))


def whole(points):
    return 0, len(points) - 1, unit(CURVE[1] - CURVE[0]), unit(CURVE[3] - CURVE[2])


def test_a_curve_is_found_again_from_its_points():
    points = points_on(CURVE)
    fits = fit_runs(points, runs_of(whole(points)), Limits(0.1, 0.1))
    assert fits.errors[0] <= 1
    np.testing.assert_allclose(fits.curves[0], CURVE, atol=3)
    gaps = points_on(fits.curves[0], 1000)[None] - points[:, None]
    assert np.hypot(*gaps.T).min(axis=0).max() < 0.1


def test_rows_are_fitted_as_if_alone():
    points = points_on(CURVE)
    tangent = unit(points[31] - points[29])
    left, right = (0, 30, whole(points)[2], tangent), (30, 29, tangent, whole(points)[3])
    limits = Limits(0.01, 0.01)
    together = fit_runs(points, runs_of(left, whole(points), right), limits)
    for number, row in enumerate((left, whole(points), right)):
        alone = fit_runs(points, runs_of(row), limits)
        np.testing.assert_allclose(together.curves[number], alone.curves[0], atol=1e-9)
        assert together.errors[number] == pytest.approx(alone.errors[0])
        assert together.worst[number] == alone.worst[0]


def test_the_worst_point_is_the_one_that_is_off():
    points = points_on(CURVE)
    points[17] += (-3, 4)  # 5 pixels
    fits = fit_runs(points, runs_of(whole(points)), Limits(1, 1))
    assert fits.worst[0] == 17
    assert 4 < fits.errors[0] < 5.5
    by_mean = fit_runs(points, runs_of(whole(points)), Limits(100, 0.01))
    assert by_mean.errors[0] > 5, "a twentieth of a pixel off on average and more"


def test_two_points_are_joined_by_a_straight_curve():
    points = np.array([(0.0, 0), (3, 4)])
    fits = fit_runs(points, runs_of((0, 1, (0.6, 0.8), (0.6, 0.8))), Limits(0.1, 0.1))
    np.testing.assert_allclose(fits.curves[0], [(0, 0), (1, 4 / 3), (2, 8 / 3), (3, 4)])
    assert fits.errors[0] <= 1


def test_handles_never_point_backward():
    zigzag = np.array([(0.0, 0), (1, 5), (2, -5), (3, 5), (4, 0)])
    fits = fit_runs(zigzag, runs_of((0, 4, (0, -1), (0, -1))), Limits(0.1, 0.1))
    start, leaving, arriving, end = fits.curves[0]
    assert leaving[1] < start[1]
    assert arriving[1] > end[1]
