import pytest
import torch

from garmentcut.model.layers import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Block,
    Decoder,
    LightBlock,
    PhotoNetwork,
    check_option,
    double,
)


class Mean(PhotoNetwork):
    multiple_of = 4
    min_side = 8
    min_training_photos = 2

    def logits(self, x):
        return x.mean(dim=1, keepdim=True)


@pytest.fixture
def plain():
    network = PhotoNetwork()
    network.multiple_of = 32
    return network


def test_photos_pass(plain):
    plain.check(torch.zeros(2, 3, 64, 96))
    plain.multiple_of, plain.in_channels = 1, 4
    plain.check(torch.zeros(1, 4, 5, 7, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(3, 64, 64), r"shape \(N, 3, H, W\), not \(3, 64, 64\)"),
        (torch.zeros(1, 64, 64, 3), r"not \(1, 64, 64, 3\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "not uint8; divide by 255"),
        (torch.zeros(1, 3, 64, 80), "multiples of 32, not 64x80; pad them"),
        (torch.zeros(1, 3, 0, 64), "multiples of 32, not 0x64"),
    ],
)
def test_others_are_told_what_is_wanted(plain, x, says):
    with pytest.raises(ValueError, match=says):
        plain.check(x)


def test_photos_are_normalised_as_for_imagenet():
    level = torch.tensor(IMAGENET_MEAN) + torch.tensor(IMAGENET_STD) * torch.tensor([1.0, 2.0, 6.0])
    logits = Mean().eval()(level.view(1, 3, 1, 1).expand(1, 3, 8, 12))
    torch.testing.assert_close(logits, torch.full((1, 1, 8, 12), 3.0))


def test_small_photos_are_refused():
    with pytest.raises(ValueError, match="at least 8 pixels, not 4x8"):
        Mean().eval()(torch.rand(1, 3, 4, 8))


def test_a_lone_photo_is_refused_in_training_only():
    network = Mean()
    with pytest.raises(ValueError, match="at least 2 photos a training step, not 1"):
        network(torch.rand(1, 3, 8, 8))
    assert network.eval()(torch.rand(1, 3, 8, 8)).shape == (1, 1, 8, 8)


def test_logits_stay_float32_under_autocast():
    network = Mean().eval()
    network.logits = torch.nn.Conv2d(3, 1, 1)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert network(torch.rand(1, 3, 8, 8)).dtype == torch.float32


def test_options_are_named():
    check_option("depth", 50, (50, 101))
    with pytest.raises(ValueError, match="depth is 50 or 101, not 34"):
        check_option("depth", 34, (50, 101))


def test_doubling_by_hand():
    line = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    assert double(line)[0, 0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]


@pytest.mark.parametrize("kind", [Block, LightBlock])
def test_a_block_joins_at_twice_the_size(kind):
    block = kind(6, 3, 5)
    assert block(torch.rand(2, 6, 4, 3), torch.rand(2, 3, 8, 6)).shape == (2, 5, 8, 6)


def test_light_narrows_before_it_enlarges_and_the_order_does_not_matter():
    narrow, x = torch.nn.Conv2d(6, 2, 1, bias=False), torch.rand(1, 6, 5, 4)
    torch.testing.assert_close(double(narrow(x)), narrow(double(x)))


def test_light_has_a_tenth_of_the_weights():
    heavy, light = (
        sum(weight.numel() for weight in Decoder([320, 128, 96], [112, 40], light=light).parameters())
        for light in (False, True)
    )
    assert 5 * light < heavy < 12 * light
