"""Lend a model the doubt that was learned from other networks, where it has seen all photos whose cutouts are known.

What a network's cutout shows of its quality - a wide rim, say - shows it of another network's as well, but on a scale
of its own: a sharp network's widest rim may be a blurred one's narrowest. So of the other networks, which had not seen
the photos, the weights are taken: which signs tell good from bad, and how they compare. Where each sign lies and
scatters is read off the model's own cutouts of the same photos, and so are level and slope: two numbers, fitted to how
good those are. As it has learned from these photos, both flatter it; new photos show it by their signs.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from garmentcut.evaluation.doubt_fit import Experience, limits_of, plain, signs_of
from garmentcut.model.card import ModelCard
from garmentcut.model.doubt_model import DoubtModel
from garmentcut.prediction.doubt import standardized

_FLATTEST, _STEEPEST = 0.25, 4.0  # slopes: beyond, the two networks have nothing in common
_LEAST_SCALE = 1e-6


def is_same_kind(one: ModelCard, other: ModelCard) -> bool:
    """Whether two cards are of trainings of one network: what one learns of its errors holds for the other."""
    return _kind_of(one) == _kind_of(other)


def lend_doubt(model: DoubtModel, own: Sequence[Experience], *, data: str) -> DoubtModel:
    """A doubt model for another network.

    Args:
        model: learned from networks that had not seen the photos.
        own: what the receiving model makes of the same photos, seen or not.
        data: all of that, in words.

    Returns:
        Without a rank correlation: nobody knows how it ranks new photos.
    """
    known = [one for one in own if one.signs is not None]
    signs = signs_of(known, model)
    varied = signs.std(axis=0) > _LEAST_SCALE
    placed = replace(
        model,
        center=plain(np.where(varied, np.median(signs, axis=0), model.center)),
        scale=plain(np.where(varied, signs.std(axis=0), model.scale)),
        limits=limits_of(signs),
        data=data,
        rank_correlation=None,
    )
    scores = standardized(placed, signs) @ np.array(model.weights)
    slope, level = _fitted(scores, np.array([1 - one.quality for one in known]))
    return replace(placed, weights=plain(slope * np.array(model.weights)), bias=level)


def _kind_of(card: ModelCard) -> tuple[object, ...]:
    first = card.first_look
    return (card.network, card.working_size_hw, card.sees_map, first and (first.network, first.size_hw))


def _fitted(scores: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and level of a logistic curve through shares; the slope within bounds."""
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=np.inf, max_iter=1000)
    both, weights = np.concatenate([scores, scores])[:, None], np.concatenate([truth, 1 - truth])
    regression.fit(both, np.repeat([1, 0], len(scores)), sample_weight=weights)
    slope = float(np.clip(regression.coef_[0, 0], _FLATTEST, _STEEPEST))
    low, high = -40.0, 40.0  # the level that keeps the mean, whatever the slope
    for _ in range(60):
        middle = (low + high) / 2
        mean = float((1 / (1 + np.exp(-np.clip(slope * scores + middle, -40, 40)))).mean())
        low, high = (middle, high) if mean < truth.mean() else (low, middle)
    return slope, (low + high) / 2
