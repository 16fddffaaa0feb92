"""Plans a study on a dataset: its runs, its folder, and the registry of which process does which job.

A job is a run, or a setting that is tried in tuning. A file in `jobs/` records how it ended. The process that works on
it holds a file lock, which the operating system releases when the process ends in whatever way. So a job that is
recorded as running and not locked was left by a killed process, and the next process takes it over at once.
"""

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.pruners import MedianPruner
from optuna.trial import TrialState, create_trial
from pydantic import TypeAdapter, ValidationError

from garmentcut.dataset.manifest import Manifest
from garmentcut.errors import LockTakenError, TrainingError, counted
from garmentcut.photo.files import FolderLock, json_of, write_atomic
from garmentcut.study.declare import Setting, StudyError, StudyFile, Variant, drawn, read_study_file, variants_of
from garmentcut.training.run import Run, Split, training_split

optuna.logging.set_verbosity(optuna.logging.WARNING)
_STARTUP_TRIALS = 5  # trials that are drawn at random and never pruned
_UNPRUNED_SHARE = 1 / 3  # of a tuning run's steps; before, all variants look bad


@dataclass(frozen=True)
class Choice:
    """The parts of a study to run; by default all."""

    variants: tuple[str, ...] = ()  # names of the variants besides the reference; empty: all
    seeds: tuple[int, ...] = ()  # instead of the file's; empty: those of the file
    folds: tuple[int, ...] = ()
    settings: Setting = field(default_factory=dict)  # override values of all recipes, by `section.key`
    use_seen: bool = False  # allow variants whose start was trained on photos that they are measured on


@dataclass(frozen=True)
class RunKey:
    """One training that is measured: a variant, a seed, a fold."""

    variant: Variant
    seed: int
    fold: int

    @property
    def path(self) -> str:
        """Its folder below `runs/`, such as `adam/seed0-fold1`."""
        return f"{self.variant.folder}/seed{self.seed}-fold{self.fold}"

    @property
    def job(self) -> str:
        """Name of its job."""
        return f"runs/{self.path}"

    @property
    def words(self) -> str:
        """The run in words."""
        return f"{self.variant.name}, seed {self.seed}, fold {self.fold}"


@dataclass(frozen=True)
class Study:
    """What to run, and where."""

    file: StudyFile  # as declared, but with the seeds and folds that are run
    variants: tuple[Variant, ...]  # the reference first
    manifest: Manifest  # the dataset
    folder: Path  # where everything is stored

    def variant(self, name: str) -> Variant:
        """The variant with this name."""
        return next(variant for variant in self.variants if variant.name == name)

    @cached_property
    def keys(self) -> tuple[RunKey, ...]:
        """All runs in their order: all variants on the first seed and fold, then on the next fold, and so on.

        So an unfinished study still compares variants on the same seeds and folds. Second passes come last, because
        they need another variant's networks.
        """
        ordered = sorted(self.variants, key=lambda variant: variant.table.first_pass is not None)
        return tuple(RunKey(one, seed, fold) for seed in self.file.seeds for fold in self.file.folds for one in ordered)

    @cached_property
    def splits(self) -> dict[int, Split]:
        """The split of each fold."""
        tuned = self.file.tune.folds if any(variant.table.is_tuned for variant in self.variants) else ()
        return {fold: training_split(self.manifest, str(fold)) for fold in (*self.file.folds, *tuned)}

    def split_of(self, variant: Variant, seed: int, fold: int) -> Split:
        """What a run of a variant is trained on and measured on; raises StudyError if there are too few garments."""
        whole, wanted = self.splits[fold], variant.table.garments
        if wanted is None:
            return whole
        garments = sorted({pair.group or pair.garment for pair in whole.train})
        if len(garments) < wanted:
            raise StudyError(
                f"variant {variant.name!r} learns from {wanted} garments, fold {fold} leaves {len(garments)};"
                " lower it, leave `garments` away to take all, or add garments"
            )
        # One shuffled order for all sizes, so that 40 garments include the 20 of a smaller size.
        random.Random(f"{seed} {fold}").shuffle(garments)
        chosen = set(garments[:wanted])
        return replace(whole, train=tuple(pair for pair in whole.train if (pair.group or pair.garment) in chosen))

    def run_folder(self, key: RunKey) -> Path:
        """The folder of a run's training, model and scores."""
        return self.folder / key.job

    def run_of(self, key: RunKey, chosen: Setting) -> Run:
        """A run's training, with the values that tuning chose."""
        recipe = key.variant.recipe(key.seed, chosen)
        return Run(self.run_folder(key), recipe, self.manifest, self.split_of(key.variant, key.seed, key.fold))

    def claim_folder(self) -> None:
        """Create the folder, or check that it holds a study of this dataset.

        Raises:
            StudyError: it holds something else, or cannot be written to.
        """
        splits = json.dumps(sorted((pair.name, pair.split) for pair in self.manifest.usable)).encode()
        facts = {"data_sha256": self.manifest.sha256, "splits_sha256": hashlib.sha256(splits).hexdigest()}
        path, problem = self.folder / "study.json", ""
        try:
            if path.exists():
                before = {**json_of(path.read_bytes())}
                changed = "the pairs" if before.get("data_sha256") != facts["data_sha256"] else "the splits"
                if before != facts:
                    problem = f"{self.folder} holds a study of this dataset as it was: {changed} have changed"
            elif self.folder.is_dir() and any(self.folder.iterdir()):
                problem = f"{self.folder} is not empty, and not a study's"
            else:
                write_atomic(path, (json.dumps(facts, indent=1) + "\n").encode())
        except (OSError, ValueError, TypeError) as error:
            problem = f"{path}: {getattr(error, 'strerror', None) or error}"
        if problem:
            raise StudyError(f"{problem}; choose another --out")

    def check_recipes(self, chosen: Mapping[str, "Chosen"]) -> None:
        """Raise StudyError if existing runs were trained with other recipes than the study's file now declares."""
        for key in self.keys:
            if key.variant.name in chosen and (self.run_folder(key) / "recipe.toml").exists():
                run = self.run_of(key, chosen[key.variant.name].setting)
                if differences := run.recipe_differences():
                    raise StudyError(
                        f"{self.folder} holds other runs of variant {key.variant.name!r}: {'; '.join(differences)}."
                        f" Choose another --out, or delete {run.folder.parent} to train that variant again"
                    )


