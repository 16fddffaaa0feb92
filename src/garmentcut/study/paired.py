"""How far a difference between two arms can be trusted: 95 % intervals, bootstrapped over garments and trainings.

Two things may have made one arm look better: the garments that happen to be in the data set, and luck in training. Both
are drawn anew: within each fold as many garments as it holds, with all their photos, and as many seeds as it was
trained with; a draw counts a photo's difference with a seed as often as both were drawn (two crossed levels, as in
Owen 2007, "The pigeonhole bootstrap"; strata and clusters as in Davison and Hinkley 1997, section 3.2 and 3.8).

Few seeds need care. Drawn plainly, n things vary by (n - 1) / n too little, half for two seeds: each draw's deviation
from one is multiplied by sqrt(n / (n - 1)) (Rao and Wu 1988). And a spread known from few things is itself uncertain:
the percentile interval is stretched about the difference by Student's t over the normal distribution's quantile, with
degrees of freedom after Satterthwaite (1946). Tests simulate that such intervals hold the truth about as often as they
say.

With one seed and several folds, folds are drawn instead of seeds and garments, since each is a training of its own.
With one training of each arm, luck cannot be told from merit, and garments are all that is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 4000
_LEVEL = 0.95

Floats = NDArray[np.float64]
Drawn = Literal["garments and seeds", "folds", "garments"]


@dataclass(frozen=True, eq=False)
class Block:
    """The differences of one fold.

    Attributes:
        values: `(photos, seeds)`.
        garments: of each photo; those who look alike count as one.
    """

    values: Floats
    garments: Sequence[str]


@dataclass(frozen=True)
class Difference:
    """A mean difference over photos, and how sure it is.

    Attributes:
        value: each photo counts the same, as the mean over its seeds.
        low, high: 95 % interval; None: there are too few garments.
        p: of so large a difference by chance; None likewise.
        drawn: what the interval is over.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    drawn: Drawn


def difference_of(blocks: Sequence[Block], *, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """The mean difference with its interval; the same seed gives the same interval.

    Args:
        blocks: one a fold; each has a photo and a seed at least.
        resamples: how many draws.
        seed: of the draws.

    Raises:
        ValueError: no photos.
    """
    num_photos = sum(len(block.values) for block in blocks)
    if not num_photos:
        raise ValueError("no photos to compare")
    value = sum(float(block.values.mean(axis=1).sum()) for block in blocks) / num_photos
    draws = Draws.of(blocks, resamples=resamples, seed=seed)
    if draws is None:
        return Difference(value, None, None, None, _drawn(blocks))
    spread = draws.spread([block.values - value for block in blocks])
    both, error = spread.both, float(np.std(spread.both))
    if error < 1e-12:  # nothing varies
        return Difference(value, value, value, float(value == 0), draws.drawn)
    freedom = spread.degrees_of_freedom(draws)
    tail = (1 - _LEVEL) / 2
    stretch = float(stats.t.ppf(1 - tail, freedom) / stats.norm.ppf(1 - tail))
    low, high = (value + stretch * float(np.quantile(both, at)) for at in (tail, 1 - tail))
    p = 2 * float(stats.t.sf(abs(value) / error, freedom))
    return Difference(value, low, high, p, draws.drawn)


@dataclass(frozen=True, eq=False)
class Spread:
    """By how much each draw misses the value.

    Attributes:
        both: with garments and trainings drawn.
        garments, trainings: with only these drawn; zeros where they are not.
    """

    both: Floats
    garments: Floats
    trainings: Floats

    def degrees_of_freedom(self, draws: "Draws") -> float:
        """Of the sum of the two variances."""
        parts = (float(self.garments.var()), draws.garments_freedom), (float(self.trainings.var()), draws.runs_freedom)
        below = sum(variance**2 / freedom for variance, freedom in parts if freedom)
        return float(sum(variance for variance, _ in parts) ** 2 / below) if below else 1.0


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws made once, for any values over the same photos and trainings.

    Attributes:
        photos: for each fold `(photos, resamples)`: what each photo counts, less 1.
        seeds: for each fold `(seeds, resamples)`: what each seed counts, less 1.
        garments_freedom: garments, less one a fold; 0: not drawn.
        runs_freedom: likewise of seeds, or folds.
        drawn: in words.
    """

    photos: tuple[Floats, ...]
    seeds: tuple[Floats, ...]
    garments_freedom: int
    runs_freedom: int
    drawn: Drawn

    @classmethod
    def of(cls, blocks: Sequence[Block], *, resamples: int = RESAMPLES, seed: int = 0) -> "Draws | None":
        """Draw; None: no fold has two garments."""
        rng, drawn = np.random.default_rng(seed), _drawn(blocks)
        photos, seeds, garments_freedom, runs_freedom = [], [], 0, 0
        folds = _deviations(len(blocks), resamples, rng) if drawn == "folds" else None
        for number, block in enumerate(blocks):
            names, clusters = np.unique(np.asarray(block.garments), return_inverse=True)
            num_seeds = block.values.shape[1]
            if folds is not None:  # its garments come and go with the fold
                photos.append(np.zeros((len(block.values), resamples)))
                seeds.append(np.broadcast_to(folds[number], (num_seeds, resamples)))
                continue
            photos.append(_deviations(len(names), resamples, rng)[clusters.reshape(-1)])
            seeds.append(_deviations(num_seeds, resamples, rng))
            garments_freedom += len(names) - 1
            runs_freedom += num_seeds - 1
        if folds is not None:
            runs_freedom = len(blocks) - 1
        if not garments_freedom and drawn != "folds":
            return None
        return cls(tuple(photos), tuple(seeds), garments_freedom, runs_freedom, drawn)

    def spread(self, centred: Sequence[Floats]) -> Spread:
        """What the draws make of values.

        Args:
            centred: for each fold `(photos, seeds)`, less their mean over all folds.
        """
        num = sum(len(values) for values in centred)
        both, garments, trainings = (np.zeros(self.photos[0].shape[1]) for _ in range(3))
        for values, photos, seeds in zip(centred, self.photos, self.seeds, strict=True):
            share = values / (num * values.shape[1])
            of_photos, of_seeds = share.sum(axis=1) @ photos, share.sum(axis=0) @ seeds
            garments += of_photos
            trainings += of_seeds
            both += of_photos + of_seeds + ((share.T @ photos) * seeds).sum(axis=0)
        return Spread(both, garments, trainings)


def _drawn(blocks: Sequence[Block]) -> Drawn:
    if any(block.values.shape[1] > 1 for block in blocks):
        return "garments and seeds"
    return "folds" if len(blocks) > 1 else "garments"


def _deviations(num: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each of `num` things is in each draw of `num`, less 1, `(num, resamples)`; widened, see above."""
    if num < 2:
        return np.zeros((num, resamples))
    times = rng.multinomial(num, np.full(num, 1 / num), size=resamples).T - 1.0
    widened: Floats = times * np.sqrt(num / (num - 1))
    return widened
