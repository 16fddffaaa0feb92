import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from garmentcut.dataset.manifest import read_manifest, read_pair
from garmentcut.dataset.split import prove_split
from garmentcut.errors import PhotoError, TrainingError
from garmentcut.evaluation.scores import read_scores
from garmentcut.model.card import ModelCard, read_model
from garmentcut.model.checkpoint import load_network
from garmentcut.study.compare import gather
from garmentcut.study.plan import Registry, choices_of, open_study
from garmentcut.study.run import (
    HIDDEN_LEVEL,
    StudySession,
    export_run,
    last_evaluation,
    score_run,
    trainings_of,
    widened,
)
from garmentcut.training.devices import Devices
from garmentcut.training.logging import LossError
from garmentcut.training.loop import train_runs

CPU = Devices("cpu")
TUNED = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "plain"
seeds = [0]
folds = [0, 1]
[tune]
seeds = [5, 6]
folds = [2]
settings.training.steps = 2
[variants.plain]
[variants.tuned]
tune.optimizer.lr = [0.1, 0.2, 0.3]
"""


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "out")


def work(study, registry, **options):
    session = StudySession(study, registry, CPU, **options)
    return session, list(session.work())


def names(fake):
    return ["/".join(folder.parts[-2:]) for folder in fake.trained]


def test_seed_by_seed_and_fold_by_fold_so_that_a_part_can_be_compared(make_study, registry, fake_training):
    session, told = work(make_study(), registry)
    keys = [f"{variant}/seed{seed}-fold{fold}" for seed in (0, 1) for fold in (0, 1) for variant in ("fast", "slow")]
    assert names(fake_training) == keys
    assert told[:4] == [
        "fast, seed 0, fold 0: begins",
        "fast, seed 0, fold 0: step 2/4, Dice 0.8980",
        "fast, seed 0, fold 0: step 4/4, Dice 0.9000",
        "fast, seed 0, fold 0: done, Dice 0.9000",
    ]
    assert session.interrupted == ""
    assert [registry.record(f"runs/{key}").dice for key in keys] == pytest.approx([0.9] * 8)


def test_what_is_done_is_not_done_again(make_study, registry, fake_training):
    study = make_study()
    work(study, registry)
    assert work(study, registry)[1] == []
    (study.run_folder(study.keys[3]) / "scores.jsonl").unlink()
    work(study, registry)
    assert names(fake_training)[8:] == [study.keys[3].path]


def test_a_run_that_fails_is_a_row_and_the_others_go_on(make_study, tmp_path, registry, fake_training):
    def dice(run):
        if run.folder.parts[-2:] == ("slow", "seed0-fold0"):
            raise LossError("the loss is nan at step 3")
        if run.folder.parts[-2:] == ("slow", "seed0-fold1"):
            raise MemoryError
        if run.folder.parts[-2:] == ("fast", "seed1-fold1"):
            raise KeyError("bug")
        return 0.9

    fake_training.dice = dice
    study = make_study()
    _, told = work(study, registry)
    results = gather(study, registry)
    assert {run.key.path: run.reason for run in results.runs if run.is_failed} == {
        "slow/seed0-fold0": "the loss is nan at step 3",
        "slow/seed0-fold1": "not enough memory",
        "fast/seed1-fold1": "KeyError: 'bug'",
    }
    assert sum(": done, Dice" in line for line in told) == 5
    fake_training.dice = lambda _: 0.9
    later = Registry(tmp_path / "out")  # the next command tries them again
    work(study, later)
    assert all(run.outcome == "done" for run in gather(study, later).runs)


def test_asked_to_stop_it_stops_and_goes_on_later(make_study, registry, fake_training):
    study = make_study()
    fake_training.stop_at = 4
    session, told = work(study, registry)
    assert session.interrupted == "interrupted"
    assert told[-1] == "fast, seed 0, fold 0: interrupted: interrupted"
    assert gather(study, registry).runs[0].outcome == "interrupted"
    assert work(study, registry)[0].interrupted == ""
    assert len(fake_training.trained) == 8


def test_broken_off_at_once_it_lets_go(make_study, registry, fake_training):
    def dice(_):
        raise KeyboardInterrupt

    fake_training.dice = dice
    with pytest.raises(KeyboardInterrupt):
        work(make_study(), registry)
    record = registry.record("runs/fast/seed0-fold0")
    assert (record.outcome, record.reason) == ("interrupted", "broken off")
    assert registry.take("runs/fast/seed0-fold0") is not None


def test_no_time_left(make_study, registry, fake_training):
    session, told = work(make_study(), registry, minutes=0)
    assert (session.interrupted, told, fake_training.trained) == ("time is up", [], [])


def test_what_another_process_holds_is_waited_for(make_study, tmp_path, registry, fake_training):
    study = make_study()
    held = Registry(tmp_path / "out").take("runs/slow/seed1-fold1")
    waits = []

    def wait():
        waits.append(len(fake_training.trained))
        if len(waits) == 2:
            held.close("interrupted", "its user went home")

    _, told = work(study, registry, wait=wait)
    assert waits == [7, 7]
    assert sum("in other processes" in line for line in told) == 1
    assert names(fake_training)[-1] == "slow/seed1-fold1"  # left behind, so taken up


def test_what_another_process_has_just_begun_is_waited_for(make_study, tmp_path, registry, fake_training, monkeypatch):
    """It was free when this process looked whether others are at work, and taken when this one wanted it."""
    take, others = registry.take, []

    def take_too_late(name, **options):
        if name == "runs/slow/seed1-fold1" and not others:
            others.append(Registry(tmp_path / "out").take(name))
        return take(name, **options)

    monkeypatch.setattr(registry, "take", take_too_late)
    work(make_study(), registry, wait=lambda: others[0].close("interrupted", "its user went home"))
    assert names(fake_training)[-1] == "slow/seed1-fold1"


def test_a_variant_is_tuned_before_it_is_run(make_study, registry, fake_training):
    fake_training.dice = lambda run: 0.9 - (run.recipe.optimizer.lr - 0.2) ** 2
    study = make_study(TUNED)
    _, told = work(study, registry)
    tuned = names(fake_training)[:6]
    assert tuned == [f"lr-{lr}/seed{seed}-fold2" for lr in (0.1, 0.2, 0.3) for seed in (5, 6)]
    assert told[0] == "tuned, choosing: lr 0.1: begins"
    chosen, _ = choices_of(study, registry)
    assert chosen["tuned"].setting == {"optimizer.lr": 0.2}
    assert chosen["tuned"].dice == pytest.approx(0.9)
    assert chosen["plain"].setting == {}
    run = study.run_of(study.keys[1], chosen["tuned"].setting)
    assert (run.recipe.optimizer.lr, run.recipe.training.steps) == (0.2, 4)
    assert names(fake_training)[6:] == [
        f"{variant}/seed0-fold{fold}" for fold in (0, 1) for variant in ("plain", "tuned")
    ]


def test_a_variant_that_cannot_be_tuned_is_not_run(make_study, registry, fake_training):
    def dice(run):
        if "tune" in run.folder.parts:
            raise TrainingError("never falls")
        return 0.9

    fake_training.dice = dice
    study = make_study(TUNED)
    work(study, registry)
    results = gather(study, registry)
    assert (
        "nothing could be chosen, every attempt failed, the first because: never falls"
        in results.permanent_failures["tuned"]
    )
    assert [(run.outcome, run.is_failed) for run in results.of(study.variants[1])] == [("not run", True)] * 2
    assert all(run.outcome == "done" for run in results.of(study.variants[0]))


def test_a_search_gives_bad_settings_up(make_study, registry, fake_training):
    fake_training.dice = lambda run: 0.9 - (run.recipe.optimizer.lr - 0.2) ** 2
    text = TUNED.replace("[0.1, 0.2, 0.3]", "{ low = 0.01, high = 0.9 }").replace("[tune]", "[tune]\ntrials = 24")
    study = make_study(text)
    _, told = work(study, registry)
    chosen = choices_of(study, registry)[0]["tuned"]
    assert chosen.num_tried == 24
    assert abs(chosen.setting["optimizer.lr"] - 0.2) < 0.15
    assert any(line.endswith(": pruned") for line in told)


def test_a_range_tests_rate_is_taken(make_study, registry, fake_training, monkeypatch):
    monkeypatch.setattr("garmentcut.study.run.try_rates", lambda _run, _fabric: 0.0625)
    study = make_study(TUNED.replace("tune.optimizer.lr = [0.1, 0.2, 0.3]", "range_test = true"))
    work(study, registry)
    assert choices_of(study, registry)[0]["tuned"].setting == {"optimizer.lr": 0.0625}
    assert len(fake_training.trained) == 4


TWO = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "one"
seeds = [4]
folds = [0]
[variants.one]
[variants.two]
loss.dice = 2
first_pass = { variant = "one", dilation_px = [2, 6], copies = 3 }
"""


