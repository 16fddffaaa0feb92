"""Totals over photos, of all and of each view, with intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from garmentcut.evaluation.intervals import Bootstrap, Estimate, Figure, mean, median, share_from, worst
from garmentcut.evaluation.measures import METRICS, Metric
from garmentcut.evaluation.scores import PhotoScore
from garmentcut.evaluation.thresholds import Sweep, sweep_of

ALL = "all"
"""Name of the total over all views."""

WITHOUT_WRONG = "without wrong"
"""Name of the total over all views that leaves out cutouts marked wrong."""

WORST_SHARE = 0.05
GOOD_DICE, VERY_GOOD_DICE = 0.99, 0.995

_VIEWS = ("Front", "FrontRight", "Back")  # in the order of tables; others behind


@dataclass(frozen=True)
class Total:
    """Figures over the measured photos of one view, or of all.

    Attributes:
        view: a view, or `ALL`.
        num_photos: measured.
        num_garments: distinct garments among them.
        figures: metric key to figure name to estimate. Figures: `mean`, `median`, `worst` (mean over the worst 5 %),
            and for the two Dices `share_0.99` and `share_0.995`.
    """

    view: str
    num_photos: int
    num_garments: int
    figures: dict[str, dict[str, Estimate]]


@dataclass(frozen=True)
class Totals:
    """What an evaluation found, over all its photos.

    Attributes:
        num_photos: rows, measured or not.
        num_measured: of which measured; refused ones are, as empty cutouts.
        num_refused: photos in which the model found no garment, or which it would not take.
        num_failed: pairs that could not be read.
        num_seen: measured photos that were in the training data; None: a model's card does not say.
        models: names and hashes.
        seconds: mean of cutting a photo.
        by_view: of all first, then of each view.
        sweep: mean Dice over thresholds, convention `alpha >= 128`; None: nothing was measured.
        sweep_any: the same, convention `alpha > 0`.
        num_wrong: measured photos whose cutout a person marked wrong; they are in all figures but the last.
        without_wrong: of all views, those photos left out; None: there are none, or no others.
    """

    num_photos: int
    num_measured: int
    num_refused: int
    num_failed: int
    num_seen: int | None
    models: tuple[str, ...]
    seconds: float
    by_view: tuple[Total, ...]
    sweep: Sweep | None
    sweep_any: Sweep | None
    num_wrong: int = 0
    without_wrong: Total | None = None

    def as_dict(self) -> dict[str, Any]:
        """For machines: plain lists, numbers and texts."""
        return asdict(self)


def total_scores(scores: Sequence[PhotoScore], *, seed: int = 0) -> Totals:
    """Sum up an evaluation.

    Args:
        scores: rows; failed ones are counted and left out of every figure.
        seed: of the bootstrap.
    """
    measured = [score for score in scores if score.measures is not None]
    views = sorted({score.view for score in measured}, key=view_order)
    parts = {ALL: measured, **{view: [score for score in measured if score.view == view] for view in views}}
    unknown = any(score.seen is None for score in measured)
    good = [score for score in measured if score.verdict != "wrong"]
    return Totals(
        num_photos=len(scores),
        num_measured=len(measured),
        num_refused=sum(score.status == "refused" for score in scores),
        num_failed=len(scores) - len(measured),
        num_seen=None if unknown else sum(bool(score.seen) for score in measured),
        models=tuple(sorted({score.model for score in scores})),
        seconds=sum(score.seconds for score in measured) / max(len(measured), 1),
        by_view=tuple(_total_of(view, part, seed) for view, part in parts.items() if part),
        sweep=sweep_of(score.sweep for score in measured) if measured else None,
        sweep_any=sweep_of(score.sweep_any for score in measured) if measured else None,
        num_wrong=len(measured) - len(good),
        without_wrong=_total_of(WITHOUT_WRONG, good, seed) if 0 < len(good) < len(measured) else None,
    )


def seen_sentence(totals: Totals) -> str:
    """Says plainly how many photos the model had been trained on."""
    if totals.num_seen is None:
        return "The model's card does not list its training photos: some of these may have been among them."
    return f"{totals.num_seen} of {totals.num_measured} photos were in the training data."


def view_order(view: str) -> tuple[int, str]:
    """Sorts views as tables show them."""
    return (_VIEWS.index(view) if view in _VIEWS else len(_VIEWS)), view


def _total_of(view: str, scores: Sequence[PhotoScore], seed: int) -> Total:
    garments = [score.garment for score in scores]
    bootstrap = Bootstrap.of(garments, seed=seed)
    figures = {
        metric.key: bootstrap.estimate([getattr(score.measures, metric.key) for score in scores], _figures_of(metric))
        for metric in METRICS
    }
    return Total(view, len(scores), len(set(garments)), figures)


def _figures_of(metric: Metric) -> dict[str, Figure]:
    figures: dict[str, Figure] = {
        "mean": mean,
        "median": median,
        "worst": worst(WORST_SHARE, higher_is_better=metric.higher_is_better),
    }
    if metric.key in ("dice", "dice_any"):
        figures |= {f"share_{limit:g}": share_from(limit) for limit in (GOOD_DICE, VERY_GOOD_DICE)}
    return figures
