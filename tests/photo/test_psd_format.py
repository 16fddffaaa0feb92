import io
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from psd_tools.constants import BlendMode, Compression

from garmentcut.config import ReadConfig
from garmentcut.errors import OutputError
from garmentcut.photo import psd_format
from garmentcut.photo.metadata import Resource, pascal_text
from garmentcut.photo.photo import Cutout
from garmentcut.photo.psd_format import (
    PsdLayer,
    pack_differences,
    pack_rows,
    psd_bytes,
    read_document,
    unicode_text,
)
from garmentcut.photo.psd_roundtrip import layered_psd, read_mark
from garmentcut.photo.read import decode_photo
from garmentcut.photo.truth import read_cutout

from .made import encoded, exif, exif_bytes, pixels, rgb_profile, xmp_packet

DTYPES = [np.uint8, np.uint16]


def rows_of(packed, plane):
    lengths = np.frombuffer(packed[0], ">u2")
    assert len(lengths) == len(plane)
    assert lengths.sum() == len(packed[1])
    ends = np.cumsum(lengths)
    rows = [imagecodecs.packbits_decode(packed[1][end - length : end]) for end, length in zip(ends, lengths)]  # noqa: B905
    return np.stack([np.frombuffer(row, plane.dtype.newbyteorder(">")) for row in rows])


def framed(dtype, *, top=3, left=4, bottom=2, right=5, border=0):
    """Noise in a plain border, large enough that a run does not fit in one packet."""
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (6, 7), dtype, endpoint=True)
    return np.pad(noise, ((top, bottom), (200 * left, 200 * right)), constant_values=border)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("border", [0, 7, 200])
@pytest.mark.parametrize("sides", [{}, {"top": 0}, {"left": 0}, {"right": 0}, {"bottom": 0}, {"top": 0, "left": 0}])
def test_rows_are_found_again(dtype, border, sides):
    plane = framed(dtype, border=border, **sides)
    np.testing.assert_array_equal(rows_of(pack_rows(plane), plane), plane)


@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_planes_and_single_samples(dtype):
    for plane in (np.full((5, 300), 9, dtype), np.broadcast_to(dtype(1), (4, 3)), np.array([[1, 2]], dtype)):
        np.testing.assert_array_equal(rows_of(pack_rows(plane), plane), plane)
    assert len(pack_rows(np.zeros((5, 300), dtype))[1]) <= 5 * 10 * dtype(0).itemsize


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_plain_border_is_packed_once(dtype, monkeypatch):
    packed, pack = [], imagecodecs.packbits_encode
    monkeypatch.setattr(imagecodecs, "packbits_encode", lambda row: packed.append(len(row)) or pack(row))
    plane = np.full((100, 80), 7, dtype)
    plane[40:43, 30:50] = 9
    np.testing.assert_array_equal(rows_of(pack_rows(plane), plane), plane)
    assert sum(packed) == (80 + 30 + 30 + 3 * 20) * plane.itemsize


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_plane_of_an_interleaved_picture(dtype):
    picture = np.random.default_rng(1).integers(0, 200, (9, 11, 3)).astype(dtype)
    np.testing.assert_array_equal(rows_of(pack_rows(picture[..., 1]), picture[..., 1]), picture[..., 1])


def test_differences_add_up_again():
    plane = np.random.default_rng(0).integers(0, 65_536, (6, 9)).astype(np.uint16)[:, ::-1]
    differences = np.frombuffer(zlib.decompress(pack_differences(plane)), ">u2").reshape(plane.shape)
    np.testing.assert_array_equal(np.cumsum(differences, axis=1, dtype=np.uint16), plane)


LAYER_DTYPES = [np.uint8, np.uint16]


def noise(seed, shape, dtype):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.fixture(params=LAYER_DTYPES, ids=lambda dtype: dtype.__name__)
def drawn(request):
    """Two layers, the upper one masked, a merged picture of its own, and a saved channel."""
    size, dtype = (23, 31), request.param
    mask = noise(2, size, dtype)
    mask[:5], mask[:, :7], mask[20:], mask[:, 30:] = 0, 0, 0, 0
    layers = [
        PsdLayer("Under", noise(0, (*size, 3), dtype)),
        PsdLayer("Kjole æøå 裙子 👗", noise(1, (*size, 3), dtype), mask),
    ]
    merged, saved = noise(3, (*size, 3), dtype), noise(4, size, dtype)
    return layers, [*np.moveaxis(merged, 2, 0), saved]


