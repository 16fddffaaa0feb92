"""Plans a study on a dataset: its runs, its folder, and the registry of which process does which job.

Every training of a study is an Optuna trial in `study.db`, taken by one process at a time. A process that takes a job
holds a lock on it, which the operating system lets go of when the process ends, however it ends. A trial that runs
while nobody holds its lock was left by a process that was killed: the next one takes it over. No heartbeat has to go
silent first.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError
from sqlalchemy import URL

from garmentcut.dataset.manifest import Manifest
from garmentcut.errors import ConfigError, TrainingError, counted
from garmentcut.photo.files import write_atomic
from garmentcut.recipe import load_recipe
from garmentcut.study.declare import (
    RATE,
    Setting,
    StudyError,
    StudyFile,
    TuneTable,
    Variant,
    combinations,
    distribution_of,
    drawn,
    folder_name,
    read_study_file,
    variants_of,
    words_of,
)
from garmentcut.training.run import RECIPE_NAME, Run
from garmentcut.training.splits import Split, training_split

DATABASE_NAME, FACTS_NAME = "study.db", "study.json"
RUNS = "runs"
"""The registry of the trainings that are measured; each variant that is tuned has one of its own."""

RANGE_TEST_KEY = "range test"

Outcome = Literal["done", "pruned", "failed", "interrupted", "abandoned", "running"]

_CHOICE_NAME = "chosen.json"
_OPEN = ("interrupted", "abandoned", "running")
_WAIT_S = 60.0  # for another process's turn at the database
_STARTUP_TRIALS = 5  # drawn at random, and never pruned
_UNPRUNED_SHARE = 1 / 3  # of a tuning run's steps: before, all variants look bad


@dataclass(frozen=True)
class Choice:
    """Parts of a study to run instead of all; none: all.

    Attributes:
        variants: names, beside the reference.
        seeds: instead of the file's.
        folds: instead of the file's.
        settings: set over every recipe, by `section.key`.
        use_seen: go on although a variant's start has learned from photos that it is measured on.
    """

    variants: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    folds: tuple[int, ...] = ()
    settings: Mapping[str, Any] | None = None
    use_seen: bool = False


@dataclass(frozen=True)
class RunKey:
    """One training that is measured: a variant, a seed, a fold."""

    variant: Variant
    seed: int
    fold: int

    @property
    def path(self) -> str:
        """`adam/seed0-fold1`: its key in the registry, and its folder under `runs/`."""
        return f"{self.variant.folder}/seed{self.seed}-fold{self.fold}"

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.variant.name}, seed {self.seed}, fold {self.fold}"


@dataclass(frozen=True)
class Study:
    """What is to be run, and where.

    Attributes:
        file: as declared; with the seeds and folds that are really run.
        path: of the file.
        variants: the reference first.
        manifest: the dataset.
        folder: where all is kept.
    """

    file: StudyFile
    path: Path
    variants: tuple[Variant, ...]
    manifest: Manifest
    folder: Path

    @property
    def reference(self) -> Variant:
        """The variant that the others are compared with."""
        return self.variants[0]

    def variant(self, name: str) -> Variant:
        """By its name."""
        return next(variant for variant in self.variants if variant.name == name)

    @cached_property
    def keys(self) -> tuple[RunKey, ...]:
        """In the order in which they are run: all variants on the first seed and fold, then on the next fold, ...

        So a study that is cut short still compares like with like. Second passes come last: they need another
        variant's networks.
        """
        ordered = sorted(self.variants, key=lambda variant: variant.first_pass is not None)
        return tuple(RunKey(one, seed, fold) for seed in self.file.seeds for fold in self.file.folds for one in ordered)

    @cached_property
    def splits(self) -> dict[int, Split]:
        """By fold."""
        tuned = self.file.tune.folds if self.file.tune and any(one.is_tuned for one in self.variants) else ()
        return {fold: training_split(self.manifest, str(fold)) for fold in (*self.file.folds, *tuned)}

    def split_of(self, variant: Variant, seed: int, fold: int) -> Split:
        """What a run of a variant learns from and is measured on.

        Raises:
            StudyError: there are fewer garments than the variant wants.
        """
        whole = self.splits[fold]
        if variant.garments is None:
            return whole
        garments = sorted({pair.group or pair.garment for pair in whole.train})
        if len(garments) < variant.garments:
            raise StudyError(
                f"variant {variant.name!r} learns from {variant.garments} garments, fold {fold} leaves {len(garments)};"
                " lower it, leave `garments` away to take all, or add garments"
            )
        # One shuffled row for all sizes: what 20 garments teach, 40 teach too.
        random.Random(f"{seed} {fold}").shuffle(garments)
        chosen = set(garments[: variant.garments])
        return replace(whole, train=tuple(pair for pair in whole.train if (pair.group or pair.garment) in chosen))

    def run_folder(self, key: RunKey) -> Path:
        """Where a run's training, model and scores are kept."""
        return self.folder / "runs" / key.path

    def run_of(self, key: RunKey, chosen: Mapping[str, Any]) -> Run:
        """A run's training, with the values that were chosen for what is tuned."""
        recipe = key.variant.recipe(key.seed, chosen)
        return Run(self.run_folder(key), recipe, self.manifest, self.split_of(key.variant, key.seed, key.fold))

    def claim_folder(self) -> None:
        """Make the folder, or make sure that it holds a study of this dataset and of no other.

        Raises:
            StudyError: it holds something else, or cannot be written.
        """
        splits = sorted((pair.name, pair.split) for pair in self.manifest.usable)
        splits_sha256 = hashlib.sha256(json.dumps(splits).encode()).hexdigest()
        path = self.folder / FACTS_NAME
        facts = {"data_sha256": self.manifest.sha256, "splits_sha256": splits_sha256}
        try:
            if path.exists():
                if (before := json.loads(path.read_bytes())) != facts:
                    changed = "the pairs" if before.get("data_sha256") != facts["data_sha256"] else "the splits"
                    raise StudyError(
                        f"{self.folder} holds a study of this dataset as it was: {changed} have changed;"
                        " choose another --out"
                    )
                return
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise StudyError(f"{self.folder} is not empty, and not a study's; choose another --out")
            write_atomic(path, (json.dumps(facts, indent=1) + "\n").encode())
        except (OSError, ValueError) as error:
            if isinstance(error, StudyError):
                raise
            raise StudyError(f"{path}: {getattr(error, 'strerror', None) or error}; choose another --out") from error

    def check_recipes(self, chosen: Mapping[str, "Chosen"]) -> None:
        """Make sure that the runs that are there were trained as the study's file says now.

        Raises:
            StudyError: one was not; says what differs.
        """
        for key in self.keys:
            path = self.run_folder(key) / RECIPE_NAME
            if key.variant.name not in chosen or not path.exists():
                continue
            try:
                before = asdict(load_recipe(path))
            except ConfigError as error:
                raise StudyError(f"{path}: {error}; choose another --out") from error
            now = asdict(key.variant.recipe(key.seed, chosen[key.variant.name].setting))
            differences = [
                f"{section}.{name} was {value!r}, is {now[section][name]!r}"
                for section, values in before.items()
                for name, value in values.items()
                if value != now[section][name]
            ]
            if differences:
                raise StudyError(
                    f"{self.folder} holds other runs of variant {key.variant.name!r}: {'; '.join(differences)}. Choose"
                    f" another --out, or delete {path.parent.parent} to train that variant anew"
                )


