"""What holds for every network of the papers."""

import warnings

import numpy as np
import onnxruntime
import openvino
import pytest
import timm
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.models import get_weight

from garmentcut.model import deeplab_plus, pspnet, vgg
from garmentcut.model.networks import NetworkError, build_network

# Name, options, parameters for RGB and one class, and whether a CPU takes it lightly.
CASES = (
    ("deeplab_largefov", {}, 20_484_929, True),
    ("deeplab_largefov", {"head": "plain"}, 20_484_929, False),
    ("fcn", {}, 134_265_699, False),
    ("fcn", {"variant": "16s"}, 134_266_194, False),
    ("fcn", {"variant": "32s"}, 134_268_737, False),
    ("segnet", {}, 29_443_585, True),
    ("unet_paper", {}, 31_031_745, False),
    ("ternausnet", {"depth": 11}, 22_927_393, True),
    ("ternausnet", {}, 32_202_337, False),
    ("ternausnet", {"upsampling": "bilinear"}, 29_306_465, False),
    ("linknet34", {}, 21_642_401, True),
    ("tiramisu", {"depth": 56}, 1_374_865, True),
    ("tiramisu", {"depth": 67}, 3_460_353, False),
    ("tiramisu", {}, 9_319_521, False),
    ("pspnet", {}, 46_706_113, False),
    ("pspnet", {"depth": 101}, 65_698_241, False),
    ("deeplab_plus", {}, 40_347_041, False),
    ("deeplab_plus", {"output_stride": 8}, 40_347_041, False),
    ("deeplab_plus", {"encoder": "resnet101"}, 59_339_169, False),
    ("deeplab_plus", {"encoder": "xception65"}, 54_706_321, False),
)


def named(case):
    return "-".join([case[0], *map(str, case[1].values())])


def every(*, heavy_are_slow=False):
    """One test for each network, with its name and options."""
    cases = []
    for case in CASES:
        slow = heavy_are_slow and not case[3]
        cases.append(pytest.param(*case[:2], marks=[pytest.mark.slow] if slow else [], id=named(case)))
    return pytest.mark.parametrize(("name", "options"), cases)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def ready(name, options):
    """A network with no weight at zero (FCN starts with scores of 0) and batch norms that have seen photos."""
    network = build_network(name, **options)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    with torch.no_grad():
        network.train()(torch.rand(2, 3, 96, 96))
    return network.eval()


@pytest.mark.parametrize(("name", "options", "count"), [pytest.param(*case[:3], id=named(case)) for case in CASES])
def test_it_has_the_papers_layers(name, options, count):
    with torch.device("meta"):
        network = build_network(name, **options)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@every()
def test_logits_have_the_photos_size(name, options):
    with torch.device("meta"):
        network = build_network(name, **options).eval()
    step = network.multiple_of
    assert 1728 % step == 1152 % step == 0
    for height, width in ((1728, 1152), (-(-network.min_side // step) * step + step, -(-96 // step) * step)):
        logits = network(torch.empty(2, 3, height, width, device="meta"))
        assert (logits.shape, logits.dtype) == ((2, 1, height, width), torch.float32)


@every()
def test_it_refuses_other_photos(name, options):
    with torch.device("meta"):
        network = build_network(name, **options)
    side = network.multiple_of * 96
    for shape, dtype, message in (
        ((1, 3, side, side), torch.uint8, "float32"),
        ((1, 1, side, side), torch.float32, "3"),
        ((3, side, side), torch.float32, r"\(N, 3, H, W\)"),
    ):
        with pytest.raises(ValueError, match=message):
            network(torch.zeros(shape, dtype=dtype, device="meta"))
    if network.multiple_of > 1:
        with pytest.raises(ValueError, match=f"multiples of {network.multiple_of}"):
            network(torch.zeros(2, 3, side, side + 1, device="meta"))


@every()
def test_no_two_weights_are_one(name, options):
    """A weights file could not hold them."""
    with torch.device("meta"):
        network = build_network(name, **options)
    tensors = [id(tensor) for tensor in network.state_dict(keep_vars=True).values()]
    assert len(tensors) == len(set(tensors))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("deeplab_largefov", {"head": "bilinear"}, "'upsample' or 'plain'"),
        ("fcn", {"variant": "4s"}, "'32s' or '16s' or '8s', not '4s'"),
        ("ternausnet", {"depth": 13}, "11 or 16"),
        ("ternausnet", {"depth": 11, "upsampling": "bilinear"}, "'deconv'"),
        ("tiramisu", {"depth": 100}, "56 or 67 or 103"),
        ("pspnet", {"depth": 34}, "50 or 101"),
        ("deeplab_plus", {"encoder": "vgg"}, "'resnet50'"),
        ("deeplab_plus", {"output_stride": 32}, "8 or 16"),
    ],
)
def test_options_it_does_not_know_are_named(name, options, message):
    with pytest.raises(NetworkError, match=message):
        build_network(name, **options)


@every(heavy_are_slow=True)
def test_a_training_step_lowers_the_loss(name, options):
    network = build_network(name, **options).train()
    side = max(64, network.min_side)
    photos = torch.rand(2, 3, side, side) * torch.tensor([0.4, 1.0]).view(2, 1, 1, 1)
    targets = (photos.mean(dim=1, keepdim=True) > 0.4).float()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]

    def loss():
        torch.manual_seed(1)  # the same dropout
        return binary_cross_entropy_with_logits(network(photos), targets)

    before = loss()
    before.backward()
    assert all(parameter.grad is not None for parameter in trained)
    length = torch.nn.utils.get_total_norm([parameter.grad for parameter in trained])
    torch.optim.SGD(trained, lr=1e-3 / float(length) ** 2).step()  # so short that it should gain 0.001
    with torch.no_grad():
        assert loss() < before


