"""Compares a study's variants with its reference, photo by photo, for the report; from the scores of its runs.

The same photo, held out of the same fold, trained with the same seed, is compared. A sentence says no more than the
intervals of `garmentcut.evaluation.intervals` allow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from garmentcut.errors import EvaluationError, TrainingError
from garmentcut.evaluation.intervals import Difference, Draws, FoldBlock, difference_of
from garmentcut.evaluation.metrics import PhotoMetrics
from garmentcut.evaluation.scores import PhotoScore, read_scores
from garmentcut.photo.files import json_of
from garmentcut.study.declare import Variant
from garmentcut.study.plan import RUNS, Chosen, Registry, RunKey, Study, outcome_of
from garmentcut.training.logging import JOURNAL_NAME, read_journal

DICE, SURFACE = "dice", "surface_dice_2px"  # the metric that verdicts rest on, and the one beside it
SIGNIFICANCE = 0.05
LEAST_SIZES = 4  # with fewer variants a curve of three numbers says nothing

_GROWTH_RESAMPLES = 400
_EXPONENTS = (0.05, 3.0)
_TAILS = (0.025, 0.975)

# What may be concluded: in the headline, and in a variant's own sentence.
_VERDICTS = {
    "better": ("Better than {}", "better than {}"),
    "worse": ("Worse than {}", "worse than {}"),
    "no difference shown": ("No difference from {} shown", "no difference from {} shown"),
    "one training each": (
        "No verdict, one training each",
        "no verdict, one training each: another training might turn it round",
    ),
    "too few garments": ("No verdict, too few garments", "no verdict, too few garments for an interval"),
    "incomplete": (
        "No verdict, runs are missing",
        "no verdict, {done} of its {runs} runs are done, or not all of {}'s",
    ),
}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RunResult:
    """One measured run."""

    key: RunKey
    outcome: str  # `done`, `failed`, `interrupted`, `not run`, or `running`: in another process
    reason: str = ""  # why it failed or was not run
    scores: tuple[PhotoScore, ...] = ()  # a row a photo; none if it is not done
    curve: tuple[tuple[int, float], ...] = ()  # step and mean Dice of each evaluation while it trained
    seconds: float | None = None  # of training
    machine: str = ""  # in words
    num_garments: int = 0  # garments that it learned from

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
        return _mean([found.dice for found in self.measures.values()])


@dataclass(frozen=True)
class Results:
    """Everything a report is made of."""

    study: Study
    runs: tuple[RunResult, ...]  # one a key, in its order
    chosen: Mapping[str, Chosen]  # by variant, what tuning came to; a variant that is not there is not chosen yet
    permanent_failures: Mapping[str, str]  # by variant, why it cannot be run

    def of(self, variant: Variant) -> tuple[RunResult, ...]:
        """The runs of a variant."""
        return tuple(run for run in self.runs if run.key.variant.name == variant.name)

    @property
    def groups(self) -> dict[str, str]:
        """Photo's name to garment; garments that look alike have one."""
        return {pair.name: pair.group or pair.garment for pair in self.study.manifest.usable}

    @cached_property
    def rows(self) -> tuple["VariantResult", ...]:
        """As `compare`."""
        return compare(self)

    @cached_property
    def growth(self) -> "Growth | None":
        """As `fit_growth`, where the study's file asks for it."""
        curve = self.study.file.curve
        return fit_growth(self, curve.at) if curve else None


def gather(
    study: Study, registry: Registry, *, chosen: Mapping[str, Chosen], permanent_failures: Mapping[str, str]
) -> Results:
    """Read what is there; what cannot be read counts as not done."""
    attempts = registry.attempts(RUNS)

    def result_of(key: RunKey) -> RunResult:
        if (trial := attempts.get(key.path)) is None:
            return _read(study, key, "not run", permanent_failures.get(key.variant.name, ""))
        outcome = outcome_of(trial)
        if outcome == "running" and registry.is_held(RUNS, key.path):
            return _read(study, key, "running", "")
        if outcome in ("running", "abandoned"):
            return _read(study, key, "interrupted", "its process was killed")
        return _read(study, key, outcome, trial.user_attrs.get("reason", ""))

    return Results(study, tuple(map(result_of, study.keys)), chosen, permanent_failures)


