"""A run of `garmentcut train` or of a study: one recipe on one split, its folder on disk, and what a resume needs.

A split, by fold or by name, says which pairs are learned from and which it is measured on.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
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
from garmentcut.photo.files import FolderLock, json_of, write_atomic
from garmentcut.recipe import STAGES, Recipe, load_recipe, recipe_toml, stage_recipe
from garmentcut.training.logging import Ended, Evaluated

RECIPE_NAME, RUN_NAME, BEST_NAME, STATE_NAME = "recipe.toml", "run.json", "best.safetensors", "last.ckpt"
FOLDS_NAME, MAPS_NAME, DRAWN_NAME, PLAN_NAME = "folds", "maps", "synthetic", "plan.json"
LOCK_NAME, RANGE_CURVE_NAME, RANGE_POINTS_NAME = ".garmentcut.lock", "range_test.svg", "range_test.jsonl"
_BEFORE_IT = {LOCK_NAME, RANGE_CURVE_NAME, RANGE_POINTS_NAME, FOLDS_NAME, MAPS_NAME, DRAWN_NAME, PLAN_NAME, *STAGES}
STUDIO_HEIGHT = 1728  # pixels of drawn photos: what studios of today shoot
_PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy")
_DIGITS_OF_A_PHOTO = 12
_OLD_KEYS = {"division": "split", "division_sha256": "split_sha256"}
"""Names of keys in `run.json` until November 2026, and what they are called now."""
_OF_WEIGHTS = ("recipe", "trained_on", "trained_hashes", "boxes_xyxy")  # facts that run.json needs not
_NO_RESUME = "and cannot be resumed from; delete it to begin again, or choose another --out"
_NUM_SHOWN_TO_IT = 12  # photos that a training without held-out ones is measured on


@dataclass(frozen=True)
class Split:
    """The two sides of a training: what it learns from, and what it is measured on."""

    name: str  # `fold0`, `validation`, or `none`
    train: tuple[Pair, ...]  # pairs to learn from
    validation: tuple[Pair, ...]  # pairs that it is measured on while it trains
    # Splits that nothing is learned from; empty: everything is, `validation` too, whose Dice then says nothing of new
    # photos.
    held_out: tuple[str, ...]


def fold_names(manifest: Manifest) -> tuple[str, ...]:
    """`fold0`, `fold1` ... in order; empty if the data set has train, validation and test instead."""
    if not all(re.fullmatch(r"fold\d+", split) for split in manifest.splits):
        return ()
    return tuple(sorted(manifest.splits, key=lambda split: int(split[4:])))


def without_wrong(split: Split) -> Split:
    """The same, but nothing is learned from cutouts that were marked wrong; they are measured all the same.

    Raises:
        TrainingError: all of them were.
    """
    train = tuple(pair for pair in split.train if pair.verdict != "wrong")
    if not train:
        raise TrainingError("every cutout to learn from is marked wrong; set data.wrong_weight above 0, or unmark some")
    return replace(split, train=train)


def training_splits(manifest: Manifest, fold: str | None = None, *, validation: str | None = None) -> tuple[Split, ...]:
    """As `training_split`; `all` for `fold` gives every fold its turn.

    Raises:
        TrainingError: as `training_split`.
    """
    folds = [name.removeprefix("fold") for name in fold_names(manifest)] if fold == "all" else []
    wanted: Sequence[str | None] = folds or [fold]
    return tuple(training_split(manifest, one, validation=validation) for one in wanted)


def training_split(manifest: Manifest, fold: str | None = None, *, validation: str | None = None) -> Split:
    """The usable pairs of a data set, split for a training; refused ones are left out.

    The manifest has folds, or splits train, validation and test. `fold` is the number of the fold to hold out, or
    `none`: learn from everything; None: fold 0, or the split `validation`. `validation` is the split to measure on,
    instead of a fold. All others are learned from, but for `test`.

    Raises:
        TrainingError: no such fold or split, both are asked for, or one side has no pair; names those there are.
    """
    if fold is not None and validation is not None:
        raise TrainingError("--fold and --validation contradict each other; give only one of them")
    if fold == "none":
        return _all_of(manifest)
    held_out = _held_out(manifest, fold, validation)
    train = manifest.of(*(name for name in manifest.splits if name not in held_out))
    split = Split(held_out[0], train, manifest.of(held_out[0]), held_out)
    for side, pairs in (("to learn from", split.train), ("to measure on", split.validation)):
        if not pairs:
            raise TrainingError(f"{manifest.folder} has no pair {side}; its splits are {_shown(manifest)}")
    return split


def _all_of(manifest: Manifest) -> Split:
    pairs = manifest.usable
    if not pairs:
        raise TrainingError(f"{manifest.folder} has no usable pair; `garmentcut ingest` says why each was refused")
    by_view = sorted(pairs, key=lambda pair: (pair.view, pair.name))
    return Split("none", pairs, tuple(by_view[:: -(-len(pairs) // _NUM_SHOWN_TO_IT)]), ())  # every view is among them


def _held_out(manifest: Manifest, fold: str | None, validation: str | None) -> tuple[str, ...]:
    folds = fold_names(manifest)
    if folds:
        number = fold or "0"  # perhaps with leading zeros
        named = (name for name in folds if number.isdecimal() and int(name[4:]) == int(number))
        first = validation or next(named, f"fold{number}")
    elif fold is not None:
        raise TrainingError(f"{manifest.folder} has no folds; its splits are {_shown(manifest)}: use --validation")
    else:
        first = validation or "validation"
    if first not in manifest.splits:
        raise TrainingError(f"{manifest.folder} has no split {first!r}; it has {_shown(manifest)}")
    # Nothing is learned from `test`, whatever it is measured on: it is for the last word.
    return (first, *(split for split in manifest.splits if split == "test" and split != first))


def _shown(manifest: Manifest) -> str:
    return ", ".join(manifest.splits) or "none"


@dataclass(frozen=True)
class Run:
    """What is trained on what, and where it is kept."""

    # Gets `recipe.toml`, `run.json`, `journal.jsonl`, `tensorboard/`, `samples/`, `best.safetensors`, and `last.ckpt`,
    # from which it is resumed.
    folder: Path
    recipe: Recipe  # all options
    manifest: Manifest  # the data set
    split: Split  # what of it is learned from
    maps_folder: Path | None = None  # of a stage's run: where all stages' runs keep maps; None: in `folder`
    drawn_folder: Path | None = None  # likewise, of drawn photos

    @property
    def best_path(self) -> Path:
        """The averaged weights of the best evaluation, with what is known of them."""
        return self.folder / BEST_NAME

    @property
    def options(self) -> dict[str, Any]:
        """The recipe's values by name, such as `optimizer.lr`."""
        sections = asdict(self.recipe).items()
        return {f"{section}.{key}": value for section, keys in sections for key, value in keys.items()}

    @property
    def state_path(self) -> Path:
        """Everything a resume needs."""
        return self.folder / STATE_NAME

    @property
    def maps_path(self) -> Path:
        """Folder with the segment stage's alphas, which the refine stage learns from."""
        return self.maps_folder or self.folder / MAPS_NAME

    def sheet_path(self, step: int) -> Path:
        """The validation sheet of a step."""
        return self.folder / "samples" / f"step_{step:06d}.jpg"

    @cached_property
    def drawn(self) -> tuple[Pair, ...]:
        """Drawn pairs and composites that are learned from beside the others; made when first asked for.

        Raises:
            OSError: they cannot be written.
        """
        data = self.recipe.data
        # Of a model of stages all learn from the same ones, whatever size they look at.
        height = STUDIO_HEIGHT if self.drawn_folder else data.size_hw[0]
        folder = self.drawn_folder or self.folder / DRAWN_NAME
        return extra_pairs(folder, data, height=height, manifest=self.manifest, pairs=self.split.train)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed, but for the recipe."""
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
        """What a model should know of its training, for its card; JSON."""
        height, pairs, boxes = self.recipe.data.frame_height, self.split.train, {}
        if self.recipe.data.window != "photo":  # the garments' boxes in pixels of the framed photos
            scales = [(pair, height / pair.size_hw[0]) for pair in pairs]
            boxes = {"boxes_xyxy": [[round(side * scale) for side in pair.box_xyxy] for pair, scale in scales]}
        return {
            "recipe": asdict(self.recipe),
            "data": self.manifest.folder.resolve().name,
            **self.identity,
            "num_trained_on": len(pairs),
            "num_validated_on": len(self.split.validation),
            **self._learned_from,
            "versions": versions(),
            **boxes,
        }

    @property
    def _learned_from(self) -> dict[str, Any]:
        """What the weights have learned from: what they had before the start counts too."""
        origin, hashes = self._origin, hashes_of(self.manifest)
        own = [hashes[pair.photo_sha256] for pair in self.split.train if pair.photo_sha256 in hashes]
        photos = (pair.photo_sha256[:_DIGITS_OF_A_PHOTO] for pair in self.split.train)
        return {
            "started_from": origin.words,
            "trained_on": list(dict.fromkeys((*origin.trained_on, *photos))),
            "trained_hashes": packed_hashes((*unpacked_hashes(origin.trained_hashes), *own)),
        }

    @property
    def _origin(self) -> Origin:
        """Where the weights came from; of a training that is resumed, the file may be gone since."""
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
        """What its networks start from: those of a model of stages, each from its own."""
        stages = [stage_recipe(self.recipe, name) for name in STAGES] if self.recipe.stages.refine else [self.recipe]
        return tuple(dict.fromkeys(recipe.network.start for recipe in stages))

    @cached_property
    def met_before(self) -> tuple[Pair, ...]:
        """Held-out pairs that its start has learned from, or from others like them: what they show is too good."""
        met: set[str] = set()
        for start in self._starts:
            with suppress(ModelError):  # of a training that was begun, it may be gone
                met |= {pair.name for pair in met_by(origin_of(start), self.manifest)}
        return tuple(pair for pair in self.split.validation if pair.name in met)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out of the folder, which is made if need be.

        Raises:
            TrainingError: another training is at work there, or it cannot be written.
        """
        made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(self.folder / LOCK_NAME)
            lock.acquire()
        except LockTakenError as error:
            raise TrainingError(
                f"{self.folder}: another training is at work there; wait, or choose another --out"
            ) from error
        except OSError as error:
            raise TrainingError(f"{self.folder}: {error.strerror or error}; choose another --out") from error
        try:
            yield
        finally:
            with suppress(OSError):  # a run that could not start leaves no folder
                if made and [path.name for path in self.folder.iterdir()] == [LOCK_NAME]:
                    (self.folder / LOCK_NAME).unlink()
                    for path in made:
                        path.rmdir()
            lock.release()

    def check_resumable(self) -> None:
        """Refuse a folder that holds something else than this run, or its beginning.

        Raises:
            TrainingError: says what differs.
        """
        before = self.read()
        if not before:
            if self.folder.is_dir() and any(path.name not in _BEFORE_IT for path in self.folder.iterdir()):
                raise TrainingError(f"{self.folder} is not empty, and not a training's folder; choose another --out")
            return
        if self.state_path.exists() and (differences := [*self.recipe_differences(), *self._other_data(before)]):
            raise TrainingError(
                f"{self.folder} holds another training: {'; '.join(differences)}. To go on with it, repeat its"
                f" command; to begin this one, choose another --out, or start from its weights there: network.start ="
                f" '{self.best_path}'"
            )

    def read(self) -> dict[str, Any]:
        """`run.json`; empty if there is none.

        Raises:
            TrainingError: it cannot be read.
        """
        path = self.folder / RUN_NAME
        try:
            content = {**json_of(path.read_bytes())} if path.exists() else {}
            return {_OLD_KEYS.get(key, key): value for key, value in content.items()}
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(f"{path} cannot be read ({error}); choose another --out") from error

    def write(self, changes: Mapping[str, Any]) -> None:
        """Write `recipe.toml`, and `run.json` with these changes.

        Raises:
            OSError: a full disk, and the like; what was there is untouched.
        """
        known = {key: value for key, value in self.facts.items() if key not in _OF_WEIGHTS}
        content = {**known, **self.read(), **known, **changes}
        write_atomic(self.folder / RECIPE_NAME, recipe_toml(self.recipe).encode())
        write_atomic(self.folder / RUN_NAME, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def summary(self, end: Ended) -> dict[str, Any]:
        """How it went, for machines."""
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
        """What is known of weights that are kept after an evaluation."""
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
        return NetworkSpec(
            name=recipe.network.name,
            options=recipe.network.options,
            size_hw=recipe.data.size_hw,
            target=recipe.data.target,
            facts={**self.facts, "step": event.step, "dice": scores},
        )

    def recipe_differences(self) -> list[str]:
        """What the recipe in the folder says otherwise, in words: `training.steps was 8, is 9`."""
        try:
            before, now = asdict(load_recipe(self.folder / RECIPE_NAME)), asdict(self.recipe)
        except ConfigError as error:
            return [f"its recipe cannot be read ({error})"]
        return [
            f"{section}.{key} was {value!r}, is {now[section][key]!r}"
            for section, keys in before.items()
            for key, value in keys.items()
            if value != now[section][key]
        ]

    def _other_data(self, content: dict[str, Any]) -> list[str]:
        before = {key: content.get(key) for key in self.identity}
        if before["split"] != self.identity["split"]:
            return [f"it holds out {before['split']}, this {self.identity['split']}"]
        if before == self.identity:
            return []
        return [
            f"the pairs differ: {content.get('num_trained_on')} to learn from and {content.get('num_validated_on')} to"
            f" measure on then, {len(self.split.train)} and {len(self.split.validation)} now"
        ]


def met_by(origin: Origin, manifest: Manifest) -> tuple[Pair, ...]:
    """Pairs that the weights of a start have learned from, or from others like them."""
    met = find_met(manifest, set(origin.trained_on) - {UNKNOWN}, unpacked_hashes(origin.trained_hashes))
    return tuple(pair for pair in manifest.usable if pair.name in met)


def versions() -> dict[str, str]:
    """Of garmentcut and of what it trains with."""
    found = {"garmentcut": __version__}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@dataclass
class Progress:
    """How far a training is."""

    step: int = 0  # the last finished step, counted from 1
    seconds: float = 0.0  # of all sessions
    best_dice: float = -1.0  # best mean Dice of an evaluation so far; below 0: none yet
    best_step: int = 0  # the step of that evaluation
    num_without_gain: int = 0  # evaluations since then
    ended: str = ""  # empty while there is more to do, else why there is not: `all steps` or `no gain`

    def note(self, mean_dice: float, *, always_best: bool = False) -> bool:
        """Take note of an evaluation after this step; True if it is the best so far.

        With `always_best` the last one counts: there is nothing held out that could tell which is better.
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
    """Write the state of a training so that an interrupted write leaves the last one as it was.

    `parts` is anything that torch would save, by name: a module, an optimizer, an average of weights.

    Raises:
        OSError: a full disk, and the like; the file there is untouched.
    """
    content = io.BytesIO()
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"progress": asdict(progress), "parts": states}, content)
    write_atomic(path, content.getvalue())


def load_state(path: Path, parts: Mapping[str, Any]) -> Progress:
    """Give the parts their saved states back, in this order, on their devices; without a file nothing changes.

    Raises:
        TrainingError: the file is damaged, or of other parts than these, which are then half filled.
    """
    if not path.exists():
        return Progress()
    try:
        path.open("rb").close()
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch would load the tensors with whatever stands there
                raise zipfile.BadZipFile(damaged)
        content = torch.load(path, map_location="cpu", weights_only=True)
        saved, progress = _renamed(content["parts"]), TypeAdapter(Progress).validate_python(content["progress"])
    except Exception as error:  # torch raises many kinds, and advises to switch its safety off
        raise TrainingError(f"{path} is damaged, {_NO_RESUME}") from error
    try:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} belongs to another network or optimizer, {_NO_RESUME}") from error
    return progress


def _renamed(saved: dict[str, Any]) -> dict[str, Any]:
    """The saved parts by today's names: until November 2026 the average of the weights was written in another form."""
    if (average := saved.pop("average", None)) is not None:
        saved["ema_model"] = {f"module.{name}": tensor for name, tensor in average["network"].items()}
    return saved
