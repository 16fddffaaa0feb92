"""How OpenVINO calculates: weights in float32, or in 8 bits where a model's card says which numbers to expect."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEVELS = 256
_WEIGHT_LEVELS = 255  # as many below zero as above
# Processors without VNNI add two products of 8 bits in 16, where two large ones overflow. With weights in 7 bits they
# cannot, and every processor gives the same answer.
_HEADROOM = np.float32(127 / 64)
_KINDS = ("Convolution", "GroupConvolution")


def convolutions_of(network: Any) -> list[Any]:
    """The convolutions of an `openvino.Model`, in the order of their work."""
    return [node for node in network.get_ordered_ops() if node.get_type_name() in _KINDS]


def store_in_float32(network: Any) -> None:
    """Turn weights that a file stores in 16 or 8 bits into float32 once and for all.

    OpenVINO does that itself, when it compiles; but of weights in 8 bits, and with two streams, its answers were wrong
    in three of four processes (2026.4; whole garments missing). With weights that are float32 from the start, in none.

    Args:
        network: an `openvino.Model`, changed in place.
    """
    from openvino import opset13

    for node in convolutions_of(network):
        if node.input_value(1).get_node().get_type_name() in ("Convert", "Multiply"):
            weights = opset13.constant(_weights(node.input_value(1)))
            node.input(1).replace_source_output(weights.output(0))
    network.validate_nodes_and_infer_types()


def calculate_in_int8(network: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Mark convolutions of a network, so that the compiler runs them on 8-bit whole numbers.

    Their inputs get a scale each, their weights one for each output channel (Krishnamoorthi 2018, arXiv 1806.08342).

    Args:
        network: an `openvino.Model`, changed in place.
        ranges: convolution's name -> least and largest value of its input, float32.

    Raises:
        ValueError: a name that the network has not.
    """
    from openvino import opset13

    nodes = {node.get_friendly_name(): node for node in convolutions_of(network)}
    if missing := [name for name in ranges if name not in nodes]:
        raise ValueError(f"its card names convolutions that it has not: {missing[0]}; export and calibrate it again")
    for name, limits in ranges.items():
        node = nodes[name]
        low, high = map(np.float32, _settled(*limits))
        values = opset13.fake_quantize(node.input_value(0), low, high, low, high, _LEVELS)
        weights = _weights(node.input_value(1))
        bound = _bounds(weights, num_groups_first=node.get_type_name() == _KINDS[1])
        stored = opset13.fake_quantize(opset13.constant(weights), -bound, bound, -bound, bound, _WEIGHT_LEVELS)
        node.input(0).replace_source_output(values.output(0))
        node.input(1).replace_source_output(stored.output(0))
    network.validate_nodes_and_infer_types()


def _settled(low: float, high: float) -> tuple[float, float]:
    """From zero up, or as far below zero as above: then zero itself, of which paddings are made, is met exactly."""
    if low >= 0:
        return 0.0, max(high, 1e-6)
    most = max(-low, high)
    return -most * 128 / 127, most


def _bounds(weights: NDArray[np.float32], *, num_groups_first: bool) -> NDArray[np.float32]:
    axes = tuple(range(2 if num_groups_first else 1, weights.ndim))
    largest: NDArray[np.float32] = np.abs(weights).max(axis=axes, keepdims=True)
    return np.maximum(largest, np.float32(1e-20)) * _HEADROOM


def _weights(output: Any) -> NDArray[np.float32]:
    """Weights as float32, through what their storage in 16 or 8 bits has put before them."""
    node = output.get_node()
    kind = node.get_type_name()
    if kind == "Constant":
        found: NDArray[np.float32] = np.asarray(node.get_data(), np.float32)
        return found
    if kind == "Convert":
        return _weights(node.input_value(0))
    if kind == "Reshape":
        return _weights(node.input_value(0)).reshape(node.output(0).get_shape())
    if kind == "Multiply":
        return _weights(node.input_value(0)) * _weights(node.input_value(1))
    raise ValueError(f"weights made by {kind} cannot be taken in 8 bits")
