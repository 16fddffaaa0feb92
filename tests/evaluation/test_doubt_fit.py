import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from garmentcut.evaluation.doubt_fit import DoubtError, Experience, cross_fitted, fit_doubt, rank_correlation
from garmentcut.prediction.doubt import ALL_SIGNS, all_signs, doubts_of, standardized


def all_signs_of(model, known):
    signs, looks = (np.array([getattr(one, key) for one in known]) for key in ("signs", "looks"))
    return all_signs(signs, looks, mean=model.looks_mean, precision=model.looks_precision)


def test_numpy_answers_as_scikit_learn_does(make_experiences):
    known = make_experiences(60)
    model = fit_doubt(known)
    values = standardized(model, all_signs_of(model, known))
    truth = np.array([1 - one.quality for one in known])
    best = None
    for strength in (0.003, 0.01, 0.03, 0.1, 0.3):
        regression = LogisticRegression(C=strength, max_iter=1000).fit(
            np.concatenate([values, values]), np.repeat([1, 0], 60), sample_weight=np.concatenate([truth, 1 - truth])
        )
        if np.allclose(regression.coef_[0], model.weights, atol=1e-6):
            best = regression
    assert best is not None
    np.testing.assert_allclose(
        doubts_of(model, all_signs_of(model, known)), best.predict_proba(values)[:, 1], rtol=0, atol=1e-9
    )


def test_doubt_is_learned_and_is_an_expectation(make_experiences):
    known = make_experiences(150)
    doubts = cross_fitted(known)
    assert rank_correlation(doubts, known) > 0.8
    assert doubts.mean() == pytest.approx(np.mean([1 - one.quality for one in known]), abs=0.02)
    model = fit_doubt(known, data="tests")
    assert ALL_SIGNS[int(np.argmax(np.abs(model.weights)))] == "rim"
    assert (model.data, model.num_photos, model.num_garments) == ("tests", 150, 150)
    limits = all_signs_of(model, known)
    assert (limits > np.array(model.limits)).mean(axis=0) == pytest.approx(0.1, abs=0.011)


def test_no_view_of_a_garment_helps_to_judge_another(make_experiences):
    """Quality that only the garment's name tells cannot be foretold for garments left out."""
    rng = np.random.default_rng(5)
    known = []
    for one in make_experiences(60, noise=0):
        quality, signs = rng.random(), rng.standard_normal(12)
        known += [Experience(f"{one.name}{view}", one.garment, quality, False, signs, one.looks) for view in "abc"]
    assert abs(rank_correlation(cross_fitted(known), known)) < 0.35


def test_nothing_cut_out_is_doubted_wholly_and_teaches_nothing(make_experiences):
    known = make_experiences(40)
    refused = Experience("r", "r", 0.0, False, None, None)
    assert cross_fitted([*known, refused])[-1] == 1.0
    assert fit_doubt([*known, refused]) == fit_doubt(known)


def test_a_sign_that_never_changes_weighs_nothing(make_experiences):
    known = [
        Experience(one.name, one.garment, one.quality, one.seen, np.append(one.signs[:-1], 7.0), one.looks)
        for one in make_experiences(40)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit_doubt(known)
    assert abs(model.weights[ALL_SIGNS.index("two_looks")]) < 1e-9
    assert model.limits[ALL_SIGNS.index("two_looks")] > 1e6  # models of one look: two that differ are no reason


def test_too_few_garments(make_experiences):
    with pytest.raises(DoubtError, match="19 garments: doubt cannot be learned from fewer than 20"):
        fit_doubt(make_experiences(19))
