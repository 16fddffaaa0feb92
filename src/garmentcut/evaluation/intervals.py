"""How far a figure measured on these photos can be trusted: 95 % intervals, bootstrapped by garment.

Photos of one garment err together, so garments are drawn, not photos: each resample draws as many garments as there
are, with replacement, and takes all photos of each. The interval runs from the 2.5th to the 97.5th percentile of the
figure over the resamples (Efron and Tibshirani 1993, chapter 13; clusters as in Davison and Hinkley 1997, section 3.8).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEAST_GARMENTS = 5
"""With fewer there are too few different draws to say anything."""

_LEVEL = 95.0
_CELLS = 2_000_000  # of the table of weights worked on at a time: bounds the memory

Floats = NDArray[np.float64]

Weights = NDArray[np.int32]
"""`(photos, resamples)`: how often each photo is in each resample; photos in the order of the sorted values."""

Figure = Callable[[Floats, Weights], Floats]
"""From the sorted values `(photos,)` and their weights to one figure a resample."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; None: of fewer than `LEAST_GARMENTS` garments."""

    value: float
    low: float | None = None
    high: float | None = None


def mean(values: Floats, weights: Weights) -> Floats:
    """Arithmetic mean."""
    total: Floats = values @ weights / weights.sum(axis=0)
    return total


def median(values: Floats, weights: Weights) -> Floats:
    """The middle value, or the mean of the middle two."""
    upto = weights.cumsum(axis=0, dtype=np.int32)
    num = upto[-1]
    # A value's place: how many photos end before its rank.
    low, high = (values[np.count_nonzero(upto <= rank, axis=0)] for rank in ((num - 1) // 2, num // 2))
    middle: Floats = (low + high) / 2
    return middle


def worst(share: float, *, higher_is_better: bool) -> Figure:
    """Mean over the worst `share` of the photos, of one at least: how bad the bad ones are.

    Where the share is no whole number of photos, the last one counts by its fraction.
    """

    def mean_of_worst(values: Floats, weights: Weights) -> Floats:
        if not higher_is_better:
            values, weights = values[::-1], weights[::-1]
        upto = weights.cumsum(axis=0, dtype=np.int32)
        num = np.maximum(share * upto[-1], 1.0)
        reach = int(np.count_nonzero(upto < num, axis=0).max()) + 1  # no resample needs more photos than that
        taken = np.clip(num - (upto[:reach] - weights[:reach]), 0, weights[:reach])
        figure: Floats = values[:reach] @ taken / num
        return figure

    return mean_of_worst


def share_from(limit: float) -> Figure:
    """Share of the photos whose value is `limit` or more."""

    def share(values: Floats, weights: Weights) -> Floats:
        return mean((values >= limit).astype(np.float64), weights)

    return share


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Draws of garments, made once and used for every figure over the same photos.

    Attributes:
        clusters: `(photos,)`: the number of each photo's garment.
        draws: `(garments, resamples)`: how often each garment was drawn; none of fewer than `LEAST_GARMENTS`.
    """

    clusters: NDArray[np.intp]
    draws: NDArray[np.int32]

    @classmethod
    def of(cls, garments: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0) -> "Bootstrap":
        """Draw; the same seed gives the same draws.

        Args:
            garments: the garment of each photo.
            resamples: how many draws.
            seed: 0 or more.

        Raises:
            ValueError: no photos.
        """
        if not len(garments):
            raise ValueError("no photos to draw from")
        names, clusters = np.unique(np.asarray(garments), return_inverse=True)
        rng, num = np.random.default_rng(seed), len(names)
        draws = np.zeros((resamples if num >= LEAST_GARMENTS else 0, num), np.int32)
        for draw in draws:
            draw[:] = np.bincount(rng.integers(num, size=num), minlength=num)
        return cls(clusters.reshape(-1), np.ascontiguousarray(draws.T))

    def estimate(self, values: Sequence[float], figures: dict[str, Figure]) -> dict[str, Estimate]:
        """Figures over photos, each with its interval.

        Args:
            values: one a photo.
            figures: by name.

        Raises:
            ValueError: not a value for each photo.
        """
        if len(values) != len(self.clusters):
            raise ValueError(f"{len(values)} values for {len(self.clusters)} photos")
        order = np.argsort(np.asarray(values, np.float64), kind="stable")
        ordered = np.asarray(values, np.float64)[order]
        once = np.ones((len(ordered), 1), np.int32)
        found = {name: float(figure(ordered, once)[0]) for name, figure in figures.items()}
        if not self.draws.size:
            return {name: Estimate(value) for name, value in found.items()}
        drawn: dict[str, list[Floats]] = {name: [] for name in figures}
        for weights in self._weights(order):
            for name, figure in figures.items():
                drawn[name].append(figure(ordered, weights))
        tails = (50 - _LEVEL / 2, 50 + _LEVEL / 2)
        limits = {name: np.percentile(np.concatenate(parts), tails) for name, parts in drawn.items()}
        return {name: Estimate(value, float(limits[name][0]), float(limits[name][1])) for name, value in found.items()}

    def _weights(self, order: NDArray[np.intp]) -> Iterator[Weights]:
        """How often each photo is in each resample, some resamples at a time."""
        at_once = max(_CELLS // len(order), 1)
        for start in range(0, self.draws.shape[1], at_once):
            yield self.draws[:, start : start + at_once][self.clusters[order]]