def open_study(path: Path, manifest: Manifest, folder: Path, choice: Choice | None = None) -> Study:
    """Read a study and check all of it against the dataset, before anything is trained.

    Raises:
        StudyError: it cannot be run as it is; names what to change.
    """
    choice = choice or Choice()
    file = read_study_file(path)
    try:
        file = replace(file, seeds=choice.seeds or file.seeds, folds=choice.folds or file.folds)
    except ValidationError as error:  # on what it is tuned on, say
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StudyError(f"{path} with these seeds and folds: {reason}") from error
    variants = variants_of(file, path, above=dict(choice.settings or {}), only=choice.variants)
    study = Study(file, path, variants, manifest, folder)
    try:
        for key in study.keys:
            study.split_of(key.variant, key.seed, key.fold)
    except TrainingError as error:
        raise StudyError(f"{path}: {error}") from error
    for variant in variants:
        if variant.first_pass and variant.first_pass.variant not in {other.name for other in variants}:
            needed = variant.first_pass.variant
            raise StudyError(f"{path}: variant {variant.name!r} needs variant {needed!r}; choose that too")
    if not choice.use_seen:
        _refuse_seen(study)
    return study


def _refuse_seen(study: Study) -> None:
    """Refuse variants whose weights knew, before they were trained, photos that they are measured on."""
    for variant in study.variants:
        for fold in study.file.folds:
            met = study.run_of(RunKey(variant, study.file.seeds[0], fold), {}).met_before
            if met:
                raise StudyError(
                    f"{study.path}: variant {variant.name!r} starts from weights that have learned from"
                    f" {counted(len(met), 'photo')} of fold {fold}, or from others of the same garments, and would be"
                    " measured too good; set network.start to imagenet or scratch, or give --seen to go on all the same"
                )