@dataclass(frozen=True)
class Paired:
    """A variant against the reference."""

    dice: Difference  # mean difference of Dice, `alpha >= 128`
    surface: Difference  # mean difference of surface Dice at 2 px
    better: int  # photos, by the mean of their Dice over the seeds
    worse: int
    same: int
    p_holm: float | None  # of the Dice, corrected for the number of variants compared (Holm 1979); None: no interval
    verdict: str  # what may be concluded, a key of `_VERDICTS`


@dataclass(frozen=True)
class VariantResult:
    """A row of the table."""

    variant: Variant
    num_done: int  # trainings measured, and planned
    num_runs: int
    num_photos: int  # distinct photos measured
    mean: float | None  # Dice over photos and trainings, `alpha >= 128`; None: nothing was measured
    median: float | None
    surface: float | None  # mean surface Dice at 2 px
    seconds: float | None  # mean of a training
    paired: Paired | None  # against the reference; None: it is the reference, or they have no run in common


def compare(results: Results) -> tuple[VariantResult, ...]:
    """A row for each variant, the reference first."""
    first, *others = results.study.variants
    pairs = {variant.name: pair_up(results.of(variant), results.of(first), results.groups) for variant in others}
    found = {name: difference_of(blocks[DICE]) for name, blocks in pairs.items() if blocks[DICE]}
    corrected = holm({name: dice.p for name, dice in found.items() if dice.p is not None})
    rows = []
    for variant in results.study.variants:
        name, paired = variant.name, None
        if name in found:
            is_complete = all(run.outcome == "done" for run in (*results.of(variant), *results.of(first)))
            means = np.concatenate([block.values.mean(axis=1) for block in pairs[name][DICE]])
            counts = (int((means > 0).sum()), int((means < 0).sum()), int((means == 0).sum()))
            verdict = _verdict(found[name], corrected.get(name)) if is_complete else "incomplete"
            surface = difference_of(pairs[name][SURFACE])
            paired = Paired(found[name], surface, *counts, corrected.get(name), verdict)
        rows.append(_row(variant, results.of(variant), paired))
    return tuple(rows)


def pair_up(
    runs: Sequence[RunResult], reference: Sequence[RunResult], groups: Mapping[str, str]
) -> dict[str, list[FoldBlock]]:
    """Differences, variant less reference, of each photo and seed, by metric; empty: no fold and seed in common."""
    theirs = {(run.key.fold, run.key.seed): run.measures for run in reference if run.outcome == "done"}
    done = [(run.key, run.measures, theirs.get((run.key.fold, run.key.seed))) for run in runs if run.outcome == "done"]

    def differences(metric: str) -> list[tuple[RunKey, dict[str, float]]]:
        return [
            (key, {name: getattr(own[name], metric) - getattr(other[name], metric) for name in own if name in other})
            for key, own, other in done
            if other is not None
        ]

    return {metric: fold_blocks(differences(metric), groups) for metric in (DICE, SURFACE)}


