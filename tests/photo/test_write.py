import io
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from garmentcut.config import OutputConfig, ReadConfig
from garmentcut.errors import OutputError
from garmentcut.naming import FORMATS
from garmentcut.photo import metadata
from garmentcut.photo.compose import Preparation
from garmentcut.photo.metadata import Resource, Tag, iptc_rights_of, jpeg_resources, parse_exif, split_resources
from garmentcut.photo.photo import Cutout, Metadata, Photo, to_8_bit
from garmentcut.photo.psd_format import read_document
from garmentcut.photo.read import decode_photo, split_png
from garmentcut.photo.truth import read_cutout
from garmentcut.photo.write import encode_prepared, jpeg_bytes, lost_metadata, png_bytes, tiff_bytes

from .made import exif_bytes, pixels, rgb_profile, xmp_packet


@pytest.fixture(params=[np.uint8, np.uint16])
def cutout(studio, request):
    drawn = studio()
    scale = request.param(np.iinfo(request.param).max // 255)
    photo = Photo(drawn.photo * scale, rgb_profile(), (300, 240), exif_bytes(), xmp=xmp_packet())
    return Cutout.of(photo, drawn.alpha)


def encode(cutout, format, **output):
    return encode_prepared(Preparation(cutout, OutputConfig(**output)), format)


def opened(data):
    return Image.open(io.BytesIO(data))


def array_of(data, format):
    if format == "tiff":
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return file.pages.first.asarray()
    import imagecodecs

    return imagecodecs.png_decode(data) if format == "png" else np.asarray(opened(data))


def test_suffixes_differ():
    assert {row.suffix for row in FORMATS.values()} == {".png", "_mask.png", ".webp", ".tif", ".psd", ".jpg"}


@pytest.mark.parametrize("format", ["png", "tiff", "webp"])
@pytest.mark.parametrize("hidden", ["keep", "clear", "auto"])
def test_pixels_of_each_format(cutout, format, hidden):
    found = array_of(encode(cutout, format, hidden=hidden), format)
    keeps = hidden == "keep" or (hidden == "auto" and format == "tiff")
    expected = cutout.rgba(clean=not keeps)
    if format == "webp" and expected.dtype == np.uint16:
        expected = expected // 257
        assert np.abs(found.astype(int) - expected).max() <= 1
        return
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    if not keeps:
        assert (found[cutout.alpha == 0] == 0).all()


@pytest.mark.parametrize("format", ["png", "tiff", "webp"])
def test_background_covers_everything_and_leaves_no_alpha(cutout, format):
    found = array_of(encode(cutout, format, background="#ff0000"), format)
    assert found.shape[2] == 3
    decoded = decode_photo(encode(cutout, format, background="#ff0000"))
    np.testing.assert_array_equal(decoded.rgb, found)
    assert decoded.notes == ()
    corner = found[0, 0].astype(int) * 255 // np.iinfo(found.dtype).max
    assert corner[0] > 200, "red in the photo's own profile"
    assert np.ptp(found[cutout.alpha == 0], axis=0).max() == 0


@pytest.mark.parametrize("format", ["png", "tiff", "webp", "jpeg"])
def test_windows_own_tags_are_in_each_format(cutout, format):
    tags = {40091: Tag(1, "Ødegård".encode("utf-16le") + bytes(2)), 40094: Tag(1, b"k\0")}
    written = encode(replace(cutout, exif=metadata.exif_bytes(tags, {}, "<")), format)
    _, main, _ = parse_exif(decode_photo(written).exif)
    assert {number: main.get(number) for number in tags} == tags


@pytest.mark.parametrize("format", ["png", "tiff", "webp", "jpeg"])
def test_metadata_of_each_format(cutout, format):
    image = opened(encode(cutout, format))
    assert image.info["icc_profile"] == cutout.profile
    tags = image.getexif()
    assert tags.get(274, 1) == 1
    assert tags[315].encode("latin-1").decode() == "Åse Ødegård"
    assert tags.get_ifd(0x8769)[0x8827] == 200
    assert tags.get_ifd(0x8825)[2] == (59, 54, 0)
    decoded = decode_photo(encode(cutout, format))
    assert decoded.dpi == pytest.approx((300, 240), abs=0.02)
    assert decoded.profile == cutout.profile
    assert decoded.xmp == cutout.xmp


@pytest.mark.parametrize("format", ["png", "tiff", "webp", "jpeg"])
def test_metadata_survives_two_rounds(cutout, format):
    once = decode_photo(encode(cutout, format))
    twice = decode_photo(encode(Cutout.of(once, cutout.alpha), format))
    assert twice.exif == once.exif
    assert twice.dpi == pytest.approx(once.dpi, abs=0.02)


@pytest.mark.parametrize("format", ["png", "tiff", "webp", "jpeg"])
def test_without_metadata(format, studio):
    drawn = studio()
    image = opened(encode(Cutout(drawn.photo, drawn.alpha), format))
    assert not {"icc_profile", "xmp"} & set(image.info)
    assert not set(image.getexif()) & {271, 0x8769, 0x8825}
    assert decode_photo(encode(Cutout(drawn.photo, drawn.alpha), format)).dpi is None


def test_png_without_profile_says_srgb(studio):
    drawn = studio()
    assert opened(encode(Cutout(drawn.photo, drawn.alpha), "png")).info["srgb"] == 0


def test_mask_is_8_bit_gray_without_profile(cutout):
    for output in ({}, {"background": "#ffffff"}, {"hidden": "keep"}):
        image = opened(encode(cutout, "mask", **output))
        assert image.mode == "L"
        assert "icc_profile" not in image.info
        np.testing.assert_array_equal(np.asarray(image), np.rint(cutout.alpha * 255))
    assert image.info["dpi"] == pytest.approx((300, 240), abs=0.02)


@pytest.mark.parametrize("format", ["png", "mask", "webp", "tiff", "psd", "jpeg"])
def test_trim_is_the_same_in_every_format(cutout, format):
    left, top, right, bottom = cutout.box_xyxy
    for margin in (0, 7, 150):
        size = right - left + 2 * margin, bottom - top + 2 * margin
        data = encode(cutout, format, trim=True, margin_px=margin)
        # Pillow opens no PSD of 16 bits.
        found = read_document(data, ReadConfig()).size_hw[::-1] if format == "psd" else opened(data).size
        assert found == size


def jpeg_of(rgb, quality=95):
    return decode_photo(jpeg_bytes(rgb, quality=quality)).rgb


@pytest.mark.parametrize(
    ("output", "is_whole"),
    [
        ({}, False),
        ({"path": "exact"}, True),
        ({"path": "exact", "hidden": "keep"}, True),
        ({"path": "exact", "hidden": "clear"}, False),
        ({"path": "exact", "background": "#00ff00"}, False),
        ({"background": "#00ff00"}, False),
        ({"quality": 60}, False),
    ],
)
def test_a_jpeg_is_the_whole_photo_only_if_a_path_says_what_is_cut_out(cutout, output, is_whole):
    found = decode_photo(encode(cutout, "jpeg", formats=("jpeg",), **output)).rgb
    flat = cutout.cleaned.over(output.get("background", "#ffffff"))
    np.testing.assert_array_equal(found, jpeg_of(cutout.rgb if is_whole else flat, output.get("quality", 95)))


@pytest.mark.parametrize("hidden", ["auto", "keep", "clear"])
@pytest.mark.parametrize("background", [None, "#ff0000"])
def test_a_psd_keeps_the_photo_unless_told_otherwise(cutout, tmp_path, hidden, background):
    (tmp_path / "a.psd").write_bytes(
        encode(cutout, "psd", formats=("psd",), hidden=hidden, background=background, path="none")
    )
    expected = cutout.cleaned if hidden == "clear" else cutout
    np.testing.assert_array_equal(read_cutout(tmp_path / "a.psd").rgb, expected.rgb)


def test_a_trimmed_psd_is_the_part_of_the_photo(cutout, tmp_path):
    (tmp_path / "a.psd").write_bytes(encode(cutout, "psd", trim=True, margin_px=9))
    found = read_cutout(tmp_path / "a.psd")
    np.testing.assert_array_equal(found.rgb, cutout.trimmed(9).rgb)


def test_background_fills_a_margin_beyond_the_photo(cutout):
    found = array_of(
        encode(replace(cutout, profile=None), "png", trim=True, margin_px=300, background="#00ff00"), "png"
    )
    assert (found[0, 0] == np.array([0, 1, 0]) * np.iinfo(found.dtype).max).all()


def test_edge_colour_is_cleaned_from_the_whole_photo_before_trimming(cutout):
    trimmed = array_of(encode(cutout, "png", trim=True), "png")
    np.testing.assert_array_equal(trimmed, cutout.cleaned.trimmed().rgba())


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_tags(channels, dtype):
    array = pixels(70, 50, channels=channels, dtype=dtype)
    data = tiff_bytes(array, Metadata(rgb_profile(), (300, 240), exif_bytes()))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        np.testing.assert_array_equal(page.asarray(), array)
        assert page.extrasamples == ((2,) if channels == 4 else ())
        assert (page.compression, page.predictor, page.bitspersample) == (8, 2, 8 * array.itemsize)
        assert page.tags[34675].value == rgb_profile()
        assert page.tags[282].value == (300, 1)
        assert page.tags[34665].value["ISOSpeedRatings"] == 200
        assert page.tags[34853].value["GPSLatitudeRef"] == "N"
        assert page.tags[305].value == "garmentcut"
        assert len(file.pages) == 1
    if dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(opened(data)), array)


