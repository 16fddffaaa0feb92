import pytest
import torch

from garmentcut.dataset.augment.camera import add_noise, blur_photos, vary_light
from garmentcut.dataset.augment.draws import Draws
from garmentcut.recipe import Strength


def drawn(num, seed=0, *, strongest=True):
    return Draws(torch.Generator().manual_seed(seed), num, strongest)


def test_light_falls_smoothly_and_up_to_its_amount():
    lit = vary_light(torch.full((6, 3, 60, 40), 0.5), drawn(6), Strength(1, 0.3)) / 0.5
    reach = (lit - 1).abs().amax(dim=(1, 2, 3))
    assert reach.tolist() == pytest.approx([0.3] * 6, abs=1e-3)
    assert (lit[:, :, 1:] - lit[:, :, :-1]).abs().max() < 0.05
    assert torch.equal(lit[:, 0], lit[:, 2])  # light, not colour
    assert not torch.allclose(lit[0], lit[1], atol=0.05)


def test_noise_has_the_asked_deviation_and_no_pattern():
    gray = torch.full((2, 3, 200, 150), 0.5)
    noise = add_noise(gray, drawn(2), Strength(1, 0.05)) - gray
    assert noise.std(dim=(2, 3)).flatten().tolist() == pytest.approx([0.05] * 6, rel=0.02)
    assert noise.mean(dim=(2, 3)).abs().max() < 0.001
    within = (noise.abs() < 0.05).float().mean()
    assert within == pytest.approx(0.6827, abs=0.005)
    # Neighbours in every direction, channels and samples know nothing of each other.
    pairs = [
        (noise[:, :, 1:], noise[:, :, :-1]),
        (noise[..., 1:], noise[..., :-1]),
        (noise[:, 0], noise[:, 1]),
        (noise[:, 1], noise[:, 2]),
        (noise[0], noise[1]),
    ]
    for one, other in pairs:
        assert (one * other).mean() / 0.05**2 == pytest.approx(0, abs=0.02)


def test_noise_of_each_sample_is_between_none_and_the_most():
    gray = torch.full((60, 3, 40, 40), 0.5)
    deviations = add_noise(gray, drawn(60, strongest=False), Strength(1, 0.1)).std(dim=(1, 2, 3))
    assert deviations.min() < 0.02
    assert deviations.max() > 0.08
    assert deviations.mean() == pytest.approx(0.05, abs=0.015)


def test_blur_is_a_gaussian_of_its_sigma():
    dot = torch.zeros(1, 3, 41, 41)
    dot[..., 20, 20] = 1
    blurred = blur_photos(dot, drawn(1), Strength(1, 2.5))
    assert torch.allclose(blurred.sum(dim=(2, 3)), torch.ones(1, 3), atol=1e-5)
    places = torch.arange(41.0) - 20
    for axis in (1, 2):
        spread = (blurred[0].sum(dim=axis) * places**2).sum(dim=1).sqrt()
        assert spread.tolist() == pytest.approx([2.5] * 3, rel=0.02)


def test_blur_repeats_the_border():
    assert torch.allclose(
        blur_photos(torch.full((1, 3, 12, 12), 0.7), drawn(1), Strength(1, 3)), torch.tensor(0.7), atol=1e-6
    )


def test_each_sample_is_blurred_by_its_own_sigma():
    dots = torch.zeros(30, 3, 21, 21)
    dots[..., 10, 10] = 1
    peaks = blur_photos(dots, drawn(30, strongest=False), Strength(0.5, 2))[:, 0, 10, 10]
    assert (peaks == 1).any()
    assert len(peaks.unique()) > 10
