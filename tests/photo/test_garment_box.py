import numpy as np
import pytest

from garmentcut.photo.garment_box import box_of, box_of_parts


def canvas(*boxes, size_hw=(600, 400)):
    """Alpha 1 in boxes of left, top, right, bottom."""
    alpha = np.zeros(size_hw, np.float32)
    for left, top, right, bottom in boxes:
        alpha[top:bottom, left:right] = 1
    return alpha


DRESS = 100, 150, 300, 550


def test_specks_do_not_count():
    assert box_of_parts(canvas(DRESS, (10, 5, 15, 9), (390, 590, 398, 598))) == DRESS
    assert box_of_parts(canvas(DRESS, (10, 5, 15, 9)) * np.float32(0.2)) == DRESS, "sheer garments have specks too"


def test_parts_count():
    assert box_of_parts(canvas((150, 150, 250, 200), (160, 300, 240, 350))) == (150, 150, 250, 350)
    assert box_of_parts(canvas(DRESS, (20, 20, 30, 30))) == (20, 20, 300, 550), "a loose end of a strap"


def test_a_soft_rim_counts_to_its_last_level():
    alpha = canvas(DRESS, (5, 5, 8, 8))
    alpha[149, 100:300], alpha[148, 100:300] = np.float32(1 / 255), np.float32(0.4 / 255)
    assert box_of_parts(alpha) == (100, 149, 300, 550)


def test_whatever_hangs_together_is_one_part():
    """A spiral a few pixels wide, 10,000 pixels long."""
    alpha = np.zeros((512, 512), np.float32)
    for ring in range(0, 250, 10):
        alpha[ring : 512 - ring, ring : ring + 3] = alpha[ring : 512 - ring, 509 - ring : 512 - ring] = 1
        alpha[ring : ring + 3, ring : 512 - ring] = alpha[509 - ring : 512 - ring, ring + 10 : 512 - ring] = 1
        alpha[502 - ring : 505 - ring, ring : ring + 14] = 1
    assert box_of_parts(alpha) == (0, 0, 512, 512)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 700), (300, 1), (257, 259)])
def test_any_size(size_hw):
    assert box_of_parts(np.ones(size_hw, np.float32)) == (0, 0, *size_hw[::-1])
    assert box_of_parts(np.zeros(size_hw, np.float32)) is None


def test_dust_alone_is_all_there_is():
    random = np.random.default_rng(0)
    alpha = (random.random((3000, 3000)) > 0.9999).astype(np.float32)
    assert box_of_parts(alpha) == box_of(alpha > 0)
