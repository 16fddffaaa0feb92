"""`garmentcut calibrate --edge`: fits the position of the edge to a studio: threshold, steepness and choke of alpha.

Some studios' retouchers cut slightly inside the edge, others slightly outside, and a network trained on several studios
cuts in between. Three numbers are few enough to be fitted on a dozen photos. How well they fit other photos is measured
on photos that were not used in the fit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import EvaluationError
from garmentcut.evaluation.metrics import Alpha, area_of, dice
from garmentcut.evaluation.predict import CutPair
from garmentcut.model.card import ModelCard, alpha_of_logits
from garmentcut.photo.compose import choke_alpha
from garmentcut.photo.photo import resize_alpha, to_alpha

_BIASES = tuple(np.arange(-1.0, 3.01, 0.1).round(2).tolist())
_GAINS = (0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
_CHOKES_PX = tuple(np.arange(-2.0, 2.01, 0.125).tolist())  # of the network's frame
_ROUNDS = 2
_REACH_PX = 8  # margin around the garment's box, for a choke of two pixels and a soft edge
_LARGEST_LOGIT = 12.0  # alphas of larger logits are the same for all thresholds and steepnesses
_NO_LOSS = 1e-4  # of Dice; less is a matter of which pixel is just over one half
_WORTH_IT = 0.005  # a choke must reduce the error by this share, because it costs time in every cut


@dataclass(frozen=True)
class Edge:
    """The position of the edge, as in the fields of the same names on the model's card."""

    edge_bias: float = 0.0
    edge_gain: float = 1.0
    choke_px: float = 0.0

    @classmethod
    def of(cls, card: ModelCard) -> "Edge":
        """The edge of a card."""
        return cls(card.edge_bias, card.edge_gain, card.choke_px)


@dataclass(frozen=True, eq=False)
class EdgeSample:
    """One photo's garment, as the network sees its edge and as the retoucher cut it."""

    garment: str  # id that all views of one garment share
    logits: NDArray[np.float16]  # `(h, w)` float16, of the garment's box with a margin
    target: NDArray[np.uint8]  # `(h, w)` uint8, the retoucher's alpha, 255 for 1
    scale: float = 1.0  # pixels of the photo, in which a choke is given, that one of these stands for

    def error_px(self, alpha: Alpha, target: Alpha) -> float:
        """Distance between the edges of an alpha and a target of one shape, in pixels of the photo.

        Their summed difference divided by the outline's length: mask pixels that differ from the one below or right.
        """
        mask = self.target >= 128
        outline = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
        return self.scale * float(np.abs(alpha - target).sum() / max(outline, 1))


@dataclass(frozen=True)
class EdgeScore:
    """How well an edge fits; means over photos."""

    # Distance in pixels between the edge and the retoucher's, see `EdgeSample.error_px`.
    edge_error_px: float
    dice: float  # convention `alpha >= 128`


@dataclass(frozen=True)
class EdgeFit:
    """The result of a fit."""

    edge: Edge  # fitted to all photos; the card's own where `is_better` is false
    before: EdgeScore  # of the card's own edge
    after: EdgeScore  # cross-validated: each half of the garments is scored with the edge fitted to the other half
    num_photos: int  # that were fitted to
    num_garments: int  # of these photos

    @property
    def is_better(self) -> bool:
        """Whether fitted edges are nearer to the retouchers' on other garments, without a loss of Dice."""
        return self.after.edge_error_px < self.before.edge_error_px and self.after.dice > self.before.dice - _NO_LOSS


def sample_of(cut: CutPair) -> EdgeSample:
    """What a fit needs from one photo; a `keep` for `garmentcut.evaluation.predict.predict`.

    Raises:
        EvaluationError: the model refused the photo, or its edge and the retoucher's do not overlap.
    """
    if cut.prediction is None:
        raise EvaluationError(cut.reason)
    return edge_sample(cut.pair.group or cut.pair.garment, cut.prediction.alpha, cut.target, Edge.of(cut.card))


