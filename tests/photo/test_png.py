import io
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from garmentcut.errors import PhotoError
from garmentcut.photo.png import png_bytes, split_png

from .made import exif_bytes, pixels, rgb_profile


@pytest.mark.parametrize("deflate", [None, zlib], ids=["isal", "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (9, 1), (37, 53)])
def test_read_back_equal(channels, dtype, deflate, size_hw):
    array = pixels(*size_hw, channels=channels, dtype=dtype)
    data = png_bytes(array, deflate=deflate)
    np.testing.assert_array_equal(imagecodecs.png_decode(data), array)
    if dtype == np.uint8 or channels == 1:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), array)


def test_noise_and_slices():
    noise = np.random.default_rng(0).integers(0, 65536, (40, 60, 4)).astype(np.uint16)
    for array in (noise, noise[::2, ::-1], noise[..., :3]):
        np.testing.assert_array_equal(imagecodecs.png_decode(png_bytes(array)), array)


def test_without_isal_the_standard_library_serves(monkeypatch):
    monkeypatch.setitem(sys.modules, "isal", None)
    array = pixels()
    data = png_bytes(array)
    assert data == png_bytes(array, deflate=zlib)
    np.testing.assert_array_equal(imagecodecs.png_decode(data), array)


def test_large_pictures_are_cut_into_several_chunks(monkeypatch):
    monkeypatch.setattr("garmentcut.photo.png._MAX_IDAT_BYTES", 50)
    array = pixels(50, 50)
    data = png_bytes(array)
    assert sum(kind == b"IDAT" for kind, _ in split_png(data)[0]) > 3
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), array)


def test_metadata():
    profile, exif = rgb_profile(), exif_bytes()
    image = Image.open(io.BytesIO(png_bytes(pixels(), profile=profile, srgb=True, dpi=(300, 72), exif=exif)))
    assert image.info["icc_profile"] == profile
    assert "srgb" not in image.info
    assert image.info["dpi"] == pytest.approx((300, 72), abs=0.02)
    assert image.getexif()[271] == "Camera Maker"
    plain = Image.open(io.BytesIO(png_bytes(pixels(), srgb=True)))
    assert (plain.info["srgb"], plain.info["gamma"]) == (0, 0.45455)
    assert Image.open(io.BytesIO(png_bytes(pixels()))).info == {}


def test_split_names_what_is_damaged():
    data = png_bytes(pixels(), dpi=(300, 300))
    assert [kind for kind, _ in split_png(data)[0]] == [b"IHDR", b"pHYs", b"IDAT", b"IEND"]
    assert b"".join(chunk for _, chunk in split_png(data + b"trailing")[0]) == data[8:]
    damaged = bytearray(data)
    damaged[data.index(b"pHYs") + 5] ^= 1
    kept, notes = split_png(bytes(damaged))
    assert ([kind for kind, _ in kept], notes) == ([b"IHDR", b"IDAT", b"IEND"], ("the damaged 'pHYs' part left out",))
    damaged[data.index(b"IHDR") + 5] ^= 1
    with pytest.raises(PhotoError, match="checksum of its 'IHDR' part is wrong"):
        split_png(bytes(damaged))
    for cut in (9, 30, len(data) - 1):
        with pytest.raises(PhotoError, match="truncated PNG"):
            split_png(data[:cut])
