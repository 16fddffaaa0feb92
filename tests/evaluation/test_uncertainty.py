import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from garmentcut.errors import EvaluationError
from garmentcut.evaluation.uncertainty import (
    RISKS,
    Experience,
    Guarantee,
    calibrate,
    cross_fitted,
    find_threshold,
    fit_doubt,
    is_same_kind,
    least_garments,
    quarters_of,
    rank_correlation,
    share_interval,
)
from garmentcut.model.card import ModelCard, StageSizes
from garmentcut.prediction.doubt import ALL_FEATURES, all_features, doubts_of, standardized


def names(num):
    return [f"g{number}" for number in range(num)]


def test_how_many_garments_it_takes():
    assert least_garments(0.05, 0.9) == 45
    assert least_garments(0.01, 0.9) == 230
    assert 0.95**45 <= 0.1 < 0.95**44
    with pytest.raises(ValueError, match="between 0 and 1"):
        least_garments(0, 0.9)


def test_too_few_garments_guarantee_nothing():
    found = find_threshold(names(44), np.zeros(44), np.zeros(44, bool))
    assert (found.max_doubt, found.reason) == (None, "cannot: 44 garments, needs at least 45")


def test_the_views_of_a_garment_are_one_piece_of_evidence():
    garments = [name for name in names(30) for _ in range(3)]
    found = find_threshold(garments, np.zeros(90), np.zeros(90, bool))
    assert found.reason == "cannot: 30 garments, needs at least 45"


def test_a_garment_falls_short_if_one_of_its_accepted_photos_does():
    garments = [name for name in names(50) for _ in range(2)]
    doubts, is_short = np.tile([0.1, 0.2], 50), np.zeros(100, bool)
    is_short[[1, 3]] = True  # the second photos of two garments
    strict = find_threshold(garments, doubts, is_short, risk=0.05)
    # At 0.1 both bad photos are not accepted: 50 garments, none short. At 0.2 they are.
    assert (strict.max_doubt, strict.num_accepted, strict.num_short) == (0.1, 50, 0)


def test_the_exact_binomial_decides():
    num = 200
    doubts = np.arange(num) / num
    is_short = np.zeros(num, bool)
    is_short[[60, 90, 110, 150, 160, 161, 162, 163]] = True
    found = find_threshold(names(num), doubts, is_short, risk=0.05, confidence=0.9)
    k, n = found.num_short, found.num_accepted
    assert (k, n) == (int((is_short & (doubts <= found.max_doubt)).sum()), int((doubts <= found.max_doubt).sum()))
    assert binom.cdf(k, n, 0.05) <= 0.1
    assert n == 158  # 4 may fall short among 158; the next, 184 with 5, has 8
    assert found.share_accepted == pytest.approx(share_interval(158, 200))


def test_a_bad_photo_of_little_doubt_is_not_skipped():
    is_short = np.zeros(300, bool)
    is_short[3] = True
    found = find_threshold(names(300), np.arange(300) / 300, is_short)
    assert found.max_doubt is None
    assert found.reason.startswith("cannot: of the 45 garments of least doubt (among 300) one falls short")


def test_equal_doubts_are_accepted_together():
    found = find_threshold(names(100), np.full(100, 0.3), np.zeros(100, bool))
    assert (found.max_doubt, found.num_accepted) == (0.3, 100)


def test_the_guarantee_holds_at_its_confidence(monkeypatch):
    """Garments whose true risk is known: the share of calibrations that guarantee too much is at most 10 %."""
    monkeypatch.setattr("garmentcut.evaluation.uncertainty.share_interval", lambda *_: None)  # slow, and not asked for
    rng, num, broken, guaranteed = np.random.default_rng(1), 300, 0, 0
    for _ in range(300):
        doubts = rng.random(num)
        is_short = rng.random(num) < 0.15 * doubts
        found = find_threshold(names(num), doubts, is_short, risk=0.05, confidence=0.9)
        if found.max_doubt is not None:
            guaranteed += 1
            broken += 0.15 * found.max_doubt / 2 > 0.05  # the mean of 0.15 d up to the threshold
    assert guaranteed > 150
    assert broken <= 0.1 * 300 + 3 * np.sqrt(300 * 0.1 * 0.9)
    assert broken > 0  # else it would guarantee less than it could