def opened_layers(data):
    """The document as psd-tools, which we do not write with, reads it."""
    return PSDImage.open(io.BytesIO(data))


def written(drawn, resources=()):
    return opened_layers(psd_bytes(*drawn, list(resources)))


def test_layers_are_found_again(drawn):
    layers, planes = drawn
    document = written(drawn)
    top = np.iinfo(planes[0].dtype).max
    assert (document.width, document.height, document.depth, document.channels) == (31, 23, 8 * planes[0].itemsize, 4)
    assert [layer.name for layer in document] == [layer.name for layer in layers]
    for found, layer in zip(document, layers, strict=True):
        assert (found.visible, found.opacity, found.blend_mode) == (True, 255, BlendMode.NORMAL)
        assert found.bbox == (0, 0, 31, 23)
        np.testing.assert_array_equal(np.rint(found.numpy("color") * top), layer.rgb)
        np.testing.assert_array_equal(found.numpy("shape"), 1)
    assert len({layer.layer_id for layer in document}) == 2


def test_a_mask_is_cropped_and_exact(drawn):
    layers, _ = drawn
    under, over = written(drawn)
    assert not under.has_mask()
    assert over.mask.bbox == (7, 5, 30, 20)
    assert (over.mask.background_color, over.mask.disabled) == (0, False)
    top = np.iinfo(layers[1].mask.dtype).max
    np.testing.assert_array_equal(np.rint(over.numpy("mask")[..., 0] * top), layers[1].mask[5:20, 7:30])


def test_the_merged_picture_and_a_saved_channel(drawn):
    _, planes = drawn
    # With a number, a channel is a saved one: psd-tools would else take it for transparency.
    document = written(drawn, [Resource(1053, "", struct.pack(">I", 1))])
    assert not document.has_thumbnail()
    top = np.iinfo(planes[0].dtype).max
    np.testing.assert_array_equal(np.rint(document.numpy() * top), np.stack(planes, axis=2))


def test_packed_as_photoshop_packs(drawn):
    _, planes = drawn
    document = written(drawn)
    kinds = {channel.compression for layer in document for channel in layer._channels}
    assert kinds == {Compression.RLE if planes[0].itemsize == 1 else Compression.ZIP_WITH_PREDICTION}
    assert document._record.image_data.compression == Compression.RLE


def test_a_mask_that_shows_nothing(drawn):
    layers, planes = drawn
    layers[1] = layers[1]._replace(mask=np.zeros_like(layers[1].mask))
    assert not written((layers, planes))[1].numpy("mask").any()


def test_a_picture_without_layers_masks_or_resources():
    plane = noise(0, (4, 5), np.uint8)
    document = opened_layers(psd_bytes([], [plane, plane, plane], []))
    assert not len(document)
    np.testing.assert_array_equal(np.rint(document.numpy()[..., 0] * 255), plane)


def test_names_of_any_length():
    assert pascal_text("Jakke") == b"\x05Jakke"
    assert pascal_text("Jakke", 4) == b"\x05Jakke\0\0"
    assert pascal_text("å裙") == b"\x02\x8c?"
    assert len(pascal_text("x" * 300, 4)) == 256
    assert unicode_text("å👗") == b"\0\0\0\x03\0\xe5\xd8\x3d\xdc\x57"
    long = PsdLayer("裙" * 300, noise(0, (2, 2, 3), np.uint8))
    document = opened_layers(psd_bytes([long], list(np.moveaxis(long.rgb, 2, 0)), []))
    assert document[0].name == long.name


@pytest.mark.parametrize("size", [(1, 30_001), (30_001, 1)])
def test_over_30000_pixels_psb_is_named(size):
    plane = np.zeros(size, np.uint8)
    with pytest.raises(OutputError, match=r"PSD is limited to 30000 pixels per side, .* PSB is not written; use tiff"):
        psd_bytes([], [plane, plane, plane], [])


