import numpy as np
import pytest
from scipy import stats

from garmentcut.evaluation.intervals import Bootstrap, Draws, FoldBlock, difference_of, mean, median, share_from, worst

FIGURES = {
    "mean": mean,
    "median": median,
    "worst": worst(0.05, higher_is_better=True),
    "worst_high": worst(0.05, higher_is_better=False),
    "share": share_from(0.5),
}


def plain_worst(values, share, *, highest=False):
    """The mean over the worst share, the last photo counted by its fraction."""
    num = max(share * len(values), 1)
    total, left = 0.0, num
    for value in sorted(values, reverse=highest):
        total += min(left, 1) * value
        left -= min(left, 1)
    return total / num


PLAIN = {
    "mean": np.mean,
    "median": np.median,
    "worst": lambda values: plain_worst(values, 0.05),
    "worst_high": lambda values: plain_worst(values, 0.05, highest=True),
    "share": lambda values: np.mean(np.asarray(values) >= 0.5),
}


def test_figures_by_hand():
    found = Bootstrap.of(["a", "b", "c", "d"]).estimate([4.0, 1.0, 2.0, 3.0], FIGURES)
    assert found["mean"].value == found["median"].value == 2.5
    assert found["worst"].value == 1  # one photo at least
    assert found["worst_high"].value == 4
    forty = Bootstrap.of([str(n) for n in range(50)]).estimate(range(50), FIGURES)
    assert forty["worst"].value == (0 + 1 + 0.5 * 2) / 2.5  # 5 % of 50 photos is two and a half
    assert Bootstrap.of(["a", "b", "c"]).estimate([0.4, 0.5, 0.6], FIGURES)["share"].value == 2 / 3


@pytest.mark.parametrize("name", FIGURES)
def test_weights_count_as_repeated_photos(name):
    rng = np.random.default_rng(1)
    for num in (1, 2, 7, 40, 61):
        values = np.sort(rng.integers(0, 9, num) / 8)
        weights = rng.integers(0, 4, (num, 20)).astype(np.int32)
        weights[num // 2] += 1  # none is empty
        slow = [PLAIN[name](np.repeat(values, times)) for times in weights.T]
        assert FIGURES[name](values, weights) == pytest.approx(slow)


def test_the_interval_is_the_one_of_a_naive_bootstrap():
    """Drawing garments and laying their photos side by side, one resample after the other."""
    rng = np.random.default_rng(2)
    garments = [f"g{n // 3}" for n in range(30)]
    values = rng.random(30)
    bootstrap = Bootstrap.of(garments, resamples=300)
    names = sorted(set(garments))
    slow = []
    for draw in bootstrap.draws.T:
        photos = [
            value
            for name, times in zip(names, draw, strict=True)
            for value, garment in zip(values, garments, strict=True)
            if garment == name
            for _ in range(times)
        ]
        assert len(photos) == 30
        slow.append(np.median(photos))
    found = bootstrap.estimate(values, {"median": median})["median"]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(slow, (2.5, 97.5))))
    assert found.low < found.value < found.high


def test_many_photos_are_worked_on_in_parts(monkeypatch):
    values, garments = np.random.default_rng(3).random(50), [str(n % 20) for n in range(50)]
    whole = Bootstrap.of(garments, resamples=100).estimate(values, FIGURES)
    monkeypatch.setattr("garmentcut.evaluation.intervals._CELLS", 333)
    in_parts = Bootstrap.of(garments, resamples=100).estimate(values, FIGURES)
    for name in FIGURES:
        assert (in_parts[name].low, in_parts[name].high) == pytest.approx((whole[name].low, whole[name].high))


def test_the_same_seed_gives_the_same_interval():
    values, garments = np.random.default_rng(4).random(40), [str(n) for n in range(40)]
    first, again, other = (Bootstrap.of(garments, seed=seed).estimate(values, FIGURES)["mean"] for seed in (0, 0, 1))
    assert first == again != other