@pytest.mark.slow
@every()
def test_photos_of_a_batch_do_not_see_each_other(name, options):
    network = build_network(name, **options).eval()
    side = max(64, network.min_side)
    photos = torch.stack([torch.full((3, side, side), 0.5), torch.rand(3, side, side)])
    with torch.no_grad():
        together, alone = network(photos), network(photos[:1])
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


@pytest.mark.slow
@every()
def test_exported_once_it_runs_at_any_size(name, options, tmp_path):
    network, free = ready(name, options), torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's exporter against its own onnxscript
        torch.onnx.export(
            network,
            (torch.rand(2, 3, 96, 128),),
            tmp_path / "network.onnx",
            dynamic_shapes=({0: free, 2: free, 3: free},),
            input_names=["photos"],
            verbose=False,
        )
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    core = openvino.Core()
    compiled = core.compile_model(tmp_path / "network.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size in ((96, 128), (160, 192), *([(97, 131)] if network.multiple_of == 1 else [])):
        photos = torch.rand(1, 3, *size)
        with torch.no_grad():
            expected = network(photos).numpy()
        for logits in (session.run(None, {"photos": photos.numpy()})[0], compiled(photos.numpy())[0]):
            difference = np.abs(logits - expected) / np.abs(expected).max()
            assert logits.shape == (1, 1, *size)
            assert np.quantile(difference, 1.0 if network.is_continuous else 0.99) < 1e-4


@pytest.mark.slow
@every()
def test_it_learns_a_photo_by_heart(name, options, studio):
    scene = studio(128, 96)
    network = build_network(name, **options)
    photos = (
        torch.from_numpy(scene.photo).permute(2, 0, 1).float().div(255).repeat(network.min_training_photos, 1, 1, 1)
    )
    targets = torch.from_numpy(scene.alpha).repeat(len(photos), 1, 1, 1)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=3e-4)
    dice = 0.0
    for step in range(200):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(network.train()(photos), targets).backward()
        optimizer.step()
        if step % 10 == 9:
            with torch.no_grad():
                mask, truth = network.eval()(photos) >= 0, targets >= 0.5
            dice = 2 * float((mask & truth).sum() / (mask.sum() + truth.sum()))
        if dice >= 0.95:
            return
    pytest.fail(f"Dice {dice:.3f} after 200 steps")


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("deeplab_largefov", {}, "VGG16_Weights.IMAGENET1K_V1"),
        ("fcn", {}, "VGG16_Weights.IMAGENET1K_V1"),
        ("segnet", {}, "VGG16_BN_Weights.IMAGENET1K_V1"),
        ("ternausnet", {"depth": 11}, "VGG11_Weights.IMAGENET1K_V1"),
        ("ternausnet", {}, "VGG16_Weights.IMAGENET1K_V1"),
        ("linknet34", {}, "ResNet34_Weights.IMAGENET1K_V1"),
        ("pspnet", {}, "resnet50s.gluon_in1k"),
        ("pspnet", {"depth": 101}, "resnet101s.gluon_in1k"),
        ("deeplab_plus", {}, "ResNet50_Weights.IMAGENET1K_V1"),
        ("deeplab_plus", {"encoder": "resnet101"}, "ResNet101_Weights.IMAGENET1K_V1"),
        ("deeplab_plus", {"encoder": "xception65"}, "xception65.tf_in1k"),
    ],
)
def test_without_weights_it_asks_the_hub(name, options, wanted, monkeypatch):
    asked = []

    def offline(key):
        asked.append(key)
        raise OSError("no network")

    for module in (vgg, pspnet, deeplab_plus, __import__("garmentcut.model.linknet34", fromlist=["x"])):
        for source in ("torchvision_weights", "timm_weights"):
            monkeypatch.setattr(module, source, offline, raising=False)
    with torch.device("meta"):
        network = build_network(name, **options)
    with pytest.raises(OSError, match="no network"):
        network.load_encoder(None)
    assert asked == [wanted]
    assert get_weight(wanted) if "_Weights" in wanted else timm.models.get_pretrained_cfg(wanted).hf_hub_id


@pytest.mark.parametrize("name", ["unet_paper", "tiramisu"])
def test_networks_without_an_encoder_of_others_do_not_offer_to_load_one(name):
    with torch.device("meta"):
        assert not hasattr(build_network(name), "load_encoder")
