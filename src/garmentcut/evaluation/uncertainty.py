"""`garmentcut calibrate`: fits doubt to photos whose quality is known, and finds thresholds with a risk guarantee.

`fit_doubt` fits a logistic regression to the shortfall in quality, cross-validated by garment; `find_threshold` finds
the largest doubt that can be accepted; `calibrate` does both on a studio's own photos, for a model's card.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, nbinom, spearmanr

from garmentcut.errors import EvaluationError, counted
from garmentcut.evaluation.metrics import compare_outlines, mask_of, surface_dice
from garmentcut.evaluation.predict import CutPair
from garmentcut.model.card import Acceptance, DoubtModel, ModelCard, Threshold
from garmentcut.prediction.doubt import ALL_FEATURES, all_features, distances_of, doubts_of, is_foreign, standardized

LEAST_GARMENTS = 20  # with fewer nothing is fitted
TOLERANCE_PX = 2.0  # of the surface Dice that doubt predicts
RISKS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Thresholds are found for these risks besides the requested one; `garmentcut cut --accept-risk` selects one."""

_RAISED_SHARE = 0.0125  # share of the studio's own photos, one in eighty, that may be called foreign
_ROOM = 1.05  # margin, because a new photo of the studio may be slightly farther out than all that were seen
_NUM_FOLDS = 5
_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3)  # inverse L2 penalty per photo
_REASON_SHARE = 90.0  # percentile above which a feature is named as a reason for doubt
_LEAST_SCALE = 1e-6
# Least spread of the appearance: in no studio is a difference of one level of colour unusual.
_LEAST_SPREAD = np.array([2.0] * 6 + [0.02] * 4 + [2.0, 2.0, 2.0, 0.1] * 4 + [0.1])
_NEVER = 1e9


@dataclass(frozen=True, eq=False)
class Experience:
    """What is used of one photo to fit doubt."""

    name: str  # of the pair
    garment: str  # garments that look the same count as one
    quality: float  # surface Dice at 2 px, at the photo's own size
    seen: bool | None  # whether the model was trained on the photo; None: its card does not say
    features: NDArray[np.float64] | None  # `(13,)`; None: nothing was cut out, so that no doubt is needed
    appearance: NDArray[np.float64] | None  # `(27,)`
    is_foreign: bool = False  # a generated photo that looks unlike the studio's, see `trials_elsewhere`

    @property
    def shortfall(self) -> float:
        """1 - quality, which is what doubt predicts."""
        return 1 - self.quality


def experience_of(cut: CutPair) -> Experience:
    """The experience with one photo; a `keep` for `garmentcut.evaluation.predict.predict`."""
    quality = surface_dice(compare_outlines(mask_of(cut.alpha), mask_of(cut.target)), TOLERANCE_PX)
    observed, seen, pair = cut.observation, cut.seen, cut.pair
    features, appearance = (observed.features, observed.appearance) if observed is not None else (None, None)
    return Experience(pair.name, pair.group, quality, seen, features, appearance)


def fit_doubt(experiences: Sequence[Experience], *, data: str = "") -> DoubtModel:
    """Fit a model of doubt; its penalty is chosen by cross-validation over garments.

    The model is a logistic regression on 1 - quality, fitted by scikit-learn with each photo as a fraction of both
    classes (fractional logit: Papke and Wooldridge 1996), so that its prediction is the doubt itself.

    Weights are fitted to the studio's photos and the foreign ones; what is usual is taken from the studio's alone. All
    must have been cut by models that had not seen them. `data` describes them. Raises EvaluationError without enough.
    """
    known = _known(experiences)
    own = _own(known)
    return replace(_learned(known), data=data, num_photos=len(own), num_garments=len({one.garment for one in own}))


class Judged(NamedTuple):
    """Doubts of photos, by models of doubt that were fitted to other garments."""

    doubts: NDArray[np.float64]  # `(N,)` in [0, 1]; 1 if nothing was cut out
    foreign: NDArray[np.bool_]  # `(N,)`: whether the photo is called foreign


def cross_fitted(experiences: Sequence[Experience]) -> Judged:
    """Judge each photo by a model fitted to other garments; raises EvaluationError if there are too few."""
    doubts, foreign = np.ones(len(experiences)), np.zeros(len(experiences), np.bool_)
    known = _known(experiences)
    places = np.array([index for index, one in enumerate(experiences) if one.features is not None])
    for train, held in _folds(known):
        model, left_out = _learned([known[index] for index in train]), [known[index] for index in held]
        doubts[places[held]] = doubts_of(model, _features_of(left_out, model))
        foreign[places[held]] = [is_foreign(model, np.asarray(one.appearance)) for one in left_out]
    return Judged(doubts, foreign)


