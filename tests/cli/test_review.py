import json
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import garmentcut.cli.review  # registers its command
from garmentcut.cli import app
from garmentcut.prediction.folder import Order, record_order
from garmentcut.review import app as review_app


def run(*args):
    return CliRunner().invoke(app, ["review", *map(str, args)])


@pytest.fixture
def batch(tmp_path):
    record_order(tmp_path, "options", Order())
    return tmp_path


@pytest.fixture
def served(monkeypatch):
    """What the command asks the server for, instead of a server."""
    calls = []

    def serve(settings, listening, *, token, say, open_browser):
        calls.append((settings, listening.getsockname(), token, open_browser))
        say("http://127.0.0.1:1/")

    monkeypatch.setattr(review_app, "serve", serve)
    return calls


def test_it_prints_its_link_and_opens_the_page(batch, served):
    result = run(batch, "--port", 0)
    assert (result.exit_code, result.stdout) == (0, "http://127.0.0.1:1/\n")
    settings, (host, _port), token, opens = served[0]
    assert (settings.folder, settings.database, settings.model) == (batch, None, None)
    assert (host, token, opens) == ("127.0.0.1", None, True)


def test_options(batch, served, tmp_path):
    model, url = tmp_path / "m.onnx", "postgresql://me@db/review"
    options = ["--no-open", "--model", model, "--database", url, "--token", "long-enough-a-token"]
    assert run(batch, "--port", 0, *options, "--set", "runtime.threads=1").exit_code == 0
    settings, _, token, opens = served[0]
    assert (settings.model, settings.database, settings.runtime.threads) == (model, url, 1)
    assert (token, opens) == ("long-enough-a-token", False)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--token", "short"], "--token: use at least 12 characters"),
        (["--token", "Schlüssel-des-Studios"], "--token: use ASCII letters"),
        (["--token", " with blanks around "], "--token: use ASCII letters"),
        (["--set", "runtime.threds=1"], "did you mean runtime.threads?"),
        (["--database", "mysql://x/y"], "mysql: not a supported database"),
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7:0"),
        (["--host", "a..b"], "cannot listen on a..b:0"),
    ],
)
def test_misuse_is_said_in_a_line(batch, options, reason):
    result = run(batch, "--port", 0, "--no-open", *options)
    assert result.exit_code == 2 and reason in result.stderr
    assert "secret" not in result.stderr


def test_serve_needs_no_folder(monkeypatch):
    calls = []

    def serve_cuts(model, listening, *, token, say):
        calls.append((model, listening.getsockname()[0], token))
        say("http://127.0.0.1:1/cut")

    monkeypatch.setattr(review_app, "serve_cuts", serve_cuts)
    result = CliRunner().invoke(app, ["serve", "--port", "0", "--token", "long-enough-a-token"])
    assert (result.exit_code, result.stdout) == (0, "http://127.0.0.1:1/cut\n")
    assert result.stderr.startswith("next: send a photo: curl --data-binary @photo.jpg FIRST_ADDRESS")
    assert calls[0][1:] == ("127.0.0.1", "long-enough-a-token")
    assert CliRunner().invoke(app, ["serve", "--token", "short"]).exit_code == 2


def test_a_sheet_without_doubtful_cutouts_names_what_to_open(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cutouts").mkdir()
    cutout = Image.new("RGBA", (400, 600))
    cutout.paste((200, 0, 0, 255), (100, 100, 300, 500))
    cutout.save(tmp_path / "cutouts/a.png")
    result = CliRunner().invoke(app, ["sheet", "cutouts"])
    assert (result.exit_code, result.stderr) == (0, "next: open sheet.jpg\n")


def test_a_folder_that_is_no_batch(tmp_path):
    result = run(tmp_path, "--port", 0, "--no-open")
    assert result.exit_code == 2
    assert f"nothing was cut into this folder; run `garmentcut cut PHOTOS --out {tmp_path}` first" in result.stderr
    result = run(tmp_path / "none", "--port", 0, "--no-open")
    assert result.exit_code == 2 and "none: no such folder" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(batch, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [name for name in sys.modules if name.startswith("garmentcut.review")]:
        monkeypatch.delitem(sys.modules, name)
    # A second import also binds the new module to its parent, which undoing sys.modules alone would leave there.
    if hasattr(garmentcut, "review"):
        monkeypatch.delattr(garmentcut, "review")
    result = run(batch)
    assert result.exit_code == 2 and "pip install 'garmentcut[web]'" in result.stderr


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


def run_sheet(*args):
    return CliRunner().invoke(app, ["sheet", *map(str, args)])


def count(path, color):
    with Image.open(path) as image:
        return int((np.asarray(image) == color).all(axis=-1).sum())


def test_three_grounds_by_default(cutouts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_sheet(cutouts)
    assert (result.exit_code, result.stdout) == (0, "2 cutouts: sheet.jpg\n")
    with Image.open("sheet.jpg") as image:
        assert image.format == "JPEG"


def test_the_grounds_asked_for(cutouts, tmp_path):
    out, area = tmp_path / "sheet.png", 80 * 60 - 40 * 20
    assert run_sheet(cutouts, "--out", out, "--ground", "#00ff00", "--ground", "white", "--cell", 80).exit_code == 0
    assert count(out, (0, 255, 0)) == 2 * area
    assert count(out, TEAL) == 4 * 800
    assert run_sheet(cutouts, "--out", out, "--ground", "all", "--cell", 80).exit_code == 0
    assert count(out, (255, 0, 170)) == 2 * area
    assert count(out, TEAL) == 6 * 800


def test_marked_cutouts_are_listed(cutouts, tmp_path):
    (cutouts / "torn\n.png").write_bytes((cutouts / "dress_Back.png").read_bytes()[:50])
    Image.new("RGBA", (30, 40)).save(cutouts / "empty.png")
    args = (cutouts, "--out", tmp_path / "sheet.png", "--cell", 64, "--columns", 1, "--rows-per-page", 3)
    result = run_sheet(*args)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"3 cutouts (1 doubtful), 1 failed: 2 pages, {tmp_path}/sheet_001.png to {tmp_path}/sheet_002.png",
        "doubtful: empty (sheet_001.png): empty: nothing is visible",
        "failed: torn\\n (sheet_002.png): truncated PNG; copy or export it again",
    ]
    summary = json.loads(run_sheet(*args, "--json").stdout)
    assert (summary["cutouts"], summary["doubtful"], summary["failed"], summary["not_finished"]) == (3, 1, 1, 0)
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
    result = run_sheet(*(cutouts if arg == "CUTOUTS" else arg for arg in args))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_a_sheet_that_cannot_be_written(cutouts, tmp_path):
    (tmp_path / "file").write_text("")
    result = run_sheet(cutouts, "--out", tmp_path / "file/sheet.jpg", "--cell", 64)
    assert result.exit_code == 1
    assert "file" in result.stderr


def test_limits_are_settings(cutouts, tmp_path):
    result = run_sheet(cutouts, "--out", tmp_path / "sheet.jpg", "--set", "read.max_side_px=50")
    assert result.exit_code == 1
    assert "a side is over read.max_side_px = 50" in result.stdout
