"""A run's folder as a model file: one network, or the two of a cascade."""

from pathlib import Path

from garmentcut.dataset.samples import margin_px
from garmentcut.export.card import card_of_network
from garmentcut.export.cascade import export_cascade
from garmentcut.export.onnx import export_network
from garmentcut.model.checkpoint import NetworkSpec, load_network

WEIGHTS_NAME, FIRST_WEIGHTS = "best.safetensors", Path("first") / "whole" / "best.safetensors"
"""Where a training leaves its weights; a cascade's first look too."""

LEAST_AGREEMENT = 0.96
"""Of two looks of which the second was trained without a map: measured by `benchmarks/cascade.py`."""


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
    weights = run / WEIGHTS_NAME if run.is_dir() else run
    second, spec = _exported(weights, words)
    first_weights = run / FIRST_WEIGHTS
    if not (run.is_dir() and first_weights.exists()):
        return second
    first, _ = _exported(first_weights, {})
    frame_hw = _frame_of(spec)
    return export_cascade(
        first,
        second,
        boxes_xyxy=[tuple(box) for box in spec.facts.get("boxes_xyxy", [])],
        margin_px=margin_px(frame_hw),
        frame_hw=frame_hw,
        # A second look that sees the first's map was trained for crops, and needs nothing around them.
        least_agreement=0.0 if spec.options.get("in_channels", 3) == 4 else LEAST_AGREEMENT,
    )


def _exported(weights: Path, words: dict[str, str]) -> tuple[bytes, NetworkSpec]:
    network, spec = load_network(weights)
    return export_network(network, card_of_network(network, spec, **words)), spec


def _frame_of(spec: NetworkSpec) -> tuple[int, int]:
    """Size of the whole photos that a second look's crops are taken from."""
    height, width = spec.facts.get("recipe", {}).get("crops", {}).get("frame_hw", spec.size_hw)
    return int(height), int(width)
