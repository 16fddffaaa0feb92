import numpy as np
import pytest

from garmentcut.evaluation.overlap import dice
from garmentcut.evaluation.thresholds import THRESHOLDS, dice_at_thresholds, sweep_of


def test_the_same_as_dice_at_each_threshold(alpha_pairs):
    for prediction, target in alpha_pairs:
        for garment in (target >= 0.5, target > 0):
            slow = [dice(prediction >= np.float32(threshold), garment) for threshold in THRESHOLDS]
            assert dice_at_thresholds(prediction, garment) == pytest.approx(slow)


def test_values_on_a_threshold_pass_it():
    prediction = np.float32([[0.05, 0.5, 0.95, 0.0]])
    garment = np.array([[True, True, True, False]])
    assert dice_at_thresholds(prediction, garment)[0] == 1
    assert dice_at_thresholds(prediction, garment)[THRESHOLDS.index(0.5)] == 2 * 2 / (2 + 3)
    assert dice_at_thresholds(prediction, garment)[-1] == 2 * 1 / (1 + 3)


def test_empty_ones():
    nothing = np.zeros((3, 3), np.float32)
    assert set(dice_at_thresholds(nothing, nothing > 0)) == {1.0}
    assert set(dice_at_thresholds(nothing, nothing == 0)) == {0.0}
    with pytest.raises(ValueError, match="of one size"):
        dice_at_thresholds(nothing, np.zeros((2, 2), bool))


def test_a_prediction_a_pixel_too_fat_wants_a_higher_threshold(studio):
    target = studio(192, 128).alpha
    fat = np.maximum.reduce([np.roll(target, shift, axis) for shift in (-1, 1) for axis in (0, 1)])
    sweep = sweep_of([dice_at_thresholds(fat, target >= 0.5)])
    assert sweep.best >= 0.75


def test_the_best_and_how_flat():
    first = [0.9] * len(THRESHOLDS)
    second = list(first)
    first[8:12] = [0.98, 0.99, 0.9899, 0.98]
    second[8:12] = [0.98, 0.99, 0.9897, 0.98]
    sweep = sweep_of([tuple(first), tuple(second)])
    assert sweep.best == 0.5
    assert sweep.flat == (0.5, 0.55)
    assert sweep.mean_dice[10] == pytest.approx(0.9898)
    assert sweep_of([(0.7,) * len(THRESHOLDS)]).best == 0.5  # all alike: the middle
    assert sweep_of([(0.7,) * len(THRESHOLDS)]).flat == (0.05, 0.95)
    with pytest.raises(ValueError, match="no photos"):
        sweep_of([])
