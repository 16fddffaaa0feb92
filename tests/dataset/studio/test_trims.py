import numpy as np
import pytest

from garmentcut.dataset.studio.cut import HEM_ANGLES, Cut
from garmentcut.dataset.studio.trims import Trims, belt_coverage, sew
from garmentcut.dataset.studio.tube import profile

RED = np.array([1.0, 0.0, 0.0], np.float32)


@pytest.fixture
def cut():
    edge = profile([(0.0, 0.2), (1.0, 0.2)])
    return Cut(edge, edge, profile([(0.0, 1.0), (0.01, 1.0)]), (), np.full(HEM_ANGLES.shape, 0.6))


def test_a_belt_covers_its_band_only():
    y = np.linspace(0.2, 0.3, 1001)[:, None]
    trims = Trims(belt=RED, belt_middle=0.25, belt_half_height=0.01)
    assert belt_coverage(trims, y, 2000.0).mean() == pytest.approx(0.2, abs=0.002)
    assert belt_coverage(Trims(), y, 2000.0).max() == 0


def test_a_belt_brings_its_colour_and_leaves_the_rest(cut):
    y = np.linspace(0.2, 0.55, 351)[:, None]
    white = np.ones((351, 1, 3), np.float32)
    sewn = sew(Trims(belt=RED, belt_middle=0.25, belt_half_height=0.01), cut, white, np.zeros_like(y), y, 1000.0)
    np.testing.assert_allclose(sewn[50, 0], RED, atol=1e-6)
    np.testing.assert_allclose(sewn[200, 0], 1.0)


def test_a_zip_runs_down_the_back_and_not_the_front(cut):
    theta = np.array([[0.0, np.pi]])
    y, white = np.full((1, 2), 0.3), np.ones((1, 2, 3), np.float32)
    sewn = sew(Trims(zip_end=0.4), cut, white, theta, y, 1000.0)
    assert sewn[0, 0].min() == 1 and sewn[0, 1].max() < 0.9
