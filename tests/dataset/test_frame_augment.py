import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from garmentcut.dataset.augment import augment
from garmentcut.dataset.frame_augment import (
    SampleDraws,
    bend,
    box_mean,
    color_matrix,
    dilate,
    draw_homography,
    gaussian_blur,
    luma_of,
    mix_channels,
    smooth_field,
)

MANY = 3000


def drawn(config, draw, *, num=MANY, strongest=False):
    return np.array([draw(SampleDraws(config, (3, number), strongest)) for number in range(num)])


def varied(photos, config, seed=0, *, strongest=True):
    """Photos without a garment, through the public door."""
    alphas, views = torch.zeros_like(photos[:, :1]), ["Front"] * len(photos)
    return augment(photos, alphas, views=views, config=config, key=(seed, 0), strongest=strongest)[0]


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_it_happens_as_often_as_asked(only, p):
    happened = drawn(only("blur", p=p), lambda draws: draws.happens("blur"))
    assert happened.mean() == pytest.approx(p, abs=0.03 * (0 < p < 1))


def test_strengths_are_even_and_signed_ones_symmetric(only):
    config = only("blur", "zoom", p=0.5, amount=0.4)
    share = drawn(config, lambda draws: draws.share("blur"))
    signed = drawn(config, lambda draws: draws.signed("blur", 1)[0])
    factor = np.log(drawn(config, lambda draws: draws.factor("zoom"))) / np.log(1.4) * 0.4
    for values, low in ((share, 0), (signed, -0.4), (factor, -0.4)):
        values = values[values != 0]
        assert len(values) / MANY == pytest.approx(0.5, abs=0.03)
        assert values.min() >= low - 1e-9
        assert values.max() <= 0.4 + 1e-9
        assert values.mean() == pytest.approx((low + 0.4) / 2, abs=0.02)
        assert values.std() == pytest.approx((0.4 - low) / 12**0.5, rel=0.04)


def test_several_numbers_of_a_sample_happen_together(only):
    happened = drawn(only("shift", p=0.5), lambda draws: draws.signed("shift", 8)) != 0
    assert happened.shape == (MANY, 8)
    assert (happened.all(axis=1) | ~happened.any(axis=1)).all()


def test_the_strongest_are_at_the_limits(only):
    config = only("blur", p=0.5, amount=0.5)
    signed = drawn(config, lambda draws: draws.signed("blur", 1)[0], num=200, strongest=True)
    share = drawn(config, lambda draws: draws.share("blur"), num=200, strongest=True)
    assert set(signed.tolist()) == {-0.5, 0, 0.5}
    assert set(share.tolist()) == {0, 0.5}


def test_box_mean_of_a_dot():
    dot = torch.zeros(1, 1, 9, 9)
    dot[..., 4, 4] = 25
    mean = box_mean(dot, 2)
    assert torch.allclose(mean[..., 2:7, 2:7], torch.ones(()))
    assert mean.sum() == pytest.approx(25)


def test_dilating_reaches_so_far_and_no_farther():
    mask = torch.zeros(2, 1, 12, 12, dtype=torch.bool)
    mask[0, 0, 5, 5] = True
    reached = dilate(mask, 3)
    assert set(reached.unique().tolist()) == {0, 1}
    assert reached[0].sum() == 49
    assert (reached[0, 0, 2:9, 2:9] == 1).all()
    assert not reached[1].any()


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_all_channels_are_blurred(sigma):
    dot = torch.zeros(1, 4, 31, 31)
    dot[..., 15, 15] = 1
    peaks = gaussian_blur(dot, sigma)[0, :, 15, 15]
    assert peaks.tolist() == pytest.approx([1 / (2 * math.pi * sigma**2)] * 4, rel=0.02)


