"""Which model is tried on which photos: one model on all, or each fold's model on the photos it never saw."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from garmentcut.dataset.manifest import Manifest, Pair
from garmentcut.errors import EvaluationError as EvaluationError
from garmentcut.model.card import ModelCard, read_model

MODEL_NAME, RUN_NAME = "model.onnx", "run.json"
"""What a run folder holds: the exported model, and what it was trained on."""


_Member = tuple[Path, tuple[str, ...] | None]


@dataclass(frozen=True)
class Trial:
    """One model and the photos it is tried on.

    Attributes:
        model: an ONNX file.
        card: its card.
        pairs: usable pairs of the dataset, one at least.
    """

    model: Path
    card: ModelCard
    pairs: tuple[Pair, ...]


def plan_trials(model: Path, manifest: Manifest, *, splits: Sequence[str] | None = None) -> tuple[Trial, ...]:
    """Find the models, and the photos for each.

    Args:
        model: an ONNX file: tried on all usable pairs; a run folder with `model.onnx`: tried on the splits that its
            `run.json` says were held out; a folder of such run folders `fold0`, `fold1` ...: each on its own held-out
            splits, so that every photo is judged by a model that never saw it.
        manifest: the dataset.
        splits: only these. For a file or a single run they replace what is said above; of folds, they choose.

    Raises:
        EvaluationError: no model there, an unknown split, a photo in two folds, or nothing to evaluate.
        garmentcut.model.card.ModelError: a model file that cannot be used.
    """
    known = manifest.splits
    for split in splits or ():
        if split not in known:
            raise EvaluationError(f"{manifest.folder} has no split {split!r}; it has {', '.join(known) or 'none'}")
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
        raise EvaluationError(f"{manifest.folder} has no usable pair to evaluate{_among(members)}")
    return tuple(trials)


def _members(model: Path, manifest: Manifest, splits: Sequence[str] | None) -> list[_Member]:
    """Model files, each with its splits; None: all pairs."""
    chosen = tuple(dict.fromkeys(splits)) if splits else None
    if not model.is_dir():
        return [(model, chosen)]
    if (model / MODEL_NAME).is_file():
        return [(model / MODEL_NAME, chosen or _held_out(model, manifest))]
    runs = sorted(folder for folder in model.glob("fold*") if folder.is_dir())
    if not runs:
        raise EvaluationError(f"{model} holds no {MODEL_NAME}; {_export(model)}")
    members: list[_Member] = []
    for run in runs:
        if not (run / MODEL_NAME).is_file():
            raise EvaluationError(f"{run} holds no {MODEL_NAME}; {_export(run)}")
        held = _held_out(run, manifest)
        members.append((run / MODEL_NAME, tuple(split for split in held if chosen is None or split in chosen)))
    return members


def _held_out(run: Path, manifest: Manifest) -> tuple[str, ...]:
    """The splits that a run's training held out of this very dataset."""
    path, mend = run / RUN_NAME, f"name the photos by --split, or give {run / MODEL_NAME} itself"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        held, data = tuple(content["held_out"]), content.get("data_sha256", manifest.sha256)
    except OSError as error:
        raise EvaluationError(
            f"{path}: {error.strerror}, so nobody knows which photos were held out; {mend}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path} does not say which splits were held out; {mend}") from error
    if not held:
        raise EvaluationError(f"{path}: nothing was held out of this training; {mend}")
    if data != manifest.sha256:
        raise EvaluationError(f"{path}: trained on other pairs than {manifest.folder} holds now; {mend}")
    return held


def _export(run: Path) -> str:
    return f"export it: garmentcut export {run} --out {run / MODEL_NAME}"


def _among(members: list[_Member]) -> str:
    names = sorted({split for _, held in members for split in held or ()})
    return f" in {', '.join(names)}" if names else ""
