import pytest
import torch

from garmentcut.model.papers.unets import TernausNet


@pytest.mark.parametrize(
    ("depth", "upsampling", "published"),
    [(11, "deconv", 22_927_393), (16, "deconv", 32_202_337), (16, "bilinear", 29_306_465)],
)
def test_it_has_as_many_parameters_as_published(depth, upsampling, published):
    with torch.device("meta"):
        network = TernausNet(depth, upsampling)
    assert sum(parameter.numel() for parameter in network.parameters()) == published


@pytest.mark.parametrize(("depth", "convolutions", "count"), [(11, 8, 9_220_480), (16, 13, 14_714_688)])
def test_its_encoder_is_vggs(depth, convolutions, count):
    network = TernausNet(depth)
    assert sum(parameter.numel() for parameter in network.blocks.parameters()) == count
    weights, position = {}, 0
    for block in network.blocks:
        for layer in block:
            for name, tensor in layer.state_dict().items():
                weights[f"features.{position}.{name}"] = torch.full_like(tensor, position)
            position += 1
        position += 1
    assert network.load_encoder(weights) == f"VGG-{depth}'s {convolutions} convolutions"
    assert float(network.blocks[4][0].weight.detach().mean()) == float(
        weights[f"features.{16 if depth == 11 else 24}.bias"][0]
    )