CARD = ModelCard("box", "none", (96, 64), 32, "x", "y", 1 / 255, "alpha", "none", "MIT")


class Box:
    """Stands in for a cutter: finds a box of 20x10 pixels at (30, 20), or nothing in some photos."""

    empty = ()

    def __init__(self, model):
        self.model, self.runtime, self.card = model, type("Runtime", (), {"streams": 1}), CARD

    def frame(self, photo):
        return photo

    def predict(self, _, frame):
        return frame

    def finish(self, photo, *_):
        if self.model in self.empty:
            raise PhotoError("no garment found")
        alpha = np.zeros(photo.size_hw, np.float32)
        alpha[30:50, 20:30] = 1
        return type("Cutout", (), {"alpha": alpha})


@pytest.fixture
def boxes(monkeypatch):
    """First networks are boxes; exporting one gives its run's folder. Returns the models that were loaded."""
    loaded = []

    def load(model, config=None):  # noqa: ARG001
        loaded.append(model)
        return Box(model)

    monkeypatch.setattr("garmentcut.evaluation.predict.Cutter.load", load)
    monkeypatch.setattr("garmentcut.study.run.export_run", lambda run: run.folder / "model.onnx")
    monkeypatch.setattr("garmentcut.study.run.read_model", lambda path: (b"", CARD))  # noqa: ARG005
    return loaded


