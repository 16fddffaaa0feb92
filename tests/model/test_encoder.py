import copy
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from timm.layers.conv2d_same import Conv2dSame

from garmentcut.errors import ModelError
from garmentcut.model.layers import Encoder, EvenConv2d

SHARED = Path(__file__).parents[2].parent / "shared" / "weights"


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def lite():
    return Encoder("tf_efficientnet_lite0")


def test_lite0(lite):
    assert lite.strides == [2, 4, 8, 16, 32]
    assert lite.channels == [16, 24, 40, 112, 320]
    assert (lite.mean, lite.std) == ((0.5,) * 3, (0.5,) * 3)
    features = lite(torch.zeros(1, 3, 64, 96))
    assert [feature.shape[1:] for feature in features] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]


def test_features_at_full_size_are_left_out():
    assert Encoder("vgg11_bn").strides == [2, 4, 8, 16, 32]


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (5, 2, 1), (3, 1, 2), (1, 2, 1)])
def test_a_constant_padding_does_what_timms_does(kernel, stride, dilation):
    theirs = Conv2dSame(2, 4, kernel, stride=stride, dilation=dilation, bias=False)
    ours, x = copy.deepcopy(theirs), torch.rand(1, 2, 8, 12)
    ours.__class__ = EvenConv2d
    assert torch.equal(ours(x), theirs(x))


def test_no_padding_depends_on_the_input(lite):
    kinds = [type(module) for module in lite.modules()]
    assert Conv2dSame not in kinds
    assert kinds.count(EvenConv2d) == 5  # one for each halving


# Whole networks, as timm saves them: with a classifier, and with stages that the features name otherwise.
@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "convnext_atto"])
def test_weights_of_a_whole_timm_network_fit(name):
    whole, encoder = timm.create_model(name, pretrained=False), Encoder(name)
    note = encoder.load(whole.half().state_dict())
    photos = torch.rand(1, 3, 64, 64)
    expected = whole.float().eval().forward_intermediates(photos, intermediates_only=True)
    with torch.no_grad():
        assert torch.allclose(encoder.eval()(photos)[1], expected[1], atol=1e-5)
    assert "left out: " in note


def test_other_weights_are_refused_whole(lite):
    weights = {key: torch.ones_like(tensor) for key, tensor in lite.trunk.state_dict().items()}
    before = lite.trunk.conv_stem.weight.clone()
    del weights["bn1.weight"]
    weights["blocks.0.0.bn1.bias"] = torch.ones(7)
    says = r"tf_efficientnet_lite0: missing: bn1.weight; of another shape: blocks.0.0.bn1.bias \(7,\) for \(32,\)"
    with pytest.raises(ValueError, match=says):
        lite.load(weights)
    assert torch.equal(lite.trunk.conv_stem.weight, before)


def test_the_first_convolution_is_fitted_to_other_channels():
    one, three = Encoder("resnet10t", in_channels=1), Encoder("resnet10t")
    one.load(three.trunk.state_dict())
    assert one.mean == (pytest.approx((0.485 + 0.456 + 0.406) / 3),)
    (key,) = [key for key, weight in one.trunk.state_dict().items() if weight.shape[1:2] == (1,) and "conv1" in key][:1]
    summed = three.trunk.state_dict()[key].sum(dim=1, keepdim=True)
    assert torch.allclose(one.trunk.state_dict()[key], summed, atol=1e-6)


def test_the_hubs_weights(monkeypatch):
    encoder, hub = Encoder("resnet10t"), Encoder("resnet10t")
    asked = []
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: asked.append((args, kwargs)) or hub.trunk)
    assert encoder.load() == "resnet10t with the hub's weights"
    assert asked == [(("resnet10t",), {"features_only": True, "pretrained": True, "in_chans": 3})]
    weights = encoder.trunk.state_dict()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in hub.trunk.state_dict().items())


def test_the_imagenet_file():
    path = SHARED / "tf_efficientnet_lite0-imagenet.safetensors"
    if not path.exists():
        pytest.skip("no ImageNet weights beside the checkout")
    weights, encoder = safetensors.torch.load_file(path), Encoder("tf_efficientnet_lite0")
    note = encoder.load(weights)
    assert note.endswith(
        "left out: bn2.bias, bn2.running_mean, bn2.running_var, bn2.weight, classifier.bias, "
        "classifier.weight, conv_head.weight"
    )
    assert torch.equal(encoder.trunk.blocks[6][0].conv_pwl.weight, weights["blocks.6.0.conv_pwl.weight"].float())


def test_frozen_stages_learn_nothing():
    encoder = Encoder("resnet10t")
    encoder.freeze(2)
    encoder.train()
    before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], 0.1)
    encoder(torch.rand(2, 3, 64, 64))[-1].sum().backward()
    optimizer.step()
    changed = {
        key.split(".")[1] for key, tensor in encoder.state_dict().items() if not torch.equal(tensor, before[key])
    }
    assert changed == {"layer2", "layer3", "layer4"}  # the stem is stride 2, layer1 stride 4
    with pytest.raises(ModelError, match="resnet10t has 5 that can be frozen"):
        encoder.freeze(6)
