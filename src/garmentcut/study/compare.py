"""Compares a study's variants with its reference, photo by photo, by the scores of its runs; for the report.

Scores of the same photo, held out of the same fold and with the same seed, are compared. A conclusion says no more than
the intervals of `garmentcut.evaluation.intervals` support.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from garmentcut.errors import EvaluationError, TrainingError, counted
from garmentcut.evaluation.intervals import Difference, Draws, FoldBlock, difference_of
from garmentcut.evaluation.scores import PhotoScore, read_scores
from garmentcut.photo.files import json_of
from garmentcut.study.declare import Variant
from garmentcut.study.plan import Chosen, Registry, RunKey, Study, choices_of
from garmentcut.training.logging import JOURNAL_NAME, read_journal

DICE, SURFACE = "dice", "surface_dice_2px"  # the metric that verdicts are based on, and one shown in addition
SIGNIFICANCE = 0.05
LEAST_SIZES = 4  # variants that are needed to fit a curve of three parameters

_GROWTH_RESAMPLES = 400
_EXPONENTS = (0.05, 3.0)

# Conclusions: in the headline, and in the sentence about a variant.
_VERDICTS = {
    "better": ("Better than {}", "better than {}"),
    "worse": ("Worse than {}", "worse than {}"),
    "no difference shown": ("No difference from {} shown", "no difference from {} shown"),
    "one training each": (
        "No verdict, one training each",
        "no verdict, one training each: another training might reverse it",
    ),
    "too few garments": ("No verdict, too few garments", "no verdict, too few garments for an interval"),
    "incomplete": (
        "No verdict, runs are missing",
        "no verdict, {done} of its {runs} runs are done, or not all of {}'s",
    ),
}
_DRAWN = {
    "garments and seeds": "other garments of this kind and other seeds",
    "folds": "other folds, each a training of its own",
    "garments": "other garments of this kind, with these very networks",
}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RunResult:
    """One measured run."""

    key: RunKey
    outcome: str  # `done`, `failed`, `interrupted`, `not run`, or `running` (in another process)
    reason: str = ""  # why it failed or was not run
    scores: tuple[PhotoScore, ...] = ()  # one row per photo; empty if it is not done
    curve: tuple[tuple[int, float], ...] = ()  # step and mean Dice of each evaluation during training
    seconds: float | None = None  # duration of the training
    machine: str = ""  # description of the machine
    num_garments: int = 0  # garments that it was trained on

    @property
    def is_failed(self) -> bool:
        """True if it failed or cannot be run, so that its result will not come."""
        return self.outcome == "failed" or (self.outcome == "not run" and bool(self.reason))

    @property
    def mean_dice(self) -> float | None:
        """Mean Dice over the measured photos, convention `alpha >= 128`."""
        return _mean([score.measures.dice for score in self.scores if score.measures])


@dataclass(frozen=True)
class Results:
    """Everything that a report is made from."""

    study: Study
    runs: tuple[RunResult, ...]  # one per key of the study, in that order
    chosen: Mapping[str, Chosen]  # results of tuning by variant; those still being tuned are missing
    permanent_failures: Mapping[str, str]  # by variant, why it cannot be run

    def of(self, variant: Variant) -> tuple[RunResult, ...]:
        """The runs of a variant."""
        return tuple(run for run in self.runs if run.key.variant.name == variant.name)

    def table(self, variant: Variant, metric: str) -> list[Floats]:
        """For each fold, the held-out photos' values with each seed, `(photos, seeds)`; NaN: not measured."""
        found = {
            (run.key.fold, score.name, run.key.seed): getattr(score.measures, metric)
            for run in self.of(variant)
            for score in run.scores
            if score.measures
        }
        seeds, tables = sorted(self.study.file.seeds), []
        for fold in sorted(self.study.file.folds):
            names = [pair.name for pair in self.study.splits[fold].validation]
            tables.append(np.array([[found.get((fold, name, seed), np.nan) for seed in seeds] for name in names]))
        return tables

    def blocks(self, tables: Sequence[Floats]) -> list[FoldBlock]:
        """Such tables reduced to seeds with any value, and to photos that have a value with all of these seeds."""
        blocks = []
        for fold, table in zip(sorted(self.study.file.folds), tables, strict=True):
            seeds = table[:, ~np.isnan(table).all(axis=0)]
            is_whole = np.asarray(~np.isnan(seeds).any(axis=1))
            pairs = self.study.splits[fold].validation
            garments = [pair.group or pair.garment for pair, whole in zip(pairs, is_whole, strict=True) if whole]
            if seeds[is_whole].size:
                blocks.append(FoldBlock(seeds[is_whole], garments))
        return blocks

    def differences(self, variant: Variant, metric: str) -> list[FoldBlock]:
        """A variant's values minus the reference's."""
        pairs = zip(self.table(variant, metric), self.table(self.study.variants[0], metric), strict=True)
        return self.blocks([own - other for own, other in pairs])

    @cached_property
    def rows(self) -> tuple["VariantResult", ...]:
        """A row for each variant, the reference first."""
        first, *others = self.study.variants
        found = {one.name: blocks for one in others if (blocks := self.differences(one, DICE))}
        dices = {name: difference_of(blocks) for name, blocks in found.items()}
        corrected = holm({name: dice.p for name, dice in dices.items() if dice.p is not None})
        rows = []
        for variant in self.study.variants:
            name, paired, runs = variant.name, None, self.of(variant)
            if name in found:
                is_complete = all(run.outcome == "done" for run in (*runs, *self.of(first)))
                signs = np.sign(np.concatenate([block.values.mean(axis=1) for block in found[name]]))
                better, worse, same = (int((signs == sign).sum()) for sign in (1, -1, 0))
                verdict = _verdict(dices[name], corrected.get(name)) if is_complete else "incomplete"
                surface = difference_of(self.differences(variant, SURFACE))
                paired = Paired(dices[name], surface, better, worse, same, corrected.get(name), verdict)
            values = [score.measures for run in runs for score in run.scores if score.measures]
            rows.append(
                VariantResult(
                    variant=variant,
                    num_done=sum(run.outcome == "done" for run in runs),
                    num_runs=len(runs),
                    num_photos=len({score.name for run in runs for score in run.scores if score.measures}),
                    mean=_mean([one.dice for one in values]),
                    median=float(np.median([one.dice for one in values])) if values else None,
                    surface=_mean([one.surface_dice_2px for one in values]),
                    seconds=_mean([run.seconds for run in runs if run.outcome == "done" and run.seconds is not None]),
                    paired=paired,
                )
            )
        return tuple(rows)

    @cached_property
    def growth(self) -> "Growth | None":
        """The curve through all variants whose runs are done; None: not requested, or there are too few of them.

        Its intervals come from resampling garments and trainings as in `garmentcut.evaluation.intervals`, with the
        curve fitted anew to each resample. They do not cover that the curve may be wrong outside the measured range.
        """
        if (curve := self.study.file.curve) is None:
            return None
        variants = [one for one in self.study.variants if all(run.outcome == "done" for run in self.of(one))]
        numbers = {one.name: round(fmean(run.num_garments for run in self.of(one))) for one in variants}
        variants.sort(key=lambda one: numbers[one.name])
        sizes = np.array([numbers[one.name] for one in variants])
        errors = [self.blocks([1 - table for table in self.table(one, DICE)]) for one in variants]
        shapes = {tuple(block.values.shape for block in blocks) for blocks in errors}
        can_be_fitted = len(set(sizes)) >= LEAST_SIZES and len(shapes) == 1
        if not can_be_fitted or (draws := Draws.of(errors[0], resamples=_GROWTH_RESAMPLES)) is None:
            return None
        means = np.array([np.concatenate([block.values.mean(axis=1) for block in blocks]).mean() for blocks in errors])
        drawn = np.stack([m + draws.spread([b.values - m for b in e])[0] for m, e in zip(means, errors, strict=True)])
        drawn = np.maximum(drawn, 1e-6)  # weights of photos may be negative in extreme resamples
        fitted, of_draws = fit_power_law(sizes, means), np.array([fit_power_law(sizes, row) for row in drawn.T]).T

        def point(size: Any, error: Any, spread: Floats) -> Point:
            return Point(int(size), float(error), *map(float, np.quantile(spread, (0.025, 0.975))))

        beyond = tuple(point(size, power_law(size, *fitted), power_law(size, *of_draws)) for size in curve.at)
        floor, factor, exponent = map(float, fitted)
        return Growth(floor, factor, exponent, tuple(map(point, sizes, means, drawn)), beyond)