def test_a_smooth_field_goes_through_its_corners():
    field = smooth_field(np.array([[[0.0, 1.0], [2.0, 3.0], [-1.0, 0.5]]]), torch.zeros(1, 3, 60, 40))
    assert field.shape == (1, 1, 60, 40)
    corners = [field[0, 0, row, column].item() for row in (0, -1) for column in (0, -1)]
    assert corners == pytest.approx([0, 1, -1, 0.5], abs=1e-4)


def flat(*rgb, num=4):
    return torch.tensor(rgb).view(1, 3, 1, 1).expand(num, 3, 6, 4).contiguous()


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
    red, gray = flat(0.6, 0.3, 0.3, num=1), flat(0.5, 0.5, 0.5, num=1)
    third, half = (color_matrix(hue, 1.0) for hue in (1 / 3, 0.5))
    for matrix in (third, half):
        assert torch.allclose(mix_channels(gray, matrix), gray, atol=1e-3)
        assert torch.allclose(luma_of(mix_channels(red, matrix)), luma_of(red), atol=1e-3)
    assert mix_channels(red, third)[0, :, 0, 0].argmax() != 0  # a third of the circle: red no more
    assert mix_channels(red, half)[0, :, 0, 0].argmin() == 0  # the opposite colour
    assert np.array_equal(color_matrix(0.0, 1.0), np.eye(3))


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


def test_light_falls_smoothly_and_up_to_its_amount(only):
    lit = varied(torch.full((6, 3, 60, 40), 0.5), only("light", amount=0.3)) / 0.5
    reach = (lit - 1).abs().amax(dim=(1, 2, 3))
    assert reach.tolist() == pytest.approx([0.3] * 6, abs=1e-3)
    assert (lit[:, :, 1:] - lit[:, :, :-1]).abs().max() < 0.05
    assert torch.equal(lit[:, 0], lit[:, 2])  # light, not colour
    assert not torch.allclose(lit[0], lit[1], atol=0.05)


def test_noise_has_the_asked_deviation_and_no_pattern(only):
    gray = torch.full((2, 3, 200, 150), 0.5)
    noise = varied(gray, only("noise", amount=0.05)) - gray
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


def test_noise_of_each_sample_is_between_none_and_the_most(only):
    gray = torch.full((60, 3, 40, 40), 0.5)
    deviations = varied(gray, only("noise", amount=0.1), strongest=False).std(dim=(1, 2, 3))
    assert deviations.min() < 0.02
    assert deviations.max() > 0.08
    assert deviations.mean() == pytest.approx(0.05, abs=0.015)


def test_blur_is_a_gaussian_of_its_sigma(only):
    dot = torch.zeros(1, 3, 41, 41)
    dot[..., 20, 20] = 1
    blurred = varied(dot, only("blur", amount=2.5))
    assert torch.allclose(blurred.sum(dim=(2, 3)), torch.ones(1, 3), atol=1e-5)
    places = torch.arange(41.0) - 20
    for axis in (1, 2):
        spread = (blurred[0].sum(dim=axis) * places**2).sum(dim=1).sqrt()
        assert spread.tolist() == pytest.approx([2.5] * 3, rel=0.02)


def test_blur_repeats_the_border(only):
    assert torch.allclose(varied(torch.full((1, 3, 12, 12), 0.7), only("blur", amount=3)), torch.tensor(0.7), atol=1e-6)


def test_each_sample_is_blurred_by_its_own_sigma(only):
    dots = torch.zeros(30, 3, 21, 21)
    dots[..., 10, 10] = 1
    peaks = varied(dots, only("blur", p=0.5, amount=2), strongest=False)[:, 0, 10, 10]
    assert (peaks == 1).any()
    assert len(peaks.unique()) > 10


OPTIONS = ("shift", "zoom", "aspect", "rotation", "perspective", "flip")
HEIGHT, WIDTH = 40, 30
TOLERANCE = 2e-4  # places are float32: a ten-thousandth of a pixel off


def matrix(*rows):
    return np.array([*rows, [0, 0, 1]], np.float64)


