import io

import numpy as np
import pytest
from PIL import Image

from garmentcut.photo.embedded_profile import read_profile
from garmentcut.photo.photo import PhotoError

from .made import cmyk_profile, encoded, gray_profile, pixels, rgb_profile, tiff
from .made_cutout import add_layer, layered, psd_bytes, put

PROFILE = rgb_profile()


def psd(profile):
    document = layered((12, 20))
    add_layer(document, pixels(channels=4))
    put(document, 1039, profile)
    return psd_bytes(document)


@pytest.mark.parametrize(
    "content",
    [
        encoded(pixels(channels=4), "PNG", icc_profile=PROFILE),
        encoded(pixels(channels=4), "WEBP", icc_profile=PROFILE, lossless=True),
        encoded(pixels(), "JPEG", icc_profile=PROFILE),
        tiff(pixels(channels=4, dtype=np.uint16), iccprofile=PROFILE, extrasamples=["unassalpha"]),
        psd(PROFILE),
    ],
    ids=["png", "webp", "jpeg", "tiff of 16 bits", "psd"],
)
def test_found_in_every_format(tmp_path, content):
    (tmp_path / "cutout").write_bytes(content)  # the content decides, not the name
    assert read_profile(tmp_path / "cutout") == PROFILE


@pytest.mark.parametrize("profile", [None, b"broken", gray_profile(), cmyk_profile()])
def test_none_where_rgb_pixels_cannot_be_in_it(tmp_path, profile):
    options = {"icc_profile": profile} if profile else {}
    (tmp_path / "cutout.png").write_bytes(encoded(pixels(channels=4), "PNG", **options))
    assert read_profile(tmp_path / "cutout.png") is None


def test_cmyk_has_been_converted_by_its_own_profile(tmp_path):
    (tmp_path / "cutout.tif").write_bytes(
        tiff(np.zeros((4, 4, 4), np.uint8), photometric="separated", iccprofile=cmyk_profile())
    )
    assert read_profile(tmp_path / "cutout.tif") is None


def test_damage_is_named(tmp_path):
    file = io.BytesIO()
    Image.new("RGBA", (4, 4)).save(file, "PNG")
    (tmp_path / "cutout.png").write_bytes(file.getvalue()[:20])
    with pytest.raises(PhotoError):
        read_profile(tmp_path / "cutout.png")