def test_copies_of_a_garments_photo_teach_nothing_new():
    values = list(np.random.default_rng(5).random(30))
    names = [str(n) for n in range(30)]

    def width(values, garments):
        found = Bootstrap.of(garments).estimate(values, {"mean": mean})["mean"]
        return found.high - found.low

    once = width(values, names)
    assert width(values * 4, names * 4) == pytest.approx(once)
    as_if_independent = width(values * 4, [str(n) for n in range(120)])
    assert as_if_independent == pytest.approx(once / 2, rel=0.15)  # what drawing photos would claim


def test_photos_of_one_garment_alike_make_it_wider():
    rng = np.random.default_rng(6)
    of_garment = np.repeat(rng.standard_normal(25), 4)
    garments = [str(n // 4) for n in range(100)]
    alike = Bootstrap.of(garments).estimate(of_garment, {"mean": mean})["mean"]
    mixed = Bootstrap.of(garments).estimate(rng.permutation(of_garment), {"mean": mean})["mean"]
    assert alike.high - alike.low > 1.5 * (mixed.high - mixed.low)


def test_95_percent_of_the_intervals_hold_the_truth():
    """Simulated garments of one to four photos whose errors go together; the true mean is 0."""
    rng = np.random.default_rng(7)
    held, trials = 0, 200
    for trial in range(trials):
        sizes = rng.integers(1, 5, 40)
        values = np.repeat(rng.standard_normal(40), sizes) + 0.5 * rng.standard_normal(sizes.sum())
        garments = np.repeat(np.arange(40), sizes).astype(str)
        found = Bootstrap.of(garments, resamples=400, seed=trial).estimate(values, {"mean": mean})["mean"]
        held += found.low <= 0 <= found.high
    assert 0.90 <= held / trials <= 0.98


def test_a_handful_of_garments_has_no_interval():
    four = Bootstrap.of(["a", "b", "c", "d", "d"]).estimate([0.1, 0.2, 0.3, 0.4, 1.0], FIGURES)["mean"]
    assert (four.value, four.low, four.high) == (pytest.approx(0.4), None, None)
    assert Bootstrap.of(["a", "b", "c", "d", "e"]).estimate([0.1, 0.2, 0.3, 0.4, 1.0], FIGURES)["mean"].low is not None


def test_misuse():
    with pytest.raises(ValueError, match="no photos"):
        Bootstrap.of([])
    with pytest.raises(ValueError, match="2 values for 1 photos"):
        Bootstrap.of(["a"]).estimate([1, 2], FIGURES)


def block(values, garments=None):
    values = np.asarray(values, np.float64)
    return FoldBlock(values, garments or [f"g{number}" for number in range(len(values))])


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


def test_the_same_seed_gives_the_same_interval_of_a_difference():
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


def test_a_share_of_counts_that_are_summed_first():
    rng = np.random.default_rng(6)
    garments = [f"g{n // 2}" for n in range(40)]
    totals, others = rng.integers(0, 50, 40), rng.integers(1, 50, 40)
    hits, other_hits = rng.binomial(totals, 0.8), rng.binomial(others, 0.6)
    bootstrap = Bootstrap.of(garments)
    found = bootstrap.ratio(hits, totals)
    assert found.value == hits.sum() / totals.sum()
    drawn = []
    for times in bootstrap.draws.T:  # a slow loop
        weights = [times[bootstrap.clusters[n]] for n in range(40)]
        both = [
            sum(w * v for w, v in zip(weights, values, strict=True)) for values in (hits, totals, other_hits, others)
        ]
        drawn.append((both[0] / both[1], both[2] / both[3]))
    ours, theirs = np.array(drawn).T
    assert (found.low, found.high) == pytest.approx(np.quantile(ours, (0.025, 0.975)))
    difference = bootstrap.ratio_difference(hits, totals, other_hits, others)
    assert difference.value == pytest.approx(hits.sum() / totals.sum() - other_hits.sum() / others.sum())
    assert (difference.low, difference.high) == pytest.approx(np.quantile(ours - theirs, (0.025, 0.975)))
    assert bootstrap.ratio(hits, 0 * totals) is None
    assert Bootstrap.of(garments[:4]).ratio(hits[:4], totals[:4]).low is None  # two garments
