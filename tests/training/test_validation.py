import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from garmentcut.dataset.samples import Samples
from garmentcut.recipe import LossConfig
from garmentcut.training.loop import open_samples
from garmentcut.training.validation import Validation, dice_of, draw_sheet, predict, sheet_row, validate


class Constant(nn.Module):
    """The same logits, whatever it is shown."""

    def __init__(self, logit):
        super().__init__()
        self.logit = logit

    def forward(self, photos):
        assert 0 <= photos.min() <= photos.max() <= 1
        return torch.full((len(photos), 1, *photos.shape[2:]), self.logit)


def planes(values):
    return torch.tensor(values)[None, None]


@pytest.mark.parametrize(
    ("logits", "target", "dice"),
    [
        ([[1.0, -1.0], [1.0, -1.0]], [[1.0, 0.0], [0.0, 0.0]], 2 / 3),
        ([[1.0, 0.0]], [[0.5, 0.49]], 2 / 3),  # alpha 0.5 is garment, on both sides
        ([[1.0, -1.0]], [[1.0, 0.0]], 1.0),
        ([[-1.0, -1.0]], [[0.0, 0.0]], 1.0),  # nothing there, nothing found
        ([[1.0, -1.0]], [[0.0, 0.0]], 0.0),
    ],
)
def test_dice_by_hand(logits, target, dice):
    assert float(dice_of(planes(logits), planes(target))) == pytest.approx(dice)


def test_every_photo_is_measured(small_run, fabric):
    samples = open_samples(small_run())[1]
    seen = validate(Constant(9.0), samples, LossConfig(), fabric=fabric)
    masks = [samples[index].alpha >= 128 for index in range(2)]
    dice = [2 * float(mask.sum()) / (float(mask.sum()) + mask.numel()) for mask in masks]
    assert (seen.mean_dice, seen.median_dice) == (pytest.approx(np.mean(dice)), pytest.approx(np.median(dice)))
    assert validate(Constant(0.0), samples, LossConfig(dice=0.0, edge_weight=1.0), fabric=fabric).loss == pytest.approx(
        0.693147, rel=1e-5
    )


def test_a_prediction_and_its_target(small_run, fabric):
    samples = open_samples(small_run())[1]
    logits, target = predict(Constant(1.0), samples[1], fabric=fabric)
    assert logits.shape == target.shape == (1, 1, 96, 64)
    assert torch.equal(target[0], samples[1].alpha / 255)


def test_the_devices_share_the_photos(small_run, monkeypatch):
    """Two devices, one after the other: each fills its own rows, and the sum is what one device finds alone."""
    samples = open_samples(small_run(fold="none"))[1]
    assert isinstance(samples, Samples)

    class Device:
        device, world_size = torch.device("cpu"), 2

        def __init__(self, rank):
            self.global_rank = rank

        def autocast(self):
            return torch.autocast("cpu", enabled=False)

    tables = []
    monkeypatch.setattr("garmentcut.training.validation.reduced", lambda _f, own, _op: tables.append(own) or own)
    for rank in (0, 1):
        validate(Constant(9.0), samples, LossConfig(), fabric=Device(rank))
    assert (tables[0][1::2] == 0).all()
    assert (tables[1][0::2] == 0).all()
    assert ((tables[0] + tables[1])[:, 0] > 0).all()


def test_a_sheet_has_a_row_for_each_photo(small_run, fabric):
    samples = open_samples(small_run())[1]
    sheet = Image.open(io.BytesIO(draw_sheet(Constant(1.0), samples, 1, Validation(0.5, 0.5, 1.0), fabric=fabric)))
    assert sheet.format == "JPEG"
    # The title, and two rows of photo, target, prediction, difference, 300 pixels high each, below their labels.
    assert sheet.size == (4 * (200 + 4), 20 + 2 * (20 + 300))


def test_what_is_missing_is_red_and_what_is_too_much_blue():
    target, alpha = np.zeros((2, 150, 100), np.float32)
    target[50:100, 20:50] = 1  # the left half is missed,
    alpha[50:100, 50:80] = 1  # the right one is too much
    labels = ("dress_Front", "target", "prediction", "Dice 0.0000")
    row = sheet_row(np.full((150, 100, 3), 200, np.uint8), target, alpha, labels).astype(int)
    cells = row[20:].reshape(300, 4, 204, 3)[:, :, :200]  # enlarged twice
    photo, target, prediction, difference = (cells[:, column] for column in range(4))
    assert (photo == 200).all()
    assert target[150, 70].min() == 255
    assert target[150, 130].max() == 0
    assert prediction[150, 130].min() == 255
    red, blue, same = difference[150, 70], difference[150, 130], difference[20, 100]
    assert red[0] > 200 > 90 > red[2]
    assert blue[2] > 200 > 90 > blue[0]
    assert np.ptp(same) < 8
