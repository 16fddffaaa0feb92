"""Learn doubt from cutouts whose quality is known: a logistic regression on a share, cross-validated by garment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from garmentcut.errors import EvaluationError
from garmentcut.evaluation.masks import mask_of
from garmentcut.evaluation.out_of_fold import Prediction
from garmentcut.evaluation.surface import outline_distances, surface_dice
from garmentcut.model.doubt_model import DoubtModel
from garmentcut.prediction.doubt import ALL_SIGNS, all_signs, doubts_of, standardized

LEAST_GARMENTS = 20
"""With fewer nothing is learned."""

TOLERANCE_PX = 2.0
"""Of the surface Dice that doubt foretells."""

_NUM_FOLDS = 5
_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3)  # inverse of the L2 penalty, for each photo
_REASON_SHARE = 90.0  # per cent: beyond, a sign is a reason
_LEAST_SCALE = 1e-6
_NEVER = 1e9


@dataclass(frozen=True, eq=False)
class Experience:
    """What is learned from one photo.

    Attributes:
        name: of the pair.
        garment: garments that look the same count as one.
        quality: surface Dice at 2 px, at the photo's own size.
        seen: whether the model was trained on the photo; None: its card does not say.
        signs: `(12,)`; None: nothing was cut out, which needs no doubt.
        looks: `(10,)`.
    """

    name: str
    garment: str
    quality: float
    seen: bool | None
    signs: NDArray[np.float64] | None
    looks: NDArray[np.float64] | None


class DoubtError(EvaluationError):
    """Photos that doubt cannot be learned from; the message says why."""


def experience_of(prediction: Prediction, tolerance_px: float = TOLERANCE_PX) -> Experience:
    """What one photo teaches; fit to be the `look` of `look_at`."""
    distances = outline_distances(mask_of(prediction.alpha), mask_of(prediction.target))
    quality, seen, pair = surface_dice(distances, tolerance_px), prediction.seen, prediction.pair
    observed = prediction.observation
    signs, looks = (observed.signs, observed.looks) if observed is not None else (None, None)
    return Experience(pair.name, pair.group, quality, seen, signs, looks)


def fit_doubt(experiences: Sequence[Experience], *, data: str = "") -> DoubtModel:
    """Learn doubt from all of them; the penalty is chosen by cross-validation over garments.

    The model is a logistic regression on the share 1 - quality, fitted by scikit-learn with each photo counted as so
    much of either class (fractional logit: Papke and Wooldridge 1996): its expectation is the doubt itself.

    Args:
        experiences: photos by models that had not seen them.
        data: what they are, in words.

    Raises:
        DoubtError: too few garments.
    """
    known = _known(experiences)
    return replace(_learned(known), data=data, num_photos=len(known), num_garments=len({one.garment for one in known}))


def cross_fitted(experiences: Sequence[Experience]) -> NDArray[np.float64]:
    """Doubt of each photo by a model learned from other garments, `(N,)`; 1 where nothing was cut out.

    Raises:
        DoubtError: too few garments.
    """
    doubts = np.ones(len(experiences))
    known = _known(experiences)
    places = np.array([index for index, one in enumerate(experiences) if one.signs is not None])
    for train, held in _folds(known):
        model = _learned([known[index] for index in train])
        doubts[places[held]] = doubts_of(model, signs_of([known[index] for index in held], model))
    return doubts


def rank_correlation(doubts: NDArray[np.float64], experiences: Sequence[Experience]) -> float:
    """Spearman's rank correlation of doubt with 1 - quality."""
    return float(spearmanr(doubts, [1 - one.quality for one in experiences]).statistic)


def _known(experiences: Sequence[Experience]) -> list[Experience]:
    """Those that teach something."""
    known = [one for one in experiences if one.signs is not None]
    num_garments = len({one.garment for one in known})
    if num_garments < LEAST_GARMENTS:
        raise DoubtError(f"{num_garments} garments: doubt cannot be learned from fewer than {LEAST_GARMENTS}")
    return known


