"""Several processes train as one does, to rounding."""

import json
import os
import pickle
import subprocess
import sys
import threading

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from garmentcut.dataset.augment import augment
from garmentcut.dataset.samples import shared_generator, step_generator
from garmentcut.recipe import load_recipe
from garmentcut.training import joined_norm
from garmentcut.training.joined_norm import JoinedBatchNorm, join_batch_norms


class Devices:
    """Threads in place of processes: their sums are formed when both have come."""

    def __init__(self, num):
        self.num, self.parts = num, {}
        self.barrier = threading.Barrier(num)

    def get_world_size(self):
        return self.num

    def all_reduce(self, tensor):
        self.parts[threading.get_ident()] = tensor.clone()
        self.barrier.wait(60)
        total = torch.stack(list(self.parts.values())).sum(0)
        self.barrier.wait(60)
        tensor.copy_(total)

    def run(self, step):
        """step(rank) in a thread for each; their results."""
        results, errors = {}, []

        def work(rank):
            try:
                results[rank] = step(rank)
            except Exception as error:  # noqa: BLE001 - shown below
                errors.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(self.num)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors
        return [results[rank] for rank in range(self.num)]


@pytest.fixture
def two_devices(monkeypatch):
    devices = Devices(2)
    monkeypatch.setattr(joined_norm, "distributed", devices)
    return devices


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(4, 5, 1), BatchNormAct2d(5)),
    )


def test_batch_norm_sees_the_whole_batch(two_devices):
    photos = torch.randn(4, 3, 8, 6) * 3 + 1
    whole = network()
    out = whole(photos)
    out.square().mean().backward()

    networks = [join_batch_norms(network()) for _ in range(2)]

    def step(rank):
        own = networks[rank](photos[2 * rank : 2 * rank + 2])
        own.square().mean().backward()
        return own

    parts = two_devices.run(step)
    assert torch.allclose(torch.cat(parts), out, atol=1e-6)
    for joined in networks:
        assert joined.state_dict().keys() == whole.state_dict().keys()
        for name, values in whole.state_dict().items():
            assert torch.allclose(joined.state_dict()[name].double(), values.double(), atol=1e-6), name
    # What DDP does with the gradients of the devices: their mean.
    shares = zip(*(joined.parameters() for joined in networks), strict=True)
    for parameter, both in zip(whole.parameters(), shares, strict=True):
        assert torch.allclose((both[0].grad + both[1].grad) / 2, parameter.grad, atol=1e-6)


def test_a_joined_norm_that_is_not_trained_is_as_before():
    norm = BatchNormAct2d(3).eval()
    norm.running_mean.fill_(0.5)
    joined = JoinedBatchNorm.of(norm)
    photos = torch.randn(2, 3, 4, 4)
    assert not joined.training
    assert torch.equal(joined(photos), norm(photos))


def test_photos_are_varied_alike_on_one_device_and_on_several():
    knobs = ("zoom", "flip", "brightness", "noise", "jpeg", "recolor", "pattern", "background", "light", "blur")
    recipe = load_recipe(None, {f"augment.{knob}": {"p": 0.6, "amount": 0.3} for knob in knobs})
    photos, alphas = torch.rand(4, 3, 48, 32), (torch.rand(4, 1, 48, 32) > 0.5).float()
    views = ("Front", "Back", "FrontRight", "Front")

    def vary(part, generator):
        return augment(photos[part], alphas[part], views=views[part], config=recipe.augment, generator=generator)

    whole = vary(slice(0, 4), step_generator(7, 11))
    for rank in range(2):
        part = slice(2 * rank, 2 * rank + 2)
        own = vary(part, shared_generator(7, 11, rank=rank, world_size=2))
        assert all(torch.equal(mine, all_of_it[part]) for mine, all_of_it in zip(own, whole, strict=True))


# float64: what is left of a difference is one of method. In float32 rounding grows from step to step, on one process
# with another order of sums just so: benchmarks/two_processes.py.
SCRIPT = """
import json, pickle, sys
import torch
from torch import nn
from garmentcut.model import networks
from garmentcut.training import parts
from garmentcut.training.devices import Devices
from garmentcut.training.launch import train_runs

class Normed(nn.Sequential):
    multiple_of = 1

    def forward(self, photos):
        return super().forward(photos.double())

def build_network(name, **options):
    if name == "cutnet":
        network = networks.build_network(name, **options)
        normed = Normed(network)
        normed.multiple_of = network.multiple_of
        return normed.double()
    return Normed(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1)
    ).double()

parts.build_network = build_network
torch.set_num_threads(1)
run = pickle.load(open(sys.argv[1], "rb"))
minutes = 0.0 if sys.argv[3] == "stop" else None
for _, event in train_runs([run], Devices("cpu", int(sys.argv[2])), minutes=minutes):
    print(json.dumps([type(event).__name__, event.step, getattr(event, "loss", None)]), flush=True)
"""


def train(run, folder, *, devices, stop=False):
    (folder / "script.py").write_text(SCRIPT)
    (folder / "run.pickle").write_bytes(pickle.dumps(run))
    command = [
        sys.executable,
        str(folder / "script.py"),
        str(folder / "run.pickle"),
        str(devices),
        "stop" if stop else "",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=600)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.mark.slow
def test_fifty_steps_on_two_processes_and_resumed(small_run, tmp_path):
    knobs = {
        "training.steps": 50,
        "training.batch": 4,
        "training.evaluate_every": 25,
        "optimizer.name": "sgd",
        "optimizer.lr": 0.05,
        "augment.zoom": {"p": 0.7, "amount": 0.3},
        "augment.flip": {"p": 0.5, "amount": 1.0},
        "augment.noise": {"p": 0.5, "amount": 0.05},
    }
    one = train(small_run("one", knobs), tmp_path, devices=1)
    two = train(small_run("two", knobs), tmp_path, devices=2)
    assert [event[:2] for event in one] == [event[:2] for event in two]
    losses = [[event[2] for event in events if event[2] is not None] for events in (one, two)]
    assert len(losses[0]) == 52  # steps and evaluations
    assert losses[1] == pytest.approx(losses[0], abs=1e-8)
    assert losses[0][0] - losses[0][-1] > 0.1  # it has learned something

    halves = train(small_run("halves", knobs), tmp_path, devices=2, stop=True)
    assert halves[-1][1] == 1
    halves = [*halves[:-1], *train(small_run("halves", knobs), tmp_path, devices=2)]
    assert [event for event in halves if event[2] is not None] == [event for event in two if event[2] is not None]


@pytest.mark.slow
def test_our_own_network_on_two_processes(small_run, tmp_path):
    """Batch norm in every layer, the start weights' own optimizer groups, everything random switched on."""
    knobs = {
        "network.name": "cutnet",
        "network.options": {"channels": [16, 16, 16, 16]},
        "optimizer.name": "sgd",
        "optimizer.lr": 0.01,
        "training.steps": 50,
        "training.batch": 4,
        "training.evaluate_every": 25,
        "augment.shift": {"p": 0.7, "amount": 0.06},
        "augment.brightness": {"p": 0.5, "amount": 0.15},
        "augment.jpeg": {"p": 0.3, "amount": 40.0},
    }
    losses = []
    for name, devices in (("one", 1), ("two", 2)):
        events = train(small_run(name, knobs), tmp_path, devices=devices)
        losses.append([event[2] for event in events if event[2] is not None])
    assert len(losses[0]) == 52  # steps and evaluations
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
