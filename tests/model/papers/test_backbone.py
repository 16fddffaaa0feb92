import pytest
import torch
import torchvision
from torch import nn

from garmentcut.model.papers import backbone
from garmentcut.model.papers.backbone import dense_layers, enlarge, extend, he_normal, load_dense, load_vgg, vgg_blocks


def torchvision_features(name):
    """Torchvision's convolutions, weights drawn at random, and their state dict in the keys of the whole network."""
    with torch.device("meta"):
        features = torchvision.models.get_model(name, weights=None).features
    features = features.to_empty(device="cpu").eval()
    torch.manual_seed(0)
    for key, tensor in features.state_dict().items():
        tensor.copy_(
            torch.rand(tensor.shape) * 0.05 + 0.01 if "running_var" in key else torch.randn(tensor.shape) * 0.03
        )
    return features, {f"features.{key}": tensor for key, tensor in features.state_dict().items()}


@pytest.mark.parametrize(("name", "depth", "batch_norm"), [("vgg11", 11, False), ("vgg16_bn", 16, True)])
def test_with_its_weights_it_computes_what_torchvisions_does(name, depth, batch_norm):
    features, weights = torchvision_features(name)
    blocks = vgg_blocks(depth, batch_norm=batch_norm).eval()
    load_vgg(blocks, weights, of=name)
    x = photos = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for block in blocks:
            x = nn.functional.max_pool2d(block(x), 2)
        torch.testing.assert_close(x, features(photos))


def test_other_weights_are_refused_and_nothing_is_loaded():
    _, weights = torchvision_features("vgg11")
    blocks = vgg_blocks(16)
    before = {key: tensor.clone() for key, tensor in blocks.state_dict().items()}
    with pytest.raises(ValueError, match=r"not the weights of VGG-16: missing: features.2.weight"):
        load_vgg(blocks, weights, of="VGG-16")
    with pytest.raises(ValueError, match=r"features.0.weight \(64,\) for \(64, 3, 3, 3\)"):
        load_vgg(blocks, {key: tensor[:, 0, 0, 0] for key, tensor in weights.items() if tensor.ndim == 4}, of="VGG-16")
    weights["classifier.0.weight"] = torch.tensor([float("nan")])
    with pytest.raises(ValueError, match="take IMAGENET1K_V1"):
        load_vgg(vgg_blocks(11), weights, of="VGG-11")
    assert all(torch.equal(tensor, before[key]) for key, tensor in blocks.state_dict().items())


def test_dense_layers_are_thinned_evenly():
    places, units = torch.arange(49.0).repeat(512), torch.arange(4096.0)
    weights = {
        "classifier.0.weight": places.expand(4096, 25088),
        "classifier.0.bias": units,
        "classifier.3.weight": units.expand(4096, 4096),
        "classifier.3.bias": -units,
    }
    layers = dense_layers(1024, 3, padding=12, dilation=12)
    assert load_dense(layers, weights) == "its dense layers fc6 and fc7, thinned"
    assert layers[0].weight[5, 7].tolist() == [[0, 3, 6], [21, 24, 27], [42, 45, 48]]
    assert torch.equal(layers[0].bias, units[::4])
    assert torch.equal(layers[3].weight[9].flatten(), units[::4])
    assert torch.equal(layers[3].bias, -units[::4])


def test_without_a_classifier_dense_layers_stay_as_they_were():
    layers = dense_layers(64, 3)
    before = layers[0].weight.clone()
    assert "start from scratch" in load_dense(layers, {})
    assert torch.equal(layers[0].weight, before)


def test_weights_come_by_their_name(monkeypatch):
    asked = {}

    class Enum:
        def get_state_dict(self, **options):
            return {"features.0.weight": torch.zeros(1)} if options["check_hash"] else {}

    monkeypatch.setattr(backbone, "get_weight", lambda name: asked.setdefault(name, Enum()))
    assert list(backbone.hub_weights("VGG16_Weights.IMAGENET1K_V1")) == ["features.0.weight"]
    assert list(asked) == ["VGG16_Weights.IMAGENET1K_V1"]


def test_on_extended_sides_bilinear_enlargement_is_exact():
    pixels = torch.arange(24.0).expand(1, 1, 16, 24)
    extended = extend(pixels)
    assert extended.shape == (1, 1, 17, 25)
    assert extended[0, 0, 3, -2:].tolist() == [23, 23]
    on_every_eighth = torch.arange(25.0).expand(1, 1, 17, 25)[:, :, ::8, ::8]
    torch.testing.assert_close(enlarge(on_every_eighth, extended)[:, :, :-1, :-1], pixels)


def test_he_normal_draws_by_fan_in():
    layer = nn.Conv2d(64, 32, 3)
    torch.manual_seed(0)
    he_normal(nn.Sequential(layer))
    assert abs(float(layer.weight.detach().std()) - (2 / (64 * 9)) ** 0.5) < 0.001
    assert not layer.bias.any()
