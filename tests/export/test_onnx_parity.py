from dataclasses import replace

import pytest
import torch

from garmentcut.errors import RunError
from garmentcut.export.onnx import card_of_network, measure_parity
from garmentcut.model.card import card_of
from garmentcut.model.networks import build_network


def test_both_runtimes_give_torchs_alphas(network, exported):
    parity = measure_parity(network.eval(), exported, card_of(exported))
    assert parity.keys() == {"openvino", "onnxruntime"}
    assert all(0 <= difference < 1e-4 for difference in parity.values())


@pytest.fixture(scope="module")
def other(spec):
    return build_network(spec.name, **spec.options).eval()


def test_another_network_is_found_out(other, exported):
    parity = measure_parity(other, exported, card_of(exported))
    assert all(difference > 0.1 for difference in parity.values())


def test_the_cards_edge_counts(other, exported):
    flat = replace(card_of(exported), edge_gain=1e-9)  # 0.5 everywhere
    assert max(measure_parity(other, exported, flat).values()) < 1e-6


def test_a_difference_at_full_size_only_is_found_out(network, exported):
    class Vain(torch.nn.Module):
        def forward(self, x):
            return network(x) + (x.shape[2] == 96)

    parity = measure_parity(Vain().eval(), exported, card_of(exported))
    assert all(difference > 0.05 for difference in parity.values())


def test_nan_is_never_parity(network, exported):
    class Lost(torch.nn.Module):
        def forward(self, x):
            return network(x) * torch.nan

    parity = measure_parity(Lost().eval(), exported, card_of(exported))
    assert all(difference != difference for difference in parity.values())


def test_a_file_that_cannot_run_is_named(network, spec):
    with pytest.raises(RunError, match="openvino cannot load the export"):
        measure_parity(network, b"no network", card_of_network(network, spec))


def test_a_network_that_cannot_take_the_size_is_named(exported):
    class Picky(torch.nn.Module):
        def forward(self, x):
            return x[:, :1].reshape(2, 1, 64, 96)

    with pytest.raises(RunError, match=r"the network itself cannot take \(1, 3, 96, 96\)"):
        measure_parity(Picky(), exported, card_of(exported))
