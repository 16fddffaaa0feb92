"""What the runs of a study left behind: scores of each photo, learning curves, and what failed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garmentcut.errors import TrainingError
from garmentcut.evaluation.scores import PhotoScore
from garmentcut.study.arms import Arm
from garmentcut.study.ledger import Entry, Ledger
from garmentcut.study.plan import Cell, Study
from garmentcut.study.scoring import kept_scores
from garmentcut.study.tuning import Chosen
from garmentcut.study.work import RUNS
from garmentcut.training.logging import JOURNAL_NAME, read_journal


@dataclass(frozen=True)
class Look:
    """One look at held-out photos in a training."""

    step: int
    mean_dice: float


@dataclass(frozen=True)
class RunResult:
    """One measured run.

    Attributes:
        cell: which.
        outcome: `done`, `failed`, `interrupted`, `not run`, or `running`: in another process.
        reason: why it failed or was not run.
        scores: a row a photo; none if it is not done.
        curve: looks while it trained.
        seconds: of training.
        machine: in words.
        num_trained_on: photos that it learned from.
        num_garments: garments that it learned from.
    """

    cell: Cell
    outcome: str
    reason: str = ""
    scores: tuple[PhotoScore, ...] = ()
    curve: tuple[Look, ...] = ()
    seconds: float | None = None
    machine: str = ""
    num_trained_on: int | None = None
    num_garments: int = 0

    @property
    def is_failed(self) -> bool:
        """It was tried in vain, or cannot be tried; nobody need wait for it."""
        return self.outcome == "failed" or (self.outcome == "not run" and bool(self.reason))

    @property
    def mean_dice(self) -> float | None:
        """Over the measured photos, convention `alpha >= 128`."""
        values = [score.measures.dice for score in self.scores if score.measures]
        return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Results:
    """Everything a report is made of.

    Attributes:
        study: what was asked.
        runs: one a cell, in its order.
        chosen: by arm, what tuning came to; an arm that is not there is not settled.
        hopeless: by arm, why it cannot be run.
    """

    study: Study
    runs: tuple[RunResult, ...]
    chosen: Mapping[str, Chosen]
    hopeless: Mapping[str, str]

    def of(self, arm: Arm) -> tuple[RunResult, ...]:
        """The runs of an arm."""
        return tuple(run for run in self.runs if run.cell.arm.name == arm.name)

    @property
    def num_unfinished(self) -> int:
        """Runs that are not done."""
        return sum(run.outcome != "done" for run in self.runs)


def gather(study: Study, ledger: Ledger, *, chosen: Mapping[str, Chosen], hopeless: Mapping[str, str]) -> Results:
    """Read what is there; what cannot be read counts as not done."""
    entries = ledger.entries(RUNS)
    runs = []
    for cell in study.cells:
        entry = entries.get(cell.key)
        is_held = entry is not None and entry.outcome == "running" and ledger.is_held(RUNS, cell.key)
        outcome, reason = _state_of(entry, cell, hopeless, is_held=is_held)
        runs.append(_read(study, cell, outcome, reason))
    return Results(study, tuple(runs), chosen, hopeless)


def _state_of(entry: Entry | None, cell: Cell, hopeless: Mapping[str, str], *, is_held: bool) -> tuple[str, str]:
    if entry is None:
        return "not run", hopeless.get(cell.arm.name, "")
    if entry.outcome == "running":
        return ("running", "") if is_held else ("interrupted", "its process was killed")
    if entry.outcome == "abandoned":
        return "interrupted", "its process was killed"
    return entry.outcome, str(entry.facts.get("reason", ""))


def _read(study: Study, cell: Cell, outcome: str, reason: str) -> RunResult:
    folder = study.run_folder(cell)
    scores = kept_scores(folder) if outcome == "done" else None
    if outcome == "done" and scores is None:
        outcome, reason = "not run", f"{folder} holds no scores that can be read"
    told = _json_of(folder / "run.json")
    division = study.division(cell.arm, cell.seed, cell.fold)
    return RunResult(
        cell,
        outcome,
        reason,
        scores=tuple(scores or ()),
        curve=_curve_of(folder),
        seconds=told.get("seconds"),
        machine=str(told.get("machine", "")),
        num_trained_on=told.get("num_trained_on"),
        num_garments=len({pair.garment for pair in division.train}),
    )


def _curve_of(folder: Path) -> tuple[Look, ...]:
    try:
        rows = read_journal(folder / JOURNAL_NAME)
        return tuple(Look(row["step"], row["mean_dice"]) for row in rows if row["kind"] == "evaluation")
    except (TrainingError, OSError, KeyError):
        return ()


def _json_of(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        return {**content}
    except (OSError, ValueError, TypeError):
        return {}
