"""A run of `garmentcut train` or of a study: one recipe on one split, its folder, and the state for resuming.

A split, chosen by fold or by name, says which pairs are trained on and which are measured on.
"""

import hashlib
import io
import json
import re
import shlex
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from garmentcut import __version__
from garmentcut.dataset.composite import extra_pairs
from garmentcut.dataset.manifest import Manifest, Pair
from garmentcut.dataset.split import find_met, hashes_of, packed_hashes, unpacked_hashes
from garmentcut.errors import ConfigError, LockTakenError, ModelError, TrainingError
from garmentcut.model.card import UNKNOWN
from garmentcut.model.checkpoint import NetworkSpec, Origin, origin_of, read_weights
from garmentcut.photo.files import FolderLock, json_of, remove_staged, write_atomic
from garmentcut.recipe import STAGES, Recipe, load_recipe, recipe_toml, stage_recipe
from garmentcut.training.logging import Ended, Evaluated

RECIPE_NAME, RUN_NAME, BEST_NAME, STATE_NAME = "recipe.toml", "run.json", "best.safetensors", "last.ckpt"
FOLDS_NAME, MAPS_NAME, DRAWN_NAME, PLAN_NAME = "folds", "maps", "synthetic", "plan.json"
LOCK_NAME, RANGE_CURVE_NAME, RANGE_POINTS_NAME = ".garmentcut.lock", "range_test.svg", "range_test.jsonl"
_NO_RUN_YET = {RANGE_CURVE_NAME, RANGE_POINTS_NAME, FOLDS_NAME, MAPS_NAME, DRAWN_NAME, PLAN_NAME, *STAGES}
STUDIO_HEIGHT = 1728  # height of drawn photos in pixels, as studios shoot today
_PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy")
_DIGITS_OF_A_PHOTO = 12
_OLD_KEYS = {"division": "split", "division_sha256": "split_sha256"}
"""Names of keys in `run.json` until November 2026, and their current names."""
_LEFT_OUT_FACTS = ("recipe", "trained_on", "trained_hashes", "boxes_xyxy")  # facts that `run.json` leaves out
_NO_RESUME = "and cannot be resumed from; delete it to begin again, or choose another --out"
_NUM_MEASURED = 12  # photos that a training without held-out photos is measured on


@dataclass(frozen=True)
class Split:
    """The pairs that a training is trained on, and those that it is measured on."""

    name: str  # `fold0`, `validation`, or `none`
    train: tuple[Pair, ...]  # pairs to train on
    validation: tuple[Pair, ...]  # pairs to measure on during training
    # Splits that are not trained on. Empty: all pairs are trained on, including `validation`, whose Dice then says
    # nothing about new photos.
    held_out: tuple[str, ...]


def fold_names(manifest: Manifest) -> tuple[str, ...]:
    """`fold0`, `fold1` ... in order; empty if the dataset is split into train, validation and test."""
    if not all(re.fullmatch(r"fold\d+", split) for split in manifest.splits):
        return ()
    return tuple(sorted(manifest.splits, key=lambda split: int(split[4:])))


def without_wrong(split: Split) -> Split:
    """The split without training pairs that were marked wrong; those to measure on are kept.

    Raises:
        TrainingError: all training pairs were marked wrong.
    """
    train = tuple(pair for pair in split.train if pair.verdict != "wrong")
    if not train:
        raise TrainingError("every cutout to learn from is marked wrong; set data.wrong_weight above 0, or unmark some")
    return replace(split, train=train)


def training_splits(manifest: Manifest, fold: str | None = None, *, validation: str | None = None) -> tuple[Split, ...]:
    """As `training_split`, also in its errors; if `fold` is `all`, one split for each fold."""
    folds = [name.removeprefix("fold") for name in fold_names(manifest)] if fold == "all" else []
    wanted: Sequence[str | None] = folds or [fold]
    return tuple(training_split(manifest, one, validation=validation) for one in wanted)