def _learned(known: Sequence[Experience]) -> DoubtModel:
    return _weighted(_blank(known), known, _best_strength(known))


def _best_strength(known: Sequence[Experience]) -> float:
    """The penalty of least cross-entropy on garments left out; a weaker one must be better, not as good."""
    losses = np.zeros(len(_STRENGTHS))
    for train, held in _folds(known):
        learned, left_out = [known[index] for index in train], [known[index] for index in held]
        blank = _blank(learned)
        signs, truth = signs_of(left_out, blank), np.array([1 - one.quality for one in left_out])
        for place, strength in enumerate(_STRENGTHS):
            doubt = doubts_of(_weighted(blank, learned, strength), signs).clip(1e-6, 1 - 1e-6)
            losses[place] -= float((truth * np.log(doubt) + (1 - truth) * np.log(1 - doubt)).sum())
    return _STRENGTHS[int(np.argmin(losses))]


def _folds(known: Sequence[Experience]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    from sklearn.model_selection import GroupKFold

    garments = [one.garment for one in known]
    num = min(_NUM_FOLDS, len(set(garments)))
    if num < 2:
        raise DoubtError("doubt cannot be learned from a single garment")
    return list(GroupKFold(num, shuffle=True, random_state=0).split(known, groups=garments))


def _blank(known: Sequence[Experience]) -> DoubtModel:
    """All but the weights."""
    looks = np.array([one.looks for one in known])
    mean, precision = looks.mean(axis=0), _precision_of(looks)
    signs = all_signs(np.array([one.signs for one in known]), looks, mean=mean, precision=precision)
    return DoubtModel(
        signs=ALL_SIGNS,
        center=plain(np.median(signs, axis=0)),
        scale=plain(np.maximum(signs.std(axis=0), _LEAST_SCALE)),
        weights=(0.0,) * len(ALL_SIGNS),
        bias=0.0,
        looks_mean=plain(mean),
        looks_precision=tuple(plain(row) for row in precision),
        limits=limits_of(signs),
    )


def limits_of(signs: NDArray[np.float64]) -> tuple[float, ...]:
    """Of each of `(N, 13)` signs: beyond which it is a reason; `two_looks` never, where there were none."""
    limits = np.percentile(signs, _REASON_SHARE, axis=0)
    looks = ALL_SIGNS.index("two_looks")
    if np.ptp(signs[:, looks]) == 0:
        limits[looks] = _NEVER
    return plain(limits)


def _weighted(blank: DoubtModel, known: Sequence[Experience], strength: float) -> DoubtModel:
    from sklearn.linear_model import LogisticRegression

    values, truth = standardized(blank, signs_of(known, blank)), np.array([1 - one.quality for one in known])
    regression = LogisticRegression(C=strength, max_iter=1000)
    regression.fit(
        np.concatenate([values, values]),
        np.repeat([1, 0], len(values)),
        sample_weight=np.concatenate([truth, 1 - truth]),
    )
    return replace(blank, weights=plain(regression.coef_[0]), bias=float(regression.intercept_[0]))


def _precision_of(looks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse covariance, shrunk as few photos ask for (Ledoit and Wolf 2004), each look by its own scale."""
    from sklearn.covariance import LedoitWolf

    scale = np.maximum(looks.std(axis=0), _LEAST_SCALE)
    precision: NDArray[np.float64] = LedoitWolf().fit(looks / scale).precision_ / np.outer(scale, scale)
    return precision


def signs_of(experiences: Sequence[Experience], model: DoubtModel) -> NDArray[np.float64]:
    """`(N, 13)`: all signs of photos of which something was cut out; `unlike` as the model measures it."""
    return all_signs(
        np.array([one.signs for one in experiences]),
        np.array([one.looks for one in experiences]),
        mean=model.looks_mean,
        precision=model.looks_precision,
    )


def plain(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Numbers as a card holds them."""
    return tuple(float(value) for value in values)
