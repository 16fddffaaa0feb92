import pytest
import torch

from garmentcut.model.papers.vgg import DeepLabLargeFov


@pytest.mark.parametrize(("num_classes", "published"), [(21, 20_505_429), (1, 20_484_929)])
def test_it_has_as_many_parameters_as_published(num_classes, published):
    with torch.device("meta"):
        network = DeepLabLargeFov(num_classes=num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == published


@pytest.mark.parametrize(("side", "scores"), [(321, 41), (513, 65)])
def test_it_scores_every_eighth_pixel(side, scores):
    with torch.device("meta"):
        network = DeepLabLargeFov(num_classes=21)
    assert network.scores(torch.empty(1, 3, side, side, device="meta")).shape == (1, 21, scores, scores)


def test_the_last_block_and_fc6_are_dilated():
    with torch.device("meta"):
        network = DeepLabLargeFov()
    assert [layer.dilation for layer in network.blocks[4][::2]] == [(2, 2)] * 3
    assert (network.dense[0].dilation, network.dense[0].kernel_size) == ((12, 12), (3, 3))


@pytest.mark.parametrize("head", ["upsample", "plain"])
def test_what_the_loss_and_the_user_see(head, monkeypatch):
    with torch.device("meta"):
        network = DeepLabLargeFov(head)
    columns = torch.arange(0.0, 33, 8).expand(1, 1, 3, 5)
    monkeypatch.setattr(network, "scores", lambda _: columns)
    pixel = torch.arange(32.0)
    seen, used = (network.train(mode).logits(torch.zeros(1, 3, 16, 32))[0, 0, 11] for mode in (True, False))
    torch.testing.assert_close(used, pixel)
    torch.testing.assert_close(seen, pixel if head == "upsample" else (pixel + 4) // 8 * 8)
