import importlib.util
import io
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from garmentcut.config import OutputConfig, known_keys
from garmentcut.errors import ConfigError, OutputError, PhotoError
from garmentcut.photo.color import convert_colors, srgb_profile
from garmentcut.photo.layout import Length
from garmentcut.photo.photo import Cutout, Photo
from garmentcut.photo.read import decode_photo
from garmentcut.photo.spec import (
    FilledPattern,
    Output,
    Sections,
    Specification,
    Subject,
    check_pattern,
    deliver,
    fill_pattern,
    read_specification,
    shared_scales,
    sight_garment,
)
from garmentcut.photo.truth import read_cutout

from .made import cmyk_profile, exif_bytes, rgb_profile, xmp_packet

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples/specs").glob("*.toml"))


@pytest.fixture
def read_page(tmp_path):
    def read_text(text):
        path = tmp_path / "customer.toml"
        path.write_text(text)
        return read_specification(path)

    return read_text


def test_an_empty_page_is_the_photos_frame_as_png(read_page):
    assert read_page("") == Specification((Output(),))
    assert read_page("").outputs[0].encoding == OutputConfig()


def test_one_output(read_page):
    (output,) = read_page(
        """
        [canvas]
        width_px = 2000
        aspect = "1:1"
        background = "#ffffff"
        shadow = "off"
        [garment]
        height = "85 %"
        [color]
        profile = "sRGB"
        depth = 8
        [file]
        formats = ["jpeg"]
        quality = 90
        dpi = 300
        """
    ).outputs
    assert output.sections.canvas.size_hw == (2000, 2000)
    assert output.sections.garment.height == Length(85, is_share=True)
    assert output.profile == srgb_profile()
    assert output.encoding == OutputConfig(formats=("jpeg",), quality=90, background="#ffffff")
    assert output.sections.file.dpi == 300


def test_what_stands_outside_of_the_outputs_holds_for_all(read_page):
    first, second = read_page(
        """
        [canvas]
        height_px = 1000
        [file]
        name = "{stem}"
        dpi = 72
        [[output]]
        canvas.width_px = 500
        [[output]]
        [output.canvas]
        height_px = 300
        [output.file]
        name = "small/{stem}"
        """
    ).outputs
    assert first.sections.canvas.size_hw == (1000, 500)
    assert second.sections.canvas.size_hw == (300, None)
    assert (first.sections.file.name, second.sections.file.name) == ("{stem}", "small/{stem}")
    assert first.sections.file.dpi == second.sections.file.dpi == 72


def test_views(read_page):
    first, second = read_page(
        """
        [garment]
        margin = 10
        horizontal = "left"
        [view.Back]
        horizontal = "right"
        margin_top = "5 %"
        [[output]]
        garment.margin = 20
        [[output]]
        view.Back.margin_top = 3
        file.name = "b{stem}"
        """
    ).outputs
    assert first.garment_of("Front") == first.garment_of("") == first.sections.garment
    assert first.sections.garment.margin == Length(20)
    back = first.garment_of("Back")
    assert (back.horizontal, back.margin, back.margin_top) == ("right", Length(20), Length(5, is_share=True))
    assert second.garment_of("Back").margin_top == Length(3)


def test_a_profile_lies_beside_the_page(read_page, tmp_path):
    (tmp_path / "wide.icc").write_bytes(rgb_profile())
    assert read_page('color.profile = "wide.icc"').outputs[0].profile == rgb_profile()


