from dataclasses import replace

import numpy as np
import pytest

from garmentcut.model.card import ModelError
from garmentcut.prediction.doubt import ALL_SIGNS, all_signs, check_doubt, doubt_of, doubts_of
from garmentcut.prediction.doubt_signs import observe


def test_doubt_is_a_logistic_function_of_the_signs(make_doubt):
    model = make_doubt(rim=2.0, bias=-1.0)
    signs = np.zeros((3, len(ALL_SIGNS)))
    signs[:, 0] = (0.0, 1.0, 100.0)
    doubts = doubts_of(model, signs)
    np.testing.assert_allclose(doubts, 1 / (1 + np.exp([1.0, -1.0, -7.0])))  # beyond four scales nothing is added


def test_unlike_is_the_mahalanobis_distance():
    looks = np.full(10, 3.0)
    found = all_signs(np.zeros(12), looks, mean=np.full(10, 1.0), precision=np.diag([1.0, 4.0, *[0.0] * 8]))
    assert found[-1] == pytest.approx(np.log(np.sqrt(2**2 + 4 * 2**2) + 0.1))


def test_a_softer_rim_is_doubted_more(make_doubt, studio):
    model = make_doubt(rim=1.0, bias=-3.0)
    sharp, soft = (doubt_of(model, observe(shown.photo, shown.alpha)) for shown in (studio(), studio(sigma=5)))
    assert 0 < sharp < soft < 1


def test_a_doubt_learned_from_other_signs_is_refused(make_doubt, card):
    check_doubt(replace(card, doubt=make_doubt()))
    other = replace(make_doubt(), signs=("first", *ALL_SIGNS[1:]))
    with pytest.raises(ModelError, match="run `garmentcut calibrate` again"):
        check_doubt(replace(card, doubt=other))
