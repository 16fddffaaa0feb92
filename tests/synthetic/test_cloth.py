import numpy as np
import pytest

from garmentcut.synthetic.cloth import Trims, belt_coverage, find_window, measure_coverage, sew
from garmentcut.synthetic.fabric import design_fabric
from garmentcut.synthetic.garment import HEM_ANGLES, Cut, design_garment
from garmentcut.synthetic.mannequin import design_mannequin, profile
from garmentcut.synthetic.scene import place_figure

GREY = np.full(3, 0.5, np.float32)


@pytest.fixture(params=["skirt", "vest", "dress"])
def garment(request):
    return design_garment(3, request.param, design_mannequin(3).torso, design_fabric(3, GREY, GREY))


def test_shares_are_consistent_and_count_sixteenths(garment):
    place = place_figure(3, "FrontRight", (216, 144))
    window = find_window(garment, place)
    coverage = measure_coverage(garment, place, window)
    for share in (coverage.near, coverage.far, coverage.both):
        assert share.shape == tuple(side.stop - side.start for side in window) and share.dtype == np.float32
        assert share.min() >= 0 and share.max() <= 1
        np.testing.assert_array_equal(share * 16, np.rint(share * 16))
    assert (coverage.both <= np.minimum(coverage.near, coverage.far)).all()
    assert (coverage.near + coverage.far - coverage.both <= 1).all()


def test_the_window_holds_all_of_the_garment(garment):
    for view in ("Front", "FrontRight", "Back"):
        place = place_figure(3, view, (216, 144))
        coverage = measure_coverage(garment, place, find_window(garment, place))
        touched = np.maximum(coverage.near, coverage.far)
        assert max(touched[0].max(), touched[-1].max(), touched[:, 0].max(), touched[:, -1].max()) == 0


def test_the_near_side_from_behind_is_the_far_side_from_the_front():
    garment = design_garment(3, "vest", design_mannequin(3).torso, design_fabric(3, GREY, GREY))
    places = [place_figure(3, view, (216, 144)) for view in ("Front", "Back")]
    front, back = (measure_coverage(garment, place, find_window(garment, place)) for place in places)
    assert front.near.sum() < 0.95 * front.far.sum()  # open in front, whole behind
    assert back.near.sum() == pytest.approx(front.far.sum(), rel=0.08)


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
