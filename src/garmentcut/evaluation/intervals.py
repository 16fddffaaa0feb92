"""95 % bootstrap intervals for evaluations and studies; garments are resampled, as errors within one are correlated.

Each resample takes as many garments as there are, with replacement, and all photos of each (Davison and Hinkley 1997,
section 3.8). `Bootstrap` gives percentile intervals for the three hundred statistics of an evaluation. It resamples
once for all of them, as weights of photos, while `scipy.stats.bootstrap` would resample again for each.

`difference_of` compares two models, or two variants of a training, photo by photo. For variants, the randomness of
training is resampled too: within each fold garments and seeds, crossed (Owen 2007, "The pigeonhole bootstrap"; strata
as in Davison and Hinkley, section 3.2). The plain bootstrap of n items underestimates the variance by (n - 1) / n, so
deviations from a weight of 1 are multiplied by sqrt(n / (n - 1)) (Rao and Wu 1988). As the estimated spread is itself
uncertain, the percentile interval is widened by the ratio of Student's t to the normal quantile, with degrees of
freedom after Satterthwaite (1946). With one seed and several folds, folds are resampled, each being a training of its
own. With a single training per variant, only garments are: the randomness of training then remains unknown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES, PAIRED_RESAMPLES = 2000, 4000
LEAST_GARMENTS = 5  # with fewer there are too few different resamples
_LEVEL = 0.95
_TAILS = ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2)
_CELLS = 2_000_000  # of the table of weights that are processed at once; limits memory

Floats = NDArray[np.float64]

Drawn = Literal["garments and seeds", "folds", "garments"]

Weights = NDArray[np.int32]
"""`(photos, resamples)`: how often each photo is in each resample, in the order of the sorted values."""

Figure = Callable[[Floats, Weights], Floats]
"""Maps sorted values `(photos,)` and their weights to a statistic of each resample, `(resamples,)`."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval; None: too few garments, in an evaluation fewer than `LEAST_GARMENTS`."""

    value: float
    low: float | None = None
    high: float | None = None


def mean(values: Floats, weights: Weights) -> Floats:
    """Arithmetic mean."""
    return np.asarray(values @ weights / weights.sum(axis=0))


