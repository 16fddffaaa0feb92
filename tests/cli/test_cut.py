import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import garmentcut
from garmentcut.cli import app
from garmentcut.synthetic import draw_studio_photo

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/photos"


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_version_and_help():
    assert run("--version").stdout.strip() == garmentcut.__version__
    assert "cut" in run("--help").stdout
    assert run().exit_code == 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere", "--out", "OUT"], "nowhere: no such file or directory"),
        (["PHOTOS", "--out", "PHOTOS"], "must not be the photos' folder"),
        (["", "--out", "OUT"], "an empty path"),
        (["PHOTOS", "--out", ""], "an empty path"),
        (["PHOTOS", "--out", "FILE"], "cannot be the output folder"),
        (["PHOTOS", "--out", "OUT", "--format", "gif"], "output.formats"),
        (["PHOTOS", "--out", "OUT", "--background", "green"], "'green' is not a colour"),
        (["PHOTOS", "--out", "OUT", "--margin", "5"], "set trim too"),
        (["PHOTOS", "--out", "OUT", "--path", "exact"], "path: there is none in png; write tiff, psd or jpeg too"),
        (["PHOTOS", "--out", "OUT", "--format", "psd", "--path", "fine"], "'editable' or 'exact', not 'fine'"),
        (["PHOTOS", "--out", "OUT", "--format", "jpeg", "--quality", "0"], "greater than or equal to 1"),
        (["PHOTOS", "--out", "OUT", "--set", "output.trimm=true"], "did you mean output.trim?"),
        (["PHOTOS", "--out", "OUT", "--set", "runtime.threads"], "section.key=value"),
        (["PHOTOS", "--out", "OUT", "--model", "none.onnx"], "none.onnx: No such file"),
    ],
)
def test_misuse_exits_2_and_says_what_to_change(tmp_path, args, says):
    named = {"PHOTOS": str(EXAMPLES), "OUT": str(tmp_path / "out"), "FILE": str(ROOT / "LICENSE")}
    result = run("cut", *(named.get(arg, arg) for arg in args))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_names_that_the_terminal_cannot_show(tmp_path):
    try:
        (tmp_path / "bad\udcff\nname.jpg").write_bytes(b"no photo")
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    command = [sys.executable, "-m", "garmentcut", "cut", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1
    assert "\\nname.jpg: not a PNG" in done.stdout  # on one line, and without a traceback
    assert done.stderr == ""


def test_missing_arguments_exit_2():
    assert run("cut").exit_code == 2


def test_the_main_job(tmp_path):
    """The six example photos, as a user runs it, from another folder and without a terminal."""
    (tmp_path / "in").mkdir()
    for photo in sorted(EXAMPLES.glob("*.jpg")):
        (tmp_path / "in" / photo.name).write_bytes(photo.read_bytes())
    (tmp_path / "in/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 half a photo")
    command = [sys.executable, "-m", "garmentcut", "cut", "in", "--out", "out", "--format", "png", "--format", "mask"]
    done = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == ""  # no progress bar where nobody looks
    summary = json.loads(done.stdout)
    assert (summary["photos"], summary["cut"], summary["failed"]) == (7, 6, 1)
    assert summary["failures"][0]["input"].endswith("broken.jpg")
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 7
    for photo in EXAMPLES.glob("*.jpg"):
        with Image.open(tmp_path / "out" / f"{photo.stem}.png") as cutout, Image.open(photo) as original:
            assert cutout.mode == "RGBA"
            assert cutout.size == original.size
            alpha = np.asarray(cutout.getchannel("A"))
        with Image.open(tmp_path / "out" / f"{photo.stem}_mask.png") as mask:
            assert np.array_equal(np.asarray(mask), alpha)
        seed = {"15d4c04f": 615, "89b7720b": 209}[photo.stem[:8]]
        target = draw_studio_photo(seed, view=photo.stem.partition("_")[2]).alpha >= 0.5
        assert 2 * (target & (alpha >= 128)).sum() / (target.sum() + (alpha >= 128).sum()) > 0.95
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 1
    assert "6 done before" in again.stdout
    assert "broken.jpg" in again.stdout


def test_card_shows_what_the_model_is():
    result = run("card", "--json")
    assert json.loads(result.stdout)["name"]
    assert "training_data" in run("card").stdout
    assert run("card", ROOT / "pyproject.toml").exit_code == 2


def test_a_risk_needs_a_calibrated_model(tmp_path):
    done = run("cut", ROOT / "examples/photos", "--out", tmp_path / "out", "--accept-risk", "0.05")
    assert done.exit_code == 2
    assert "vouches for no photo: run `garmentcut calibrate`" in done.stderr
    assert not (tmp_path / "out").exists()
