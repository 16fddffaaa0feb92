"""The jobs of a study: a training that is measured, and an attempt at a setting while tuning."""

import gc
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from garmentcut.errors import TrainingError
from garmentcut.study.arms import RATE
from garmentcut.study.ledger import Claim
from garmentcut.study.passes import stages
from garmentcut.study.plan import Cell, Study
from garmentcut.study.scoring import last_look, score_run
from garmentcut.study.tuning import Attempt, tuning_runs
from garmentcut.training.devices import Devices, launched
from garmentcut.training.logging import Ended, Evaluated
from garmentcut.training.loop import train_runs
from garmentcut.training.run import Run
from garmentcut.training.trial import try_rates


@dataclass(frozen=True)
class Began:
    """A job was taken.

    Attributes:
        job: in words.
    """

    job: str


@dataclass(frozen=True)
class Looked:
    """A training looked at its held-out photos, at its own size."""

    job: str
    step: int
    steps: int
    mean_dice: float


@dataclass(frozen=True)
class Finished:
    """A job is over.

    Attributes:
        job: in words.
        outcome: `done`, `pruned`, `failed`, or `interrupted`.
        reason: why it failed or was interrupted.
        mean_dice: of the held-out photos at their own size, or while tuning at the training's; None: not measured.
    """

    job: str
    outcome: str
    reason: str = ""
    mean_dice: float | None = None


Told = Began | Looked | Finished
Job = Generator[Told, None, Finished]
Report = Callable[[int, float], bool]
"""Is told step and Dice of each look; true: give the training up."""


class Interrupted(Exception):  # noqa: N818 no error: the user, or the clock, asked for it
    """A training was asked to stop."""


@dataclass(frozen=True)
class Trainer:
    """Trains runs one after another.

    Attributes:
        devices: what to train on.
        minutes_left: for all of them; None: no end.
    """

    devices: Devices
    minutes_left: Callable[[], float | None]

    def train(self, run: Run, words: str, report: Report) -> Generator[Told, None, float | None]:
        """Train a run to its end, from where it stands; its last Dice, or None: given up on the way.

        Raises:
            Interrupted: it was asked to stop before.
            TrainingError: and so on; see `garmentcut.training.loop.train_runs`.
        """
        with closing(train_runs([run], self.devices, minutes=self.minutes_left())) as events:
            for _, event in events:
                if isinstance(event, Evaluated):
                    yield Looked(words, event.step, run.recipe.training.steps, event.mean_dice)
                    if report(event.step, event.mean_dice):
                        return None
                if isinstance(event, Ended) and not event.finished:
                    raise Interrupted(event.reason)
        return last_look(run).mean_dice

    def test_range(self, run: Run) -> float:
        """The learning rate that a range test suggests.

        Raises:
            TrainingError: the loss falls at none, and so on.
        """
        with run.held(), launched(self.devices, run.recipe.training) as fabric:
            rate = try_rates(run, fabric)
        if rate is None:
            raise TrainingError("the loss never falls, at no learning rate")
        return rate


def measuring(study: Study, cell: Cell, chosen: Mapping[str, Any], *, claim: Claim, trainer: Trainer) -> Iterator[Told]:
    """Train and measure a cell."""

    def job() -> Job:
        run = None
        for run in stages(study, cell, chosen):
            yield from trainer.train(run, cell.words, _goes_on)
        assert run is not None  # every cell has a stage
        scores = [score.measures.dice for score in score_run(run) if score.measures]
        mean = sum(scores) / len(scores)
        claim.close("done", mean)
        return Finished(cell.words, "done", mean_dice=mean)

    return _guarded(cell.words, claim, job())


def trying(study: Study, attempt: Attempt, *, trainer: Trainer) -> Iterator[Told]:
    """Try a setting of an arm."""

    def job() -> Job:
        words, claim, finals, steps = attempt.words, attempt.claim, list[float](), 0
        for run in tuning_runs(study, attempt):
            if attempt.arm.range_test:
                claim.close("done", 0.0, **{RATE: trainer.test_range(run)})
                return Finished(words, "done")
            last = yield from trainer.train(run, words, _MeanSoFar(claim, tuple(finals), steps))
            if last is None:
                claim.close("pruned")
                return Finished(words, "pruned")
            finals.append(last)
            steps += run.recipe.training.steps
        mean = sum(finals) / len(finals)
        claim.close("done", mean)
        return Finished(words, "done", mean_dice=mean)

    return _guarded(attempt.words, attempt.claim, job())


def _goes_on(_step: int, _dice: float) -> bool:
    """What is measured is never given up: the survivors would look too good."""
    return False


@dataclass(frozen=True)
class _MeanSoFar:
    """Reports the mean over a setting's runs, so far as they are."""

    claim: Claim
    finals: tuple[float, ...]
    steps_before: int

    def __call__(self, step: int, dice: float) -> bool:
        return self.claim.report(self.steps_before + step, (sum(self.finals) + dice) / (len(self.finals) + 1))


def _guarded(words: str, claim: Claim, job: Job) -> Iterator[Told]:
    """A job whose claim is closed however it ends; what is wrong with one must not stop the others."""
    try:
        yield Began(words)
        finished = yield from job
    except Interrupted as stop:
        claim.close("interrupted", reason=str(stop))
        finished = Finished(words, "interrupted", str(stop))
    except Exception as error:  # noqa: BLE001 a row with its reason
        reason = _reason(error)
        claim.close("failed", reason=reason)
        finished = Finished(words, "failed", reason)
    except BaseException:
        claim.close("interrupted", reason="broken off")
        raise
    finally:
        _forget()
    yield finished


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "not enough memory"
    text = " ".join(str(error).split())
    # Ours, and the system's, say what is wrong; of others the kind says more.
    return text if text and isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"


def _forget() -> None:
    """Let go of the last training's memory and compiled code: a study trains many networks in one process."""
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
