from dataclasses import fields

import numpy as np
import pytest

from garmentcut.evaluation.measures import METRICS, Measures, measure, values_of


def test_every_metric_is_described_once_in_the_order_of_the_fields():
    assert [metric.key for metric in METRICS] == [key.name for key in fields(Measures)]


def test_all_of_one_photo(studio):
    target = studio(96, 64).alpha
    perfect = values_of(measure(target, target))
    for metric in METRICS:
        if metric.key != "dice_any":
            assert perfect[metric.key] == (1 if metric.higher_is_better else 0), metric.key
    # The mask of alpha >= 128 is a little leaner than what the retoucher left visible.
    inside, visible = np.count_nonzero(target >= 0.5), np.count_nonzero(target > 0)
    assert perfect["dice_any"] == pytest.approx(2 * inside / (inside + visible))
    shifted = values_of(measure(np.roll(target, 4, axis=1), target))
    for metric in METRICS:
        better, worse = (perfect, shifted) if metric.higher_is_better else (shifted, perfect)
        assert better[metric.key] > worse[metric.key], metric.key
    assert shifted["iou"] == pytest.approx(shifted["dice"] / (2 - shifted["dice"]))
    assert shifted["surface_dice_1px"] < shifted["surface_dice_2px"] < shifted["surface_dice_3px"] < 1


def test_an_empty_cutout_gets_the_worst_of_everything(studio):
    target = studio(96, 64).alpha
    found = values_of(measure(np.zeros_like(target), target))
    assert found["dice"] == found["dice_any"] == found["iou"] == found["surface_dice_3px"] == 0
    assert found["boundary_iou_2px"] == found["boundary_iou_5px"] == 0
    assert found["hd95_px"] == pytest.approx(found["assd_px"]) == pytest.approx(np.hypot(96, 64))
    assert found["pixel_accuracy"] == 1 - np.count_nonzero(target >= 0.5) / target.size
    assert all(isinstance(value, float) and np.isfinite(value) for value in found.values())


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="of one size"):
        measure(np.zeros((4, 4), np.float32), np.zeros((4, 5), np.float32))