def quarters_of(doubts: NDArray[np.float64], experiences: Sequence[Experience]) -> list[tuple[float, float]]:
    """Mean doubt and mean of 1 - quality for each quarter of the photos, by increasing doubt."""
    order, truth = np.argsort(doubts, kind="stable"), np.array([one.shortfall for one in experiences])
    return [(float(doubts[part].mean()), float(truth[part].mean())) for part in np.array_split(order, 4) if len(part)]


def rank_correlation(doubts: NDArray[np.float64], experiences: Sequence[Experience]) -> float:
    """Spearman's rank correlation of doubt with 1 - quality."""
    return float(spearmanr(doubts, [one.shortfall for one in experiences]).statistic)


def _known(experiences: Sequence[Experience]) -> list[Experience]:
    known = [one for one in experiences if one.features is not None]
    num_garments = len({one.garment for one in _own(known)})
    if num_garments < LEAST_GARMENTS:
        raise EvaluationError(
            f"{counted(num_garments, 'garment')}: doubt cannot be learned from fewer than {LEAST_GARMENTS}"
        )
    return known


def _own(experiences: Sequence[Experience]) -> list[Experience]:
    """The experiences with the studio's own photos."""
    return [one for one in experiences if not one.is_foreign]


def _learned(known: Sequence[Experience]) -> DoubtModel:
    """The model with the penalty of least cross-validated cross-entropy; of equal ones the strongest."""
    losses = np.zeros(len(_STRENGTHS))
    for train, held in _folds(known):
        learned, left_out = [known[index] for index in train], [known[index] for index in held]
        blank = _blank(learned)
        features, truth = _features_of(left_out, blank), np.array([one.shortfall for one in left_out])
        for place, strength in enumerate(_STRENGTHS):
            doubt = doubts_of(_weighted(blank, learned, strength), features).clip(1e-6, 1 - 1e-6)
            losses[place] -= float((truth * np.log(doubt) + (1 - truth) * np.log(1 - doubt)).sum())
    return _weighted(_blank(known), known, _STRENGTHS[int(np.argmin(losses))])


