"""`garmentcut evaluate`: a row of scores per photo, stored as JSON Lines and CSV, and totals over the photos."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from garmentcut.dataset.manifest import Manifest
from garmentcut.errors import EvaluationError
from garmentcut.evaluation import intervals, metrics
from garmentcut.evaluation.intervals import Bootstrap, Difference, Estimate, Figure
from garmentcut.evaluation.metrics import METRICS, POOLED_METRICS, Alpha, PhotoMetrics, mask_of
from garmentcut.evaluation.predict import CutPair, Outcome, Trial, predict
from garmentcut.naming import VIEWS
from garmentcut.photo.files import json_of, write_atomic
from garmentcut.photo.mask import Mask
from garmentcut.photo.photo import Photo

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""0.05, 0.10 ... 0.95."""

ALL = "all"  # name of the total over all views
WITHOUT_WRONG = "without wrong"  # name of the total over all views that leaves out cutouts marked wrong
MAIN_METRICS = ("dice", "surface_dice_2px", "boundary_iou_2px", "hd95_px", "edge_sad", "effort_px", "effort_places")
"""Metrics that two models are compared by."""

WORST_SHARE = 0.05
GOOD_DICE, VERY_GOOD_DICE = 0.99, 0.995

_CLOSE = 0.0005  # difference in Dice; a twelfth of a pixel along the whole outline
_OLD_KEYS = {f"rim_{key}": f"edge_{key}" for key in ("sad", "mse", "gradient", "connectivity")}


@dataclass(frozen=True)
class PhotoScore:
    """The scores of one photo's cutout."""

    name: str  # `<garment>_<view>`
    garment: str  # id that all views of one garment share
    view: str  # `Front`, `FrontRight`, `Back` or `unknown`
    split: str  # its split of the dataset, such as `fold0`
    model: str = ""  # name and hash of the model
    seen: bool | None = None  # as in `garmentcut.evaluation.predict.CutPair`
    # `ok`: cut and measured; `refused`: the model refused the photo, which is measured as an empty cutout; `failed`:
    # not measured, because the pair could not be read.
    status: Literal["ok", "refused", "failed"] = "ok"
    reason: str = ""  # why it was refused or failed; otherwise empty
    # What `ingest` found suspect in the pair; a bad score may be due to a bad ground truth.
    faults: tuple[str, ...] = field(default=())
    measures: PhotoMetrics | None = None  # all metrics; None: failed
    sweep: tuple[float, ...] = field(default=())  # Dice at each of `THRESHOLDS`, convention `alpha >= 128`
    sweep_any: tuple[float, ...] = field(default=())  # the same, convention `alpha > 0`
    seconds: float = 0.0  # time for cutting: framing, network and finishing, without reading and measuring
    verdict: str = ""  # a person's judgement of the target: `wrong`, `right`, `unsure`; empty: none
    group: str = ""  # id that garments which look the same share; empty in old rows

    @property
    def cluster(self) -> str:
        """The cluster for the bootstrap; garments that look the same count as one."""
        return self.group or self.garment


_SCORE = TypeAdapter(PhotoScore)
OnPhoto = Callable[[PhotoScore, Photo, Alpha, Alpha], None]
"""Called, from several threads, with each measured photo's row, the photo, the target and the predicted alpha."""


def evaluate(trials: Sequence[Trial], manifest: Manifest, *, on_photo: OnPhoto | None = None) -> Iterator[PhotoScore]:
    """Cut the photos of trials and measure the results; `on_photo` is called with each, to draw pictures.

    Rows are in the order of the trials' pairs. A photo that the model refuses is measured as an empty cutout.
    """

    def row_of(found: CutPair | Outcome[PhotoScore], **measured: Any) -> PhotoScore:
        pair, faults = found.pair, tuple(fault.text for fault in found.pair.faults)
        row = PhotoScore(pair.name, pair.garment, pair.view, pair.split, found.card.label, found.seen, faults=faults)
        return replace(row, verdict=pair.verdict, group=pair.group, reason=found.reason, **measured)

    def keep(cut: CutPair) -> PhotoScore:
        score = row_of(
            cut,
            status="refused" if cut.reason else "ok",
            measures=metrics.measure(cut.alpha, cut.target),
            sweep=dice_at_thresholds(cut.alpha, mask_of(cut.target)),
            sweep_any=dice_at_thresholds(cut.alpha, cut.target > 0),
            seconds=round(cut.seconds, 3),
        )
        if on_photo is not None:
            on_photo(score, cut.photo, cut.target, cut.alpha)
        return score

    for outcome in predict(trials, manifest, keep):
        yield outcome.found or row_of(outcome, status="failed")


