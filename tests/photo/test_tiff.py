import io
import logging
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from garmentcut.errors import PhotoError
from garmentcut.photo.photo import turn_upright
from garmentcut.photo.read import decode_photo

from .made import cmyk_profile, encoded, exif, gray_profile, patched, pixels, rgb_profile, tiff, xmp_packet

OPAQUE = 65535


def rgba16():
    array = pixels(channels=4, dtype=np.uint16)
    array[..., 3] = OPAQUE
    return array


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib"},
        {"compression": "packbits"},
        {"compression": "zstd", "predictor": True},
        {"tile": (16, 16), "compression": "zlib"},
        {"tile": (16, 16)},
        {"rowsperstrip": 5},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "lzw", "predictor": True},
        {"bigtiff": True},
    ],
)
def test_every_layout_is_exact(options, dtype):
    array = pixels(37, 53, dtype=dtype)
    photo = decode_photo(tiff(array, **options))
    assert photo.rgb.dtype == dtype
    assert photo.rgb.dtype.isnative
    assert photo.rgb.flags.c_contiguous
    np.testing.assert_array_equal(photo.rgb, array)
    assert photo.notes == ()


def test_big_endian_bigtiff_is_turned():
    array = pixels()
    photo = decode_photo(tiff(array, bigtiff=True, byteorder=">", extratags=[(274, "H", 1, 3, True)]))
    np.testing.assert_array_equal(photo.rgb, array[::-1, ::-1])
    assert photo.notes == ()


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"tile": (16, 16)}])
def test_separate_planes_are_exact(options):
    array = pixels(37, 53)
    photo = decode_photo(tiff(np.moveaxis(array, -1, 0), planarconfig="separate", **options))
    np.testing.assert_array_equal(photo.rgb, array)


def test_jpeg_in_tiff_is_rgb():
    array = np.full((32, 32, 3), (200, 30, 60), np.uint8)
    files = [tiff(array, compression="jpeg", compressionargs={"level": 95})]
    files.append(tiff(array, compression="jpeg", tile=(16, 16), compressionargs={"level": 95}))
    files.append(tiff(array, compression="jpeg", rowsperstrip=8, compressionargs={"level": 95}))
    files += [encoded(Image.fromarray(array).convert(mode), "TIFF", compression="jpeg") for mode in ("RGB", "YCbCr")]
    for data in files:
        assert np.abs(decode_photo(data).rgb.astype(int) - array).max() <= 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_straight_and_premultiplied_alpha_give_the_same_picture(dtype):
    top = np.iinfo(dtype).max
    straight = pixels(channels=4, dtype=dtype)
    straight[0, 0, 3], straight[0, 1, 3] = 0, top
    share = straight[..., 3:].astype(np.float64) / top
    premultiplied = np.dstack([np.rint(straight[..., :3] * share).astype(dtype), straight[..., 3]])
    laid = np.rint(straight[..., :3] * share + top * (1 - share))
    for array, kind in ((straight, "unassalpha"), (premultiplied, "assocalpha")):
        photo = decode_photo(tiff(array, extrasamples=[kind]))
        assert np.abs(photo.rgb - laid).max() <= 1
        assert photo.notes == ("transparent parts laid on white",)


def test_16_bit_opaque_alpha_is_exact():
    array = rgba16()
    np.testing.assert_array_equal(decode_photo(tiff(array, extrasamples=["unassalpha"])).rgb, array[..., :3])


def test_a_saved_photoshop_channel_is_no_transparency():
    array = pixels(channels=4)
    photo = decode_photo(tiff(array, extrasamples=["unspecified"]))
    np.testing.assert_array_equal(photo.rgb, array[..., :3])
    assert photo.notes == ("saved channels left out",)


def test_alpha_is_found_behind_a_saved_channel():
    array = pixels(channels=5)
    array[..., 4] = 0
    photo = decode_photo(tiff(array, extrasamples=["unspecified", "unassalpha"]))
    assert (photo.rgb == 255).all()
    assert photo.notes == ("transparent parts laid on white", "saved channels left out")


def test_gray_and_inverted_gray():
    for dtype in (np.uint8, np.uint16):
        gray = pixels(channels=1, dtype=dtype)
        for photometric, array in (("minisblack", gray), ("miniswhite", np.iinfo(dtype).max - gray)):
            photo = decode_photo(tiff(array, photometric=photometric))
            np.testing.assert_array_equal(photo.rgb, np.repeat(gray[..., None], 3, axis=2))


def test_one_bit():
    gray = pixels(channels=1) > 100
    for photometric in ("minisblack", "miniswhite"):
        photo = decode_photo(tiff(gray if photometric == "minisblack" else ~gray, photometric=photometric))
        np.testing.assert_array_equal(photo.rgb[..., 0], gray * np.uint8(255))


