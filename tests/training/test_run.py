import errno
import io
import json
import os
from dataclasses import replace

import pytest
import torch
from torch import nn

from garmentcut.dataset.manifest import Manifest
from garmentcut.errors import ModelError, TrainingError
from garmentcut.model.card import UNKNOWN
from garmentcut.model.checkpoint import save_network
from garmentcut.model.networks import build_network
from garmentcut.recipe import STAGES, load_recipe
from garmentcut.training.logging import Ended, Evaluated
from garmentcut.training.optim import open_ema_model
from garmentcut.training.run import Progress, Run, load_state, save_state, training_split


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
    assert run.facts["trained_on"] == [pair.photo_sha256[:12] for pair in run.split.train]
    json.dumps(run.facts)


def test_a_model_knows_the_photos_of_its_start_too(small_run):
    parent = small_run()
    network = build_network(parent.recipe.network.name, **parent.recipe.network.options)
    save_network(parent.best_path, network, parent.spec(Evaluated(1, 0.5, 0.5, 0.1, is_best=True)))
    child = small_run("child", {"network.start": str(parent.best_path)}, fold="1")
    photos = {pair.photo_sha256[:12] for pair in (*parent.split.train, *child.split.train)}
    assert set(child.facts["trained_on"]) == photos
    assert child.facts["started_from"] == f"best.safetensors of a {parent.recipe.network.name}"
    assert (
        len(small_run("other", {"network.start": "default/segment"}).facts["trained_on"]) > 100
    )  # the embedded model's
    assert child.met_before == child.split.validation  # its start has learned from them: fold 1 is not fold 0's
    assert parent.met_before == ()
    assert (
        "known to the weights that it started from"
        in child.spec(Evaluated(1, 0.5, 0.5, 0.1, True)).facts["dice"]["data"]
    )
    child.state_path.parent.mkdir()
    child.state_path.write_bytes(b"a state")
    parent.best_path.unlink()  # once it has begun, a training needs its start no more
    assert UNKNOWN in replace(child).facts["trained_on"]
    save_network(child.best_path, network, child.spec(Evaluated(1, 0.5, 0.5, 0.1, is_best=True)))
    assert replace(child).met_before == child.split.validation


@pytest.mark.parametrize(("window", "height"), [("photo", 96), ("garment", 128)])
def test_drawn_photos_are_as_high_as_those_that_the_network_sees_them_among(small_run, window, height):
    run = small_run(settings={"data.synthetic": 1, "data.window": window, "data.frame_height": 128})
    assert [pair.size_hw[0] for pair in run.drawn] == [height]


def test_a_run_that_cannot_start_leaves_no_folder(small_run):
    run = small_run()
    with pytest.raises(ModelError), run.held():
        raise ModelError("no hub")
    assert not run.folder.exists()
    with run.held():
        run.write({})
    assert run.folder.exists()


def test_the_same_run_goes_on(small_run):
    run = begun(small_run())
    run.check_resumable()
    Run(run.folder, run.recipe, run.manifest, run.split).check_resumable()


def test_a_run_with_old_names_goes_on(small_run):
    run = begun(small_run())
    path = run.folder / "run.json"
    content = json.loads(path.read_text())
    content["division"], content["division_sha256"] = content.pop("split"), content.pop("split_sha256")
    path.write_text(json.dumps(content))
    run.check_resumable()
    assert run.read()["split"] == "fold0"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"training.steps": 7}, "training.steps was 6, is 7"),
        ({"loss.bce": 2.0, "data.size_hw": [48, 32]}, r"data.size_hw was \(96, 64\), is \(48, 32\); loss.bce was 1.0"),
        ({"augment.flip": {"p": 0.5, "amount": 1.0}}, r"augment\.flip\.p was 0\.0, is 0\.5; augment\.flip\.amount was"),
    ],
)
def test_another_recipe_is_refused(small_run, settings, says):
    begun(small_run())
    with pytest.raises(TrainingError, match=says) as caught:
        small_run(settings=settings).check_resumable()
    said = str(caught.value)
    assert "To continue it, repeat its command. To start this one, choose another --out" in said
    assert "network.start" not in said  # nothing was measured yet


def test_a_setting_of_a_stage_is_named_alone(small_run):
    def staged(steps):
        stages = {f"stages.{name}": {"training": {"steps": 3}, "optimizer": {"lr": 1e-3}} for name in STAGES}
        return small_run(settings={**stages, "stages.segment.training.steps": steps, "network.start": "scratch"})

    run = staged(3)
    run.write({})
    staged(4).check_resumable()  # nothing was trained yet
    state = run.folder / "folds/0/locate/last.ckpt"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"a state")
    (run.folder / "segment").mkdir()
    (run.folder / "segment/best.safetensors").write_bytes(b"weights")
    run.check_resumable()
    with pytest.raises(TrainingError, match=r"training: stages\.segment\.training\.steps was 3, is 4\. ") as caught:
        staged(4).check_resumable()
    assert f"--set stages.segment.network.start={run.folder}/segment/best.safetensors" in str(caught.value)


def test_another_fold_is_refused(small_run):
    begun(small_run())
    with pytest.raises(TrainingError, match=r"it holds out fold0, this fold1\. To continue it, repeat its command\."):
        small_run(fold="1").check_resumable()


def test_other_photos_are_refused(small_run):
    run = begun(small_run())
    fewer = Manifest(run.manifest.folder, run.manifest.pairs[:-1])
    run.best_path.write_bytes(b"weights")
    with pytest.raises(TrainingError, match="4 to learn from and 2 to measure on then, ") as caught:
        Run(run.folder, run.recipe, fewer, training_split(fewer, "0")).check_resumable()
    said = str(caught.value)
    assert "repeat its command" not in said and "cutouts and verdicts back as they were" in said
    assert f"another --out; --set network.start={run.best_path} begins with the weights from here" in said


