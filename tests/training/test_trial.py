import json
import math
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from garmentcut.errors import TrainingError, TrainingStopped
from garmentcut.recipe import OptimizerConfig
from garmentcut.training import trial
from garmentcut.training.loop import build_parts
from garmentcut.training.losses import Loss
from garmentcut.training.optim import build_optimizer
from garmentcut.training.trial import (
    RangePoint,
    curve_svg,
    draw_augmentations,
    range_test,
    smoothed_losses,
    suggested_lr,
    try_rates,
)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr("garmentcut.training.trial._NUM_STEPS", 12)


def test_the_curve_and_its_points(small_run, fabric):
    run = small_run()
    suggested = try_rates(run, fabric)
    points = [json.loads(line) for line in (run.folder / "range_test.jsonl").read_text().splitlines()]
    assert points[0]["lr"] == pytest.approx(1e-6)
    assert all(before["lr"] < after["lr"] for before, after in pairwise(points))
    assert suggested is None or suggested in [point["lr"] for point in points]
    assert ElementTree.parse(run.folder / "range_test.svg").getroot().tag.endswith("svg")
    run.check_resumable()  # a training may follow in the same folder
    assert not run.state_path.exists()


def test_a_loss_that_is_not_finite_from_the_start(small_run, fabric, monkeypatch):
    def bad(logits, _target, _config):
        return Loss(logits.sum() * math.nan, {"bce": torch.tensor(math.nan)})

    monkeypatch.setattr("garmentcut.training.loop.total_loss", bad)
    with pytest.raises(TrainingError, match="not finite from the start"):
        try_rates(small_run(), fabric)


def test_a_full_gpu_says_so_here_too(small_run, fabric, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("garmentcut.training.loop.total_loss", full)
    with pytest.raises(TrainingStopped, match=r"training\.batch = 1"):
        try_rates(small_run(), fabric)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".PNG"])
def test_a_page_of_augmentations(small_run, tmp_path, suffix):
    run = small_run(settings={"augment.zoom": {"p": 1.0, "amount": 0.3}})
    draw_augmentations(run, tmp_path / f"page{suffix}")
    with Image.open(tmp_path / f"page{suffix}") as page:
        assert page.width >= 4 * 200  # four training photos
        assert np.ptp(np.asarray(page)) > 100
    assert not run.folder.exists()


@pytest.mark.parametrize(("name", "says"), [("page.gif", "a page is a .jpg or a .png, not .gif"), ("page", "without")])
def test_a_page_of_another_kind_is_refused_before_a_photo_is_read(small_run, tmp_path, monkeypatch, name, says):
    monkeypatch.setattr(trial, "open_samples", None)
    with pytest.raises(TrainingError, match=says):
        draw_augmentations(small_run(), tmp_path / name)


def test_a_page_that_cannot_be_written(small_run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"page\.png: "):
        draw_augmentations(small_run(), tmp_path / "file" / "page.png")


class Bowl:
    """A network with BatchNorm and dropout on a fixed problem, trained by SGD."""

    def __init__(self):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))
        self.optimizer = build_optimizer(self.network, OptimizerConfig(name="sgd", lr=0.05))
        self.inputs = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
        self.rates = []

    def step(self):
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.optimizer.zero_grad()
        loss = (self.network(self.inputs) - self.inputs.sum(1, keepdim=True)).square().mean()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def test_the_rate_climbs_evenly_in_all_groups():
    bowl = Bowl()
    points = range_test(bowl.step, bowl.optimizer, low=1e-5, high=1e-1, num_steps=5)
    assert [point.lr for point in points] == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    assert bowl.rates == [point.lr for point in points]


def given(losses):
    bowl = Bowl()
    values = iter(losses)
    return range_test(lambda: next(values), bowl.optimizer, num_steps=len(losses))


def test_it_stops_when_the_loss_diverges():
    assert len(given([1.0] * 10 + [50.0] * 10)) == 11
    assert len(given([1.0] * 10 + [3.0] * 10)) == 20


