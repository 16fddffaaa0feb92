import errno
import json
import math
import os
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image

from garmentcut.dataset.augment import augment
from garmentcut.errors import ModelError, PhotoError, TrainingError, TrainingStopped
from garmentcut.model.checkpoint import load_network
from garmentcut.recipe import load_recipe
from garmentcut.training.devices import Devices
from garmentcut.training.logging import Ended, Evaluated, LossError, StepDone, read_journal
from garmentcut.training.loop import augmented, build_parts, open_feed, open_samples, take_step, train, train_runs
from garmentcut.training.losses import Loss, total_loss
from garmentcut.training.run import load_state

VARIED = {
    "augment.zoom": {"p": 1.0, "amount": 0.3},
    "augment.noise": {"p": 0.5, "amount": 0.1},
    "augment.paste": {"p": 0.5, "amount": 1.0},
}


class Asked:
    """Asks to stop after some looks."""

    def __init__(self, looks, reason="interrupted"):
        self.looks, self.asked = looks, reason

    @property
    def reason(self):
        self.looks -= 1
        return self.asked if self.looks == 0 else ""


def saved(run):
    """All tensors of the last state, by name."""
    found = {}

    def walk(name, value):
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{name}.{key}", inner)
        elif isinstance(value, list | tuple):
            for index, inner in enumerate(value):
                walk(f"{name}.{index}", inner)

    walk("", torch.load(run.state_path, weights_only=True))
    return found


def assert_same_to_the_last_bit(run, other):
    one, two = saved(run), saved(other)
    assert one.keys() == two.keys()
    assert len(one) > 20  # weights, buffers, averages, the optimizer's moments
    assert not [name for name in one if not torch.equal(one[name], two[name])]


def test_it_tells_what_it_does(small_run, fabric, never):
    events = list(train(small_run(), fabric, never))
    assert [event.step for event in events if isinstance(event, StepDone)] == [1, 2, 3, 4, 5, 6]
    assert next(event for event in events if isinstance(event, Evaluated)).is_best
    assert [event.step for event in events if isinstance(event, Evaluated)] == [3, 6]
    assert isinstance(events[-1], Ended)
    assert (events[-1].reason, events[-1].step, events[-1].finished) == ("all steps", 6, True)
    assert events[0].loss == pytest.approx(events[0].parts["bce"] + events[0].parts["dice"], rel=1e-6)


def test_it_leaves_everything_in_its_folder(small_run, fabric, never):
    run = small_run()
    ended = list(train(run, fabric, never))[-1]
    spec = load_network(run.best_path)[1]
    assert spec.facts["dice"]["mean_dice"] == ended.best_dice
    assert spec.facts["step"] == ended.best_step
    assert spec.facts["held_out"] == ["fold0"]
    assert spec.facts["trained_on"] == [pair.photo_sha256[:12] for pair in run.split.train]
    assert (spec.name, spec.options, spec.size_hw) == ("simple", {"channels": [4, 8]}, (96, 64))
    told = json.loads((run.folder / "run.json").read_text())
    assert (told["ended"], told["best"]["mean_dice"]) == ("all steps", ended.best_dice)
    assert told["started"] <= told["finished"]
    assert told["photos_s"] > 0
    rows = read_journal(run.folder / "journal.jsonl")
    assert [(row["kind"], row["step"]) for row in rows] == [
        *[("step", 1), ("step", 2), ("step", 3), ("evaluation", 3)],
        *[("step", 4), ("step", 5), ("step", 6), ("evaluation", 6)],
    ]
    assert rows[0].keys() == {"kind", "step", "loss", "bce", "dice", "lr", "photos_s", "seconds"}
    assert [path.name for path in sorted((run.folder / "samples").iterdir())] == ["step_000003.jpg", "step_000006.jpg"]
    with Image.open(run.sheet_path(6)) as sheet:
        assert sheet.height > 2 * 300
    assert list((run.folder / "tensorboard").iterdir())


def test_what_is_kept_is_the_average(small_run, fabric, never):
    run = small_run(settings={"training.ema": 0.9})
    ended = list(train(run, fabric, never))[-1]
    kept = load_network(run.best_path)[0].state_dict()
    states = torch.load(run.state_path, weights_only=True)["parts"]
    if ended.best_step == 6:
        assert all(torch.equal(tensor, states["ema_model"][f"module.{name}"]) for name, tensor in kept.items())
    assert any(not torch.equal(states["network"][name], kept[name]) for name in kept)


