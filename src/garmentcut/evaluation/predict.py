"""Runs models on a dataset's pairs: the prediction loop shared by evaluate, audit, calibrate and studies.

Either one model is run on all photos, or each fold's model on the photos that it has not seen. A file that cannot be
read becomes an outcome with a reason and does not stop the others; a model that cannot be used raises ModelError.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from pydantic import TypeAdapter

from garmentcut.config import RuntimeConfig
from garmentcut.dataset.composite import extra_pairs
from garmentcut.dataset.manifest import Manifest, Pair, read_pair
from garmentcut.dataset.split import find_met
from garmentcut.errors import EvaluationError, PhotoError
from garmentcut.evaluation.metrics import Alpha
from garmentcut.model.card import UNKNOWN, ModelCard, read_model
from garmentcut.photo.files import json_of, map_in_order
from garmentcut.photo.photo import Photo
from garmentcut.prediction.cutter import Cutter, Prediction
from garmentcut.prediction.doubt import Observation, observe_prediction
from garmentcut.prediction.runtime import runtime_for
from garmentcut.recipe import DataConfig

_Found = TypeVar("_Found")

FOLDS_NAME, MODEL_NAME, RUN_NAME = "folds", "model.onnx", "run.json"
"""Files in a run's folder: the exported model, and what it was trained on."""


_FIRST_SEED = 2_000_000  # trainings draw photos with smaller seeds only
_Member = tuple[Path, tuple[str, ...] | None]


@dataclass(frozen=True)
class Trial:
    """A model and the photos that it is run on."""

    model: Path  # an ONNX file
    card: ModelCard
    pairs: tuple[Pair, ...]  # usable pairs of the dataset, at least one


def plan_trials(model: Path, manifest: Manifest, *, splits: Sequence[str] | None = None) -> tuple[Trial, ...]:
    """Find the models and the photos for each.

    `model` is one of four: an ONNX file, run on all usable pairs; a run's folder with `model.onnx`, run on the splits
    that its `run.json` says were held out; a run with stages whose folds were exported, each run on the photos that it
    has not seen; a folder of run folders `fold0`, `fold1` ..., each run on its own held-out splits, so that no photo is
    judged by a model that has seen it. `splits` are used instead of these for a file or a single run; of folds, they
    choose some.

    Raises:
        EvaluationError: there is no model, a split is unknown, a photo is in two folds, or there are no photos.
    """
    known = manifest.splits
    for split in splits or ():
        if split not in known:
            raise EvaluationError(f"{manifest.folder} has no split {split!r}; it has {', '.join(known) or 'none'}")
    if not splits and (of_folds := _stage_trials(model, manifest)):
        return of_folds
    members = _members(model, manifest, splits)
    repeated = [split for split, times in Counter(s for _, held in members for s in held or ()).items() if times > 1]
    if repeated:
        raise EvaluationError(f"{model}: {repeated[0]} was held out by two models, so its photos would count twice")
    trials = []
    for path, held in members:
        pairs = manifest.usable if held is None else manifest.of(*held)
        if pairs:
            trials.append(Trial(path, read_model(path)[1], pairs))
    if not trials:
        held_out = sorted({split for _, held in members for split in held or ()})
        among = f" in {', '.join(held_out)}" if held_out else ""
        raise EvaluationError(f"{manifest.folder} has no usable pair to evaluate{among}")
    return tuple(trials)


@dataclass(frozen=True, eq=False)
class CutPair:
    """One photo, its target and a model's prediction."""

    pair: Pair
    card: ModelCard
    photo: Photo
    target: Alpha  # `(H, W)` float32 in [0, 1], the retoucher's alpha
    alpha: Alpha  # `(H, W)` float32 in [0, 1], the model's alpha; 0 everywhere if it refused the photo
    prediction: Prediction | None  # the network's output; None: the model refused the photo
    reason: str  # why the model refused the photo; empty: it did not
    seen: bool | None  # whether the model was trained on the photo or one like it; None: its card does not say
    seconds: float  # time for cutting: framing, network and finishing, without waiting for other photos

    @cached_property
    def observation(self) -> Observation | None:
        """Features of the cutout that tell about its quality; None: nothing was cut out."""
        return observe_prediction(self.prediction) if self.prediction is not None else None


