"""The last weights, exported and scored: for real, once."""

import json
from dataclasses import replace

import pytest
import torch

from garmentcut.dataset.manifest import read_manifest
from garmentcut.errors import TrainingError
from garmentcut.evaluation.scores import read_scores
from garmentcut.model.card import read_model
from garmentcut.model.checkpoint import load_network
from garmentcut.study.plan import open_study
from garmentcut.study.scoring import export_run, kept_scores, last_look, last_network, score_run
from garmentcut.training.devices import Devices
from garmentcut.training.loop import train_runs


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """A finished run, small, whose best evaluation was not its last."""
    folder = tmp_path_factory.mktemp("trained")
    torch.set_num_threads(1)
    base = """
    [network]
    name = "simple"
    options = { channels = [4, 8] }
    start = "scratch"
    [data]
    size_hw = [96, 64]
    workers = 1
    [optimizer]
    lr = 0.1
    [schedule]
    name = "constant"
    warmup = 0.0
    [training]
    steps = 12
    batch = 2
    ema = 0.0
    evaluate_every = 2
    """
    (folder / "base.toml").write_text(base)
    (folder / "study.toml").write_text(
        'title = "t"\nquestion = "q"\nrecipe = "base.toml"\nreference = "a"\nseeds = [0]\nfolds = [0]\n[arms.a]\n'
    )
    study = open_study(folder / "study.toml", read_manifest(dataset), folder / "out")
    run = study.run_of(study.cells[0], {})
    list(train_runs([run], Devices("cpu")))
    return run


def test_it_is_the_last_weights_that_count(trained):
    state = torch.load(trained.state_path, weights_only=True)["parts"]["network"]
    network = last_network(trained).state_dict()
    assert all(torch.equal(network[key], value) for key, value in state.items())
    told = json.loads((trained.folder / "run.json").read_text())
    assert last_look(trained).step == 12
    if told["best"]["step"] != 12:  # then the kept weights are others
        best = load_network(trained.best_path)[0].state_dict()
        assert not all(torch.equal(network[key], value) for key, value in best.items())


def test_scores_of_the_held_out_photos_at_their_own_size(trained):
    scores = score_run(trained)
    assert [score.name for score in scores] == [pair.name for pair in trained.division.validation]
    assert {score.split for score in scores} == {"fold0"}
    assert not any(score.seen for score in scores)  # the card lists what it learned from
    assert read_scores(trained.folder) == scores == kept_scores(trained.folder)
    mean = sum(score.measures.dice for score in scores) / len(scores)
    # The photos are as large as the training's, so both looks see the same, but that cutting refuses empty masks.
    assert mean == pytest.approx(last_look(trained).mean_dice, abs=0.02)
    _, card = read_model(trained.folder / "model.onnx")
    assert card.scores[0].mean_dice == pytest.approx(last_look(trained).mean_dice)


def test_a_model_is_exported_once(trained):
    before = export_run(trained).stat().st_mtime_ns
    assert export_run(trained).stat().st_mtime_ns == before


def test_no_photo_that_can_be_read_is_an_error(trained, monkeypatch):
    rows = [replace(row, status="failed", reason="gone", measures=None) for row in kept_scores(trained.folder)]
    monkeypatch.setattr("garmentcut.study.scoring.evaluate", lambda *_: rows)
    with pytest.raises(TrainingError, match="gone; nor could any other"):
        score_run(trained)


def test_a_run_without_a_look_is_no_finished_one(tmp_path, trained):
    with pytest.raises(TrainingError, match="holds no finished training"):
        last_look(replace(trained, folder=tmp_path))
    assert kept_scores(tmp_path) is None
