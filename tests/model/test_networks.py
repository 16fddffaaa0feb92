import importlib
import sys

import pytest
import torch

from garmentcut.errors import ModelError
from garmentcut.model.networks import NETWORKS, build_network

OURS = [
    ("simple", {"channels": [4, 8]}),
    ("unet", {"size": 128}),
    ("cutnet", {"encoder": "resnet10t", "channels": [8, 8, 8, 8]}),
    ("cutnet", {"encoder": "mobilenetv3_small_050", "channels": [8, 8, 8, 8], "light": True}),
    ("cutnet", {"encoder": "convnext_atto", "channels": [8, 8, 8, 8], "context": False}),
]
every = pytest.mark.parametrize(("name", "options"), OURS, ids=[f"{n}-{next(iter(o.values()))}" for n, o in OURS])


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)  # so small that a second one is only waited for


@pytest.mark.parametrize("name", NETWORKS)
def test_every_name_builds(name):
    with torch.device("meta"):
        network = build_network(name)
    assert isinstance(network, torch.nn.Module)
    assert network.multiple_of >= 1
    assert 1152 % network.multiple_of == 1728 % network.multiple_of == 0


@every
def test_logits_of_the_photos_size_reach_every_weight(name, options):
    network = build_network(name, **options)
    step = network.multiple_of
    logits = network(torch.rand(2, 3, 2 * step, 3 * step).to(memory_format=torch.channels_last))
    assert logits.shape == (2, 1, 2 * step, 3 * step)
    assert logits.dtype == torch.float32
    logits.square().mean().backward()
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]


@every
def test_odd_photos_are_refused(name, options):
    with torch.device("meta"):
        network = build_network(name, **options)
        for bad in (torch.zeros(1, 3, 130, 128), torch.zeros(1, 3, 129, 128)):
            if bad.shape[2] % network.multiple_of:
                with pytest.raises(ValueError, match=f"multiples of {network.multiple_of}"):
                    network(bad)
        with pytest.raises(ValueError, match="divide by 255"):
            network(torch.zeros(1, 3, 128, 128, dtype=torch.uint8))


@every
def test_the_state_makes_another_one_the_same(name, options):
    one, other = (build_network(name, **options).eval() for _ in range(2))
    other.load_state_dict(one.state_dict())
    photos = torch.rand(1, 3, one.multiple_of * 2, one.multiple_of)
    with torch.no_grad():
        assert torch.equal(one(photos), other(photos))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("cutnett", {}, "no network 'cutnett'; did you mean cutnet?"),
        ("xyz", {}, "there is cutnet, segment, refine, simple, unet"),
        ("cutnet", {"chanels": [1]}, "no option 'chanels'; did you mean channels?"),
        ("cutnet", {"encoder": "resnet188"}, "no network 'resnet188'; did you mean resnet18?"),
        ("cutnet", {"encoder": "vit_tiny_patch16_224"}, r"strides \[16, 16, 16\]; 2 or 4 and then doubling"),
        ("cutnet", {"encoder": "swin_tiny_patch4_window7_224"}, "take a convolutional network"),
        ("cutnet", {"channels": [64, 32]}, "4 numbers above 0, one for each halving of tf_efficientnet_lite0 but"),
        ("cutnet", {"channels": "wide"}, "cutnet cannot be built with"),
        ("simple", {"channels": [16]}, "at least two numbers above 0"),
        ("unet", {"size": 300}, "one of 128, 256, 512, 1024, not 300"),
    ],
)
def test_what_does_not_fit_is_named(name, options, says):
    with pytest.raises(ModelError, match=says), torch.device("meta"):
        build_network(name, **options)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "garmentcut.model.papers.unets", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"simple needs torch, which is not installed; install garmentcut\[train\]"):
        build_network("simple")


def test_the_list_of_names_needs_no_torch():
    module = importlib.import_module("garmentcut.model.networks")
    assert not hasattr(module, "nn")
