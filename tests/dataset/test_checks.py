import io
import re

import numpy as np
import pytest
from PIL import Image

from garmentcut.dataset.checks import align, align_far, check_alpha, check_pair, check_size
from garmentcut.photo.photo import Photo, resize_alpha, resize_rgb
from garmentcut.photo.truth import CutoutFile


def moved(values, shift_xy):
    return np.roll(values, shift_xy[::-1], (0, 1))


def luma_of(rgb):
    return (rgb @ np.array([0.299, 0.587, 0.114])).astype(np.float32)


@pytest.fixture
def scene(draw_pair):
    """A photo, its cutout, both as luma, and where the cutout's colours are the garment's."""
    rgb, alpha = draw_pair(3, 288, 192)
    gray = luma_of(rgb)
    return gray, np.where(alpha > 0, gray, 0), alpha == 1


def test_a_cutout_is_most_like_its_photo_where_it_stands(scene):
    found = align(*scene)
    assert found.shift_xy == (0, 0)
    assert found.likeness == pytest.approx(1, abs=1e-3)
    assert found.unshifted == pytest.approx(found.likeness, abs=1e-5)


@pytest.mark.parametrize("shift_xy", [(1, 0), (0, -1), (-3, 2), (4, 4)])
def test_small_shifts_are_found_to_the_pixel(scene, shift_xy):
    photo, cutout, inside = scene
    found = align(photo, moved(cutout, shift_xy), moved(inside, shift_xy))
    assert found.shift_xy == shift_xy
    assert found.likeness == pytest.approx(1, abs=1e-3)
    assert found.unshifted < found.likeness - 0.005


@pytest.mark.parametrize("shift_xy", [(30, -25), (-28, 12), (3, 40)])
def test_large_shifts_are_found_to_the_pixel(scene, shift_xy):
    photo, cutout, inside = scene
    cutout, inside = moved(cutout, shift_xy), moved(inside, shift_xy)
    assert align_far(photo, cutout, inside).shift_xy == shift_xy


def test_it_agrees_with_the_definition(scene):
    """SSIM of the garment as one window, worked out directly."""
    photo, cutout, inside = scene
    dark = cutout * np.float32(0.5)
    one, other = (values[inside].astype(np.float64) for values in (photo, dark))
    shared = np.cov(one, other, ddof=0)
    light = (2 * one.mean() * other.mean() + 128) / (one.mean() ** 2 + other.mean() ** 2 + 128)
    expected = light * (2 * shared[0, 1] + 128) / (shared[0, 0] + shared[1, 1] + 128)
    assert align(photo, dark, inside).unshifted == pytest.approx(expected, abs=1e-3)


def test_plain_cloth_on_plain_ground_has_a_place_too():
    """The cloth's edge tells, though every part inside is like every other."""
    inside = np.zeros((96, 64), bool)
    inside[20:70, 15:50] = True
    photo = np.where(inside, 30, 230).astype(np.float32)
    shifted = moved(inside, (2, -3))
    found = align(photo, np.where(shifted, 30, 0).astype(np.float32), shifted)
    assert found.shift_xy == (2, -3)


def test_a_speck_at_the_border_of_a_large_photo():
    photo = np.random.default_rng(0).integers(0, 255, (301, 517)).astype(np.float32)
    inside = np.zeros(photo.shape, bool)
    inside[-1, -1] = True
    assert align_far(photo, photo, inside).likeness == pytest.approx(1, abs=1e-3)


def test_a_strip_that_is_narrower_than_a_square_of_the_search():
    photo = np.random.default_rng(0).integers(0, 255, (3, 1100)).astype(np.float32)
    assert align_far(photo, photo, np.ones(photo.shape, bool)).likeness == pytest.approx(1, abs=1e-3)


SIZE_HW = (288, 192)


def cutout_of(rgb, alpha):
    """As the retouchers deliver it: the photo's colours, black where nothing is seen."""
    hidden = None if rgb is None else np.where(alpha[..., None] > 0, rgb, 0).astype(rgb.dtype)
    return CutoutFile(alpha, hidden, "transparency")


def codes(checked):
    return [fault.code for fault in checked[0]]


@pytest.fixture
def drawn(draw_pair):
    return draw_pair(5, *SIZE_HW)


def test_a_good_pair_has_no_faults(drawn):
    rgb, alpha = drawn
    faults, checked_alpha = check_pair(Photo(rgb), cutout_of(rgb, alpha))
    assert faults == ()
    assert checked_alpha is alpha


@pytest.mark.parametrize(
    ("photo_hw", "cutout_hw", "resample", "code", "says"),
    [
        ((300, 200), (300, 200), False, None, ""),
        ((300, 200), (150, 100), False, "size", "100x150 pixels, the photo 200x300: .* use --resample"),
        ((300, 200), (150, 100), True, "resampled", "resampled to that size"),
        ((1000, 667), (300, 200), True, "resampled", ""),  # 0.05 % narrower, by rounding
        ((300, 200), (602, 400), True, "resampled", ""),  # 0.3 %
        ((300, 200), (300, 198), True, "size", "of other proportions; export it uncropped"),
        ((300, 200), (200, 300), True, "size", "perhaps turned by 90 degrees"),
    ],
)
def test_sizes(photo_hw, cutout_hw, resample, code, says):
    faults = check_size(photo_hw, cutout_hw, resample=resample)
    assert [fault.code for fault in faults] == ([code] if code else [])
    if code:
        assert re.search(says, faults[0].text)