def edge_sample(garment: str, alpha: Alpha, target: Alpha, edge: Edge) -> EdgeSample:
    """What a fit needs from one photo.

    `alpha`, `(H, W)`, is the output of a network with `edge` on its card, before any choke. `target`, the retoucher's
    alpha, may have any size. Raises EvaluationError if the two edges do not overlap.
    """
    scale, target = target.shape[0] / alpha.shape[0], resize_alpha(target, (alpha.shape[0], alpha.shape[1]))
    area = area_of(target > 0, margin_px=_REACH_PX)
    if area is None or not (alpha >= 0.5).any():
        raise EvaluationError("the model and the retoucher have no edge in common")
    inner = alpha[area].astype(np.float64).clip(1e-6, 1 - 1e-6)
    logits = np.log(inner / (1 - inner)) / edge.edge_gain + edge.edge_bias
    stored = logits.clip(-_LARGEST_LOGIT, _LARGEST_LOGIT).astype(np.float16)
    return EdgeSample(garment, stored, np.rint(target[area] * 255).astype(np.uint8), scale)


def fit_edge(samples: Iterable[EdgeSample], start: Edge) -> EdgeFit:
    """Fit an edge to photos that the model has not seen, starting from the card's own edge.

    The error is minimised over threshold and steepness together, then over the choke; both are done twice.

    Raises:
        EvaluationError: there are fewer than two garments, so that the fit cannot be cross-validated.
    """
    samples = list(samples)
    garments = sorted({sample.garment for sample in samples})
    if len(garments) < 2:
        raise EvaluationError(f"fitting an edge takes at least two garments, not {len(garments)}")
    halves = [[s for s in samples if garments.index(s.garment) % 2 == side] for side in (0, 1)]
    crossed = [_scores(half, _fitted(other, start)) for half, other in (halves, halves[::-1])]
    before = EdgeScore(*_scores(samples, start).mean(axis=0).tolist())
    after = EdgeScore(*np.concatenate(crossed).mean(axis=0).tolist())
    fit = EdgeFit(start, before, after, len(samples), len(garments))
    return replace(fit, edge=_fitted(samples, start)) if fit.is_better else fit


def _fitted(samples: Sequence[EdgeSample], start: Edge) -> Edge:
    edge = replace(start, choke_px=0.0)
    for _ in range(_ROUNDS):
        edge = _with_levels(samples, edge)
        edge = _with_choke(samples, edge)
    return edge


def _with_levels(samples: Sequence[EdgeSample], edge: Edge) -> Edge:
    """The best threshold and steepness for the edge's choke."""
    tried = [(bias, gain) for bias in _BIASES for gain in _GAINS]
    errors = np.zeros(len(tried))
    for sample in samples:
        near = (np.abs(sample.logits) < 8) | ((sample.target > 0) & (sample.target < 255))
        # The target is moved by the inverse of the choke, so that the choke need not be applied for each trial.
        target = choke_alpha(to_alpha(sample.target), -edge.choke_px / sample.scale)[near]
        logits = sample.logits[near].astype(np.float32)
        errors += [sample.error_px(alpha_of_logits(logits, bias, gain), target) for bias, gain in tried]
    bias, gain = tried[int(errors.argmin())]
    return replace(edge, edge_bias=bias, edge_gain=gain)


def _with_choke(samples: Sequence[EdgeSample], edge: Edge) -> Edge:
    scale = float(np.median([sample.scale for sample in samples]))

    def error_of(choke: float) -> float:
        return float(_scores(samples, replace(edge, choke_px=choke * scale))[:, 0].mean())

    errors = {choke: error_of(choke) for choke in _CHOKES_PX[::4]}  # in steps of half a pixel, including 0
    best = min(errors, key=errors.__getitem__)
    errors |= {choke: error_of(choke) for choke in _CHOKES_PX if 0 < abs(choke - best) < 0.5}
    best = min(errors, key=errors.__getitem__)
    return replace(edge, choke_px=best * scale if errors[best] < (1 - _WORTH_IT) * errors[0.0] else 0.0)


def _scores(samples: Sequence[EdgeSample], edge: Edge) -> NDArray[np.float64]:
    """`(n, 2)`: edge error in pixels and Dice of each photo."""
    rows = []
    for sample in samples:
        alpha = alpha_of_logits(sample.logits.astype(np.float32), edge.edge_bias, edge.edge_gain)
        alpha = choke_alpha(alpha, edge.choke_px / sample.scale)
        rows.append((sample.error_px(alpha, to_alpha(sample.target)), dice(alpha >= 0.5, sample.target >= 128)))
    return np.array(rows)
