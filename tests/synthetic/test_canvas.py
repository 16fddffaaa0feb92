import numpy as np
import pytest

from garmentcut.synthetic.canvas import (
    PaintLayer,
    ellipse,
    happens,
    lattice,
    named_stream,
    pick,
    polygon_coverage,
    sample,
    soften,
    spline,
    stroke,
)


def test_a_stream_depends_on_seed_and_name_only():
    def draws(seed, *names):
        return named_stream(seed, *names).random(4).tolist()

    assert draws(3, "folds") == draws(3, "folds")
    assert draws(3, "folds") != draws(4, "folds")
    assert draws(3, "folds") != draws(3, "scene")
    assert draws(3, "cut", "vest") != draws(3, "cut", "dress")


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError):
        named_stream(-1, "folds")


def test_pick_follows_the_weights():
    rng = named_stream(0, "pick")
    names = [pick(rng, {"often": 3.0, "seldom": 1.0, "never": 0.0}) for _ in range(2000)]
    assert names.count("often") == pytest.approx(1500, abs=100)
    assert "never" not in names


def test_happens_is_certain_at_one_and_impossible_at_zero():
    rng = named_stream(0, "happens")
    assert all(happens(rng, 1.0) for _ in range(20))
    assert not any(happens(rng, 0.0) for _ in range(20))


def test_noise_meets_its_lattice_repeats_around_and_stays_beyond_its_ends():
    heights = lattice(named_stream(1, "noise"), 4, 6)
    columns = np.arange(6) / 6
    np.testing.assert_allclose(sample(heights, columns, np.full(6, 1 / 3)), heights[1], atol=1e-5)
    anywhere = np.linspace(-1.3, 1.3, 40)
    np.testing.assert_allclose(sample(heights, anywhere, anywhere), sample(heights, anywhere + 1, anywhere), atol=1e-4)
    np.testing.assert_array_equal(sample(heights, columns, np.full(6, 5.0)), sample(heights, columns, np.ones(6)))


def test_noise_stays_between_its_heights():
    heights = lattice(named_stream(2, "noise"), 5, 5)
    place = named_stream(3, "places").random((2, 500))
    values = sample(heights, *place)
    assert heights.min() <= values.min() and values.max() <= heights.max()


def test_a_rectangle_covers_the_hand_computed_share_of_each_pixel():
    corners = np.array([(1.25, 1.0), (3.5, 1.0), (3.5, 2.5), (1.25, 2.5)])
    patch = polygon_coverage(corners, (4, 6))
    frame = np.zeros((4, 6))
    frame[patch.window] = patch.coverage
    expected = np.zeros((4, 6))
    expected[1, 1:4] = 0.75, 1.0, 0.5
    expected[2, 1:4] = 0.375, 0.5, 0.25
    np.testing.assert_allclose(frame, expected, atol=1e-5)  # steps of 16 bits


@pytest.mark.parametrize("shift", [0.0, 0.13, 0.77])
def test_coverage_adds_up_to_the_area_of_a_triangle(shift):
    triangle = np.array([(2.0, 3.0), (40.0, 5.0), (10.0, 50.0)]) + shift
    # Shoelace: half of |38 * 47 - 8 * 2| = 885.
    assert polygon_coverage(triangle, (64, 64)).coverage.sum() == pytest.approx(885.0, rel=2e-3)


def test_coverage_of_a_disc_is_its_area_and_stays_in_range():
    coverage = polygon_coverage(ellipse((20.3, 18.6), (12.0, 9.0), 256), (40, 40)).coverage
    assert coverage.sum() == pytest.approx(np.pi * 12 * 9, rel=2e-3)
    assert coverage.min() >= 0 and coverage.max() <= 1
    assert coverage.dtype == np.float32


def test_crossing_sides_count_by_the_even_odd_rule():
    ring = np.array([(0, 0), (10, 0), (10, 10), (0, 10), (0, 0), (3, 3), (3, 7), (7, 7), (7, 3), (3, 3)], float)
    coverage = polygon_coverage(ring, (10, 10)).coverage
    assert coverage.sum() == pytest.approx(100 - 16, abs=1e-4)
    assert coverage[5, 5] == 0


@pytest.mark.parametrize("offset", [(-100, 0), (0, 100), (100, 100)])
def test_a_polygon_outside_the_frame_covers_nothing(offset):
    corners = np.array([(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)]) + offset
    assert polygon_coverage(corners, (20, 20)).coverage.sum() == 0


def test_the_frame_cuts_a_polygon_off():
    corners = np.array([(-5.0, -5.0), (5.0, -5.0), (5.0, 5.0), (-5.0, 5.0)])
    assert polygon_coverage(corners, (20, 20)).coverage.sum() == pytest.approx(25)


def test_paint_over_paint_hides_by_its_coverage():
    layer = PaintLayer.empty((2, 2))
    half = polygon_coverage(np.array([(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]), (2, 2))
    layer.paint(half, np.array([1.0, 0.0, 0.0], np.float32))
    layer.paint(half, np.array([0.0, 1.0, 0.0], np.float32))
    np.testing.assert_allclose(layer.rgb[0, 0], (0.25, 0.5, 0.0), atol=1e-5)
    assert layer.alpha[0, 0] == pytest.approx(0.75, abs=1e-5)


def test_a_spline_meets_its_control_points():
    points = np.array([(0.0, 0.0), (1.0, 2.0), (3.0, 1.0), (4.0, 4.0)])
    curve = spline(points, closed=False, samples=10)
    np.testing.assert_allclose(curve[::10], points)
    assert len(spline(points, closed=True, samples=10)) == 40


def test_a_stroke_is_as_wide_as_asked():
    line = np.stack([np.linspace(2, 18, 30), np.full(30, 10.0)], axis=1)
    assert polygon_coverage(stroke(line, 3.0), (20, 20)).coverage.sum() == pytest.approx(16 * 3, rel=1e-3)


def test_soften_keeps_the_mean_of_a_spot_and_spreads_it():
    image = np.zeros((41, 41), np.float32)
    image[20, 20] = 1.0
    soft = soften(image, 3)
    assert soft.sum() == pytest.approx(1.0, abs=1e-5)
    assert soft[20, 20] < 0.05
    np.testing.assert_allclose(soft, soft[::-1, ::-1], atol=1e-7)
