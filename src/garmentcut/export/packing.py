"""Stores the weights of an exported ONNX file in 16 or 8 bits, to make it small; it calculates in float32."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
