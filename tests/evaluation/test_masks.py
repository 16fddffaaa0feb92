import numpy as np
import pytest

from garmentcut.evaluation.masks import area_of, check_masks, mask_of


def test_half_counts_as_garment_as_128_does_in_eight_bits():
    levels = np.arange(256, dtype=np.float32)[None] / 255
    assert np.array_equal(mask_of(levels)[0], np.arange(256) >= 128)
    alpha = np.float32([[0.4999, 0.5, 0.502]])
    assert mask_of(alpha).tolist() == [[False, True, True]]
    assert np.array_equal(mask_of(alpha), np.rint(alpha * 255) >= 128)  # as it will be written


def test_the_area_of_two_masks():
    first, second = np.zeros((2, 6, 9), bool)
    assert area_of(first, second) is None
    first[2, 3] = second[4, 1] = True
    assert area_of(first, second) == (slice(2, 5), slice(1, 4))
    wide = area_of(first, second, margin_px=3)
    assert first[wide].shape == (6, 7)  # rows 0 to 6, columns 0 to 6


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.ones((2, 3), bool), np.ones((3, 2), bool)),
        (np.ones((2, 3), np.uint8), np.ones((2, 3), bool)),
        (np.ones((2, 3, 1), bool), np.ones((2, 3, 1), bool)),
        (np.ones((0, 3), bool), np.ones((0, 3), bool)),
    ],
)
def test_other_things_than_masks_are_refused(first, second):
    with pytest.raises(ValueError, match="masks must be"):
        check_masks(first, second)