def test_without_an_average_the_network_itself_is_kept(small_run, fabric, never):
    run = small_run(settings={"training.ema": 0.0, "training.steps": 2, "training.evaluate_every": 2})
    list(train(run, fabric, never))
    kept = load_network(run.best_path)[0].state_dict()
    states = torch.load(run.state_path, weights_only=True)["parts"]
    assert "ema_model" not in states
    assert all(torch.equal(kept[name], tensor) for name, tensor in states["network"].items())


@pytest.mark.usefixtures("dropped_network")
def test_an_evaluation_changes_nothing_of_the_training(small_run, fabric, never):
    often = small_run("often", {**VARIED, "training.evaluate_every": 1, "training.ema": 0.0})
    seldom = small_run("seldom", {**VARIED, "training.evaluate_every": 6, "training.ema": 0.0})
    for run in (often, seldom):
        list(train(run, fabric, never))
    assert_same_to_the_last_bit(often, seldom)


@pytest.mark.usefixtures("dropped_network")
@pytest.mark.parametrize(
    ("optimizer", "stopped_after"),
    [("adamw", 1), ("adamw", 3), ("adamw", 4), ("sgd", 4), ("lion", 4), ("muon", 4), ("rmsprop", 4), ("adadelta", 4)],
)
def test_a_resumed_training_ends_the_same(small_run, fabric, never, optimizer, stopped_after):
    settings = {**VARIED, "optimizer.name": optimizer}
    whole, halves = small_run("whole", settings), small_run("halves", settings)
    list(train(whole, fabric, never))
    first = list(train(halves, fabric, Asked(stopped_after)))
    assert (first[-1].reason, first[-1].step, first[-1].finished) == ("interrupted", stopped_after, False)
    second = list(train(halves, fabric, never))
    assert second[0].step == stopped_after + 1
    assert_same_to_the_last_bit(whole, halves)
    assert whole.best_path.read_bytes() == halves.best_path.read_bytes()
    rows = [read_journal(run.folder / "journal.jsonl") for run in (whole, halves)]
    pace = ("photos_s", "seconds")
    one, two = ([{k: v for k, v in row.items() if k not in pace} for row in side] for side in rows)
    assert one == two


def test_a_fallen_rate_is_still_down_after_a_resume(small_run, fabric, never, monkeypatch):
    monkeypatch.setattr("garmentcut.training.validation.dice_of", lambda *_: torch.tensor(0.5))
    settings = {
        "schedule.name": "plateau",
        "schedule.patience": 1,
        "schedule.warmup": 0.0,
        "training.evaluate_every": 1,
    }
    whole, halves = small_run("whole", settings), small_run("halves", settings)
    rates = [event.lr for event in train(whole, fabric, never) if isinstance(event, StepDone)]
    assert rates[:4] == pytest.approx([2e-3, 2e-3, 2e-4, 2e-5])
    list(train(halves, fabric, Asked(4)))
    assert next(train(halves, fabric, never)).lr == rates[4]


