import pytest
import torch

from garmentcut.model.papers.unets import UnetPaper


@pytest.mark.parametrize(("channels", "num_classes", "published"), [(1, 2, 31_030_658), (3, 1, 31_031_745)])
def test_it_has_as_many_parameters_as_published(channels, num_classes, published):
    with torch.device("meta"):
        network = UnetPaper(in_channels=channels, num_classes=num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == published


def test_the_papers_tile_loses_its_border():
    with torch.device("meta"):
        network = UnetPaper(in_channels=1, num_classes=2)
    assert network.valid_logits(torch.empty(1, 1, 572, 572, device="meta")).shape == (1, 2, 388, 388)


def test_what_is_missing_is_mirrored(monkeypatch):
    """The net sees the photo laid in its own reflection, and each logit lies on its own pixel."""
    with torch.device("meta"):
        network = UnetPaper()
    seen = []

    def valid_logits(x):
        seen.append(x)
        return x[:, :1, 92:-92, 92:-92]

    monkeypatch.setattr(network, "valid_logits", valid_logits)
    photo = torch.rand(1, 3, 96, 112)
    assert torch.equal(network.logits(photo), photo[:, :1])
    assert seen[0].shape == (1, 3, 284, 300)
    assert torch.equal(seen[0][:, :, 94 - 5, 94:-94], photo[:, :, 5])
    assert torch.equal(seen[0][:, :, 94:-94, -94], photo[:, :, :, -2])


def test_the_smallest_tile_leaves_four_pixels_and_every_weight_learns():
    network = UnetPaper()
    logits = network.valid_logits(torch.rand(1, 3, 188, 188))
    assert logits.shape == (1, 1, 4, 4)
    logits.sum().backward()
    assert all(
        parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in network.parameters()
    )


def test_photos_smaller_than_their_mirrored_border_are_refused():
    with torch.device("meta"):
        network = UnetPaper()
    with pytest.raises(ValueError, match="at least 96 pixels, not 80x96"):
        network(torch.zeros(1, 3, 80, 96, device="meta"))