def median(values: Floats, weights: Weights) -> Floats:
    """The middle value, or the mean of the middle two."""
    upto = weights.cumsum(axis=0, dtype=np.int32)
    num = upto[-1]
    # Index of the value at a rank: the number of photos whose cumulated weight is below it.
    low, high = (values[np.count_nonzero(upto <= rank, axis=0)] for rank in ((num - 1) // 2, num // 2))
    return np.asarray((low + high) / 2)


def worst(share: float, *, higher_is_better: bool) -> Figure:
    """Mean over the worst `share` of the photos, but at least one photo.

    If the share is not a whole number of photos, the last one counts by the fraction.
    """

    def mean_of_worst(values: Floats, weights: Weights) -> Floats:
        if not higher_is_better:
            values, weights = values[::-1], weights[::-1]
        upto = weights.cumsum(axis=0, dtype=np.int32)
        num = np.maximum(share * upto[-1], 1.0)
        reach = int(np.count_nonzero(upto < num, axis=0).max()) + 1  # no resample needs more photos than that
        taken = np.clip(num - (upto[:reach] - weights[:reach]), 0, weights[:reach])
        return np.asarray(values[:reach] @ taken / num)

    return mean_of_worst


def share_from(limit: float) -> Figure:
    """Share of the photos whose value is `limit` or more."""
    return lambda values, weights: mean((values >= limit).astype(np.float64), weights)


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Resamples of garments, drawn once and used for all statistics of the same photos."""

    clusters: NDArray[np.intp]  # `(photos,)`: index of each photo's garment
    # `(garments, resamples)`: how often each garment was drawn; no resamples if garments < `LEAST_GARMENTS`.
    draws: NDArray[np.int32]

    @classmethod
    def of(cls, garments: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0) -> "Bootstrap":
        """Draw the resamples, given the garment of each photo, at least one; the same seed gives the same ones."""
        if not len(garments):
            raise ValueError("no photos to draw from")
        names, clusters = np.unique(np.asarray(garments), return_inverse=True)
        resamples = resamples if len(names) >= LEAST_GARMENTS else 0
        return cls(clusters.reshape(-1), _drawn_times(len(names), resamples, np.random.default_rng(seed)))

    def estimate(self, values: Sequence[float], figures: Mapping[str, Figure]) -> dict[str, Estimate]:
        """Statistics over photos, with one value per photo, each with its interval."""
        if len(values) != len(self.clusters):
            raise ValueError(f"{len(values)} values for {len(self.clusters)} photos")
        order = np.argsort(np.asarray(values, np.float64), kind="stable")
        ordered = np.asarray(values, np.float64)[order]
        once = np.ones((len(ordered), 1), np.int32)
        drawn: dict[str, list[Floats]] = {name: [np.zeros(0)] for name in figures}
        at_once = max(_CELLS // len(order), 1)
        for start in range(0, self.draws.shape[1], at_once):
            weights = self.draws[:, start : start + at_once][self.clusters[order]]
            for name, figure in figures.items():
                drawn[name].append(figure(ordered, weights))
        return {
            name: _estimate(float(figure(ordered, once)[0]), np.concatenate(drawn[name]))
            for name, figure in figures.items()
        }

    def ratio(self, hits: Sequence[float], totals: Sequence[float]) -> Estimate | None:
        """The sum of `hits` divided by the sum of `totals`, both per photo; None: the totals are 0."""
        found = self._ratios(hits, totals)
        return None if found is None else _estimate(*found)

    def ratio_difference(
        self, hits: Sequence[float], totals: Sequence[float], other_hits: Sequence[float], other_totals: Sequence[float]
    ) -> "Difference | None":
        """The difference of two such ratios over the same photos, without a p-value; None: a total is 0."""
        ours, theirs = self._ratios(hits, totals), self._ratios(other_hits, other_totals)
        if ours is None or theirs is None:
            return None
        return Difference(**vars(_estimate(ours[0] - theirs[0], ours[1] - theirs[1])))

    def _ratios(self, hits: Sequence[float], totals: Sequence[float]) -> tuple[float, Floats] | None:
        """A ratio and that of each resample, NaN where the total is 0; None: the totals are 0."""
        hit, total = (np.bincount(self.clusters, np.asarray(values, np.float64)) for values in (hits, totals))
        if not total.sum():
            return None
        drawn_hits, drawn_totals = hit @ self.draws, total @ self.draws
        drawn = np.divide(drawn_hits, drawn_totals, out=np.full_like(drawn_hits, np.nan), where=drawn_totals > 0)
        return float(hit.sum() / total.sum()), drawn


@dataclass(frozen=True, eq=False)
class FoldBlock:
    """The differences of one fold."""

    values: Floats  # `(photos, seeds)`
    garments: Sequence[str]  # of each photo; garments that look alike count as one


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean difference over photos with equal weights; each photo's difference is the mean over its seeds."""

    p: float | None = None  # p-value; None: not known
    drawn: Drawn = "garments"  # what was resampled for the interval


def difference_of(blocks: Sequence[FoldBlock], *, resamples: int = PAIRED_RESAMPLES, seed: int = 0) -> Difference:
    """The mean difference with its interval, given one block per fold; the same seed gives the same interval."""
    num_photos = sum(len(block.values) for block in blocks)
    if not num_photos:
        raise ValueError("no photos to compare")
    value = sum(float(block.values.mean(axis=1).sum()) for block in blocks) / num_photos
    draws = Draws.of(blocks, resamples=resamples, seed=seed)
    if draws is None:
        return Difference(value, drawn=_levels_drawn(blocks))
    both, of_garments, of_trainings = draws.spread([block.values - value for block in blocks])
    error = float(np.std(both))
    if error < 1e-12:  # nothing varies
        return Difference(value, value, value, float(value == 0), draws.drawn)
    # Degrees of freedom of the sum of the two variances.
    parts = ((of_garments.var(), draws.garments_freedom), (of_trainings.var(), draws.runs_freedom))
    below = sum(variance**2 / freedom for variance, freedom in parts if freedom)
    freedom = sum(variance for variance, _ in parts) ** 2 / below if below else 1.0
    stretch = float(stats.t.ppf(_TAILS[1], freedom) / stats.norm.ppf(_TAILS[1]))
    low, high = (value + stretch * float(np.quantile(both, at)) for at in _TAILS)
    p = 2 * float(stats.t.sf(abs(value) / error, freedom))
    return Difference(value, low, high, p, draws.drawn)


@dataclass(frozen=True, eq=False)
class Draws:
    """Resamples drawn once, for any values of the same photos and trainings."""

    photos: tuple[Floats, ...]  # for each fold `(photos, resamples)`: weight of each photo, minus 1
    seeds: tuple[Floats, ...]  # for each fold `(seeds, resamples)`: weight of each seed, minus 1
    garments_freedom: int  # degrees of freedom: garments minus one per fold; 0: not resampled
    runs_freedom: int  # the same for seeds or folds
    drawn: Drawn  # what was resampled, in words

    @classmethod
    def of(cls, blocks: Sequence[FoldBlock], *, resamples: int = PAIRED_RESAMPLES, seed: int = 0) -> "Draws | None":
        """Draw the resamples; None: no fold has two garments."""
        rng, drawn = np.random.default_rng(seed), _levels_drawn(blocks)
        if drawn == "folds":  # all garments of a fold get its weight
            nothing = tuple(np.zeros((len(block.values), resamples)) for block in blocks)
            return cls(nothing, tuple(_deviations(len(blocks), resamples, rng)[:, None]), 0, len(blocks) - 1, drawn)
        photos, seeds, garments_freedom, runs_freedom = [], [], 0, 0
        for block in blocks:
            names, clusters = np.unique(np.asarray(block.garments), return_inverse=True)
            photos.append(_deviations(len(names), resamples, rng)[clusters.reshape(-1)])
            seeds.append(_deviations(block.values.shape[1], resamples, rng))
            garments_freedom += len(names) - 1
            runs_freedom += block.values.shape[1] - 1
        if not garments_freedom:
            return None
        return cls(tuple(photos), tuple(seeds), garments_freedom, runs_freedom, drawn)

    def spread(self, centred: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
        """How far each resample's mean is from the mean, which is already subtracted from `centred`, per fold.

        With garments and trainings resampled, with garments only, with trainings only; 0 if they are not resampled.
        """
        num = sum(len(values) for values in centred)
        both, garments, trainings = (np.zeros(self.photos[0].shape[1]) for _ in range(3))
        for values, photos, seeds in zip(centred, self.photos, self.seeds, strict=True):
            share = values / (num * values.shape[1])
            of_photos, of_seeds = share.sum(axis=1) @ photos, share.sum(axis=0) @ seeds
            garments += of_photos
            trainings += of_seeds
            both += of_photos + of_seeds + ((share.T @ photos) * seeds).sum(axis=0)
        return both, garments, trainings


def _levels_drawn(blocks: Sequence[FoldBlock]) -> Drawn:
    if any(block.values.shape[1] > 1 for block in blocks):
        return "garments and seeds"
    return "folds" if len(blocks) > 1 else "garments"


def _deviations(num: int, resamples: int, rng: np.random.Generator) -> Floats:
    """Weight of each of `num` items in each resample, minus 1, `(num, resamples)`; scaled as Rao and Wu do."""
    if num < 2:
        return np.zeros((num, resamples))
    return np.asarray((_drawn_times(num, resamples, rng) - 1.0) * np.sqrt(num / (num - 1)))


def _drawn_times(num: int, resamples: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """How often each of `num` items is in each resample of `num` with replacement, `(num, resamples)`."""
    return np.ascontiguousarray(rng.multinomial(num, np.full(num, 1 / num), size=resamples).T, np.int32)


def _estimate(value: float, draws: Floats) -> Estimate:
    if not draws.size:
        return Estimate(value)
    low, high = np.nanquantile(draws, _TAILS)
    return Estimate(value, float(low), float(high))