def warps_of(config, num=1, *, view="Front", size_hw=(HEIGHT, WIDTH), seed=0, strongest=False):
    """`(num, 3, 3)`"""
    return np.stack([draw_homography(SampleDraws(config, (seed, row), strongest), view, size_hw) for row in range(num)])


def dotted(row, column):
    """A black photo with one bright dot of 3x3 pixels in its red channel, and the same as alpha."""
    photo = torch.zeros(1, 3, HEIGHT, WIDTH)
    photo[0, 0, row - 1 : row + 2, column - 1 : column + 2] = 1
    return photo, photo[:, :1].clone()


def centre(alpha):
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return [float((alpha[0, 0] * places).sum() / alpha.sum()) for places in (rows, columns)]


@pytest.mark.parametrize("settings", [*[(option,) for option in OPTIONS], OPTIONS], ids="+".join)
@pytest.mark.parametrize("amount", [0.2, 0.9])
def test_photo_and_target_never_part(batch, only, settings, amount):
    alphas = batch[1]
    photos = torch.cat([alphas, 1 - alphas, 0.5 * alphas], dim=1)
    config = only(*settings, amount=amount * (40 if settings == ("rotation",) else 1))
    moved, targets = augment(photos, alphas, views=["Front"] * 5, config=config, key=(1, 0))
    assert torch.equal(moved[:, :1], targets)
    assert not torch.equal(targets, alphas)


def test_nothing_drawn_leaves_every_bit(batch, only):
    (warp,) = warps_of(only())
    assert np.array_equal(warp, np.eye(3))
    assert all(after is before for after, before in zip(bend(*batch, warp), batch, strict=True))


def test_only_those_that_move_are_touched(batch, only):
    photos, alphas = augment(*batch, views=["Front"] * 5, config=only("shift", p=0.5), key=(0, 0))
    same = [torch.equal(after, before) for after, before in zip(photos, batch[0], strict=True)]
    assert same == [torch.equal(after, before) for after, before in zip(alphas, batch[1], strict=True)]
    assert 0 < sum(same) < 5


def test_a_shift_by_whole_pixels_moves_right_and_down_and_repeats_the_border():
    photo = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    moved, _ = bend(photo, photo[:, :1], matrix([1, 0, 4], [0, 1, 2]))
    assert torch.allclose(moved[..., 2:, 4:], photo[..., :-2, :-4], atol=TOLERANCE)
    assert torch.allclose(moved[..., 2:, :4], photo[..., :-2, :1].expand(-1, -1, -1, 4), atol=TOLERANCE)


def test_a_flip_mirrors_exactly():
    photo = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    moved, alpha = bend(photo, photo[:, :1], matrix([-1, 0, 0], [0, 1, 0]))
    assert torch.allclose(moved, photo.flip(3), atol=TOLERANCE)
    assert torch.equal(alpha, moved[:, :1])


