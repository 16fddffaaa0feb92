"""`garmentcut cut --spec`."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.photo.color import srgb_profile

ROOT = Path(__file__).parents[2]
PHOTOS, SPECS = ROOT / "examples/photos", ROOT / "examples/specs"


def run(*args):
    return CliRunner().invoke(app, ["cut", *(str(arg) for arg in args)])


def test_the_market_places_files(tmp_path):
    photos = sorted(PHOTOS.glob("15d4*.jpg"))
    result = run(*photos, "--out", tmp_path, "--spec", SPECS / "marketplace.toml")
    assert result.exit_code == 0, result.stderr
    found = sorted(path.name for path in tmp_path.glob("*.jpg"))
    assert found == [f"15d4c04f-e650-59a6-8218-e85a82fe1bfa_0{number}.jpg" for number in (1, 2, 3)]
    heights = []
    for name in found:
        image = Image.open(io.BytesIO((tmp_path / name).read_bytes()))
        assert (image.size, image.info["dpi"]) == ((2000, 2000), (72, 72))
        assert image.info["icc_profile"] == srgb_profile()
        assert not image.getexif()
        shown = np.flatnonzero((np.asarray(image) < 200).any(axis=(1, 2)))
        heights.append(shown[-1] + 1 - shown[0])
    assert max(heights) == pytest.approx(1700, abs=12), "soft hem and JPEG aside, the tallest is 85 % high"
    assert min(heights) < 1640, "the others at the same scale are less"


@pytest.mark.parametrize(
    ("page", "options", "says"),
    [
        ("[canvas]\nwidht_px = 5", [], "customer.toml: canvas.widht_px: unknown key; did you mean canvas.width_px?"),
        ("file.name = '{garment}'", [], "to both"),
        ("", ["--format", "png"], "--spec decides the files: leave --format"),
        ("", ["--set", "output.trim=true"], "--spec decides the files: leave --format"),
        ("color.profile = 'none.icc'", [], "color.profile = 'none.icc': No such file"),
    ],
)
def test_misuse_exits_2_before_the_first_photo(tmp_path, page, options, says):
    (tmp_path / "customer.toml").write_text(page)
    result = run(PHOTOS, "--out", tmp_path / "out", "--spec", tmp_path / "customer.toml", *options)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_missing_specification(tmp_path):
    result = run(PHOTOS, "--out", tmp_path, "--spec", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml: No such file" in result.stderr
