from dataclasses import replace

import pytest

from garmentcut.evaluation.calibration import RISKS, CalibrationError, Promise, calibrate, is_same_kind
from garmentcut.model.card import FirstLook, ModelCard


def test_doubt_and_a_threshold_for_each_risk(make_experiences):
    found = calibrate(make_experiences(300), Promise(0.08, 0.7, 0.9), data="tests")
    assert [one.risk for one in found.acceptance.thresholds] == sorted({0.08, *RISKS})
    assert found.threshold.risk == 0.08
    limits = [one.max_doubt for one in found.acceptance.thresholds if one.max_doubt is not None]
    assert limits == sorted(limits)
    assert found.threshold.max_doubt is not None
    assert found.doubt.rank_correlation > 0.8
    assert found.acceptance.data == "300 photos of tests, none of them in its training"


def test_photos_of_the_training_are_left_out_with_their_garments(make_experiences):
    known = make_experiences(60)
    view = replace(known[0], name="other view", seen=True)  # the same garment from behind was in the training
    found = calibrate([*known, view], Promise(0.2, 0.5), data="tests")
    assert (found.num_left_out, found.acceptance.num_photos) == (2, 59)


@pytest.mark.parametrize(("seen", "words"), [(True, "was trained on all 30 photos"), (None, "does not list")])
def test_a_model_is_not_calibrated_on_what_it_learned(make_experiences, seen, words):
    known = [replace(one, seen=seen) for one in make_experiences(30)]
    with pytest.raises(CalibrationError, match=words):
        calibrate(known, Promise(), data="tests")
    forced = calibrate(known, Promise(), data="tests", use_seen=True)
    assert "promises nothing for new ones" in forced.acceptance.data
    assert forced.doubt.data == forced.acceptance.data


def test_what_a_run_held_out_needs_no_list(make_experiences):
    known = [replace(one, seen=None) for one in make_experiences(30)]
    found = calibrate(known, Promise(), data="tests", held_out=True)
    assert "none of them in its training" in found.acceptance.data
    assert found.threshold.reason == "cannot: 30 garments, needs at least 45"


def test_kinds_of_networks():
    card = ModelCard("a", "net", (96, 64), 32, "x", "y", 1 / 255, "alpha", "none", "MIT")
    assert is_same_kind(card, replace(card, name="b", trained_on=("1",), edge_bias=0.5))
    for other in ({"network": "other"}, {"working_size_hw": (192, 128)}, {"first_look": FirstLook("n", (96, 64), 32)}):
        assert not is_same_kind(card, replace(card, **other))