def gather(study: Study, registry: Registry) -> Results:
    """Read the results of a study's runs; those that cannot be read count as not done."""
    chosen, failures = choices_of(study, registry)
    runs = tuple(_read(study, key, registry, failures.get(key.variant.name, "")) for key in study.keys)
    return Results(study, runs, chosen, failures)


def _read(study: Study, key: RunKey, registry: Registry, failure: str) -> RunResult:
    folder, record = study.run_folder(key), registry.record(key.job)
    scores, facts = list[PhotoScore](), dict[str, Any]()
    outcome, reason = (record.outcome, record.reason) if record.outcome else ("not run", failure)
    curve: tuple[tuple[int, float], ...] = ()
    try:
        scores = read_scores(folder) if outcome == "done" else []
    except EvaluationError:
        outcome, reason = "not run", f"{folder} holds no scores that can be read"
    with suppress(TrainingError, OSError, KeyError):
        rows = read_journal(folder / JOURNAL_NAME)
        curve = tuple((row["step"], row["mean_dice"]) for row in rows if row["kind"] == "evaluation")
    with suppress(OSError, ValueError, TypeError):
        facts = {**json_of((folder / "run.json").read_bytes())}
    num_garments = len({pair.garment for pair in study.split_of(key.variant, key.seed, key.fold).train})
    machine = str(facts.get("machine", ""))
    return RunResult(key, outcome, reason, tuple(scores), curve, facts.get("seconds"), machine, num_garments)