@dataclass(frozen=True)
class JobEntry:
    """The last attempt at a job.

    Attributes:
        key: names the job within its registry.
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


class JobClaim:
    """A job that this process has taken; `close` says how it ended.

    Attributes:
        key: names the job within its registry.
        params: what Optuna drew for it.
    """

    def __init__(self, trials: optuna.Study, trial: optuna.Trial, key: str, lock: FileLock) -> None:
        self.key, self.params = key, dict(trial.params)
        self._trials, self._trial, self._lock = trials, trial, lock

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
        self._trials.tell(self._trial, value if outcome == "done" else None, state)
        self._lock.release()


class Registry:
    """The jobs of a study's folder, by the name of their registry: `RUNS`, or a variant's. A context.

    Raises:
        StudyError: the database there cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._locks = folder / ".locks"
        self._locks.mkdir(parents=True, exist_ok=True)
        self._turn = FileLock(self._locks / "turn.lock")
        path = folder / DATABASE_NAME
        url = URL.create("sqlite", database=str(path.resolve())).render_as_string()
        self._studies: dict[str, optuna.Study] = {}
        self._before: dict[str, int] = {}
        with self._turn:  # two processes must not both make the tables
            try:
                self._storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _WAIT_S}})
            except Exception as error:  # whatever sqlalchemy and alembic raise on a foreign or damaged file
                reason = str(error).partition("\n")[0]
                raise StudyError(f"{path} cannot be used ({reason}); move it away, or choose another --out") from error

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def entries(self, name: str) -> dict[str, JobEntry]:
        """The last attempt at each job of a registry, in the order of first attempts."""
        trials = self._trials(name).get_trials(deepcopy=False)
        # Without a key, its process was killed before it could say what the trial was for.
        return {entry.key: entry for entry in map(_entry_of, (one for one in trials if "key" in one.user_attrs))}

    def is_held(self, name: str, key: str) -> bool:
        """True while a process, this one too, is at work on the job."""
        with self._turn:  # so that nobody who wants to take the job finds it held by this look
            lock = self._lock(name, key)
            if is_held := not _acquired(lock):
                return is_held
            lock.release()
            return False

    def take(self, name: str, key: str, *, is_kept: Callable[[], bool] = lambda: True) -> JobClaim | None:
        """Take a job, if it is to be done and nobody is at it.

        A job that failed before this process began is tried again, once.

        Args:
            name: of the registry.
            key: the job.
            is_kept: false: what it once made is gone, so it is to be done again.
        """
        with self._turn:
            lock = self._lock(name, key)
            if not _acquired(lock):
                return None
            entry = self.entries(name).get(key)  # read once nobody else can close the job any more
            is_to_do = entry is None or (
                not is_kept() if entry.is_over else entry.outcome != "failed" or entry.number < self._before[name]
            )
            if not is_to_do:
                lock.release()
                return None
            self._abandon(name, entry)
            trial = self._trials(name).ask()
            trial.set_user_attr("key", key)
            return JobClaim(self._trials(name), trial, key, lock)

    def draw(
        self, name: str, distributions: Mapping[str, BaseDistribution], *, num_trials: int, unpruned_steps: int = 0
    ) -> JobClaim | None:
        """Take a trial of a search: one that was left behind, or else the next that Optuna draws.

        Args:
            name: of the registry.
            distributions: what values are drawn from.
            num_trials: in all; failed ones count.
            unpruned_steps: no trial is given up before so many.

        Returns:
            None: all have been taken.
        """
        with self._turn:
            study, entries = self._trials(name), self.entries(name)
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
            lock = self._lock(name, key)
            lock.acquire()
            return JobClaim(study, trial, key, lock)

    def _resume(
        self, study: optuna.Study, entry: JobEntry, distributions: Mapping[str, BaseDistribution]
    ) -> JobClaim | None:
        """A trial that was left behind, taken up again with what was drawn for it."""
        lock = self._lock(study.study_name, entry.key)
        if not _acquired(lock):
            return None
        if self.entries(study.study_name)[entry.key].outcome not in _OPEN:  # closed just before the lock was taken
            lock.release()
            return None
        self._abandon(study.study_name, entry)
        study.enqueue_trial(entry.params, user_attrs={"key": entry.key})
        return JobClaim(study, study.ask(dict(distributions)), entry.key, lock)

    def _trials(self, name: str) -> optuna.Study:
        if name not in self._studies:
            study = optuna.create_study(
                storage=self._storage, study_name=name, direction="maximize", pruner=NopPruner(), load_if_exists=True
            )
            self._studies[name], self._before[name] = study, len(study.get_trials(deepcopy=False))
        return self._studies[name]

    def _abandon(self, name: str, entry: JobEntry | None) -> None:
        if entry and entry.outcome == "running":
            with suppress(ValueError):  # its process may have been killed just after it said how it ended
                self._trials(name).tell(entry.number, state=TrialState.FAIL)

    def _lock(self, name: str, key: str) -> FileLock:
        digest = hashlib.sha256(json.dumps([name, key]).encode()).hexdigest()[:24]  # a key may be no file's name
        return FileLock(self._locks / f"{digest}.lock")


