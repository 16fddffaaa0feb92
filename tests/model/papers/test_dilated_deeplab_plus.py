import pytest
import torch
import torchvision

from garmentcut.model.papers.dilated import DeepLabPlus


@pytest.mark.parametrize(("encoder", "published"), [("resnet50", 40.35), ("resnet101", 59.34)])
def test_it_has_as_many_parameters_as_published(encoder, published):
    with torch.device("meta"):
        network = DeepLabPlus(encoder, num_classes=2)
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2) == published


@pytest.mark.parametrize("encoder", ["resnet50", "xception65"])
@pytest.mark.parametrize(("stride", "deep"), [(16, 33), (8, 65)])
def test_the_papers_crop_gives_its_maps(encoder, stride, deep):
    with torch.device("meta"):
        network = DeepLabPlus(encoder, stride)
        fine, last = network._features(torch.empty(1, 3, 513, 513))
    assert network.multiple_of == stride
    assert (fine.shape, last.shape) == ((1, 256, 129, 129), (1, 2048, deep, deep))
    rates = [branch[0].dilation[0] for branch in network.pyramid.convs[1:4]]
    assert rates == [6 * 16 // stride, 12 * 16 // stride, 18 * 16 // stride]


def test_xception_wants_other_colours():
    network = DeepLabPlus("xception65")
    assert network.mean.flatten().tolist() == network.std.flatten().tolist() == [0.5] * 3


def test_it_takes_over_torchvisions_resnet():
    with torch.device("meta"):
        names = torchvision.models.resnet50().state_dict()
    network = DeepLabPlus()
    assert network.load_encoder({key: torch.zeros(tensor.shape) for key, tensor in names.items()}) == "ResNet-50"
    assert not any(parameter.any() for parameter in network.encoder.parameters())
    with pytest.raises(ValueError, match="not the weights of resnet50"):
        network.load_encoder({})
