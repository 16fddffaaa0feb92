import numpy as np
import pytest
from scipy.stats import binom

from garmentcut.evaluation.risk import check_on_splits, find_threshold, least_garments, share_interval


def names(num):
    return [f"g{number}" for number in range(num)]


def test_how_many_garments_it_takes():
    assert least_garments(0.05, 0.9) == 45
    assert least_garments(0.01, 0.9) == 230
    assert 0.95**45 <= 0.1 < 0.95**44
    with pytest.raises(ValueError, match="between 0 and 1"):
        least_garments(0, 0.9)


def test_too_few_garments_promise_nothing():
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


def test_the_promise_holds_at_its_confidence():
    """Garments whose true risk is known: the share of calibrations that promise too much is at most 10 %."""
    rng, num, broken, promised = np.random.default_rng(1), 300, 0, 0
    for _ in range(300):
        doubts = rng.random(num)
        is_short = rng.random(num) < 0.15 * doubts
        found = find_threshold(names(num), doubts, is_short, risk=0.05, confidence=0.9)
        if found.max_doubt is not None:
            promised += 1
            broken += 0.15 * found.max_doubt / 2 > 0.05  # the mean of 0.15 d up to the threshold
    assert promised > 150
    assert broken <= 0.1 * 300 + 3 * np.sqrt(300 * 0.1 * 0.9)
    assert broken > 0  # else it would promise less than it could


def test_interval_of_a_share():
    assert share_interval(0, 20)[:2] == (0.0, 0.0)
    assert share_interval(0, 20)[2] == pytest.approx(1 - 0.025 ** (1 / 20))
    assert share_interval(20, 20)[2] == 1.0


def test_splits_by_garment():
    garments = [name for name in names(120) for _ in range(2)]
    doubts = np.repeat(np.arange(120) / 120, 2)
    good = check_on_splits(garments, doubts, np.zeros(240, bool), num_splits=20)
    assert (good.num_splits, good.num_promised, good.num_held) == (20, 20, 20)
    assert good.mean_accepted > 0.6
    bad = check_on_splits(garments, doubts, np.ones(240, bool), num_splits=5)
    assert (bad.num_promised, bad.num_held, bad.mean_accepted) == (0, 5, 0.0)
