"""Compares a study's variants with its reference, photo by photo, for the report; from the scores of its runs.

The same photo, held out of the same fold, trained with the same seed, is compared. A sentence says no more than the
intervals of `garmentcut.evaluation.intervals` allow.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from garmentcut.errors import EvaluationError, TrainingError
from garmentcut.evaluation.intervals import Difference, Draws, FoldBlock, difference_of
from garmentcut.evaluation.metrics import PhotoMetrics
from garmentcut.evaluation.scores import PhotoScore, read_scores
from garmentcut.study.declare import Variant
from garmentcut.study.plan import RUNS, Chosen, JobEntry, Registry, RunKey, Study
from garmentcut.training.logging import JOURNAL_NAME, read_journal

DICE, SURFACE = "dice", "surface_dice_2px"
"""The metric that verdicts rest on, and the one beside it."""

SIGNIFICANCE = 0.05

LEAST_SIZES = 4
"""With fewer variants a curve of three numbers says nothing."""

_GROWTH_RESAMPLES = 400
_EXPONENTS = (0.05, 3.0)
_TAILS = (0.025, 0.975)

Verdict = Literal["better", "worse", "no difference shown", "incomplete", "one training each", "too few garments"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RunResult:
    """One measured run.

    Attributes:
        key: which.
        outcome: `done`, `failed`, `interrupted`, `not run`, or `running`: in another process.
        reason: why it failed or was not run.
        scores: a row a photo; none if it is not done.
        curve: step and mean Dice of each evaluation while it trained.
        seconds: of training.
        machine: in words.
        num_trained_on: photos that it learned from.
        num_garments: garments that it learned from.
    """

    key: RunKey
    outcome: str
    reason: str = ""
    scores: tuple[PhotoScore, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
    seconds: float | None = None
    machine: str = ""
    num_trained_on: int | None = None
    num_garments: int = 0

    @property
    def is_failed(self) -> bool:
        """It was tried in vain, or cannot be tried; nobody need wait for it."""
        return self.outcome == "failed" or (self.outcome == "not run" and bool(self.reason))

    @property
    def measures(self) -> dict[str, PhotoMetrics]:
        """Of each measured photo, by name."""
        return {score.name: score.measures for score in self.scores if score.measures}

    @property
    def mean_dice(self) -> float | None:
        """Over the measured photos, convention `alpha >= 128`."""
        values = [found.dice for found in self.measures.values()]
        return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Results:
    """Everything a report is made of.

    Attributes:
        study: what was asked.
        runs: one a key, in its order.
        chosen: by variant, what tuning came to; a variant that is not there is not settled.
        permanent_failures: by variant, why it cannot be run.
    """

    study: Study
    runs: tuple[RunResult, ...]
    chosen: Mapping[str, Chosen]
    permanent_failures: Mapping[str, str]

    def of(self, variant: Variant) -> tuple[RunResult, ...]:
        """The runs of a variant."""
        return tuple(run for run in self.runs if run.key.variant.name == variant.name)

    @property
    def num_unfinished(self) -> int:
        """Runs that are not done."""
        return sum(run.outcome != "done" for run in self.runs)


def gather(
    study: Study, registry: Registry, *, chosen: Mapping[str, Chosen], permanent_failures: Mapping[str, str]
) -> Results:
    """Read what is there; what cannot be read counts as not done."""
    entries = registry.entries(RUNS)

    def result_of(key: RunKey) -> RunResult:
        entry = entries.get(key.path)
        is_held = entry is not None and entry.outcome == "running" and registry.is_held(RUNS, key.path)
        never = permanent_failures.get(key.variant.name, "")
        return _read(study, key, *(_state_of(entry, is_held=is_held) if entry else ("not run", never)))

    return Results(study, tuple(map(result_of, study.keys)), chosen, permanent_failures)


@dataclass(frozen=True)
class Paired:
    """A variant against the reference.

    Attributes:
        dice: mean difference of Dice, `alpha >= 128`.
        surface: mean difference of surface Dice at 2 px.
        better, worse, same: photos, by the mean of their Dice over the seeds.
        p_holm: of the Dice, corrected for the number of variants compared (Holm 1979); None: no interval.
        verdict: what may be concluded.
    """

    dice: Difference
    surface: Difference
    better: int
    worse: int
    same: int
    p_holm: float | None
    verdict: Verdict


@dataclass(frozen=True)
class VariantResult:
    """A row of the table.

    Attributes:
        variant: which.
        num_done, num_runs: trainings measured, and planned.
        num_photos: distinct photos measured.
        mean, median: Dice over photos and trainings, `alpha >= 128`; None: nothing was measured.
        surface: mean surface Dice at 2 px.
        seconds: mean of a training.
        paired: against the reference; None: it is the reference, or they have no run in common.
    """

    variant: Variant
    num_done: int
    num_runs: int
    num_photos: int
    mean: float | None
    median: float | None
    surface: float | None
    seconds: float | None
    paired: Paired | None


def compare(results: Results) -> tuple[VariantResult, ...]:
    """A row for each variant, the reference first."""
    groups = {pair.name: pair.group or pair.garment for pair in results.study.manifest.usable}
    reference = results.of(results.study.reference)
    found: dict[str, Paired] = {}
    for variant in results.study.variants[1:]:
        if blocks := pair_up(results.of(variant), reference, groups):
            complete = all(run.outcome == "done" for run in (*results.of(variant), *reference))
            found[variant.name] = _paired(blocks, complete=complete)
    corrected = holm({name: paired.dice.p for name, paired in found.items() if paired.dice.p is not None})
    judged = {name: _judged(paired, corrected.get(name)) for name, paired in found.items()}
    return tuple(_row(variant, results.of(variant), judged.get(variant.name)) for variant in results.study.variants)


def pair_up(
    runs: Sequence[RunResult], reference: Sequence[RunResult], groups: Mapping[str, str]
) -> dict[str, list[FoldBlock]]:
    """Differences, variant less reference, of each photo and seed, by metric; empty: no fold and seed in common.

    Of a fold, the seeds count that both have, and the photos that were measured with all of these.

    Args:
        runs: of the variant.
        reference: of the reference.
        groups: photo's name to garment; those who look alike have one.
    """
    ours, theirs = (
        {(run.key.fold, run.key.seed): run.measures for run in side if run.outcome == "done"}
        for side in (runs, reference)
    )
    blocks: dict[str, list[FoldBlock]] = {DICE: [], SURFACE: []}
    for fold in sorted({fold for fold, _ in ours}):
        pairs = [(ours[key], theirs[key]) for key in sorted(ours) if key[0] == fold and key in theirs]
        names = sorted(set.intersection(*(set(side) for pair in pairs for side in pair))) if pairs else []
        for metric, found in blocks.items() if names else ():
            values = [[getattr(own[n], metric) - getattr(other[n], metric) for own, other in pairs] for n in names]
            found.append(FoldBlock(np.array(values, np.float64), [groups.get(name, name) for name in names]))
    return blocks if blocks[DICE] else {}


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (1979): the smallest of k times k, the next times k - 1 ..., never falling."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(ps, key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[name] * (len(ps) - rank)))
        corrected[name] = highest
    return corrected


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
    """How much more photos would help: error(n) = floor + factor n^-exponent for n garments.

    A power law over an error that no number of photos removes (Hestness 2017, arXiv 1712.00409; Rosenfeld 2020, arXiv
    1909.12673).

    Attributes:
        floor, factor, exponent: 0 or more.
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
    """Fit the curve to all variants whose runs are done; None: there are too few of them.

    The intervals come from draws of garments and trainings as in `garmentcut.evaluation.intervals`, the curve fitted
    anew to each: they cover what was drawn, and not that the curve may bend where nothing was measured.
    """
    groups = {pair.name: pair.group or pair.garment for pair in results.study.manifest.usable}
    done = [runs for runs in map(results.of, results.study.variants) if all(run.outcome == "done" for run in runs)]
    done = sorted(done, key=_num_garments)
    if len({_num_garments(runs) for runs in done}) < LEAST_SIZES:
        return None
    errors = [_errors_of(runs, groups) for runs in done]
    draws = Draws.of(errors[0], resamples=_GROWTH_RESAMPLES)
    shapes = {tuple(block.values.shape for block in blocks) for blocks in errors}
    if draws is None or len(shapes) > 1:
        return None
    sizes = np.array([_num_garments(runs) for runs in done], np.float64)
    means = np.array([np.concatenate([block.values.mean(axis=1) for block in blocks]).mean() for blocks in errors])
    drawn = np.stack([m + draws.spread([b.values - m for b in e]).both for m, e in zip(means, errors, strict=True)])
    drawn = np.maximum(drawn, 1e-6)  # a draw far off may count some photos less than nothing
    fitted, of_draws = fit_power_law(sizes, means), np.array([fit_power_law(sizes, row) for row in drawn.T]).T
    measured = [_point(int(n), float(m), row) for n, m, row in zip(sizes, means, drawn, strict=True)]
    beyond = [_point(n, float(_power_law(n, *fitted)), _power_law(n, *of_draws)) for n in at]
    floor, factor, exponent = map(float, fitted)
    return Growth(floor, factor, exponent, tuple(measured), tuple(beyond))


