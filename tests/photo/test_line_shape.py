import numpy as np

from garmentcut.photo.line_shape import shape_of


def rectangle(width=40, height=30):
    """A rectangle's border from (0, 0), as traced: points half a pixel beside its corners, none on them."""
    right, down = np.arange(0.5, width), np.arange(0.5, height)
    sides = [(right, 0 * right), (width + 0 * down, down), (right[::-1], height + 0 * right), (0 * down, down[::-1])]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def test_corners_are_put_where_the_sides_meet():
    shape = shape_of(rectangle())
    corners = {tuple(np.round(shape.points[corner], 6)) for corner in shape.corners}
    assert corners == {(0, 0), (40, 0), (40, 30), (0, 30)}
    at = next(corner for corner in shape.corners if np.allclose(shape.points[corner], (40, 0)))
    np.testing.assert_allclose(shape.arriving[at], (1, 0), atol=1e-9)
    np.testing.assert_allclose(shape.leaving[at], (0, 1), atol=1e-9)


def test_directions_do_not_look_across_a_corner():
    shape = shape_of(rectangle())
    others = np.setdiff1d(np.arange(len(shape.points)), shape.corners)
    np.testing.assert_array_equal(shape.leaving[others], shape.arriving[others])
    straight = np.abs(shape.leaving[others]).max(axis=1)
    assert (straight > 0.9).all()


def test_a_circle_has_no_corners_and_runs_along_itself():
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    shape = shape_of(np.stack([50 + 40 * np.cos(angle), 50 + 40 * np.sin(angle)], axis=1))
    assert not len(shape.corners)
    np.testing.assert_allclose(shape.leaving, np.stack([-np.sin(angle), np.cos(angle)], axis=1), atol=1e-9)


def test_a_spike_is_one_corner_at_its_tip():
    down = np.arange(0, 31.0)
    left, right = np.stack([down * 0.2, down], axis=1), np.stack([12 - down * 0.2, down], axis=1)[::-1]
    shape = shape_of(np.concatenate([left, right[1:], np.stack([np.arange(11.0, 0, -1), 0 * np.arange(11)], axis=1)]))
    tips = shape.points[shape.corners]
    assert np.hypot(*(tips - (6, 30)).T).min() < 0.5


def test_a_short_line_has_no_corners():
    square = np.array([(0.0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)])
    assert not len(shape_of(square).corners)
