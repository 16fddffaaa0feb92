import json

import numpy as np
import pytest
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.cli import calibrate as _registered  # noqa: F401
from garmentcut.config import RuntimeConfig
from garmentcut.model.card import read_model
from garmentcut.prediction.cutter import Cutter


@pytest.fixture
def model(tmp_path, red_model):
    return red_model(tmp_path / "red.onnx")


def calibrate(model, dataset, *args):
    return CliRunner().invoke(app, ["calibrate", str(model), str(dataset.folder), "--int8", *map(str, args)])


def test_ranges_are_written_into_the_card_and_used(tmp_path, model, red_dataset):
    out = tmp_path / "fast.onnx"
    done = calibrate(model, red_dataset, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    card = read_model(out)[1]
    told = {name: tuple(ends) for name, ends in json.loads(done.stdout)["ranges"].items()}
    assert card.int8_ranges == told != {}
    assert card.sha256 == read_model(model)[1].sha256
    photo = np.full((96, 64, 3), 200, np.uint8)
    photo[20:70, 20:44] = 250, 13, 7
    plain, fast = (Cutter.load(path, config=RuntimeConfig(backend="openvino"))(photo) for path in (model, out))
    assert np.array_equal(plain.alpha >= 0.5, fast.alpha >= 0.5)


def test_what_was_found_is_told_in_words(model, red_dataset):
    done = calibrate(model, red_dataset)
    assert "8 bits: 1 of 1 convolutions" in done.stdout
    assert "8 other crops: mean Dice 1.00000" in done.stdout
    assert "nothing was written" in done.stdout


def test_misuse_is_said(tmp_path, model, red_dataset, red_runs):
    others = calibrate(model, red_dataset, "--into", red_runs / "fold0/model.onnx", "--out", tmp_path / "a.onnx")
    assert (others.exit_code, "name that one, without --into" in others.stderr) == (2, True)
    several = calibrate(red_runs, red_dataset)
    assert (several.exit_code, "holds several models" in several.stderr) == (2, True)