def test_interval_of_a_share():
    assert share_interval(0, 20)[:2] == (0.0, 0.0)
    assert share_interval(0, 20)[2] == pytest.approx(1 - 0.025 ** (1 / 20))
    assert share_interval(20, 20)[2] == 1.0


def all_features_of(model, known):
    features, appearance = (np.array([getattr(one, key) for one in known]) for key in ("features", "appearance"))
    return all_features(features, appearance, mean=model.appearance_mean, precision=model.appearance_precision)


def test_numpy_answers_as_scikit_learn_does(make_experiences):
    from sklearn.linear_model import LogisticRegression

    known = make_experiences(60)
    model = fit_doubt(known)
    values = standardized(model, all_features_of(model, known))
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
        doubts_of(model, all_features_of(model, known)), best.predict_proba(values)[:, 1], rtol=0, atol=1e-9
    )


def test_doubt_is_learned_and_is_an_expectation(make_experiences):
    known = make_experiences(150)
    doubts = cross_fitted(known).doubts
    assert rank_correlation(doubts, known) > 0.8
    assert doubts.mean() == pytest.approx(np.mean([1 - one.quality for one in known]), abs=0.02)
    model = fit_doubt(known, data="tests")
    assert ALL_FEATURES[int(np.argmax(np.abs(model.weights)))] == "edge_softness"
    assert (model.data, model.num_photos, model.num_garments) == ("tests", 150, 150)
    limits = all_features_of(model, known)
    assert (limits > np.array(model.limits)).mean(axis=0) == pytest.approx(0.1, abs=0.011)


def test_no_view_of_a_garment_helps_to_judge_another(make_experiences):
    """Quality that only the garment's name tells cannot be foretold for garments left out."""
    rng = np.random.default_rng(5)
    known = []
    for one in make_experiences(60, noise=0):
        quality, features = rng.random(), rng.standard_normal(13)
        seen = (one.garment, quality, False, features, one.appearance)
        known += [Experience(f"{one.name}{view}", *seen) for view in "abc"]
    assert abs(rank_correlation(cross_fitted(known).doubts, known)) < 0.35


@pytest.mark.usefixtures("hastily_learned")
def test_nothing_cut_out_is_doubted_wholly_and_teaches_nothing(make_experiences):
    known = make_experiences(40)
    refused = Experience("r", "r", 0.0, False, None, None)
    assert cross_fitted([*known, refused]).doubts[-1] == 1.0
    assert fit_doubt([*known, refused]) == fit_doubt(known)


def test_a_sign_that_never_changes_weighs_nothing(make_experiences):
    known = make_experiences(40)
    for one in known:
        one.features[ALL_FEATURES.index("stage_disagreement")] = 7.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit_doubt(known)
    assert abs(model.weights[ALL_FEATURES.index("stage_disagreement")]) < 1e-9
    assert model.limits[ALL_FEATURES.index("stage_disagreement")] > 1e6  # a single network: no reason


def test_foreign_photos_are_called_so_and_the_studios_own_are_not(make_experiences):
    own = make_experiences(160)
    foreign = [
        replace(
            one,
            name=f"f{one.name}",
            garment=f"f{one.garment}",
            quality=0.3,
            appearance=one.appearance + 400,
        )
        for one in own[:40]
    ]
    found = calibrate(own, Guarantee(0.2, 0.5, 0.9), data="tests", elsewhere=lambda: foreign)
    judged, photos = found.group(foreign=False)
    assert len(photos) == 160
    assert judged.foreign.sum() <= 2
    assert found.group(foreign=True)[0].foreign.all()
    assert found.doubt.num_photos == 160
    assert "40 photos made to look foreign" in found.doubt.data
    assert found.acceptance.num_garments == 160
    # Doubt is honest on both: it was learned from both.
    for is_foreign in (False, True):
        judged, photos = found.group(foreign=is_foreign)
        assert judged.doubts.mean() == pytest.approx(np.mean([1 - one.quality for one in photos]), abs=0.1)
    trusting = fit_doubt(own)
    unlike = all_features_of(trusting, foreign)
    assert (
        doubts_of(found.doubt, all_features_of(found.doubt, foreign)).mean() > doubts_of(trusting, unlike).mean() + 0.2
    )