def open_study(path: Path, manifest: Manifest, folder: Path, choice: Choice | None = None) -> Study:
    """Read a study and check all of it against the dataset before anything is trained.

    Raises:
        StudyError: it cannot be run as it is; the message says what to change.
    """
    file, choice = read_study_file(path), choice or Choice()
    try:
        file = replace(file, seeds=choice.seeds or file.seeds, folds=choice.folds or file.folds)
    except ValidationError as error:  # for example for the tuning fold
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StudyError(f"{path} with these seeds and folds: {reason}") from error
    try:
        variants = variants_of(file, path, above=choice.settings, only=choice.variants)
        study = Study(file, variants, manifest, folder)
        for key in study.keys:
            named, first = f"variant {key.variant.name!r}", key.variant.table.first_pass
            study.split_of(key.variant, key.seed, key.fold)
            if first and first.variant not in {other.name for other in variants}:
                raise StudyError(f"{named} needs variant {first.variant!r}; choose that too")
            if not choice.use_seen and key.seed == file.seeds[0] and (met := study.run_of(key, {}).met_before):
                raise StudyError(
                    f"{named} starts from weights that have learned from {counted(len(met), 'photo')} of fold"
                    f" {key.fold}, or from others of the same garments, so its scores would be too good; set"
                    " network.start to imagenet or scratch, or pass --seen to continue anyway"
                )
    except (StudyError, TrainingError) as error:
        raise StudyError(f"{path}: {error}") from error
    return study


@dataclass(frozen=True)
class JobRecord:
    """How a job ended."""

    outcome: str = ""  # `done`, `pruned`, `failed` or `interrupted`; `running`; empty: nobody has begun it
    reason: str = ""  # why it is not done
    dice: float | None = None  # what it is judged by; None: nothing
    setting: Setting = field(default_factory=dict)  # what was tried, or what a range test found
    curve: tuple[tuple[int, float], ...] = ()  # step and mean Dice, by which other settings are given up
    ended: float = 0.0  # seconds since 1970


_RECORD = TypeAdapter(JobRecord)


@dataclass
class JobClaim:
    """A job that this process has taken; call `close` at its end."""

    name: str
    record: JobRecord
    path: Path  # of the record
    lock: FolderLock  # held until it is closed

    def save(self, **changes: Any) -> None:
        """Write its record with these changes."""
        self.record = replace(self.record, **changes)
        # Not by pydantic: a file's name in the reason may be no valid Unicode, and infinity would become null.
        write_atomic(self.path, json.dumps(asdict(self.record)).encode())

    def close(self, outcome: str, reason: str = "") -> None:
        """Record how the job ended, and release its lock."""
        self.save(outcome=outcome, reason=reason, ended=time.time())
        self.lock.release()


