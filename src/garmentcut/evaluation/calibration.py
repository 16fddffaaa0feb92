"""Calibrate a model on a studio's own photos: learn doubt, and find up to which doubt photos can be accepted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import EvaluationError
from garmentcut.evaluation.doubt_fit import Experience, cross_fitted, fit_doubt, rank_correlation
from garmentcut.evaluation.risk import find_threshold
from garmentcut.model.card import ModelCard
from garmentcut.model.doubt_model import Acceptance, DoubtModel, Threshold

RISKS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Besides the one asked for, thresholds are found for these: `garmentcut cut --accept-risk` chooses among them."""


@dataclass(frozen=True)
class Promise:
    """What is to be promised.

    Attributes:
        risk: share of the accepted garments that may fall short.
        quality: surface Dice at 2 px under which a photo falls short.
        confidence: probability that the promise holds.
    """

    risk: float = 0.05
    quality: float = 0.95
    confidence: float = 0.9


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a calibration found.

    Attributes:
        doubt: learned from all photos; for the card.
        acceptance: thresholds; for the card.
        experiences: what it was learned from.
        doubts: of each, by a model learned from other garments: what the thresholds were found with.
        num_left_out: photos that were not used because the model was trained on them.
        label: what to say beside the promise where it promises nothing for new photos; empty: it does.
    """

    doubt: DoubtModel
    acceptance: Acceptance
    experiences: tuple[Experience, ...]
    doubts: NDArray[np.float64]
    num_left_out: int = 0
    label: str = ""

    @property
    def threshold(self) -> Threshold:
        """For the risk that was asked for."""
        return next(one for one in self.acceptance.thresholds if one.risk == self.acceptance.risk)


class CalibrationError(EvaluationError):
    """Photos that a model cannot be calibrated on; the message says what to change."""


def calibrate(
    experiences: Sequence[Experience],
    promise: Promise,
    *,
    data: str,
    held_out: bool = False,
    use_seen: bool = False,
) -> Calibration:
    """Learn doubt and find the thresholds.

    Args:
        experiences: of a model file, a run or a folder of fold runs, on a dataset.
        promise: what to promise.
        data: the photos in words.
        held_out: the run itself says that they were held out, so a card that lists no training photos is no obstacle.
        use_seen: use photos that the model was trained on too, and say so on the card.

    Raises:
        CalibrationError: too few photos that the model has not seen.
        garmentcut.evaluation.doubt_fit.DoubtError: too few garments to learn doubt.
        ValueError: a risk or confidence that is not between 0 and 1.
    """
    met = {one.garment for one in experiences if one.seen or (one.seen is None and not held_out)}
    unseen = [one for one in experiences if one.garment not in met]  # another view of it would be half a view of it
    label = ""
    if use_seen and len(unseen) < len(experiences):
        label = "photos the model was trained on, or may have been: promises nothing for new ones"
        unseen = list(experiences)
    if not unseen:
        raise CalibrationError(_refusal(experiences))
    num_left_out = len(experiences) - len(unseen)
    doubts = cross_fitted(unseen)
    words = f"{len(unseen)} photos of {data}" + (f"; {label}" if label else ", none of them in its training")
    model = replace(fit_doubt(unseen, data=words), rank_correlation=_rounded(rank_correlation(doubts, unseen)))
    acceptance = Acceptance(
        quality=promise.quality,
        confidence=promise.confidence,
        data=words,
        num_photos=len(unseen),
        num_garments=len({one.garment for one in unseen}),
        risk=promise.risk,
        thresholds=thresholds_of(unseen, doubts, promise),
    )
    return Calibration(model, acceptance, tuple(unseen), doubts, num_left_out, label)


def thresholds_of(
    experiences: Sequence[Experience], doubts: NDArray[np.float64], promise: Promise
) -> tuple[Threshold, ...]:
    """A threshold for the risk that is asked for and for each of `RISKS`, strict first."""
    garments = [one.garment for one in experiences]
    is_short = np.array([one.quality < promise.quality for one in experiences])
    risks = sorted({promise.risk, *RISKS})
    return tuple(find_threshold(garments, doubts, is_short, risk=risk, confidence=promise.confidence) for risk in risks)


def is_same_kind(one: ModelCard, other: ModelCard) -> bool:
    """Whether two cards are of trainings of one network: the errors of one say something of the other's."""
    return _kind_of(one) == _kind_of(other)


def _kind_of(card: ModelCard) -> tuple[object, ...]:
    first = card.first_look
    return (card.network, card.working_size_hw, card.sees_map, first and (first.network, first.size_hw))


def _refusal(experiences: Sequence[Experience]) -> str:
    if not experiences:
        return "no photo could be measured"
    known = all(one.seen for one in experiences)
    seen = (
        f"the model was trained on all {len(experiences)} photos"
        if known
        else "the model's card does not list its training photos, so these may have been among them"
    )
    return (
        f"{seen}: what it makes of them says nothing of new ones. Calibrate on other photos, or on a folder of fold"
        " runs (garmentcut train --fold all) with --into MODEL; --seen does it all the same and says so on the card"
    )


def _rounded(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
