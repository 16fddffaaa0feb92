"""A small network, exported once: that takes seconds."""

import pytest
import torch

from garmentcut.export.onnx import card_of_network, export_network
from garmentcut.model.checkpoint import NetworkSpec
from garmentcut.model.networks import build_network

SPEC = NetworkSpec(
    "cutnet",
    {"encoder": "resnet10t", "channels": [8, 8, 8, 8]},
    (96, 66),  # which needs padding
    "alpha",
    {"trained_on": ["0123456789ab"], "edge_bias": 0.25, "num_trained_on": 1, "data": "studio", "recipe": {"a": 1}},
)


def awakened(network):
    """Fresh from its builder, a network answers 0.5 everywhere and has parts that do nothing; this one has opinions."""
    with torch.no_grad():
        for convolution in (network.context.widen, network.detail.correct):
            torch.nn.init.normal_(convolution.weight, std=0.2)
        network(torch.rand(4, 3, 64, 64))
        network.head.weight.mul_(10)
    return network


@pytest.fixture(scope="session")
def spec():
    return SPEC


@pytest.fixture(scope="session")
def network():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return awakened(build_network(SPEC.name, **SPEC.options))


@pytest.fixture(scope="session")
def exported(network):
    return export_network(network, card_of_network(network, SPEC))
