import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from garmentcut.model.segnet import SegNet, pool, unpool


def test_it_has_as_many_parameters_as_published():
    with torch.device("meta"):
        network = SegNet(num_classes=11)
    assert sum(parameter.numel() for parameter in network.parameters()) == 29_449_355


def test_the_decoder_mirrors_the_encoder():
    with torch.device("meta"):
        network = SegNet()
    widths = [[layer.out_channels for layer in block if isinstance(layer, nn.Conv2d)] for block in network.decoder]
    assert widths == [[512, 512, 512], [512, 512, 256], [256, 256, 128], [128, 64], [64]]


@pytest.mark.parametrize("ties", [False, True])
def test_unpooling_equals_torchs(ties):
    torch.manual_seed(0)
    # After a ReLU many windows are all zero: the place must be the same there too.
    x = torch.randint(0, 3, (2, 5, 8, 12)).float() if ties else torch.randn(2, 5, 8, 12)
    x.requires_grad_()
    y = x.detach().clone().requires_grad_()
    deep = torch.randn(2, 5, 4, 6)
    values, place = pool(x)
    expected, indices = nn.MaxPool2d(2, return_indices=True)(y)
    assert torch.equal(values, expected)
    assert place.sum() == values.numel()
    assert torch.equal(unpool(deep, place), nn.MaxUnpool2d(2)(deep, indices))
    (unpool(values * deep, place) ** 2).sum().backward()
    (nn.MaxUnpool2d(2)(expected * deep, indices) ** 2).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.slow
def test_unpooling_exports_for_any_size(tmp_path):
    class Both(nn.Module):
        def forward(self, x):
            values, place = pool(x)
            return unpool(values, place)

    free = torch.export.Dim.DYNAMIC
    example = torch.rand(1, 3, 8, 6)
    torch.onnx.export(Both(), (example,), tmp_path / "m.onnx", dynamic_shapes=({2: free, 3: free},), verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    x = torch.randint(0, 3, (1, 3, 10, 14)).float()
    logits = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_array_equal(logits, nn.MaxUnpool2d(2)(*nn.MaxPool2d(2, return_indices=True)(x)).numpy())
