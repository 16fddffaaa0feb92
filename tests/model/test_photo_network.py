import pytest
import torch

from garmentcut.model.photo_network import IMAGENET_MEAN, IMAGENET_STD, PhotoNetwork, check_option


class Mean(PhotoNetwork):
    multiple_of = 4
    min_side = 8
    min_training_photos = 2

    def logits(self, x):
        return x.mean(dim=1, keepdim=True)


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
