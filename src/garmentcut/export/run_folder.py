"""`garmentcut export`: makes the model file of a run's folder, whether of one network or of three stages."""

from pathlib import Path
from typing import Any

from garmentcut.errors import ModelError
from garmentcut.export.card import card_of_network
from garmentcut.export.onnx import export_network
from garmentcut.export.stages import export_stages
from garmentcut.model.checkpoint import NetworkSpec, load_network
from garmentcut.recipe import STAGES

FOLDS_NAME, MODEL_NAME = "folds", "model.onnx"
WEIGHTS_NAME = "best.safetensors"
"""Where a training leaves its weights; of a model of stages, in a folder for each."""


def export_folder(run: Path, words: dict[str, str]) -> bytes:
    """Export a trained run.

    Args:
        run: its folder, or a .safetensors file.
        words: fields of the card.

    Returns:
        Content of a model file.

    Raises:
        ModelError: the weights cannot be read, or the training has not come so far.
        RunError: a network cannot be exported, or its export answers differently.
    """
    if not (run / STAGES[-1] / WEIGHTS_NAME).exists():
        if (run / FOLDS_NAME).is_dir():
            raise ModelError(f"{run}: its training is not finished; run the same `garmentcut train` again to continue")
        return _exported(run / WEIGHTS_NAME if run.is_dir() else run, words)[0]
    return _of_stages({name: run / name / WEIGHTS_NAME for name in STAGES}, words)


def export_folds(run: Path) -> dict[Path, bytes]:
    """Export the folds of a run of stages, whose models judge the photos that each has held out.

    A fold has no refine stage of its own: it gets that of the whole, which has learned from all photos, but from maps
    of networks that had not seen them. The cards list what the other two stages have learned from.

    Args:
        run: its folder.

    Returns:
        Path for each model file below the run's folder, and its content; empty: it has no folds.

    Raises:
        ModelError, RunError: as `export_folder`.
    """
    found = {}
    for folder in sorted((run / FOLDS_NAME).glob("*/segment")):
        weights = {name: folder.parent / name / WEIGHTS_NAME for name in STAGES[:2]}
        weights["refine"] = run / "refine" / WEIGHTS_NAME
        name = f"{run.resolve().name}, fold {folder.parent.name}"
        found[folder.parent / MODEL_NAME] = _of_stages(weights, {"name": name}, learned_by=STAGES[:2])
    return found


def _of_stages(weights: dict[str, Path], words: dict[str, str], learned_by: tuple[str, ...] = STAGES) -> bytes:
    models = {name: _exported(path, words) for name, path in weights.items()}
    spec = models["refine"][1]
    height = int(spec.facts["recipe"]["data"]["frame_height"])
    return export_stages(
        *(models[name][0] for name in STAGES),
        frame_hw=(height, round(height / _ASPECT)),
        boxes_xyxy=[tuple(box) for box in spec.facts.get("boxes_xyxy", [])],
        tile_px=spec.size_hw[0],
        learned_by=learned_by,
    )


_ASPECT = 1.5  # height to width of a studio photo; it bounds how large wide photos may become


def _exported(weights: Path, words: dict[str, Any]) -> tuple[bytes, NetworkSpec]:
    network, spec = load_network(weights)
    return export_network(network, card_of_network(network, spec, **words)), spec
