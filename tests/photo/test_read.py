import base64
import io
import struct
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError
from garmentcut.photo.color import made_profile, srgb_of
from garmentcut.photo.metadata import Resource, join_resources
from garmentcut.photo.photo import NO_METADATA, Metadata
from garmentcut.photo.read import decode_photo, split_png
from garmentcut.photo.write import jpeg_bytes, png_bytes

from .made import (
    chunk,
    cmyk_profile,
    encoded,
    exif,
    exif_bytes,
    gray_profile,
    interoperable,
    pixels,
    png_of_header,
    rgb_profile,
    tiff,
    with_chunks,
    xmp_packet,
)

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


def test_dpi_of_exif_counts_where_the_formats_own_field_is_zero():
    jpeg = encoded(pixels(), "JPEG", dpi=(72, 72), exif=exif(dpi=(240, 240)))
    unit = jpeg.index(b"JFIF\0") + 7
    zero = jpeg[:unit] + b"\1" + bytes(4) + jpeg[unit + 5 :]
    png = with_chunks(encoded(pixels(), "PNG", exif=exif(dpi=(240, 240))), chunk(b"pHYs", bytes(8) + b"\1"))
    assert [decode_photo(data).dpi for data in (zero, png)] == [(240, 240)] * 2


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


def test_cmyk_jpeg_by_its_profile_or_as_viewers_do_it():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    photo = decode_photo(encoded(red, "JPEG", icc_profile=cmyk_profile()))
    assert photo.notes == ("CMYK converted to sRGB",)
    assert photo.profile is None
    red_level, green_level, blue_level = photo.rgb[8, 8]
    assert red_level > 150
    assert max(green_level, blue_level) < 80
    for profile in (None, rgb_profile(), b"junk" * 50):
        photo = decode_photo(encoded(red, "JPEG", icc_profile=profile))
        assert np.abs(photo.rgb[8, 8].astype(int) - (255, 0, 0)).max() <= 2
        assert photo.notes == ("CMYK without a usable profile: colours are approximate",)


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
    odd = {
        b"sRGB": b"\7",
        b"pHYs": b"12345678\1",
        b"iCCP": b"x\0\0junk",
        b"eXIf": b"hello",
        b"gAMA": b"\1",
        b"cHRM": b"",
        b"zTXt": b"a\0\7junk",
        b"iTXt": b"a\0\1\0\0\0junk",
        b"tIME": b"",
        b"bKGD": b"",
    }
    for kind, content in [*odd.items(), (b"pHYs", b"1")]:
        photo = decode_photo(with_chunks(encoded(pixels(), "PNG"), chunk(kind, content)))
        np.testing.assert_array_equal(photo.rgb, pixels())
    decode_photo(with_chunks(encoded(Image.fromarray(pixels()).convert("LA"), "PNG"), chunk(b"tRNS", b"\0\5")))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_an_interlaced_png_is_not_talked_about(capfd):
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [pixels()[y::down, x::across] for x, y, across, down in passes]
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for part in parts for row in part))
    header = struct.pack(">IIBBBBB", 20, 12, 8, 2, 0, 0, 1)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode_photo(data).rgb, pixels())
    assert capfd.readouterr() == ("", "")


def test_a_profile_of_some_megabytes_counts():
    """As scanners write them, with a table; Pillow reads up to one."""
    profile = rgb_profile() + np.random.default_rng(0).bytes(3_000_000)
    packed = chunk(b"iCCP", b"a\0\0" + zlib.compress(profile))
    assert decode_photo(with_chunks(encoded(pixels(), "PNG"), packed)).profile == profile


def test_a_profile_of_which_a_part_is_missing_costs_itself():
    whole = jpeg_photo(quality=90)
    part = b"ICC_PROFILE\0\1\2" + bytes(100)
    photo = decode_photo(whole[:2] + b"\xff\xe2" + struct.pack(">H", 2 + len(part)) + part + whole[2:])
    np.testing.assert_array_equal(photo.rgb, decode_photo(whole).rgb)
    assert [note.flag for note in photo.notes] == ["profile_dropped"]