def test_a_killed_training_ends_the_same(small_run, fabric, never):
    """What is on disk in the middle of a step is all that a killed process leaves."""
    whole, running, killed = (small_run(name, VARIED) for name in ("whole", "running", "killed"))
    for event in train(running, fabric, never):
        if event.step == 5:
            shutil.copytree(running.folder, killed.folder)
            break
    list(train(whole, fabric, never))
    assert load_state(killed.state_path, {}).step == 3  # the last evaluation
    resumed = list(train(killed, fabric, never))
    assert resumed[0].step == 4
    assert_same_to_the_last_bit(whole, killed)
    steps = [row["step"] for row in read_journal(killed.folder / "journal.jsonl") if row["kind"] == "step"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_finished_training_says_so(small_run, fabric, never, monkeypatch):
    run = small_run()
    last = list(train(run, fabric, never))[-1]
    monkeypatch.setattr("garmentcut.training.loop.build_parts", None)  # nothing is built for it
    (again,) = train(run, fabric, never)
    assert again.was_finished
    assert (again.reason, again.step, again.best_dice) == ("all steps", 6, last.best_dice)


def test_the_time_is_up(small_run, fabric):
    run = small_run()
    last = list(train(run, fabric, Asked(2, "time is up")))[-1]
    assert (last.reason, last.finished) == ("time is up", False)
    told = json.loads((run.folder / "run.json").read_text())
    assert (told["ended"], told["finished"], told["step"]) == ("time is up", None, 2)


def test_it_stops_early_without_gain(small_run, fabric, never, monkeypatch):
    monkeypatch.setattr("garmentcut.training.validation.dice_of", lambda *_: torch.tensor(0.5))
    run = small_run(settings={"training.steps": 50, "training.evaluate_every": 2, "training.patience": 3})
    last = list(train(run, fabric, never))[-1]
    assert (last.reason, last.step, last.best_step, last.finished) == ("no gain", 8, 2, True)


def test_the_best_weights_are_kept_not_the_last(small_run, fabric, never, monkeypatch):
    found = iter([0.5, 0.5, 0.9, 0.9, 0.2, 0.2])  # two photos in each of three evaluations
    monkeypatch.setattr("garmentcut.training.validation.dice_of", lambda *_: torch.tensor(next(found)))
    monkeypatch.setattr("garmentcut.training.loop.draw_sheet", lambda *_, **__: b"")
    run = small_run(settings={"training.evaluate_every": 2})
    events = [event for event in train(run, fabric, never) if isinstance(event, Evaluated)]
    assert [event.is_best for event in events] == [True, True, False]
    assert load_network(run.best_path)[1].facts["step"] == 4


def test_nothing_held_out_keeps_the_last(small_run, fabric, never, monkeypatch):
    monkeypatch.setattr("garmentcut.training.validation.dice_of", lambda *_: torch.tensor(0.5))
    run = small_run(fold="none")
    list(train(run, fabric, never))
    spec = load_network(run.best_path)[1]
    assert spec.facts["step"] == 6
    assert spec.facts["dice"]["data"].endswith("none, photos it was trained on")
    assert json.loads((run.folder / "run.json").read_text())["held_out"] == []


def test_hard_targets_stay_hard(small_run, fabric, never, monkeypatch):
    seen = []

    def spy(logits, target, config):
        seen.append(target)
        return total_loss(logits, target, config)

    monkeypatch.setattr("garmentcut.training.loop.total_loss", spy)
    list(train(small_run("soft", VARIED), fabric, never))
    assert any(((target > 0) & (target < 1)).any() for target in seen)
    seen.clear()
    list(train(small_run("hard", {**VARIED, "data.target": "alpha >= 128"}), fabric, never))
    assert all(((target == 0) | (target == 1)).all() for target in seen)


def test_a_loss_that_is_no_number_stops_it(small_run, fabric, never, monkeypatch):
    """It says which step and photos, keeps the last good state, and that state can be resumed from."""
    run, names = small_run(), []

    def poisoned(logits, target, config):
        loss = total_loss(logits, target, config)
        names.append(1)
        return Loss(loss.total * (math.nan if len(names) == 5 else 1), loss.parts)

    monkeypatch.setattr("garmentcut.training.loop.total_loss", poisoned)
    with pytest.raises(LossError) as caught:
        list(train(run, fabric, never))
    says = str(caught.value)
    assert says.startswith("step 5, learning rate ")
    assert sum(pair.name in says for pair in run.split.train) == 2
    assert "lower optimizer.lr (0.00067)" in says
    assert says.endswith("last.ckpt keeps the training as it was last saved")
    assert load_state(run.state_path, {}).step == 3
    assert all(torch.isfinite(tensor).all() for tensor in saved(run).values())
    assert all(torch.isfinite(tensor).all() for tensor in load_network(run.best_path)[0].state_dict().values())
    monkeypatch.undo()
    assert list(train(run, fabric, never))[-1].reason == "all steps"


def test_nothing_is_saved_before_its_losses_were_read(small_run, fabric, never, monkeypatch):
    """On GPUs they are read every few steps only."""
    monkeypatch.setattr("garmentcut.training.loop._STEPS_BETWEEN_LOOKS", {"cpu": 10})
    run, steps = small_run(settings={"training.save_every": 2, "training.evaluate_every": 6}), []

    def poisoned(parts, *args, **options):
        steps.append(1)
        done = take_step(parts, *args, **options)
        if len(steps) == 3:
            parts.network.load_state_dict({key: value * math.nan for key, value in parts.network.state_dict().items()})
        return done

    monkeypatch.setattr("garmentcut.training.loop.take_step", poisoned)
    with pytest.raises(LossError, match=r"^step 4, "):
        list(train(run, fabric, never))
    assert load_state(run.state_path, {}).step == 2


def test_a_full_gpu_names_batch_and_size(small_run, fabric, never, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr("garmentcut.training.loop.total_loss", full)
    run = small_run(settings={"training.batch": 4})
    with pytest.raises(TrainingStopped) as caught:
        list(train(run, fabric, never))
    says = str(caught.value)
    assert "training.batch = 4 and data.size_hw = [96, 64]; set training.batch = 2 or a smaller data.size_hw" in says
    assert "in a new --out" in says
    assert "Nothing was saved yet" in says


def fill_the_disk(monkeypatch, name):
    """No room for files of this name."""

    def full(path, data):
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    for module in ("training.run", "model.checkpoint", "training.loop", "training.logging"):
        monkeypatch.setattr(f"garmentcut.{module}.write_atomic", full)


@pytest.mark.parametrize("name", ["last.ckpt", "best.safetensors", "step_000006.jpg"])
def test_a_full_disk_keeps_the_last_state(small_run, fabric, never, monkeypatch, name):
    whole, run = small_run("whole"), small_run()
    list(train(whole, fabric, never))
    training = train(run, fabric, never)
    while next(training).step < 4:
        pass
    fill_the_disk(monkeypatch, name)
    monkeypatch.setattr("garmentcut.training.run.Progress.note", lambda *_, **__: True)
    with pytest.raises(TrainingStopped, match=rf"{name}.*No space left on device.*make room.*last\.ckpt keeps"):
        list(training)
    assert load_state(run.state_path, {}).step == 3
    monkeypatch.undo()
    list(train(run, fabric, never))
    assert_same_to_the_last_bit(whole, run)


@pytest.mark.parametrize("name", ["run.json", "recipe.toml", "journal.jsonl"])
def test_a_disk_that_is_full_from_the_start_is_no_obstacle_later(small_run, monkeypatch, name):
    run, devices = small_run(), Devices("cpu")
    fill_the_disk(monkeypatch, name)
    with pytest.raises(TrainingStopped, match=rf"{name}: No space left on device.*run the same command again"):
        list(train_runs([run], devices))
    monkeypatch.undo()
    assert list(train_runs([run], devices))[-1][1].reason == "all steps"


def test_a_photo_that_cannot_be_read_is_named(small_run, fabric, never, monkeypatch):
    def gone(_self, _index, _draw=0):
        raise PhotoError("dress.png: no such file")

    monkeypatch.setattr("garmentcut.dataset.samples.Samples.planes", gone)
    with pytest.raises(PhotoError, match=r"dress\.png"):
        list(train(small_run(), fabric, never))


def test_twenty_steps_on_six_photos_and_the_loss_falls(small_run, fabric, never):
    settings = {"network.options": {"channels": [8, 16, 32]}, "optimizer.lr": 1e-2, "training.steps": 20}
    events = list(train(small_run(settings=settings, fold="none"), fabric, never))
    losses = [event.loss for event in events if isinstance(event, StepDone)]
    assert len(losses) == 20
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_one_photo_is_learned_by_heart(small_run, fabric, never):
    settings = {
        "network.options": {"channels": [8, 16, 32, 64]},
        "optimizer.lr": 1e-2,
        "training.steps": 100,
        "training.batch": 1,
        "training.ema": 0.9,
        "training.evaluate_every": 100,
    }
    run = small_run(settings=settings, fold="none")
    one = run.split.train[:1]
    run = replace(run, split=replace(run.split, train=one, validation=one))
    assert list(train(run, fabric, never))[-1].best_dice > 0.99


SIMPLE = {"network.name": "simple", "network.options": {"channels": [4, 8]}, "network.start": "scratch"}


def parts_of(fabric, **settings):
    return build_parts(load_recipe(None, {**SIMPLE, "data.size_hw": [32, 32], **settings}), fabric)


def weights(parts):
    return torch.cat([parameter.detach().flatten() for parameter in parts.network.parameters()])


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("network.frozen_stages", 1, "network.frozen_stages: simple has no encoder that can be frozen"),
        ("optimizer.encoder_factor", 0.3, "optimizer.encoder_factor: simple has no encoder that could learn"),
    ],
)
def test_what_needs_an_encoder(fabric, setting, value, message):
    with pytest.raises(ModelError, match=message):
        parts_of(fabric, **{setting: value})