def test_the_fingerprint_tells_what_decides_the_files(read_page, tmp_path):
    prints = [
        read_page(text).fingerprint
        for text in (
            "",
            "# a remark\n[canvas]\n",
            "[file]\ndpi = 72",
            "[view.Back]\nmargin = 0",
            "[garment]\nmargin = 0",
        )
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4
    for gamma in (1.8, 2.2):
        (tmp_path / "x.icc").write_bytes(rgb_profile(gamma))
        prints.append(read_page('color.profile = "x.icc"').fingerprint)
    assert prints[-1] != prints[-2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[canvas\n", r"customer.toml: "),
        ("[canvas]\nwidht_px = 5", "customer.toml: canvas.widht_px: unknown key; did you mean canvas.width_px?"),
        ("[canvvas]\nwidth_px = 5", r"customer.toml: canvvas: unknown key; did you mean canvas\?"),
        ("[[outputs]]\nfile.dpi = 5", r"outputs: unknown key; did you mean output\?"),
        ("dpi = 5", r"dpi: unknown key"),
        ("canvas = 5", r"customer.toml: canvas: write \[canvas\] above its keys"),
        ("view = 5", r"customer.toml: view: write \[view\]"),
        ("view.Back = 5", r"customer.toml: view.Back: write \[view.Back\]"),
        ("[output]\nfile.dpi = 5", r"output: write \[\[output\]\] above"),
        ("output = []", r"output: write \[\[output\]\]"),
        ("output = [5]", r"output: write \[\[output\]\]"),
        ("[view.Bakc]\nmargin = 0", r"customer.toml: view.Bakc: unknown key; did you mean view.Back\?"),
        (
            "[view.Back]\nhorizontl = 'left'",
            r"customer.toml, view.Back: garment.horizontl: unknown key; did you mean garment.horizontal\?",
        ),
        (
            "[[output]]\n[[output]]\nfile.dpy = 72",
            "customer.toml, output 2: file.dpy: unknown key; did you mean file.dpi",
        ),
        ("canvas.width_px = 0", "canvas.width_px: .*greater than or equal to 1, not 0"),
        ("canvas.width_px = 31000", "canvas.width_px: .*less than or equal to 30000"),
        ("canvas.width_px = 20000\ncanvas.height_px = 20000", "canvas: 20000x20000 pixels; at most .* 100 megapixels"),
        ("canvas.width_px = 4\ncanvas.aspect = '1:9999'\n", "canvas: 4x39996 pixels; at most 30000 a side"),
        ("canvas.aspect = '3/4'", "canvas.aspect: .*, not '3/4'"),
        ("canvas = {aspect = '3:4', width_px = 3, height_px = 4}", "canvas: aspect follows from"),
        ("canvas.background = 'blanc'", "canvas.background: .*'blanc'"),
        ("canvas.shadow = 'soft'", "canvas.shadow: Input should be 'off', not 'soft'"),
        (
            "garment.height = '85 cm'",
            "garment.height: '85 cm' is neither pixels such as 1700 nor per cent such as '85 %'",
        ),
        ("garment.height = 0", "garment: height must be more than 0"),
        ("garment.vertical = 'middle'", "garment.vertical: .*'baseline', not 'middle'"),
        ("garment.vertical = 'baseline'", "garment: vertical = 'baseline' needs the key baseline too"),
        ("garment = {resize = false, height = 5}", "garment: resize = false keeps the size"),
        ("garment.resize = 1", "garment.resize: .*boolean, not 1"),
        ("garment.max_enlargement = 0.0", "garment.max_enlargement"),
        ("garment.horizontal = 'left'", "garment: without canvas, size or margin"),
        ("canvas.height_px = 10\nview.Back.margin = 5", "customer.toml, view.Back: garment.margin_top .*no room"),
        ("color.depth = 12", "color.depth: .*not 12"),
        ("color.depth = 16\nfile.formats = ['jpeg', 'webp']", "color.depth = 16, but jpeg and webp hold 8; write png"),
        ("color.profile = 'AdobeRGB'", "color.profile = 'AdobeRGB': No such file or directory; use keep, sRGB or"),
        ("color.profile = 'cmyk.icc'", "color.profile = 'cmyk.icc': a profile of CMYK colours"),
        ("file.name = '{sku}'", r"file.name = '\{sku\}': unknown field \{sku\}; fields are \{garment\}"),
        ("file.formats = 'png'", "file.formats: should be a list"),
        ("file.formats = ['gif']", "file.formats: 'gif' is not a format; use one of png, mask"),
        ("file.formats = ['png', 'png']", "formats: name each format only once"),
        ("file.quality = 101", "file.quality"),
        ("file.dpi = 0", "file.dpi"),
        ("file.dpi = true", "file.dpi"),
        ('file.dpi = "300"', "file.dpi"),
        ("file.metadata = 'some'", "file.metadata: .*'copyright', not 'some'"),
        ("file.path = 'exact'", "customer.toml.*: file.path: png cannot hold one"),
        (
            "canvas.background = '#ffffff'\nfile.hidden = 'keep'",
            "canvas.background covers .* file.hidden",
        ),
    ],
)
def test_errors_name_file_output_and_key(read_page, tmp_path, text, message):
    (tmp_path / "cmyk.icc").write_bytes(cmyk_profile())
    with pytest.raises(ConfigError, match=message) as caught:
        read_page(text)
    assert str(caught.value).startswith(str(tmp_path / "customer.toml"))


def test_a_page_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"missing.toml: No such file"):
        read_specification(tmp_path / "missing.toml")


