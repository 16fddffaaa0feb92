"""From photos and cutouts to a studio's own model and its numbers: the commands one after another, on six garments."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from garmentcut.cli import app

RECIPE = """
[network]
name = "simple"
options = { channels = [8, 16, 32] }
start = "scratch"
[data]
size_hw = [96, 64]
[augment]
zoom = { p = 0.5, amount = 0.2 }
[optimizer]
lr = 1e-2
[training]
steps = 20
batch = 4
evaluate_every = 10
ema = 0.8
"""


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(*args):
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    assert done.exit_code == 0, f"{args[0]}: {done.output}"
    return done.stdout


def test_six_garments_from_photos_to_cutouts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(RECIPE)
    run("studio", "--out", "photos", "--cutouts", "cutouts", "--garments", 6, "--height", 192)
    run("ingest", "photos", "cutouts", "--out", "dataset", "--folds", 3)
    told = json.loads(run("train", "small.toml", "--data", "dataset", "--out", "run", "--json"))["runs"][0]
    assert told["ended"] == "all steps"
    assert told["best"]["mean_dice"] > 0
    run("export", "run", "--out", "run/model.onnx", "--name", "six", "--licence", "none", "--training-data", "six")
    totals = json.loads(run("evaluate", "run", "dataset", "--report", "report.html", "--json"))
    assert Path("report.html").stat().st_size > 1000
    assert (totals["num_measured"], totals["num_seen"]) == (6, 0)  # the fold that was held out
    cut = json.loads(run("cut", "photos", "--out", "cut", "--model", "run/model.onnx", "--json"))
    assert (cut["cut"], cut["failed"]) == (18, 0)
    assert len(list(Path("cut").glob("*.png"))) == 18
    assert len(json.loads(run("card", "run/model.onnx", "--json"))["trained_on"]) == 12
