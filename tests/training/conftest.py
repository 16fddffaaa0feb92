"""A small data set, small networks and runs of them."""

import hashlib

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from PIL import Image
from torch import nn

from garmentcut.dataset.manifest import Manifest, Pair, read_manifest, write_manifest
from garmentcut.observe.monitor import StopRequest
from garmentcut.recipe import load_recipe
from garmentcut.synthetic import draw_studio_photo
from garmentcut.training.run import Run, training_split

SIZE_HW = (96, 64)
SMALL = {
    "network.name": "simple",
    "network.options": {"channels": [4, 8]},
    "network.start": "scratch",
    "data.size_hw": list(SIZE_HW),
    "data.workers": 1,
    "training.steps": 6,
    "training.batch": 2,
    "training.evaluate_every": 3,
    "training.ema": 0.5,
}


class Dropped(nn.Module):
    """Everything that has a state or draws numbers: batch norm, dropout."""

    multiple_of = 1

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(4, 1, 1)
        )

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Six photos of six garments in three folds, and one refused pair."""
    folder = tmp_path_factory.mktemp("dataset")
    pairs = [_pair(folder, seed, split=f"fold{seed % 3}") for seed in range(6)]
    write_manifest(Manifest(folder, tuple(pairs), "folds 3"))
    return read_manifest(folder)


def _pair(folder, seed, *, split):
    shot = draw_studio_photo(seed, size_hw=SIZE_HW)
    name = f"{shot.garment}_{shot.view}"
    levels = np.rint(shot.alpha * 255).astype(np.uint8)
    Image.fromarray(shot.rgb).save(folder / f"{name}.png")
    Image.fromarray(levels).save(folder / f"{name}_alpha.png")
    ys, xs = np.nonzero(levels >= 128)
    return Pair(
        name=name,
        garment=shot.garment,
        view=shot.view,
        photo=f"{name}.png",
        cutout=f"{name}_alpha.png",
        alpha=f"{name}_alpha.png",
        photo_sha256=hashlib.sha256((folder / f"{name}.png").read_bytes()).hexdigest(),
        cutout_sha256=hashlib.sha256((folder / f"{name}_alpha.png").read_bytes()).hexdigest(),
        size_hw=SIZE_HW,
        box_xyxy=(int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1),
        split=split,
        source="transparency",
        faults=(),
        group=shot.garment,
    )


@pytest.fixture(scope="session")
def fabric():
    made = Fabric(accelerator="cpu", devices=1)
    made.launch()
    return made


@pytest.fixture
def small_run(manifest, tmp_path):
    """A function that makes a run of a small recipe: `small_run("name", {"training.steps": 20}, fold="none")`."""

    def make(name="run", settings=None, *, fold="0"):
        recipe = load_recipe(None, {**SMALL, **(settings or {})})
        return Run(tmp_path / name, recipe, manifest, training_split(manifest, fold))

    return make


@pytest.fixture
def never():
    """Nobody asks to stop."""
    return StopRequest()


@pytest.fixture
def dropped_network(monkeypatch):
    """Runs train a network with batch norm and dropout."""
    monkeypatch.setattr("garmentcut.training.loop.build_network", lambda _name, **_options: Dropped())
