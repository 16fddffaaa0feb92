import json

import pytest
from typer.testing import CliRunner

from garmentcut.cli import app, calibrate  # noqa: F401 registers the command
from garmentcut.model.card import read_model


def run(*args):
    return CliRunner().invoke(app, ["calibrate", *map(str, args)])


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


def test_too_few_photos_are_told_and_nothing_is_promised(red_runs, many_garments, red_model, tmp_path):
    final, out = red_model(tmp_path / "final.onnx"), tmp_path / "ours.onnx"
    done = run(red_runs, many_garments, "--into", final, "--out", out, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    asked = next(one for one in found["thresholds"] if one["risk"] == 0.05)
    assert (asked["max_doubt"], asked["reason"]) == (None, "cannot: 24 garments, needs at least 45")
    card = read_model(out)[1]
    assert card.doubt is not None  # it can doubt, though it promises nothing
    assert card.acceptance.threshold_of(0.05).max_doubt is None


def test_a_model_is_not_calibrated_on_its_own_training(red_model, many_garments, red_manifest, tmp_path):
    learned = tuple(pair.photo_sha256[:12] for pair in red_manifest(many_garments).usable)
    model = red_model(tmp_path / "final.onnx", trained_on=learned)
    done = run(model, many_garments)
    assert done.exit_code == 2
    assert "was trained on all 24 photos" in done.stderr
    forced = run(model, many_garments, "--seen", "--risk", 0.2)
    assert "promises nothing for new ones" in forced.stdout


def test_another_networks_errors_promise_nothing(red_runs, many_garments, red_model, tmp_path):
    final, out = red_model(tmp_path / "final.onnx", name="final", network="another"), tmp_path / "ours.onnx"
    refused = run(red_runs, many_garments, "--into", final, "--out", out)
    assert refused.exit_code == 2
    assert "is another network" in refused.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--risk", "0"), "--risk and --confidence lie between 0 and 1"),
        (("--quality", "1.5"), "--quality above 0 and up to 1"),
        (("--out", "x.onnx"), "holds several models: name the one"),
    ],
)
def test_misuse(red_runs, many_garments, args, message):
    done = run(red_runs, many_garments, *args)
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_embedded_model_is_not_changed(many_garments):
    from garmentcut.prediction.cutter import default_model

    done = run("default", many_garments, "--out", default_model())
    assert done.exit_code == 2
    assert "the embedded model is not changed" in done.stderr


def test_the_card_says_what_was_found_in_two_lines(red_runs, many_garments, red_model, tmp_path):
    final, out = red_model(tmp_path / "final.onnx"), tmp_path / "ours.onnx"
    run(red_runs, many_garments, "--risk", 0.2, "--quality", 0.9, "--into", final, "--out", out)
    before, after = (CliRunner().invoke(app, ["card", str(path)]).stdout for path in (final, out))
    assert "doubt: none: garmentcut calibrate teaches it" in before
    assert "doubt: learned from 24 photos of dataset, none of them in its training; rank correlation" in after
    assert "acceptance: risk 0.2 of falling under 0.9, confidence 0.9: doubt up to" in after
    assert max(map(len, after.splitlines())) < 200
