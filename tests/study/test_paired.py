"""Intervals of differences: by hand where it can be, by simulation where not."""

import numpy as np
import pytest
from scipy import stats

from garmentcut.evaluation.intervals import Block, Draws, difference_of


def block(values, garments=None):
    values = np.asarray(values, np.float64)
    return Block(values, garments or [f"g{number}" for number in range(len(values))])


def test_each_photo_counts_the_same_as_the_mean_over_its_seeds():
    found = difference_of([block([[0.1, 0.3], [0.0, 0.2]], ["a", "b"]), block([[0.6], [0.6], [0.6]], ["c", "d", "e"])])
    assert found.value == pytest.approx((0.2 + 0.1 + 3 * 0.6) / 5)


def test_one_training_each_draws_garments_alone():
    values = np.random.default_rng(0).normal(0.01, 0.02, (50, 1))
    found = difference_of([block(values)], resamples=20_000)
    assert found.drawn == "garments"
    # Then it is the bootstrap of a mean: as wide as Student's interval.
    half = stats.t.ppf(0.975, 49) * values.std(ddof=1) / np.sqrt(50)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.03)
    assert found.p == pytest.approx(stats.ttest_1samp(values[:, 0], 0).pvalue, rel=0.15)


def test_views_of_a_garment_are_no_more_evidence_than_one():
    values = np.random.default_rng(1).normal(0.0, 0.02, (30, 1))
    once = difference_of([block(values)])
    thrice = difference_of([block(np.repeat(values, 3, axis=0), [f"g{k // 3}" for k in range(90)])])
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.05)


def test_luck_in_training_widens_the_interval():
    """All photos alike, two seeds apart by 0.02: nothing but the trainings varies, with one degree of freedom."""
    found = difference_of([block([[0.0, 0.02]] * 20)])
    assert found.drawn == "garments and seeds"
    half = stats.t.ppf(0.975, 1) * 0.01  # a mean of two, standard error |0.02 - 0| / 2
    assert found.p == pytest.approx(0.5, abs=0.01)  # t = 1 with one degree of freedom
    assert found.high - found.value == pytest.approx(half, rel=0.45)  # percentiles of three places


def test_one_seed_and_several_folds_draws_folds():
    values = [0.01, 0.03, 0.02, 0.04]
    found = difference_of([block([[value]] * 10, [f"{value}-{k}" for k in range(10)]) for value in values])
    assert found.drawn == "folds"
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=0.1)


def test_arms_that_do_the_same():
    found = difference_of([block(np.zeros((6, 2)))])
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert difference_of([block(np.full((6, 2), 0.125))]).p == 0.0


def test_too_few_garments_for_an_interval():
    found = difference_of([block([[0.1, 0.2]])])
    assert (found.value, found.low, found.p) == (pytest.approx(0.15), None, None)
    with pytest.raises(ValueError, match="no photos"):
        difference_of([])


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).normal(size=(12, 3))
    assert difference_of([block(values)]) == difference_of([block(values)])


def test_what_a_draw_counts():
    """Each thing counts once on average, and varies as the mean of independent things should."""
    draws = Draws.of([block(np.zeros((4, 2)))], resamples=40_000)
    for deviations in (draws.photos[0], draws.seeds[0]):
        np.testing.assert_allclose(deviations.sum(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(deviations.mean(axis=1), 0, atol=0.02)
    # Of n with variance s^2 (n - 1), the mean's variance is estimated as s^2 / n.
    values = np.array([0.0, 1.0, 2.0, 5.0])
    assert (values @ draws.photos[0] / 4).var() == pytest.approx(values.var(ddof=1) / 4, rel=0.03)


@pytest.mark.parametrize(
    ("num_folds", "num_seeds", "of_runs", "skewed"),
    [(2, 2, 0.001, False), (2, 2, 0.003, False), (5, 2, 0.001, True), (1, 3, 0.002, False), (5, 1, 0.001, False)],
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(num_folds, num_seeds, of_runs, skewed):
    rng, truth, hits, num = np.random.default_rng(3), 0.001, 0, 200
    for trial in range(num):
        blocks = []
        for _ in range(num_folds):
            garments = rng.exponential(0.005, (25, 1)) - 0.005 if skewed else rng.normal(0, 0.005, (25, 1))
            luck = rng.normal(0, of_runs, (1, num_seeds))
            blocks.append(block(truth + garments + luck + rng.normal(0, 0.003, (25, num_seeds))))
        found = difference_of(blocks, resamples=400, seed=trial)
        hits += found.low <= truth <= found.high
    assert 0.9 <= hits / num <= 1.0
