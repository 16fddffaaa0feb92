import numpy as np
import pytest

from garmentcut.photo.choke import choke_alpha


def square(size=40, margin=12):
    alpha = np.zeros((size, size), np.float32)
    alpha[margin:-margin, margin:-margin] = 1
    return alpha


@pytest.mark.parametrize("choke_px", [0.25, 0.5, 1.0, 1.5, 2.0, 3.25, -0.5, -1.0, -2.75])
def test_an_even_edge_moves_by_as_many_pixels(choke_px):
    alpha = np.zeros((20, 60), np.float32)
    alpha[:, 20:40] = 1
    moved = choke_alpha(alpha, choke_px)
    assert moved.dtype == np.float32
    assert moved[10].sum() == pytest.approx(20 - 2 * choke_px, abs=1e-4)


@pytest.mark.parametrize("choke_px", [0.5, 1.0, 2.0, 5.0, -1.0, -4.0])
def test_a_slanting_edge_moves_as_far(choke_px):
    y, x = np.mgrid[:160, :160]
    distance = 50 - np.hypot(y - 80, x - 80)
    moved = choke_alpha((distance + 0.5).clip(0, 1).astype(np.float32), choke_px)
    radius = (moved.sum() / np.pi) ** 0.5
    assert 50 - radius == pytest.approx(choke_px, rel=0.12, abs=0.05)


def test_sheer_cloth_stays_as_sheer():
    moved = choke_alpha(square() * np.float32(0.4), 1.0)
    assert moved[20, 20] == pytest.approx(0.4)
    assert moved[12, 20] == 0


def test_nothing_asked_is_nothing_done():
    alpha = square()
    assert choke_alpha(alpha, 0.0) is alpha
    nothing = np.zeros((8, 8), np.float32)
    assert choke_alpha(nothing, 1.0) is nothing


def test_the_input_is_not_changed():
    alpha = square()
    choke_alpha(alpha, 2.5)
    assert np.array_equal(alpha, square())


def test_what_the_frame_cuts_off_stays_at_the_frame():
    alpha = np.zeros((20, 20), np.float32)
    alpha[5:, 5:15] = 1
    assert choke_alpha(alpha, 2.0)[-1, 10] == 1
