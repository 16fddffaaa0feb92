import json

import numpy as np
import pytest
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.evaluation import predict
from garmentcut.evaluation.audit import keep_verdicts
from garmentcut.evaluation.edge import Edge, edge_sample
from garmentcut.evaluation.predict import Outcome, Trial
from garmentcut.model.card import read_model
from garmentcut.prediction.cutter import model_path


def run(*args, foreign=0):
    return CliRunner().invoke(app, ["calibrate", *map(str, args), "--foreign", str(foreign)])


def test_doubt_and_thresholds_go_onto_the_card(red_runs, many_garments, red_model, tmp_path):
    final = red_model(tmp_path / "final.onnx", name="final")
    out = tmp_path / "ours.onnx"
    done = run(red_runs, many_garments, "--risk", 0.2, "--quality", 0.9, "--into", final, "--out", out)
    assert done.exit_code == 0, done.output
    assert "* risk 0.2: accept doubt up to" in done.stdout
    card = read_model(out)[1]
    assert (card.name, card.doubt.num_garments, card.acceptance.quality) == ("final", 24, 0.9)
    assert card.acceptance.threshold_of(0.2).max_doubt is not None
    assert card.acceptance.threshold_of(0.05).max_doubt is None
    assert card.sha256 == read_model(final)[1].sha256  # the network is the same
    before, after = (CliRunner().invoke(app, ["card", str(path)]).stdout for path in (final, out))
    assert "doubt: none; garmentcut calibrate teaches it" in before
    assert "doubt: learned from 24 photos of dataset, none of them in its training; rank correlation" in after
    assert "acceptance: risk 0.2 of falling under 0.9, confidence 0.9: doubt up to" in after
    assert max(map(len, after.splitlines())) < 200


def test_photos_from_elsewhere_are_told_apart_and_with_few_photos_nothing_is_guaranteed(
    red_runs, many_garments, red_model, tmp_path
):
    final, out = red_model(tmp_path / "final.onnx"), tmp_path / "ours.onnx"
    done = run(red_runs, many_garments, "--into", final, "--out", out, "--json", foreign=8)
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["studio"]["photos"], found["foreign"]["photos"]) == (24, 8)
    # In drawn photos the model of red cloth finds nothing; composites are of the red garments.
    assert found["foreign"]["called_foreign"] == 8 - found["foreign"]["refused"] == 4
    assert found["studio"]["called_foreign"] <= 1
    assert len(found["studio"]["quarters"]) == 4
    asked = next(one for one in found["thresholds"] if one["risk"] == 0.05)
    assert (asked["max_doubt"], asked["reason"]) == (None, "cannot: 24 garments, needs at least 45")
    card = read_model(out)[1]  # it can doubt, though it guarantees nothing
    assert card.doubt.foreign_distance == found["foreign_distance"] > 0
    assert "8 photos made to look foreign" in card.doubt.data
    assert card.acceptance.threshold_of(0.05).max_doubt is None


@pytest.fixture
def hastily_learned(monkeypatch):
    """Doubt is learned with one penalty, and judged by halves, where it does not matter what is learned."""
    monkeypatch.setattr("garmentcut.evaluation.uncertainty._STRENGTHS", (0.1,))
    monkeypatch.setattr("garmentcut.evaluation.uncertainty._NUM_FOLDS", 2)


@pytest.mark.usefixtures("hastily_learned")
def test_nothing_is_learned_from_cutouts_that_are_marked_wrong(red_runs, many_garments, red_manifest):
    keep_verdicts(many_garments, {"g3_Front": "wrong", "g7_Front": "wrong", "g8_Front": "right"})
    for run_folder in red_runs.glob("fold*"):  # the verdicts are part of the manifest
        facts = json.loads((run_folder / "run.json").read_text())
        (run_folder / "run.json").write_text(json.dumps(facts | {"data_sha256": red_manifest(many_garments).sha256}))
    for options in ((), ("--edge",)):
        done = run(red_runs, many_garments, "--json", *options)
        assert "garmentcut: left out: 2 cutouts marked wrong" in done.stderr
        found = json.loads(done.stdout)
        assert (found["num_photos"] if options else found["studio"]["photos"]) == 22


@pytest.mark.usefixtures("hastily_learned")
def test_a_model_is_not_calibrated_on_its_own_training(red_model, many_garments, red_manifest, tmp_path):
    learned = tuple(pair.photo_sha256[:12] for pair in red_manifest(many_garments).usable)
    model = red_model(tmp_path / "final.onnx", trained_on=learned)
    done = run(model, many_garments)
    assert done.exit_code == 2
    assert "was trained on all 24 photos" in done.stderr
    forced = run(model, many_garments, "--seen", "--risk", 0.2)
    assert "guarantees nothing for new ones" in forced.stdout


