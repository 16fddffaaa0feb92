"""Up to which doubt photos can be accepted, with a promise: Learn then Test, over garments.

Photos of one garment err together, so the garment is what is drawn and counted. A garment is accepted if one of its
photos is, and falls short if one of its accepted photos does: three views of it are one piece of evidence. For a
doubt t let R(t) be the share of accepted garments that fall short. `R(t) > risk` is tested by the exact binomial
tail: of n accepted garments k fell short, p = P(Bin(n, risk) <= k) must not be over 1 - confidence. Several t are
tried in a fixed sequence, from strict to lenient, up to the first that fails; so R(t) > risk has a probability of at
most 1 - confidence for the t that is taken, over draws of the garments and whatever the doubts are worth. Which t are
tried depends on the doubts and not on how the photos turned out: those that accept just enough garments for one more
to fall short.

Sources: Angelopoulos, Bates, Candès, Jordan, Lei, "Learn then test", arXiv 2110.01052 (risk control as multiple
testing); Bates et al., "Distribution-free, risk-controlling prediction sets", JACM 2021; Angelopoulos et al.,
"Conformal risk control", arXiv 2208.02814, whose promise is on average over calibrations; this one has its confidence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, nbinom

from garmentcut.model.doubt_model import Threshold

_LEVEL = 0.95  # of intervals


def least_garments(risk: float, confidence: float) -> int:
    """Accepted garments, none of which falls short, that it takes to promise a risk: (1 - risk)^n <= 1 - confidence.

    Raises:
        ValueError: risk or confidence is not between 0 and 1.
    """
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
    """The most lenient doubt at which the risk can be promised.

    Args:
        garments: of each photo.
        doubts: `(N,)`, of each photo, by a model that was not fitted to it.
        is_short: `(N,)` bool: its surface Dice is under the quality that is promised.
        risk: share of accepted garments that may fall short.
        confidence: of the promise.

    Returns:
        With `max_doubt` None and a reason, where these photos cannot promise it.

    Raises:
        ValueError: see `least_garments`; or no photos.
    """
    least = least_garments(risk, confidence)
    names, place = np.unique(np.asarray(garments), return_inverse=True)
    if not len(names):
        raise ValueError("no photos")
    if len(names) < least:
        return Threshold(risk, None, f"cannot: {len(names)} garments, needs at least {least}")
    lowest, lowest_short = (np.full(len(names), np.inf) for _ in range(2))
    np.minimum.at(lowest, place, doubts)
    np.minimum.at(lowest_short, place[is_short], doubts[is_short])
    order = np.sort(lowest)
    found: Threshold | None = None
    for num in _counts(len(names), risk=risk, confidence=confidence):
        limit = float(order[num - 1])
        num_accepted, num_short = int((lowest <= limit).sum()), int((lowest_short <= limit).sum())
        if binom.cdf(num_short, num_accepted, risk) > 1 - confidence:
            break
        found = Threshold(risk, limit, "", num_accepted, num_short, share_interval(num_accepted, len(names)))
    return found or Threshold(risk, None, _why_not(order, lowest_short, risk=risk, confidence=confidence))


def share_interval(num: int, out_of: int) -> tuple[float, float, float]:
    """A share and its exact 95 % interval (Clopper and Pearson 1934)."""
    tail = (1 - _LEVEL) / 2
    low = float(beta.ppf(tail, num, out_of - num + 1)) if num else 0.0
    high = float(beta.ppf(1 - tail, num + 1, out_of - num)) if num < out_of else 1.0
    return num / out_of, low, high


@dataclass(frozen=True)
class SplitCheck:
    """How a promise did on random halves of the garments: found on one half, tried on the other.

    Attributes:
        num_splits: tried.
        num_promised: of which the first half could promise something; in the others nothing is accepted.
        num_held: of which, in the second half, no more than the promised share of accepted garments fell short; all
            those where nothing is accepted count as held.
        mean_accepted: share of the second half's garments that was accepted, mean over the splits that promised.
    """

    num_splits: int
    num_promised: int
    num_held: int
    mean_accepted: float


def check_on_splits(
    garments: Sequence[str],
    doubts: NDArray[np.float64],
    is_short: NDArray[np.bool_],
    *,
    risk: float = 0.05,
    confidence: float = 0.9,
    num_splits: int = 200,
) -> SplitCheck:
    """Find the threshold on a random half of the garments and try it on the other, many times (seed 0).

    The second half is itself a sample: its share scatters around the true one, so some of the splits that do not hold
    are its bad luck and no broken promise.
    """
    rng, names = np.random.default_rng(0), np.unique(np.asarray(garments))
    num_promised = num_held = 0
    accepted = []
    for _ in range(num_splits):
        first = np.isin(garments, rng.permutation(names)[: len(names) // 2])
        chosen = [garment for garment, is_first in zip(garments, first, strict=True) if is_first]
        found = find_threshold(chosen, doubts[first], is_short[first], risk=risk, confidence=confidence)
        if found.max_doubt is None:
            num_held += 1
            continue
        num_promised += 1
        others = np.asarray(garments)[~first]
        taken = doubts[~first] <= found.max_doubt
        num_taken, num_short = len(set(others[taken])), len(set(others[taken & is_short[~first]]))
        num_held += num_short <= risk * num_taken
        accepted.append(num_taken / len(set(others)))
    return SplitCheck(num_splits, num_promised, num_held, float(np.mean(accepted)) if accepted else 0.0)


def _counts(num_garments: int, *, risk: float, confidence: float) -> list[int]:
    """Numbers of accepted garments to try: the least that allow 0, 1, 2 ... to fall short."""
    short = np.arange(num_garments)
    # P(Bin(m, risk) <= k) = P(the (k + 1)-th shortfall comes after the m-th garment).
    counts = short + 1 + nbinom.ppf(confidence, short + 1, risk)
    return [int(num) for num in counts[counts <= num_garments]]


def _why_not(order: NDArray[np.float64], lowest_short: NDArray[np.float64], *, risk: float, confidence: float) -> str:
    """What the garments of least doubt looked like, in words."""
    least = least_garments(risk, confidence)
    num_short = int((lowest_short <= order[least - 1]).sum())
    fell = f"{num_short} fall short" if num_short > 1 else "one falls short"
    return (
        f"cannot: of the {least} garments of least doubt (among {len(order)}) {fell}, and none may, to promise"
        f" {100 * risk:g} % at confidence {confidence:g}"
    )