def fold_blocks(tables: Sequence[tuple[RunKey, Mapping[str, float]]], groups: Mapping[str, str]) -> list[FoldBlock]:
    """The photos' values with each seed as a block a fold, of the photos that have one with all of its seeds."""
    blocks = []
    for fold in sorted({key.fold for key, _ in tables}):
        by_seed = [table for key, table in sorted(tables, key=lambda one: one[0].seed) if key.fold == fold]
        if names := sorted(set.intersection(*map(set, by_seed))):
            values = np.array([[table[name] for table in by_seed] for name in names], np.float64)
            blocks.append(FoldBlock(values, [groups.get(name, name) for name in names]))
    return blocks


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (1979): the smallest of k times k, the next times k - 1 ..., never falling."""
    names = sorted(ps, key=ps.__getitem__)
    steps = [min(1.0, ps[name] * (len(ps) - rank)) for rank, name in enumerate(names)]
    return dict(zip(names, np.maximum.accumulate(steps).tolist(), strict=True))


@dataclass(frozen=True)
class Point:
    """Mean error at a number of garments, measured or read off the curve."""

    garments: int  # learned from
    error: float  # 1 - mean Dice
    low: float  # 95 % interval
    high: float


@dataclass(frozen=True)
class Growth:
    """How much more photos would help: error(n) = floor + factor n^-exponent for n garments.

    A power law over an error that no number of photos removes (Hestness 2017, arXiv 1712.00409; Rosenfeld 2020, arXiv
    1909.12673).
    """

    floor: float  # 0 or more
    factor: float
    exponent: float
    measured: tuple[Point, ...]  # what it was fitted to
    beyond: tuple[Point, ...]  # what it says of more garments, should it go on as it began

    def __call__(self, garments: Any) -> Any:
        """Error at a number of garments, or at several."""
        return _power_law(garments, self.floor, self.factor, self.exponent)


def fit_growth(results: Results, at: Sequence[int]) -> Growth | None:
    """Fit the curve to all variants whose runs are done; None: there are too few of them.

    The intervals come from draws of garments and trainings as in `garmentcut.evaluation.intervals`, the curve fitted
    anew to each: they cover what was drawn, and not that the curve may bend where nothing was measured.
    """
    done = [runs for runs in map(results.of, results.study.variants) if all(run.outcome == "done" for run in runs)]
    by_size = sorted(((round(fmean(run.num_garments for run in runs)), runs) for runs in done), key=lambda one: one[0])
    sizes = np.array([size for size, _ in by_size], np.float64)
    if len(set(sizes)) < LEAST_SIZES:
        return None
    losses = [[(run.key, {n: 1 - m.dice for n, m in run.measures.items()}) for run in runs] for _, runs in by_size]
    errors = [fold_blocks(tables, results.groups) for tables in losses]
    draws = Draws.of(errors[0], resamples=_GROWTH_RESAMPLES)
    shapes = {tuple(block.values.shape for block in blocks) for blocks in errors}
    if draws is None or len(shapes) > 1:
        return None
    means = np.array([np.concatenate([block.values.mean(axis=1) for block in blocks]).mean() for blocks in errors])
    drawn = np.stack([m + draws.spread([b.values - m for b in e])[0] for m, e in zip(means, errors, strict=True)])
    drawn = np.maximum(drawn, 1e-6)  # a draw far off may count some photos less than nothing
    fitted, of_draws = fit_power_law(sizes, means), np.array([fit_power_law(sizes, row) for row in drawn.T]).T
    measured = tuple(_point(int(n), float(m), row) for n, m, row in zip(sizes, means, drawn, strict=True))
    beyond = tuple(_point(n, float(_power_law(n, *fitted)), _power_law(n, *of_draws)) for n in at)
    floor, factor, exponent = map(float, fitted)
    return Growth(floor, factor, exponent, measured, beyond)


def fit_power_law(sizes: Floats, errors: Floats) -> Floats:
    """Floor, factor and exponent of the curve with the least relative squares; `errors` lie above 0."""
    start = (0.5 * errors.min(), max(errors[0] - 0.5 * errors.min(), 1e-6) * sizes[0] ** 0.5, 0.5)
    bounds = ((0.0, 0.0, _EXPONENTS[0]), (np.inf, np.inf, _EXPONENTS[1]))
    return np.asarray(curve_fit(_power_law, sizes, errors, start, errors, bounds=bounds, max_nfev=10_000)[0])


def conclusions(rows: Sequence[VariantResult]) -> list[str]:
    """A sentence for each variant but the reference, in the order of the table."""
    return [_sentence(row, _quoted(rows[0])) for row in rows[1:]]


def headline(rows: Sequence[VariantResult]) -> str:
    """The answer in a line."""
    found: dict[str, list[str]] = {verdict: [] for verdict in _VERDICTS}
    for row in rows[1:]:
        found[row.paired.verdict if row.paired else "incomplete"].append(_quoted(row))
    said = [(_VERDICTS[verdict][0].format(_quoted(rows[0])), names) for verdict, names in found.items() if names]
    return " ".join(f"{words}: {', '.join(names)}." for words, names in said)


def reach_of(rows: Sequence[VariantResult]) -> str:
    """What the intervals are over, in a sentence."""
    paired = [row.paired for row in rows if row.paired]
    whole = [pairing for pairing in paired if pairing.verdict != "incomplete"]
    if not paired:
        return ""
    words = {
        "garments and seeds": "other garments of this kind and other seeds",
        "folds": "other folds, each a training of its own",
        "garments": "other garments of this kind, with these very networks",
    }
    over = "; or ".join(words[kind] for kind in sorted({pairing.dice.drawn for pairing in whole or paired}))
    text = f"95 % intervals: where the mean difference would lie with {over}."
    if (num := sum(pairing.p_holm is not None for pairing in paired)) > 1:
        text += (
            f" A verdict needs an interval without 0, and p at most {SIGNIFICANCE:g} after Holm's correction for"
            f" {num} comparisons."
        )
    return text


def signed(value: float) -> str:
    """`+0.0012`, and `0.0000` without a sign."""
    text = f"{value:+.4f}"
    return text[1:] if float(text) == 0 else text


def interval_text(difference: Difference) -> str:
    """`[-0.0003, +0.0021]`, or nothing where there is none."""
    if difference.low is None or difference.high is None:
        return ""
    return f"[{signed(difference.low)}, {signed(difference.high)}]"


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
    try:
        facts = {**json_of((folder / "run.json").read_bytes())}
    except (OSError, ValueError, TypeError):
        facts = {}
    num_garments = len({pair.garment for pair in study.split_of(key.variant, key.seed, key.fold).train})
    machine = str(facts.get("machine", ""))
    return RunResult(key, outcome, reason, tuple(scores), curve, facts.get("seconds"), machine, num_garments)


def _verdict(dice: Difference, p_holm: float | None) -> str:
    if dice.low is None or dice.high is None:
        return "too few garments"
    if dice.drawn == "garments":
        return "one training each"
    # Both must say so: the interval knows of lopsided differences, p of the other variants.
    if p_holm is not None and p_holm <= SIGNIFICANCE and (dice.low > 0 or dice.high < 0):
        return "better" if dice.low > 0 else "worse"
    return "no difference shown"


def _row(variant: Variant, runs: Sequence[RunResult], paired: Paired | None) -> VariantResult:
    done = [run for run in runs if run.outcome == "done"]
    dice, surface = ([getattr(one, key) for run in done for one in run.measures.values()] for key in (DICE, SURFACE))
    return VariantResult(
        variant=variant,
        num_done=len(done),
        num_runs=len(runs),
        num_photos=len({name for run in done for name in run.measures}),
        mean=_mean(dice),
        median=float(median(dice)) if dice else None,
        surface=_mean(surface),
        seconds=_mean([run.seconds for run in done if run.seconds is not None]),
        paired=paired,
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _power_law(sizes: Any, floor: Any, factor: Any, exponent: Any) -> Any:
    return floor + factor * np.asarray(sizes, np.float64) ** -exponent


def _point(garments: int, error: float, drawn: Floats) -> Point:
    low, high = np.quantile(drawn, _TAILS)
    return Point(garments, error, float(low), float(high))


def _quoted(row: VariantResult) -> str:
    """A variant's name as it stands in a sentence: one with a comma would read as two."""
    name = row.variant.name
    return f'"{name}"' if "," in name else name


def _sentence(row: VariantResult, reference: str) -> str:
    if (paired := row.paired) is None:
        return f"{_quoted(row)}: not measured ({row.num_done} of {row.num_runs} runs done)."
    verdict, low, high = paired.verdict, paired.dice.low or 0.0, paired.dice.high or 0.0
    words = _VERDICTS[verdict][1].format(reference, done=row.num_done, runs=row.num_runs)
    if verdict == "no difference shown" and (low > 0 or high < 0):
        words += ", once corrected for the number of comparisons"
    shown = f"{signed(paired.dice.value)} Dice {interval_text(paired.dice)}".rstrip()
    same = f", the same on {paired.same}" if paired.same else ""
    return f"{_quoted(row)}: {words}: {shown}; better on {paired.better} photos, worse on {paired.worse}{same}."
