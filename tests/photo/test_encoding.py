import io
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from garmentcut.config import OutputConfig, ReadConfig
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.encoding import FORMATS, encode_cutout, output_suffix
from garmentcut.photo.jpeg_writer import jpeg_bytes
from garmentcut.photo.photo import Photo, to_8_bit
from garmentcut.photo.psd_read import read_document
from garmentcut.photo.read import decode_photo
from garmentcut.photo.tiff_writer import tiff_bytes
from garmentcut.photo.truth import read_cutout

from .made import exif_bytes, pixels, rgb_profile, xmp_packet


@pytest.fixture(params=[np.uint8, np.uint16])
def cutout(studio, request):
    drawn = studio()
    scale = request.param(np.iinfo(request.param).max // 255)
    photo = Photo(drawn.photo * scale, rgb_profile(), (300, 240), exif_bytes(), xmp=xmp_packet())
    return Cutout.of(photo, drawn.alpha)


def encode(cutout, format, **output):
    return encode_cutout(cutout, format, OutputConfig(**output))


def opened(data):
    return Image.open(io.BytesIO(data))


def array_of(data, format):
    if format == "tiff":
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return file.pages.first.asarray()
    import imagecodecs

    return imagecodecs.png_decode(data) if format == "png" else np.asarray(opened(data))


def test_suffixes_differ():
    assert {output_suffix(format) for format in FORMATS} == {".png", "_mask.png", ".webp", ".tif", ".psd", ".jpg"}


@pytest.mark.parametrize("format", ["png", "tiff", "webp"])
@pytest.mark.parametrize("hidden", ["keep", "clear", "auto"])
def test_pixels_of_each_format(cutout, format, hidden):
    found = array_of(encode(cutout, format, hidden=hidden), format)
    keeps = hidden == "keep" or (hidden == "auto" and format == "tiff")
    expected = (cutout if keeps else cutout.cleaned).rgba()
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
    data = tiff_bytes(array, profile=rgb_profile(), dpi=(300, 240), exif=exif_bytes())
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
    data = tiff_bytes(array, profile=None, dpi=None, exif=None)
    np.testing.assert_array_equal(decode_photo(data).rgb, array)


def test_a_quality_makes_webp_lossy_but_for_its_alpha(cutout):
    exact, small = (
        encode_cutout(cutout, "webp", OutputConfig(formats=("webp",), quality=quality)) for quality in (None, 80)
    )
    assert len(small) < len(exact) / 2
    first, second = (np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).astype(float) for data in (exact, small))
    np.testing.assert_array_equal(first[..., 3], second[..., 3])
    share = first[..., 3:] / 255
    pages = [pixels[..., :3] * share + 255 * (1 - share) for pixels in (first, second)]
    rim = (share[..., 0] > 0) & (share[..., 0] < 1)
    assert np.abs(pages[0] - pages[1])[rim].mean() < 4, "no dark line around the garment"
    assert np.abs(pages[0] - pages[1]).mean() < 1.5


def test_a_lossy_webp_keeps_hidden_pixels_where_they_are_wanted(cutout):
    output = OutputConfig(formats=("webp",), quality=90, hidden="keep")
    pixels = np.asarray(Image.open(io.BytesIO(encode_cutout(cutout, "webp", output))).convert("RGBA"))
    hidden = pixels[..., 3] == 0
    assert np.abs(pixels[..., :3].astype(float) - to_8_bit(cutout.rgb))[hidden].mean() < 4
