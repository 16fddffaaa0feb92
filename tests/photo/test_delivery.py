import io
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from garmentcut.photo.color import convert_colors, srgb_profile
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.delivery import deliver, shared_scales, sight_garment
from garmentcut.photo.naming import Subject
from garmentcut.photo.photo import OutputError, Photo, PhotoError
from garmentcut.photo.read import decode_photo
from garmentcut.photo.specification import read_specification
from garmentcut.photo.truth import read_cutout

from .made import exif_bytes, rgb_profile, xmp_packet

FRONT, BACK = Subject("a", "Front", "a_Front"), Subject("a", "Back", "a_Back")
SQUARE = "[canvas]\nwidth_px = 300\nheight_px = 300\nbackground = '#fefdfc'\n[garment]\nheight = '50 %'\n"


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        (tmp_path / "customer.toml").write_text(text)
        return read_specification(tmp_path / "customer.toml")

    return read_text


@pytest.fixture
def cutout(studio):
    drawn = studio()
    return Cutout.of(Photo(drawn.photo, None, (240, 240), exif_bytes(), xmp=b"<x/>"), drawn.alpha)


def opened(delivery):
    image = Image.open(io.BytesIO(delivery.content))
    image.load()
    return image


def box_on_white(image, color, tolerance=0):
    off = (np.abs(np.asarray(image).astype(int) - color) > tolerance).any(-1)
    rows, columns = np.flatnonzero(off.any(1)), np.flatnonzero(off.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_canvas_box_and_background(read, cutout):
    (delivery,) = deliver(cutout, read(SQUARE), subject=FRONT)
    image = opened(delivery)
    assert (image.size, image.mode, image.format) == ((300, 300), "RGB", "PNG")
    left, top, right, bottom = cutout.box_xyxy
    width = round(150 / (bottom - top) * (right - left))
    found = box_on_white(image, (254, 253, 252))
    expected = ((300 - width) // 2, 75, (300 - width) // 2 + width, 225)
    assert np.abs(np.subtract(found, expected)).max() <= 1
    outside = np.asarray(image).copy()
    outside[expected[1] : expected[3], expected[0] : expected[2]] = (254, 253, 252)
    assert (outside == (254, 253, 252)).all(), "the background is exact to the last pixel"


def test_the_views_of_a_garment_share_one_scale(read, cutout):
    specification = read(SQUARE)
    _, top, _, bottom = cutout.box_xyxy
    short = np.array(cutout.alpha)
    short[: top + 60] = 0
    back = replace(cutout, alpha=short)
    scales = shared_scales(specification, [sight_garment(cutout, "Front"), sight_garment(back, "Back")])
    assert scales == (150 / (bottom - top),)
    pictures = [
        opened(deliver(each, specification, subject=subject, scales=scales)[0])
        for each, subject in ((cutout, FRONT), (back, BACK))
    ]
    heights = [box[3] - box[1] for box in (box_on_white(picture, (254, 253, 252)) for picture in pictures)]
    assert abs(heights[0] - 150) <= 1
    assert abs(heights[1] - (bottom - top - 60) * scales[0]) <= 1
    (alone,) = deliver(back, specification, subject=BACK)
    assert abs(box_on_white(opened(alone), (254, 253, 252))[1] - 75) <= 1, "without the others it would be as tall"


def test_views_have_their_own_place(read, cutout):
    specification = read(SQUARE + "[view.Back]\nvertical = 'bottom'\nmargin_bottom = 7\n")
    bottoms = [
        box_on_white(opened(deliver(cutout, specification, subject=subject)[0]), (254, 253, 252))[3]
        for subject in (FRONT, BACK)
    ]
    assert np.abs(np.subtract(bottoms, (225, 293))).max() <= 1


def test_several_outputs_each_in_its_formats(read, cutout):
    text = "[[output]]\ncanvas.width_px = 100\nfile.formats = ['png', 'mask', 'webp', 'tiff']\n"
    text += "[[output]]\ncanvas.width_px = 50\nfile.formats = ['jpeg']\n"
    deliveries = deliver(cutout, read(text), subject=FRONT)
    assert [delivery.format for delivery in deliveries] == ["png", "mask", "webp", "tiff", "jpeg"]
    assert [opened(delivery).size[0] for delivery in deliveries] == [100, 100, 100, 100, 50]
    assert [opened(delivery).mode for delivery in deliveries] == ["RGBA", "L", "RGBA", "RGBA", "RGB"]
    alphas = [np.asarray(opened(delivery).getchannel("A")) for delivery in (deliveries[0], *deliveries[2:4])]
    mask = np.asarray(opened(deliveries[1]))
    assert all((alpha == mask).all() for alpha in alphas)


def test_colours_are_converted_and_the_profile_embedded(read, cutout, tmp_path):
    (tmp_path / "wide.icc").write_bytes(rgb_profile())
    page = (
        "[canvas]\nbackground = '#ff0000'\n[color]\nprofile = 'wide.icc'\n[file]\nformats = ['png', 'jpeg', 'tiff']\n"
    )
    for delivery in deliver(cutout, read(page), subject=FRONT):
        assert opened(delivery).info["icc_profile"] == rgb_profile()
    png = np.asarray(opened(deliver(cutout, read(page), subject=FRONT)[0]))
    solid = cutout.alpha == 1
    np.testing.assert_array_equal(png[solid], convert_colors(cutout.rgb[solid], None, rgb_profile()))
    red = convert_colors(np.uint8([[255, 0, 0]]), None, rgb_profile())[0]
    assert np.abs(png[0, 0].astype(int) - red).max() <= 1


def test_to_srgb(read, cutout):
    wide = replace(cutout, profile=rgb_profile())
    (kept,) = deliver(wide, read(""), subject=FRONT)
    (converted,) = deliver(wide, read("color.profile = 'sRGB'"), subject=FRONT)
    assert opened(kept).info["icc_profile"] == rgb_profile()
    assert opened(converted).info["icc_profile"] == srgb_profile()
    solid = cutout.alpha == 1
    np.testing.assert_array_equal(np.asarray(opened(kept))[solid, :3], cutout.rgb[solid])
    expected = convert_colors(cutout.rgb[solid], rgb_profile(), srgb_profile())
    np.testing.assert_array_equal(np.asarray(opened(converted))[solid, :3], expected)
    assert (np.asarray(opened(converted))[cutout.alpha == 0] == 0).all()


def test_depth(read, cutout):
    deep = replace(cutout, rgb=cutout.rgb * np.uint16(257))
    for source, depth, dtype in (
        (cutout, "'keep'", "u1"),
        (cutout, "16", "u2"),
        (deep, "'keep'", "u2"),
        (deep, "8", "u1"),
    ):
        specification = read(f"[color]\ndepth = {depth}\n[canvas]\nwidth_px = 99\n[file]\nformats = ['png', 'tiff']\n")
        png, tiff = deliver(source, specification, subject=FRONT)
        assert imagecodecs.png_decode(png.content).dtype == dtype
        assert tifffile.imread(io.BytesIO(tiff.content)).dtype == dtype
    (deepened,) = deliver(cutout, read("color.depth = 16\ncanvas.width_px = 99"), subject=FRONT)
    assert (imagecodecs.png_decode(deepened.content)[..., 0] % 257 != 0).any(), (
        "resampled at 16 bits, not widened after"
    )


@pytest.mark.parametrize("format", ["png", "webp", "tiff", "jpeg"])
def test_dpi_and_metadata(read, cutout, format):
    def decoded(page):
        return decode_photo(deliver(cutout, read(f"[file]\nformats = ['{format}']\n{page}"), subject=FRONT)[0].content)

    kept, bare, credit = (decoded(f"metadata = '{policy}'\ndpi = 300\n") for policy in ("keep", "none", "copyright"))
    for photo in (kept, bare, credit):
        assert photo.dpi == pytest.approx((300, 300), abs=0.02)
    assert decoded("").dpi == pytest.approx((240, 240), abs=0.02)

    def tags_of(photo):
        tags = Image.Exif()
        tags.load(photo.exif or b"")
        return {tag for tag in tags if tag not in (274, 282, 283, 296, 305, 531)}

    assert {271, 315, 0x8769, 0x8825} <= tags_of(kept)
    assert tags_of(bare) == set()
    assert tags_of(credit) == {315}
    assert kept.xmp == b"<x/>"
    assert bare.xmp is credit.xmp is None


def test_the_whole_frame_for_a_retoucher(read, cutout, tmp_path):
    page = "[file]\ndpi = 300\nformats = ['psd', 'tiff']\npath = 'editable'\n"
    for delivery in deliver(cutout, read(page), subject=FRONT):
        (tmp_path / f"x.{delivery.format}").write_bytes(delivery.content)
        found = read_cutout(tmp_path / f"x.{delivery.format}")
        np.testing.assert_array_equal(found.alpha, np.rint(cutout.alpha * 255).astype(np.float32) / 255)
        np.testing.assert_array_equal(found.rgb, cutout.rgb)


def test_a_psd_on_a_canvas_keeps_the_photo_around_the_garment(read, cutout, tmp_path):
    (psd,) = deliver(cutout, read(SQUARE + "[file]\nformats = ['psd']\n"), subject=FRONT)
    (tmp_path / "x.psd").write_bytes(psd.content)
    found = read_cutout(tmp_path / "x.psd")
    assert found.alpha.shape == (300, 300)
    assert (found.rgb[found.alpha == 0] > 150).all(), "studio grey, and paper where the photo ends"


def test_a_garment_that_would_have_to_be_enlarged_stays_smaller_and_says_so(read, cutout):
    (delivery,) = deliver(cutout, read("canvas.height_px = 1000\n"), subject=FRONT)
    assert "times enlarged is over garment.max_enlargement" in delivery.notes[0]
    (delivery,) = deliver(cutout, read("canvas.height_px = 1000\ngarment.max_enlargement = 8.0\n"), subject=FRONT)
    assert delivery.notes == ()


def test_a_name_without_view_is_noted(read, cutout):
    specification = read("file.name = '{garment}_{view}'")
    assert deliver(cutout, specification, subject=FRONT)[0].notes == ()
    assert deliver(cutout, specification, subject=Subject("x", "", "x"))[0].notes == (
        "no view in the photo's name: {view} became unknown",
    )


def test_what_cannot_be_delivered(read, cutout):
    with pytest.raises(OutputError, match=r"the garment has .* the canvas has room for 40x40"):
        deliver(cutout, read("garment.resize = false\ncanvas = {width_px = 40, height_px = 40}"), subject=FRONT)
    with pytest.raises(OutputError, match="nothing is visible"):
        deliver(replace(cutout, alpha=np.zeros_like(cutout.alpha)), read(SQUARE), subject=FRONT)


@pytest.mark.parametrize("name", ["marketplace", "web-shop", "agency"])
def test_the_examples_deliver(cutout, name):
    specification = read_specification(Path(__file__).parents[2] / "examples" / "specs" / f"{name}.toml")
    deliveries = deliver(cutout, specification, subject=FRONT)
    sizes = {"marketplace": [(2000, 2000)], "web-shop": [(750, 1000)] * 2 + [(300, 400)], "agency": [(192, 288)] * 2}
    assert [Image.open(io.BytesIO(delivery.content)).size for delivery in deliveries] == sizes[name]


def test_stray_specks_neither_shrink_nor_move_a_garment(read, cutout):
    dirty = cutout.alpha.copy()
    dirty[3:6, 2:5] = 1
    specification = read(SQUARE)
    (clean,) = deliver(cutout, specification, subject=FRONT)
    (found,) = deliver(replace(cutout, alpha=dirty), specification, subject=FRONT)
    assert found.content == clean.content
    assert (clean.notes, found.notes) == ((), ("specks outside the garment left out",))
    frame = read("file.formats = ['mask']")
    (mask,) = deliver(replace(cutout, alpha=dirty), frame, subject=FRONT)
    assert np.asarray(opened(mask))[4, 3] == 255, "in the photo's own frame nothing is left out"
    assert mask.notes == ()


@pytest.mark.parametrize(("policy", "expected"), [("keep", True), ("copyright", False), ("none", False)])
def test_a_psd_has_a_mark_where_metadata_is_wanted(read, cutout, tmp_path, policy, expected):
    (psd,) = deliver(
        replace(cutout, xmp=None), read(f"[file]\nformats = ['psd']\nmetadata = '{policy}'"), subject=FRONT
    )
    (tmp_path / "a.psd").write_bytes(psd.content)
    assert read_cutout(tmp_path / "a.psd").is_unchanged == expected


def test_a_psd_on_a_customers_canvas_says_that_it_holds_no_whole_photo(read, cutout, tmp_path):
    (psd,) = deliver(replace(cutout, xmp=None), read("canvas.width_px = 150\nfile.formats = ['psd']"), subject=FRONT)
    (tmp_path / "a.psd").write_bytes(psd.content)
    with pytest.raises(PhotoError, match="laid on another canvas"):
        read_cutout(tmp_path / "a.psd").read_original()


def test_the_rights_stay_in_xmp(read, cutout):
    source = replace(cutout, xmp=xmp_packet())
    page = "[file]\nformats = ['png']\nmetadata = 'copyright'"
    photo = decode_photo(deliver(source, read(page), subject=FRONT)[0].content)
    assert "Åse Ødegård".encode() in photo.xmp and b"tiff" not in photo.xmp
