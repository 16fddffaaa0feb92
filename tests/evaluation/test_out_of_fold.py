import numpy as np
import pytest

from garmentcut.evaluation.doubt_fit import experience_of
from garmentcut.evaluation.out_of_fold import look_at
from garmentcut.evaluation.trials import plan_trials


def test_every_pair_is_looked_at_in_order(tmp_path, red_model, red_dataset):
    seen = [pair.photo_sha256[:12] for pair in red_dataset.usable if pair.garment == "g0"]
    trials = plan_trials(red_model(tmp_path / "red.onnx", trained_on=tuple(seen)), red_dataset)
    outcomes = list(look_at(trials, red_dataset, lambda prediction: prediction))
    assert [outcome.pair for outcome in outcomes] == list(red_dataset.usable)
    for outcome in outcomes:
        np.testing.assert_allclose(outcome.found.alpha, outcome.found.target, atol=0.02) if (
            outcome.pair.name != "g5_Back"
        ) else None
        assert outcome.found.observation is not None
        assert outcome.found.seen is (outcome.pair.garment == "g0")


def test_what_is_learned_from_a_photo(tmp_path, red_model, red_dataset):
    trials = plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)
    known = {outcome.pair.name: outcome.found for outcome in look_at(trials, red_dataset, experience_of)}
    assert known["g0_Front"].quality == 1.0
    assert known["g5_Back"].quality == pytest.approx(
        2 * (50 - 2 * 3 + 1) / 148, abs=0.2
    )  # two of four sides lie 3 px off
    assert (known["g5_Back"].garment, known["g5_Back"].seen) == ("g5", None)
    assert known["g5_Back"].signs.shape == (12,)


def test_one_bad_file_stops_nobody(tmp_path, red_model, red_dataset):
    red_dataset.path_of(red_dataset.usable[1].photo).write_bytes(b"junk")
    trials = plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)
    outcomes = list(look_at(trials, red_dataset, experience_of))
    assert [outcome.found is None for outcome in outcomes] == [False, True, *[False] * 10]
    assert "not a PNG" in outcomes[1].reason


def test_a_refused_photo_is_an_empty_cutout(tmp_path, red_model, red_dataset):
    from garmentcut.photo.files import write_atomic
    from garmentcut.photo.png import png_bytes

    write_atomic(red_dataset.path_of(red_dataset.usable[0].photo), png_bytes(np.full((96, 64, 3), 200, np.uint8)))
    trials = plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)
    first = next(iter(look_at(trials, red_dataset, experience_of))).found
    assert (first.quality, first.signs) == (0.0, None)
