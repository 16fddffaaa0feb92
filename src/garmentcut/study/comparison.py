"""Arms against the reference, photo by photo: the same photo, held out of the same fold, trained with the same seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

import numpy as np

from garmentcut.evaluation.intervals import Block, Difference, difference_of
from garmentcut.evaluation.metrics import Measures
from garmentcut.evaluation.scores import PhotoScore
from garmentcut.study.arms import Arm
from garmentcut.study.results import Results, RunResult

DICE, SURFACE = "dice", "surface_dice_2px"
"""The metric that verdicts rest on, and the second look."""

SIGNIFICANCE = 0.05

Verdict = Literal["better", "worse", "no difference shown", "incomplete", "one training each", "too few garments"]


@dataclass(frozen=True)
class Paired:
    """An arm against the reference.

    Attributes:
        dice: mean difference of Dice, `alpha >= 128`.
        surface: mean difference of surface Dice at 2 px.
        better, worse, same: photos, by the mean of their Dice over the seeds.
        p_holm: of the Dice, corrected for the number of arms compared (Holm 1979); None: no interval.
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
class ArmResult:
    """A row of the table.

    Attributes:
        arm: which.
        num_done, num_runs: trainings measured, and planned.
        num_photos: distinct photos measured.
        mean, median: Dice over photos and trainings, `alpha >= 128`; None: nothing was measured.
        surface: mean surface Dice at 2 px.
        seconds: mean of a training.
        paired: against the reference; None: it is the reference, or they have no run in common.
    """

    arm: Arm
    num_done: int
    num_runs: int
    num_photos: int
    mean: float | None
    median: float | None
    surface: float | None
    seconds: float | None
    paired: Paired | None


def compare(results: Results) -> tuple[ArmResult, ...]:
    """A row for each arm, the reference first."""
    groups = {pair.name: pair.group or pair.garment for pair in results.study.manifest.usable}
    reference = results.of(results.study.reference)
    found: dict[str, Paired] = {}
    for arm in results.study.arms[1:]:
        if blocks := pair_up(results.of(arm), reference, groups):
            complete = all(run.outcome == "done" for run in (*results.of(arm), *reference))
            found[arm.name] = _paired(blocks, complete=complete)
    corrected = holm({name: paired.dice.p for name, paired in found.items() if paired.dice.p is not None})
    judged = {name: _judged(paired, corrected.get(name)) for name, paired in found.items()}
    return tuple(_row(arm, results.of(arm), judged.get(arm.name)) for arm in results.study.arms)


def pair_up(
    runs: Sequence[RunResult], reference: Sequence[RunResult], groups: Mapping[str, str]
) -> dict[str, list[Block]]:
    """Differences, arm less reference, of each photo and seed, by metric; empty: no fold and seed in common.

    Of a fold, the seeds count that both arms have, and the photos that were measured with all of these.

    Args:
        runs: of the arm.
        reference: of the reference.
        groups: photo's name to garment; those who look alike have one.
    """
    ours, theirs = _scores_by_run(runs), _scores_by_run(reference)
    blocks: dict[str, list[Block]] = {DICE: [], SURFACE: []}
    for fold in sorted({fold for fold, _ in ours}):
        pairs = [(ours[key], theirs[key]) for key in sorted(ours) if key[0] == fold and key in theirs]
        if not pairs:
            continue
        names = sorted(set.intersection(*(set(side) for pair in pairs for side in pair)))
        if not names:
            continue
        garments = [groups.get(name, name) for name in names]
        for metric, found in blocks.items():
            values = [[getattr(own[n], metric) - getattr(other[n], metric) for own, other in pairs] for n in names]
            found.append(Block(np.array(values, np.float64), garments))
    return blocks if blocks[DICE] else {}


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (1979): the smallest of k times k, the next times k - 1 ..., never falling."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(ps, key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[name] * (len(ps) - rank)))
        corrected[name] = highest
    return corrected


def _scores_by_run(runs: Sequence[RunResult]) -> dict[tuple[int, int], dict[str, Measures]]:
    return {
        (run.cell.fold, run.cell.seed): {score.name: score.measures for score in run.scores if score.measures}
        for run in runs
        if run.outcome == "done"
    }


def _paired(blocks: Mapping[str, Sequence[Block]], *, complete: bool) -> Paired:
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
        # Both must say so: the interval knows of lopsided differences, p of the other arms.
        if dice.low is not None and dice.low > 0:
            verdict = "better"
        elif dice.high is not None and dice.high < 0:
            verdict = "worse"
    return Paired(dice, paired.surface, paired.better, paired.worse, paired.same, p_holm, verdict)


def _row(arm: Arm, runs: Sequence[RunResult], paired: Paired | None) -> ArmResult:
    done = [run for run in runs if run.outcome == "done"]
    scores = [score for run in done for score in run.scores if score.measures]
    seconds = [run.seconds for run in done if run.seconds is not None]
    return ArmResult(
        arm=arm,
        num_done=len(done),
        num_runs=len(runs),
        num_photos=len({score.name for score in scores}),
        mean=_over(scores, DICE, fmean),
        median=_over(scores, DICE, median),
        surface=_over(scores, SURFACE, fmean),
        seconds=fmean(seconds) if seconds else None,
        paired=paired,
    )


def _over(scores: Sequence[PhotoScore], metric: str, figure: Callable[[list[float]], float]) -> float | None:
    values = [getattr(score.measures, metric) for score in scores]
    return float(figure(values)) if values else None