def write_scores(scores: Iterable[PhotoScore], folder: Path) -> None:
    """Write `scores.jsonl` (everything) and `scores.csv` (without the sweeps) to a folder, each atomically."""
    scores = list(scores)
    lines = "".join(json.dumps(asdict(score), ensure_ascii=False) + "\n" for score in scores)
    write_atomic(folder / "scores.jsonl", lines.encode("utf-8", "surrogateescape"))
    write_atomic(folder / "scores.csv", _csv_of(scores).encode("utf-8-sig", "surrogateescape"))  # sig: for Excel


def read_scores(folder: Path) -> list[PhotoScore]:
    """The rows of a folder's `scores.jsonl`.

    Raises:
        EvaluationError: the file is missing, or garmentcut did not write it.
    """
    path = folder / "scores.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    scores = []
    for number, line in enumerate(lines, 1):
        try:
            row = json_of(line)
            measures = row["measures"] and {_OLD_KEYS.get(key, key): value for key, value in row["measures"].items()}
            scores.append(_SCORE.validate_python({**row, "measures": measures}))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EvaluationError(f"{path}, line {number}, is not a garmentcut row; evaluate again") from error
    return scores


def _csv_of(scores: Iterable[PhotoScore]) -> str:
    columns = [key.name for key in fields(PhotoScore) if key.name not in ("measures", "sweep", "sweep_any")]
    columns += [key.name for key in fields(PhotoMetrics)]
    file = io.StringIO(newline="")
    table = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for score in scores:
        measures = asdict(score.measures) if score.measures else {}
        table.writerow(asdict(score) | {"faults": "; ".join(score.faults)} | measures)
    return file.getvalue()


@dataclass(frozen=True)
class Sweep:
    """Mean Dice over photos at each threshold."""

    mean_dice: tuple[float, ...]  # one per threshold of `THRESHOLDS`
    best: float  # the threshold with the highest mean; of equal ones the nearest to 0.5
    # Lowest and highest threshold of the range around `best` whose mean is within 0.0005 of the highest.
    flat: tuple[float, float]


def dice_at_thresholds(prediction: Alpha, garment: Mask) -> tuple[float, ...]:
    """Dice of `prediction >= t` for all thresholds in one pass; `garment` is the target's mask by either convention."""
    metrics.check_masks(mask_of(prediction), garment)
    edges = np.asarray(THRESHOLDS, np.float32)
    shown = prediction >= edges[0]  # most pixels are below all thresholds and need no search
    num_reached = np.searchsorted(edges, prediction[shown], side="right")  # thresholds that each pixel reaches
    inside = num_reached[garment[shown]]
    num_bins = len(edges) + 1
    # A pixel passes threshold i if it reaches more than i thresholds.
    predicted, common = (
        np.bincount(reached, minlength=num_bins)[::-1].cumsum()[::-1][1:] for reached in (num_reached, inside)
    )
    total = predicted + np.count_nonzero(garment)
    return tuple(float(2 * both / whole) if whole else 1.0 for both, whole in zip(common, total, strict=True))


def sweep_of(rows: Iterable[tuple[float, ...]]) -> Sweep:
    """Mean over photos of the results of `dice_at_thresholds`, and its best threshold.

    Raises:
        ValueError: there are no photos.
    """
    table = np.array(list(rows), np.float64)
    if not table.size:
        raise ValueError("no photos to sweep over")
    means = table.mean(axis=0)
    best = max(range(len(means)), key=lambda i: (round(float(means[i]), 9), -abs(THRESHOLDS[i] - 0.5)))
    low = high = best
    while low and means[low - 1] >= means[best] - _CLOSE:
        low -= 1
    while high + 1 < len(means) and means[high + 1] >= means[best] - _CLOSE:
        high += 1
    return Sweep(tuple(float(mean) for mean in means), THRESHOLDS[best], (THRESHOLDS[low], THRESHOLDS[high]))


