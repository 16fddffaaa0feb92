"""Working through a study: take a job, do it, take the next; as many processes as one likes share the jobs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from garmentcut.study.arms import Arm
from garmentcut.study.declaration import StudyError
from garmentcut.study.jobs import Finished, Told, Trainer, measuring, trying
from garmentcut.study.ledger import Ledger
from garmentcut.study.plan import Cell, Study
from garmentcut.study.scoring import SCORES_NAME
from garmentcut.study.tuning import Chosen, book_of, settle, take_attempt
from garmentcut.training.devices import Devices

RUNS = "runs"
"""The book of the trainings that are measured."""

_WAIT_S = 2.0


@dataclass(frozen=True)
class Waiting:
    """All that is left is in other processes' hands."""


@dataclass
class Sitting:
    """One process's work on a study.

    Attributes:
        study: what is to be done.
        ledger: who does what.
        devices: what to train on.
        minutes: to stop after; None: never.
        wait: called while others hold all that is left.
        interrupted: why it stopped before all was done; empty: it did not.
        hopeless: arms that cannot be run, and why.
    """

    study: Study
    ledger: Ledger
    devices: Devices
    minutes: float | None = None
    wait: Callable[[], None] = lambda: time.sleep(_WAIT_S)
    interrupted: str = ""
    hopeless: dict[str, str] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    def work(self) -> Iterator[Told | Waiting]:
        """Do all there is to do, or until the time is up; what fails is noted, and the rest goes on."""
        is_told = False
        while not self.interrupted:
            if self._minutes_left() == 0:
                self.interrupted = "time is up"
                return
            is_shared = self._others_at_work()  # looked at first: what they leave behind meanwhile is found next
            if job := self._next_job():
                is_told = False
                yield from self._followed(job)
            elif not is_shared:
                return
            else:
                if not is_told:
                    yield Waiting()
                is_told = True
                self.wait()

    def _followed(self, job: Iterator[Told]) -> Iterator[Told]:
        for told in job:
            if isinstance(told, Finished) and told.outcome == "interrupted":
                self.interrupted = told.reason
            yield told

    def _minutes_left(self) -> float | None:
        if self.minutes is None:
            return None
        return max(self.minutes - (time.monotonic() - self._began) / 60, 0.0)

    @property
    def chosen(self) -> dict[str, Chosen]:
        """What tuning came to, of each arm for which it is over; nothing for those that are not tuned."""
        found = {arm.name: self._settled(arm) for arm in self.study.arms}
        return {name: chosen for name, chosen in found.items() if chosen is not None}

    def _next_job(self) -> Iterator[Told] | None:
        trainer, chosen = Trainer(self.devices, self._minutes_left), self.chosen
        for arm in self.study.arms:
            is_open = arm.name not in chosen and arm.name not in self.hopeless
            if is_open and (attempt := take_attempt(self.study, self.ledger, arm)):
                return trying(self.study, attempt, trainer=trainer)
        done = {key for key, entry in self.ledger.entries(RUNS).items() if entry.outcome == "done"}
        for cell in self.study.cells:
            if cell.arm.name not in chosen or not self._is_ready(cell, done):
                continue
            if claim := self.ledger.take(RUNS, cell.key, is_kept=partial(self._is_kept, cell)):
                return measuring(self.study, cell, chosen[cell.arm.name].setting, claim=claim, trainer=trainer)
        return None

    def _settled(self, arm: Arm) -> Chosen | None:
        if arm.name in self.hopeless:
            return None
        try:
            return settle(self.study, self.ledger, arm)
        except StudyError as error:
            self.hopeless[arm.name] = str(error)
            return None

    def _is_kept(self, cell: Cell) -> bool:
        return (self.study.run_folder(cell) / SCORES_NAME).is_file()

    def _is_ready(self, cell: Cell, done: set[str]) -> bool:
        """It is yet to be done; a second pass waits until the first one of its seed and fold is done."""
        if cell.key in done and self._is_kept(cell):
            return False
        if cell.arm.first_pass is None:
            return True
        first = next(arm for arm in self.study.arms if arm.name == cell.arm.first_pass.arm)
        return Cell(first, cell.seed, cell.fold).key in done

    def _others_at_work(self) -> bool:
        ours = {cell.key for cell in self.study.cells}
        entries = [(RUNS, entry) for entry in self.ledger.entries(RUNS).values() if entry.key in ours]
        for arm in self.study.arms:
            if arm.is_tuned:
                entries += [(book_of(arm), entry) for entry in self.ledger.entries(book_of(arm)).values()]
        return any(entry.outcome == "running" and self.ledger.is_held(book, entry.key) for book, entry in entries)
