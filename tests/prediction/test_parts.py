import numpy as np
import pytest
from scipy import ndimage

from garmentcut.prediction.parts import parts_of

EIGHT = np.ones((3, 3), int)


@pytest.mark.parametrize("density", [0.05, 0.3, 0.45, 0.6, 0.95])
def test_parts_are_those_of_scipy(density):
    mask = np.random.default_rng(3).random((60, 45)) < density
    labels, num = ndimage.label(mask, EIGHT)
    parts = parts_of(mask)
    assert len(parts) == num
    assert sorted(parts.areas, reverse=True) == parts.areas.tolist()
    for index in range(num):
        one = parts.mask_of(np.arange(num) == index)
        assert one.sum() == parts.areas[index]
        [label] = np.unique(labels[one])
        assert np.array_equal(one, labels == label)
        rows, columns = np.nonzero(one)
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert tuple(parts.boxes_xyxy[index]) == box


def test_a_spiral_is_one_part():
    spiral = np.zeros((41, 41), bool)
    for ring in range(0, 20, 2):
        spiral[ring, ring : 41 - ring] = spiral[40 - ring, ring : 41 - ring] = True
        spiral[ring : 41 - ring, ring] = spiral[ring : 41 - ring, 40 - ring] = True
        spiral[ring + 1, ring] = False
        spiral[ring + 1 : ring + 3, ring + 1] = True
    assert len(parts_of(spiral)) == ndimage.label(spiral, EIGHT)[1]


def test_rows_do_not_touch_over_their_ends():
    mask = np.zeros((2, 6), bool)
    mask[0, -1] = mask[1, 0] = True
    assert len(parts_of(mask)) == 2


def test_counts_of_each_part():
    mask = np.zeros((8, 8), bool)
    mask[0:2, 0:3], mask[5:8, 5:8] = True, True
    asked = np.zeros((8, 8), bool)
    asked[1], asked[7, 7] = True, True
    assert parts_of(mask).counts_of(asked).tolist() == [1, 3]


@pytest.mark.parametrize("value", [False, True])
def test_nothing_and_everything(value):
    parts = parts_of(np.full((5, 7), value))
    assert len(parts) == int(value)
    assert parts.mask_of(np.ones(len(parts), bool)).all() == value
