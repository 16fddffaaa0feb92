"""Checks an export: does the ONNX file give torch's alphas, on noise and on a studio photo, at two sizes?"""

import importlib.util
import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from garmentcut.errors import RunError
from garmentcut.model.card import ModelCard
from garmentcut.synthetic import draw_studio_photo

_LEAST_PX = 64  # of the smaller of the two sizes

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]


def measure_parity(network: nn.Module, model: bytes, card: ModelCard) -> dict[str, float]:
    """Largest difference of alpha between torch and each runtime that is installed.

    Photos: noise and a synthetic studio photo, at the card's working size and, both in one batch, at a small size of
    another aspect.

    Args:
        network: in evaluation mode, float32, on the CPU.
        model: its export, content of an ONNX file.
        card: names of input and output, sizes, edge.

    Returns:
        Runtime -> difference, nan if either has such alphas.

    Raises:
        RunError: a runtime cannot load or run the file, or the network not take a size; says which and why.
    """
    runs = {
        name: _loaded(name, load, model, card) for name, load in _RUNTIMES.items() if importlib.util.find_spec(name)
    }
    parity = dict.fromkeys(runs, 0.0)
    for photos in _photos(card, getattr(network, "min_side", 1)):
        alpha = _alpha_of(_torch(network, photos), card)
        for name, run in runs.items():
            try:
                difference = np.abs(_alpha_of(run(photos), card) - alpha).max()
            except Exception as error:  # each runtime raises its own
                raise RunError(f"{name} cannot run the export at {photos.shape}: {error}") from error
            parity[name] = float(np.maximum(parity[name], difference))  # keeps nan, which `max` may lose
    return parity


def _torch(network: nn.Module, photos: Floats) -> Floats:
    try:
        with torch.no_grad():
            logits: Floats = network(torch.from_numpy(photos)).numpy()
    except Exception as error:  # whatever a network raises
        raise RunError(f"the network itself cannot take {photos.shape}: {error}") from error
    return logits


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
    edge = np.clip(card.edge_gain * (logits.astype(np.float64) - card.edge_bias), -60, 60)
    alpha: NDArray[np.float64] = 1 / (1 + np.exp(-edge))
    return alpha


def _loaded(name: str, load: Callable[[bytes, ModelCard], Run], model: bytes, card: ModelCard) -> Run:
    try:
        return load(model, card)
    except Exception as error:  # each runtime raises its own
        raise RunError(f"{name} cannot load the export: {error}") from error


def _openvino(model: bytes, card: ModelCard) -> Run:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it tells Google of every start
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(photos: Floats) -> Floats:
        logits: Floats = compiled({card.input_name: photos})[card.output_name]
        return logits

    return run


def _onnxruntime(model: bytes, card: ModelCard) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def run(photos: Floats) -> Floats:
        logits: Floats = session.run([card.output_name], {card.input_name: photos})[0]
        return logits

    return run


_RUNTIMES: dict[str, Callable[[bytes, ModelCard], Run]] = {"openvino": _openvino, "onnxruntime": _onnxruntime}
