"""Exports a network to ONNX with its card, and checks that its alphas match torch's; for `model_file` and studies."""

import copy
import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import nn

from garmentcut.errors import RunError, counted
from garmentcut.model.card import ModelCard, alpha_of_logits, with_card
from garmentcut.model.checkpoint import NetworkSpec
from garmentcut.synthetic import draw_studio_photo

INPUT, OUTPUT = "x", "y"
"""Names of a network's input and output in an exported file."""

_FACTS = (
    *("name", "training_data", "licence", "edge_bias", "edge_gain"),
    *("scores", "trained_on", "trained_hashes", "started_from"),
)


def card_of_network(network: nn.Module, spec: NetworkSpec, **words: Any) -> ModelCard:
    """The card for a trained network.

    The spec's `facts` in `_FACTS` fill the card's fields of the same name. If they are missing, a training's own facts
    do: `data` and `num_trained_on` for what it was trained on, `dice` for its score. `words` are further fields of the
    card, which take precedence. Raises RunError if a fact has another type than the card's field.
    """
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    options = "".join(f", {key} {value}" for key, value in spec.options.items())
    facts, (height, width) = spec.facts, spec.size_hw
    fields = {
        "name": spec.name,
        "network": f"{spec.name}{options}; {millions:.2f} M parameters",
        "working_size_hw": spec.size_hw,
        "multiple_of": network.multiple_of,
        "input_name": INPUT,
        "output_name": OUTPUT,
        "input_scale": 1 / 255,
        "convention": spec.target,
        "sees_map": getattr(network, "in_channels", 3) == 4,
        "training_data": "not stated",
        "licence": "not stated",
    }
    if "data" in facts and "num_trained_on" in facts:
        fields["training_data"] = f"{counted(facts['num_trained_on'], 'photo')} of {facts['data']}"
    if isinstance(measured := facts.get("dice"), dict):
        score = {key: measured[key] for key in ("num_photos", "mean_dice", "median_dice") if key in measured}
        data = f"{measured.get('data', 'held-out photos')}, at {width}x{height} while it was trained"
        convention = "alpha > 0" if spec.target == "alpha > 0" else "alpha >= 128"
        fields["scores"] = [{"data": data, "convention": convention, **score}]
    fields |= {key: facts[key] for key in _FACTS if key in facts} | words
    try:
        return TypeAdapter(ModelCard).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(f"card.{'.'.join(map(str, first['loc']))}: {first['msg']}, not {first['input']!r}") from error


PARITY_LIMIT = 1e-3
"""Largest permitted difference between an export's alpha and torch's."""

_OPSET = 18  # the oldest that torch's exporter writes
_EXAMPLE_PX = 96  # least side of the photo with which torch traces the network


