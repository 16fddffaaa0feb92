import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.model.card import read_model, with_card
from garmentcut.model.checkpoint import NetworkSpec, load_network, save_network
from garmentcut.model.networks import build_network
from garmentcut.prediction.cutter import model_path


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, studio):
    """A run folder: `simple`, taught to find one garment."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    drawn, network = studio(96, 64), build_network("simple", channels=[8, 16])
    photos = torch.from_numpy(drawn.photo).permute(2, 0, 1)[None] / 255
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(network(photos), torch.from_numpy(drawn.alpha)[None, None]).backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("run")
    spec = NetworkSpec("simple", {"channels": [8, 16]}, (96, 64), "alpha", {"trained_on": ["0" * 12, "f" * 12]})
    save_network(folder / "best.safetensors", network, spec)
    return folder


def test_from_a_run_to_a_cutout(trained, studio, tmp_path):
    result = run("export", trained, "--out", tmp_path / "models" / "mine.onnx", "--name", "mine", "--licence", "ours")
    assert result.exit_code == 0, result.stderr
    assert "mine@" in result.stdout
    assert "for photos of about 64x96 pixels" in result.stdout
    assert "alpha differs from the trained network's by" in result.stdout

    drawn = studio(96, 64)
    Image.fromarray(drawn.photo).save(tmp_path / "dress.png")
    result = run("cut", tmp_path / "dress.png", "--out", tmp_path / "out", "--model", tmp_path / "models" / "mine.onnx")
    assert result.exit_code == 0, result.stderr
    mask = np.asarray(Image.open(tmp_path / "out" / "dress.png"))[..., 3] >= 128
    assert 2 * (mask & (drawn.alpha >= 0.5)).sum() / (mask.sum() + (drawn.alpha >= 0.5).sum()) > 0.97

    shown = run("card", tmp_path / "models" / "mine.onnx").stdout
    assert "photos remembered: 2 photos, whose hashes --json lists" in shown
    assert "licence: ours" in shown
    told = json.loads(run("card", tmp_path / "models" / "mine.onnx", "--json").stdout)
    assert told["trained_on"] == ["0" * 12, "f" * 12]
    assert 0 <= told["parity"] < 1e-4


def test_the_embedded_model_has_a_name():
    assert run("card", "default", "--all").stdout == run("card", "--all").stdout


def test_an_old_card_is_still_shown(tmp_path):
    model, card = read_model(model_path())
    (tmp_path / "old.onnx").write_bytes(with_card(model, replace(card, trained_on=(), parity=None)))
    shown = run("card", tmp_path / "old.onnx").stdout
    assert "photos remembered: none" in shown
    assert "parity: not measured" in run("card", tmp_path / "old.onnx", "--all").stdout


def test_misuse_is_named(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    for weights, says in (
        (tmp_path, "best.safetensors cannot be read: No such file"),
        (tmp_path / "broken.safetensors", "broken.safetensors is damaged"),
    ):
        result = run("export", weights, "--out", tmp_path / "model.onnx")
        assert result.exit_code == 2
        assert says in result.stderr
    (tmp_path / "run" / "folds").mkdir(parents=True)
    result = run("export", tmp_path / "run", "--out", tmp_path / "model.onnx")
    assert "its training is not finished; run the same `garmentcut train` again" in result.stderr
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("state", "step", "left"),
    [
        ({"held_out": ["fold0"], "finished": None}, 40, {"step": 40, "steps": 100, "weights": "best"}),
        ({"held_out": [], "finished": None}, 40, {"step": 40, "steps": 100, "weights": "last"}),
        ({"held_out": ["fold0"], "finished": "2026-11-30"}, 40, None),
        ({"held_out": ["fold0"], "finished": None}, 100, None),  # killed after its last step
    ],
)
def test_an_export_of_an_unfinished_training_says_so(trained, tmp_path, monkeypatch, state, step, left):
    monkeypatch.setattr("garmentcut.export.onnx._onnx_of", lambda *_: b"\x08\x08")
    monkeypatch.setattr("garmentcut.export.onnx.measure_parity", lambda *_: {"openvino": 0.0})
    network, spec = load_network(trained / "best.safetensors")
    facts = {**spec.facts, "step": step, "recipe": {"training": {"steps": 100}}}
    save_network(tmp_path / "best.safetensors", network, replace(spec, facts=facts))
    (tmp_path / "run.json").write_text(json.dumps(state))
    for weights in (tmp_path, tmp_path / "best.safetensors"):
        result = run("export", weights, "--out", tmp_path / "model.onnx", "--json")
        assert (result.exit_code, json.loads(result.stdout)["unfinished"]) == (0, left), result.stderr
        said = left and f"has not finished: an export of its {left['weights']} weights so far, of step 40 of 100"
        assert said in result.stderr if said else not result.stderr


def test_a_failed_export_writes_nothing(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("garmentcut.export.onnx._onnx_of", lambda *_: b"")
    monkeypatch.setattr("garmentcut.export.onnx.measure_parity", lambda *_: {"openvino": 0.01})
    result = run("export", trained, "--out", tmp_path / "model.onnx")
    assert result.exit_code == 1
    assert "the export's alphas differ from torch's, openvino by 0.01" in result.stderr
    assert not any(tmp_path.iterdir())


def test_an_output_that_cannot_be_written(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("garmentcut.export.onnx._onnx_of", lambda *_: b"\x08\x08")
    monkeypatch.setattr("garmentcut.export.onnx.measure_parity", lambda *_: {"openvino": 0.0})
    (tmp_path / "file").touch()
    result = run("export", trained / "best.safetensors", "--out", tmp_path / "file" / "model.onnx", "--json")
    assert result.exit_code == 1
    assert f"{tmp_path / 'file'}: " in result.stderr


def test_card_shows_what_the_model_is():
    card = json.loads(run("card", "--json").stdout)
    assert card["name"]
    done = run("card")
    assert len(done.stdout.splitlines()) <= 10
    assert f"score: mean Dice {card['scores'][0]['mean_dice']:.4f}, median " in done.stdout
    assert done.stderr == "next: garmentcut card --all shows every field\n"
    everything = run("card", "--all").stdout
    assert all(f"{key}: " in everything for key in card if key not in ("scores", "trained_hashes"))
    assert run("card", Path(__file__)).exit_code == 2