def test_quarters_are_of_the_doubt(make_experiences):
    known = make_experiences(8)
    doubts = np.array([0.8, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    quarters = quarters_of(doubts, known)
    assert [round(doubt, 2) for doubt, _ in quarters] == [0.15, 0.35, 0.55, 0.75]
    assert quarters[0][1] == pytest.approx(1 - (known[1].quality + known[2].quality) / 2)


def test_too_few_garments(make_experiences):
    with pytest.raises(EvaluationError, match="19 garments: doubt cannot be learned from fewer than 20"):
        fit_doubt(make_experiences(19))
    with pytest.raises(EvaluationError, match=r"^1 garment: "):
        fit_doubt(make_experiences(1))


def test_doubt_and_a_threshold_for_each_risk(make_experiences):
    found = calibrate(make_experiences(300), Guarantee(0.08, 0.7, 0.9), data="tests")
    assert [one.risk for one in found.acceptance.thresholds] == sorted({0.08, *RISKS})
    assert found.threshold.risk == 0.08
    limits = [one.max_doubt for one in found.acceptance.thresholds if one.max_doubt is not None]
    assert limits == sorted(limits)
    assert found.threshold.max_doubt is not None
    assert found.doubt.rank_correlation > 0.8
    assert found.acceptance.data == "300 photos of tests, none of them in its training"


@pytest.fixture
def hastily_learned(monkeypatch):
    """Doubt is learned with one penalty, and judged by halves, where it does not matter what is learned."""
    monkeypatch.setattr("garmentcut.evaluation.uncertainty._STRENGTHS", (0.1,))
    monkeypatch.setattr("garmentcut.evaluation.uncertainty._NUM_FOLDS", 2)


@pytest.mark.usefixtures("hastily_learned")
def test_photos_of_the_training_are_left_out_with_their_garments(make_experiences):
    known = make_experiences(60)
    view = replace(known[0], name="other view", seen=True)  # the same garment from behind was in the training
    found = calibrate([*known, view], Guarantee(0.2, 0.5), data="tests")
    assert (found.num_left_out, found.acceptance.num_photos) == (2, 59)


@pytest.mark.usefixtures("hastily_learned")
@pytest.mark.parametrize(("seen", "words"), [(True, "was trained on all 30 photos"), (None, "does not list")])
def test_a_model_is_not_calibrated_on_what_it_learned(make_experiences, seen, words):
    known = [replace(one, seen=seen) for one in make_experiences(30)]
    with pytest.raises(EvaluationError, match=words):
        calibrate(known, Guarantee(), data="tests")
    forced = calibrate(known, Guarantee(), data="tests", use_seen=True)
    assert "guarantees nothing for new ones" in forced.acceptance.data
    assert forced.doubt.data == forced.acceptance.data


@pytest.mark.parametrize(("num", "seen", "words"), [(30, True, "was trained on all"), (19, False, "^19 garments")])
def test_what_is_refused_does_not_wait_for_photos_from_elsewhere(make_experiences, num, seen, words):
    known = [replace(one, seen=seen) for one in make_experiences(num)]
    with pytest.raises(EvaluationError, match=words):
        calibrate(known, Guarantee(), data="tests", elsewhere=lambda: pytest.fail("they were made"))


@pytest.mark.usefixtures("hastily_learned")
def test_what_a_run_held_out_needs_no_list(make_experiences):
    known = [replace(one, seen=None) for one in make_experiences(30)]
    found = calibrate(known, Guarantee(), data="tests", held_out=True)
    assert "none of them in its training" in found.acceptance.data
    assert found.threshold.reason == "cannot: 30 garments, needs at least 45"


def test_kinds_of_networks():
    card = ModelCard("a", "net", (96, 64), 32, "x", "y", 1 / 255, "alpha", "none", "MIT")
    assert is_same_kind(card, replace(card, name="b", trained_on=("1",), edge_bias=0.5))
    for other in ({"network": "other"}, {"working_size_hw": (192, 128)}, {"stages": StageSizes()}):
        assert not is_same_kind(card, replace(card, **other))
