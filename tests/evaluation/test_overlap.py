import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric
from torchmetrics.functional.classification import binary_accuracy, binary_jaccard_index
from torchmetrics.functional.segmentation import dice_score

from garmentcut.evaluation.overlap import dice, iou, pixel_accuracy

TARGET = np.array([[1, 1], [0, 0]], bool)
PREDICTION = np.array([[1, 0], [1, 0]], bool)
EMPTY = np.zeros((2, 2), bool)


def test_by_hand():
    assert dice(PREDICTION, TARGET) == 2 * 1 / (2 + 2)
    assert iou(PREDICTION, TARGET) == 1 / 3
    assert pixel_accuracy(PREDICTION, TARGET) == 2 / 4


@pytest.mark.parametrize("metric", [dice, iou, pixel_accuracy])
def test_the_same_is_perfect_and_both_empty_too(metric):
    assert metric(TARGET, TARGET) == 1
    assert metric(EMPTY, EMPTY) == 1


def test_one_empty():
    assert dice(EMPTY, TARGET) == dice(TARGET, EMPTY) == iou(EMPTY, TARGET) == iou(TARGET, EMPTY) == 0
    assert pixel_accuracy(EMPTY, TARGET) == 0.5


def test_naive_counting(mask_pairs):
    for prediction, target in mask_pairs:
        both = either = same = 0
        for ours, theirs in zip(prediction.flat, target.flat, strict=True):
            both += ours and theirs
            either += ours or theirs
            same += ours == theirs
        assert dice(prediction, target) == pytest.approx(2 * both / (prediction.sum() + target.sum()))
        assert iou(prediction, target) == pytest.approx(both / either)
        assert pixel_accuracy(prediction, target) == pytest.approx(same / target.size)


def test_iou_says_the_same_as_dice(mask_pairs):
    for prediction, target in mask_pairs:
        found = dice(prediction, target)
        assert iou(prediction, target) == pytest.approx(found / (2 - found), abs=1e-12)


def test_monai_and_torchmetrics_agree(mask_pairs):
    for prediction, target in mask_pairs:
        ours, theirs = (torch.from_numpy(mask.copy())[None, None] for mask in (prediction, target))
        assert dice(prediction, target) == pytest.approx(DiceMetric()(ours, theirs).item(), abs=1e-6)
        assert dice(prediction, target) == pytest.approx(dice_score(ours, theirs, num_classes=1).item(), abs=1e-6)
        assert iou(prediction, target) == pytest.approx(binary_jaccard_index(ours, theirs).item(), abs=1e-6)
        assert pixel_accuracy(prediction, target) == pytest.approx(binary_accuracy(ours, theirs).item(), abs=1e-6)
