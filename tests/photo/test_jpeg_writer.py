import io

import numpy as np
import pytest
from PIL import Image

from garmentcut.photo.jpeg_writer import jpeg_bytes
from garmentcut.photo.path import Resource, jpeg_resources, split_resources
from garmentcut.photo.photo import OutputError
from garmentcut.photo.read import decode_photo

from .made import exif_bytes, pixels, rgb_profile, xmp_packet


def test_everything_is_found_again():
    rgb = pixels(60, 40)
    data = jpeg_bytes(
        rgb,
        quality=95,
        profile=rgb_profile(),
        dpi=(300.2, 239.9),
        exif=exif_bytes(),
        xmp=xmp_packet(),
        resources=[Resource(2000, "Path 1", b"records"), Resource(2999, "", b"\x06Path 1")],
    )
    photo = decode_photo(data)
    assert np.abs(photo.rgb.astype(int) - rgb).max() <= 4
    assert (photo.profile, photo.dpi, photo.xmp, photo.notes) == (rgb_profile(), (300, 240), xmp_packet(), ())
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[315].encode("latin-1").decode() == "Åse Ødegård"
        assert image.layer == [("R", 1, 1, 0)] or {layer[1:3] for layer in image.layer} == {(1, 1)}, "4:4:4"
    assert [resource.name for resource in split_resources(jpeg_resources(data))] == ["Path 1", ""]


def test_nothing_is_made_up():
    photo = decode_photo(jpeg_bytes(pixels(), quality=90))
    assert (photo.profile, photo.dpi, photo.exif, photo.xmp) == (None, None, None, None)
    assert jpeg_resources(jpeg_bytes(pixels(), quality=90)) == b""


def test_quality_counts():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    low, high = (jpeg_bytes(rgb, quality=quality) for quality in (40, 100))
    assert len(low) < len(high) / 2
    assert np.abs(decode_photo(high).rgb.astype(int) - rgb).max() <= 5


def test_16_bits_are_rounded():
    rgb = np.full((8, 8, 3), 40 * 257 + 128, np.uint16)
    assert (decode_photo(jpeg_bytes(rgb, quality=100)).rgb == 40).all()


def test_a_path_longer_than_a_segment():
    data = np.random.default_rng(0).bytes(150_000)
    resources = [Resource(2000, "Path 1", data), Resource(2999, "", b"\x06Path 1")]
    written = jpeg_bytes(pixels(), quality=90, resources=resources)
    assert split_resources(jpeg_resources(written)) == resources
    assert decode_photo(written).notes == ()


def test_metadata_longer_than_a_segment_stays_out():
    fits = b"x" * (65_533 - 29)
    assert fits in jpeg_bytes(pixels(), quality=90, xmp=fits)
    written = jpeg_bytes(pixels(), quality=90, xmp=fits + b"x", exif=exif_bytes() + bytes(70_000))
    assert decode_photo(written).exif is None


def test_over_65500_pixels_tiff_is_named():
    with pytest.raises(OutputError, match="JPEG ends at 65500 pixels a side, this has 65501; use tiff"):
        jpeg_bytes(np.zeros((1, 65_501, 3), np.uint8), quality=90)
