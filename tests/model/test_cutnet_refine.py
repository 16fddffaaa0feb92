import pytest
import torch

from garmentcut.model.networks import build_network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("refine").eval()


def test_before_it_has_learned_it_answers_with_its_map(network):
    tiles = torch.rand(2, 4, 64, 48)
    tiles[:, 3] = tiles[:, 3] * 0.9 + 0.05
    with torch.no_grad():
        assert torch.allclose(network(tiles).sigmoid(), tiles[:, 3:], atol=1e-5)


def test_sure_maps_stay_correctable(network):
    tiles = torch.zeros(1, 4, 32, 32)
    tiles[:, 3, :, 16:] = 1
    with torch.no_grad():
        alpha = network(tiles).sigmoid()
    assert alpha.min() == pytest.approx(0.01, abs=1e-5)
    assert alpha.max() == pytest.approx(0.99, abs=1e-5)


def test_it_has_so_many_parameters(network):
    assert sum(parameter.numel() for parameter in network.parameters()) == 173_473


def test_photos_without_a_map_are_refused(network):
    with pytest.raises(ValueError, match="4"):
        network(torch.rand(1, 3, 32, 32))