@dataclass(frozen=True)
class Outcome(Generic[_Found]):
    """The result for one pair: `found`, or why it failed."""

    pair: Pair
    card: ModelCard
    found: _Found | None  # what `keep` returned; None: the pair could not be read, or `keep` failed
    reason: str = ""  # why it failed; empty: it did not
    seen: bool | None = None  # as in `CutPair`


def predict(
    trials: Sequence[Trial], manifest: Manifest, keep: Callable[[CutPair], _Found]
) -> Iterator[Outcome[_Found]]:
    """Cut each trial's photos at their own size, and call `keep` with each to extract what is needed.

    While the network works on some photos, others are read or processed by `keep`, in several threads, so that all
    cores are used. Only a few photos are in memory at a time. The outcomes are in the order of the trials' pairs.
    """
    for trial in trials:
        yield from _outcomes(trial, manifest, keep)


def _outcomes(trial: Trial, manifest: Manifest, keep: Callable[[CutPair], _Found]) -> Iterator[Outcome[_Found]]:
    cutter = Cutter.load(trial.model, config=runtime_for(RuntimeConfig(), len(trial.pairs)))
    streams, known = cutter.runtime.streams, find_seen(trial.card, manifest)
    turns = threading.Semaphore(streams)  # limits how many threads run the network at a time

    def outcome_of(pair: Pair) -> Outcome[_Found]:
        seen = known.get(pair.name)
        try:
            cut = _cut(cutter, pair, *read_pair(manifest, pair), turns, seen)
            return Outcome(pair, cutter.card, keep(cut), seen=seen)
        except Exception as error:  # noqa: BLE001 - a failure of one pair must not stop the others
            reason = "not enough memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
            return Outcome(pair, cutter.card, None, reason, seen)

    workers = min(streams + 1, max(os.cpu_count() or 1, 2))
    with ThreadPoolExecutor(workers) as pool:
        yield from map_in_order(pool, outcome_of, trial.pairs, num_ahead=workers)


def predict_some(
    trials: Sequence[Trial], manifest: Manifest, names: Collection[str], keep: Callable[[CutPair], _Found]
) -> dict[str, _Found]:
    """As `predict` for some pairs: what `keep` returned, by name, without pairs that can no longer be read."""
    few = _with_pairs(trials, lambda pair: pair.name in names)
    return {outcome.pair.name: outcome.found for outcome in predict(few, manifest, keep) if outcome.found is not None}


def _with_pairs(trials: Sequence[Trial], is_wanted: Callable[[Pair], bool]) -> tuple[Trial, ...]:
    few = (replace(trial, pairs=tuple(filter(is_wanted, trial.pairs))) for trial in trials)
    return tuple(trial for trial in few if trial.pairs)


