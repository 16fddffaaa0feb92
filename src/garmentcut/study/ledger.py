"""Who does what: every training of a study is an Optuna trial in `study.db`, taken by one process at a time.

A process that takes a job holds a lock on it, which the operating system lets go of when the process ends, however it
ends. A trial that runs while nobody holds its lock was left by a process that was killed: the next one takes it over.
No heartbeat has to go silent first.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL

from garmentcut.study.declaration import StudyError

DATABASE_NAME = "study.db"
Outcome = Literal["done", "pruned", "failed", "interrupted", "abandoned", "running"]
_OPEN = ("interrupted", "abandoned", "running")
_WAIT_S = 60.0  # for another process's turn at the database
_STARTUP_TRIALS = 5  # drawn at random, and never pruned


@dataclass(frozen=True)
class Entry:
    """The last attempt at a job.

    Attributes:
        key: names the job within its book.
        number: of the trial.
        outcome: `running` ones may have been left behind.
        value: mean Dice, where it is done.
        params: what Optuna drew.
        facts: what was noted, for example `reason`.
    """

    key: str
    number: int
    outcome: Outcome
    value: float | None
    params: dict[str, Any]
    facts: dict[str, Any]

    @property
    def is_over(self) -> bool:
        """It needs no further attempt."""
        return self.outcome in ("done", "pruned")


class Claim:
    """A job that this process has taken; `close` says how it ended.

    Attributes:
        key: names the job within its book.
        params: what Optuna drew for it.
    """

    def __init__(self, book: optuna.Study, trial: optuna.Trial, key: str, lock: FileLock) -> None:
        self.key, self.params = key, dict(trial.params)
        self._book, self._trial, self._lock = book, trial, lock

    def report(self, step: int, dice: float) -> bool:
        """Note an intermediate Dice; True if the job is so far below the median that it should be given up."""
        self._trial.report(dice, step)
        return self._trial.should_prune()

    def close(self, outcome: Outcome, value: float | None = None, **facts: Any) -> None:
        """Say how it ended, and let go of it."""
        for name, fact in {"outcome": outcome, **facts}.items():
            self._trial.set_user_attr(name, fact)
        state = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(outcome, TrialState.FAIL)
        # A pruned trial's value is its last report.
        self._book.tell(self._trial, value if outcome == "done" else None, state)
        self._lock.release()


class Ledger:
    """The jobs of a study folder, in books: `runs`, and one for each arm that is tuned. A context.

    Raises:
        StudyError: the database there cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._folder = folder
        self._locks = folder / ".locks"
        self._locks.mkdir(parents=True, exist_ok=True)
        self._turn = FileLock(self._locks / "turn.lock")
        path = folder / DATABASE_NAME
        url = URL.create("sqlite", database=str(path.resolve())).render_as_string()
        self._books: dict[str, optuna.Study] = {}
        self._before: dict[str, int] = {}
        with self._turn:  # two processes must not both make the tables
            try:
                self._storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _WAIT_S}})
            except Exception as error:  # whatever sqlalchemy and alembic raise on a foreign or damaged file
                reason = str(error).partition("\n")[0]
                raise StudyError(f"{path} cannot be used ({reason}); move it away, or choose another --out") from error

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def entries(self, book: str) -> dict[str, Entry]:
        """The last attempt at each job of a book, in the order of first attempts."""
        found: dict[str, Entry] = {}
        for trial in self._book(book).get_trials(deepcopy=False):
            if "key" in trial.user_attrs:  # else its process was killed before it could say what the trial was for
                entry = _entry_of(trial)
                found[entry.key] = entry
        return found

    def is_held(self, book: str, key: str) -> bool:
        """True while a process, this one too, is at work on the job."""
        with self._turn:  # so that nobody who wants to take the job finds it held by this look
            lock = self._lock(book, key)
            if not _acquired(lock):
                return True
            lock.release()
            return False

    def take(self, book: str, key: str, *, is_kept: Callable[[], bool] | None = None) -> Claim | None:
        """Take a job, if it is to be done and nobody is at it.

        A job that failed before this process began is tried again, once.

        Args:
            book: holds the job.
            key: the job.
            is_kept: false: what it once made is gone, so it is to be done again.
        """
        with self._turn:
            lock = self._lock(book, key)
            if not _acquired(lock):
                return None
            entry = self.entries(book).get(key)  # read once nobody else can close the job any more
            if not self._is_to_do(book, entry, is_kept):
                lock.release()
                return None
            self._abandon(book, entry)
            trial = self._book(book).ask()
            trial.set_user_attr("key", key)
            return Claim(self._book(book), trial, key, lock)

    def draw(
        self, book: str, distributions: Mapping[str, BaseDistribution], *, num_trials: int, unpruned_steps: int = 0
    ) -> Claim | None:
        """Take a trial of a search: one that was left behind, or else the next that Optuna draws.

        Args:
            book: the search.
            distributions: what values are drawn from.
            num_trials: in all; failed ones count.
            unpruned_steps: no trial is given up before so many.

        Returns:
            None: all have been taken.
        """
        with self._turn:
            study, entries = self._book(book), self.entries(book)
            study.pruner = MedianPruner(_STARTUP_TRIALS, unpruned_steps)
            for entry in entries.values():
                if entry.outcome in _OPEN and (claim := self._resume(study, entry, distributions)):
                    return claim
            if len(entries) >= num_trials:
                return None
            study.sampler = optuna.samplers.TPESampler(seed=len(entries), n_startup_trials=_STARTUP_TRIALS)
            trial = study.ask(dict(distributions))
            key = f"trial{len(entries)}"
            trial.set_user_attr("key", key)
            lock = self._lock(book, key)
            lock.acquire()
            return Claim(study, trial, key, lock)

    def _resume(self, study: optuna.Study, entry: Entry, distributions: Mapping[str, BaseDistribution]) -> Claim | None:
        """A trial that was left behind, taken up again with what was drawn for it."""
        lock = self._lock(study.study_name, entry.key)
        if not _acquired(lock):
            return None
        if self.entries(study.study_name)[entry.key].outcome not in _OPEN:  # closed just before the lock was taken
            lock.release()
            return None
        self._abandon(study.study_name, entry)
        study.enqueue_trial(entry.params, user_attrs={"key": entry.key})
        return Claim(study, study.ask(dict(distributions)), entry.key, lock)

    def _is_to_do(self, book: str, entry: Entry | None, is_kept: Callable[[], bool] | None) -> bool:
        if entry is None:
            return True
        if entry.is_over:
            return is_kept is not None and not is_kept()
        return entry.outcome != "failed" or entry.number < self._before[book]

    def _book(self, name: str) -> optuna.Study:
        if name not in self._books:
            self._books[name] = optuna.create_study(
                storage=self._storage,
                study_name=name,
                direction="maximize",
                pruner=NopPruner(),
                load_if_exists=True,
            )
            self._before[name] = len(self._books[name].get_trials(deepcopy=False))
        return self._books[name]

    def _abandon(self, book: str, entry: Entry | None) -> None:
        if entry and entry.outcome == "running":
            with suppress(ValueError):  # its process may have been killed just after it said how it ended
                self._book(book).tell(entry.number, state=TrialState.FAIL)

    def _lock(self, book: str, key: str) -> FileLock:
        name = hashlib.sha256(json.dumps([book, key]).encode()).hexdigest()[:24]  # a key may be no file's name
        return FileLock(self._locks / f"{name}.lock")


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _entry_of(trial: FrozenTrial) -> Entry:
    facts = dict(trial.user_attrs)
    key = facts.pop("key")
    told = facts.pop("outcome", None)
    if not trial.state.is_finished():
        outcome = "running"
    elif trial.state is TrialState.COMPLETE:
        outcome = "done"
    elif trial.state is TrialState.PRUNED:
        outcome = "pruned"
    else:
        outcome = told if told in ("failed", "interrupted") else "abandoned"
    return Entry(key, trial.number, cast(Outcome, outcome), trial.value, dict(trial.params), facts)
