"""What holds for every network: the papers', the proposal's and ours."""

import numpy as np
import pytest
import timm
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.models import get_weight

from garmentcut.config import RuntimeConfig
from garmentcut.errors import ModelError
from garmentcut.export.onnx import card_of_network, export_network
from garmentcut.model.card import alpha_of_logits, card_of
from garmentcut.model.checkpoint import NetworkSpec
from garmentcut.model.networks import build_network
from garmentcut.model.papers import backbone
from garmentcut.photo.photo import Photo
from garmentcut.prediction.locate import frame_photo
from garmentcut.prediction.runtime import load_runtime

# Name, options, parameters for RGB and one class, and whether a CPU takes it lightly.
CASES = (
    ("cutnet", {}, 4_078_133, True),
    ("simple", {}, 69_985, True),
    ("unet", {"size": 128}, 34_527_041, False),
    ("unet", {"size": 256}, 34_600_353, False),
    ("unet", {"size": 512}, 34_618_577, False),
    ("unet", {"size": 1024}, 34_623_081, False),
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


@pytest.fixture(scope="module", params=CASES, ids=named)
def drawn(request):
    """A network without its weights, which is made in no time, and how many parameters the paper gives it."""
    name, options, count, _ = request.param
    with torch.device("meta"):
        return build_network(name, **options), count


@pytest.fixture(autouse=True)
def _same_luck():
    torch.manual_seed(0)


def smallest(network, side):
    """The least side a network takes that is not below this one."""
    return -(-max(side, network.min_side) // network.multiple_of) * network.multiple_of


def logits_of(network, rgb):
    with torch.no_grad():
        return network.eval()(torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255)[0, 0].numpy()


def ready(name, options):
    """A network with no weight at zero (FCN starts with scores of 0) and batch norms that have seen photos."""
    network = build_network(name, **options)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    side = smallest(network, 96)
    with torch.no_grad():
        network.train()(torch.rand(2, 3, side, side))
    return network.eval()


def test_it_has_the_papers_layers(drawn):
    network, count = drawn
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_logits_have_the_photos_size(drawn):
    network, step = drawn[0].eval(), drawn[0].multiple_of
    for height, width in (
        (smallest(network, 1728), smallest(network, 1152)),
        (smallest(network, 1) + step, smallest(network, 96)),
    ):
        logits = network(torch.empty(2, 3, height, width, device="meta"))
        assert (logits.shape, logits.dtype) == ((2, 1, height, width), torch.float32)


def test_it_refuses_other_photos(drawn):
    network, side = drawn[0], drawn[0].multiple_of * 96
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


def test_no_two_weights_are_one(drawn):
    """A weights file could not hold them."""
    tensors = [id(tensor) for tensor in drawn[0].state_dict(keep_vars=True).values()]
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
    with pytest.raises(ModelError, match=message):
        build_network(name, **options)


@every(heavy_are_slow=True)
def test_a_training_step_lowers_the_loss(name, options):
    network = build_network(name, **options).train()
    side = smallest(network, 64)
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
    side = smallest(network, 64)
    photos = torch.stack([torch.full((3, side, side), 0.5), torch.rand(3, side, side)])
    with torch.no_grad():
        together, alone = network(photos), network(photos[:1])
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


@pytest.mark.slow
@every()
def test_the_product_gives_the_alphas_that_torch_gives(name, options, studio):
    """Exported once, and run on photos of several sizes, upright and lying, that need padding."""
    network = ready(name, options)
    logits = logits_of(network, studio(smallest(network, 96), smallest(network, 160)).photo)
    edge = {"edge_bias": float(np.median(logits)), "edge_gain": float(2 / logits.std())}  # alphas from 0 to 1
    card = card_of_network(network, NetworkSpec(name, options, (176, 112), "alpha", edge))
    exported = export_network(network, card)
    assert card_of(exported).parity < 1e-3
    for height, width in ((176, 111), (100, 151), (352, 222)):
        frame = frame_photo(Photo(studio(height, width).photo), card)
        alpha = alpha_of_logits(logits_of(network, frame.rgb), card.edge_bias, card.edge_gain)
        assert alpha.max() - alpha.min() > 0.3
        for backend in ("openvino", "onnxruntime"):
            runtime = load_runtime(exported, card, RuntimeConfig(backend=backend, threads=1))
            assert np.abs(runtime(frame.rgb) - alpha).max() < 1e-3, (backend, frame.rgb.shape)


@pytest.mark.slow
@every()
def test_it_learns_a_photo_by_heart(name, options, studio):
    network = build_network(name, **options)
    scene = studio(smallest(network, 96), smallest(network, 64))
    # A batch norm needs two values; U-Net 1024 comes down to a single one of so small a photo.
    times = 2 if scene.alpha.shape == (network.multiple_of,) * 2 else network.min_training_photos
    photos = torch.from_numpy(scene.photo).permute(2, 0, 1).float().div(255).repeat(times, 1, 1, 1)
    targets = torch.from_numpy(scene.alpha).repeat(len(photos), 1, 1, 1)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=3e-4)
    dice = 0.0
    for _ in range(20):
        for _ in range(10):
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(network.train()(photos), targets).backward()
            optimizer.step()
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

    monkeypatch.setattr(backbone, "hub_weights", offline)
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
