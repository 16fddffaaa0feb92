"""Plans a study on a dataset: its runs, its folder, and the registry of which process does which job.

Each training of a study is an Optuna trial in `study.db` that only one process works on at a time. That process holds a
file lock, which the operating system releases when the process ends in whatever way. So a running trial without a
locked file was left by a killed process, and the next process takes it over without waiting for a heartbeat to expire.
"""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import URL

from garmentcut.dataset.manifest import Manifest
from garmentcut.errors import TrainingError, counted
from garmentcut.photo.files import json_of, write_atomic
from garmentcut.study.declare import (
    RATE,
    Setting,
    StudyError,
    StudyFile,
    Tuned,
    Variant,
    drawn,
    read_study_file,
    variants_of,
)
from garmentcut.training.run import Run, Split, training_split

DATABASE_NAME = "study.db"
RUNS = "runs"  # the registry of the trainings that are measured; each tuned variant also has its own registry

_WAIT_S = 60.0  # how long to wait for another process that uses the database
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
        """Its key in the registry and its folder below `runs/`, such as `adam/seed0-fold1`."""
        return f"{self.variant.folder}/seed{self.seed}-fold{self.fold}"

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
        """What a run of a variant is trained on and measured on.

        Raises:
            StudyError: there are fewer garments than the variant needs.
        """
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
        return self.folder / "runs" / key.path

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
        """Check that existing runs were trained with the recipes that the study's file now declares.

        Raises:
            StudyError: one was not; the message says what differs.
        """
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
            _check_photos(study, key, use_seen=choice.use_seen)
    except (StudyError, TrainingError) as error:
        raise StudyError(f"{path}: {error}") from error
    return study


def _check_photos(study: Study, key: RunKey, *, use_seen: bool) -> None:
    variant, first = key.variant, key.variant.table.first_pass
    study.split_of(variant, key.seed, key.fold)
    if first and first.variant not in {other.name for other in study.variants}:
        raise StudyError(f"variant {variant.name!r} needs variant {first.variant!r}; choose that too")
    if not use_seen and key.seed == study.file.seeds[0] and (met := study.run_of(key, {}).met_before):
        raise StudyError(
            f"variant {variant.name!r} starts from weights that have learned from {counted(len(met), 'photo')} of fold"
            f" {key.fold}, or from others of the same garments, so its scores would be too good; set network.start to"
            " imagenet or scratch, or pass --seen to continue anyway"
        )


def outcome_of(trial: FrozenTrial) -> str:
    """How an attempt at a job ended: `done`, `pruned`, `failed` or `interrupted`; or `running`.

    The process of a `running` attempt may have been killed.
    """
    if trial.state is TrialState.FAIL:
        return "failed" if trial.user_attrs.get("outcome") == "failed" else "interrupted"
    return {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}.get(trial.state, "running")


@dataclass(frozen=True)
class JobClaim:
    """A job that this process has taken; call `close` at its end."""

    key: str  # names the job within its registry
    trials: optuna.Study  # of the registry
    trial: optuna.Trial  # holds the values that Optuna drew for the job
    lock: FileLock  # held until it is closed

    def close(self, outcome: str, value: float | None = None, **facts: Any) -> None:
        """Record how the job ended, and release its lock."""
        for name, fact in {"outcome": outcome, **facts}.items():
            self.trial.set_user_attr(name, fact)
        state = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(outcome, TrialState.FAIL)
        # Optuna takes a pruned trial's value from its last report.
        self.trials.tell(self.trial, value if outcome == "done" else None, state)
        self.lock.release()


