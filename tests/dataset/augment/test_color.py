import pytest
import torch

from garmentcut.dataset.augment.color import color_matrices, luma_of, mix_channels, vary_color
from garmentcut.dataset.augment.draws import Draws


def flat(*rgb, num=4):
    return torch.tensor(rgb).view(1, 3, 1, 1).expand(num, 3, 6, 4).contiguous()


def varied(photos, config, seed=0, *, strongest=True):
    draws = Draws(torch.Generator().manual_seed(seed), len(photos), strongest)
    return vary_color(photos, draws, config)


def test_brightness_is_a_factor(only):
    photos = varied(flat(0.2, 0.4, 0.6, num=20), only("brightness", amount=0.25))
    assert {round(float(value), 4) for value in photos[:, 1].unique()} == {0.3, 0.5}
    assert torch.allclose(photos[:, 2] / photos[:, 0], torch.tensor(3.0))


def test_contrast_turns_about_the_mean(only):
    photos = flat(0.4, 0.4, 0.4)
    photos[:, :, :3] += 0.2  # mean 0.5, half a tenth above and below
    varied_photos = varied(photos, only("contrast", amount=0.5))
    assert varied_photos.mean(dim=(1, 2, 3)) == pytest.approx([0.5] * 4)
    spread = varied_photos[:, 0, 0, 0] - varied_photos[:, 0, -1, 0]
    assert all(value == pytest.approx(0.1) or value == pytest.approx(0.3) for value in spread.tolist())


def test_saturation_keeps_luma_and_ends_in_gray(only):
    photos = flat(0.7, 0.3, 0.2, num=20)
    gray_or_double = varied(photos, only("saturation", amount=1))
    assert torch.allclose(luma_of(gray_or_double), luma_of(photos), atol=1e-3)
    spreads = (gray_or_double.amax(dim=1) - gray_or_double.amin(dim=1))[:, 0, 0]
    assert spreads.min() == pytest.approx(0, abs=1e-6)
    assert spreads.max() > 0.8


def test_hue_turns_colours_but_not_grays():
    matrices = color_matrices(torch.tensor([1 / 3, 0.5]), torch.ones(2))
    red, gray = flat(0.6, 0.3, 0.3, num=2), flat(0.5, 0.5, 0.5, num=2)
    assert torch.allclose(mix_channels(gray, matrices), gray, atol=1e-3)
    turned = mix_channels(red, matrices)
    assert torch.allclose(luma_of(turned), luma_of(red), atol=1e-3)
    assert turned[0, :, 0, 0].argmax() != 0  # a third of the circle: red no more
    assert turned[1, :, 0, 0].argmin() == 0  # the opposite colour
    same = color_matrices(torch.zeros(1), torch.ones(1))
    assert torch.equal(same[0], torch.eye(3, dtype=torch.float64))


def test_gamma_is_an_exponent_between_its_limits(only):
    photos = flat(0.5, 0.5, 0.5, num=200)
    exponents = varied(photos, only("gamma", amount=1), strongest=False)[:, 0, 0, 0].log2().neg()
    assert exponents.min() == pytest.approx(0.5, abs=0.05)
    assert exponents.max() == pytest.approx(2, abs=0.05)
    assert exponents.log2().mean() == pytest.approx(0, abs=0.15)


def test_white_balance_leaves_green(only):
    photos = flat(0.5, 0.5, 0.5, num=100)
    balanced = varied(photos, only("white_balance", amount=0.2), strongest=False)
    assert torch.allclose(balanced[:, 1], photos[:, 1])
    for channel in (0, 2):
        values = balanced[:, channel, 0, 0]
        assert values.min() == pytest.approx(0.4, abs=0.01)
        assert values.max() == pytest.approx(0.6, abs=0.01)
    assert not torch.allclose(balanced[:, 0], balanced[:, 2])


def test_hue_is_turned_by_half_the_circle_at_most(only):
    photos = flat(0.6, 0.3, 0.3)
    assert torch.allclose(varied(photos, only("hue", amount=7)), varied(photos, only("hue", amount=0.5)), atol=1e-6)


def test_huge_amounts_stay_in_range(batch, only):
    names = ("brightness", "contrast", "saturation", "hue", "gamma", "white_balance")
    photos = varied(batch[0], only(*names, amount=5))
    assert photos.min() >= 0
    assert photos.max() <= 1
    assert photos.isfinite().all()