def test_one_bad_batch_is_no_divergence():
    assert len(given([1.0] * 10 + [6.0] + [1.0] * 9)) == 20


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_it_stops_when_the_loss_is_no_number(loss):
    points = given([1.0, 0.9, loss, 0.8])
    assert [point.loss for point in points] == [1.0, 0.9]


def valley(count=121, noise=0.0):
    """Falls fastest at 1e-3, is lowest at 1e-2, rises after."""
    generator = torch.Generator().manual_seed(0)
    points = []
    for index in range(count):
        exponent = -6 + 6 * index / (count - 1)
        loss = 1 / (1 + math.exp(4 * (exponent + 3))) + (max(exponent + 2, 0)) ** 2
        points.append(RangePoint(10**exponent, loss + noise * torch.randn(1, generator=generator).item()))
    return points


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_it_suggests_where_the_loss_falls_fastest(noise):
    assert math.log10(suggested_lr(valley(noise=noise))) == pytest.approx(-3, abs=0.25)


def test_it_suggests_nothing_where_there_is_nothing_to_see():
    assert suggested_lr([RangePoint(10.0**-k, 1.0) for k in range(9, 0, -1)]) is None
    assert suggested_lr([RangePoint(10.0**-k, 10.0 - k) for k in range(9, 0, -1)]) is None
    assert suggested_lr(valley()[:4]) is None


def test_smoothing_by_hand():
    # up to 20 points: the neighbours count half; beyond the ends the last loss is repeated
    points = [RangePoint(lr, loss) for lr, loss in [(1, 4.0), (2, 0.0), (3, 8.0)]]
    assert smoothed_losses(points).tolist() == pytest.approx([(2 + 4 + 0) / 2, (2 + 0 + 4) / 2, (0 + 8 + 4) / 2])


def test_a_real_training_gets_a_rate_that_works():
    bowl = Bowl()
    points = range_test(bowl.step, bowl.optimizer, low=1e-5, high=100, num_steps=80)
    lr = suggested_lr(points)
    assert len(points) < 80
    assert 1e-3 < lr < 1
    for group in bowl.optimizer.param_groups:
        group["lr"] = lr
    losses = [bowl.step() for _ in range(100)]
    assert losses[-1] < losses[0] / 2


def points_of(losses, low=-6, high=0):
    last = len(losses) - 1
    return [RangePoint(10 ** (low + (high - low) * i / last), loss) for i, loss in enumerate(losses)]


def texts_of(points, suggested):
    root = ElementTree.fromstring(curve_svg(points, suggested))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_axes_are_labelled_and_the_suggestion_marked():
    texts = texts_of(points_of([1.0, 0.8, 0.5, 0.4, 0.9, 2.0, 30.0]), 1e-4)
    assert {"learning rate", "loss", "suggested 0.0001"} <= set(texts)
    assert not [text for text in texts_of(points_of([1.0, 1.0, 1.0]), None) if "suggested" in text]


@pytest.mark.parametrize("losses", [[1.0, 2.0], [0.0, 0.0, 0.0], [3e-9, 1e-9, 2e-9], [1.0, 1e30], [700.0, 5.0, 8.0]])
def test_any_losses_can_be_drawn(losses):
    assert "loss" in texts_of(points_of(losses), 1e-3)


def test_of_a_model_of_stages_the_segment_stage_is_tried(small_run, fabric, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(trial, "build_parts", lambda recipe, on: asked.append(recipe) or build_parts(recipe, on))
    segment = {"data": {"size_hw": [32, 32], "window": "garment", "frame_height": 96}}
    others = {"data": {"size_hw": [64, 64]}}
    run = small_run(settings={"stages.segment": segment, "stages.locate": others, "stages.refine": others})
    try_rates(run, fabric)
    assert [(recipe.data.window, recipe.data.size_hw) for recipe in asked] == [("garment", (32, 32))]
    assert (run.folder / "range_test.svg").exists()
    draw_augmentations(run, tmp_path / "page.jpg")
    assert (tmp_path / "page.jpg").exists()
