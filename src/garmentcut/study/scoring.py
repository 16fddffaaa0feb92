"""What a trained run is worth: its last weights become a model file, which cuts the photos that were held out."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from torch import nn

from garmentcut.dataset.manifest import Pair
from garmentcut.errors import TrainingError
from garmentcut.evaluation.predict import MODEL_NAME, Trial
from garmentcut.evaluation.scores import PhotoScore, ScoresError, evaluate, read_scores, write_scores
from garmentcut.export.card import card_of_network
from garmentcut.export.onnx import export_network
from garmentcut.model.card import read_model
from garmentcut.model.networks import build_network
from garmentcut.photo.files import write_atomic
from garmentcut.training.logging import JOURNAL_NAME, Evaluated, read_journal
from garmentcut.training.optim import open_ema_model
from garmentcut.training.run import Run, load_state

SCORES_NAME = "scores.jsonl"


def last_network(run: Run) -> nn.Module:
    """The network as the last step left it, averaged if the recipe averages.

    A run also keeps the weights of its best evaluation. Those were chosen by the photos that a study scores, so their
    score there is too good, the more so the more often an arm's Dice jumps: a study does not look at them.

    Raises:
        TrainingError: the state cannot be read.
    """
    network = build_network(run.recipe.network.name, **run.recipe.network.options)
    ema_model = open_ema_model(network, run.recipe.training.ema)
    if ema_model is None:
        load_state(run.state_path, {"network": network})
        return network
    load_state(run.state_path, {"ema_model": ema_model})
    return cast(nn.Module, ema_model.module)


def export_run(run: Run) -> Path:
    """Write a finished run's last weights as `model.onnx`, if it is not there yet.

    Raises:
        ExportError: the file would give other alphas than the network.
        TrainingError: the run is not finished.
        OSError: a full disk, and the like.
    """
    path = run.folder / MODEL_NAME
    if not path.exists():
        network = last_network(run)
        card = card_of_network(network, run.spec(last_look(run)))
        write_atomic(path, export_network(network, card))
    return path


def score_run(run: Run, pairs: Sequence[Pair] | None = None) -> list[PhotoScore]:
    """Cut and measure the photos that a finished run held out; the rows are kept in its folder.

    Args:
        run: finished.
        pairs: other photos than those it was looked at with.

    Raises:
        TrainingError: not one of the photos could be read.
        ModelError, ExportError, OSError: as `export_run`.
    """
    model = export_run(run)
    trial = Trial(model, read_model(model)[1], tuple(pairs or run.division.validation))
    scores = list(evaluate([trial], run.manifest))
    if all(score.measures is None for score in scores):
        raise TrainingError(f"{scores[0].name}: {scores[0].reason}; nor could any other held-out photo be measured")
    write_scores(scores, run.folder)
    return scores


def kept_scores(folder: Path) -> list[PhotoScore] | None:
    """The rows of a run's folder; None if it has none that can be read."""
    try:
        return read_scores(folder)
    except ScoresError:
        return None


def last_look(run: Run) -> Evaluated:
    """What a run's last look at its held-out photos showed, at the training's size.

    Raises:
        TrainingError: there was none.
    """
    rows = [row for row in read_journal(run.folder / JOURNAL_NAME) if row["kind"] == "evaluation"]
    if not rows:
        raise TrainingError(f"{run.folder} holds no finished training; delete it, and run the same command again")
    row = rows[-1]
    return Evaluated(row["step"], row["mean_dice"], row["median_dice"], row["loss"], is_best=False)