@dataclass(frozen=True)
class Chosen:
    """What tuning a variant came to.

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
class TuningAttempt:
    """One setting of a variant, taken to be tried.

    Attributes:
        variant: whose.
        setting: to try.
        claim: on it.
    """

    variant: Variant
    setting: Setting
    claim: JobClaim

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.variant.name}, choosing: {words_of(self.setting) or RANGE_TEST_KEY}"


def tuning_registry(variant: Variant) -> str:
    """The name of the registry of a variant's attempts."""
    return f"tune {variant.folder}"


def take_attempt(study: Study, registry: Registry, variant: Variant) -> TuningAttempt | None:
    """The next setting of a variant to try, on seeds and folds that are not reported on; None: nobody has to.

    Lists are tried whole, ranges by Optuna's TPE.
    """
    name = tuning_registry(variant)
    if variant.range_test:
        claim = registry.take(name, RANGE_TEST_KEY)
        return TuningAttempt(variant, {}, claim) if claim else None
    if variant.is_searched:
        table = _table(study)
        distributions = {key: distribution_of(value) for key, value in variant.tuned.items()}
        steps = round(_UNPRUNED_SHARE * variant.recipe(table.seeds[0], tuning=True).training.steps)
        claim = registry.draw(name, distributions, num_trials=table.trials, unpruned_steps=steps)
        return TuningAttempt(variant, drawn(claim.params, variant.tuned), claim) if claim else None
    for setting in combinations(variant.tuned):
        if claim := registry.take(name, words_of(setting)):
            return TuningAttempt(variant, setting, claim)
    return None