def test_a_cutout_that_was_changed_is_refused(small_run):
    run = begun(small_run())
    first, *others = run.manifest.pairs
    changed = Manifest(run.manifest.folder, (replace(first, cutout_sha256="0" * 64), *others))
    with pytest.raises(TrainingError, match="as many as then, but other photos or cutouts"):
        Run(run.folder, run.recipe, changed, training_split(changed, "0")).check_resumable()


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
        Run(run.folder, run.recipe, turned, training_split(turned, "0")).check_resumable()


def test_before_the_first_checkpoint_nothing_is_lost(small_run):
    small_run().write({})  # it ran out of memory at once
    small_run(settings={"training.batch": 1}).check_resumable()


def test_what_a_kill_left_half_written_is_no_obstacle_and_goes(small_run):
    run = small_run()
    run.folder.mkdir()
    for name in (".garmentcut.lock", ".garmentcut--0123456789abcdef.part"):
        (run.folder / name).write_bytes(b"{")
    run.check_resumable()
    with run.held():
        assert [path.name for path in run.folder.iterdir()] == [".garmentcut.lock"]


def test_a_folder_of_somebody_elses_is_refused(small_run):
    run = small_run()
    run.folder.mkdir()
    run.check_resumable()
    (run.folder / "photo.jpg").write_bytes(b"holiday")
    with pytest.raises(TrainingError, match="is not empty, and not a training's folder"):
        run.check_resumable()


def test_a_range_test_may_have_been_there(small_run):
    run = small_run()
    run.folder.mkdir()
    for name in ("range_test.svg", "range_test.jsonl"):
        (run.folder / name).touch()
    with run.held():
        run.check_resumable()


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "[1]", "\ufeff", "\0"])
def test_a_damaged_run_file(small_run, content):
    run = begun(small_run())
    (run.folder / "run.json").write_text(content)
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


def parts_of(seed):
    torch.manual_seed(seed)
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {"network": network, "optimizer": optimizer}


def test_everything_comes_back(tmp_path):
    path, saved, other = tmp_path / "last.ckpt", parts_of(1), parts_of(2)
    progress = Progress(step=7, seconds=1.5, best_dice=0.9, best_step=5, num_without_gain=2)
    save_state(path, progress, saved)
    assert load_state(path, other) == progress
    assert torch.equal(saved["network"].weight, other["network"].weight)
    before, after = (parts["optimizer"].state_dict()["state"][0] for parts in (saved, other))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_only_the_numbers(tmp_path):
    save_state(tmp_path / "last.ckpt", Progress(step=7), parts_of(1))
    assert load_state(tmp_path / "last.ckpt", {}).step == 7


def test_no_file_is_a_beginning(tmp_path):
    parts = parts_of(1)
    weight = parts["network"].weight.clone()
    assert load_state(tmp_path / "none.ckpt", parts) == Progress()
    assert torch.equal(parts["network"].weight, weight)


def test_an_interrupted_save_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save_state(path, Progress(step=1), parts_of(1))

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("garmentcut.photo.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_state(path, Progress(step=2), parts_of(1))
    assert load_state(path, {}).step == 1
    assert list(tmp_path.iterdir()) == [path]


def of_other_progress(_):
    content = io.BytesIO()
    states = {name: part.state_dict() for name, part in parts_of(1).items()}
    torch.save({"progress": {"step": "seven"}, "parts": states}, content)
    return content.getvalue()


DAMAGE = {
    "half": lambda data: data[: len(data) // 2],
    "but a few bytes": lambda data: data[:-100],
    "empty": lambda _: b"",
    "another file": lambda _: b"no checkpoint",
    "a weight": lambda data: data.replace(parts_of(1)["network"].weight.detach().numpy().tobytes(), bytes(24)),
    "progress": of_other_progress,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_says_what_to_do(tmp_path, damage):
    path = tmp_path / "last.ckpt"
    save_state(path, Progress(step=1), parts_of(1))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrainingError, match=r"last\.ckpt is damaged, .*; delete it to begin again") as caught:
        load_state(path, parts_of(1))
    assert "weights_only" not in str(caught.value)  # torch advises to switch its safety off


def test_a_state_with_the_average_in_its_old_form(tmp_path):
    old, new = (open_ema_model(nn.Linear(4, 4), 0.9) for _ in range(2))
    content = {"progress": {}, "parts": {"average": {"network": old.module.state_dict(), "updates": 3}}}
    torch.save(content, tmp_path / "last.ckpt")
    load_state(tmp_path / "last.ckpt", {"ema_model": new})
    assert torch.equal(old.module.weight, new.module.weight)


def test_the_state_of_another_network(tmp_path):
    save_state(tmp_path / "last.ckpt", Progress(step=1), parts_of(1))
    with pytest.raises(TrainingError, match="cannot be resumed from"):
        load_state(tmp_path / "last.ckpt", {"network": nn.Linear(4, 4)})


def test_the_best_is_the_highest():
    progress = Progress(step=1)
    assert progress.note(0.5)
    progress.step = 2
    assert not progress.note(0.5)  # no better
    assert not progress.note(0.4)
    assert (progress.best_dice, progress.best_step, progress.num_without_gain) == (0.5, 1, 2)
    progress.step = 3
    assert progress.note(0.6)
    assert (progress.best_dice, progress.best_step, progress.num_without_gain) == (0.6, 3, 0)


def test_the_last_is_the_best_where_nothing_is_held_out():
    progress = Progress(step=1)
    progress.note(0.9)
    progress.step = 2
    assert progress.note(0.1, always_best=True)
    assert (progress.best_dice, progress.best_step) == (0.1, 2)
