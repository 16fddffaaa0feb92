import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from garmentcut.photo.photo import PhotoError
from garmentcut.photo.png import png_bytes
from garmentcut.photo.read import decode_photo, read_profile

from .made import (
    chunk,
    cmyk_profile,
    encoded,
    exif,
    exif_bytes,
    gray_profile,
    pixels,
    png_of_header,
    rgb_profile,
    tiff,
    with_chunks,
)
from .made_cutout import add_layer, layered, psd_bytes, put

ENCODERS = {
    "JPEG": lambda array, tags: encoded(array, "JPEG", quality=95, subsampling=0, exif=tags),
    "PNG": lambda array, tags: encoded(array, "PNG", exif=tags),
    "WEBP": lambda array, tags: encoded(array, "WEBP", lossless=True, exif=tags),
    "TIFF": lambda array, tags: tiff(array, extratags=[(274, "H", 1, tags[274], True)]),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ENCODERS)
def test_orientation_is_applied_as_pillow_applies_it(format, orientation):
    stored = np.repeat(np.repeat(pixels(4, 6), 8, axis=0), 8, axis=1)
    data = ENCODERS[format](stored, exif(orientation))
    truth = ENCODERS["PNG"](stored, exif(orientation)) if format == "TIFF" else data  # Pillow's TIFF turns by itself
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(truth))).convert("RGB"))
    photo = decode_photo(data)
    assert photo.rgb.flags.c_contiguous
    assert np.abs(photo.rgb.astype(int) - upright).max() <= (1 if format == "JPEG" else 0)
    if photo.exif:
        assert Image.open(io.BytesIO(png_bytes(photo.rgb, exif=photo.exif))).getexif()[274] == 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_dpi_turns_with_the_photo(orientation):
    expected = (300, 150) if orientation < 5 else (150, 300)
    tags = exif(orientation)
    files = [
        encoded(pixels(), "JPEG", dpi=(300, 150), exif=tags),
        encoded(pixels(), "PNG", dpi=(300, 150), exif=tags),
        encoded(pixels(), "WEBP", exif=exif(orientation, dpi=(300, 150))),
        tiff(pixels(), resolution=(300, 150), resolutionunit="INCH", extratags=[(274, "H", 1, orientation, True)]),
    ]
    for data in files:
        assert decode_photo(data).dpi == pytest.approx(expected, abs=0.02)


def test_dpi_is_none_where_the_file_does_not_say():
    no_jfif = bytearray(encoded(pixels(), "JPEG", exif=exif()))
    assert decode_photo(bytes(no_jfif)).dpi is None, "Pillow would make up 72"
    for format in ("PNG", "WEBP"):
        assert decode_photo(encoded(pixels(), format)).dpi is None
    assert decode_photo(with_chunks(encoded(pixels(), "PNG"), chunk(b"pHYs", bytes(9)))).dpi is None


def test_dpi_of_exif_counts_where_the_jpeg_header_has_none():
    data = encoded(pixels(), "JPEG", exif=exif(dpi=(240, 240)))
    assert decode_photo(data).dpi == (240, 240)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "RGBA", "PA"])
def test_png_of_each_mode_reads_as_pillow_reads_it(mode):
    image = Image.fromarray(pixels()).convert("P" if mode == "PA" else mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(pixels(channels=1)))
    key = {"transparency": int(np.asarray(image)[0, 0])} if mode == "PA" else {}
    data = encoded(image, "PNG", **key)
    photo = decode_photo(data)
    white = Image.new("RGBA", image.size, "white")
    laid = np.asarray(Image.alpha_composite(white, Image.open(io.BytesIO(data)).convert("RGBA")).convert("RGB"))
    assert np.abs(photo.rgb.astype(int) - laid).max() <= 1
    assert photo.notes == (("transparent parts laid on white",) if mode in ("LA", "RGBA", "PA") else ())


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (10, 200, 30))])
def test_png_colour_key_is_laid_on_white(mode, key):
    array = np.full((4, 5) if mode == "L" else (4, 5, 3), key, np.uint8)
    photo = decode_photo(encoded(array, "PNG", transparency=key))
    assert (photo.rgb == 255).all()


def test_opaque_rgba_loses_nothing_and_says_nothing():
    array = np.dstack([pixels(), np.full((12, 20), 255, np.uint8)])
    for format in ("PNG", "WEBP"):
        photo = decode_photo(encoded(array, format, **({"lossless": True} if format == "WEBP" else {})))
        np.testing.assert_array_equal(photo.rgb, array[..., :3])
        assert photo.notes == ()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_is_exact(channels):
    array = pixels(channels=channels, dtype=np.uint16)
    if channels in (2, 4):
        array[..., -1] = 65535
    photo = decode_photo(png_bytes(array))
    assert photo.rgb.dtype == np.uint16
    color = array[..., None] if channels == 1 else array[..., : channels - 1 if channels % 2 == 0 else channels]
    np.testing.assert_array_equal(photo.rgb, np.broadcast_to(color, (12, 20, 3)))


