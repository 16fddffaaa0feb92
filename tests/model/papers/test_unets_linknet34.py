import pytest
import torch
import torchvision

from garmentcut.model.papers.unets import LinkNet34


def test_its_parts_have_the_published_sizes():
    with torch.device("meta"):
        network, classifier = LinkNet34(), torchvision.models.resnet34()
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert count["encoder"] == sum(p.numel() for p in classifier.parameters()) - 513_000  # its dense layer
    assert round(sum(count.values()) / 1e6, 2) == 21.64


def test_it_takes_over_torchvisions_resnet():
    source = torchvision.models.resnet34()
    network = LinkNet34().eval()
    assert network.load_encoder(source.state_dict()) == "ResNet-34"
    photos = torch.rand(1, 3, 32, 32)
    source.fc = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(network.encoder(photos), source.eval()(photos))
    with pytest.raises(ValueError, match=r"not the weights of ResNet-34: missing: conv1.weight"):
        network.load_encoder({})
