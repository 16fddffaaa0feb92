import pytest
import torch
from torch import nn

from garmentcut.model.papers.unets import Tiramisu


@pytest.mark.parametrize(
    ("depth", "published", "with_buffers"), [(103, 9_322_091, 9_425_163), (67, 3_463_243, None), (56, 1_376_795, None)]
)
def test_it_has_as_many_parameters_as_published(depth, published, with_buffers):
    with torch.device("meta"):
        network = Tiramisu(depth, num_classes=11)
    count = sum(parameter.numel() for parameter in network.parameters())
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert count == published
    assert with_buffers in (None, count + sum(2 * norm.num_features for norm in norms))


def test_widths_and_layers_are_the_papers():
    with torch.device("meta"):
        network = Tiramisu()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 103
    assert [layer[0].num_features for layer in network.shrink] == [112, 192, 304, 464, 656]
    joined = [block.layers[0][0].num_features + 16 * len(block.layers) for block in network.up]
    assert joined == [1088, 816, 576, 384, 256]
    assert network.score.in_channels == 256


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_any_side_will_do(size):
    network = Tiramisu(56).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size)).shape == (1, 1, *size)
    with pytest.raises(ValueError, match="at least 32 pixels"):
        network(torch.rand(1, 3, 31, 40))
