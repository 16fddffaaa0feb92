"""How much more photos would help: a curve through the errors of arms that learned from more and more garments.

error(n) = a + b n^-c, with a, b >= 0: a power law over an error that no number of photos mends (Hestness 2017,
arXiv 1712.00409; Rosenfeld 2020, arXiv 1909.12673). The error is 1 - Dice, `alpha >= 128`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from garmentcut.evaluation.intervals import Block, Draws
from garmentcut.study.comparison import DICE
from garmentcut.study.results import Results, RunResult

LEAST_SIZES = 4
"""With fewer arms a curve of three numbers says nothing."""

_RESAMPLES = 1000
_EXPONENTS = np.geomspace(0.05, 3.0, 240)
_TAILS = (0.025, 0.975)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """Mean error at a number of garments, measured or read off the curve.

    Attributes:
        garments: learned from.
        error: 1 - mean Dice.
        low, high: 95 % interval.
    """

    garments: int
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Growth:
    """A fitted curve.

    Attributes:
        floor, factor, exponent: a, b and c.
        measured: what it was fitted to.
        beyond: what it says of more garments, should it go on as it began.
    """

    floor: float
    factor: float
    exponent: float
    measured: tuple[Point, ...]
    beyond: tuple[Point, ...]

    def __call__(self, garments: float) -> float:
        """Error at a number of garments."""
        return float(self.floor + self.factor * garments**-self.exponent)


def fit_growth(results: Results, at: Sequence[int]) -> Growth | None:
    """Fit the curve to all arms whose runs are done; None: there are too few of them.

    The intervals come from draws of garments and trainings as in `garmentcut.evaluation.intervals`, the curve fitted
    anew to
    each: they cover what was drawn, and not that the curve may bend where nothing was measured.
    """
    arms = [results.of(arm) for arm in results.study.arms]
    done = [runs for runs in arms if all(run.outcome == "done" for run in runs)]
    done = sorted(done, key=_num_garments)
    if len({_num_garments(runs) for runs in done}) < LEAST_SIZES:
        return None
    errors = [_errors_of(runs) for runs in done]
    draws = Draws.of(errors[0], resamples=_RESAMPLES)
    if draws is None or any(_shape(blocks) != _shape(errors[0]) for blocks in errors):
        return None
    sizes = np.array([_num_garments(runs) for runs in done], np.float64)
    means = np.array([np.concatenate([block.values.mean(axis=1) for block in blocks]).mean() for blocks in errors])
    drawn = np.stack([m + draws.spread([b.values - m for b in e]).both for m, e in zip(means, errors, strict=True)])
    drawn = np.maximum(drawn, 1e-6)  # a draw far off may count some photos less than nothing
    floor, factor, exponent = (float(part[0]) for part in fit_power_law(sizes, means[:, None]))
    of_draws = fit_power_law(sizes, drawn)
    measured = [_point(int(n), float(m), row) for n, m, row in zip(sizes, means, drawn, strict=True)]
    beyond = [
        _point(n, floor + factor * n**-exponent, of_draws[0] + of_draws[1] * float(n) ** -of_draws[2]) for n in at
    ]
    return Growth(floor, factor, exponent, tuple(measured), tuple(beyond))


def fit_power_law(sizes: Floats, errors: Floats) -> tuple[Floats, Floats, Floats]:
    """Least relative squares: for each of many exponents the best a and b, then the best exponent.

    Args:
        sizes: `(points,)`.
        errors: `(points, curves)`, above 0.

    Returns:
        a, b and c of each curve.
    """
    best = np.full((4, errors.shape[1]), np.inf)  # squares, a, b, c
    ones = 1 / errors
    for exponent in _EXPONENTS:
        powers = (sizes**-exponent)[:, None] / errors
        floor, factor = _non_negative(ones, powers)
        squares = ((floor * ones + factor * powers - 1) ** 2).sum(axis=0)
        found = np.stack([squares, floor, factor, np.full_like(squares, exponent)])
        best = np.where(squares < best[0], found, best)
    return best[1], best[2], best[3]


def _non_negative(ones: Floats, powers: Floats) -> tuple[Floats, Floats]:
    """a, b >= 0 with the least squares of a * ones + b * powers - 1, for each column."""
    oo, op, pp = (ones**2).sum(0), (ones * powers).sum(0), (powers**2).sum(0)
    o, p = ones.sum(0), powers.sum(0)
    determinant = np.maximum(oo * pp - op**2, 1e-300)
    floor, factor = (o * pp - p * op) / determinant, (p * oo - o * op) / determinant
    floor, factor = np.where(factor < 0, o / oo, floor), np.where(factor < 0, 0.0, factor)
    return np.where(floor < 0, 0.0, floor), np.where(floor < 0, p / pp, factor)


def _errors_of(runs: Sequence[RunResult]) -> list[Block]:
    """1 - Dice, one block a fold."""
    groups = {score.name: score.cluster for run in runs for score in run.scores}
    blocks = []
    for fold in sorted({run.cell.fold for run in runs}):
        tables = [
            {score.name: 1 - getattr(score.measures, DICE) for score in run.scores if score.measures}
            for run in sorted(runs, key=lambda run: run.cell.seed)
            if run.cell.fold == fold
        ]
        names = sorted(set.intersection(*map(set, tables)))
        values = np.array([[table[name] for table in tables] for name in names], np.float64)
        blocks.append(Block(values, [groups[name] for name in names]))
    return blocks


def _num_garments(runs: Sequence[RunResult]) -> int:
    return round(sum(run.num_garments for run in runs) / len(runs))


def _shape(blocks: Sequence[Block]) -> list[tuple[int, ...]]:
    return [block.values.shape for block in blocks]


def _point(garments: int, error: float, drawn: Floats) -> Point:
    low, high = np.quantile(drawn, _TAILS)
    return Point(garments, error, float(low), float(high))