def test_a_mask_widened_by_hand():
    mask = np.zeros((7, 9), bool)
    mask[3, 4] = True
    found = widened(mask, 2)
    y, x = np.mgrid[:7, :9]
    assert np.array_equal(found, np.hypot(y - 3, x - 4) <= 2)
    assert np.array_equal(widened(mask, 0), mask)
    assert widened(np.zeros((3, 3), bool), 1).all()  # nothing found: nothing hidden


def test_one_pass_is_one_training(make_study):
    study = make_study(TWO)
    (run,) = trainings_of(study, study.keys[0], {})
    assert run.folder == study.run_folder(study.keys[0])


def test_each_first_mask_comes_from_a_network_that_never_saw_the_photo(make_study, boxes):
    study = make_study(TWO)
    one, two = study.keys
    *first, second = trainings_of(study, two, {})
    assert [run.split.name for run in first] == ["fold1", "fold2"]
    for run in first:
        assert {pair.split for pair in run.split.train} == {"fold1", "fold2"} - {run.split.name}
        assert {pair.split for pair in run.split.validation} == {run.split.name}
        assert run.split.held_out == (run.split.name, "fold0")
        assert run.recipe == one.variant.recipe(4)
    assert boxes == [*(run.folder / "model.onnx" for run in first), study.run_folder(one) / "model.onnx"]
    assert second.recipe == two.variant.recipe(4)
    assert second.split.held_out == ("fold0",)
    assert sorted(pair.name for pair in second.split.validation) == sorted(
        pair.name for pair in study.splits[0].validation
    )
    assert len(second.split.train) == 3 * len(study.splits[0].train)
    prove_split(second.manifest.pairs)


