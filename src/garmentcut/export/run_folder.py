"""A run's folder as a model file: of one network, or of three stages."""

from pathlib import Path
from typing import Any

from garmentcut.export.card import card_of_network
from garmentcut.export.onnx import export_network
from garmentcut.export.stages import export_stages
from garmentcut.model.checkpoint import NetworkSpec, load_network
from garmentcut.recipe import STAGES

WEIGHTS_NAME = "best.safetensors"
"""Where a training leaves its weights; of a model of stages, in a folder for each."""


def export_folder(run: Path, words: dict[str, str]) -> bytes:
    """Export what a training has left.

    Args:
        run: its folder, or a .safetensors file.
        words: fields of the card.

    Returns:
        Content of a model file.

    Raises:
        CheckpointError: the weights cannot be read.
        ExportError: a network cannot be exported, or its export answers differently.
    """
    if not (run / STAGES[-1] / WEIGHTS_NAME).exists():
        return _exported(run / WEIGHTS_NAME if run.is_dir() else run, words)[0]
    models = {name: _exported(run / name / WEIGHTS_NAME, words) for name in STAGES}
    spec = models["refine"][1]
    height = int(spec.facts["recipe"]["data"]["frame_height"])
    return export_stages(
        *(models[name][0] for name in STAGES),
        frame_hw=(height, round(height / _ASPECT)),
        boxes_xyxy=[tuple(box) for box in spec.facts.get("boxes_xyxy", [])],
        tile_px=spec.size_hw[0],
    )


_ASPECT = 1.5  # height to width of a studio photo; it bounds how large wide photos may become


def _exported(weights: Path, words: dict[str, Any]) -> tuple[bytes, NetworkSpec]:
    network, spec = load_network(weights)
    return export_network(network, card_of_network(network, spec, **words)), spec