def _folds(known: Sequence[Experience]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    from sklearn.model_selection import GroupKFold

    garments = [one.garment for one in known]
    num = min(_NUM_FOLDS, len(set(garments)))
    if num < 2:
        raise EvaluationError("doubt cannot be learned from a single garment")
    return list(GroupKFold(num, shuffle=True, random_state=0).split(known, groups=garments))


def _blank(known: Sequence[Experience]) -> DoubtModel:
    """The model of doubt without its weights, from the studio's own photos."""
    own = _own(known)
    appearance = np.array([one.appearance for one in own])
    mean, precision = appearance.mean(axis=0), _precision_of(appearance)
    features = all_features(np.array([one.features for one in own]), appearance, mean=mean, precision=precision)
    limits = np.percentile(features, _REASON_SHARE, axis=0)
    place = ALL_FEATURES.index("stage_disagreement")
    if np.ptp(features[:, place]) == 0:  # constant, as with a single network: never a reason
        limits[place] = _NEVER
    distances = np.zeros(len(own))  # distance of each photo from other garments
    for train, held in _folds(own):
        others = appearance[train]
        distances[held] = distances_of(appearance[held], others.mean(axis=0), _precision_of(others))
    return DoubtModel(
        features=ALL_FEATURES,
        center=tuple(np.median(features, axis=0).tolist()),
        scale=tuple(np.maximum(features.std(axis=0), _LEAST_SCALE).tolist()),
        weights=(0.0,) * len(ALL_FEATURES),
        bias=0.0,
        appearance_mean=tuple(mean.tolist()),
        appearance_precision=tuple(map(tuple, precision.tolist())),
        limits=tuple(limits.tolist()),
        foreign_distance=_ROOM * float(np.sort(distances)[::-1][round(_RAISED_SHARE * len(own))]),
    )


def _weighted(blank: DoubtModel, known: Sequence[Experience], strength: float) -> DoubtModel:
    from sklearn.linear_model import LogisticRegression

    values, truth = standardized(blank, _features_of(known, blank)), np.array([one.shortfall for one in known])
    regression = LogisticRegression(C=strength, max_iter=1000)
    regression.fit(
        np.concatenate([values, values]),
        np.repeat([1, 0], len(values)),
        sample_weight=np.concatenate([truth, 1 - truth]),
    )
    return replace(blank, weights=tuple(regression.coef_[0].tolist()), bias=float(regression.intercept_[0]))


def _precision_of(appearance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse covariance, with shrinkage for few photos (Ledoit and Wolf 2004) of the scaled features."""
    from sklearn.covariance import LedoitWolf

    scale = np.maximum(appearance.std(axis=0), _LEAST_SPREAD)
    return np.asarray(LedoitWolf().fit(appearance / scale).precision_ / np.outer(scale, scale))


def _features_of(experiences: Sequence[Experience], model: DoubtModel) -> NDArray[np.float64]:
    """All features `(N, 14)` of photos with something cut out, including `unlike` as the model measures it."""
    return all_features(
        np.array([one.features for one in experiences]),
        np.array([one.appearance for one in experiences]),
        mean=model.appearance_mean,
        precision=model.appearance_precision,
    )


def least_garments(risk: float, confidence: float) -> int:
    """Least number of accepted garments, none falling short, that guarantees a risk: (1 - risk)^n <= 1 - confidence."""
    if not (0 < risk < 1 and 0 < confidence < 1):
        raise ValueError(f"risk {risk:g} and confidence {confidence:g} must lie between 0 and 1")
    return math.ceil(math.log(1 - confidence) / math.log(1 - risk) - 1e-9)


def find_threshold(
    garments: Sequence[str],
    doubts: NDArray[np.float64],
    is_short: NDArray[np.bool_],
    *,
    risk: float = 0.05,
    confidence: float = 0.9,
) -> Threshold:
    """Find the largest doubt at which the risk can be guaranteed, by Learn then Test over garments.

    A garment is accepted if one of its photos is, and falls short if one of its accepted photos does. For each doubt,
    an exact binomial test rejects that more than `risk` of the accepted garments fall short: if k of n fell short,
    p = P(Bin(n, risk) <= k) must not exceed 1 - confidence. Doubts are tested in a fixed sequence from strict to
    lenient, up to the first that fails. So the chosen one violates the guarantee with a probability of at most
    1 - confidence over random samples of garments, however good the doubts are. The tested doubts depend on the doubts
    alone: they are those that accept just enough garments to allow one more to fall short.

    Of each photo, `garments` has the garment, `doubts`, `(N,)`, the doubt by a model that was not fitted to it, and
    `is_short`, `(N,)` bool, whether its surface Dice is below the guaranteed quality. The threshold's `max_doubt` is
    None, with a reason, if these photos cannot guarantee the risk.

    Raises:
        ValueError: see `least_garments`.

    Sources: Angelopoulos et al., "Learn then test", arXiv 2110.01052; Bates et al., "Distribution-free,
    risk-controlling prediction sets", JACM 2021. "Conformal risk control" (arXiv 2208.02814) holds only on average
    over calibrations.
    """
    least = least_garments(risk, confidence)
    names, place = np.unique(np.asarray(garments), return_inverse=True)
    if len(names) < least:
        return Threshold(risk, None, f"cannot: {counted(len(names), 'garment')}, needs at least {least}")
    lowest, lowest_short = (np.full(len(names), np.inf) for _ in range(2))
    np.minimum.at(lowest, place, doubts)
    np.minimum.at(lowest_short, place[is_short], doubts[is_short])
    order = np.sort(lowest)
    found: Threshold | None = None
    # Numbers of accepted garments to test: the least that allow 0, 1, 2 ... to fall short. P(Bin(m, risk) <= k) is
    # the probability that the (k + 1)-th shortfall comes after the m-th garment.
    short = np.arange(len(names))
    counts = short + 1 + nbinom.ppf(confidence, short + 1, risk)
    for num in counts[counts <= len(names)].astype(int):
        limit = float(order[num - 1])
        num_accepted, num_short = int((lowest <= limit).sum()), int((lowest_short <= limit).sum())
        if binom.cdf(num_short, num_accepted, risk) > 1 - confidence:
            break
        found = Threshold(risk, limit, "", num_accepted, num_short, share_interval(num_accepted, len(names)))
    num_short = int((lowest_short <= order[least - 1]).sum())
    fell = f"{num_short} fall short" if num_short > 1 else "one falls short"
    reason = (
        f"cannot: of the {least} garments of least doubt (among {len(order)}) {fell}, and none may, to guarantee"
        f" {100 * risk:g} % at confidence {confidence:g}"
    )
    return found or Threshold(risk, None, reason)


def share_interval(num: int, out_of: int) -> tuple[float, float, float]:
    """The share `num` / `out_of` and its exact 95 % interval (Clopper and Pearson 1934)."""
    interval = binomtest(num, out_of).proportion_ci(0.95, "exact")
    return num / out_of, float(interval.low), float(interval.high)


class Guarantee(NamedTuple):
    """What is to be guaranteed."""

    risk: float = 0.05  # share of the accepted garments that may fall short
    quality: float = 0.95  # surface Dice at 2 px below which a photo falls short
    confidence: float = 0.9  # probability that the guarantee holds


@dataclass(frozen=True, eq=False)
class Calibration:
    """The result of a calibration."""

    doubt: DoubtModel  # fitted to all photos; for the card
    acceptance: Acceptance  # thresholds; for the card
    experiences: tuple[Experience, ...]  # what it was fitted to: the studio's own and foreign photos
    judged: Judged  # their cross-fitted doubts, which the thresholds were found with
    num_left_out: int = 0  # photos that were not used because the model was trained on them
    label: str = ""  # caveat if the guarantee does not hold for new photos; empty: it does

    @property
    def threshold(self) -> Threshold:
        """The threshold for the requested risk."""
        return next(one for one in self.acceptance.thresholds if one.risk == self.acceptance.risk)

    def group(self, *, foreign: bool) -> tuple[Judged, tuple[Experience, ...]]:
        """The doubts and experiences of the studio's own photos, or of the foreign ones."""
        chosen = np.array([one.is_foreign == foreign for one in self.experiences])
        experiences = tuple(one for one in self.experiences if one.is_foreign == foreign)
        return Judged(self.judged.doubts[chosen], self.judged.foreign[chosen]), experiences


def calibrate(
    experiences: Sequence[Experience],
    guarantee: Guarantee,
    *,
    data: str,
    elsewhere: Callable[[], Sequence[Experience]] = tuple,
    held_out: bool = False,
    use_seen: bool = False,
) -> Calibration:
    """Fit doubt to experiences of a model file, a run or a folder of fold runs, and find the thresholds.

    `data` describes the photos. `elsewhere` makes foreign experiences, which takes minutes: it is only called once the
    studio's own are enough. `held_out`: the run says that the photos were held out, so that the card need not list its
    training photos. `use_seen`: also use photos that the model was trained on, and say so on the card.

    Raises:
        EvaluationError: there are too few photos that the model has not seen, or too few garments to fit doubt.
        ValueError: a risk or confidence is not between 0 and 1.
    """
    met = {one.garment for one in experiences if one.seen or (one.seen is None and not held_out)}
    unseen = [one for one in experiences if one.garment not in met]  # another view of a seen garment is partly seen
    label = ""
    if use_seen and len(unseen) < len(experiences):
        label = "photos the model was trained on, or may have been: guarantees nothing for new ones"
        unseen, met = list(experiences), set()
    if not unseen:
        raise EvaluationError(_refusal(experiences))
    _known(unseen)
    num_left_out = len(experiences) - len(unseen)
    foreign = [replace(one, is_foreign=True) for one in elsewhere() if one.garment not in met]
    judged = cross_fitted([*unseen, *foreign])
    # A photo that is called foreign is never accepted.
    doubts = np.where(judged.foreign, 1.0, judged.doubts)[: len(unseen)]
    words = f"{counted(len(unseen), 'photo')} of {data}" + (f"; {label}" if label else ", none of them in its training")
    made = f"; and {counted(len(foreign), 'photo')} made to look foreign" if foreign else ""
    rank = round(rank_correlation(judged.doubts[: len(unseen)], unseen), 4)
    model = fit_doubt([*unseen, *foreign], data=words + made)
    model = replace(model, rank_correlation=rank if np.isfinite(rank) else None)
    garments, is_short = [one.garment for one in unseen], np.array([one.quality < guarantee.quality for one in unseen])
    risks = sorted({guarantee.risk, *RISKS})  # strictest first
    acceptance = Acceptance(
        quality=guarantee.quality,
        confidence=guarantee.confidence,
        data=words,
        num_photos=len(unseen),
        num_garments=len(set(garments)),
        risk=guarantee.risk,
        thresholds=tuple(
            find_threshold(garments, doubts, is_short, risk=risk, confidence=guarantee.confidence) for risk in risks
        ),
    )
    return Calibration(model, acceptance, (*unseen, *foreign), judged, num_left_out, label)


def is_same_kind(one: ModelCard, other: ModelCard) -> bool:
    """Whether two cards are of trainings of the same network, so that the errors of one are like those of the other."""

    def kind_of(card: ModelCard) -> tuple[object, ...]:
        others = card.stages and (card.stages.locate, card.stages.locate_hw, card.stages.refine)
        return card.network, card.working_size_hw, card.sees_map, others

    return kind_of(one) == kind_of(other)


def _refusal(experiences: Sequence[Experience]) -> str:
    if not experiences:
        return "no photo could be measured"
    seen = "the model's card does not list its training photos, so these may have been among them"
    if all(one.seen for one in experiences):
        seen = f"the model was trained on all {len(experiences)} photos"
    return (
        f"{seen}: what it makes of them says nothing about new ones. Calibrate on other photos, or on a folder of fold"
        " runs (garmentcut train --fold all) with --into MODEL; --seen does it all the same and says so on the card"
    )
