"""Exports a trained network as an ONNX file with its card inside, after proving that its alphas equal torch's."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from garmentcut.errors import RunError
from garmentcut.export.card import INPUT, OUTPUT
from garmentcut.export.parity import measure_parity
from garmentcut.model.card import ModelCard, with_card

PARITY_LIMIT = 1e-3
"""Largest difference of alpha from torch's that an export may have."""

_OPSET = 18  # the oldest that torch's exporter writes
_EXAMPLE_PX = 96  # least side of the photo that torch traces the network with


def export_network(network: nn.Module, card: ModelCard) -> bytes:
    """Export a network, and prove that the file gives the alphas that torch gives.

    Args:
        network: as trained; left as it is.
        card: what to put in; `parity` and `sha256` are filled in here.

    Returns:
        Content of an ONNX file, opset 18: float32 `x` (n, 3, h, w), sRGB in [0, 1] -> float32 logits `y` (n, 1, h, w),
        h and w multiples of `card.multiple_of`.

    Raises:
        RunError: torch cannot export the network for photos of any size, or an alpha differs by more than
            `PARITY_LIMIT`.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    model = _onnx_of(network, card)
    try:
        parity = measure_parity(network, model, card)
    except RunError as error:
        raise RunError(f"{card.name}: {error}") from error
    largest = float(np.max(list(parity.values())))
    if not largest <= PARITY_LIMIT:  # nan is not
        listed = ", ".join(f"{runtime} by {difference:.2g}" for runtime, difference in parity.items())
        raise RunError(
            f"{card.name}: the export's alphas differ from torch's, {listed}; at most {PARITY_LIMIT} is right"
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
    except Exception as error:  # every stage of the exporter raises its own
        raise RunError(f"{card.name}: torch cannot export it for photos of any size: {_root_of(error)}") from error
    return _bare(program.model_proto)


def _root_of(error: BaseException) -> str:
    """The original error, which torch wraps in advice."""
    while error.__cause__:
        error = error.__cause__
    return " ".join(str(error).split())[:300]


def _bare(model: Any) -> bytes:
    """The file without the stack traces and guessed shapes that torch leaves in it, for debugging."""
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