class Registry(AbstractContextManager["Registry"]):
    """The jobs of a study's folder in registries by name: `RUNS`, or that of a tuned variant. A context manager.

    Raises:
        StudyError: the database in the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._locks = folder / ".locks"
        self._locks.mkdir(parents=True, exist_ok=True)
        self._turn = FileLock(self._locks / "turn.lock")
        path = folder / DATABASE_NAME
        url = URL.create("sqlite", database=str(path.resolve())).render_as_string()
        self._studies: dict[str, tuple[optuna.Study, int]] = {}  # and their trials before this process
        with self._turn:  # only one process may create the tables
            try:
                self._storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _WAIT_S}})
            except Exception as error:  # sqlalchemy and alembic raise many types for foreign or damaged files
                reason = str(error).partition("\n")[0]
                raise StudyError(f"{path} cannot be used ({reason}); move it away, or choose another --out") from error

    def __exit__(self, *_: object) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def attempts(self, name: str) -> dict[str, FrozenTrial]:
        """The last attempt at each job of a registry, in the order of the first attempts."""
        trials = self._study_of(name)[0].get_trials(deepcopy=False)
        # A trial without a key is of a process that was killed before it recorded the job.
        return {trial.user_attrs["key"]: trial for trial in trials if "key" in trial.user_attrs}

    def is_held(self, name: str, key: str) -> bool:
        """True while any process, including this one, works on the job."""
        with self._turn:  # so that no process that wants to take the job finds it locked by this check
            lock = self._acquired(name, key)
            if lock is not None:
                lock.release()
            return lock is None

    def take(
        self,
        name: str,
        key: str,
        *,
        is_kept: Callable[[], bool] = lambda: True,
        tuned: Tuned | None = None,
        unpruned_steps: int = 0,
    ) -> JobClaim | None:
        """Take a job if it must be done and no process works on it.

        A job that failed before this process began is tried once more, except in a search. `name` is the registry's,
        `key` the job's. `is_kept` returns False if the job's results are gone, so that it must be done again. `tuned`
        are the distributions from which Optuna's TPE draws values; values drawn before for the job are kept. In such a
        search no job is pruned before step `unpruned_steps`.
        """
        with self._turn:
            if (lock := self._acquired(name, key)) is None:
                return None
            (trials, num_before), attempts = self._study_of(name), self.attempts(name)
            if (before := attempts.get(key)) is not None:
                outcome, is_old = outcome_of(before), before.number < num_before
                if (outcome == "failed" and (tuned or not is_old)) or (outcome in ("done", "pruned") and is_kept()):
                    lock.release()
                    return None
                if outcome == "running":
                    with suppress(ValueError):  # its process may have been killed just after it recorded the end
                        trials.tell(before.number, state=TrialState.FAIL)
            if tuned:
                trials.pruner = MedianPruner(_STARTUP_TRIALS, unpruned_steps)
                trials.sampler = optuna.samplers.TPESampler(seed=len(attempts), n_startup_trials=_STARTUP_TRIALS)
                if before is not None:
                    trials.enqueue_trial(before.params, user_attrs={"key": key})
            trial = trials.ask(dict(tuned or {}))
            trial.set_user_attr("key", key)
            return JobClaim(key, trials, trial, lock)

    def _study_of(self, name: str) -> tuple[optuna.Study, int]:
        if name not in self._studies:
            study = optuna.create_study(
                storage=self._storage, study_name=name, direction="maximize", pruner=NopPruner(), load_if_exists=True
            )
            self._studies[name] = study, len(study.get_trials(deepcopy=False))
        return self._studies[name]

    def _acquired(self, name: str, key: str) -> FileLock | None:
        digest = hashlib.sha256(json.dumps([name, key]).encode()).hexdigest()[:24]  # a key may not be a valid file name
        lock = FileLock(self._locks / f"{digest}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock


@dataclass(frozen=True)
class Chosen:
    """The result of tuning a variant."""

    setting: Setting  # the chosen values, by `section.key`
    dice: float | None  # mean Dice of their tuning runs, at the training's size; None: chosen by a range test
    num_tried: int  # settings tried
    num_failed: int  # settings that failed
    of: Any = None  # what was to be tuned according to the study's file, as JSON


def take_attempt(registry: Registry, variant: Variant) -> tuple[Setting, JobClaim] | None:
    """The next setting of a variant to try, on seeds and folds that are not reported on; None: there is none."""
    seed = variant.file.tune.seeds[0]
    for key, listed in variant.attempts.items():
        if listed is not None:
            claim = registry.take(variant.registry_name, key)
        else:
            steps = round(_UNPRUNED_SHARE * variant.recipe(seed, tuning=True).training.steps)
            claim = registry.take(variant.registry_name, key, tuned=variant.table.tuned, unpruned_steps=steps)
        if claim:
            return drawn(claim.trial.params) if listed is None else listed, claim
    return None


def choices_of(study: Study, registry: Registry) -> tuple[dict[str, Chosen], dict[str, str]]:
    """The choices of variants whose attempts are all finished; and, by variant, why no choice is possible.

    Each choice is stored in a file, so that it never changes afterwards.
    """
    chosen, failures = {}, {}
    for variant in study.variants:
        try:
            if found := _choice_of(variant, registry, study.folder / "tune" / variant.folder / "chosen.json"):
                chosen[variant.name] = found
        except StudyError as error:
            failures[variant.name] = str(error)
    return chosen, failures


def _choice_of(variant: Variant, registry: Registry, path: Path) -> Chosen | None:
    if not variant.table.is_tuned:
        return Chosen({}, None, 0, 0)
    # The file calls the tuned options "knobs".
    asked = json.loads(json.dumps({"knobs": variant.table.tune.by_key, "range_test": variant.table.range_test}))
    if path.exists():
        return _read_choice(variant, path, asked)
    attempts = list(registry.attempts(variant.registry_name).values())
    outcomes = list(map(outcome_of, attempts))
    if len(attempts) < len(variant.attempts) or not set(outcomes) <= {"done", "pruned", "failed"}:
        return None
    done = [trial for trial in attempts if trial.state is TrialState.COMPLETE]
    if not done:
        reason = attempts[0].user_attrs.get("reason", "given up")
        raise StudyError(
            f"variant {variant.name!r}: nothing could be chosen, every attempt failed, the first because: {reason}"
        )
    best = max(done, key=lambda trial: trial.value or 0.0)
    setting, dice = drawn(best.params) or variant.attempts[best.user_attrs["key"]] or {}, best.value
    if variant.table.range_test:
        setting, dice = {RATE: best.user_attrs[RATE]}, None
    chosen = Chosen(setting, dice, len(attempts), outcomes.count("failed"), asked)
    write_atomic(path, (json.dumps(asdict(chosen), indent=1) + "\n").encode())
    return chosen


def _read_choice(variant: Variant, path: Path, asked: Any) -> Chosen:
    try:
        chosen = TypeAdapter(Chosen).validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read ({str(error).splitlines()[0]}); delete it to choose again") from error
    if chosen.of != asked:
        raise StudyError(
            f"variant {variant.name!r} was tuned over other values before; choose another --out, or delete"
            f" {path.parent} and the variant's runs"
        )
    return chosen