@dataclass(frozen=True)
class Paired:
    """The comparison of a variant with the reference."""

    dice: Difference  # mean difference of Dice, `alpha >= 128`
    surface: Difference  # mean difference of surface Dice at 2 px
    better: int  # number of photos whose mean Dice over the seeds is higher
    worse: int
    same: int
    p_holm: float | None  # p-value of the Dice, corrected for the number of variants (Holm 1979); None: no interval
    verdict: str  # conclusion, a key of `_VERDICTS`


@dataclass(frozen=True)
class VariantResult:
    """A row of the table."""

    variant: Variant
    num_done: int  # trainings that were measured, and that are planned
    num_runs: int
    num_photos: int  # distinct photos measured
    mean: float | None  # mean Dice over photos and trainings, `alpha >= 128`; None: nothing was measured
    median: float | None
    surface: float | None  # mean surface Dice at 2 px
    seconds: float | None  # mean duration of a training
    paired: Paired | None  # against the reference; None: it is the reference, or they have no run in common


def _verdict(dice: Difference, p_holm: float | None) -> str:
    if dice.low is None or dice.high is None:
        return "too few garments"
    if dice.drawn == "garments":
        return "one training each"
    # Both must agree: the interval accounts for skewed differences, p for the number of variants.
    if p_holm is not None and p_holm <= SIGNIFICANCE and (dice.low > 0 or dice.high < 0):
        return "better" if dice.low > 0 else "worse"
    return "no difference shown"


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (1979) of k p-values: the smallest times k, the next times k - 1 ..., monotonic."""
    names = sorted(ps, key=ps.__getitem__)
    steps = [min(1.0, ps[name] * (len(ps) - rank)) for rank, name in enumerate(names)]
    return dict(zip(names, np.maximum.accumulate(steps).tolist(), strict=True))


@dataclass(frozen=True)
class Point:
    """Mean error at a number of garments, measured or from the curve."""

    garments: int  # number of garments trained on
    error: float  # 1 - mean Dice
    low: float  # 95 % interval
    high: float


@dataclass(frozen=True)
class Growth:
    """How much more photos would help: error(n) = floor + factor n^-exponent for n garments.

    A power law plus an error that no number of photos removes (Hestness 2017, arXiv 1712.00409; Rosenfeld 2020, arXiv
    1909.12673).
    """

    floor: float  # 0 or more
    factor: float
    exponent: float
    measured: tuple[Point, ...]  # what it was fitted to
    beyond: tuple[Point, ...]  # its extrapolation to more garments


def power_law(sizes: Any, floor: Any, factor: Any, exponent: Any) -> Any:
    """Error at a number of garments, or at several."""
    return floor + factor * np.asarray(sizes, np.float64) ** -exponent


def fit_power_law(sizes: Any, errors: Floats) -> Floats:
    """Floor, factor and exponent of the curve, by least squares of relative errors; `errors` must be positive."""
    start = (0.5 * errors.min(), max(errors[0] - 0.5 * errors.min(), 1e-6) * sizes[0] ** 0.5, 0.5)
    bounds = ((0.0, 0.0, _EXPONENTS[0]), (np.inf, np.inf, _EXPONENTS[1]))
    return np.asarray(curve_fit(power_law, sizes, errors, start, errors, bounds=bounds, max_nfev=10_000)[0])


def conclusions(rows: Sequence[VariantResult]) -> list[str]:
    """A sentence for each variant but the reference, in the order of the table."""
    return [_sentence(row, _quoted(rows[0])) for row in rows[1:]]


def headline(rows: Sequence[VariantResult]) -> str:
    """The conclusion of the study in one line."""
    found: dict[str, list[str]] = {verdict: [] for verdict in _VERDICTS}
    for row in rows[1:]:
        found[row.paired.verdict if row.paired else "incomplete"].append(_quoted(row))
    said = [(_VERDICTS[verdict][0].format(_quoted(rows[0])), names) for verdict, names in found.items() if names]
    return " ".join(f"{words}: {', '.join(names)}." for words, names in said)


def reach_of(rows: Sequence[VariantResult]) -> str:
    """A sentence that says what was resampled for the intervals."""
    paired = [row.paired for row in rows if row.paired]
    if not paired:
        return ""
    whole = [pairing for pairing in paired if pairing.verdict != "incomplete"]
    over = "; or ".join(_DRAWN[kind] for kind in sorted({pairing.dice.drawn for pairing in whole or paired}))
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
    """Text such as `[-0.0003, +0.0021]`; empty if there is no interval."""
    if difference.low is None or difference.high is None:
        return ""
    return f"[{signed(difference.low)}, {signed(difference.high)}]"


def _quoted(row: VariantResult) -> str:
    """A variant's name for a sentence, quoted if it has a comma, which would make it read like two names."""
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
    same, better = f", the same on {paired.same}" if paired.same else "", counted(paired.better, "photo")
    return f"{_quoted(row)}: {words}: {shown}; better on {better}, worse on {paired.worse}{same}."