def export_network(network: nn.Module, card: ModelCard) -> bytes:
    """Export a network, which is not changed, and verify that the file gives the same alphas (the card's `parity`).

    Returns the content of an ONNX file, opset 18: float32 `x` (n, 3, h, w), sRGB in [0, 1] -> float32 logits `y` (n, 1,
    h, w), h and w multiples of `card.multiple_of`.

    Raises:
        RunError: torch cannot export the network for photos of any size, or an alpha differs by more than
            `PARITY_LIMIT`.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    model = _onnx_of(network, card)
    with _explained(card.name):
        parity = measure_parity(network, model, card)
    largest = float(np.max(list(parity.values())))
    if not largest <= PARITY_LIMIT:  # also catches nan
        listed = ", ".join(f"{runtime} by {difference:.2g}" for runtime, difference in parity.items())
        raise RunError(
            f"{card.name}: the export's alphas differ from torch's, {listed}; at most {PARITY_LIMIT} is allowed"
        )
    return with_card(model, replace(card, parity=float(f"{largest:.2g}")))


def _onnx_of(network: nn.Module, card: ModelCard) -> bytes:
    step, least = card.multiple_of, max(_EXAMPLE_PX, getattr(network, "min_side", 1))
    cells = -(-least // step)
    example = torch.zeros(2, 4 if card.sees_map else 3, cells * step, (cells + 1) * step)
    free = torch.export.Dim.DYNAMIC
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                network,
                (example,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: free, 2: free, 3: free},),
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # every stage of the exporter has errors of its own
        raise RunError(f"{card.name}: torch cannot export it for photos of any size: {_root_of(error)}") from error
    return _bare(program.model_proto)


def _root_of(error: BaseException) -> str:
    """The message of the original error, which torch wraps in advice."""
    while error.__cause__:
        error = error.__cause__
    return " ".join(str(error).split())[:300]


def _bare(model: Any) -> bytes:
    """The file without the stack traces and guessed shapes that torch leaves in it for debugging."""
    del model.graph.value_info[:], model.graph.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        for place, name in ((0, "n"), (2, "h"), (3, "w")):
            value.type.tensor_type.shape.dim[place].dim_param = name
    for function in [model.graph, *model.functions]:
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log of torch's exporter."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch|onnxscript|copyreg")
            yield
    finally:
        logging.disable(before)


_LEAST_PX = 64  # least side of the smaller of the two sizes

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]


def measure_parity(network: nn.Module, model: bytes, card: ModelCard) -> dict[str, float]:
    """Largest difference of alpha between a network (evaluation mode, float32, CPU) and its file, by runtime.

    The photos are noise and a synthetic studio photo, at the card's working size and, as one batch, at a small size of
    another aspect ratio. A difference is nan if either alpha has nan.

    Raises:
        RunError: a runtime cannot load or run the file, or the network cannot take a size; says which and why.
    """
    runs: dict[str, Run] = {}
    for name in filter(importlib.util.find_spec, _RUNTIMES):
        with _explained(f"{name} cannot load the export"):
            runs[name] = _RUNTIMES[name](model, card)
    parity = dict.fromkeys(runs, 0.0)
    for photos in _photos(card, getattr(network, "min_side", 1)):
        with _explained(f"the network itself cannot take {photos.shape}"), torch.no_grad():
            alpha = _alpha_of(network(torch.from_numpy(photos)).numpy(), card)
        for name, run in runs.items():
            with _explained(f"{name} cannot run the export at {photos.shape}"):
                difference = np.abs(_alpha_of(run(photos), card) - alpha).max()
            parity[name] = float(np.maximum(parity[name], difference))  # keeps nan, which `max` may lose
    return parity


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Raise `RunError`, which says `what` failed, for any error of a runtime or network; each has errors of its own."""
    try:
        yield
    except Exception as error:
        raise RunError(f"{what}: {error}") from error


def _photos(card: ModelCard, least_px: int) -> Iterator[Floats]:
    step, least = card.multiple_of, max(_LEAST_PX, least_px)
    small = -(-least // step) * step
    for height, width in ((small, small + step), card.working_size_hw):
        size_hw = -(-height // step) * step, -(-width // step) * step
        noise = np.random.default_rng(0).random((4 if card.sees_map else 3, *size_hw), np.float32)
        shot = draw_studio_photo(0, size_hw=size_hw)
        studio = shot.rgb.transpose(2, 0, 1) * np.float32(card.input_scale)
        if card.sees_map:
            studio = np.concatenate([studio, shot.alpha[None]])
        both = np.stack([noise, studio])
        yield from (both,) if height == small else (both[:1], both[1:])


def _alpha_of(logits: Floats, card: ModelCard) -> NDArray[np.float64]:
    return alpha_of_logits(logits.astype(np.float64), card.edge_bias, card.edge_gain)


def _openvino(model: bytes, card: ModelCard) -> Run:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it reports every start to Google
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda photos: compiled({card.input_name: photos})[card.output_name]


def _onnxruntime(model: bytes, card: ModelCard) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda photos: session.run([card.output_name], {card.input_name: photos})[0]


_RUNTIMES: dict[str, Callable[[bytes, ModelCard], Run]] = {"openvino": _openvino, "onnxruntime": _onnxruntime}
