import pytest
import torch

from garmentcut.errors import ModelError
from garmentcut.model.networks import build_network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("segment").eval()


def test_logits_have_the_photos_size(network):
    with torch.no_grad():
        assert network(torch.rand(2, 3, 64, 96)).shape == (2, 1, 64, 96)


def test_it_has_so_many_parameters(network):
    assert sum(parameter.numel() for parameter in network.parameters()) == 3_201_889


def test_far_ends_of_a_window_know_of_each_other(network):
    """The mean of the whole window is part of what each place sees."""
    photo = torch.rand(1, 3, 768, 64, generator=torch.Generator().manual_seed(0))
    other = photo.clone()
    other[:, :, :32] = 0
    with torch.no_grad():
        assert (network(photo) - network(other))[..., -32:, :].abs().max() > 0


def test_no_grid_on_a_flat_photo(network):
    """A pixel shuffle's filters would differ from one pixel to the next, all over the photo."""
    with torch.no_grad():
        logits = network(torch.full((1, 3, 256, 256), 0.5))[0, 0, 96:160, 96:160]
    steps = (logits[:, 1:] - logits[:, :-1]).abs()
    assert steps.max() < 0.05 * logits.abs().max().clamp(min=0.1)


@pytest.mark.parametrize("width", [0, 1, 7])
def test_other_widths_are_refused(width):
    with pytest.raises(ModelError, match="width"):
        build_network("segment", width=width)


def test_an_encoder_without_features_at_half_size_is_refused():
    with pytest.raises(ModelError, match="no features at half the size"):
        build_network("segment", encoder="convnext_atto")
