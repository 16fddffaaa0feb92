import numpy as np
import pytest

from garmentcut.dataset.studio.fabric import design_fabric
from garmentcut.dataset.studio.garment import design_garment
from garmentcut.dataset.studio.mannequin import design_mannequin
from garmentcut.dataset.studio.placement import place_figure
from garmentcut.dataset.studio.wrap import find_window, measure_coverage

GREY = np.full(3, 0.5, np.float32)


@pytest.fixture(params=["skirt", "vest", "dress"])
def garment(request):
    return design_garment(3, request.param, design_mannequin(3).torso, design_fabric(3, GREY, GREY))


def test_shares_are_consistent_and_count_sixteenths(garment):
    place = place_figure(3, "FrontRight", (216, 144))
    window = find_window(garment, place)
    coverage = measure_coverage(garment, place, window)
    for share in (coverage.near, coverage.far, coverage.both):
        assert share.shape == window.size_hw and share.dtype == np.float32
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
