"""Trainings started on one process and on several: checked before, one after another, and the same to rounding."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from garmentcut.dataset.manifest import Manifest
from garmentcut.errors import DatasetError, TrainingError
from garmentcut.training.devices import Devices
from garmentcut.training.logging import Ended, StepDone
from garmentcut.training.loop import train_runs
from garmentcut.training.run import Run, training_split

CPU = Devices("cpu")

# No batch norm: its means are of each device's share, since PyTorch joins them on GPUs only.
SCRIPT = """
import json, os, pickle, sys
import torch
from torch import nn
from garmentcut.training import loop
from garmentcut.training.losses import Loss, total_loss

class Plain(nn.Sequential):
    multiple_of = 1

def build_network(_name, **_options):
    return Plain(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))

calls = []
def poisoned(logits, target, config):
    loss = total_loss(logits, target, config)
    calls.append(1)
    bad = os.environ.get("LOCAL_RANK") == os.environ.get("POISONED_RANK", "none") and len(calls) == 2
    return Loss(loss.total * float("nan"), loss.parts) if bad else loss

loop.build_network, loop.total_loss = build_network, poisoned
torch.set_num_threads(1)
run = pickle.load(open(sys.argv[1], "rb"))
try:
    minutes = 0.0 if "STOPPED" in os.environ else None
    for _, event in train_runs([run], Devices("cpu", int(sys.argv[2])), minutes=minutes):
        print(json.dumps([type(event).__name__, event.step, getattr(event, "loss", None)]), flush=True)
except ValueError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def start(run, folder, *, devices, **environment):
    """Run the script above, as a command that is started again for each device."""
    (folder / "script.py").write_text(SCRIPT)
    (folder / "run.pickle").write_bytes(pickle.dumps(run))
    command = [sys.executable, str(folder / "script.py"), str(folder / "run.pickle"), str(devices)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300)


@pytest.mark.slow
def test_two_processes_train_as_one_does(small_run, tmp_path):
    settings = {"training.steps": 12, "training.batch": 4, "training.evaluate_every": 6}
    events = []
    for devices in (1, 2):
        done = start(small_run(f"on{devices}", settings), tmp_path, devices=devices)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        events.append([json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")])
    one, two = events
    assert [event[:2] for event in one] == [event[:2] for event in two]  # nobody speaks twice
    losses = [[event[2] for event in side if event[2] is not None] for side in events]
    assert len(losses[0]) == 14
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    weights = [
        torch.load(tmp_path / f"on{devices}/last.ckpt", weights_only=True)["parts"]["network"] for devices in (1, 2)
    ]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])


@pytest.mark.slow
def test_two_processes_resume_to_the_last_bit(small_run, tmp_path):
    settings = {
        "training.batch": 4,
        "augment.zoom": {"p": 0.7, "amount": 0.3},
        "augment.noise": {"p": 0.5, "amount": 0.05},
    }
    whole, halves = small_run("whole", settings), small_run("halves", settings)
    assert start(whole, tmp_path, devices=2).returncode == 0
    assert '["Ended", 1, null]' in start(halves, tmp_path, devices=2, STOPPED="1").stdout
    assert start(halves, tmp_path, devices=2).returncode == 0
    states = [torch.load(run.state_path, weights_only=True)["parts"]["network"] for run in (whole, halves)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.slow
def test_the_photos_of_the_device_whose_loss_is_no_number(small_run, tmp_path):
    run = small_run(settings={"training.batch": 2})
    done = start(run, tmp_path, devices=2, POISONED_RANK="1")
    assert done.returncode != 0
    message = next(line for line in done.stderr.splitlines() if line.startswith("LossError: step 2"))
    second = start(small_run("alone", {"training.batch": 2}), tmp_path, devices=1, LOCAL_RANK="0", POISONED_RANK="0")
    of_both = next(line for line in second.stderr.splitlines() if line.startswith("LossError: step 2"))
    named = [[pair.name for pair in run.split.train if pair.name in text] for text in (message, of_both)]
    assert (len(named[0]), len(named[1])) == (1, 2)
    assert of_both.index(named[0][0]) == max(of_both.index(name) for name in named[1])  # its share is the latter half


def test_folds_are_trained_one_after_another(manifest, small_run, tmp_path):
    recipe = small_run(settings={"training.steps": 2}).recipe
    runs = [Run(tmp_path / f"all/fold{k}", recipe, manifest, training_split(manifest, str(k))) for k in range(3)]
    ends = [run for run, event in train_runs(runs, CPU) if isinstance(event, Ended)]
    assert ends == runs
    assert [run.read()["held_out"] for run in runs] == [["fold0"], ["fold1"], ["fold2"]]


def test_when_the_time_is_up_the_next_fold_is_not_begun(manifest, small_run, tmp_path):
    recipe = small_run().recipe
    runs = [Run(tmp_path / f"all/fold{k}", recipe, manifest, training_split(manifest, str(k))) for k in range(2)]
    events = [event for _, event in train_runs(runs, CPU, minutes=0)]
    assert [type(event) for event in events] == [StepDone, Ended]
    assert events[-1].reason == "time is up"
    assert not runs[1].state_path.exists()


def test_a_split_that_leaks_is_refused_before_the_first_step(manifest, small_run, tmp_path):
    first, second = manifest.of("fold0")[0], manifest.of("fold1")[0]
    pairs = tuple(replace(pair, group=second.group) if pair is first else pair for pair in manifest.pairs)
    leaking = Manifest(manifest.folder, pairs)
    run = Run(tmp_path / "leaks", small_run().recipe, leaking, training_split(leaking, "0"))
    with pytest.raises(DatasetError, match="the split leaks"):
        next(train_runs([run], CPU))
    assert not run.folder.exists()


def test_a_folder_in_use_is_refused(small_run):
    run = small_run()
    with run.held(), pytest.raises(TrainingError, match="another training is at work"):
        next(train_runs([small_run()], CPU))


def test_the_folder_is_held_while_it_trains_and_let_go_of_after(small_run):
    training = train_runs([small_run()], CPU)
    next(training)
    with pytest.raises(TrainingError, match="another training is at work"), small_run().held():
        pass
    training.close()
    with small_run().held():
        pass