def test_the_encoder_inside_a_prepared_network_is_frozen_and_learns_at_its_own_rate(fabric):
    options = {"network": "cutnet", "options": {"encoder": "test_efficientnet"}, "color": "gray"}
    parts = parts_of(
        fabric,
        **{"network.name": "prepared", "network.options": options, "network.frozen_stages": 1},
        **{"optimizer.encoder_factor": 0.5, "optimizer.lr": 0.1},
    )
    trainable = {name: parameter for name, parameter in parts.network.named_parameters() if parameter.requires_grad}
    all_names = {name for name, _ in parts.network.named_parameters()}
    frozen = all_names - set(trainable)
    assert frozen
    assert all(name.startswith("network.encoder.") for name in frozen)
    highest = {id(one): group["initial_lr"] for group in parts.optimizer.param_groups for one in group["params"]}
    slow = {name for name, parameter in trainable.items() if highest[id(parameter)] == 0.05}
    assert slow == {name for name in trainable if name.startswith("network.encoder.")}


def test_the_seed_decides_on_the_weights(fabric):
    one, same, other = (parts_of(fabric, **{"training.seed": seed}) for seed in (1, 1, 2))
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))


def test_a_training_starts_from_a_file(fabric, tmp_path):
    from garmentcut.model.checkpoint import NetworkSpec, save_network

    first = parts_of(fabric, **{"training.seed": 1})
    path = tmp_path / "start.safetensors"
    save_network(path, first.network, NetworkSpec("simple", {"channels": [4, 8]}, (32, 32), "alpha"))
    assert torch.equal(weights(first), weights(parts_of(fabric, **{"network.start": str(path)})))