@dataclass(frozen=True)
class Total:
    """Statistics over the measured photos of one view, or of all views."""

    view: str  # a view, or `ALL`
    num_photos: int  # measured
    num_garments: int  # distinct garments among them
    # Estimates by metric key and statistic: `mean`, `median`, `worst` (mean over the worst 5 %), and for both kinds of
    # Dice `share_0.99` and `share_0.995`. A metric that a row lacks is left out.
    figures: dict[str, dict[str, Estimate]]
    # Estimates by pooled metric's key: ratios of counts that are summed over the photos.
    pooled: dict[str, Estimate] = field(default_factory=dict)
    # Sums over the photos of `garmentcut.evaluation.metrics.COUNTS`.
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Totals:
    """The results of an evaluation over all its photos."""

    num_photos: int  # rows, measured or not
    num_measured: int  # measured rows, including refused ones, which are measured as empty cutouts
    num_refused: int  # photos that the model refused, for example because it found no garment
    num_failed: int  # pairs that could not be read
    num_seen: int | None  # measured photos that the model was trained on; None: a model's card does not say
    models: tuple[str, ...]  # names and hashes of the models
    seconds: float  # mean time for cutting a photo
    by_view: tuple[Total, ...]  # over all views first, then for each view
    sweep: Sweep | None  # mean Dice over thresholds, convention `alpha >= 128`; None: nothing was measured
    sweep_any: Sweep | None  # the same, convention `alpha > 0`
    num_wrong: int = 0  # measured photos whose target was marked wrong; only `without_wrong` leaves them out
    without_wrong: Total | None = None  # over all views without those photos; None: none or all are marked wrong

    @property
    def sweeps(self) -> dict[str, Sweep]:
        """Mean Dice over thresholds, by convention; empty: nothing was measured."""
        found = {"alpha >= 128": self.sweep, "alpha > 0": self.sweep_any}
        return {convention: sweep for convention, sweep in found.items() if sweep is not None}


def total_scores(scores: Sequence[PhotoScore]) -> Totals:
    """Summarise an evaluation; failed rows are counted, but left out of all statistics."""
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
        by_view=tuple(_total_of(view, part) for view, part in parts.items() if part),
        sweep=sweep_of(score.sweep for score in measured) if measured else None,
        sweep_any=sweep_of(score.sweep_any for score in measured) if measured else None,
        num_wrong=len(measured) - len(good),
        without_wrong=_total_of(WITHOUT_WRONG, good) if 0 < len(good) < len(measured) else None,
    )


def seen_sentence(totals: Totals) -> str:
    """A sentence that says how many of the photos the model was trained on."""
    if totals.num_seen is None:
        return "The model's card does not list its training photos: some of these may have been among them."
    photos, were = ("photo", "was") if totals.num_measured == 1 else ("photos", "were")
    return f"{totals.num_seen} of {totals.num_measured} {photos} {were} in the training data."


def view_order(view: str) -> tuple[int, str]:
    """Sort key of a view in tables; those that are not known come last."""
    return [*VIEWS, view].index(view), view


