import json

import numpy as np
import pytest
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.cli import calibrate as _registered  # noqa: F401
from garmentcut.evaluation import predict
from garmentcut.evaluation.edge import Edge, edge_sample
from garmentcut.evaluation.predict import Outcome
from garmentcut.model.card import read_model
from garmentcut.prediction.cutter import default_model


@pytest.fixture
def seen(monkeypatch, tmp_path):
    """A studio that cuts 1 px inside of what the model sees; a data set and a model file."""
    card = read_model(default_model())[1]
    y, x = np.mgrid[:120, :120]
    found = []
    for garment in range(4):
        apart = 30 + garment - np.hypot(y - 60, x - 60)
        logits = (apart * 2 - card.edge_bias) * card.edge_gain
        alpha = (1 / (1 + np.exp(-logits.clip(-60, 60)))).astype(np.float32)
        target = (apart - 1 + 0.5).clip(0, 1).astype(np.float32)
        found.append(edge_sample(f"g{garment}", alpha, target, Edge.of(card)))

    class Pair:
        name = "g_Front"

    class Trial:
        pairs = [Pair()] * 5

    Trial.card = card
    monkeypatch.setattr(predict, "plan_trials", lambda *_, **__: (Trial(),))
    monkeypatch.setattr("garmentcut.dataset.manifest.read_manifest", lambda _: None)
    outcomes = [*(Outcome(Pair(), card, one) for one in found), Outcome(Pair(), card, None, "too dark")]
    monkeypatch.setattr(predict, "predict", lambda *_: outcomes)
    return tmp_path


def calibrate(*args):
    return CliRunner().invoke(app, ["calibrate", "default", "dataset", "--edge", *map(str, args)])


def test_the_edge_is_written_into_the_card(seen):
    done = calibrate("--out", seen / "ours.onnx", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    before, card = read_model(default_model())[1], read_model(seen / "ours.onnx")[1]
    assert told["edge"] == {"edge_bias": card.edge_bias, "edge_gain": card.edge_gain, "choke_px": card.choke_px}
    assert card.edge_bias / 2 + card.choke_px == pytest.approx(1, abs=0.2)
    assert card.sha256 == before.sha256
    assert told["after"]["rim_error_px"] < told["before"]["rim_error_px"]


@pytest.mark.usefixtures("seen")
def test_what_was_found_is_told_in_words():
    done = calibrate()
    assert "fitted on 4 photos of 4 garments" in done.stdout
    assert "nothing was written" in done.stdout