def test_header_that_lies_about_the_size_is_damage():
    webp = bytearray(encoded(Image.fromarray(pixels()), "WEBP", lossless=True, exif=exif()))
    webp[24:27] = (40).to_bytes(3, "little")
    with pytest.raises(PhotoError, match=r"damaged|export it again"):
        decode_photo(bytes(webp))
    with pytest.raises(PhotoError, match="damaged"):
        decode_photo(png_of_header(100, 100, idat=b""))


def scan_of(data):
    """Where the first scan's header ends."""
    start = data.index(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4])


def jpeg_photo(**options):
    return encoded(np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8), "JPEG", **options)


@pytest.mark.parametrize("junk", [b"\0", b"\x12\x34\x56", bytes(3000), b"trailer of a camera " * 40])
def test_stray_bytes_behind_a_jpegs_pixels_cost_nothing(junk):
    data = jpeg_photo(quality=90)
    photo = decode_photo(data[:-2] + junk + data[-2:])
    np.testing.assert_array_equal(photo.rgb, decode_photo(data).rgb)
    assert all("stray bytes after the pixels ignored" in note for note in photo.notes)


def test_a_wrong_scan_header_costs_nothing():
    data = jpeg_photo(quality=90)
    end = scan_of(data)
    wrong = data[: end - 3] + bytes(3) + data[end:]
    photo = decode_photo(wrong)
    np.testing.assert_array_equal(photo.rgb, decode_photo(data).rgb)
    assert photo.notes == ("a wrong scan header ignored",)
    both = decode_photo(wrong[:-2] + bytes(9) + wrong[-2:])
    assert len(both.notes) == 2


def test_lost_pixels_are_damage_whatever_else_is_wrong():
    data = jpeg_photo(quality=90)
    end, middle = scan_of(data), len(data) // 2
    for wrong in (
        data[:middle] + data[-2:],
        data[:middle] + np.random.default_rng(1).bytes(300).replace(b"\xff", b"x") + data[middle + 300 :],
        data[: end - 3] + bytes(3) + data[end:middle] + data[-2:],
    ):
        with pytest.raises(PhotoError, match="damaged or unreadable"):
            decode_photo(wrong)


def test_a_jpeg_of_12_bits_is_named():
    data = bytearray(jpeg_photo())
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(PhotoError, match=r"a JPEG of 12 bits; save it with 8 bits, or with 16 as PNG or TIFF"):
        decode_photo(bytes(data))


def test_a_lossless_jpeg_is_named():
    for data in (imagecodecs.jpegls_encode(pixels()), jpeg_photo().replace(b"\xff\xc0", b"\xff\xc3", 1)):
        with pytest.raises(PhotoError, match="a lossless JPEG") as refused:
            decode_photo(data)
        assert refused.value.code == "unsupported"


def test_a_wrong_checksum_in_a_text_costs_the_text():
    wrong = bytearray(chunk(b"tEXt", b"Comment\0dress"))
    wrong[-1] ^= 1
    photo = decode_photo(with_chunks(png_bytes(pixels()), bytes(wrong)))
    np.testing.assert_array_equal(photo.rgb, pixels())
    assert photo.notes == ("the damaged 'tEXt' part left out",)


def test_an_animation_of_one_frame_is_a_picture():
    control = chunk(b"acTL", struct.pack(">II", 1, 0))
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 20, 12, 0, 0, 1, 10, 0, 0))
    photo = decode_photo(with_chunks(png_bytes(pixels()), control, frame))
    np.testing.assert_array_equal(photo.rgb, pixels())
    with pytest.raises(PhotoError, match="animated"):
        decode_photo(with_chunks(png_bytes(pixels()), chunk(b"acTL", struct.pack(">II", 2, 0)), frame))


PRIMARIES = {"srgb": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06), "adobe": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)}


def chromaticities(name):
    return chunk(b"cHRM", struct.pack(">8I", *(round(1e5 * value) for value in (0.3127, 0.329, *PRIMARIES[name]))))


