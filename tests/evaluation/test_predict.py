import json
from dataclasses import replace

import numpy as np
import pytest

from garmentcut.dataset.manifest import Manifest, fault_of
from garmentcut.errors import ModelError
from garmentcut.evaluation.metrics import measure
from garmentcut.evaluation.predict import EvaluationError, find_seen, plan_trials, predict
from garmentcut.evaluation.scores import evaluate
from garmentcut.evaluation.uncertainty import experience_of
from garmentcut.model.card import read_model
from garmentcut.photo.files import write_atomic
from garmentcut.photo.write import png_bytes


@pytest.fixture
def runs(tmp_path, red_model, red_dataset):
    """A folder of three folds, each with its own held-out split."""
    for fold in range(3):
        folder = tmp_path / f"runs/fold{fold}"
        red_model(folder / "model.onnx", name=f"red{fold}")
        facts = {"held_out": [f"fold{fold}"], "data_sha256": red_dataset.sha256}
        (folder / "run.json").write_text(json.dumps(facts))
    return tmp_path / "runs"


def names(trial):
    return {pair.name for pair in trial.pairs}


def test_a_model_file_is_tried_on_all_usable_pairs(tmp_path, red_model, red_dataset):
    (trial,) = plan_trials(red_model(tmp_path / "any.onnx"), red_dataset)
    assert trial.pairs == red_dataset.usable
    assert "g9_Front" not in names(trial)  # refused by ingest
    assert trial.card.name == "red"


def test_or_on_the_splits_that_are_named(tmp_path, red_model, red_dataset):
    (trial,) = plan_trials(red_model(tmp_path / "any.onnx"), red_dataset, splits=["fold1", "fold0", "fold1"])
    assert trial.pairs == red_dataset.of("fold0", "fold1")


def test_a_run_is_tried_on_what_it_held_out(runs, red_dataset):
    (trial,) = plan_trials(runs / "fold1", red_dataset)
    assert (trial.model, trial.pairs) == (runs / "fold1/model.onnx", red_dataset.of("fold1"))
    (trial,) = plan_trials(runs / "fold1", red_dataset, splits=["fold2"])
    assert trial.pairs == red_dataset.of("fold2")


def test_folds_are_pooled_each_on_its_own(runs, red_dataset):
    trials = plan_trials(runs, red_dataset)
    assert [trial.card.name for trial in trials] == ["red0", "red1", "red2"]
    assert [trial.pairs for trial in trials] == [red_dataset.of(f"fold{fold}") for fold in range(3)]
    (only,) = plan_trials(runs, red_dataset, splits=["fold2"])
    assert (only.card.name, only.pairs) == ("red2", red_dataset.of("fold2"))


def test_no_photo_is_judged_twice(runs, red_dataset):
    (runs / "fold2/run.json").write_text('{"held_out": ["fold1"]}')
    with pytest.raises(EvaluationError, match="fold1 was held out by two models"):
        plan_trials(runs, red_dataset)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file or directory, so nobody knows"),
        ("{}", "does not say which splits were held out; name the photos by --split"),
        ("[]", "does not say which splits"),
        ("[" * 100_000, "does not say which splits"),
        ('{"held_out": [1]}', "does not say which splits"),
        ('{"held_out": "fold1"}', "does not say which splits"),
        ("half a", "does not say which splits"),
        ('{"held_out": []}', "nothing was held out of this training"),
        ('{"held_out": ["fold0"], "data_sha256": "another"}', "trained on other pairs than"),
    ],
)
def test_a_run_that_does_not_say_what_it_held_out(runs, red_dataset, text, says):
    (runs / "fold0/run.json").unlink()
    if text is not None:
        (runs / "fold0/run.json").write_text(text)
    for model in (runs, runs / "fold0"):
        with pytest.raises(EvaluationError, match=says):
            plan_trials(model, red_dataset)


