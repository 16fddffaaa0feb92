import importlib.util
from pathlib import Path

import pytest

from garmentcut.config import ConfigError, OutputConfig, known_keys
from garmentcut.photo.color import srgb_profile
from garmentcut.photo.length import Length
from garmentcut.photo.specification import Output, Specification, read_specification
from garmentcut.photo.specification_sections import Sections

from .made import cmyk_profile, rgb_profile

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples/specs").glob("*.toml"))


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        path = tmp_path / "customer.toml"
        path.write_text(text)
        return read_specification(path)

    return read_text


def test_an_empty_page_is_the_photos_frame_as_png(read):
    assert read("") == Specification((Output(),))
    assert read("").outputs[0].encoding == OutputConfig()


def test_one_output(read):
    (output,) = read(
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


def test_what_stands_outside_of_the_outputs_holds_for_all(read):
    first, second = read(
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


def test_views(read):
    first, second = read(
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


def test_a_profile_lies_beside_the_page(read, tmp_path):
    (tmp_path / "wide.icc").write_bytes(rgb_profile())
    assert read('color.profile = "wide.icc"').outputs[0].profile == rgb_profile()


def test_the_fingerprint_tells_what_decides_the_files(read, tmp_path):
    prints = [
        read(text).fingerprint
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
        prints.append(read('color.profile = "x.icc"').fingerprint)
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
        ("canvas.background = 'white'", "canvas.background: .*, not 'white'"),
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
        ("file.formats = ['gif']", "file.formats.*not 'gif'"),
        ("file.formats = ['png', 'png']", "formats: each format once"),
        ("file.quality = 101", "file.quality"),
        ("file.dpi = 0", "file.dpi"),
        ("file.metadata = 'some'", "file.metadata: .*'copyright', not 'some'"),
        ("file.path = 'exact'", "path: there is none in png"),
        ("canvas.background = '#ffffff'\nfile.hidden = 'keep'", "contradicts"),
    ],
)
def test_errors_name_file_output_and_key(read, tmp_path, text, message):
    (tmp_path / "cmyk.icc").write_bytes(cmyk_profile())
    with pytest.raises(ConfigError, match=message) as caught:
        read(text)
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
    assert all(f"| `{key}` |" in page for key in known_keys(Sections))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_read(path):
    assert read_specification(path).outputs


def test_there_are_three_examples():
    assert len(EXAMPLES) == 3
