import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import garmentcut.cli.sheet  # noqa: F401 registers its command
from garmentcut.cli import app

TEAL = (10, 120, 130)


@pytest.fixture
def cutouts(tmp_path):
    folder = tmp_path / "cutouts"
    folder.mkdir()
    for name in ("dress_Back", "dress_Front"):
        pixels = np.zeros((60, 40, 4), np.uint8)
        pixels[10:50, 10:30] = (*TEAL, 255)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def run(*args):
    return CliRunner().invoke(app, ["sheet", *map(str, args)])


def count(path, color):
    with Image.open(path) as image:
        return int((np.asarray(image) == color).all(axis=-1).sum())


def test_three_grounds_by_default(cutouts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(cutouts)
    assert (result.exit_code, result.stdout) == (0, "2 cutouts: sheet.jpg\n")
    with Image.open("sheet.jpg") as image:
        assert image.format == "JPEG"


def test_the_grounds_asked_for(cutouts, tmp_path):
    out, area = tmp_path / "sheet.png", 80 * 60 - 40 * 20
    assert run(cutouts, "--out", out, "--ground", "#00ff00", "--ground", "white", "--cell", 80).exit_code == 0
    assert count(out, (0, 255, 0)) == 2 * area
    assert count(out, TEAL) == 4 * 800
    assert run(cutouts, "--out", out, "--ground", "all", "--cell", 80).exit_code == 0
    assert count(out, (255, 0, 170)) == 2 * area
    assert count(out, TEAL) == 6 * 800


def test_marked_cutouts_are_listed(cutouts, tmp_path):
    (cutouts / "torn\n.png").write_bytes((cutouts / "dress_Back.png").read_bytes()[:50])
    Image.new("RGBA", (30, 40)).save(cutouts / "empty.png")
    args = (cutouts, "--out", tmp_path / "sheet.png", "--cell", 64, "--columns", 1, "--rows-per-page", 3)
    result = run(*args)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"4 cutouts, 1 doubtful, 1 failed: 2 pages, {tmp_path}/sheet_001.png to {tmp_path}/sheet_002.png",
        "doubtful: empty (sheet_001.png): empty: nothing is visible",
        "failed: torn\\n (sheet_002.png): truncated PNG; copy or export it again",
    ]
    summary = json.loads(run(*args, "--json").stdout)
    assert (summary["cutouts"], summary["doubtful"], summary["failed"], summary["not_finished"]) == (4, 1, 1, 0)
    assert summary["pages"] == [str(tmp_path / f"sheet_00{number}.png") for number in (1, 2)]
    assert summary["marked"][1] == {
        "name": "torn\n",
        "page": str(tmp_path / "sheet_002.png"),
        "mark": "failed",
        "reason": "truncated PNG; copy or export it again",
    }


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["CUTOUTS", "--ground", "green"], "'green' is not a ground; use checkerboard, white, all or a colour"),
        (["CUTOUTS", "--out", "sheet.gif"], "sheet.gif: a sheet is written as"),
        (["CUTOUTS", "--set", "read.max_mbb=1"], "did you mean read.max_mb?"),
        (["CUTOUTS", "--cell", "4001"], "--cell"),
    ],
)
def test_misuse_exits_2_and_says_what_to_change(cutouts, tmp_path, monkeypatch, args, says):
    monkeypatch.chdir(tmp_path)
    result = run(*(cutouts if arg == "CUTOUTS" else arg for arg in args))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_a_sheet_that_cannot_be_written(cutouts, tmp_path):
    (tmp_path / "file").write_text("")
    result = run(cutouts, "--out", tmp_path / "file/sheet.jpg", "--cell", 64)
    assert result.exit_code == 1
    assert "file" in result.stderr


def test_limits_are_settings(cutouts, tmp_path):
    result = run(cutouts, "--out", tmp_path / "sheet.jpg", "--set", "read.max_side_px=50")
    assert result.exit_code == 1
    assert "a side is over read.max_side_px = 50" in result.stdout