def gamma_of(value):
    return chunk(b"gAMA", struct.pack(">I", round(1e5 * value)))


def shown(photo):
    """As a screen of sRGB shows it."""
    return srgb_of(photo.rgb, photo.profile).astype(int)


def test_a_gamma_of_its_own_counts():
    photo = decode_photo(with_chunks(png_bytes(pixels()), gamma_of(1.0)))
    light = pixels() / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(shown(photo) - expected).max() <= 2
    np.testing.assert_array_equal(photo.rgb, pixels())
    assert png_bytes(photo.rgb, profile=photo.profile, srgb=photo.profile is None).count(b"iCCP") == 1


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [gamma_of(0.45455)],
        [gamma_of(0.45455), chromaticities("srgb")],
        [chromaticities("srgb")],
        [chunk(b"sRGB", b"\0"), gamma_of(1.0), chromaticities("adobe")],
        [chunk(b"cICP", bytes((1, 13, 0, 1))), gamma_of(1.0)],
    ],
)
def test_what_says_srgb_is_srgb(chunks):
    assert decode_photo(with_chunks(png_bytes(pixels()), *chunks)).profile is None


@pytest.mark.parametrize("way", ["cHRM", "EXIF", "interoperability"])
def test_adobe_rgb_however_it_is_said(way):
    by_profile = decode_photo(png_bytes(pixels(), profile=made_profile((0.3127, 0.329), PRIMARIES["adobe"], 563 / 256)))
    tags = exif()
    tags[0x8769] = {0xA001: 2}
    photo = {
        "cHRM": lambda: decode_photo(with_chunks(png_bytes(pixels()), gamma_of(256 / 563), chromaticities("adobe"))),
        "EXIF": lambda: decode_photo(png_bytes(pixels(), exif=tags.tobytes().removeprefix(b"Exif\0\0"))),
        "interoperability": lambda: decode_photo(png_bytes(pixels(), exif=interoperable(b"R03\0"))),
    }[way]()
    assert np.abs(shown(photo) - pixels()).max() > 10
    assert np.abs(shown(photo) - shown(by_profile)).max() <= 1


def test_which_statement_counts_first():
    cicp, p3 = (
        chunk(b"cICP", bytes((12, 13, 0, 1))),
        made_profile((0.3127, 0.329), (0.68, 0.32, 0.265, 0.69, 0.15, 0.06), "srgb"),
    )
    assert decode_photo(with_chunks(png_bytes(pixels()), cicp)).profile == p3
    assert decode_photo(with_chunks(png_bytes(pixels()), cicp, gamma_of(1.0), chromaticities("adobe"))).profile == p3
    assert decode_photo(with_chunks(png_bytes(pixels(), profile=rgb_profile()), cicp)).profile == rgb_profile()
    with pytest.raises(PhotoError, match="HDR"):
        decode_photo(with_chunks(png_bytes(pixels()), chunk(b"cICP", bytes((9, 16, 0, 1)))))


def test_avif():
    photo = decode_photo(encoded(pixels(64, 48), "AVIF", quality=100, subsampling="4:4:4", exif=exif(6)))
    assert photo.rgb.shape == (48, 64, 3)
    assert np.abs(photo.rgb.astype(int) - np.rot90(pixels(64, 48), -1)).max() <= 6
    assert b"Camera Maker" in photo.exif
    damaged = encoded(pixels(64, 48), "AVIF")[:300]
    with pytest.raises(PhotoError):
        decode_photo(damaged)


@pytest.mark.parametrize(
    "data",
    [png_of_header(900, 900, depth=16, color_type=6), tiff(np.zeros((200, 200, 20), np.uint8), extrasamples=[0] * 17)],
)
def test_more_memory_than_there_is(data):
    with pytest.raises(PhotoError, match=r"GB of memory, and one photo may take .*read.max_memory_mb") as refusal:
        decode_photo(data, limits=ReadConfig(max_memory_mb=1, max_megapixels=100))
    assert refusal.value.code == "no_memory"


