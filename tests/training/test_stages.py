"""Three stages, trained small: in order, resumed exactly, each photo's maps from networks that have not seen it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from garmentcut.dataset.manifest import Manifest
from garmentcut.dataset.windows import map_paths
from garmentcut.errors import ModelError, TrainingError
from garmentcut.evaluation.predict import plan_trials
from garmentcut.export.model_file import export_folder, export_folds
from garmentcut.export.onnx import export_network
from garmentcut.model.card import card_of, stage_network_of, with_card
from garmentcut.recipe import STAGES, load_recipe
from garmentcut.training.devices import Devices
from garmentcut.training.logging import Ended, MapsDone, Planned
from garmentcut.training.run import PLAN_NAME, Run, training_split
from garmentcut.training.stages import fold_runs, fold_splits, plan_of, stage_runs, train_all

CPU = Devices("cpu")
RECIPE = load_recipe(
    None,
    {
        "network.name": "segment",
        "network.options": {"encoder": "test_resnet", "width": 4},
        "network.start": "scratch",
        "data.workers": 1,
        "data.rare_views": 2.0,
        "data.hard_photos": 2.0,
        "augment.flip": {"p": 0.5, "amount": 1.0},
        "augment.brightness": {"p": 0.5, "amount": 0.2},
        "training.batch": 2,
        "training.ema": 0.5,
        "training.save_every": 1,
        "stages.folds": 2,
        "stages.fold_steps": 1.0,
        "stages.locate": {"data": {"size_hw": [64, 64]}, "training": {"steps": 2}},
        "stages.segment": {
            "data": {"size_hw": [64, 32], "window": "garment", "frame_height": 96},
            "training": {"steps": 3},
        },
        "stages.refine": {
            "network": {"name": "refine", "options": {"widths": [4, 4, 4, 4]}, "start": "scratch"},
            "data": {"size_hw": [64, 64], "window": "edge", "frame_height": 192},
            "augment": {"map_corruption": {"p": 0.5, "amount": 7.0}},
            "training": {"steps": 3},
        },
    },
)


@pytest.fixture(autouse=True)
def _few_steps_are_enough(monkeypatch):
    monkeypatch.setattr("garmentcut.training.stages._LEAST_STEPS", 2)


def run_of(manifest: Manifest, folder, recipe=RECIPE):
    return Run(folder, recipe, manifest, training_split(manifest, "0"))


def weights_of(run):
    plan = plan_of(run, CPU, None)
    return {name: stage.best_path.read_bytes() for name, stage in stage_runs(run, plan).items()}


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory):
    from garmentcut.training import stages

    before, stages._LEAST_STEPS = stages._LEAST_STEPS, 2
    run = run_of(manifest, tmp_path_factory.mktemp("stages"))
    torch.set_num_threads(1)
    events = list(train_all([run], CPU))
    stages._LEAST_STEPS = before
    return run, events


def test_it_says_first_how_long_it_will_take(trained):
    run, events = trained
    told, planned = events[0]
    assert told == run
    assert isinstance(planned, Planned)
    assert planned.steps == {"locate": 2, "segment": 3, "refine": 3}
    assert planned.seconds > 0
    assert json.loads((run.folder / "plan.json").read_bytes())["steps"] == planned.steps


def test_folds_come_before_what_is_kept_and_the_run_ends_last(trained):
    run, events = trained
    ended = [told.folder.relative_to(run.folder).as_posix() for told, event in events if isinstance(event, Ended)]
    folds = [f"folds/{number}/{name}" for number in (0, 1) for name in ("locate", "segment")]
    assert ended == [*folds, "folds/0/refine", "folds/1/refine", "locate", "segment", "refine", "."]


def test_its_end_names_the_network_that_it_came_to(trained, manifest, tmp_path):
    run, events = trained
    end = events[-1][1]
    told = run.summary(end)
    assert (told["stage"], told["step"], told["steps"]) == ("refine", 3, 3)
    assert told["weights"] == str(run.folder / "refine" / "best.safetensors")
    assert told["seconds"] == pytest.approx(
        sum(one.seconds for _, one in events[:-1] if isinstance(one, Ended)), abs=0.1
    )
    other = run_of(manifest, tmp_path / "other")
    *_, (_, end) = train_all([other], CPU, minutes=0)
    assert (other.summary(end)["stage"], end.reason) == ("folds/0/locate", "time is up")


def test_minutes_may_be_over_while_maps_are_made(trained, manifest, tmp_path, monkeypatch):
    run, _ = trained
    whole = run_of(manifest, tmp_path / "whole")
    shutil.copytree(run.folder, whole.folder)
    shutil.rmtree(whole.maps_path)
    clock = SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr("garmentcut.training.stages.time", clock)
    told = []
    for one, event in train_all([whole, run_of(manifest, tmp_path / "next")], CPU, minutes=1):
        told.append((one, event))
        if isinstance(event, MapsDone) and event.photos == 2:
            clock.monotonic = lambda: 60.0
    assert [event for _, event in told if isinstance(event, MapsDone)][-1].photos == 2
    assert told[-1][0] == whole and told[-1][1].reason == "time is up" and not told[-1][1].finished
    assert (whole.summary(told[-1][1])["stage"], told[-1][1].was_finished) == ("folds/0/segment", False)


def test_each_map_is_told(trained):
    run, events = trained
    told = [event for one, event in events if one is run and isinstance(event, MapsDone)]
    held = [len(fold["segment"].split.validation) for fold in fold_runs(run, plan_of(run, CPU, None))]
    numbers = [*held, len(run.split.validation)]
    assert told == [MapsDone(number, of) for of in numbers for number in range(1, of + 1)]


def test_every_photo_is_judged_by_networks_that_have_not_seen_it(trained):
    run, _ = trained
    seen: dict[str, int] = {}
    for fold in fold_runs(run, plan_of(run, CPU, None)):
        for stage in fold.values():
            groups = {pair.group for pair in stage.split.train}
            assert not groups & {pair.group for pair in stage.split.validation}
            assert stage.recipe.training.evaluate_every == stage.recipe.training.steps  # held-out photos choose nothing
        for pair in fold["segment"].split.validation:
            seen[pair.name] = seen.get(pair.name, 0) + 1
    assert seen == {pair.name: 1 for pair in run.split.train}
    for pair in (*run.split.train, *run.split.validation):
        assert all(path.exists() for path in map_paths(run.maps_path, pair.name))


def test_it_becomes_one_model_file_of_three_networks(trained, monkeypatch):
    run, _ = trained
    kinds: dict[type, bytes] = {}

    def export(network, card):
        """Once for each kind of network, locate's and segment's being one: torch takes long."""
        model = kinds[type(network)] = kinds.get(type(network)) or export_network(network, card)
        return with_card(model, replace(card, parity=card_of(model).parity))

    monkeypatch.setattr("garmentcut.export.model_file.export_network", export)
    content = export_folder(run.folder, {"name": "small"})
    card = card_of(content)
    assert card.stages is not None
    assert card.stages.locate_hw == (64, 64)
    assert card.stages.tile_px == 64
    assert card.working_size_hw[0] == 192
    assert not card.sees_map
    assert all(stage_network_of(content, card, stage) for stage in ("locate", "segment", "refine"))
    assert set(card.trained_on) == {pair.photo_sha256[:12] for pair in run.split.train}
    assert card.parity < 1e-4


def test_the_same_command_again_does_nothing(trained):
    run, _ = trained
    ends = [event for _, event in train_all([run], CPU)]
    assert all(isinstance(event, Ended) and event.was_finished for event in ends)  # nor does it say how long it takes


def test_stopped_after_any_step_it_ends_with_the_same_weights(trained, manifest, tmp_path):
    run, _ = trained
    other, sessions, done = run_of(manifest, tmp_path / "other"), 0, False
    other.folder.mkdir()
    shutil.copy(run.folder / PLAN_NAME, other.folder)  # whether bfloat16 is faster is measured, and may differ
    while not done:
        sessions += 1
        events = train_all([other], CPU)
        steps = 0
        for _told, event in events:
            steps += not isinstance(event, Planned | Ended | MapsDone)
            if steps == 7:  # as a kill between steps: what was saved last counts
                events.close()
                break
        else:
            done = True
    assert sessions > 2
    assert weights_of(other) == weights_of(run)


def test_on_another_dataset_it_is_refused_as_a_whole_with_the_starts_of_its_stages(trained, manifest):
    run, _ = trained
    first, *others = manifest.pairs
    changed = Manifest(manifest.folder, (replace(first, cutout_sha256="0" * 64), *others))
    with pytest.raises(TrainingError, match="cutouts and verdicts back as they were") as caught:
        list(train_all([run_of(changed, run.folder)], CPU))
    said = str(caught.value)
    assert f"{run.folder} holds another training" in said
    for name in STAGES:
        assert f"--set stages.{name}.network.start={run.folder / name}/best.safetensors" in said


def test_before_the_first_checkpoint_of_a_stage_nothing_is_lost(manifest, tmp_path):
    run = run_of(manifest, tmp_path / "run")
    run.write({})  # it ran out of memory at once
    (run.folder / PLAN_NAME).write_text("{}")
    run_of(manifest, run.folder, replace(RECIPE, training=replace(RECIPE.training, batch=1))).check_resumable()


def test_a_dataset_that_changes_before_the_first_saved_state_is_the_one_it_is_resumed_on(manifest, tmp_path):
    first, *others = manifest.pairs
    changed = Manifest(manifest.folder, (replace(first, cutout_sha256="0" * 64), *others))
    for one in (manifest, changed):  # planned, killed, and begun again
        run = run_of(one, tmp_path / "run")
        run.check_resumable()
        plan_of(run, CPU, None)
    state = run.folder / "folds/0/locate/last.ckpt"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"a state")
    run.check_resumable()
    with pytest.raises(TrainingError, match="the pairs differ"):
        run_of(manifest, run.folder).check_resumable()


def test_hours_fit_the_steps_once(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("garmentcut.training.stages.seconds_a_step", lambda *_: 2.0)
    run = run_of(manifest, tmp_path / "run")
    plan = plan_of(run, CPU, 0.1)
    # 2 + 3 + 3 steps of locate, segment and refine, three times, 2 s each: 48 s, and what is kept in reserve.
    three = round(3 * 360 / 48 / 1.07)
    assert plan.steps == {"locate": round(2 * 360 / 48 / 1.07), "segment": three, "refine": three}
    assert plan.seconds(RECIPE) == pytest.approx(360, rel=0.05)
    assert plan_of(run, CPU, 0.1) == plan_of(run, CPU, None) == plan


@pytest.mark.parametrize(("seconds", "chosen"), [(1.0, "bfloat16"), (3.0, "float32")])
def test_bfloat16_is_taken_only_where_a_few_steps_are_faster(manifest, tmp_path, monkeypatch, seconds, chosen):
    tried = []

    def timed(recipe, _):
        tried.append(recipe.training.precision)
        return seconds if recipe.training.precision == "bfloat16" else 2.0

    monkeypatch.setattr("garmentcut.training.stages.seconds_a_step", timed)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    run = run_of(manifest, tmp_path / "run")
    plan = plan_of(run, CPU, None)
    assert tried == ["float32", "bfloat16"] * 3
    assert set(plan.precisions.values()) == {chosen}
    assert plan.seconds_a_step["refine"] == min(seconds, 2.0)
    assert {one.recipe.training.precision for one in stage_runs(run, plan).values()} == {chosen}
    assert plan_of(run, CPU, None) == plan


def test_a_processor_without_bfloat16_tries_none(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("garmentcut.training.stages.seconds_a_step", lambda *_: 2.0)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_f": True}, raising=False)
    run = run_of(manifest, tmp_path / "run")
    plan = plan_of(run, CPU, None)
    assert {one.recipe.training.precision for one in stage_runs(run, plan).values()} == {"auto"}


def test_a_start_that_has_seen_the_photos_judges_no_fold(trained, manifest, tmp_path):
    run, _ = trained
    seen = {"network": {"start": str(run.folder / "segment" / "best.safetensors")}}
    recipe = load_recipe(run.folder / "recipe.toml", {"stages.fold_start": "scratch"})
    segment = {**recipe.stages.segment, **seen}
    recipe = load_recipe(run.folder / "recipe.toml", {"stages.fold_start": "scratch", "stages.segment": segment})
    tuned = run_of(manifest, tmp_path / "tuned", recipe)
    plan = plan_of(run, CPU, None)
    assert {fold["segment"].recipe.network.start for fold in fold_runs(tuned, plan)} == {"scratch"}
    assert stage_runs(tuned, plan)["segment"].recipe.network.start == seen["network"]["start"]


def test_the_embedded_model_is_a_start_for_all_its_stages(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("garmentcut.training.stages.seconds_a_step", lambda *_: 2.0)
    run = run_of(manifest, tmp_path / "run", load_recipe(Path("finetune")))
    plan = plan_of(run, CPU, 1.0)
    words = run.read()["started_from"]
    assert "embedded model" in words and " and " not in words  # the same one three times
    assert run.facts["trained_on"] == stage_runs(run, plan)["segment"].facts["trained_on"]


def test_too_few_garments_for_folds_are_refused(manifest):
    with pytest.raises(TrainingError, match="too few for 10 folds"):
        fold_splits(training_split(manifest, "0"), 10, 0)


def test_hours_are_for_stages(manifest, tmp_path):
    plain = load_recipe(None, {"network.name": "simple", "network.start": "scratch"})
    with pytest.raises(TrainingError, match="--hours"):
        next(train_all([run_of(manifest, tmp_path, plain)], CPU, hours=1.0))


def test_other_hours_are_refused_once_it_has_begun(trained):
    run, _ = trained
    assert plan_of(run, CPU, None).hours is None
    with pytest.raises(TrainingError, match="was planned for the recipe's steps, without --hours; leave --hours out"):
        plan_of(run, CPU, 2.0)


def test_before_the_first_saved_state_other_settings_are_planned_anew(manifest, tmp_path):
    assert plan_of(run_of(manifest, tmp_path), CPU, None).steps["segment"] == 3
    stages = {**RECIPE.stages.segment, "training": {"steps": 5}}
    longer = replace(RECIPE, stages=replace(RECIPE.stages, segment=stages))
    assert plan_of(run_of(manifest, tmp_path, longer), CPU, None).steps["segment"] == 5
    hours = 1e-4
    assert plan_of(run_of(manifest, tmp_path, longer), CPU, hours).hours == hours
    assert plan_of(run_of(manifest, tmp_path, longer), CPU, None).hours == hours


def test_a_damaged_plan_is_refused(manifest, tmp_path):
    run = run_of(manifest, tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(TrainingError, match=r"plan\.json"):
        plan_of(run, CPU, None)


def test_maps_are_of_the_photos_place(trained):
    run, _ = trained
    from PIL import Image

    pair = run.split.train[0]
    with Image.open(map_paths(run.maps_path, pair.name)[0]) as image:
        assert np.asarray(image).shape == (96, 64)


def test_a_runs_folds_judge_every_photo_once_by_networks_that_have_not_seen_it(
    trained, manifest, red_model, tmp_path, monkeypatch
):
    run, _ = trained
    # Cards decide who judges; the networks, which torch takes long to export, are another's.
    network = red_model(tmp_path / "red.onnx").read_bytes()
    monkeypatch.setattr("garmentcut.export.model_file.export_network", lambda _, card: with_card(network, card))
    for path, content in export_folds(run.folder).items():
        path.write_bytes(content)
    trials = plan_trials(run.folder, manifest)
    assert len(trials) == 2
    judged = [pair.name for trial in trials for pair in trial.pairs]
    assert sorted(judged) == sorted(pair.name for pair in manifest.usable)  # those held out of the whole run, too
    for trial in trials:
        assert not {pair.photo_sha256[:12] for pair in trial.pairs} & set(trial.card.trained_on)


@pytest.mark.parametrize("is_of_folds", [False, True])
def test_a_start_that_is_out_of_reach_is_told_before_a_step_is_timed(
    trained, manifest, tmp_path, monkeypatch, is_of_folds
):
    def no_hub(*_args, **_options):
        raise OSError("no route to the hub")

    monkeypatch.setattr("garmentcut.model.layers.Encoder.load", no_hub)
    monkeypatch.setattr("garmentcut.training.stages.seconds_a_step", lambda *_: pytest.fail("timed"))
    start = str(trained[0].folder / "segment" / "best.safetensors") if is_of_folds else "imagenet"  # it has seen them
    segment = {**RECIPE.stages.segment, "network": {"start": start}}
    recipe = replace(RECIPE, stages=replace(RECIPE.stages, segment=segment, fold_start="imagenet"))
    run = run_of(manifest, tmp_path / "run", recipe)
    with pytest.raises(ModelError, match="hub"):
        next(train_all([run], CPU))
    assert not (run.folder / "plan.json").exists()


def test_too_many_folds_are_told_before_a_step_is_timed(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("garmentcut.training.stages.seconds_a_step", lambda *_: pytest.fail("timed"))
    recipe = replace(RECIPE, stages=replace(RECIPE.stages, folds=10))
    with pytest.raises(TrainingError, match="too few for 10 folds"):
        plan_of(run_of(manifest, tmp_path / "run", recipe), CPU, None)