@pytest.mark.parametrize("scale", [257, 1])
def test_palette_also_one_with_8_bit_levels(scale):
    levels = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 7)]).astype(np.uint16)
    indices = pixels(channels=1)
    photo = decode_photo(tiff(indices, photometric="palette", colormap=levels * np.uint16(scale)))
    np.testing.assert_array_equal(photo.rgb, np.moveaxis(levels, 0, -1)[indices])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_by_its_profile_with_and_without_alpha(dtype):
    top = np.iinfo(dtype).max
    ink = np.zeros((6, 7, 5), dtype)
    ink[..., 1:3], ink[..., 4] = top, top
    ink[0, 0, 4] = 0
    data = tiff(ink[..., :4], photometric="separated", iccprofile=cmyk_profile())
    red, green, blue = decode_photo(data).rgb[1, 1]
    assert (red > 150, green < 80, blue < 80) == (True, True, True)
    data = tiff(ink, photometric="separated", extrasamples=["unassalpha"], iccprofile=cmyk_profile())
    photo = decode_photo(data)
    assert photo.rgb[0, 0].tolist() == [255, 255, 255]
    assert photo.rgb[1, 1].tolist() == [red, green, blue]
    assert set(photo.notes) == {"CMYK converted to sRGB", "transparent parts laid on white"}
    photo = decode_photo(tiff(ink[..., :4], photometric="separated"))
    assert (photo.rgb[1, 1].tolist(), photo.notes) == (
        [255, 0, 0],
        ("CMYK without a usable profile: colours are approximate",),
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: tiff(pixels().astype(np.float32)), "floats from 26 to 216, where 0 to 1 is black to white"),
        (lambda: tiff(pixels().astype(np.uint32)), "32-bit integers.*8 or 16 bits"),
        (lambda: tiff(pixels().astype(np.int16)), "16-bit signed integers.*8 or 16 bits"),
        (lambda: tiff(pixels(), photometric="itulab"), "this ITULAB TIFF.*convert it to RGB"),
        (lambda: tiff(pixels(), photometric="ycbcr"), "YCBCR TIFF with compression NONE.*RGB"),
        (lambda: tiff(pixels(), compression="jpeg2000"), "compression .*LZW or ZIP"),
        (lambda: patched(tiff(pixels(channels=1), photometric="minisblack"), 262, 32803), "camera raw.*develop"),
        (lambda: tiff(pixels(), extratags=[(50706, "B", 4, (1, 4, 0, 0), True)]), "camera raw.*develop"),
        (lambda: tiff(pixels(channels=4), photometric="separated", extratags=[(332, "H", 1, 2, True)]), "inks"),
        (lambda: b"II*\0\x10\0\0\0CR\2\0" + bytes(100), "camera raw"),
    ],
)
def test_kinds_not_read_are_refused_by_name(data, message):
    with pytest.raises(PhotoError, match=message):
        decode_photo(data())


def _pages(*pages):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for array, options in pages:
            writer.write(array, photometric="rgb", metadata=None, **options)
    return file.getvalue()


@pytest.mark.parametrize("thumbnail_first", [False, True])
def test_thumbnail_pages_are_passed_over(thumbnail_first):
    full = (
        pixels(40, 60),
        {"resolution": (300, 300), "resolutionunit": "INCH", "extratags": [(271, "s", 0, "Full", True)]},
    )
    small = (pixels(4, 6), {"subfiletype": 1, "extratags": [(271, "s", 0, "Small", True)]})
    photo = decode_photo(_pages(*((small, full) if thumbnail_first else (full, small))))
    np.testing.assert_array_equal(photo.rgb, full[0])
    assert photo.dpi == (300, 300)
    assert b"Full" in photo.exif
    assert b"Small" not in photo.exif


def test_several_full_pages_are_refused():
    page = (pixels(), {})
    with pytest.raises(PhotoError, match="2 full-size pages; save the one you want"):
        decode_photo(_pages(page, page))
    with pytest.raises(PhotoError, match="over 16 pages"):
        decode_photo(_pages(*[page] * 30))


def test_pages_in_a_circle():
    data = bytearray(tiff(pixels()))
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * entries, start)
    with pytest.raises(PhotoError):
        decode_photo(bytes(data))


def test_metadata_is_kept():
    profile = rgb_profile()
    file = io.BytesIO()
    Image.fromarray(pixels()).save(file, "TIFF", icc_profile=profile, dpi=(300, 300), exif=exif().tobytes())
    photo = decode_photo(file.getvalue())
    assert photo.profile == profile
    assert photo.dpi == (300, 300)
    tags = Image.Exif()
    tags.load(photo.exif)
    assert tags[271] == "Camera Maker"
    assert tags.get_ifd(0x8769)[0x8827] == 200
    assert tags.get_ifd(0x8825)[2] == (59, 54, 0)


