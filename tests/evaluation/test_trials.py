import json

import pytest

from garmentcut.dataset.manifest import Manifest
from garmentcut.evaluation.trials import EvaluationError, plan_trials
from garmentcut.model.card import ModelError


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