def test_tiff_of_a_sliced_picture():
    array = pixels(70, 50)[::2, ::-1]
    data = tiff_bytes(array)
    np.testing.assert_array_equal(decode_photo(data).rgb, array)


def test_a_quality_makes_webp_lossy_but_for_its_alpha(cutout):
    exact, small = (encode(cutout, "webp", formats=("webp",), quality=quality) for quality in (None, 80))
    assert len(small) < len(exact) / 2
    first, second = (np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).astype(float) for data in (exact, small))
    np.testing.assert_array_equal(first[..., 3], second[..., 3])
    share = first[..., 3:] / 255
    pages = [pixels[..., :3] * share + 255 * (1 - share) for pixels in (first, second)]
    edge = (share[..., 0] > 0) & (share[..., 0] < 1)
    assert np.abs(pages[0] - pages[1])[edge].mean() < 4, "no dark line around the garment"
    assert np.abs(pages[0] - pages[1]).mean() < 1.5


def test_a_lossy_webp_keeps_hidden_pixels_where_they_are_wanted(cutout):
    output = OutputConfig(formats=("webp",), quality=90, hidden="keep")
    pixels = np.asarray(Image.open(io.BytesIO(encode_prepared(Preparation(cutout, output), "webp"))).convert("RGBA"))
    hidden = pixels[..., 3] == 0
    assert np.abs(pixels[..., :3].astype(float) - to_8_bit(cutout.rgb))[hidden].mean() < 4


