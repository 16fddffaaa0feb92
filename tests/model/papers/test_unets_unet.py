import pytest
import torch

from garmentcut.model.papers.unets import UNet


# Weights, and running means and variances, of the Keras originals.
@pytest.mark.parametrize(
    ("size", "num_parameters", "num_statistics", "multiple_of"),
    [
        (128, 34_527_041, 13_696, 16),
        (256, 34_600_353, 14_016, 32),
        (512, 34_618_577, 14_176, 64),
        (1024, 34_623_081, 14_256, 128),
    ],
)
def test_layers_are_the_published_ones(size, num_parameters, num_statistics, multiple_of):
    with torch.device("meta"):
        network = UNet(size)
    statistics = [buffer for key, buffer in network.named_buffers() if "running" in key]
    assert sum(parameter.numel() for parameter in network.parameters()) == num_parameters
    assert sum(buffer.numel() for buffer in statistics) == num_statistics
    assert network.multiple_of == multiple_of
    assert size // multiple_of == 8  # positions at the bottom


def test_the_decoder_mirrors_the_encoder():
    with torch.device("meta"):
        network = UNet(1024)
    assert [block[-3].out_channels for block in network.down] == [8, 16, 32, 64, 128, 256, 512]
    assert [block[-3].out_channels for block in network.up] == [512, 256, 128, 64, 32, 16, 8]
    assert [sum(isinstance(layer, torch.nn.Conv2d) for layer in block) for block in network.up] == [3] * 7