def test_16_bit_transparency_by_hand():
    array = np.array([[[1000, 2000, 3000, 0], [1000, 2000, 3000, 65535], [0, 30000, 65535, 32768]]], np.uint16)
    photo = decode_photo(png_bytes(array))
    half = [round((value * 32768 + 65535 * 32767) / 65535) for value in (0, 30000, 65535)]
    assert photo.rgb.tolist() == [[[65535] * 3, [1000, 2000, 3000], half]]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"keep_rgb": True}, {"subsampling": 2}])
def test_jpeg_of_each_kind(options):
    data = encoded(pixels(64, 80), "JPEG", quality=95, **options)
    assert np.abs(decode_photo(data).rgb.astype(int) - np.asarray(Image.open(io.BytesIO(data)))).max() <= 1


def test_gray_jpeg():
    data = encoded(pixels(channels=1), "JPEG", quality=95)
    photo = decode_photo(data)
    assert photo.rgb.shape == (12, 20, 3)
    np.testing.assert_array_equal(photo.rgb[..., 1], np.asarray(Image.open(io.BytesIO(data))))


def test_cmyk_jpeg_by_its_profile_or_not_at_all():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    photo = decode_photo(encoded(red, "JPEG", icc_profile=cmyk_profile()))
    assert photo.notes == ("CMYK converted to sRGB",)
    assert photo.profile is None
    red_level, green_level, blue_level = photo.rgb[8, 8]
    assert red_level > 150
    assert max(green_level, blue_level) < 80
    for profile in (None, rgb_profile(), b"junk" * 50):
        with pytest.raises(PhotoError, match=r"CMYK without a usable CMYK profile.*convert it to RGB"):
            decode_photo(encoded(red, "JPEG", icc_profile=profile))


def test_mpo_gives_the_camera_photo_not_its_preview():
    preview = Image.fromarray(pixels(6, 10))
    data = encoded(Image.fromarray(pixels(48, 80)), "MPO", save_all=True, append_images=[preview], exif=exif(6))
    assert Image.open(io.BytesIO(data)).format == "MPO"
    photo = decode_photo(data)
    assert photo.rgb.shape == (80, 48, 3)
    assert b"Camera Maker" in photo.exif


def test_metadata_behind_the_png_pixels_counts():
    png = encoded(pixels(), "PNG")
    data = png[:-12] + chunk(b"eXIf", exif_bytes(6)) + png[-12:]
    photo = decode_photo(data)
    assert photo.rgb.shape == (20, 12, 3)
    assert b"Camera Maker" in photo.exif


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_profile_is_kept_byte_for_byte(format):
    profile = rgb_profile()
    assert decode_photo(encoded(pixels(), format, icc_profile=profile)).profile == profile


@pytest.mark.parametrize("broken", [b"junk" * 100, rgb_profile()[:200], gray_profile()])
def test_a_profile_that_cannot_be_used_is_dropped_with_a_note(broken):
    photo = decode_photo(encoded(pixels(), "JPEG", icc_profile=broken))
    assert photo.profile is None
    assert "colour profile" in photo.notes[0]
    assert "dropped: read as sRGB" in photo.notes[0]


@pytest.mark.parametrize("junk", [b"junk", b"II*\0\xff\xff\xff\xff", exif_bytes(6)[:40], exif_bytes()[:-30]])
def test_damaged_exif_never_costs_the_photo(junk, capfd):
    for data in (
        with_chunks(encoded(pixels(), "PNG"), chunk(b"eXIf", junk)),
        encoded(pixels(), "JPEG", exif=b"Exif\0\0" + junk),
    ):
        photo = decode_photo(data)
        assert photo.rgb.size == 12 * 20 * 3
    assert capfd.readouterr() == ("", "")


def test_odd_but_readable_png_chunks_are_not_talked_about(capfd, recwarn):
    odd = chunk(b"sRGB", b"\7"), chunk(b"pHYs", b"12345678\1"), chunk(b"iCCP", b"x\0\0junk"), chunk(b"eXIf", b"hello")
    for extra in odd:
        try:
            decode_photo(with_chunks(encoded(pixels(), "PNG"), extra))
        except PhotoError as error:
            assert "damaged" in str(error)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_header_that_lies_about_the_size_is_damage():
    webp = bytearray(encoded(Image.fromarray(pixels()), "WEBP", lossless=True, exif=exif()))
    webp[24:27] = (40).to_bytes(3, "little")
    with pytest.raises(PhotoError, match=r"damaged|export it again"):
        decode_photo(bytes(webp))
    with pytest.raises(PhotoError, match="damaged"):
        decode_photo(png_of_header(100, 100, idat=b""))


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