def alpha_with(slices, value=1.0, ground=0.0, size_hw=(100, 100)):
    alpha = np.full(size_hw, ground, np.float32)
    alpha[slices] = value
    return alpha


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (alpha_with(np.s_[20:80, 30:70]), []),
        (alpha_with(np.s_[:, :], 0.0), ["empty"]),
        (alpha_with(np.s_[20:80, 30:70], 0.49), ["empty"]),
        (alpha_with(np.s_[:, :]), ["full"]),
        (alpha_with(np.s_[50, 50], 0.0, 1.0), ["full"]),
        (alpha_with(np.s_[20:80, 30:70], 0.0, 1.0), ["inverted"]),
        (alpha_with(np.s_[20:80, 30:70], 1.0, 0.498), ["background"]),  # a layer mask of half density
        (alpha_with(np.s_[20:80, 30:70], 1.0, 0.1), ["background"]),
        (alpha_with(np.s_[20:80, 30:70], 1.0, 1 / 255), []),
        (alpha_with(np.s_[50:53, 50:53]), ["small"]),  # 9 of 10,000
        (alpha_with(np.s_[50:52, 50:55]), []),  # 10 of 10,000
        (alpha_with(np.s_[40:100, 40:60]), []),  # a skirt cut at the hem: 20 of 160
        (alpha_with(np.s_[60:100, 0:100]), ["cut_off"]),  # 178 of 280
    ],
)
def test_alphas(alpha, expected):
    assert [fault.code for fault in check_alpha(alpha)] == expected


@pytest.mark.parametrize("shift_xy", [(1, 0), (3, 2), (-2, -1), (0, 5), (-14, 13)])
def test_shifts_are_given_in_pixels(drawn, shift_xy):
    rgb, alpha = drawn
    moved = [np.roll(values, shift_xy[::-1], (0, 1)) for values in (rgb, alpha)]
    checked = check_pair(Photo(rgb), cutout_of(*moved))
    assert codes(checked) == ["shifted"]
    assert checked[1] is None
    across, down = shift_xy
    words = [f"{abs(across)} px {'right' if across > 0 else 'left'}"] if across else []
    words += [f"{abs(down)} px {'down' if down > 0 else 'up'}"] if down else []
    assert f"shifted by {', '.join(words)} against" in checked[0][0].text


def test_another_photo(drawn, draw_pair):
    checked = check_pair(Photo(drawn[0]), cutout_of(*draw_pair(6, *SIZE_HW)))
    assert codes(checked) == ["other_photo"]


def jpeg(rgb, quality):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality", [95, 70])
def test_a_photo_saved_again_is_the_same(drawn, quality):
    rgb, alpha = drawn
    assert codes(check_pair(Photo(jpeg(rgb, quality)), cutout_of(rgb, alpha))) == []


def test_a_graded_photo_is_suspect(drawn):
    rgb, alpha = drawn
    dark = (rgb * 0.8).astype(np.uint8)
    checked = check_pair(Photo(dark), cutout_of(rgb, alpha))
    assert codes(checked) == ["colors"]
    expected = (rgb - dark)[alpha == 1].mean()
    assert f"differ by {expected:.0f} of 255" in checked[0][0].text
    assert checked[1] is alpha


def test_noise_is_no_grading_on_a_narrow_garment_either():
    rng = np.random.default_rng(4)
    rgb = rng.integers(40, 216, (120, 400, 3), np.uint8)
    alpha = np.zeros((120, 400), np.float32)
    alpha[50:62, 30:370] = 1  # fewer rows than patches
    noisy = (rgb + rng.integers(-24, 25, rgb.shape)).astype(np.uint8)
    assert codes(check_pair(Photo(noisy), cutout_of(rgb, alpha))) == []


def test_colours_outside_the_garment_count_for_nothing(drawn):
    rgb, alpha = drawn
    elsewhere = np.where(alpha[..., None] == 1, rgb, 77).astype(np.uint8)  # edge pixels cleaned, ground replaced
    assert codes(check_pair(Photo(rgb), CutoutFile(alpha, elsewhere, "layer mask"))) == []


def test_depths_are_compared_at_8_bits(drawn):
    rgb, alpha = drawn
    assert codes(check_pair(Photo(rgb.astype(np.uint16) * 257 + 60), cutout_of(rgb, alpha))) == []


def test_a_sheer_garment_is_compared_where_it_is_mostly_there(drawn):
    rgb, alpha = drawn
    sheer = alpha * np.float32(0.6)
    assert codes(check_pair(Photo(rgb), cutout_of(rgb, sheer))) == []
    assert codes(check_pair(Photo(np.roll(rgb, 3, 1)), cutout_of(rgb, sheer))) == ["shifted"]


def test_a_bare_mask_cannot_be_compared(drawn):
    rgb, alpha = drawn
    checked = check_pair(Photo(rgb), CutoutFile(alpha, None, "mask image"))
    assert codes(checked) == ["unchecked"]
    assert "alpha from: mask image; no colours" in checked[0][0].text
    assert checked[1] is alpha


def test_a_cutout_of_another_size_is_resampled_on_demand(drawn):
    rgb, alpha = drawn
    small = cutout_of(resize_rgb(rgb, (144, 96)), resize_alpha(alpha, (144, 96)))
    assert codes(check_pair(Photo(rgb), small)) == ["size"]
    checked = check_pair(Photo(rgb), small, resample=True)
    assert codes(checked) == ["resampled"]
    assert checked[1].shape == SIZE_HW
    assert np.abs(checked[1] - alpha).mean() < 0.005


def test_a_resampled_cutout_of_another_photo_is_refused(drawn, draw_pair):
    rgb, alpha = draw_pair(6, 144, 96)
    assert codes(check_pair(Photo(drawn[0]), cutout_of(rgb, alpha), resample=True)) == ["resampled", "other_photo"]