def test_the_page_in_the_docs_is_fresh():
    spec = importlib.util.spec_from_file_location("write_cli_docs", ROOT / "scripts/write_cli_docs.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.specification_page()
    assert (ROOT / "docs/specification.md").read_text() == page, "run: python scripts/write_cli_docs.py"
    assert all(f"\n- `{key}`" in page for key in known_keys(Sections))


def test_the_example_in_the_docs_is_read(tmp_path):
    page = (ROOT / "docs/specification.md").read_text()
    (tmp_path / "customer.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    (output,) = read_specification(tmp_path / "customer.toml").outputs
    assert output.sections.file.formats == ("jpeg",)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_read(path):
    assert read_specification(path).outputs


def test_there_are_three_examples():
    assert len(EXAMPLES) == 3


DRESS = Subject("12_34", "Front", "12_34_Front")


@pytest.mark.parametrize(
    ("pattern", "counter", "name"),
    [
        ("{stem}", 1, "12_34_Front"),
        ("{garment}/{garment}_{view}", 1, "12_34/12_34_Front"),
        ("{garment}_{counter}", 12, "12_34_12"),
        ("shop-{counter:03}-{view}", 7, "shop-007-Front"),
        ("{counter:02}", 100, "100"),
        ("{{x}}{view}", 1, "{x}Front"),
        ("plain", 1, "plain"),
    ],
)
def test_fields(pattern, counter, name):
    check_pattern(pattern, "a.toml")
    assert fill_pattern(pattern, DRESS).numbered(counter) == name


def test_a_photo_without_view():
    assert fill_pattern("{garment}_{view}", Subject("IMG_0001", "", "IMG_0001")).numbered(1) == "IMG_0001_unknown"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{garmet}", r"unknown field \{garmet\}; fields are \{garment\}, \{view\}, \{stem\}, \{counter\}"),
        ("{}", r"unknown field \{\}"),
        ("{stem.x}", "unknown field"),
        ("{0}", "unknown field"),
        ("{stem", "expected '}'"),
        ("stem}", "fields are"),
        ("{stem:03}", r"only \{counter\} has a width"),
        ("{counter!r}", "only {counter} has a width"),
        ("{counter:>9}", "only {counter} has a width"),
        ("{counter}{counter}", "at most once"),
        ("a:{stem}", "refuse"),
        ("a\\{stem}", "refuse"),
        ("{stem}\0", "refuse"),
        ("", "no empty part"),
        ("/{stem}", "no empty part"),
        ("../{stem}", "no empty part"),
        ("a//{stem}", "no empty part"),
        ("{stem}/", "no empty part"),
        ("{stem}.", "no empty part"),
        (" {stem}", "no empty part"),
    ],
)
def test_patterns_that_name_no_file(pattern, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_pattern(pattern, "a.toml")
    assert str(caught.value).startswith("a.toml: file.name = ")


def test_the_counter_in_a_name():
    filled = FilledPattern("a_", "_z", 3)
    assert [filled.counter_of(name) for name in ("a_007_z", "a_1000_z", "a_7_z", "b_007_z", "a_007", "a_x07_z")] == [
        7,
        1000,
        None,
        None,
        None,
        None,
    ]
    assert FilledPattern("ab", "ba", 1).counter_of("aba") is None


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
    with pytest.raises(OutputError, match="nothing of the garment is visible"):
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