class Registry:
    """The jobs of a study's folder by name, such as `runs/adam/seed0-fold1` or `tune/adam/lr-0.1`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._began, self._taken = folder / "jobs", time.time(), set[str]()

    def record(self, name: str) -> JobRecord:
        """What is known about a job; raises StudyError if its record cannot be read."""
        if (record := self._recorded(name)).outcome == "running":
            with self._turn(), suppress(LockTakenError), self._lock_of(name):
                record = self._recorded(name)  # it may have ended meanwhile
                if record.outcome == "running":
                    return replace(record, outcome="interrupted", reason="its process was killed")
        return record

    def take(
        self, name: str, *, is_kept: Callable[[], bool] = lambda: True, tries_again: bool = True
    ) -> JobClaim | None:
        """Take a job if it must be done and no process works on it.

        A job that failed before this process began is tried once more if `tries_again`. `is_kept` returns False if the
        job's results are gone, so that it must be done again.
        """
        lock = self._lock_of(name)
        try:
            with self._turn():
                lock.acquire()
        except LockTakenError:
            return None
        before = self._recorded(name)
        is_new = name in self._taken or before.ended > self._began  # the clock may have been set back since
        has_failed = before.outcome == "failed" and (is_new or not tries_again)
        if has_failed or (before.outcome in ("done", "pruned") and is_kept()):
            lock.release()
            return None
        self._taken.add(name)
        claim = JobClaim(name, before, self._folder / f"{name}.json", lock)
        claim.save(outcome="running", reason="", dice=None, curve=())
        return claim

    def _recorded(self, name: str) -> JobRecord:
        path = self._folder / f"{name}.json"
        try:
            return _RECORD.validate_python(json_of(path.read_bytes())) if path.exists() else JobRecord()
        except (OSError, ValueError) as error:
            raise StudyError(f"{path} cannot be read ({str(error).splitlines()[0]}); delete it") from error

    def _turn(self) -> FolderLock:
        """To be held while a job's lock is tried, so that no process that wants the job finds it locked by a check."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return FolderLock(self._folder / "turn.lock")

    def _lock_of(self, name: str) -> FolderLock:
        path = self._folder / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FolderLock(path, timeout_s=0.0)


@dataclass(frozen=True)
class Chosen:
    """The result of tuning a variant."""

    setting: Setting  # the chosen values, by `section.key`
    dice: float | None  # mean Dice of their tuning runs, at the training's size; None: chosen by a range test
    num_tried: int  # settings tried
    num_failed: int  # settings that failed


def take_attempt(registry: Registry, variant: Variant) -> JobClaim | None:
    """The next setting of a variant to try, on seeds and folds that are not reported on; None: there is none."""
    for number, (attempt, listed) in enumerate(variant.attempts.items()):
        if (claim := registry.take(variant.job_of(attempt), tries_again=listed is not None)) is not None:
            setting = listed if listed is not None else claim.record.setting or _draw(registry, variant, number)
            claim.save(setting=setting)
            return claim
    return None


def _draw(registry: Registry, variant: Variant, seed: int) -> Setting:
    """A setting drawn by Optuna's TPE in view of those whose attempts have ended."""
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)
    search, kinds = optuna.create_study(direction="maximize", sampler=sampler), dict(variant.table.tuned)
    states = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    for record in attempts_at(registry, variant):
        if state := states.get(record.outcome):
            known: dict[str, Any] = {"value": record.dice, "intermediate_values": dict(record.curve)}
            listed = {key for key, kind in kinds.items() if isinstance(kind, CategoricalDistribution)}
            params = {key: json.dumps(value) if key in listed else value for key, value in record.setting.items()}
            search.add_trial(create_trial(state=state, params=params, distributions=kinds, **known))
    return drawn(search.ask(kinds).params)


def attempts_at(registry: Registry, variant: Variant) -> list[JobRecord]:
    """What is known about each attempt to tune a variant."""
    return [registry.record(variant.job_of(attempt)) for attempt in variant.attempts]


def should_prune(curve: Sequence[tuple[int, float]], others: Iterable[JobRecord], *, steps: int) -> bool:
    """Whether a setting's best Dice so far is below the median of the finished attempts' at its last step.

    Nothing is pruned in the first third of a run's `steps`, or before five attempts are finished.
    """
    search = optuna.create_study(direction="maximize")
    for record in others:
        if record.outcome == "done":
            search.add_trial(create_trial(value=record.dice, intermediate_values=dict(record.curve)))
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=dict(curve))
    warmup_steps = math.ceil(_UNPRUNED_SHARE * steps)
    pruner = MedianPruner(_STARTUP_TRIALS, warmup_steps, n_min_trials=_STARTUP_TRIALS)
    return pruner.prune(search, trial)


def choices_of(study: Study, registry: Registry) -> tuple[dict[str, Chosen], dict[str, str]]:
    """The choices of variants whose attempts have all ended; and, by variant, why no choice is possible.

    A choice stays as it is, because no setting is tried again after the last one.
    """
    chosen, failures = {}, {}
    for variant in study.variants:
        records = attempts_at(registry, variant) if variant.table.is_tuned else []
        outcomes = [record.outcome for record in records]
        best = max((one for one in records if one.outcome == "done"), key=lambda one: one.dice or 0.0, default=None)
        if not variant.table.is_tuned:
            chosen[variant.name] = Chosen({}, None, 0, 0)
        elif set(outcomes) <= {"done", "pruned", "failed"} and best is not None:
            chosen[variant.name] = Chosen(best.setting, best.dice, len(records), outcomes.count("failed"))
        elif set(outcomes) <= {"pruned", "failed"}:
            why = f"every attempt failed, the first because: {records[0].reason or 'given up'}"
            failures[variant.name] = f"variant {variant.name!r}: nothing could be chosen, {why}"
    return chosen, failures
