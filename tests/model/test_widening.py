import pytest
import torch

from garmentcut.model.checkpoint import NetworkSpec, save_network
from garmentcut.model.networks import build_network
from garmentcut.model.start import start_network
from garmentcut.model.widening import widened

SMALL = {"encoder": "resnet10t", "channels": [8, 8, 8, 8]}


@pytest.fixture
def three():
    torch.manual_seed(0)
    return build_network("cutnet", **SMALL).eval()


def test_a_wider_network_gives_what_the_narrow_one_gave(three, tmp_path):
    torch.nn.init.normal_(three.head.weight)
    save_network(tmp_path / "three.safetensors", three, NetworkSpec("cutnet", SMALL, (64, 64), "alpha"))
    four = build_network("cutnet", **SMALL, in_channels=4).eval()
    start_network(four, "cutnet", str(tmp_path / "three.safetensors"))
    photos = torch.rand(2, 3, 64, 64)
    for level in (0.0, 1.0):
        seen = torch.cat([photos, torch.full((2, 1, 64, 64), level)], dim=1)
        assert torch.allclose(four(seen), three(photos), atol=1e-4)


def test_only_inputs_are_widened():
    weights = {"a": torch.ones(2, 3, 1, 1), "b": torch.ones(2, 3, 1, 1), "c": torch.ones(4)}
    own = {"a": torch.zeros(2, 4, 1, 1), "b": torch.zeros(3, 3, 1, 1), "c": torch.zeros(5)}
    fitted = widened(weights, own)
    assert fitted["a"].shape == (2, 4, 1, 1)
    assert fitted["a"][:, 3].abs().sum() == 0
    assert fitted["b"] is weights["b"]
    assert fitted["c"] is weights["c"]