def test_what_the_second_network_sees(make_study, boxes):  # noqa: ARG001
    study = make_study(TWO)
    *_, second = trainings_of(study, study.keys[1], {})
    pair = second.split.validation[0]
    seen, target = read_pair(second.manifest, pair)
    whole = next(other for other in study.manifest.usable if other.name == pair.name)
    photo, wanted = read_pair(study.manifest, whole)
    mask = np.zeros(photo.size_hw, bool)
    mask[30:50, 20:30] = True
    shown = widened(mask, 4)
    assert np.array_equal(seen.rgb[shown], photo.rgb[shown])
    assert (seen.rgb[~shown] == HIDDEN_LEVEL).all()
    assert np.array_equal(target, wanted)
    name = second.split.train[0].name.rpartition("-")[0]
    shown = [
        (read_pair(second.manifest, copy)[0].rgb != HIDDEN_LEVEL).any(axis=2).sum()
        for copy in second.split.train
        if copy.name.startswith(f"{name}-")
    ]
    assert widened(mask, 2).sum() <= min(shown) <= max(shown) <= widened(mask, 6).sum()


def test_its_photos_are_made_once(make_study, boxes):
    study = make_study(TWO)
    *_, before = trainings_of(study, study.keys[1], {})
    num = len(boxes)
    (after,) = trainings_of(study, study.keys[1], {})
    assert len(boxes) == num
    assert after.identity == before.identity
    assert read_manifest(before.manifest.folder).sha256 == before.manifest.sha256


def test_where_nothing_is_found_the_photo_is_shown_whole(make_study, boxes, monkeypatch):  # noqa: ARG001
    study = make_study(TWO)
    monkeypatch.setattr(Box, "empty", [study.run_folder(study.keys[0]) / "model.onnx"])
    *_, second = trainings_of(study, study.keys[1], {})
    pair = second.split.validation[0]
    whole = next(other for other in study.manifest.usable if other.name == pair.name)
    assert np.array_equal(read_pair(second.manifest, pair)[0].rgb, read_pair(study.manifest, whole)[0].rgb)


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
        'title = "t"\nquestion = "q"\nrecipe = "base.toml"\nreference = "a"\nseeds = [0]\nfolds = [0]\n[variants.a]\n'
    )
    study = open_study(folder / "study.toml", read_manifest(dataset), folder / "out")
    run = study.run_of(study.keys[0], {})
    list(train_runs([run], Devices("cpu")))
    return run


def test_it_is_the_last_weights_that_count(trained, monkeypatch, tmp_path):
    state = torch.load(trained.state_path, weights_only=True)["parts"]["network"]
    exported = []
    monkeypatch.setattr("garmentcut.study.run.export_network", lambda network, _: exported.append(network) or b"")
    export_run(replace(trained, folder=shutil.copytree(trained.folder, tmp_path / "copy")))
    network = exported[0].state_dict()
    assert all(torch.equal(network[key], value) for key, value in state.items())
    told = json.loads((trained.folder / "run.json").read_text())
    assert last_evaluation(trained).step == 12
    if told["best"]["step"] != 12:  # then the kept weights are others
        best = load_network(trained.best_path)[0].state_dict()
        assert not all(torch.equal(network[key], value) for key, value in best.items())


def test_scores_of_the_held_out_photos_at_their_own_size(trained):
    scores = score_run(trained)
    assert [score.name for score in scores] == [pair.name for pair in trained.split.validation]
    assert {score.split for score in scores} == {"fold0"}
    assert not any(score.seen for score in scores)  # the card lists what it learned from
    assert read_scores(trained.folder) == scores
    mean = sum(score.measures.dice for score in scores) / len(scores)
    # The photos are as large as the training's, so both evaluations see the same, but that cutting refuses empty masks.
    assert mean == pytest.approx(last_evaluation(trained).mean_dice, abs=0.02)
    _, card = read_model(trained.folder / "model.onnx")
    assert card.scores[0].mean_dice == pytest.approx(last_evaluation(trained).mean_dice)


def test_a_model_is_exported_once(trained):
    before = export_run(trained).stat().st_mtime_ns
    assert export_run(trained).stat().st_mtime_ns == before


def test_no_photo_that_can_be_read_is_an_error(trained, monkeypatch):
    rows = [replace(row, status="failed", reason="gone", measures=None) for row in read_scores(trained.folder)]
    monkeypatch.setattr("garmentcut.study.run.evaluate", lambda *_: rows)
    with pytest.raises(TrainingError, match="gone; nor could any other"):
        score_run(trained)


def test_a_run_without_a_look_is_no_finished_one(tmp_path, trained):
    with pytest.raises(TrainingError, match="holds no finished training"):
        last_evaluation(replace(trained, folder=tmp_path))
