import json
import math
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from garmentcut.training.errors import TrainingError, TrainingStopped
from garmentcut.training.losses import Loss
from garmentcut.training.trial import draw_augmentations, try_rates


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


def test_a_loss_that_is_no_number_from_the_start(small_run, fabric, monkeypatch):
    def bad(logits, _target, _config):
        return Loss(logits.sum() * math.nan, {"bce": torch.tensor(math.nan)})

    monkeypatch.setattr("garmentcut.training.trial.total_loss", bad)
    with pytest.raises(TrainingError, match="no number from the first steps on"):
        try_rates(small_run(), fabric)


def test_a_full_gpu_says_so_here_too(small_run, fabric, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("garmentcut.training.trial.total_loss", full)
    with pytest.raises(TrainingStopped, match=r"training\.batch = 1"):
        try_rates(small_run(), fabric)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".PNG"])
def test_a_page_of_augmentations(small_run, tmp_path, suffix):
    run = small_run(knobs={"augment.zoom": {"p": 1.0, "amount": 0.3}})
    draw_augmentations(run, tmp_path / f"page{suffix}")
    with Image.open(tmp_path / f"page{suffix}") as page:
        assert page.width >= 4 * 200  # four training photos
        assert np.ptp(np.asarray(page)) > 100
    assert not run.folder.exists()


@pytest.mark.parametrize(("name", "says"), [("page.gif", "a page is a .jpg or a .png, not .gif"), ("page", "without")])
def test_a_page_of_another_kind(small_run, tmp_path, name, says):
    with pytest.raises(TrainingError, match=says):
        draw_augmentations(small_run(), tmp_path / name)


def test_a_page_that_cannot_be_written(small_run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"page\.png: "):
        draw_augmentations(small_run(), tmp_path / "file" / "page.png")