def _total_of(view: str, scores: Sequence[PhotoScore]) -> Total:
    bootstrap = Bootstrap.of([score.cluster for score in scores])
    columns = {key.name: [getattr(score.measures, key.name) for score in scores] for key in fields(PhotoMetrics)}
    known = {key: values for key, values in columns.items() if None not in values}
    figures, pooled = {}, {}
    shares: dict[str, Figure] = {
        f"share_{limit:g}": intervals.share_from(limit) for limit in (GOOD_DICE, VERY_GOOD_DICE)
    }
    for metric in METRICS:
        if metric.key in known:
            worst = intervals.worst(WORST_SHARE, higher_is_better=metric.higher_is_better)
            wanted: dict[str, Figure] = {"mean": intervals.mean, "median": intervals.median, "worst": worst}
            wanted |= shares if metric.key in ("dice", "dice_any") else {}
            figures[metric.key] = bootstrap.estimate(known[metric.key], wanted)
    for ratio in POOLED_METRICS:
        if {ratio.hits, ratio.out_of} <= known.keys() and (
            share := bootstrap.ratio(known[ratio.hits], known[ratio.out_of])
        ):
            pooled[ratio.key] = share
    counts = {key: sum(known[key]) for key in metrics.COUNTS if key in known}
    return Total(view, len(scores), len({score.garment for score in scores}), figures, pooled, counts)


@dataclass(frozen=True)
class Comparison:
    """A comparison of a model with another one, photo by photo."""

    model: str  # name and hash of the model
    other: str  # name and hash of the other model
    num_photos: int  # photos measured with both
    num_garments: int  # distinct garments among them
    # Differences by metric key, the model's value minus the other's; includes pooled metrics.
    differences: dict[str, Difference]
    # Both rows of each photo, the other model's second; the largest gain in Dice first.
    photos: tuple[tuple[PhotoScore, PhotoScore], ...]

    def gains(self, num: int) -> tuple[tuple[PhotoScore, PhotoScore], ...]:
        """At most `num` photos, those that gained most."""
        return tuple(pair for pair in self.photos[:num] if gain_of(*pair) > 0)

    def losses(self, num: int) -> tuple[tuple[PhotoScore, PhotoScore], ...]:
        """At most `num` photos, those that lost most, the largest loss first."""
        return tuple(pair for pair in self.photos[: -num - 1 : -1] if gain_of(*pair) < 0)

    def as_dict(self) -> dict[str, Any]:
        """For machines: plain lists, numbers and texts."""
        return vars(self) | {
            "differences": {key: asdict(found) for key, found in self.differences.items()},
            "photos": {ours.name: gain_of(ours, theirs) for ours, theirs in self.photos},
        }


def gain_of(ours: PhotoScore, theirs: PhotoScore) -> float:
    """Difference of a photo's Dice, convention `alpha >= 128`, between two models."""
    assert ours.measures is not None and theirs.measures is not None
    return ours.measures.dice - theirs.measures.dice


def compare_scores(scores: Sequence[PhotoScore], others: Sequence[PhotoScore]) -> Comparison:
    """Compare two evaluations on the photos that both measured; raises EvaluationError if there are none."""
    known = {score.name: score for score in others if score.measures is not None}
    pairs = [(score, known[score.name]) for score in scores if score.measures is not None and score.name in known]
    if not pairs:
        raise EvaluationError("the two models measured no photo in common")
    clusters = [ours.cluster for ours, _ in pairs]
    bootstrap, differences = Bootstrap.of(clusters), dict[str, Difference]()

    def columns_of(*keys: str) -> list[list[float]] | None:
        """Values of each metric for each model; None: a row is older than one of the metrics."""
        columns = [[getattr(row.measures, key) for row in side] for side in zip(*pairs, strict=True) for key in keys]
        return None if any(None in column for column in columns) else columns

    for key in MAIN_METRICS:
        if columns := columns_of(key):
            ours, theirs = np.array(columns, np.float64)
            differences[key] = intervals.difference_of([intervals.FoldBlock((ours - theirs)[:, None], clusters)])
    for metric in POOLED_METRICS:
        columns = columns_of(metric.hits, metric.out_of)
        if columns and (found := bootstrap.ratio_difference(*columns)) is not None:
            differences[metric.key] = found
    return Comparison(
        model=", ".join(sorted({score.model for score, _ in pairs})),
        other=", ".join(sorted({score.model for _, score in pairs})),
        num_photos=len(pairs),
        num_garments=len({ours.garment for ours, _ in pairs}),
        differences=differences,
        photos=tuple(sorted(pairs, key=lambda pair: (-gain_of(*pair), pair[0].name))),
    )
