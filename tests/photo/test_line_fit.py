import numpy as np
import pytest

from garmentcut.photo.bezier_fit import Limits
from garmentcut.photo.line_fit import fit_lines
from garmentcut.photo.line_shape import shape_of
from garmentcut.photo.path import flatten_curves


def ring(radius, wobble=0.0, num=None):
    angle = np.linspace(0, 2 * np.pi, num or int(6 * radius), endpoint=False)
    away = radius + wobble * np.sin(7 * angle)
    return np.stack([200 + away * np.cos(angle), 150 + away * np.sin(angle)], axis=1)


def joints(curves):
    """Directions before and after each joint."""
    before, after = np.roll(curves[:, 3] - curves[:, 2], 1, axis=0), curves[:, 1] - curves[:, 0]
    return before / np.hypot(*before.T)[:, None], after / np.hypot(*after.T)[:, None]


@pytest.mark.parametrize("wobble", [0, 3, 15])
def test_curves_join_smoothly_and_keep_to_the_points(wobble):
    line = ring(100, wobble)
    (curves,) = fit_lines([shape_of(line)], Limits(0.5, 0.2))
    np.testing.assert_array_equal(curves[:, 3], np.roll(curves[:, 0], -1, axis=0))
    before, after = joints(curves)
    np.testing.assert_allclose(before, after, atol=1e-9)
    drawn = flatten_curves(curves)
    farthest = max(np.hypot(*(drawn - point).T).min() for point in line)
    assert farthest < 0.52


def test_a_circle_needs_few_curves_wherever_it_begins():
    for begin in range(0, 600, 97):
        (curves,) = fit_lines([shape_of(np.roll(ring(100), begin, axis=0))], Limits(0.25, 0.1))
        assert 2 <= len(curves) <= 6


def test_lines_are_fitted_as_if_alone():
    rng = np.random.default_rng(0)  # no two curves equally good
    lines = [line + rng.normal(0, 0.1, line.shape) for line in (ring(100, 15), ring(30), ring(60, 5))]
    limits = Limits(0.4, 0.2)
    together = fit_lines([shape_of(line) for line in lines], limits)
    for found, line in zip(together, lines, strict=True):
        np.testing.assert_allclose(found, fit_lines([shape_of(line)], limits)[0], atol=1e-9)


def test_tiny_lines_keep_two_curves():
    (curves,) = fit_lines([shape_of(ring(3, num=8))], Limits(100, 100))
    assert len(curves) == 2


def test_noise_ends():
    line = ring(40) + np.random.default_rng(0).normal(0, 2, (240, 2))
    (curves,) = fit_lines([shape_of(line)], Limits(0.01, 0.01))
    assert len(curves) <= 240