def test_the_wrapped_parts_are_the_plain_ones(fabric):
    parts = parts_of(fabric)
    photos = torch.rand(1, 3, 32, 32)
    assert torch.equal(parts.module(photos), parts.network(photos))
    before = weights(parts)
    fabric.backward(parts.module(photos).sum())
    parts.wrapped_optimizer.step()
    assert not torch.equal(before, weights(parts))
    assert parts.optimizer.state_dict()["state"]
    assert parts.network.training


def test_a_compiled_network_has_the_same_weights_under_the_same_names(fabric, monkeypatch):
    plain = parts_of(fabric)
    monkeypatch.setattr("garmentcut.training.loop.compiles", lambda *_: True)
    monkeypatch.setattr("garmentcut.training.loop.torch.compile", partial(torch.compile, backend="eager"))
    compiled, photos = parts_of(fabric), torch.rand(1, 3, 32, 32)
    assert torch.equal(compiled.module(photos), plain.module(photos))
    assert list(compiled.states["network"].state_dict()) == list(plain.network.state_dict())
    fabric.backward(compiled.module(photos).sum())
    assert all(parameter.grad is not None for parameter in compiled.network.parameters())


def test_the_convolutions_are_channels_last(fabric):
    first = next(parts_of(fabric).network.parameters())
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_what_is_kept_is_the_average_if_there_is_one(fabric):
    with_average, without = parts_of(fabric, **{"training.ema": 0.9}), parts_of(fabric, **{"training.ema": 0.0})
    assert with_average.evaluated is with_average.ema_model.module
    assert without.evaluated is without.network
    assert set(with_average.states) - set(without.states) == {"ema_model"}


@pytest.mark.parametrize("clip_norm", [0.0, 0.01])
def test_a_long_gradient_is_shortened_and_its_length_returned(fabric, clip_norm, monkeypatch):
    settings = {**SIMPLE, "data.size_hw": [32, 32], "optimizer.clip_norm": clip_norm}
    recipe = load_recipe(None, settings)
    parts, lengths = build_parts(recipe, fabric), []
    weights = [parameter for parameter in parts.network.parameters() if parameter.requires_grad]

    def length():
        return float(torch.cat([parameter.grad.flatten() for parameter in weights]).norm())

    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", lambda *own: (lengths.append(length()), clip(*own))[1])
    monkeypatch.setattr(parts.wrapped_optimizer, "step", lambda: lengths.append(length()))
    _, _, norm = take_step(parts, torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32), recipe, fabric=fabric)
    if not clip_norm:
        assert norm is None and len(lengths) == 1
        return
    assert float(norm) == pytest.approx(lengths[0], rel=1e-5)
    assert lengths == [pytest.approx(float(norm)), pytest.approx(clip_norm, rel=1e-3)]


