"""Doubt: 1 - expected surface Dice at 2 px, from what a cutout shows. numpy alone: scikit-learn only fits."""

import numpy as np
from numpy.typing import NDArray

from garmentcut.model.card import ModelCard, ModelError
from garmentcut.model.doubt_model import DoubtModel
from garmentcut.prediction.doubt_signs import SIGNS, Observation

ALL_SIGNS = (*SIGNS, "unlike")
"""What a doubt model reads."""

_LEAST_DISTANCE = 0.1


def check_doubt(card: ModelCard) -> None:
    """Check that this version knows the signs of a card's doubt model.

    Raises:
        ModelError: it does not.
    """
    if card.doubt is not None and card.doubt.signs != ALL_SIGNS:
        raise ModelError(f"{card.label}: its doubt was learned from other signs; run `garmentcut calibrate` again")


def doubt_of(model: DoubtModel, observation: Observation) -> float:
    """Doubt in one cutout, in [0, 1]: 1 - its expected surface Dice at 2 px."""
    signs = all_signs(observation.signs, observation.looks, mean=model.looks_mean, precision=model.looks_precision)
    return float(doubts_of(model, signs[None])[0])


def doubts_of(model: DoubtModel, signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Doubts of many: `(N, 13)` signs to `(N,)`."""
    score = standardized(model, signs) @ np.array(model.weights) + model.bias
    doubts: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(score, -40, 40)))
    return doubts


def usual_doubt(model: DoubtModel) -> float:
    """Doubt in a cutout that shows as much of each sign as the middle one of those doubt was learned from."""
    return float(doubts_of(model, np.array([model.center]))[0])


def standardized(model: DoubtModel, signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signs by their centre and scale; beyond four scales nothing was learned, so they end there."""
    values: NDArray[np.float64] = ((signs - np.array(model.center)) / np.array(model.scale)).clip(-4, 4)
    return values


def all_signs(
    signs: NDArray[np.float64],
    looks: NDArray[np.float64],
    *,
    mean: "NDArray[np.float64] | tuple[float, ...]",
    precision: "NDArray[np.float64] | tuple[tuple[float, ...], ...]",
) -> NDArray[np.float64]:
    """Signs with `unlike` behind them.

    Args:
        signs: `(..., 12)`.
        looks: `(..., 10)`.
        mean: of the training photos' looks.
        precision: the inverse of their covariance.
    """
    away = looks - np.asarray(mean)
    distance = np.sqrt(np.maximum(np.einsum("...i,ij,...j", away, np.asarray(precision), away), 0))
    return np.concatenate([signs, np.log(distance + _LEAST_DISTANCE)[..., None]], axis=-1)