def test_everything_is_found_again():
    rgb = pixels(60, 40)
    data = jpeg_bytes(
        rgb,
        Metadata(rgb_profile(), (300.2, 239.9), exif_bytes(), xmp_packet()),
        [Resource(2000, "Path 1", b"records"), Resource(2999, "", b"\x06Path 1")],
        quality=95,
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
    written = jpeg_bytes(pixels(), resources=resources, quality=90)
    assert split_resources(jpeg_resources(written)) == resources
    assert decode_photo(written).notes == ()


def test_metadata_longer_than_a_segment_stays_out():
    fits = b"x" * (65_533 - 29)
    assert fits in jpeg_bytes(pixels(), Metadata(xmp=fits), quality=90)
    written = jpeg_bytes(pixels(), Metadata(xmp=fits + b"x", exif=exif_bytes() + bytes(70_000)), quality=90)
    assert decode_photo(written).exif is None


def test_over_65500_pixels_tiff_is_named():
    with pytest.raises(OutputError, match="JPEG ends at 65500 pixels a side, this has 65501; use tiff"):
        jpeg_bytes(np.zeros((1, 65_501, 3), np.uint8), quality=90)


IPTC = b"\x1c\x01\x5a\0\x03\x1b%G\x1c\x02\x50\0\x04Anna\x1c\x02\x19\0\x08SKU 4711\x1c\x02\x74\0\x06(c) Me"


@pytest.mark.parametrize("format", FORMATS)
def test_iptc_travels_where_it_can_and_is_named_where_not(studio, format):
    drawn = studio()
    picture = Cutout(drawn.photo, drawn.alpha, iptc=IPTC)
    data = encode_prepared(Preparation(picture, OutputConfig(formats=(format,))), format)
    notes = lost_metadata(picture.metadata, format)
    if format in ("png", "webp"):
        assert notes == (f"IPTC left out: {format} holds none",)
    else:
        assert notes == ()
    if format in ("jpeg", "tiff"):
        assert decode_photo(data).iptc == IPTC


@pytest.mark.parametrize("format", ["png", "mask", "tiff", "webp", "jpeg"])
@pytest.mark.parametrize("dpi", [70_000, 65_535, 0.3, 300.5])
def test_odd_resolutions_are_found_again(studio, format, dpi):
    drawn = studio()
    data = encode(Cutout.of(Photo(drawn.photo, dpi=(dpi, 72)), drawn.alpha), format, background="white")
    assert decode_photo(data).dpi == pytest.approx((dpi, 72), abs=0.5 if format == "jpeg" and dpi > 1 else 0.02)


def test_exif_too_long_for_jpeg_is_named():
    long = Metadata(exif=exif_bytes() + bytes(70_000))
    assert lost_metadata(long, "jpeg") == ("EXIF of 70 kB left out: jpeg holds 64 kB",)
    assert lost_metadata(long, "png") == ()


def test_of_iptc_a_customer_may_get_the_rights_alone():
    kept = iptc_rights_of(IPTC)
    assert b"Anna" in kept and b"(c) Me" in kept and b"SKU" not in kept
    assert iptc_rights_of(IPTC[:8]) is iptc_rights_of(None) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (9, 1), (37, 53)])