def test_a_size_that_does_not_fit_names_one_that_does(fabric):
    with pytest.raises(TrainingError, match=r"\[33, 20\]: simple needs multiples of 2; try \[3[24], 20\]"):
        parts_of(fabric, **{"data.size_hw": [33, 20]})


class Other:
    """Another device's view of the devices."""

    device, world_size = torch.device("cpu"), 2

    def __init__(self, rank):
        self.global_rank = rank


def first_batch(run, fabric, *, step=0):
    return next(open_feed(open_samples(run)[0], run.recipe, range(step, step + 1), fabric=fabric))[1]


def test_a_steps_photos_follow_from_its_number_alone(small_run, fabric):
    run = small_run(settings=VARIED)
    whole = dict(open_feed(open_samples(run)[0], run.recipe, range(5), fabric=fabric))
    later = first_batch(run, fabric, step=3)
    assert whole[3].names == later.names
    one, two = (augmented(batch, run.recipe, 3, fabric=fabric) for batch in (whole[3], later))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


def test_steps_devices_and_seeds_differ(small_run, fabric):
    run, batch = small_run(settings=VARIED), first_batch(small_run(), fabric)
    seen = [
        augmented(batch, run.recipe, 0, fabric=fabric),
        augmented(batch, run.recipe, 1, fabric=fabric),
        augmented(batch, run.recipe, 0, fabric=Other(1)),
        augmented(batch, small_run(settings={**VARIED, "training.seed": 1}).recipe, 0, fabric=fabric),
    ]
    for index, (photos, _) in enumerate(seen):
        assert not any(torch.equal(photos, other) for other, _ in seen[:index])


def test_what_the_network_draws_is_seeded_too(small_run, fabric):
    run, batch = small_run(), first_batch(small_run(), fabric)
    drawn = []
    for step, rank in ((0, 0), (0, 0), (1, 0), (0, 1)):
        augmented(batch, run.recipe, step, fabric=Other(rank))
        drawn.append(torch.rand(()).item())
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_the_devices_share_a_batch(small_run, fabric):
    run = small_run(settings={"training.batch": 4})
    whole = first_batch(run, fabric).names
    assert first_batch(run, Other(0)).names + first_batch(run, Other(1)).names == whole


def test_channels_last_and_in_range(small_run, fabric):
    photos, targets = augmented(first_batch(small_run(), fabric), small_run().recipe, 0, fabric=fabric)
    assert photos.is_contiguous(memory_format=torch.channels_last)
    assert (photos.shape, targets.shape) == ((2, 3, 96, 64), (2, 1, 96, 64))
    assert 0 <= float(photos.min()) < float(photos.max()) <= 1


def test_both_sides_share_the_memory(small_run):
    run = small_run(settings={"data.cache_gb": 6 * 4 * 96 * 64 / 1e9})  # room for six photos: four and two
    learn_from, measure_on = open_samples(run)
    assert learn_from.data.cache_gb + measure_on.data.cache_gb == pytest.approx(run.recipe.data.cache_gb)
    assert learn_from.data.cache_gb == pytest.approx(2 * measure_on.data.cache_gb)


def test_drawn_photos_are_learned_from_beside_the_others_and_not_measured_on(small_run, fabric):
    run = small_run(settings={"data.synthetic": 2, "training.batch": 6})
    learn_from, measure_on = open_samples(run)
    assert len(learn_from) == len(run.split.train) + 2
    assert len(measure_on) == len(run.split.validation)
    names = first_batch(run, fabric).names
    assert sum(name.startswith("synthetic-") for name in names) == 2
    assert len(names) == len(learn_from) == 6


def test_photos_are_varied_alike_on_one_device_and_on_several():
    settings = ("zoom", "flip", "brightness", "noise", "jpeg", "recolor", "pattern", "background", "light", "blur")
    recipe = load_recipe(None, {f"augment.{option}": {"p": 0.6, "amount": 0.3} for option in settings})
    photos, alphas = torch.rand(4, 3, 48, 32), (torch.rand(4, 1, 48, 32) > 0.5).float()
    views = ("Front", "Back", "FrontRight", "Front")

    def vary(part):
        key = (7, 11, part.start)
        return augment(photos[part], alphas[part], views=views[part], config=recipe.augment, key=key)

    whole = vary(slice(0, 4))
    for rank in range(2):
        part = slice(2 * rank, 2 * rank + 2)
        own = vary(part)
        assert all(torch.equal(mine, all_of_it[part]) for mine, all_of_it in zip(own, whole, strict=True))
