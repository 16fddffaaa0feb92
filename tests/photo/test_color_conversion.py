import numpy as np
import pytest
from PIL import Image, ImageCms

from garmentcut.config import ConfigError
from garmentcut.photo.color_conversion import convert_colors, read_target, srgb_profile
from garmentcut.photo.photo import PhotoError

from .made import cmyk_profile, pixels, rgb_profile


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
    with pytest.raises(PhotoError, match="cannot be turned into the wanted profile"):
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
        (b"", "no ICC profile"),
        (b"x" * 4000, "no ICC profile"),
        (cmyk_profile(), "a profile of CMYK colours"),
        (rgb_profile()[:300], "colours cannot be turned into it"),
    ],
)
def test_files_that_are_no_target(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.icc").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_target("x.icc", tmp_path, "a.toml")
    assert str(caught.value).startswith("a.toml: color.profile = 'x.icc': ")