def test_30000_pixels_are_written():
    plane = np.zeros((1, 30_000), np.uint16)
    plane[0, ::2] = 12_345
    assert opened_layers(psd_bytes([], [plane, plane, plane], [])).width == 30_000


def test_over_2_gigabytes_psb_is_named(drawn, monkeypatch):
    num_bytes = len(psd_bytes(*drawn, []))
    monkeypatch.setattr(psd_format, "_MOST_BYTES", num_bytes)
    psd_bytes(*drawn, [])
    monkeypatch.setattr(psd_format, "_MOST_BYTES", num_bytes - 1)
    with pytest.raises(OutputError, match=r"PSD is limited to 2 GB, .* PSB is not written; use tiff"):
        psd_bytes(*drawn, [])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_plane_with_a_single_odd_sample(dtype):
    rgb = np.zeros((9, 217, 3), dtype)
    rgb[3, 40, 1] = 1
    plane = rgb[..., 1]  # strided, as the planes of a picture are
    unpacked = imagecodecs.packbits_decode(pack_rows(plane)[1])
    np.testing.assert_array_equal(np.frombuffer(unpacked, plane.dtype.newbyteorder(">")).reshape(9, 217), plane)


@pytest.mark.parametrize("dpi", [70_000, 99_999.5])
def test_more_dots_an_inch_than_a_psd_can_say(studio, dpi):
    drawn = studio()
    document = opened(layered_psd(Cutout(drawn.photo, drawn.alpha, dpi=(dpi, 300))))
    resolution = document.image_resources.get_data(1005)
    assert resolution.horizontal / 65_536 == pytest.approx(65_536, abs=0.001)
    assert resolution.vertical / 65_536 == 300


def test_iptc_goes_along(studio):
    drawn = studio()
    iptc = b"\x1c\x02\x50\0\x04Anna"
    data = layered_psd(Cutout(drawn.photo, drawn.alpha, iptc=iptc))
    assert (
        next(resource.data for resource in read_document(data, ReadConfig()).resources if resource.number == 1028)
        == iptc
    )


WHOLE = {"profile": rgb_profile(), "dpi": (300, 240.5), "exif": exif_bytes(), "xmp": xmp_packet()}


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8 bit", "16 bit"])
def cutout(studio, request):
    drawn = studio()
    rgb = drawn.photo.astype(request.param)
    if request.param == np.uint16:
        rgb = rgb * 257 - np.arange(rgb.size, dtype=np.uint16).reshape(rgb.shape) % 100
    return Cutout(rgb, drawn.alpha, **WHOLE)


def opened(data):
    return PSDImage.open(io.BytesIO(data))


def merged_of(document, cutout):
    return np.rint(document.numpy() * np.iinfo(cutout.rgb.dtype).max)


@pytest.mark.parametrize("background", [None, "#30c0ff"])
@pytest.mark.parametrize("metadata", [WHOLE, {}], ids=["with ICC", "bare"])
def test_a_round_trip_loses_nothing(cutout, tmp_path, background, metadata):
    cutout = Cutout(cutout.rgb, cutout.alpha, **metadata)
    data = layered_psd(cutout, background=background, name="Kjole æøå")
    (tmp_path / "a.psd").write_bytes(data)
    found = read_cutout(tmp_path / "a.psd")
    assert found.source == "layer mask"
    np.testing.assert_array_equal(found.rgb, cutout.rgb)
    top = np.iinfo(cutout.rgb.dtype).max
    np.testing.assert_array_equal(np.rint(found.alpha.astype(np.float64) * top), cutout.rounded_alpha())
    resources = opened(data).image_resources
    assert resources.get_data(1039) == metadata.get("profile")
    assert resources.get_data(1058) == metadata.get("exif")
    assert read_mark(resources.get_data(1060)).size_hw == cutout.alpha.shape
    bare = opened(layered_psd(cutout, marked=False)).image_resources
    assert bare.get_data(1060) == metadata.get("xmp")
    if metadata:
        resolution = resources.get_data(1005)
        assert (resolution.horizontal / 65_536, resolution.vertical / 65_536) == (300, 240.5)
        assert (resolution.horizontal_unit, resolution.vertical_unit) == (1, 1)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_turned_photo_is_upright_in_every_word(orientation):
    data = encoded(pixels(40, 30), "JPEG", exif=exif(orientation), xmp=xmp_packet(orientation))
    photo = decode_photo(data)
    document = opened(layered_psd(Cutout.of(photo, np.ones(photo.size_hw, np.float32))))
    assert (document.height, document.width) == photo.size_hw == ((40, 30) if orientation == 3 else (30, 40))
    np.testing.assert_array_equal(np.rint(document[0].numpy("color") * 255), photo.rgb)
    tags = Image.Exif()
    tags.load(document.image_resources.get_data(1058))
    assert tags[274] == 1
    before, _, behind = xmp_packet(1).rpartition(b"</rdf:RDF>")
    found = document.image_resources.get_data(1060)
    assert found.startswith(before) and found.endswith(behind)