def fit_power_law(sizes: Floats, errors: Floats) -> Floats:
    """Floor, factor and exponent of the curve with the least relative squares.

    Args:
        sizes: `(points,)`.
        errors: `(points,)`, above 0.
    """
    start = (0.5 * errors.min(), max(errors[0] - 0.5 * errors.min(), 1e-6) * sizes[0] ** 0.5, 0.5)
    bounds = ((0.0, 0.0, _EXPONENTS[0]), (np.inf, np.inf, _EXPONENTS[1]))
    fitted: Floats = curve_fit(_power_law, sizes, errors, start, errors, bounds=bounds, max_nfev=10_000)[0]
    return fitted


def conclusions(rows: Sequence[VariantResult]) -> list[str]:
    """A sentence for each variant but the reference, in the order of the table."""
    reference = _quoted(rows[0].variant.name)
    return [_sentence(row, reference) for row in rows[1:]]


def headline(rows: Sequence[VariantResult]) -> str:
    """The answer in a line."""
    reference = _quoted(rows[0].variant.name)
    words = {
        "better": f"Better than {reference}",
        "worse": f"Worse than {reference}",
        "no difference shown": f"No difference from {reference} shown",
        "one training each": "No verdict, one training each",
        "too few garments": "No verdict, too few garments",
        "incomplete": "No verdict, runs are missing",
    }
    found: dict[str, list[str]] = {verdict: [] for verdict in words}
    for row in rows[1:]:
        found[row.paired.verdict if row.paired else "incomplete"].append(_quoted(row.variant.name))
    return " ".join(f"{words[verdict]}: {', '.join(names)}." for verdict, names in found.items() if names)


