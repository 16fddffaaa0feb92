from dataclasses import replace

import numpy as np
import pytest

from garmentcut.evaluation.doubt_fit import fit_doubt, rank_correlation, signs_of
from garmentcut.evaluation.lending import is_same_kind, lend_doubt
from garmentcut.model.card import FirstLook, ModelCard
from garmentcut.prediction.doubt import ALL_SIGNS, doubts_of


def sharper(experiences, *, errors=0.3):
    """The same photos by a network whose signs lie lower and nearer together, and which errs less."""
    return [
        replace(one, signs=0.4 * one.signs - 2, quality=1 - errors * (1 - one.quality), seen=True)
        for one in experiences
    ]


def test_what_ranks_one_networks_cutouts_ranks_anothers_at_its_own_level(make_experiences):
    others = make_experiences(150)
    own = sharper(others)
    learned = fit_doubt(others)
    lent = lend_doubt(learned, own, data="lent")
    doubts = doubts_of(lent, signs_of(own, lent))
    assert rank_correlation(doubts, own) > 0.8
    assert doubts.mean() == pytest.approx(np.mean([1 - one.quality for one in own]), abs=1e-3)
    assert np.ptp(doubts) > 0.05
    as_it_was = doubts_of(learned, signs_of(own, learned))
    assert abs(as_it_was.mean() - doubts.mean()) > 0.03  # its signs on the others' scale say something else
    assert (lent.data, lent.rank_correlation) == ("lent", None)
    assert (signs_of(own, lent) > np.array(lent.limits)).mean(axis=0)[:12] == pytest.approx(0.1, abs=0.011)


def test_an_own_quality_that_contradicts_the_signs_does_not_turn_them_round(make_experiences):
    others = make_experiences(60)
    learned = fit_doubt(others)
    own = [replace(one, quality=1 - one.quality) for one in others]
    lent = lend_doubt(learned, own, data="")
    assert rank_correlation(doubts_of(lent, signs_of(others, lent)), others) > 0.7


def test_signs_that_never_vary_keep_their_place(make_experiences):
    learned = fit_doubt(make_experiences(40))
    place = ALL_SIGNS.index("parts")
    own = [
        replace(one, signs=np.where(np.arange(12) == place, 1.0, one.signs)) for one in sharper(make_experiences(40))
    ]
    lent = lend_doubt(learned, own, data="")
    assert (lent.center[place], lent.scale[place]) == (learned.center[place], learned.scale[place])


def test_kinds_of_networks():
    card = ModelCard("a", "net", (96, 64), 32, "x", "y", 1 / 255, "alpha", "none", "MIT")
    assert is_same_kind(card, replace(card, name="b", trained_on=("1",), edge_bias=0.5))
    for other in ({"network": "other"}, {"working_size_hw": (192, 128)}, {"first_look": FirstLook("n", (96, 64), 32)}):
        assert not is_same_kind(card, replace(card, **other))