def test_misuse_says_what_to_change(tmp_path, runs, red_model, red_dataset):
    with pytest.raises(EvaluationError, match="no split 'fold7'; it has fold0, fold1, fold2"):
        plan_trials(runs, red_dataset, splits=["fold7"])
    with pytest.raises(ModelError, match=r"none\.onnx: No such file"):
        plan_trials(tmp_path / "none.onnx", red_dataset)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match=r"empty holds no model\.onnx; export it: garmentcut export"):
        plan_trials(tmp_path / "empty", red_dataset)
    (runs / "fold1/model.onnx").unlink()
    with pytest.raises(EvaluationError, match=r"fold1 holds no model\.onnx; export it"):
        plan_trials(runs, red_dataset)
    with pytest.raises(EvaluationError, match="no usable pair"):
        plan_trials(red_model(tmp_path / "any.onnx"), Manifest(tmp_path, ()))


@pytest.fixture
def model(tmp_path, red_model):
    return red_model(tmp_path / "red.onnx")


def scores_of(model, manifest, **kwargs):
    return list(evaluate(plan_trials(model, manifest), manifest, **kwargs))


def test_every_usable_pair_gets_a_row_in_order(model, red_dataset):
    scores = scores_of(model, red_dataset)
    assert [score.name for score in scores] == [pair.name for pair in red_dataset.usable]
    assert {(score.status, score.reason) for score in scores} == {("ok", "")}
    for score in scores[:-1]:
        assert score.measures.dice == score.sweep[9] == 1
        assert score.measures.hd95_px == 0
    assert scores[0].garment == "g0"
    assert {score.view for score in scores} == {"Front", "Back"}
    assert {score.split for score in scores} == {"fold0", "fold1", "fold2"}
    assert scores[0].model.startswith("red@")


def test_a_cutout_three_pixels_off_is_measured_as_that(model, red_dataset):
    off = scores_of(model, red_dataset)[-1]
    alpha = np.zeros((96, 64), np.float32)
    alpha[20:70, 25:49] = 1
    assert off.measures.dice == pytest.approx(47 / 50)
    assert off.measures == measure(alpha, np.roll(alpha, 3, axis=0))
    assert off.measures.hd95_px == 3


def test_a_refused_photo_counts_as_an_empty_cutout(model, red_dataset):
    write_atomic(red_dataset.path_of("photos/g2_Front.png"), png_bytes(np.full((96, 64, 3), 200, np.uint8)))
    refused = next(score for score in scores_of(model, red_dataset) if score.name == "g2_Front")
    assert refused.status == "refused"
    assert "no garment found" in refused.reason
    assert refused.measures.dice == 0
    assert refused.measures.hd95_px == pytest.approx(np.hypot(96, 64))
    assert set(refused.sweep) == {0.0}


def test_pairs_that_cannot_be_read_fail_and_the_others_go_on(model, red_dataset):
    red_dataset.path_of("photos/g0_Front.png").write_bytes(b"half a photo")
    red_dataset.path_of("alpha/g1_Back.png").unlink()
    scores = {score.name: score for score in scores_of(model, red_dataset)}
    assert len(scores) == 12
    failed = {name: score for name, score in scores.items() if score.status == "failed"}
    assert set(failed) == {"g0_Front", "g1_Back"}
    assert all(name in score.reason for name, score in failed.items())
    assert all(score.measures is None and score.sweep == () for score in failed.values())


def test_out_of_memory_is_a_row_too(model, red_dataset):
    def look(score, *_):
        if score.name == "g1_Front":
            raise MemoryError

    scores = {score.name: score for score in scores_of(model, red_dataset, on_photo=look)}
    assert (scores["g1_Front"].status, scores["g1_Front"].reason) == ("failed", "not enough memory")
    assert scores["g2_Front"].status == "ok"


def test_photos_the_model_was_trained_on_are_known(tmp_path, red_model, red_dataset):
    first, second = (pair.photo_sha256[:12] for pair in red_dataset.usable[:2])
    assert first == second  # both views of the first garment are the same picture
    scores = scores_of(red_model(tmp_path / "told.onnx", trained_on=(first,)), red_dataset)
    assert [score.seen for score in scores] == [True, True] + [False] * 10
    assert {score.seen for score in scores_of(red_model(tmp_path / "silent.onnx"), red_dataset)} == {None}


