"""`garmentcut export`: makes a model file from a run's folder, of one network or of three stages.

Of three networks, locate and refine are attached to segment's file. All weights are stored in 16 or 8 bits, which keeps
the file small; the networks still compute in float32.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from garmentcut.dataset.split import packed_hashes, unpacked_hashes
from garmentcut.errors import ModelError, RunError
from garmentcut.export.onnx import card_of_network, export_network
from garmentcut.model.card import StageSizes, card_of, split_card, with_card, with_stage
from garmentcut.model.checkpoint import NetworkSpec, load_network, read_weights
from garmentcut.photo.files import json_of
from garmentcut.recipe import STAGES

FOLDS_NAME, MODEL_NAME, RUN_NAME = "folds", "model.onnx", "run.json"
WEIGHTS_NAME = "best.safetensors"
"""File to which a training writes its weights; a model with stages has one in a folder for each stage."""


def export_folder(run: Path, words: dict[str, str]) -> bytes:
    """The content of a model file for a run's folder, or for a .safetensors file; `words` are fields of the card.

    Raises:
        ModelError: the weights cannot be read, or the training is not finished.
        RunError: a network cannot be exported, or its export gives other results.
    """
    if not (run / STAGES[-1] / WEIGHTS_NAME).exists():
        if (run / FOLDS_NAME).is_dir():
            raise ModelError(f"{run}: its training is not finished; run the same `garmentcut train` again to continue")
        return _exported(run / WEIGHTS_NAME if run.is_dir() else run, words)[0]
    return _of_stages({name: run / name / WEIGHTS_NAME for name in STAGES}, words)


def unfinished(run: Path) -> dict[str, Any] | None:
    """The `step` of `steps` at which a run's `weights` were saved, the `best` or (of all photos) the `last` ones.

    None: its training has finished, or nobody knows.
    """
    path = run / WEIGHTS_NAME if run.is_dir() else run
    try:
        state, facts = json_of((path.parent / RUN_NAME).read_bytes()), getattr(read_weights(path)[1], "facts", {})
        left = {"step": facts["step"], "steps": facts["recipe"]["training"]["steps"]}
        is_finished = state.get("finished") or left["step"] >= left["steps"]
        return None if is_finished else {**left, "weights": "best" if state.get("held_out") else "last"}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # not a run's, or of an earlier version
        return None


def export_folds(run: Path) -> dict[Path, bytes]:
    """Export the folds of a run with stages, by the model file's path; each judges the photos that it has not seen.

    Raises as `export_folder`. A fold of an older run has no refine network and gets the whole run's, which was trained
    on all photos, but on maps from networks that had not seen them. Its card lists what the other two stages were
    trained on.
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


_ASPECT = 1.5  # height to width of a studio photo, which limits how large wide photos become


def _of_stages(weights: dict[str, Path], words: dict[str, str], learned_by: tuple[str, ...] = STAGES) -> bytes:
    """Join the networks of three stages; the card lists what the stages in `learned_by` were trained on.

    The locate stage's weights are stored in 8 bits, because it only finds a box; the others' in 16.
    """
    exported = {name: _exported(path, words) for name, path in weights.items()}
    cards = {name: card_of(model) for name, (model, _) in exported.items()}
    bare = {name: split_card(model)[1] for name, (model, _) in exported.items()}
    spec, segment = exported["refine"][1], cards["segment"]
    try:
        height = int(spec.facts["recipe"]["data"]["frame_height"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{weights['refine']} does not say how high its frames were; train it again") from error
    boxes_xyxy = spec.facts.get("boxes_xyxy", [])
    roots = [((right - left) * (bottom - top)) ** 0.5 for left, top, right, bottom in boxes_xyxy] or [0.0]
    sizes = StageSizes(
        locate_hw=cards["locate"].working_size_hw,
        tile_px=spec.size_hw[0],
        garment_px=(round(min(roots), 1), round(max(roots), 1)),
        locate=cards["locate"].network,
        refine=cards["refine"].network,
    )
    joined = with_stage(packed(bare["segment"], 16), "locate", packed(bare["locate"], 8))
    joined = with_stage(joined, "refine", packed(bare["refine"], 16))
    learned = [cards[name] for name in learned_by]
    card = replace(
        cards["refine"],
        network=segment.network,
        working_size_hw=(height, round(height / _ASPECT)),
        multiple_of=segment.multiple_of,
        sees_map=False,
        stages=sizes,
        trained_on=tuple(dict.fromkeys(mark for card in learned for mark in card.trained_on)),
        trained_hashes=packed_hashes(one for card in learned for one in unpacked_hashes(card.trained_hashes)),
        parity=max((card.parity or 0.0) for card in cards.values()),
    )
    return with_card(joined, card)


def _exported(weights: Path, words: dict[str, Any]) -> tuple[bytes, NetworkSpec]:
    network, spec = load_network(weights)
    try:
        card = card_of_network(network, spec, **words)
    except RunError as error:
        raise RunError(f"{weights}: {error}") from error
    return export_network(network, card), spec


_LEAST_VALUES = 64  # smaller tensors, such as biases, stay as they are
_LARGEST = float(np.finfo(np.float16).max)


def packed(model: bytes, bits: Literal[8, 16]) -> bytes:
    """Round an ONNX file's large weights to 16 or 8 bits; nodes after them convert them back to float32.

    16 bits: float16, with a rounding error of at most 1/2000 of the weight. 8 bits: integers times a scale for each
    output channel, with a rounding error of at most 1/254 of that channel's largest weight.
    """
    import onnx

    network = onnx.load_model_from_string(model)
    graph = network.graph
    stored, nodes = list[Any](), list[Any]()
    for tensor in graph.initializer:
        is_large = tensor.data_type == onnx.TensorProto.FLOAT and int(np.prod(tensor.dims)) >= _LEAST_VALUES
        weights = onnx.numpy_helper.to_array(tensor) if is_large else np.zeros(0, np.float32)
        if not is_large or np.abs(weights).max() >= _LARGEST:
            stored.append(tensor)
            continue
        kept, restoring = (_as_float16 if bits == 16 else _as_int8)(tensor.name, weights, onnx)
        stored += kept
        nodes += restoring
    graph.CopyFrom(onnx.helper.make_graph([*nodes, *graph.node], graph.name, graph.input, graph.output, stored))
    content: bytes = network.SerializeToString(deterministic=True)
    return content


def _as_float16(name: str, weights: NDArray[np.float32], onnx: Any) -> tuple[list[Any], list[Any]]:
    """The tensors that are stored instead of a weight, and the nodes that restore it."""
    half = onnx.numpy_helper.from_array(weights.astype(np.float16), f"{name}.half")
    return [half], [onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT)]


def _as_int8(name: str, weights: NDArray[np.float32], onnx: Any) -> tuple[list[Any], list[Any]]:
    axes = tuple(range(1, weights.ndim))
    scale = np.maximum(np.abs(weights).max(axis=axes, keepdims=True), np.float32(1e-30)) / np.float32(127)
    levels = onnx.numpy_helper.from_array(np.rint(weights / scale).astype(np.int8), f"{name}.levels")
    scales = onnx.numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale")
    cast = onnx.helper.make_node("Cast", [levels.name], [f"{name}.float"], to=onnx.TensorProto.FLOAT)
    return [levels, scales], [cast, onnx.helper.make_node("Mul", [f"{name}.float", scales.name], [name])]