def trials_elsewhere(trials: Sequence[Trial], manifest: Manifest, folder: Path, num: int) -> tuple[Trial, ...]:
    """The same models, to be run on about `num` generated photos unlike the studio's: half drawn, half composites.

    Each model gets the composites of its own trial's garments. Photos and alphas are written to `folder`; raises as
    `extra_pairs`.
    """
    pairs = [pair for trial in trials for pair in trial.pairs]
    data = DataConfig(varied=num // 2, composites=num - num // 2)
    height = int(np.median([pair.size_hw[0] for pair in pairs]))
    made = extra_pairs(folder, data, height=height, manifest=manifest, pairs=pairs, first_seed=_FIRST_SEED)
    trial_of = {pair.group: number for number, trial in enumerate(trials) for pair in trial.pairs}
    shares = [trial_of.get(pair.group, number % len(trials)) for number, pair in enumerate(made)]
    return tuple(
        replace(trial, pairs=own)
        for number, trial in enumerate(trials)
        if (own := tuple(pair for pair, share in zip(made, shares, strict=True) if share == number))
    )


def without_wrong(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The same trials without cutouts that were marked wrong, because differing from these is not an error.

    Raises:
        EvaluationError: all of them were marked wrong.
    """
    if not (found := _with_pairs(trials, lambda pair: pair.verdict != "wrong")):
        raise EvaluationError("every cutout is marked wrong; unmark some with `garmentcut audit --mark`")
    return found


def find_seen(card: ModelCard, manifest: Manifest) -> dict[str, bool | None]:
    """Which photos a model was trained on, by name of the usable pair.

    True: it, or the weights that it started from, was trained on the photo, another view of its garment or a
    near-duplicate; None: the card does not say.
    """
    met = find_met(manifest, card.trained_on, card.trained_hashes)
    rest = None if not card.trained_on or UNKNOWN in card.trained_on else False
    return {pair.name: True if pair.name in met else rest for pair in manifest.usable}


def refuse_seen(trials: Sequence[Trial], manifest: Manifest, *, because: str) -> None:
    """Raise EvaluationError if a model has seen photos that it is run on; `because` says why it must not."""
    for trial in trials:
        known = find_seen(trial.card, manifest)
        if num_seen := sum(known[pair.name] is True for pair in trial.pairs):
            raise EvaluationError(
                f"{trial.model} was trained on {num_seen} of these {len(trial.pairs)} photos, or on others of the same"
                f" garments, {because}; choose photos that it has not seen with --split, name a folder of fold"
                " runs (garmentcut train --fold all), or pass --seen to continue anyway"
            )


def _cut(
    cutter: Cutter, pair: Pair, photo: Photo, target: Alpha, turns: threading.Semaphore, seen: bool | None
) -> CutPair:
    start, waited = time.perf_counter(), 0.0
    prediction, reason, alpha = None, "", np.zeros(photo.size_hw, np.float32)
    try:
        frame = cutter.frame(photo)
        asked = time.perf_counter()
        with turns:
            waited = time.perf_counter() - asked
            predicted = cutter.predict(photo, frame)
        alpha, prediction = cutter.finish(photo, predicted).alpha, predicted
    except PhotoError as error:  # refused, so the cutout is empty
        reason = str(error)
    seconds = time.perf_counter() - start - waited
    return CutPair(pair, cutter.card, photo, target, alpha, prediction, reason, seen, seconds)


def _stage_trials(model: Path, manifest: Manifest) -> tuple[Trial, ...]:
    """The fold models of a run with stages, each with the photos that its networks have not seen."""
    trials, tried = [], set[str]()
    for path in sorted(model.glob(f"{FOLDS_NAME}/*/{MODEL_NAME}")):
        card = read_model(path)[1]
        seen = find_seen(card, manifest)
        pairs = tuple(pair for pair in manifest.usable if seen[pair.name] is False and pair.name not in tried)
        tried |= {pair.name for pair in pairs}
        if pairs:
            trials.append(Trial(path, card, pairs))
    return tuple(trials)


def _members(model: Path, manifest: Manifest, splits: Sequence[str] | None) -> list[_Member]:
    """Model files, each with its splits; None means all pairs."""
    chosen = tuple(dict.fromkeys(splits)) if splits else None
    if not model.is_dir():
        return [(model, chosen)]
    if (model / MODEL_NAME).is_file():
        return [(model / MODEL_NAME, chosen or _held_out(model, manifest))]
    runs = sorted(folder for folder in model.glob("fold*") if folder.is_dir() and folder.name != FOLDS_NAME)
    members: list[_Member] = []
    for run in runs or [model]:
        if not (run / MODEL_NAME).is_file():
            folds = " --folds" if (run / FOLDS_NAME).is_dir() else ""
            fix = f"export it: garmentcut export {run} --out {run / MODEL_NAME}{folds}"
            raise EvaluationError(f"{run} holds no {MODEL_NAME}; {fix}")
        held = _held_out(run, manifest)
        members.append((run / MODEL_NAME, tuple(split for split in held if chosen is None or split in chosen)))
    return members


def _held_out(run: Path, manifest: Manifest) -> tuple[str, ...]:
    """The splits of exactly this dataset that a run's training held out."""
    path, fix = run / RUN_NAME, f"name the photos by --split, or give {run / MODEL_NAME} itself"
    try:
        content = json_of(path.read_text(encoding="utf-8"))
        held = TypeAdapter(tuple[str, ...]).validate_python(content["held_out"])
        data = content.get("data_sha256", manifest.sha256)
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror}, so nobody knows which photos were held out; {fix}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path} does not say which splits were held out; {fix}") from error
    if not held:
        raise EvaluationError(f"{path}: nothing was held out of this training; {fix}")
    if data != manifest.sha256:
        raise EvaluationError(f"{path}: trained on other pairs than {manifest.folder} holds now; {fix}")
    return held
