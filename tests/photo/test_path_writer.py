import io
import re
import shutil
import struct
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from garmentcut.config import OutputConfig, ReadConfig
from garmentcut.photo.clipping_path import (
    PenPath,
    Resource,
    Subpath,
    draw_path,
    find_clipping_path,
    jpeg_resources,
    parse_path,
    split_resources,
)
from garmentcut.photo.coverage import flatten_curves
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.encoding import encode_cutout
from garmentcut.photo.outline import trace_outline
from garmentcut.photo.path_writer import join_resources, path_resources
from garmentcut.photo.photoshop import read_cutout
from garmentcut.photo.psd import read_document
from garmentcut.photo.tiff import read_tiff

from .made_cutout import box, circle, clipping_name, path_records

SIZE = (400, 300)
FORMATS = ["psd", "tiff", "jpeg"]


def shares(knots, size_hw=SIZE):
    return np.array(knots, float) / size_hw[::-1]


def iou(a, b):
    return np.minimum(a, b).sum() / np.maximum(a, b).sum()


@pytest.fixture(scope="module")
def cutout():
    """A garment with a neckline, a hole and an island."""
    y, x = np.indices(SIZE) + 0.5
    around = [(150, 190, 120), (150, 60, 55), (140, 230, 22), (262, 350, 30)]  # x, y, radius
    body, neck, hole, island = (np.clip(r - np.hypot(x - cx, (y - cy) * 0.9) + 0.5, 0, 1) for cx, cy, r in around)
    alpha = np.maximum(np.minimum(body, 1 - np.maximum(neck, hole)), island).astype(np.float32)
    rgb = np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)
    return Cutout(rgb, alpha)


def encode(cutout, format, **output):
    return encode_cutout(cutout, format, OutputConfig(formats=(format,), **output))


def resources_of(data, format):
    if format == "psd":
        return read_document(data, ReadConfig()).resources
    return split_resources(jpeg_resources(data) if format == "jpeg" else read_tiff(data, ReadConfig()).resources)


def test_the_bytes_are_photoshops_own():
    corners, round_knots = box(30, 40, 150, 200), circle(200, 100, 50)
    path = PenPath("Åpning", (Subpath(0, True, shares(corners)), Subpath(2, True, shares(round_knots))))
    drawn, clipped_by = path_resources(path)
    assert (drawn.number, drawn.name, clipped_by.number, clipped_by.name) == (2000, "Åpning", 2999, "")
    assert clipped_by.data == clipping_name("Åpning")
    expected = bytearray(path_records([corners, round_knots], SIZE, operations=[0, 2]))
    for knot in range(4):  # made_cutout has no smooth knots; a box's have none, a circle's are all smooth
        struct.pack_into(">H", expected, 26 * (3 + 4 + 1 + knot), 1)
    assert drawn.data == expected


def test_pointed_smooth_and_open():
    knots = shares([(np.array(before), np.array((9.0, 9)), np.array(after)) for before, after in [
        ((5, 9), (15, 9)), ((5, 9), (9, 15)), ((5, 9), (3, 9)), ((9, 9), (9, 9)),
    ]])  # straight on, a turn, back on itself, no handles  # fmt: skip
    selectors = {
        closed: [
            int.from_bytes(path_resources(PenPath("", (Subpath(0, closed, knots),)))[0].data[start : start + 2])
            for start in range(52, 52 + 5 * 26, 26)
        ]
        for closed in (True, False)
    }
    assert selectors == {True: [0, 1, 2, 2, 2], False: [3, 4, 5, 5, 5]}


def test_what_is_written_is_read_again():
    rng = np.random.default_rng(0)
    subpaths = tuple(Subpath(k - 1, k % 2 == 0, rng.uniform(-2, 2, (k + 2, 3, 2))) for k in range(5))
    for filled in (False, True):
        path = PenPath("Path 1", subpaths, filled)
        found, notes = find_clipping_path(split_resources(join_resources(path_resources(path))))
        assert (found.name, found.filled, notes) == ("Path 1", filled, ())
        for one, other in zip(found.subpaths, subpaths, strict=True):
            assert (one.operation, one.closed) == (other.operation, other.closed)
            np.testing.assert_allclose(one.knots, other.knots, atol=2**-24)