def reach_of(rows: Sequence[VariantResult]) -> str:
    """What the intervals are over, in a sentence."""
    paired = [row.paired for row in rows if row.paired]
    whole = [pairing for pairing in paired if pairing.verdict != "incomplete"]
    drawn = {pairing.dice.drawn for pairing in whole or paired}
    if not drawn:
        return ""
    words = {
        "garments and seeds": "other garments of this kind and other seeds",
        "folds": "other folds, each a training of its own",
        "garments": "other garments of this kind, with these very networks",
    }
    over = "; or ".join(words[kind] for kind in sorted(drawn))
    text = f"95 % intervals: where the mean difference would lie with {over}."
    if (num := sum(pairing.p_holm is not None for pairing in paired)) > 1:
        text += (
            f" A verdict needs an interval without 0, and p at most {SIGNIFICANCE:g} after Holm's correction for"
            f" {num} comparisons."
        )
    return text


def signed(value: float, decimals: int = 4) -> str:
    """`+0.0012`, and `0.0000` without a sign."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def interval_text(difference: Difference) -> str:
    """`[-0.0003, +0.0021]`, or nothing where there is none."""
    if difference.low is None or difference.high is None:
        return ""
    return f"[{signed(difference.low)}, {signed(difference.high)}]"


def _state_of(entry: JobEntry, *, is_held: bool) -> tuple[str, str]:
    """Outcome and reason."""
    if entry.outcome == "running" and is_held:
        return "running", ""
    if entry.outcome in ("running", "abandoned"):
        return "interrupted", "its process was killed"
    return entry.outcome, str(entry.facts.get("reason", ""))


def _read(study: Study, key: RunKey, outcome: str, reason: str) -> RunResult:
    folder, scores = study.run_folder(key), list[PhotoScore]()
    if outcome == "done":
        try:
            scores = read_scores(folder)
        except EvaluationError:
            outcome, reason = "not run", f"{folder} holds no scores that can be read"
    try:
        rows = read_journal(folder / JOURNAL_NAME)
        curve = tuple((row["step"], row["mean_dice"]) for row in rows if row["kind"] == "evaluation")
    except (TrainingError, OSError, KeyError):
        curve = ()
    facts = _json_of(folder / "run.json")
    split = study.split_of(key.variant, key.seed, key.fold)
    return RunResult(
        key,
        outcome,
        reason,
        scores=tuple(scores),
        curve=curve,
        seconds=facts.get("seconds"),
        machine=str(facts.get("machine", "")),
        num_trained_on=facts.get("num_trained_on"),
        num_garments=len({pair.garment for pair in split.train}),
    )


def _json_of(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        return {**content}
    except (OSError, ValueError, TypeError):
        return {}


def _paired(blocks: Mapping[str, Sequence[FoldBlock]], *, complete: bool) -> Paired:
    dice, surface = (difference_of(blocks[metric]) for metric in (DICE, SURFACE))
    means = np.concatenate([block.values.mean(axis=1) for block in blocks[DICE]])
    better, worse = int((means > 0).sum()), int((means < 0).sum())
    verdict: Verdict = "no difference shown"
    if not complete:
        verdict = "incomplete"
    elif dice.low is None:
        verdict = "too few garments"
    elif dice.drawn == "garments":
        verdict = "one training each"
    return Paired(dice, surface, better, worse, len(means) - better - worse, None, verdict)


def _judged(paired: Paired, p_holm: float | None) -> Paired:
    dice, verdict = paired.dice, paired.verdict
    if verdict == "no difference shown" and p_holm is not None and p_holm <= SIGNIFICANCE:
        # Both must say so: the interval knows of lopsided differences, p of the other variants.
        if dice.low is not None and dice.low > 0:
            verdict = "better"
        elif dice.high is not None and dice.high < 0:
            verdict = "worse"
    return replace(paired, p_holm=p_holm, verdict=verdict)


def _row(variant: Variant, runs: Sequence[RunResult], paired: Paired | None) -> VariantResult:
    done = [run for run in runs if run.outcome == "done"]
    measures = [found for run in done for found in run.measures.values()]
    seconds = [run.seconds for run in done if run.seconds is not None]

    def over(metric: str, figure: Callable[[list[float]], float]) -> float | None:
        values = [getattr(one, metric) for one in measures]
        return float(figure(values)) if values else None

    return VariantResult(
        variant=variant,
        num_done=len(done),
        num_runs=len(runs),
        num_photos=len({name for run in done for name in run.measures}),
        mean=over(DICE, fmean),
        median=over(DICE, median),
        surface=over(SURFACE, fmean),
        seconds=fmean(seconds) if seconds else None,
        paired=paired,
    )


def _errors_of(runs: Sequence[RunResult], groups: Mapping[str, str]) -> list[FoldBlock]:
    """1 - Dice, one block a fold."""
    blocks = []
    for fold in sorted({run.key.fold for run in runs}):
        tables = [run.measures for run in sorted(runs, key=lambda run: run.key.seed) if run.key.fold == fold]
        names = sorted(set.intersection(*map(set, tables)))
        values = np.array([[1 - table[name].dice for table in tables] for name in names], np.float64)
        blocks.append(FoldBlock(values, [groups.get(name, name) for name in names]))
    return blocks


def _num_garments(runs: Sequence[RunResult]) -> int:
    return round(sum(run.num_garments for run in runs) / len(runs))


def _power_law(sizes: Any, floor: Any, factor: Any, exponent: Any) -> Any:
    return floor + factor * np.asarray(sizes, np.float64) ** -exponent


def _point(garments: int, error: float, drawn: Floats) -> Point:
    low, high = np.quantile(drawn, _TAILS)
    return Point(garments, error, float(low), float(high))


def _quoted(name: str) -> str:
    """A variant's name as it stands in a sentence: one with a comma would read as two."""
    return f'"{name}"' if "," in name else name


