"""Choosing an arm's knobs, on seeds and folds that are not reported on: lists whole, ranges by Optuna's TPE."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from garmentcut.photo.files import write_atomic
from garmentcut.study.arms import RATE, Arm, folder_name
from garmentcut.study.declaration import StudyError, TuneTable
from garmentcut.study.knobs import Setting, combinations, distribution_of, drawn, words_of
from garmentcut.study.ledger import Claim, Entry, Ledger
from garmentcut.study.plan import Study
from garmentcut.training.run import Run

RANGE_TEST_KEY = "range test"
_CHOICE_NAME = "chosen.json"
_UNPRUNED_SHARE = 1 / 3  # of a tuning run's steps: before, all arms look bad


@dataclass(frozen=True)
class Chosen:
    """What tuning an arm came to.

    Attributes:
        setting: the values, by `section.key`.
        dice: mean Dice of the tuning runs with them, at the training's size; None: by a range test.
        num_tried: settings tried.
        num_failed: of which failed.
    """

    setting: Setting
    dice: float | None
    num_tried: int
    num_failed: int


@dataclass(frozen=True)
class Attempt:
    """One setting of an arm, taken to be tried.

    Attributes:
        arm: whose.
        setting: to try.
        claim: on it.
    """

    arm: Arm
    setting: Setting
    claim: Claim

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.arm.name}, choosing: {words_of(self.setting) or RANGE_TEST_KEY}"


def book_of(arm: Arm) -> str:
    """The book of an arm's attempts."""
    return f"tune {arm.folder}"


def take_attempt(study: Study, ledger: Ledger, arm: Arm) -> Attempt | None:
    """The next setting of an arm to try; None: there is none that nobody is at."""
    if arm.range_test:
        claim = ledger.take(book_of(arm), RANGE_TEST_KEY)
        return Attempt(arm, {}, claim) if claim else None
    if arm.is_searched:
        return _next_drawn(study, ledger, arm)
    for setting in combinations(arm.knobs):
        if claim := ledger.take(book_of(arm), words_of(setting)):
            return Attempt(arm, setting, claim)
    return None


def settle(study: Study, ledger: Ledger, arm: Arm) -> Chosen | None:
    """What was chosen for an arm, once all its attempts are over; kept, so that it never changes afterwards.

    Raises:
        StudyError: every attempt failed, or something was chosen from other values than the study's file now lists.
    """
    if not arm.is_tuned:
        return Chosen({}, None, 0, 0)
    path = _folder(study, arm) / _CHOICE_NAME
    if path.exists():
        return _read(path, arm)
    entries = ledger.entries(book_of(arm))
    if len(entries) < _num_attempts(study, arm) or any(not _is_settled(entry) for entry in entries.values()):
        return None
    chosen = _best(arm, list(entries.values()))
    write_atomic(path, (json.dumps({**asdict(chosen), "of": _asked(arm)}, indent=1) + "\n").encode())
    return chosen


def tuning_runs(study: Study, attempt: Attempt) -> Iterator[Run]:
    """The trainings by which a setting is judged."""
    table, arm = _table(study), attempt.arm
    name = folder_name(attempt.claim.key)
    for seed in table.seeds:
        for fold in table.folds:
            recipe = arm.recipe(seed, attempt.setting, tuning=True)
            folder = _folder(study, arm) / name / f"seed{seed}-fold{fold}"
            yield Run(folder, recipe, study.manifest, study.division(arm, seed, fold))


def _next_drawn(study: Study, ledger: Ledger, arm: Arm) -> Attempt | None:
    table = _table(study)
    distributions = {key: distribution_of(value) for key, value in arm.knobs.items()}
    steps = arm.recipe(table.seeds[0], tuning=True).training.steps
    claim = ledger.draw(
        book_of(arm), distributions, num_trials=table.trials, unpruned_steps=round(_UNPRUNED_SHARE * steps)
    )
    return Attempt(arm, drawn(claim.params, arm.knobs), claim) if claim else None


def _num_attempts(study: Study, arm: Arm) -> int:
    if arm.range_test:
        return 1
    return _table(study).trials if arm.is_searched else len(list(combinations(arm.knobs)))


def _is_settled(entry: Entry) -> bool:
    return entry.is_over or entry.outcome == "failed"


def _best(arm: Arm, entries: list[Entry]) -> Chosen:
    done = [entry for entry in entries if entry.outcome == "done"]
    if not done:
        reason = entries[0].facts.get("reason", "given up")
        raise StudyError(
            f"arm {arm.name!r}: nothing could be chosen, every attempt failed, the first because: {reason}"
        )
    best = max(done, key=lambda entry: entry.value or 0.0)
    failed = sum(entry.outcome == "failed" for entry in entries)
    if arm.range_test:
        return Chosen({RATE: best.facts[RATE]}, None, len(entries), failed)
    if arm.is_searched:
        return Chosen(drawn(best.params, arm.knobs), best.value, len(entries), failed)
    setting = next(setting for setting in combinations(arm.knobs) if words_of(setting) == best.key)
    return Chosen(setting, best.value, len(entries), failed)


def _read(path: Path, arm: Arm) -> Chosen:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        asked = content.pop("of")
        chosen = Chosen(**content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StudyError(f"{path} cannot be read ({error}); delete it to choose again") from error
    if asked != _asked(arm):
        raise StudyError(
            f"arm {arm.name!r} was tuned over other values before; choose another --out, or delete {path.parent} and"
            " the arm's runs"
        )
    return chosen


def _asked(arm: Arm) -> Any:
    return json.loads(json.dumps({"knobs": dict(arm.knobs), "range_test": arm.range_test}))


def _table(study: Study) -> TuneTable:
    assert study.file.tune is not None  # checked when the file was read
    return study.file.tune


def _folder(study: Study, arm: Arm) -> Path:
    return study.folder / "tune" / arm.folder