def test_resolution_in_centimetres():
    data = tiff(pixels(), resolution=(100, 50), resolutionunit="CENTIMETER")
    assert decode_photo(data).dpi == pytest.approx((254, 127))


def test_odd_tags_neither_fail_nor_talk(capfd):
    extra = [(274, "s", 0, "sideways", True), (34675, "I", 1, 4_000_000_000, True), (296, "H", 1, 77, True)]
    photo = decode_photo(tiff(pixels(), extratags=extra))
    np.testing.assert_array_equal(photo.rgb, pixels())
    assert photo.dpi is None
    assert logging.getLogger("tifffile").hasHandlers()
    assert capfd.readouterr() == ("", "")


def test_a_gray_profile_counts_at_8_and_at_16_bits():
    gray = pixels(60, 80, channels=1)
    small, large = (
        decode_photo(tiff(levels, photometric="minisblack", iccprofile=gray_profile(1.0)))
        for levels in (gray, gray * np.uint16(257))
    )
    assert (small.rgb.dtype, large.rgb.dtype, large.notes, large.profile) == (np.uint8, np.uint16, (), None)
    assert np.abs(small.rgb.astype(int) - np.rint(large.rgb / 257)).max() <= 1
    light = gray / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 65_535
    assert np.abs(large.rgb[..., 0] - expected).max() < 65_535 / 255


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["cielab", "icclab"])
def test_cielab(kind, bits):
    """Against what Little CMS makes of the same colours."""
    lab = np.array([[[0, 0, 0], [100, 0, 0], [53.4, 0, 0], [54.3, 80.8, 69.9], [87.8, -79.3, 81], [29.6, 68.3, -112]]])
    top = 255 if bits == 8 else 65_535 if kind == "cielab" else 65_280
    scale = 1 if bits == 8 else 256
    offset = 128 * scale if kind == "icclab" else 0
    stored = np.rint(lab * (top / 100, scale, scale) + (0, offset, offset)).astype(np.int64)
    data = tiff((stored % 2**bits).astype(f"u{bits // 8}").repeat(4, axis=0), photometric=kind)
    photo = decode_photo(data)
    assert (photo.rgb.dtype, photo.notes) == (np.uint16, ("CIELAB converted to sRGB",))
    expected = [(0, 0, 0), (255, 255, 255), (127, 127, 127), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert np.abs(photo.rgb[0] / 257 - expected).max() < (12 if bits == 8 else 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_floats_from_0_to_1(dtype, channels):
    levels = pixels(40, 30, channels=channels) / 255
    data = tiff(levels.astype(dtype), photometric="rgb" if channels == 3 else "minisblack")
    photo = decode_photo(data)
    assert (photo.rgb.dtype, photo.notes) == (np.uint16, ())
    expected = levels if channels == 3 else levels[..., None].repeat(3, axis=2)
    assert np.abs(photo.rgb / 65_535 - expected).max() < 1e-3
    levels[3, 3], levels[5, 5] = 1.5, -0.1
    photo = decode_photo(tiff(levels.astype(dtype), photometric="rgb" if channels == 3 else "minisblack"))
    assert photo.notes == ("values beyond black and white cut off",)
    assert (photo.rgb[3, 3] == 65_535).all() and (photo.rgb[5, 5] == 0).all()
    levels[0, 0] = np.nan
    with pytest.raises(PhotoError, match="floats from nan to nan"):
        decode_photo(tiff(levels.astype(dtype), photometric="rgb" if channels == 3 else "minisblack"))


def test_an_unflagged_thumbnail_is_passed_over():
    array = pixels(60, 40)
    for order in (1, -1):
        photo = decode_photo(_pages(*((array, {}), (array[::4, ::4], {}))[::order]))
        np.testing.assert_array_equal(photo.rgb, array)


def test_a_photo_behind_its_thumbnail():
    file = io.BytesIO()
    array = pixels(60, 40)
    with tifffile.TiffWriter(file) as writer:
        writer.write(array[::4, ::4], photometric="rgb", metadata=None, subifds=1, subfiletype=1)
        writer.write(array, photometric="rgb", metadata=None, subfiletype=0)
    np.testing.assert_array_equal(decode_photo(file.getvalue()).rgb, array)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_orientation_that_only_xmp_states(orientation):
    packet = xmp_packet(orientation)
    array = pixels(30, 20)
    photo = decode_photo(tiff(array, extratags=[(700, "B", len(packet), packet, True)]))
    np.testing.assert_array_equal(photo.rgb, turn_upright(array, orientation))
    both = [(700, "B", len(packet), packet, True), (274, "H", 1, 1, True)]
    np.testing.assert_array_equal(decode_photo(tiff(array, extratags=both)).rgb, array)
