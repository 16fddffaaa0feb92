import numpy as np
import pytest
from PIL import ImageCms

from garmentcut.photo.color import color_in_profile, rgb_of_gray, srgb_of, usable_profile
from garmentcut.photo.photo import PhotoError, to_8_bit, turn_upright

from .made import cmyk_profile, gray_profile, pixels, rgb_profile

SRGB_COLORANTS = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))


def test_srgb_by_any_name_is_not_converted():
    rgb = pixels()
    built_in = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert srgb_of(rgb, None) is rgb
    assert srgb_of(rgb, built_in) is rgb


def test_a_linear_profile_named_srgb_is_converted():
    linear = rgb_profile(1.0, SRGB_COLORANTS, b"sRGB linear")
    gray = np.full((2, 2, 3), 55, np.uint8)
    assert np.abs(srgb_of(gray, linear).astype(int) - 128).max() <= 1


def test_wide_colours_become_stronger_numbers_in_srgb():
    red, green, blue = srgb_of(np.array([[[128, 188, 128]]], np.uint8), rgb_profile())[0, 0].astype(int)
    assert red < 100
    assert abs(green - 188) < 4
    assert blue < 130


@pytest.mark.parametrize("color", ["#ffffff", "#000000", "#408020", "#c0b0a0"])
def test_a_colour_looks_the_same_in_another_profile(color):
    profile = rgb_profile()
    there = np.array([[color_in_profile(color, profile)]], np.uint8)
    back = srgb_of(there, profile)[0, 0]
    assert np.abs(back.astype(int) - list(bytes.fromhex(color[1:]))).max() <= 2
    assert color_in_profile(color, None) == tuple(bytes.fromhex(color[1:]))


def test_gray_profile_is_applied():
    converted = rgb_of_gray(np.full((3, 2), 55, np.uint8), gray_profile(1.0))
    assert np.abs(converted.rgb.astype(int) - 128).max() <= 1
    assert converted.profile is None


def test_profiles_are_judged_by_use():
    assert usable_profile(None) == (None, ())
    assert usable_profile(b"") == (None, ())
    wide = rgb_profile()
    assert usable_profile(wide) == (wide, ())
    without_curves = wide.replace(b"rTRC", b"xTRC")
    for broken in (without_curves, wide[:150], wide[:-60], cmyk_profile()):
        kept, notes = usable_profile(broken)
        assert kept is None, notes
        assert notes
    assert usable_profile(b"not a profile" * 20) == usable_profile(wide[:150]), "noise has no colour space"
    with pytest.raises(PhotoError, match="convert it to sRGB"):
        srgb_of(pixels(), without_curves)


def test_8_bit_rounding_is_exact_for_every_level():
    levels = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_8_bit(levels), np.rint(levels / 257))
    eight = np.arange(256, dtype=np.uint8)
    assert np.shares_memory(to_8_bit(eight), eight)


def test_turning_twice_by_the_inverse_is_nothing():
    picture = pixels(3, 5)
    inverse = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    for orientation, back in inverse.items():
        np.testing.assert_array_equal(turn_upright(turn_upright(picture, orientation), back), picture)
    np.testing.assert_array_equal(turn_upright(picture, 99), picture)