def test_a_positive_rotation_turns_clockwise(only):
    photo, alpha = dotted(10, WIDTH // 2)  # above the middle
    config = only("rotation", amount=90)
    for seed in range(4):
        (warp,) = warps_of(config, seed=seed, strongest=True)
        angle = math.atan2(warp[1, 0], warp[0, 0])
        moved, target = bend(photo, alpha, warp)
        assert torch.equal(moved[:, :1], target)
        row, column = centre(target)
        assert abs(angle) == pytest.approx(math.pi / 2)
        # 9.5 rows above and half a column right of the middle.
        assert row == pytest.approx((HEIGHT - 1) / 2 + math.copysign(0.5, angle), abs=0.01)
        assert column == pytest.approx((WIDTH - 1) / 2 + math.copysign(9.5, angle), abs=0.01)


def test_zoom_and_aspect_scale_as_much_as_they_say(only):
    square = torch.zeros(1, 1, 101, 101)
    square[..., 35:66, 35:66] = 1
    photo = square.expand(-1, 3, -1, -1)
    for seed in range(4):
        for name, power in (("zoom", 2), ("aspect", 1)):
            (warp,) = warps_of(only(name, amount=0.3), view="Back", size_hw=(101, 101), seed=seed)
            assert 1 / 1.3 <= warp[0, 0] <= 1.3
            assert warp[1, 1] == (warp[0, 0] if name == "zoom" else 1)
            target = bend(photo, square, warp)[1]
            assert target.sum() == pytest.approx(31**2 * float(warp[0, 0]) ** power, rel=0.02)


def test_perspective_moves_the_corners_and_no_farther(only):
    warps = warps_of(only("perspective", amount=0.1), 50)
    corners = np.array([[-15, -20, 1], [15, -20, 1], [15, 20, 1], [-15, 20, 1]]).T
    placed = warps @ corners
    offsets = np.abs(placed[:, :2] / placed[:, 2:] - corners[:2]).max(axis=(0, 2))
    assert 2.5 < offsets[0] <= 3 + 1e-6
    assert 3.5 < offsets[1] <= 4 + 1e-6


def test_amounts_and_shares_are_kept(only):
    shifts = warps_of(only("shift", p=0.25, amount=0.1), 2000)[:, :2, 2]
    moved = (shifts != 0).any(axis=1)
    assert moved.mean() == pytest.approx(0.25, abs=0.03)
    assert np.abs(shifts).max(axis=0) == pytest.approx([0.1 * WIDTH, 0.1 * HEIGHT], rel=0.02)
    turned = warps_of(only("rotation", amount=7), 2000)
    angles = np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert np.abs(angles).max() == pytest.approx(7, abs=0.04)
    assert angles.mean() == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize(
    ("option", "mirrored"),
    [("flip", [True, False, True, True]), ("flip_front_right", [False, True, False, False])],
)
def test_views_are_flipped_by_their_own_option(only, option, mirrored):
    views = ["Front", "FrontRight", "Back", "unknown"]
    assert [warps_of(only(option), view=view)[0, 0, 0] == -1 for view in views] == mirrored


def test_much_reduced_photos_do_not_alias():
    stripes = torch.zeros(1, 3, 240, 240)
    stripes[..., ::2, :] = 1
    moved, target = bend(stripes, stripes[:, :1], matrix([0.38, 0, 0], [0, 0.38, 0]))
    assert torch.equal(moved[:, :1], target)
    assert (moved[..., 100:140, 100:140] - 0.5).abs().max() < 0.1


def by_pillow(photo, quality):
    file = io.BytesIO()
    pixels = (photo * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255


@pytest.mark.parametrize("quality", [10, 30, 49, 75, 95])
def test_jpeg_is_what_another_encoder_makes(studio, only, quality):
    photo = torch.from_numpy(studio(120, 88).photo).permute(2, 0, 1) / 255  # 120 = 7.5 blocks of 16
    photo = photo + 0.05 * torch.rand(photo.shape, generator=torch.Generator().manual_seed(0))
    photo = photo.clamp(0, 1)
    ours, theirs = varied(photo[None], only("jpeg", amount=100 - quality))[0], by_pillow(photo, quality)
    assert (ours - theirs).abs().max() < 2 / 255


def test_quality_falls_as_far_as_the_amount(batch, only):
    photos = batch[0][:1].expand(40, -1, -1, -1).contiguous()
    lost = (varied(photos, only("jpeg", amount=90), strongest=False) - photos).abs().mean(dim=(1, 2, 3))
    best, worst = ((by_pillow(photos[0], quality) - photos[0]).abs().mean() for quality in (100, 10))
    assert lost.min() >= best * 0.9
    assert worst * 0.6 < lost.max() <= worst * 1.05


def test_flat_photos_stay_nearly_as_they_are(only):
    flat = torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1).expand(1, 3, 20, 20)
    assert (varied(flat, only("jpeg", amount=10)) - flat).abs().max() < 3 / 255