def training_split(manifest: Manifest, fold: str | None = None, *, validation: str | None = None) -> Split:
    """Split the usable pairs of a dataset for a training.

    The dataset has either folds or the splits train, validation and test. `fold` is the number of the fold to hold out,
    or `none` to train on everything; None means fold 0, or the split `validation`. `validation` is the split to measure
    on instead of a fold. All other splits but `test` are trained on. Raises TrainingError if there is no such fold
    or split, both were given, or one side has no pair.
    """
    if fold is not None and validation is not None:
        raise TrainingError("--fold and --validation contradict each other; give only one of them")
    if not manifest.usable:
        raise TrainingError(f"{manifest.folder} has no usable pair; `garmentcut ingest` says why each was refused")
    if fold == "none":
        by_view = sorted(manifest.usable, key=lambda pair: (pair.view, pair.name))
        return Split("none", manifest.usable, tuple(by_view[:: -(-len(by_view) // _NUM_MEASURED)]), ())  # of all views
    held_out = _held_out(manifest, fold, validation)
    train = manifest.of(*(name for name in manifest.splits if name not in held_out))
    split = Split(held_out[0], train, manifest.of(held_out[0]), held_out)
    for side, pairs in (("to learn from", split.train), ("to measure on", split.validation)):
        if not pairs:
            raise TrainingError(f"{manifest.folder} has no pair {side}; its splits are {_shown(manifest)}")
    return split


def _held_out(manifest: Manifest, fold: str | None, validation: str | None) -> tuple[str, ...]:
    folds = fold_names(manifest)
    if folds:
        number = (fold or "0").removeprefix("fold")  # may have leading zeros
        named = (name for name in folds if number.isdecimal() and int(name[4:]) == int(number))
        first = validation or next(named, f"fold{number}")
    elif fold is not None:
        raise TrainingError(f"{manifest.folder} has no folds; its splits are {_shown(manifest)}: use --validation")
    else:
        first = validation or "validation"
    if first not in manifest.splits:
        raise TrainingError(f"{manifest.folder} has no split {first!r}; it has {_shown(manifest)}")
    # `test` is never trained on, whatever is measured on: it is reserved for the final measurement.
    return (first, *(split for split in manifest.splits if split == "test" and split != first))


def _shown(manifest: Manifest) -> str:
    return ", ".join(manifest.splits) or "none"


@dataclass(frozen=True)
class Run:
    """A training: its recipe, its data and its folder."""

    # Holds `recipe.toml`, `run.json`, `journal.jsonl`, `tensorboard/`, `samples/`, `best.safetensors` and `last.ckpt`,
    # the state that it is resumed from.
    folder: Path
    recipe: Recipe  # all options
    manifest: Manifest  # the dataset
    split: Split  # which pairs are trained on and measured on
    maps_folder: Path | None = None  # in a stage's run: where all stages' runs keep maps; None: in `folder`
    drawn_folder: Path | None = None  # the same for drawn photos

    @property
    def best_path(self) -> Path:
        """File of the averaged weights of the best evaluation, with their metadata."""
        return self.folder / BEST_NAME

    @property
    def options(self) -> dict[str, Any]:
        """The recipe's values by dotted name, such as `optimizer.lr`."""
        sections = asdict(self.recipe).items()
        return {f"{section}.{key}": value for section, keys in sections for key, value in keys.items()}

    @property
    def state_path(self) -> Path:
        """File with everything that resuming needs."""
        return self.folder / STATE_NAME

    @property
    def is_begun(self) -> bool:
        """Whether it, or with stages the first of its networks, has saved a state."""
        return self.state_path.exists() or (self.folder / FOLDS_NAME / "0" / STAGES[0] / STATE_NAME).exists()

    @property
    def maps_path(self) -> Path:
        """Folder with the segment stage's alphas, which the refine stage is trained on."""
        return self.maps_folder or self.folder / MAPS_NAME

    def sheet_path(self, step: int) -> Path:
        """File of the validation sheet after a step."""
        return self.folder / "samples" / f"step_{step:06d}.jpg"

    @cached_property
    def drawn(self) -> tuple[Pair, ...]:
        """Drawn pairs and composites to train on in addition to the others; made on first access."""
        data = self.recipe.data
        # All stages of a model are trained on the same ones, whatever size of photos they work with.
        own_height = data.size_hw[0] if data.window == "photo" else data.frame_height
        height = STUDIO_HEIGHT if self.drawn_folder else own_height
        folder = self.drawn_folder or self.folder / DRAWN_NAME
        return extra_pairs(folder, data, height=height, manifest=self.manifest, pairs=self.split.train)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What must be unchanged, besides the recipe, for the run to be resumed."""
        both = self.split.train, self.split.validation
        sides = [sorted((p.name, p.photo_sha256, p.cutout_sha256) for p in side) for side in both]
        return {
            "data_sha256": self.manifest.sha256,
            "split": self.split.name,
            "held_out": list(self.split.held_out),
            "split_sha256": hashlib.sha256(json.dumps(sides).encode()).hexdigest(),
        }

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the model's card says about its training; can be stored as JSON."""
        height, pairs, boxes = self.recipe.data.frame_height, self.split.train, {}
        origin, hashes = self._origin, hashes_of(self.manifest)
        photos = (pair.photo_sha256[:_DIGITS_OF_A_PHOTO] for pair in pairs)
        own = (hashes[pair.photo_sha256] for pair in pairs if pair.photo_sha256 in hashes)
        if self.recipe.data.window != "photo":  # the garments' boxes in pixels of the scaled photos
            scales = [(pair, height / pair.size_hw[0]) for pair in pairs]
            boxes = {"boxes_xyxy": [[round(side * scale) for side in pair.box_xyxy] for pair, scale in scales]}
        return {
            "recipe": asdict(self.recipe),
            "data": self.manifest.folder.resolve().name,
            **self.identity,
            "num_trained_on": len(pairs),
            "num_validated_on": len(self.split.validation),
            # Including what the weights that it started from were trained on.
            "started_from": origin.words,
            "trained_on": list(dict.fromkeys((*origin.trained_on, *photos))),
            "trained_hashes": packed_hashes((*unpacked_hashes(origin.trained_hashes), *own)),
            "versions": versions(),
            **boxes,
        }

    @property
    def _origin(self) -> Origin:
        """Where the weights came from. If the training is resumed, the file that it started from may be gone."""
        try:
            origins = [origin_of(start) for start in self._starts]
            return Origin(
                " and ".join(dict.fromkeys(origin.words for origin in origins)),
                tuple(dict.fromkeys(photo for origin in origins for photo in origin.trained_on)),
                packed_hashes([code for origin in origins for code in unpacked_hashes(origin.trained_hashes)]),
            )
        except ModelError:
            if not self.state_path.exists():
                raise
        spec = read_weights(self.best_path)[1] if self.best_path.exists() else None
        facts = spec.facts if spec else {}
        words = facts.get("started_from", f"{self.recipe.network.start}, which is gone")
        return Origin(words, tuple(facts.get("trained_on", (UNKNOWN,))), facts.get("trained_hashes", ""))

    @property
    def _starts(self) -> tuple[str, ...]:
        """What its networks start from; with stages, each network has its own start."""
        stages = [stage_recipe(self.recipe, name) for name in STAGES] if self.recipe.stages.refine else [self.recipe]
        return tuple(dict.fromkeys(recipe.network.start for recipe in stages))

    @cached_property
    def met_before(self) -> tuple[Pair, ...]:
        """Held-out pairs that are not new to the weights that it started from; their scores are too good."""
        origin = Origin("")
        with suppress(ModelError):  # a study asks before its runs begin, each of which reports it
            origin = self._origin
        met = find_met(self.manifest, origin.trained_on, origin.trained_hashes)
        return tuple(pair for pair in self.split.validation if pair.name in met)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of the folder, which is created if it is missing.

        Raises:
            TrainingError: another training is using the folder, or it cannot be written to.
        """
        made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(self.folder / LOCK_NAME)
            lock.acquire()
            remove_staged(self.folder)  # what a killed session was writing
        except LockTakenError as error:
            message = f"{self.folder}: another training is at work there; wait, or choose another --out"
            raise TrainingError(message, code=error.code) from error
        except OSError as error:
            raise TrainingError(f"{self.folder}: {error.strerror or error}; choose another --out") from error
        try:
            yield
        finally:
            with suppress(OSError):  # a run that could not start leaves no empty folder
                if made and [path.name for path in self.folder.iterdir()] == [LOCK_NAME]:
                    (self.folder / LOCK_NAME).unlink()
                    for path in made:
                        path.rmdir()
            lock.release()

    def check_resumable(self) -> None:
        """Raise TrainingError unless the folder is empty or holds an earlier state of this run."""
        before = self.read()
        if not before:
            names = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
            if any(not name.startswith(".garmentcut") for name in names - _NO_RUN_YET):
                raise TrainingError(f"{self.folder} is not empty, and not a training's folder; choose another --out")
            return
        if not self.is_begun:
            return
        other_split = [f"it holds out {before.get('split')}, this {self.split.name}"]
        fixes = {
            "repeat its command": [*self.recipe_differences(), *other_split * (before.get("split") != self.split.name)],
            "put the dataset's photos, cutouts and verdicts back as they were": self._other_data(before),
        }
        if any(fixes.values()):
            ways = " and ".join(fix for fix, differences in fixes.items() if differences)
            networks = {"network": self.folder, **{f"stages.{name}.network": self.folder / name for name in STAGES}}
            weights = {key: folder / BEST_NAME for key, folder in networks.items() if (folder / BEST_NAME).exists()}
            starts = shlex.join(word for key, path in weights.items() for word in ("--set", f"{key}.start={path}"))
            starts = f"; {starts} begins with the weights from here" if starts else ""
            raise TrainingError(
                f"{self.folder} holds another training: {'; '.join(chain(*fixes.values()))}. To continue it, {ways}. To"
                f" start this one, choose another --out{starts}"
            )

    def read(self) -> dict[str, Any]:
        """The contents of `run.json`, empty if there is none; raises TrainingError if it cannot be read."""
        path = self.folder / RUN_NAME
        try:
            content = {**json_of(path.read_bytes())} if path.exists() else {}
            return {_OLD_KEYS.get(key, key): value for key, value in content.items()}
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(f"{path} cannot be read ({error}); choose another --out") from error

    def write(self, changes: Mapping[str, Any]) -> None:
        """Write `run.json` with these changes, and `recipe.toml`; if that fails, the old files are unchanged."""
        known = {key: value for key, value in self.facts.items() if key not in _LEFT_OUT_FACTS}
        content = {**known, **self.read(), **known, **changes}
        # First, as without this file no training is continued in a folder that has others.
        write_atomic(self.folder / RUN_NAME, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
        write_atomic(self.folder / RECIPE_NAME, recipe_toml(self.recipe).encode())

    def summary(self, end: Ended) -> dict[str, Any]:
        """A summary of the training for machines."""
        best = {"mean_dice": end.best_dice, "step": end.best_step} if end.best_step else None
        return {
            "run": str(self.folder),
            "split": self.split.name,
            "held_out": list(self.split.held_out),
            "met_before": len(self.met_before),
            "ended": end.reason,
            "was_finished": end.was_finished,
            "stage": end.stage,
            "step": end.step,
            "steps": end.steps or self.recipe.training.steps,
            "seconds": round(end.seconds, 1),
            "best": best,
            "weights": str(self.folder / end.stage / self.best_path.name) if best else None,
        }

    def spec(self, event: Evaluated) -> NetworkSpec:
        """The metadata of weights that are saved after an evaluation."""
        recipe = self.recipe
        seen_before = "" if self.split.held_out else ", photos it was trained on"
        if self.split.held_out and self.met_before:
            seen_before = f", {len(self.met_before)} of them known to the weights that it started from"
        scores = {
            "data": f"{self.manifest.folder.resolve().name}, {self.split.name}{seen_before}",
            "size_hw": list(recipe.data.size_hw),
            "num_photos": len(self.split.validation),
            "mean_dice": event.mean_dice,
            "median_dice": event.median_dice,
        }
        facts, network = {**self.facts, "step": event.step, "dice": scores}, recipe.network
        return NetworkSpec(network.name, network.options, recipe.data.size_hw, recipe.data.target, facts=facts)

    def recipe_differences(self) -> list[str]:
        """How the recipe differs from the one in the folder, in words such as `training.steps was 8, is 9`."""
        try:
            before, now = asdict(load_recipe(self.folder / RECIPE_NAME)), asdict(self.recipe)
        except ConfigError as error:
            return [f"its recipe cannot be read ({error})"]
        return _differences(before, now)

    def _other_data(self, content: dict[str, Any]) -> list[str]:
        changed = {key for key, value in self.identity.items() if content.get(key) != value}
        if not changed or ("split" in changed and "data_sha256" not in changed):
            return []
        now = len(self.split.train), len(self.split.validation)
        if (then := (content.get("num_trained_on"), content.get("num_validated_on"))) == now:
            return ["the pairs differ: as many as then, but other photos or cutouts, or on other sides of the split"]
        were = f"{then[0]} to learn from and {then[1]} to measure on then"
        return [f"the pairs differ: {were}, {now[0]} and {now[1]} now"]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> list[str]:
    found = []
    for key in dict.fromkeys((*before, *now)):
        was, is_now = before.get(key), now.get(key)
        if isinstance(was, dict) and isinstance(is_now, dict):
            found += _differences(was, is_now, f"{above}{key}.")
        elif was != is_now:
            found.append(f"{above}{key} was {was!r}, is {is_now!r}")
    return found


def versions() -> dict[str, str]:
    """Versions of garmentcut and of the packages that it trains with."""
    found = {"garmentcut": __version__}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@dataclass
class Progress:
    """How far a training is."""

    step: int = 0  # the last finished step, counted from 1
    seconds: float = 0.0  # total duration of all sessions
    best_dice: float = -1.0  # best mean Dice of an evaluation so far; below 0: none yet
    best_step: int = 0  # the step of that evaluation
    num_without_gain: int = 0  # evaluations since then
    ended: str = ""  # why the training is finished: `all steps` or `no gain`; empty: it is not

    def note(self, mean_dice: float, *, always_best: bool = False) -> bool:
        """Record an evaluation after the current step; True if it is the best so far.

        With `always_best` each one counts as the best, because without held-out photos none can be told to be better.
        """
        is_best = always_best or mean_dice > self.best_dice
        if is_best:
            self.best_dice, self.best_step = mean_dice, self.step
        self.num_without_gain = 0 if is_best else self.num_without_gain + 1
        return is_best

    def end(self, reason: str, *, was_finished: bool = False) -> Ended:
        """The last event of a training."""
        return Ended(reason, self.step, self.best_dice, self.best_step, self.seconds, was_finished=was_finished)


def save_state(path: Path, progress: Progress, parts: Mapping[str, Any]) -> None:
    """Write the state of a training atomically; if that fails, the old file is unchanged.

    `parts` has, by name, objects with a `state_dict`, such as modules, optimizers and averages of weights.
    """
    content = io.BytesIO()
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"progress": asdict(progress), "parts": states}, content)
    write_atomic(path, content.getvalue())


def load_state(path: Path, parts: Mapping[str, Any]) -> Progress:
    """Restore the saved states of the parts, in this order, on their devices; without a file nothing changes.

    Raises:
        TrainingError: the file is damaged or has other parts; some of the parts may have been restored by then.
    """
    if not path.exists():
        return Progress()
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch would load damaged tensors without an error
                raise zipfile.BadZipFile(damaged)
        content = torch.load(path, map_location="cpu", weights_only=True)
        saved, progress = _renamed(content["parts"]), TypeAdapter(Progress).validate_python(content["progress"])
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch raises many types, and its messages suggest unsafe loading
        raise TrainingError(f"{path} is damaged, {_NO_RESUME}") from error
    try:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} belongs to another network or optimizer, {_NO_RESUME}") from error
    return progress


def _renamed(saved: dict[str, Any]) -> dict[str, Any]:
    """The saved parts by their current names; until November 2026 the averaged weights had another format."""
    if (average := saved.pop("average", None)) is not None:
        saved["ema_model"] = {f"module.{name}": tensor for name, tensor in average["network"].items()}
    return saved
