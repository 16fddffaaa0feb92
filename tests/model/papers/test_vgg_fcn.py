import pytest
import torch
from torch import nn

from garmentcut.model.papers import vgg
from garmentcut.model.papers.vgg import Fcn, bilinear_kernel


@pytest.mark.parametrize(
    ("variant", "num_classes", "published"),
    [("8s", 21, 134_489_759), ("8s", 2, 134_271_430), ("32s", 21, 136_152_917)],
)
def test_it_has_as_many_parameters_as_published(variant, num_classes, published):
    with torch.device("meta"):
        network = Fcn(variant, num_classes=num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == published


@pytest.mark.parametrize("variant", ["32s", "16s", "8s"])
def test_scores_land_on_the_pixels_they_saw(variant, monkeypatch):
    """With every layer replaced by the place it looks at, each logit must say its own column."""

    class FirstChannel(nn.Module):
        def forward(self, x):
            return x[:, :1]

    blocks = nn.ModuleList([nn.ZeroPad2d(99), *(nn.Identity() for _ in range(4))])
    monkeypatch.setattr(vgg, "vgg_blocks", lambda *_, **__: blocks)
    monkeypatch.setattr(vgg, "dense_layers", lambda *_: nn.AvgPool2d(7, 1))
    monkeypatch.setattr(vgg, "neutral", lambda *_: FirstChannel())
    network = Fcn(variant)
    network.pool = nn.AvgPool2d(2, ceil_mode=True)
    columns = torch.arange(480.0)
    logits = network.logits(columns.expand(1, 3, 480, 480))
    assert logits.shape == (1, 1, 480, 480)
    times = len(network.enlargements)  # each skip adds the column once more
    torch.testing.assert_close(logits[0, 0, 240, 180:300], columns[180:300] * times, rtol=0, atol=1e-2)


def test_the_kernel_enlarges_bilinearly_and_is_not_trained():
    assert bilinear_kernel(2)[1].tolist() == pytest.approx([0.1875, 0.5625, 0.5625, 0.1875])
    layer = vgg._bilinear(3, 4)
    x = torch.rand(1, 3, 6, 7)
    expected = nn.functional.interpolate(x, scale_factor=4, mode="bilinear")
    torch.testing.assert_close(layer(x)[:, :, 10:-10, 10:-10], expected[:, :, 8:-8, 8:-8])
    assert not layer.weight.requires_grad


def test_all_scores_start_at_zero(monkeypatch):
    monkeypatch.setattr(vgg, "vgg_blocks", lambda *_, **__: nn.ModuleList())
    monkeypatch.setattr(vgg, "dense_layers", lambda *_: nn.Identity())
    network = Fcn("8s")
    scores = [network.score, *network.skips]
    assert [layer.in_channels for layer in scores] == [4096, 512, 256]
    assert not any(parameter.any() for layer in scores for parameter in layer.parameters())