def test_png_read_back_equal(channels, dtype, size_hw):
    array = pixels(*size_hw, channels=channels, dtype=dtype)
    data = png_bytes(array)
    np.testing.assert_array_equal(imagecodecs.png_decode(data), array)
    if dtype == np.uint8 or channels == 1:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), array)


def test_png_of_noise_and_slices():
    noise = np.random.default_rng(0).integers(0, 65536, (40, 60, 4)).astype(np.uint16)
    for array in (noise, noise[::2, ::-1], noise[..., :3]):
        np.testing.assert_array_equal(imagecodecs.png_decode(png_bytes(array)), array)


def test_large_pngs_are_cut_into_several_chunks(monkeypatch):
    monkeypatch.setattr("garmentcut.photo.write._MAX_IDAT_BYTES", 50)
    array = pixels(50, 50)
    data = png_bytes(array)
    assert sum(kind == b"IDAT" for kind, _ in split_png(data)[0]) > 3
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), array)


def test_metadata_of_png():
    profile, exif = rgb_profile(), exif_bytes()
    image = Image.open(io.BytesIO(png_bytes(pixels(), profile=profile, srgb=True, dpi=(300, 72), exif=exif)))
    assert image.info["icc_profile"] == profile
    assert "srgb" not in image.info
    assert image.info["dpi"] == pytest.approx((300, 72), abs=0.02)
    assert image.getexif()[271] == "Camera Maker"
    plain = Image.open(io.BytesIO(png_bytes(pixels(), srgb=True)))
    assert (plain.info["srgb"], plain.info["gamma"]) == (0, 0.45455)
    assert Image.open(io.BytesIO(png_bytes(pixels()))).info == {}