def test_resources_are_filled_up_to_even_lengths():
    resources = [Resource(1005, "", b"12345"), Resource(2000, "Path", b"xy"), Resource(1060, "odd", b"")]
    assert split_resources(join_resources(resources)) == resources
    assert len(join_resources(resources[:1])) == 4 + 2 + 2 + 4 + 6
    assert join_resources([]) == b""


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", ["editable", "exact"])
def test_each_format_holds_the_outline_with_its_hole(cutout, format, kind):
    path, notes = find_clipping_path(resources_of(encode(cutout, format, path=kind), format))
    assert notes == ()
    assert len(path.subpaths) == 3
    drawn = draw_path(path, SIZE)
    assert drawn[230, 140] == 0
    assert iou(drawn, cutout.alpha) > (0.998 if kind == "editable" else 0.999)


@pytest.mark.parametrize("format", FORMATS)
def test_what_formats_do_by_themselves(cutout, format):
    assert bool(find_clipping_path(resources_of(encode(cutout, format), format))) == (format == "psd")
    assert not find_clipping_path(resources_of(encode(cutout, format, path="none"), format))


def test_a_jpeg_with_a_path_is_a_cutout(cutout, tmp_path):
    (tmp_path / "skirt.jpg").write_bytes(encode(cutout, "jpeg", path="exact"))
    found = read_cutout(tmp_path / "skirt.jpg")
    assert found.source == "clipping path"
    assert iou(found.alpha, cutout.alpha) > 0.999


@pytest.mark.parametrize("format", FORMATS)
def test_a_trimmed_path_lies_where_the_garment_does(cutout, format):
    trimmed = cutout.trimmed(25)
    data = encode(cutout, format, path="editable", trim=True, margin_px=25)
    path, _ = find_clipping_path(resources_of(data, format))
    assert iou(draw_path(path, trimmed.alpha.shape), trimmed.alpha) > 0.998


@pytest.mark.parametrize("format", FORMATS)
def test_exiftool_finds_the_path_and_nothing_wrong(cutout, format, tmp_path):
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    (tmp_path / f"skirt.{format}").write_bytes(encode(cutout, format, path="editable"))
    command = ["exiftool", "-validate", "-warning", "-error", "-a", "-ClippingPathName", tmp_path / f"skirt.{format}"]
    lines = dict(
        re.split(r"\s*: ", line, maxsplit=1)
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    )
    assert lines["Clipping Path Name"] == "Path 1"
    # ExifTool knows no deflate in TIFF, and misses EXIF in a JPEG that has none to have.
    assert lines["Validate"] == "OK" or "0x0103 Compression" in lines["Warning"] or format == "jpeg"


@pytest.mark.parametrize("format", FORMATS)
def test_imagemagick_reads_the_same_outline(cutout, format, tmp_path):
    identify = next(filter(None, map(shutil.which, ("magick", "identify"))), None)
    if not identify:
        pytest.skip("ImageMagick is not installed (Debian: imagemagick)")
    file = tmp_path / f"skirt.{format}"
    file.write_bytes(encode(cutout, format, path="editable"))
    command = [identify, *(["identify"] if identify.endswith("magick") else []), "-format", "%[8BIM:1999,2998:#1]"]
    svg = subprocess.run([*command, f"{file}[0]"], capture_output=True, text=True, check=True).stdout
    if not svg:
        pytest.skip("this ImageMagick prints no paths")
    drawn = Image.new("1", (8 * SIZE[1], 8 * SIZE[0]))
    for outline in re.findall(r'M[^M"Z]+', re.findall(r' d="([^"]+)"', svg)[0]):
        numbers = np.array(re.findall(r"-?\d+(?:\.\d+)?", outline), float)
        curves = numbers[2:].reshape(-1, 3, 2)
        starts = np.concatenate([numbers[None, :2], curves[:-1, 2]])
        polygon = flatten_curves(np.concatenate([starts[:, None], curves], axis=1)) * 8
        shape = Image.new("1", drawn.size)
        ImageDraw.Draw(shape).polygon([tuple(point) for point in polygon], fill=1)
        drawn = ImageChops.logical_xor(drawn, shape)
    alpha = np.asarray(drawn, np.float32).reshape(SIZE[0], 8, SIZE[1], 8).mean(axis=(1, 3))
    assert iou(alpha, cutout.alpha) > 0.995  # Pillow draws borders too, some hundredths of a pixel fatter


def test_a_parsed_path_is_the_traced_one(cutout):
    traced = trace_outline(cutout.alpha)
    assert len(parse_path(path_resources(traced)[0].data).subpaths) == len(traced.subpaths)
    assert io.BytesIO(join_resources(path_resources(traced))).read(4) == b"8BIM"