def iptc_records(**records):
    numbers = {"byline": 80, "copyright": 116, "keyword": 25}
    return b"\x1c\x01\x5a\0\x03\x1b%G" + b"".join(
        b"\x1c\x02" + bytes([numbers[name]]) + len(text).to_bytes(2) + text for name, text in records.items()
    )


def test_iptc_is_read_from_every_format():
    iptc = iptc_records(byline=b"Anna", keyword=b"SKU 4711")
    resources = join_resources([Resource(1028, "", iptc)])
    hexadecimal = f"\niptc\n{len(resources):8}\n{resources.hex()}\n".encode()
    for data in (
        jpeg_bytes(pixels(), NO_METADATA, [Resource(1028, "", iptc)], quality=90),
        tiff(pixels(), extratags=[(34377, "B", len(resources), resources, True)]),
        tiff(pixels(), extratags=[(33723, "B", len(iptc), iptc, True)]),
        with_chunks(png_bytes(pixels()), chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(hexadecimal))),
    ):
        assert decode_photo(data).iptc == iptc
    damaged = decode_photo(jpeg_bytes(pixels(), NO_METADATA, [Resource(1028, "", iptc[:-3])], quality=90))
    assert (damaged.iptc, damaged.notes) == (iptc_records(byline=b"Anna"), ("damaged IPTC left out",))


def test_xmp_longer_than_a_jpegs_segment():
    long = xmp_packet().replace(b"<dc:creator>", b"<dc:source>" + b"x" * 150_000 + b"</dc:source><dc:creator>")
    photo = decode_photo(jpeg_bytes(pixels(), Metadata(xmp=long), quality=90))
    assert b"x" * 150_000 in photo.xmp and "Åse Ødegård".encode() in photo.xmp
    assert b"HasExtendedXMP" not in photo.xmp
    assert photo.notes == ()


HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9j"
    "AAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAIcAAgAAAAACcwABAAAAAAAAADYAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAA"
    "ABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNg"
    "AAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZE"
    "AcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AA"
    "AAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAA"
    "AMVtZGF0AAAAgygBrwng1qzUnQsghGz1c7G6gBFdqmZkoRMDoCp1+W9pXsnkWFbdUNYR+shBumJpkVIEKVZtxeeAthR3GXGHXtCWD7ApgMr5"
    "0vm2Vo4nuL5zn0q2uF+FyNXDigDhzTckR8w2LaXawNzbHwY9VjFvjomgtMYldt72BHWNcIrdx6fex0QcAAAABkV4aWYAAE1NACoAAAAIAAIB"
    "DwACAAAABgAAACYBEgADAAAAAQAGAAAAAAAAUGhvbmUA"
)
"""A ramp, 64x48 pixels, turned by 90 degrees."""


def test_heic_by_its_extra():
    pytest.importorskip("pi_heif")
    photo = decode_photo(HEIC)
    y, x = np.mgrid[:48, :64]
    ramp = np.rot90(np.stack([40 + 2 * x, 30 + 3 * y, 120 + 0 * x], axis=-1), -1)
    assert np.abs(photo.rgb.astype(int) - ramp).mean() < 3
    assert b"Phone" in photo.exif
    with pytest.raises(PhotoError):
        decode_photo(HEIC[:300])


def test_without_the_extra_heic_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(PhotoError, match=r"a HEIC file; install garmentcut\[heif\] to read it, or save it as PNG"):
        decode_photo(HEIC)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_lacks_only_its_end_is_whole_and_one_that_lacks_pixels_is_not(options):
    pixels = np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8)
    data = encoded(pixels, "JPEG", quality=90, **options)
    photo = decode_photo(data[:-2])
    np.testing.assert_array_equal(photo.rgb, decode_photo(data).rgb)
    assert photo.notes == ("the missing end of the file ignored",)
    for lost in (3, 10, 200):
        with pytest.raises(PhotoError) as error:
            decode_photo(data[:-lost])
        assert error.value.code == "truncated"


def test_splitting_a_png_names_what_is_damaged():
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