def test_look_alikes_of_training_photos_are_known_too(tmp_path, red_model, red_dataset):
    first = red_dataset.usable[0]
    pairs = tuple(replace(pair, group="g0") if pair.garment == "g3" else pair for pair in red_dataset.pairs)
    card = read_model(red_model(tmp_path / "red.onnx", trained_on=(first.photo_sha256[:12],)))[1]
    seen = find_seen(card, replace(red_dataset, pairs=pairs))
    assert {name.partition("_")[0] for name, known in seen.items() if known} == {"g0", "g3"}
    assert set(find_seen(replace(card, trained_on=(*card.trained_on, "unknown")), red_dataset).values()) == {True, None}


def test_what_is_suspect_in_a_pair_stands_in_its_row(model, red_dataset):
    pairs = list(red_dataset.pairs)
    pairs[1] = replace(pairs[1], faults=(fault_of("small", "0.1 % of the photo"),))
    scores = scores_of(model, replace(red_dataset, pairs=tuple(pairs)))
    assert scores[1].faults == ("0.1 % of the photo",)
    assert scores[0].faults == ()


def test_look_is_shown_every_measured_photo(model, red_dataset):
    seen = {}

    def look(score, photo, target, prediction):
        seen[score.name] = photo.size_hw, target.shape, prediction.shape, float(prediction.max())

    scores_of(model, red_dataset, on_photo=look)
    assert set(seen) == {pair.name for pair in red_dataset.usable}
    assert set(seen.values()) == {((96, 64), (96, 64), (96, 64), 1.0)}


def test_several_models_each_on_their_own_photos(tmp_path, red_model, red_dataset):
    trials = [
        replace(trial, pairs=red_dataset.of(f"fold{number}"))
        for number in range(3)
        for trial in plan_trials(red_model(tmp_path / f"{number}.onnx", name=f"red{number}"), red_dataset)
    ]
    scores = list(evaluate(trials, red_dataset))
    assert [(score.split, score.model[:4]) for score in scores] == [
        (f"fold{number}", f"red{number}") for number in range(3) for _ in range(4)
    ]


def test_an_evaluation_can_be_left_early(model, red_dataset):
    rows = evaluate(plan_trials(model, red_dataset), red_dataset)
    assert next(rows).name == "g0_Front"
    rows.close()


def test_every_pair_is_measured_in_order(tmp_path, red_model, red_dataset):
    seen = [pair.photo_sha256[:12] for pair in red_dataset.usable if pair.garment == "g0"]
    trials = plan_trials(red_model(tmp_path / "red.onnx", trained_on=tuple(seen)), red_dataset)
    outcomes = list(predict(trials, red_dataset, lambda prediction: prediction))
    assert [outcome.pair for outcome in outcomes] == list(red_dataset.usable)
    for outcome in outcomes:
        np.testing.assert_allclose(outcome.found.alpha, outcome.found.target, atol=0.02) if (
            outcome.pair.name != "g5_Back"
        ) else None
        assert outcome.found.observation is not None
        assert outcome.found.seen is (outcome.pair.garment == "g0")


def test_what_is_learned_from_a_photo(tmp_path, red_model, red_dataset):
    trials = plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)
    known = {outcome.pair.name: outcome.found for outcome in predict(trials, red_dataset, experience_of)}
    assert known["g0_Front"].quality == 1.0
    assert known["g5_Back"].quality == pytest.approx(
        2 * (50 - 2 * 3 + 1) / 148, abs=0.2
    )  # two of four sides lie 3 px off
    assert (known["g5_Back"].garment, known["g5_Back"].seen) == ("g5", None)
    assert known["g5_Back"].features.shape == (13,)


def test_one_bad_file_stops_nobody(tmp_path, red_model, red_dataset):
    red_dataset.path_of(red_dataset.usable[1].photo).write_bytes(b"junk")
    trials = plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)
    outcomes = list(predict(trials, red_dataset, experience_of))
    assert [outcome.found is None for outcome in outcomes] == [False, True, *[False] * 10]
    assert "not a PNG" in outcomes[1].reason


def test_a_refused_photo_is_an_empty_cutout(tmp_path, red_model, red_dataset):
    from garmentcut.photo.files import write_atomic
    from garmentcut.photo.write import png_bytes

    write_atomic(red_dataset.path_of(red_dataset.usable[0].photo), png_bytes(np.full((96, 64, 3), 200, np.uint8)))
    trials = plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)
    first = next(iter(predict(trials, red_dataset, experience_of))).found
    assert (first.quality, first.features) == (0.0, None)
