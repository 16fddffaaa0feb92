import pytest
import torch
from torch import nn

from garmentcut.model.papers.dilated import PspNet, adaptive_average


@pytest.mark.parametrize(("depth", "published"), [(50, 46.7), (101, 65.7)])
def test_it_has_as_many_parameters_as_published(depth, published):
    with torch.device("meta"):
        network = PspNet(depth, num_classes=2)
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1) == published


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_averages_equal_adaptive_pooling(bins):
    for height, width in ((1, 1), (2, 5), (6, 7), (13, 12), (60, 61)):
        x = torch.rand(2, 3, height, width, dtype=torch.float64)
        torch.testing.assert_close(adaptive_average(x, bins), nn.AdaptiveAvgPool2d(bins)(x))


def test_the_papers_photo_gives_sixty_features_a_side():
    with torch.device("meta"):
        network = PspNet()
        encoder = network.encoder
        x = encoder.maxpool(encoder.act1(encoder.bn1(encoder.conv1(torch.empty(1, 3, 473, 473)))))
        stages = [x := stage(x) for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)]
    assert [tuple(stage.shape[1:]) for stage in stages] == [
        (256, 119, 119),
        (512, 60, 60),
        (1024, 60, 60),
        (2048, 60, 60),
    ]
    for stage, dilation in ((encoder.layer3, 2), (encoder.layer4, 4)):
        assert {block.conv2.dilation for block in stage} == {(dilation, dilation)}


def test_it_takes_over_timms_resnet():
    network = PspNet()
    source = {key: torch.zeros_like(tensor) for key, tensor in network.encoder.state_dict().items()}
    assert network.load_encoder(source) == "ResNet-50 with a stem of three convolutions"
    assert not any(parameter.any() for parameter in network.encoder.parameters())
    with pytest.raises(ValueError, match=r"timm's resnet50s: missing: conv1.0.weight"):
        network.load_encoder({key: tensor for key, tensor in source.items() if not key.startswith("conv1")})


def test_it_does_not_train_on_a_lone_photo():
    with torch.device("meta"), pytest.raises(ValueError, match="at least 2 photos"):
        PspNet()(torch.rand(1, 3, 32, 32))