def test_the_merged_picture_is_what_the_layers_look_like(cutout):
    document = opened(layered_psd(cutout))
    merged = merged_of(document, cutout)
    np.testing.assert_array_equal(merged[..., :3], cutout.over("#ffffff"))
    np.testing.assert_array_equal(merged[..., 3], cutout.rounded_alpha())
    assert list(document.image_resources.get_data(1045)) == ["Garment"]
    assert document.image_resources.get_data(1057).has_composite


def test_a_background_is_a_layer_below(cutout):
    document = opened(layered_psd(cutout, background="#30c0ff", name="a"))
    below, garment = document
    assert (below.name, garment.name) == ("Background", "a")
    assert not below.has_mask()
    top = np.iinfo(cutout.rgb.dtype).max
    color = np.rint(below.numpy("color") * top)
    assert np.ptp(color, axis=(0, 1)).max() == 0
    merged = merged_of(document, cutout)
    np.testing.assert_array_equal(merged[..., :3], cutout.over("#30c0ff"))
    np.testing.assert_array_equal(merged[0, 0, :3], color[0, 0])
    assert tuple(color[0, 0] * 255 // top) != (0x30, 0xC0, 0xFF), "in the photo's own profile"
    assert document.image_resources.get_data(1024) == 1, "the garment's layer is the active one"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("IMG_1234", "IMG_1234"),
        ("", "Garment"),
        ("\n\0", "Garment"),
        ("bad\udcff\nname", "badname"),
        ("裙" * 999, "裙" * 200),
    ],
)
def test_layers_are_named_after_the_photo(cutout, name, shown):
    assert [layer.name for layer in opened(layered_psd(cutout, name=name))] == [shown]


def test_a_profile_that_cannot_make_colours_costs_no_preview(cutout):
    one_way = replace(cutout, profile=rgb_profile().replace(b"rTRC", b"xTRC"))
    assert (merged_of(opened(layered_psd(one_way)), cutout)[0, 0, :3] == np.iinfo(cutout.rgb.dtype).max).all()


def test_an_empty_cutout(cutout):
    empty = replace(cutout, alpha=np.zeros_like(cutout.alpha))
    document = opened(layered_psd(empty))
    assert not document[0].numpy("mask").any()


def test_exiftool_finds_everything_and_nothing_wrong(cutout, tmp_path):
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    (tmp_path / "a.psd").write_bytes(layered_psd(cutout, background="#30c0ff", name="Kjole æøå 裙子"))
    tags = ["-ProfileDescription", "-XResolution", "-Artist", "-ISO", "-Creator", "-LayerUnicodeNames"]
    tags += ["-AlphaChannelsNames", "-BitDepth", "-Orientation", "-HasRealMergedData", "-Error"]
    command = ["exiftool", "-s3", "-f", "-charset", "utf8", *tags, tmp_path / "a.psd"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout.splitlines()
    assert lines == [
        *("Wide test RGB", "300", "Åse Ødegård", "200", "Åse Ødegård", "Background, Kjole æøå 裙子"),
        *("Garment", str(8 * cutout.rgb.itemsize), "Horizontal (normal)", "Yes", "-"),
    ]
