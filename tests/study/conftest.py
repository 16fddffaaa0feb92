"""A small data set, small study files, and studies of them."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from garmentcut.dataset.manifest import Manifest, Pair, read_manifest, write_manifest
from garmentcut.evaluation.metrics import PhotoMetrics
from garmentcut.evaluation.scores import PhotoScore, write_scores
from garmentcut.study.compare import Results, RunResult
from garmentcut.study.plan import open_study
from garmentcut.synthetic import draw_studio_photo
from garmentcut.training.logging import Ended, Evaluated

SIZE_HW = (96, 64)
BASE = """
[network]
name = "simple"
options = { channels = [4, 8] }
start = "scratch"
[data]
size_hw = [96, 64]
workers = 1
[optimizer]
lr = 1e-2
[training]
steps = 4
batch = 2
ema = 0.0
evaluate_every = 2
"""
STUDY = """
title = "Two rates"
question = "Does a rate of 0 teach anything?"
recipe = "base.toml"
reference = "fast"
seeds = [0, 1]
folds = [0, 1]

[variants.fast]
[variants.slow]
optimizer.lr = 1e-9
"""


@pytest.fixture
def study_head():
    """The head of a study's file, without variants."""
    return """
title = "t"
question = "q"
recipe = "base.toml"
reference = "one"
seeds = [0]
folds = [0]
"""


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Nine photos of nine garments in three folds."""
    folder = tmp_path_factory.mktemp("dataset")
    pairs = [_pair(folder, seed, split=f"fold{seed % 3}") for seed in range(9)]
    write_manifest(Manifest(folder, tuple(pairs), "folds 3"))
    return folder


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


@pytest.fixture
def study_file(tmp_path):
    """A function that writes a study's file, and its base recipe beside it: `study_file(text)`."""

    def write(text=STUDY, *, base=BASE):
        (tmp_path / "base.toml").write_text(base)
        path = tmp_path / "study.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def make_study(study_file, dataset, tmp_path):
    """A function that opens a study of a file's text: `make_study(text, Choice(seeds=(0,)))`."""

    def make(text=STUDY, choice=None):
        return open_study(study_file(text), read_manifest(dataset), tmp_path / "out", choice)

    return make


def measures(dice):
    """All metrics of a photo, made up from its Dice."""
    return PhotoMetrics(
        dice=dice,
        dice_any=dice - 0.002,
        iou=dice / (2 - dice),
        pixel_accuracy=0.999,
        surface_dice_1px=dice - 0.1,
        surface_dice_2px=2 * dice - 1,
        surface_dice_3px=dice - 0.02,
        hd95_px=200 * (1 - dice),
        assd_px=50 * (1 - dice),
        boundary_iou_2px=0.7,
        boundary_iou_5px=0.9,
        edge_sad=1.5,
        edge_mse=0.02,
        edge_gradient=3.0,
        edge_connectivity=1.4,
    )


@pytest.fixture
def results_of():
    """A function that makes up a study's results: `results_of(study, dice)` with `dice(key, name)`; None: failed."""

    def make(study, dice, *, chosen=None, permanent_failures=None, steps=(2, 4)):
        runs = []
        for key in study.keys:
            split = study.split_of(key.variant, key.seed, key.fold)
            values = {pair.name: dice(key, pair.name) for pair in split.validation}
            if None in values.values():
                runs.append(RunResult(key, "failed", "the loss is no number"))
                continue
            scores = tuple(
                PhotoScore(pair.name, pair.garment, pair.view, pair.split, "net@0", False, measures=measures(value))
                for pair, value in zip(split.validation, values.values(), strict=True)
            )
            mean = sum(values.values()) / len(values)
            curve = tuple((step, mean - 0.1 / step) for step in steps)
            garments = len({pair.garment for pair in split.train})
            runs.append(RunResult(key, "done", "", scores, curve, 12.0, "1 core", garments))
        return Results(study, tuple(runs), chosen or {}, permanent_failures or {})

    return make


class FakeTraining:
    """Stands in for `train_runs` and `score_run`: takes no time, and reaches the Dice that it is told.

    Attributes:
        dice: from a run to its Dice; may raise.
        trained: folders of the runs that were trained, in order.
        stop_at: step at which the next training is interrupted; None: none is.
    """

    def __init__(self):
        self.dice = lambda run: 0.9  # noqa: ARG005
        self.trained = []
        self.stop_at = None

    def train_runs(self, runs, devices, *, minutes=None):  # noqa: ARG002
        (run,) = runs
        run.check_resumable()
        run.write({"machine": "1 core", "seconds": 3.0})
        steps, rows = run.recipe.training.steps, []
        for step in (steps // 2, steps):
            if self.stop_at == step:
                self.stop_at = None
                yield run, Ended("interrupted", step, 0.5, step, 1.0)
                return
            value = self.dice(run) - (steps - step) / 1000
            rows.append({"kind": "evaluation", "step": step, "mean_dice": value, "median_dice": value, "loss": 0.1})
            (run.folder / "journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            yield run, Evaluated(step, value, value, 0.1, is_best=True)
        self.trained.append(run.folder)
        yield run, Ended("all steps", steps, value, steps, 1.0)

    def score_run(self, run):
        scores = [
            PhotoScore(
                pair.name, pair.garment, pair.view, pair.split, "net@0", False, measures=measures(self.dice(run))
            )
            for pair in run.split.validation
        ]
        write_scores(scores, run.folder)
        return scores


@pytest.fixture
def fake_training(monkeypatch):
    """Nothing is trained: see `FakeTraining`."""
    fake = FakeTraining()
    monkeypatch.setattr("garmentcut.study.run.train_runs", fake.train_runs)
    monkeypatch.setattr("garmentcut.study.run.score_run", fake.score_run)
    # Nor is there memory or compiled code to let go of: to look through all that torch has loaded takes long.
    monkeypatch.setattr("garmentcut.study.run.gc", SimpleNamespace(collect=lambda: 0))
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    return fake