def _sentence(row: VariantResult, reference: str) -> str:
    name, paired = _quoted(row.variant.name), row.paired
    if paired is None:
        return f"{name}: not measured ({row.num_done} of {row.num_runs} runs done)."
    interval = interval_text(paired.dice)
    shown = f"{signed(paired.dice.value)} Dice{f' {interval}' if interval else ''}"
    counts = f"better on {paired.better} photos, worse on {paired.worse}"
    counts += f", the same on {paired.same}" if paired.same else ""
    return f"{name}: {_verdict_words(paired, reference, row)}: {shown}; {counts}."


def _verdict_words(paired: Paired, reference: str, row: VariantResult) -> str:
    if paired.verdict in ("better", "worse"):
        return f"{paired.verdict} than {reference}"
    if paired.verdict == "incomplete":
        return f"no verdict, {row.num_done} of its {row.num_runs} runs are done, or not all of {reference}'s"
    if paired.verdict == "one training each":
        return "no verdict, one training each: another training might turn it round"
    if paired.verdict == "too few garments":
        return "no verdict, too few garments for an interval"
    low, high = paired.dice.low, paired.dice.high
    if low is not None and high is not None and (low > 0 or high < 0):
        return f"no difference from {reference} shown, once corrected for the number of comparisons"
    return f"no difference from {reference} shown"