def test_runs_whose_start_may_have_seen_the_photos_guarantee_nothing(red_runs, many_garments, red_model):
    for fold in range(3):
        red_model(red_runs / f"fold{fold}" / "model.onnx", trained_on=("unknown", "0123456789ab"))
    done = run(red_runs, many_garments, "--into", red_runs / "fold0" / "model.onnx")
    assert done.exit_code == 2
    assert "these may have been among them" in " ".join(done.stderr.split())
    assert run(red_runs, many_garments, "--into", red_runs / "fold0" / "model.onnx", "--seen").exit_code == 1


def test_another_networks_errors_guarantee_nothing(red_runs, many_garments, red_model, tmp_path):
    final, out = red_model(tmp_path / "final.onnx", name="final", network="another"), tmp_path / "ours.onnx"
    refused = run(red_runs, many_garments, "--into", final, "--out", out)
    assert refused.exit_code == 2
    assert "is a different network" in refused.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--risk", "0"), "--risk and --confidence must lie between 0 and 1"),
        (("--quality", "1.5"), "--quality above 0 and at most 1"),
        (("--out", "x.onnx"), "holds several models: name the one"),
    ],
)
def test_misuse(red_runs, many_garments, args, message):
    done = run(red_runs, many_garments, *args)
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_embedded_model_is_not_changed(many_garments):
    from garmentcut.prediction.cutter import model_path

    done = run("default", many_garments, "--out", model_path())
    assert done.exit_code == 2
    assert "the embedded model cannot be overwritten" in done.stderr


@pytest.fixture(params=[(1, 1, 1, 1)])
def seen(request, monkeypatch, tmp_path):
    """A studio that cuts so many pixels inside of what the model sees, by garment; a data set and a model file."""
    card = read_model(model_path())[1]
    y, x = np.mgrid[:120, :120]
    found = []
    for garment, inwards_px in enumerate(request.param):
        apart = 30 + garment - np.hypot(y - 60, x - 60)
        logits = (apart * 2 - card.edge_bias) * card.edge_gain
        alpha = (1 / (1 + np.exp(-logits.clip(-60, 60)))).astype(np.float32)
        target = (apart - inwards_px + 0.5).clip(0, 1).astype(np.float32)
        found.append(edge_sample(f"g{garment}", alpha, target, Edge.of(card)))

    class Pair:
        name, verdict = "g_Front", ""

    trial = Trial(tmp_path / "model.onnx", card, (Pair(),) * 5)
    monkeypatch.setattr(predict, "plan_trials", lambda *_, **__: (trial,))
    monkeypatch.setattr("garmentcut.dataset.manifest.read_manifest", lambda _: None)
    outcomes = [*(Outcome(Pair(), card, one) for one in found), Outcome(Pair(), card, None, "too dark")]
    monkeypatch.setattr(predict, "predict", lambda *_: outcomes)
    return tmp_path


def calibrate_edge(*args):
    return CliRunner().invoke(app, ["calibrate", "default", "dataset", "--edge", "--seen", *map(str, args)])


def test_the_edge_is_written_into_the_card(seen):
    done = calibrate_edge("--out", seen / "ours.onnx", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    before, card = read_model(model_path())[1], read_model(seen / "ours.onnx")[1]
    assert told["edge"] == {"edge_bias": card.edge_bias, "edge_gain": card.edge_gain, "choke_px": card.choke_px}
    assert card.edge_bias / 2 + card.choke_px == pytest.approx(1, abs=0.2)
    assert card.sha256 == before.sha256
    assert told["after"]["edge_error_px"] < told["before"]["edge_error_px"]
    assert told["better"] is True


@pytest.mark.parametrize("seen", [(2, -2, 2, -2)], indirect=True)
def test_an_edge_that_does_not_help_other_garments_changes_no_card(seen):
    done = calibrate_edge("--out", seen / "ours.onnx")
    assert done.exit_code == 0, done.output
    assert "the model's own, because a fitted one is no better on other garments" in done.stdout
    before, card = read_model(model_path())[1], read_model(seen / "ours.onnx")[1]
    assert Edge.of(card) == Edge.of(before)
    assert json.loads(calibrate_edge("--json").stdout)["better"] is False


@pytest.mark.usefixtures("seen")
def test_what_was_found_is_told_in_words():
    done = calibrate_edge()
    assert "fitted on 4 photos of 4 garments" in done.stdout
    assert "nothing was written" in done.stdout
