import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from garmentcut.export.onnx import card_of_network, export_network
from garmentcut.model.card import card_of
from garmentcut.model.checkpoint import NetworkSpec
from garmentcut.model.papers.vgg import TIE, WIN, SegNet, pool, unpool


def test_it_has_as_many_parameters_as_published():
    with torch.device("meta"):
        network = SegNet(num_classes=11)
    assert sum(parameter.numel() for parameter in network.parameters()) == 29_449_355


def test_the_decoder_mirrors_the_encoder():
    with torch.device("meta"):
        network = SegNet()
    widths = [[layer.out_channels for layer in block if isinstance(layer, nn.Conv2d)] for block in network.decoder]
    assert widths == [[512, 512, 512], [512, 512, 256], [256, 256, 128], [128, 64], [64]]


@pytest.mark.parametrize("step", [1.0, WIN], ids=["many equal", "few"])
def test_unpooling_equals_torchs(step):
    torch.manual_seed(0)
    # After a ReLU many windows are all zero: the place must be the same there too.
    x = (torch.randn(2, 5, 8, 12) / step).round() * step
    x.requires_grad_()
    y = x.detach().clone().requires_grad_()
    deep = torch.randn(2, 5, 4, 6)
    values, shares = pool(x)
    expected, indices = nn.MaxPool2d(2, return_indices=True)(y)
    assert torch.equal(values, expected)
    torch.testing.assert_close(unpool(deep, shares), nn.MaxUnpool2d(2)(deep, indices), rtol=1e-3, atol=1e-3)
    (unpool(values * deep, shares) ** 2).sum().backward()
    (nn.MaxUnpool2d(2)(expected * deep, indices) ** 2).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-3, atol=1e-3)


def test_a_rounding_moves_no_value():
    """Of nearly equal pixels the first wins, whichever is larger; up to a clear win, shares are continuous."""
    flat = torch.full((1, 1, 2, 2), 0.7) + TIE * torch.tensor([[0.0, -0.4], [0.9, 0.5]])
    assert pool(flat)[1].flatten().tolist() == [1, 0, 0, 0]
    steps = torch.linspace(0, 1.2 * WIN, 101)
    pixels = torch.zeros(101, 1, 2, 2)
    pixels[:, 0, 0, 1] = steps
    shares = pool(pixels)[1].flatten(1)
    torch.testing.assert_close(shares[:, 1], ((steps - TIE) / (WIN - TIE)).clamp(0, 1))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(101))
    assert not shares[:, 2:].any()


def test_the_product_gets_the_alphas_that_torch_gives():
    """With a plain background, where a hard choice of the winner is up to rounding.

    Of one block each way: all five take torch half a minute to export, which the slow tests of every network do.
    """
    torch.manual_seed(0)
    network = SegNet()
    network.blocks, network.decoder = network.blocks[:1], network.decoder[-1:]
    with torch.no_grad():
        network.train()(torch.rand(2, 3, 64, 64))
    card = card_of_network(network, NetworkSpec("segnet", {}, (192, 128), "alpha"))
    assert card_of(export_network(network, card)).parity < 1e-4


@pytest.mark.slow
def test_unpooling_exports_for_any_size(tmp_path):
    class Both(nn.Module):
        def forward(self, x):
            return unpool(*pool(x))

    free = torch.export.Dim.DYNAMIC
    example = torch.rand(1, 3, 8, 6)
    torch.onnx.export(Both(), (example,), tmp_path / "m.onnx", dynamic_shapes=({2: free, 3: free},), verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    x = torch.randint(0, 3, (1, 3, 10, 14)).float()
    logits = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_allclose(logits, nn.MaxUnpool2d(2)(*nn.MaxPool2d(2, return_indices=True)(x)).numpy())
