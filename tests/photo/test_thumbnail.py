import numpy as np
import pytest

from garmentcut.photo.color import srgb_of
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.thumbnail import draw_ground, lay_on_ground, shrink_cutout

from .made import rgb_profile

TEAL = (10, 120, 130)


def square(height=160, width=120, *, color=TEAL, hidden=(255, 0, 0), dtype=np.uint8):
    """An opaque square in the middle; what alpha hides has another colour."""
    top = np.iinfo(dtype).max // 255
    rgb = np.full((height, width, 3), np.array(hidden) * top, dtype)
    alpha = np.zeros((height, width), np.float32)
    place = slice(height // 2 - 40, height // 2 + 40), slice(width // 2 - 40, width // 2 + 40)
    rgb[place], alpha[place] = np.array(color) * top, 1
    return Cutout(rgb, alpha)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_stay_exact_and_hidden_ones_stay_hidden(dtype):
    small = shrink_cutout(square(dtype=dtype).picture, (45, 33), trim=False)
    assert small.shape == (44, 33, 4)  # 33 of 120 is the narrower limit
    assert tuple(small[22, 16]) == (*TEAL, 255)
    assert tuple(small[0, 0]) == (0, 0, 0, 0)
    rim = small[(small[..., 3] > 0) & (small[..., 3] < 255)].astype(int)
    assert rim.size
    # Premultiplied: the garment's colour times alpha; red from behind would show in the first channel.
    assert np.abs(rim[:, :3] - rim[:, 3:] * np.array(TEAL) / 255).max() <= 2


def test_the_rim_gets_no_halo():
    small = shrink_cutout(square(color=(255, 255, 255), hidden=(255, 255, 255)).picture, (53, 40), trim=False)
    laid = lay_on_ground(small, draw_ground("#808080", (53, 40)))
    assert laid.min() == 0x80  # an overshooting filter would darken the ground around the garment


def test_trimmed_to_what_is_visible():
    assert shrink_cutout(square().picture, (500, 500)).shape == (80, 80, 4)  # and not enlarged
    assert shrink_cutout(square().picture, (20, 500)).shape == (20, 20, 4)
    assert (shrink_cutout(square().picture, (20, 500))[..., 3] == 255).all()
    empty = Cutout(np.full((30, 20, 3), 9, np.uint8), np.zeros((30, 20), np.float32))
    assert not shrink_cutout(empty.picture, (15, 15)).any()


def test_a_speck_is_shown_if_it_can_be_seen():
    def height(speck):
        cutout = square()
        cutout.alpha[10:12, 60] = speck
        return len(shrink_cutout(cutout.picture, (500, 500)))

    assert (height(4 / 255), height(0.2)) == (80, 110)


def test_one_thin_line_still_has_a_pixel():
    line = Cutout(np.zeros((1000, 1, 3), np.uint8), np.ones((1000, 1), np.float32))
    assert shrink_cutout(line.picture, (10, 10)).shape == (10, 1, 4)


def test_colours_are_brought_to_srgb():
    profile, color = rgb_profile(), np.full((8, 8, 3), (60, 200, 90), np.uint8)
    small = shrink_cutout(Cutout(color, np.ones((8, 8), np.float32), profile).picture, (8, 8))
    assert np.array_equal(small[..., :3], srgb_of(color, profile))
    assert not np.array_equal(small[..., :3], color)


def test_grounds():
    board = draw_ground("checkerboard", (20, 30), square_px=10)
    assert [tuple(board[y, x]) for y, x in ((0, 0), (0, 10), (10, 0), (19, 19))] == [
        (255,) * 3,
        (204,) * 3,
        (204,) * 3,
        (255,) * 3,
    ]
    assert (draw_ground("#FF00aa", (2, 3)) == (255, 0, 170)).all()


def test_what_is_not_there_shows_the_ground_exactly():
    ground = draw_ground("checkerboard", (8, 8), square_px=2)
    thumbnail = np.zeros((4, 4, 4), np.uint8)
    thumbnail[0, 0] = (*TEAL, 255)
    thumbnail[1, 1] = (50, 0, 0, 128)
    laid = lay_on_ground(thumbnail, ground)
    assert tuple(laid[2, 2]) == TEAL
    assert tuple(laid[3, 3]) == (50 + 127, 127, 127)  # 255 * 127 / 255 of the white square shines through
    laid[2, 2], laid[3, 3] = ground[2, 2], ground[3, 3]
    assert np.array_equal(laid, ground)
    assert not (ground == TEAL).all(axis=-1).any()  # the ground itself was left alone