def tuning_runs(study: Study, attempt: TuningAttempt) -> Iterator[Run]:
    """The trainings by which a setting is judged."""
    table, variant = _table(study), attempt.variant
    for seed in table.seeds:
        for fold in table.folds:
            recipe = variant.recipe(seed, attempt.setting, tuning=True)
            folder = _tuning_folder(study, variant) / folder_name(attempt.claim.key) / f"seed{seed}-fold{fold}"
            yield Run(folder, recipe, study.manifest, study.split_of(variant, seed, fold))


def settle(study: Study, registry: Registry, variant: Variant) -> Chosen | None:
    """What was chosen for a variant, once all its attempts are over; kept, so that it never changes afterwards.

    Raises:
        StudyError: every attempt failed, or something was chosen from other values than the study's file now lists.
    """
    if not variant.is_tuned:
        return Chosen({}, None, 0, 0)
    path = _tuning_folder(study, variant) / _CHOICE_NAME
    # "knobs" is what the file calls what is tuned.
    asked = json.loads(json.dumps({"knobs": dict(variant.tuned), "range_test": variant.range_test}))
    if path.exists():
        return _read_choice(path, variant, asked)
    entries = list(registry.entries(tuning_registry(variant)).values())
    listed = 1 if variant.range_test else len(list(combinations(variant.tuned))) if not variant.is_searched else 0
    if len(entries) < (listed or _table(study).trials):
        return None
    if any(not entry.is_over and entry.outcome != "failed" for entry in entries):
        return None
    chosen = _best(variant, entries)
    write_atomic(path, (json.dumps({**asdict(chosen), "of": asked}, indent=1) + "\n").encode())
    return chosen


def _best(variant: Variant, entries: Sequence[JobEntry]) -> Chosen:
    done = [entry for entry in entries if entry.outcome == "done"]
    if not done:
        reason = entries[0].facts.get("reason", "given up")
        raise StudyError(
            f"variant {variant.name!r}: nothing could be chosen, every attempt failed, the first because: {reason}"
        )
    best, failed = max(done, key=lambda entry: entry.value or 0.0), sum(one.outcome == "failed" for one in entries)
    if variant.range_test:
        return Chosen({RATE: best.facts[RATE]}, None, len(entries), failed)
    if variant.is_searched:
        return Chosen(drawn(best.params, variant.tuned), best.value, len(entries), failed)
    setting = next(setting for setting in combinations(variant.tuned) if words_of(setting) == best.key)
    return Chosen(setting, best.value, len(entries), failed)


def _read_choice(path: Path, variant: Variant, asked: Any) -> Chosen:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        before = content.pop("of")
        chosen = Chosen(**content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StudyError(f"{path} cannot be read ({error}); delete it to choose again") from error
    if before != asked:
        raise StudyError(
            f"variant {variant.name!r} was tuned over other values before; choose another --out, or delete"
            f" {path.parent} and the variant's runs"
        )
    return chosen


def _table(study: Study) -> TuneTable:
    assert study.file.tune is not None  # checked when the file was read
    return study.file.tune


def _tuning_folder(study: Study, variant: Variant) -> Path:
    return study.folder / "tune" / variant.folder


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _entry_of(trial: FrozenTrial) -> JobEntry:
    facts = dict(trial.user_attrs)
    key, outcome = facts.pop("key"), facts.pop("outcome", None)
    if not trial.state.is_finished():
        outcome = "running"
    elif trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
        outcome = "done" if trial.state is TrialState.COMPLETE else "pruned"
    else:
        outcome = outcome if outcome in ("failed", "interrupted") else "abandoned"
    return JobEntry(key, trial.number, cast(Outcome, outcome), trial.value, dict(trial.params), facts)
