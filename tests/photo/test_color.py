import numpy as np
import pytest
from PIL import Image, ImageCms

from garmentcut.errors import ConfigError, PhotoError
from garmentcut.photo.color import (
    color_in_profile,
    convert_colors,
    read_target,
    rgb_of_gray,
    srgb_of,
    srgb_profile,
    usable_profile,
)
from garmentcut.photo.photo import to_8_bit, turn_upright

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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_same_as_pillow_at_8_bits_and_finer_at_16(dtype):
    rgb = pixels(40, 30, dtype=dtype)
    found = convert_colors(rgb, rgb_profile(), srgb_profile())
    assert found.dtype == dtype
    assert found.shape == rgb.shape
    open_profile = [ImageCms.ImageCmsProfile(__import__("io").BytesIO(p)) for p in (rgb_profile(), srgb_profile())]
    scale = np.iinfo(dtype).max // 255
    expected = ImageCms.profileToProfile(
        Image.fromarray((rgb // scale).astype(np.uint8)), *open_profile, renderingIntent=1, flags=0x2000
    )
    assert np.abs(found / scale - np.asarray(expected)).max() <= (0 if dtype == np.uint8 else 4)


def test_there_and_back_at_16_bits():
    rgb = (pixels(40, 30, dtype=np.uint16) // 4 + 20_000).astype(np.uint16)  # inside both gamuts
    there = convert_colors(rgb, None, rgb_profile())
    assert np.abs(there.astype(int) - rgb).max() > 500
    assert np.abs(convert_colors(there, rgb_profile(), srgb_profile()).astype(int) - rgb).max() <= 8


def test_white_and_black_stay():
    ends = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    np.testing.assert_array_equal(convert_colors(ends, rgb_profile(), srgb_profile()), ends)


def test_the_same_profile_changes_nothing():
    rgb = pixels()
    assert convert_colors(rgb, srgb_profile(), srgb_profile()) is rgb
    assert convert_colors(rgb, None, srgb_profile()) is rgb


def test_a_broken_profile():
    with pytest.raises(PhotoError, match="cannot be converted to the requested profile"):
        convert_colors(pixels(), b"junk", srgb_profile())


def test_targets(tmp_path):
    (tmp_path / "wide.icc").write_bytes(rgb_profile())
    assert read_target("keep", tmp_path, "a.toml") is None
    assert read_target("srgb", tmp_path, "a.toml") == srgb_profile()
    assert read_target("wide.icc", tmp_path, "a.toml") == rgb_profile()
    assert read_target(str(tmp_path / "wide.icc"), tmp_path / "elsewhere", "a.toml") == rgb_profile()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory; use keep, sRGB or the file of an RGB profile"),
        (b"", "not an ICC profile"),
        (b"x" * 4000, "not an ICC profile"),
        (cmyk_profile(), "a profile of CMYK colours"),
        (rgb_profile()[:300], "colours cannot be converted to it"),
    ],
)
def test_files_that_are_no_target(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.icc").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_target("x.icc", tmp_path, "a.toml")
    assert str(caught.value).startswith("a.toml: color.profile = 'x.icc': ")
