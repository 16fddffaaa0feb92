import numpy as np
import pytest

from garmentcut.synthetic.mannequin import Tube, cut_slices, facing, look_at, outline, profile


def constant(value):
    return profile([(0.0, value), (1.0, value)])


@pytest.fixture
def tube():
    return Tube(0.0, 1.0, constant(0.0), constant(0.0), constant(0.3), constant(0.1))


@pytest.mark.parametrize(
    ("yaw", "half"), [(0, 0.3), (np.pi / 2, 0.1), (np.pi, 0.3), (np.pi / 4, np.sqrt((0.3**2 + 0.1**2) / 2))]
)
def test_the_outline_is_as_wide_as_the_turned_ellipse(tube, yaw, half):
    points = outline(tube, yaw)
    assert points[:, 0].max() == pytest.approx(half, abs=1e-6)
    assert points[:, 0].min() == pytest.approx(-half, abs=1e-6)


def test_lines_of_sight_meet_the_ellipse_in_front_and_behind(tube):
    y, x = np.array([0.5]), np.array([-0.1, 0.0, 0.2])
    for yaw in (0.0, 0.7, np.pi):
        slices = cut_slices(tube, y, yaw)
        near, far = look_at(slices, x, near=True), look_at(slices, x, near=False)
        assert (near.depth > far.depth).all()
        for surface in (near, far):
            np.testing.assert_allclose(surface.across**2 + surface.ahead**2, 1, atol=1e-5)
            turned = surface.x * np.cos(yaw) + 0.1 * surface.ahead * np.sin(yaw)
            np.testing.assert_allclose(turned[0], x, atol=1e-6)


def test_the_front_is_at_angle_zero_and_turns_to_the_right(tube):
    y, middle = np.array([0.5]), np.array([0.0])
    assert look_at(cut_slices(tube, y, 0.0), middle, near=True).theta[0, 0] == pytest.approx(0, abs=1e-6)
    assert abs(look_at(cut_slices(tube, y, np.pi), middle, near=True).theta[0, 0]) == pytest.approx(np.pi, abs=1e-3)
    assert look_at(cut_slices(tube, y, np.pi / 4), middle, near=True).x[0, 0] < 0


def test_normals_face_the_camera_and_bend_away_at_the_sides(tube):
    y, x = np.linspace(0.4, 0.6, 5), np.linspace(-0.29, 0.29, 9)
    slices = cut_slices(tube, y, 0.0)
    normals = facing(slices, look_at(slices, x, near=True), y)
    np.testing.assert_allclose((normals**2).sum(axis=-1), 1, atol=1e-5)
    assert normals[2, 4, 2] == pytest.approx(1, abs=1e-5)
    assert normals[2, 0, 0] < -0.5 < 0.5 < normals[2, -1, 0]


def test_a_profile_passes_near_its_points_and_is_constant_beyond():
    curve = profile([(0.0, 1.0), (0.5, 2.0), (1.0, 1.0)], 0.01)
    np.testing.assert_allclose(curve(np.array([-1.0, 0.25, 2.0])), (1.0, 1.5, 1.0), atol=0.05)
