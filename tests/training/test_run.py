import json
from dataclasses import replace

import pytest

from garmentcut.dataset.manifest import Manifest
from garmentcut.recipe import load_recipe
from garmentcut.training.division import divide
from garmentcut.training.errors import TrainingError
from garmentcut.training.events import Ended
from garmentcut.training.run import Run


def begun(run):
    """As it is after its first checkpoint."""
    run.write({"started": "now"})
    run.state_path.write_bytes(b"a state")
    return run


def test_the_folder_says_what_was_trained_on_what(small_run):
    run = small_run()
    run.write({"machine": "2 cores"})
    told = json.loads((run.folder / "run.json").read_text())
    assert told["held_out"] == ["fold0"]
    assert (told["num_trained_on"], told["num_validated_on"]) == (4, 2)
    assert told["data_sha256"] == run.manifest.sha256
    assert told["machine"] == "2 cores"
    assert told["versions"]["torch"]
    assert load_recipe(run.folder / "recipe.toml") == run.recipe
    run.write({"finished": "later"})
    assert run.read()["machine"] == "2 cores"


def test_a_model_knows_the_photos_it_was_trained_on(small_run):
    run = small_run()
    assert run.facts["trained_on"] == [pair.photo_sha256[:12] for pair in run.division.train]
    json.dumps(run.facts)


def test_the_same_run_goes_on(small_run):
    run = begun(small_run())
    run.check_resumable()
    Run(run.folder, run.recipe, run.manifest, run.division).check_resumable()


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"training.steps": 7}, "training.steps was 6, is 7"),
        ({"loss.bce": 2.0, "data.size_hw": [48, 32]}, r"data.size_hw was \(96, 64\), is \(48, 32\); loss.bce was 1.0"),
        ({"augment.flip": {"p": 0.5, "amount": 1.0}}, "augment.flip was"),
    ],
)
def test_another_recipe_is_refused(small_run, knobs, says):
    begun(small_run())
    with pytest.raises(TrainingError, match=says) as caught:
        small_run(knobs=knobs).check_resumable()
    assert "choose another --out" in str(caught.value)


def test_another_fold_is_refused(small_run):
    begun(small_run())
    with pytest.raises(TrainingError, match="it holds out fold0, this fold1"):
        small_run(fold="1").check_resumable()


def test_other_photos_are_refused(small_run):
    run = begun(small_run())
    fewer = Manifest(run.manifest.folder, run.manifest.pairs[:-1])
    with pytest.raises(TrainingError, match="4 to learn from and 2 to measure on then, "):
        Run(run.folder, run.recipe, fewer, divide(fewer, "0")).check_resumable()


def test_pairs_that_changed_sides_are_refused(small_run):
    run = begun(small_run())
    turned = Manifest(
        run.manifest.folder,
        tuple(
            replace(pair, split={"fold1": "fold0", "fold0": "fold1"}.get(pair.split, pair.split))
            for pair in run.manifest.pairs
        ),
    )
    with pytest.raises(TrainingError, match="the pairs differ"):
        Run(run.folder, run.recipe, turned, divide(turned, "0")).check_resumable()


def test_before_the_first_checkpoint_nothing_is_lost(small_run):
    small_run().write({})  # it ran out of memory at once
    small_run(knobs={"training.batch": 1}).check_resumable()


def test_a_folder_of_somebody_elses_is_refused(small_run):
    run = small_run()
    run.folder.mkdir()
    run.check_resumable()
    (run.folder / "photo.jpg").write_bytes(b"holiday")
    with pytest.raises(TrainingError, match="is not empty, and not a training's"):
        run.check_resumable()


def test_a_range_test_may_have_been_there(small_run):
    run = small_run()
    run.folder.mkdir()
    for name in ("range_test.svg", "range_test.jsonl"):
        (run.folder / name).touch()
    with run.held():
        run.check_resumable()


def test_a_damaged_run_file(small_run):
    run = begun(small_run())
    (run.folder / "run.json").write_text("{")
    with pytest.raises(TrainingError, match=r"run\.json cannot be read"):
        run.check_resumable()


def test_one_training_at_a_time(small_run):
    with (
        small_run().held(),
        pytest.raises(TrainingError, match="another training is at work there"),
        small_run().held(),
    ):
        pass
    with small_run().held():
        pass


def test_a_folder_that_cannot_be_made(small_run):
    run = small_run()
    run.folder.write_text("a file")
    with pytest.raises(TrainingError, match="run: File exists; choose another --out"), run.held():
        pass


def test_a_summary_for_machines(small_run):
    run = small_run()
    told = run.summary(Ended("no gain", 4, 0.9, 2, 12.34))
    assert told["best"] == {"mean_dice": 0.9, "step": 2}
    assert (told["step"], told["steps"], told["ended"], told["seconds"]) == (4, 6, "no gain", 12.3)
    assert told["weights"].endswith("best.safetensors")
    assert run.summary(Ended("interrupted", 1, -1.0, 0, 1.0))["best"] is None
