import io
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage

from garmentcut.photo.cutout import Cutout
from garmentcut.photo.photoshop import read_cutout
from garmentcut.photo.psd_cutout import layered_psd
from garmentcut.photo.psd_mark import read_mark
from garmentcut.photo.reading import decode_photo

from .made import encoded, exif, exif_bytes, pixels, rgb_profile, xmp_packet

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
