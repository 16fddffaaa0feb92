"""`garmentcut export`: makes the model file of a run's folder, whether of one network or of three stages.

Of three networks, locate and refine are attached to segment's, and all weights are stored in 16 or 8 bits, which makes
the file small; it calculates in float32.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from garmentcut.dataset.split import packed_hashes, unpacked_hashes
from garmentcut.errors import ModelError, RunError
from garmentcut.export.onnx import card_of_network, export_network
from garmentcut.model.card import CARD_KEY, StageSizes, card_of, with_attachment, with_card, without_metadata
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

    A fold of an older run has no refine network: it gets that of the whole, which has learned from all photos, but from
    maps of networks that had not seen them. Its card lists what the other two stages have learned from.

    Returns:
        Path for each model file below the run's folder, and its content; empty: it has no folds.

    Raises:
        ModelError, RunError: as `export_folder`.
    """
    found = {}
    for folder in sorted((run / FOLDS_NAME).glob("*/segment")):
        weights = {name: folder.parent / name / WEIGHTS_NAME for name in STAGES}
        learned_by: tuple[str, ...] = STAGES
        if not weights["refine"].exists():
            weights["refine"], learned_by = run / "refine" / WEIGHTS_NAME, STAGES[:2]
        name = f"{run.resolve().name}, fold {folder.parent.name}"
        found[folder.parent / MODEL_NAME] = _of_stages(weights, {"name": name}, learned_by)
    return found


def _of_stages(weights: dict[str, Path], words: dict[str, str], learned_by: tuple[str, ...] = STAGES) -> bytes:
    models = {name: _exported(path, words) for name, path in weights.items()}
    spec = models["refine"][1]
    try:
        height = int(spec.facts["recipe"]["data"]["frame_height"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{weights['refine']} does not say how high its frames were; train it again") from error
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
    try:
        card = card_of_network(network, spec, **words)
    except RunError as error:
        raise RunError(f"{weights}: {error}") from error
    return export_network(network, card), spec


def export_stages(
    locate: bytes,
    segment: bytes,
    refine: bytes,
    *,
    frame_hw: tuple[int, int],
    boxes_xyxy: Iterable[tuple[int, int, int, int]] = (),
    tile_px: int,
    learned_by: tuple[str, ...] = STAGES,
) -> bytes:
    """Join three exported networks.

    Args:
        locate: content of a model file.
        segment: likewise; its card's `working_size_hw` says how small it sees the frame.
        refine: likewise, of four channels; its card speaks for the whole model.
        frame_hw: size that photos are brought to.
        boxes_xyxy: of the garments that were learned, in pixels of the frame.
        tile_px: side of the refine stage's tiles.
        learned_by: stages whose training photos the card lists.

    Returns:
        Content of a model file. The locate stage's weights are kept in 8 bits, for it only finds a box; the others' in
        16.

    Raises:
        ModelError: one of them is no model file.
    """
    cards = [card_of(model) for model in (locate, segment, refine)]
    sizes = StageSizes(
        locate_hw=cards[0].working_size_hw,
        tile_px=tile_px,
        garment_px=garment_range(boxes_xyxy),
        locate=cards[0].network,
        refine=cards[2].network,
    )
    bare = [without_metadata(model, CARD_KEY) for model in (locate, segment, refine)]
    joined = with_attachment(packed(bare[1], 16), packed(bare[0], 8), "locate")
    joined = with_attachment(joined, packed(bare[2], 16), "refine")
    learned = [card for card, stage in zip(cards, STAGES, strict=True) if stage in learned_by]
    trained_on = tuple(dict.fromkeys(mark for card in learned for mark in card.trained_on))
    hashes = packed_hashes(tuple(one for card in learned for one in unpacked_hashes(card.trained_hashes)))
    card = replace(
        cards[2],
        network=cards[1].network,
        working_size_hw=frame_hw,
        multiple_of=cards[1].multiple_of,
        sees_map=False,
        stages=sizes,
        trained_on=trained_on,
        trained_hashes=hashes,
        parity=max((card.parity or 0.0) for card in cards),
    )
    return with_card(joined, card)


def garment_range(boxes_xyxy: Iterable[tuple[int, int, int, int]]) -> tuple[float, float]:
    """Roots of the areas of the smallest and the largest box; zeros if there are none."""
    roots = [((right - left) * (bottom - top)) ** 0.5 for left, top, right, bottom in boxes_xyxy]
    return (round(min(roots), 1), round(max(roots), 1)) if roots else (0.0, 0.0)


_LEAST_VALUES = 64  # biases and constants stay as they are: they weigh nothing
_LARGEST = float(np.finfo(np.float16).max)


def packed(model: bytes, bits: Literal[8, 16]) -> bytes:
    """Round large weights to 16 or 8 bits; nodes behind them make them float32 again when the file is loaded.

    16 bits: float16, rounded by a two-thousandth of itself at most. 8 bits: whole numbers times a scale for each output
    channel, rounded by a 254th of that channel's largest weight at most.

    Args:
        model: content of an ONNX file.
        bits: a weight.

    Returns:
        Content of an ONNX file with the same inputs and outputs.
    """
    import onnx

    network = onnx.load_model_from_string(model)
    graph = network.graph
    stored: list[Any] = []
    nodes: list[Any] = []
    for tensor in graph.initializer:
        weights = _large_weights(tensor, onnx)
        if weights is None:
            stored.append(tensor)
            continue
        for made in _half(tensor.name, weights, onnx) if bits == 16 else _quarter(tensor.name, weights, onnx):
            (nodes if isinstance(made, onnx.NodeProto) else stored).append(made)
    nodes.extend(graph.node)
    # Copies: emptying the lists would empty what is in them.
    stored, nodes = ([_copied(part) for part in parts] for parts in (stored, nodes))
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend(nodes)
    content: bytes = network.SerializeToString(deterministic=True)
    return content


def _half(name: str, weights: NDArray[np.float32], onnx: Any) -> Iterator[Any]:
    yield onnx.numpy_helper.from_array(weights.astype(np.float16), f"{name}.half")
    yield onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)


def _quarter(name: str, weights: NDArray[np.float32], onnx: Any) -> Iterator[Any]:
    axes = tuple(range(1, weights.ndim))
    scale = np.maximum(np.abs(weights).max(axis=axes, keepdims=True), np.float32(1e-30)) / np.float32(127)
    yield onnx.numpy_helper.from_array(np.rint(weights / scale).astype(np.int8), f"{name}.levels")
    yield onnx.numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale")
    yield onnx.helper.make_node("Cast", [f"{name}.levels"], [f"{name}.float"], to=onnx.TensorProto.FLOAT)
    yield onnx.helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name])


def _large_weights(tensor: Any, onnx: Any) -> NDArray[np.float32] | None:
    if tensor.data_type != onnx.TensorProto.FLOAT or int(np.prod(tensor.dims)) < _LEAST_VALUES:
        return None
    weights: NDArray[np.float32] = onnx.numpy_helper.to_array(tensor)
    return weights if np.abs(weights).max() < _LARGEST else None


def _copied(part: Any) -> Any:
    copy = type(part)()
    copy.CopyFrom(part)
    return copy
