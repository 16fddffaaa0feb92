"""Every hostile or broken file known: refused by name, before pixels are decoded, and by no other exception."""

import contextlib
import io
import os
import random
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import simplejpeg
import tifffile
from PIL import Image

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError
from garmentcut.photo.photo import Photo
from garmentcut.photo.read import decode_photo, read_photo
from garmentcut.photo.write import png_bytes

from .made import chunk, encoded, exif, patched, pixels, png_of_header, rgb_profile, tiff, with_chunks

WIDE = 30_000


@pytest.fixture
def no_decoder(monkeypatch):
    """Fail the test if any pixel is decoded."""

    def decode(*_, **__):
        pytest.fail("pixels were decoded")

    for module, name in (
        (imagecodecs, "png_decode"),
        (imagecodecs, "webp_decode"),
        (simplejpeg, "decode_jpeg"),
        (tifffile.TiffPage, "asarray"),
        (Image.Image, "load"),
    ):
        monkeypatch.setattr(module, name, decode)


def zeros_png(width, height):
    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_of_header(width, height, idat=packed)


def jpeg_of_header(width, height):
    data = bytearray(encoded(pixels(), "JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_of_header(width, height, kind):
    if kind == "VP8X":
        body = (
            b"VP8X"
            + struct.pack("<I", 10)
            + bytes(4)
            + (width - 1).to_bytes(3, "little")
            + (height - 1).to_bytes(3, "little")
        )
    elif kind == "VP8L":
        body = b"VP8L" + struct.pack("<IBI", 5, 0x2F, (width - 1) | (height - 1) << 14)
    else:
        body = b"VP8 " + struct.pack("<I", 10) + b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def tiff_of_header(width, height):
    return patched(patched(tiff(pixels(), compression="zlib"), 256, width), 257, height)


def animation(format):
    frames = [Image.fromarray(pixels() // (k + 1)) for k in range(3)]
    return encoded(frames[0], format, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png_of_header(14_000, 14_000), "over read.max_megapixels = 160"),
        (png_of_header(20_000, 20_000), "over read.max_megapixels = 160"),
        (png_of_header(40_000, 30_000), "over read.max_side_px = 30000"),
        (png_of_header(2**31 - 1, 1), "over read.max_side_px"),
        (png_of_header(2**31, 2**31), "over read.max_side_px"),
        (png_of_header(0, 5), "0x5 pixels; export it again"),
        (png_of_header(20_000, 20_000, depth=16, color_type=6), "over read.max_megapixels"),
        (jpeg_of_header(65_500, 65_500), "over read.max_side_px"),
        (jpeg_of_header(20_000, 20_000), "over read.max_megapixels"),
        (webp_of_header(16_383, 16_383, "VP8X"), "over read.max_megapixels"),
        (webp_of_header(16_383, 16_383, "VP8L"), "over read.max_megapixels"),
        (webp_of_header(16_383, 16_383, "VP8"), "over read.max_megapixels"),
        (webp_of_header(2**24, 2**24, "VP8X"), "over read.max_side_px"),
        (tiff_of_header(20_000, 20_000), "over read.max_megapixels"),
        (tiff_of_header(2**16 - 1, 2**16 - 1), "over read.max_side_px"),
        (animation("PNG"), "an animated PNG; save the frame you want"),
        (animation("WEBP"), "an animated WebP; save the frame you want"),
        (animation("GIF"), "a GIF; save it as PNG"),
        (encoded(pixels(), "BMP"), "a Windows bitmap; save it as PNG"),
        (b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 300_000, 300_000, 8, 3), "a Photoshop document; save it as PNG"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'\xef\xbb\xbf <?xml version="1.0"?><svg/>', "an XML or SVG file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "an EPS or PostScript file"),
        (b"\xc5\xd0\xd3\xc6" + bytes(30), "an EPS file"),
        (b"%PDF-1.7", "a PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC file|damaged|truncated"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "truncated AVIF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0", "a camera raw file"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (b"\xff\x0a\xfa", "a JPEG XL file"),
        (b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 file"),
        (b"FUJIFILMCCD-RAW 0201", "a camera raw file"),
        (b"hello", "not a PNG, JPEG, TIFF, WebP or AVIF file"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "export it again"),
        (b"\xff\xd8\xff", "truncated JPEG"),
        (b"RIFF\0\0\0\0WEBP", "damaged WebP"),
        (b"II*\0", "damaged"),
        (b"MM\0*\0\0\0\x08\xff\xff", "damaged|no image in it"),
    ],
)
@pytest.mark.usefixtures("no_decoder")
def test_refused_by_name_before_decoding(data, reason, tmp_path):
    path = tmp_path / "dress.png"
    path.write_bytes(data)
    with pytest.raises(PhotoError, match=reason) as refusal:
        read_photo(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


def test_no_bytes_are_called_empty_as_a_file_of_none_is():
    with pytest.raises(PhotoError, match="empty file; copy it again") as refusal:
        decode_photo(b"")
    assert refusal.value.code == "empty"


@pytest.mark.usefixtures("no_decoder")
def test_real_bombs_cost_no_memory():
    bomb = zeros_png(10_000, 10_000)
    assert len(bomb) < 200_000
    tracemalloc.start()
    with pytest.raises(PhotoError, match=r"over read.max_megapixels = 80"):
        decode_photo(bomb, limits=ReadConfig(max_megapixels=80))
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_limits_are_the_users_own():
    limits = ReadConfig(max_megapixels=0.0002)
    with pytest.raises(PhotoError, match=r"over read.max_megapixels"):
        decode_photo(encoded(pixels(), "PNG"), limits=limits)
    strip = np.zeros((1, WIDE + 1, 3), np.uint8)
    with pytest.raises(PhotoError, match=r"over read.max_side_px"):
        decode_photo(png_bytes(strip))
    assert decode_photo(png_bytes(strip), limits=ReadConfig(max_side_px=WIDE + 1)).size_hw == (1, WIDE + 1)


def test_pillows_own_limit_does_not_stand_below_the_users(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # stands for its 179 megapixels
    for data in (encoded(pixels(), "PNG"), encoded(pixels(), "JPEG"), tiff(pixels())):
        assert decode_photo(data).size_hw == (12, 20)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_bombs_in_metadata(kind):
    packed = zlib.compress(bytes(80_000_000), 9)
    head = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0\0\0", b"iCCP": b"profile\0\0"}[kind]
    assert len(packed) < 100_000
    tracemalloc.start()
    photo = decode_photo(
        with_chunks(encoded(pixels(), "PNG"), chunk(kind, head + packed) * (1 if kind == b"iCCP" else 50))
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(photo.rgb, pixels())
    assert peak < 80_000_000
    (note,) = photo.notes
    assert note.flag == ("profile_dropped" if kind == b"iCCP" else "metadata_left_out")


def test_very_many_small_parts_are_refused():
    """A megabyte of them took a second and a half, a hundred would have held a server for minutes."""
    jpeg, png = encoded(pixels(), "JPEG"), encoded(pixels(), "PNG")
    for data in (
        jpeg[:2] + b"\xff\xe1\0\4ab" * 20_001 + jpeg[2:],
        with_chunks(png, chunk(b"tEXt", b"a\0b") * 20_001),
    ):
        with pytest.raises(PhotoError, match=r"damaged (JPEG|PNG): over 20000") as refused:
            decode_photo(data)
        assert refused.value.code == "damaged"


def bigtiff(*tags, more=b""):
    """A gray photo of 100 x 150 pixels with further tags: number, type, count and value, or the bytes of the values."""
    own = {256: (4, 1, 100), 257: (4, 1, 150), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}
    own |= {278: (4, 1, 150), 273: (16, 1, None), 279: (16, 1, 15_000)}
    entries = own | {number: rest for number, *rest in tags}
    at = 16 + 8 + 20 * len(entries) + 8
    head, tail = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(entries)), bytes([120]) * 15_000
    for number, (kind, count, value) in sorted(entries.items()):
        place = at if value is None else at + len(tail) if isinstance(value, bytes) else value
        tail += value if isinstance(value, bytes) else b""
        head += struct.pack("<HHQQ", number, kind, count, place)
    return head + bytes(8) + tail + more


MANY = 2_000_000


@pytest.mark.parametrize("number", [258, 338, 339])
@pytest.mark.parametrize("is_inner", [False, True])
def test_a_tag_of_the_channels_with_millions_of_values_is_refused_at_once(number, is_inner):
    long_tag = (number, 3, MANY, bytes(2 * MANY))
    data = bigtiff(long_tag)
    if is_inner:
        outer = bigtiff((330, 16, 1, 0))
        inner = struct.pack("<QHHQQQ", 1, number, 3, MANY, len(outer), 0)
        data = bigtiff((330, 16, 1, len(outer)), more=inner + bytes(2 * MANY))
    start = time.process_time()
    with pytest.raises(PhotoError, match=f"{MANY} values in tag {number}") as caught:
        decode_photo(data)
    assert caught.value.code == "damaged" and time.process_time() - start < 2


def test_millions_of_strips_that_no_pixel_takes_are_refused():
    places = struct.pack("<I", 300) * MANY, struct.pack("<I", 1) * MANY
    tags = (322, 4, 1, 16), (323, 4, 1, 16), (324, 4, MANY, places[0]), (325, 4, MANY, places[1])
    with pytest.raises(PhotoError, match="far more parts"):
        decode_photo(bigtiff(*tags))


@pytest.mark.parametrize(
    ("number", "one"), [(34377, b"8BIM\x03\xed\0\0\0\0\0\0"), (33723, b"\x1c\x02\x19\0\x00")], ids=["resources", "iptc"]
)
def test_hundreds_of_thousands_of_empty_records_cost_themselves_and_no_time(number, one):
    data = bigtiff((number, 7, len(one) * 400_000, one * 400_000))
    start = time.process_time()
    photo = decode_photo(data)
    assert photo.rgb.shape == (150, 100, 3) and time.process_time() - start < 2


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd"])
def test_bombs_in_tiff_strips(compression):
    zeros = np.zeros((6000, 6000), np.uint8)
    big = tiff(zeros, photometric="minisblack", compression=compression, rowsperstrip=6000)
    small = patched(patched(patched(big, 256, 8), 257, 8), 278, 8)
    tracemalloc.start()
    with contextlib.suppress(PhotoError):
        decode_photo(small)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.usefixtures("no_decoder")
def test_bomb_in_a_jpeg_strip():
    with tifffile.TiffFile(io.BytesIO(tiff(np.zeros((32, 32, 3), np.uint8), compression="jpeg"))) as file:
        start = file.pages[0].dataoffsets[0]
        data = bytearray(file.filehandle._fh.getvalue())
    frame = data.index(b"\xff\xc0", start)
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(PhotoError, match="a JPEG part is larger than its place"):
        decode_photo(bytes(data))


def _big(format):
    array = np.random.default_rng(1).integers(0, 256, (64, 48, 3)).astype(np.uint8)
    return {
        "PNG": lambda: encoded(array, "PNG"),
        "PNG16": lambda: png_bytes(array.astype(np.uint16) * 257, profile=rgb_profile()),
        "JPEG": lambda: encoded(array, "JPEG", quality=95, exif=exif(6), icc_profile=rgb_profile()),
        "WEBP": lambda: encoded(array, "WEBP", lossless=True, exif=exif(), icc_profile=rgb_profile()),
        "TIFF": lambda: tiff(array, compression="lzw", predictor=True, iccprofile=rgb_profile(), rowsperstrip=16),
        "TIFF plain": lambda: tiff(array, rowsperstrip=16, resolution=(300, 300)),
        "TIFF deflate": lambda: tiff(array, compression="zlib", rowsperstrip=16),
        "TIFF zstd": lambda: tiff(array, compression="zstd", rowsperstrip=16),
    }[format]()


FORMATS = ["PNG", "PNG16", "JPEG", "WEBP", "TIFF", "TIFF plain", "TIFF deflate", "TIFF zstd"]


@pytest.mark.parametrize("format", FORMATS)
def test_truncated_files_are_refused(format):
    data = _big(format)
    # tifffile writes its directory in front: any cut then costs pixels.
    for part in (0.3, 0.5, 0.9, 0.99):
        with pytest.raises(PhotoError):
            decode_photo(data[: int(len(data) * part)])
    with pytest.raises(PhotoError):
        decode_photo(data[:-20])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_truncated_files_have_their_code(format, part):
    data = _big(format)
    with pytest.raises(PhotoError) as refused:
        decode_photo(data[: int(len(data) * part)])
    assert refused.value.code == "truncated", str(refused.value)


@pytest.mark.parametrize("format", ["AVIF", "JPEG progressive"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_truncated_files_of_pillows_formats_have_their_code(format, part):
    array = np.random.default_rng(1).integers(0, 256, (64, 48, 3)).astype(np.uint8)
    data = encoded(array, format.split()[0], **({"progressive": True} if " " in format else {}))
    with pytest.raises(PhotoError) as refused:
        decode_photo(data[: int(len(data) * part)])
    assert refused.value.code == "truncated", str(refused.value)


@pytest.mark.parametrize("options", [{}, {"exif": b"Exif\0\0\xff\xda" + bytes(8)}])
def test_no_part_of_a_progressive_jpeg_is_taken_for_the_whole(options):
    # Cut where one scan ends, it decodes without a warning, to a photo without its detail.
    array = np.random.default_rng(1).integers(0, 256, (64, 48, 3)).astype(np.uint8)
    data = encoded(array, "JPEG", progressive=True, **options)
    for place in range(data.rindex(b"\xff\xc2"), len(data) - 2):
        with pytest.raises(PhotoError):
            decode_photo(data[:place])


def test_a_whole_file_with_damaged_pixels_is_not_called_truncated():
    data = _big("JPEG")
    middle = len(data) * 6 // 10
    with pytest.raises(PhotoError) as refused:
        decode_photo(data[:middle] + data[middle + 40 :])
    assert refused.value.code == "damaged", str(refused.value)


def test_truncated_says_so():
    with pytest.raises(PhotoError, match="truncated PNG; copy or export it again"):
        decode_photo(_big("PNG")[:-5])
    with pytest.raises(PhotoError, match="truncated TIFF; copy or export it again"):
        decode_photo(_big("TIFF")[:-5])


def test_a_tiff_strip_that_is_missing_is_not_filled_with_black():
    for data in (_big("TIFF plain"), _big("TIFF deflate")):
        with pytest.raises(PhotoError):
            decode_photo(patched(data, 257, 640))


@pytest.mark.parametrize("format", ["PNG", "PNG16"])
def test_any_flipped_bit_in_png_pixels_is_noticed(format):
    data = _big(format)
    start, stop = data.index(b"IDAT") + 4, len(data) - 16
    for place in range(start, stop, 501):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(PhotoError):
            decode_photo(bytes(flipped))


def test_jpeg_with_damage_that_libjpeg_notices():
    data = bytearray(_big("JPEG"))
    start = data.index(b"\xff\xda") + 200
    data[start : start + 40] = b"\xff\xd9" * 20
    assert Image.open(io.BytesIO(bytes(data))).size == (48, 64)
    with pytest.raises(PhotoError, match="damaged or unreadable"):
        decode_photo(bytes(data))


@pytest.mark.parametrize("format", FORMATS)
def test_random_damage_gives_a_photo_or_a_photo_error(format, capfd):
    data, chance = _big(format), random.Random(format)
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 1, 3, 20))):
            where = chance.randrange(min(400, len(data)) if chance.random() < 0.6 else len(data))
            damaged[where] = chance.choice((0, 255, damaged[where] ^ 1 << chance.randrange(8)))
        if chance.random() < 0.3:
            del damaged[chance.randrange(len(damaged)) :]
        try:
            assert isinstance(decode_photo(bytes(damaged), limits=ReadConfig(max_megapixels=1)), Photo)
        except PhotoError as error:
            assert str(error).isprintable()
    assert capfd.readouterr().out == ""


def test_a_jpeg_named_png_is_read(tmp_path):
    path = tmp_path / "dress.png"
    path.write_bytes(encoded(pixels(), "JPEG"))
    assert read_photo(path).size_hw == (12, 20)


def num_open_files():
    return len(list(Path("/proc/self/fd").glob("*")))  # 0 on systems without it


def test_paths_that_are_no_photo_files(tmp_path):
    empty, fifo = tmp_path / "empty.jpg", tmp_path / "pipe.jpg"
    empty.touch()
    cases = [
        (empty, "empty file; copy it again"),
        (tmp_path, "not a regular file"),
        (tmp_path / "missing.jpg", "no such file; check the path"),
        (tmp_path / ("x" * 300 + ".jpg"), "cannot be read"),
        (empty / "below.jpg", "cannot be read"),
        ("zero\0byte.jpg", "cannot be read"),
    ]
    if hasattr(os, "mkfifo"):
        os.mkfifo(fifo)
        cases.append((fifo, "not a regular file"))
    before = num_open_files()
    for path, reason in cases:
        with pytest.raises(PhotoError, match=reason) as refusal:
            read_photo(path)
        assert str(path)[:250] in str(refusal.value)
    assert num_open_files() == before


def test_byte_limit_is_checked_before_reading(tmp_path):
    path = tmp_path / "large.tif"
    with path.open("wb") as file:
        file.truncate(3_000_001)  # sparse
    with pytest.raises(PhotoError, match=r"3 MB: over read.max_mb = 2"):
        read_photo(path, limits=ReadConfig(max_mb=2))
