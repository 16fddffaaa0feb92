import numpy as np
import pytest

import garmentcut
from garmentcut.errors import PhotoError
from garmentcut.photo.photo import Photo
from garmentcut.synthetic import draw_studio_photo

RED = np.full((96, 64, 3), 200, np.uint8)
RED[20:70, 20:44] = 255, 0, 0


def test_a_photo_gives_a_cutout_of_its_own_size_and_depth(red_cutter):
    photo = Photo(np.repeat(np.repeat(RED, 3, 0), 3, 1).astype(np.uint16) * 257, dpi=(300, 300), exif=b"x")
    cutout = red_cutter(photo)
    assert cutout.rgb is photo.rgb
    assert (cutout.dpi, cutout.exif) == (photo.dpi, photo.exif)
    assert cutout.box_xyxy == pytest.approx((60, 60, 132, 210), abs=8)  # the small copy is a little softer


def test_bare_pixels_are_taken_as_srgb(red_cutter):
    assert np.array_equal(red_cutter(RED).alpha, red_cutter(Photo(RED)).alpha)


def test_hidden_means_hidden_and_opaque_means_opaque(red_cutter):
    almost = RED.copy()
    almost[0, 0] = 201, 200, 200  # alpha 1/255
    almost[40, 30] = 254, 0, 0
    alpha = red_cutter(almost).alpha
    assert alpha[0, 0] == 0
    assert alpha[40, 30] == 1


def test_no_garment_is_said_not_cut(red_cutter):
    with pytest.raises(PhotoError, match="no garment found"):
        red_cutter(np.full((96, 64, 3), 200, np.uint8))


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(red_cutter, bad):
    with pytest.raises(ValueError, match="rgb must be"):
        red_cutter(bad)


def test_the_embedded_model_cuts_a_studio_photo():
    shot = draw_studio_photo(209)
    alpha = garmentcut.Cutter.load()(shot.rgb).alpha
    mask, target = alpha >= 0.5, shot.alpha >= 0.5
    assert 2 * (mask & target).sum() / (mask.sum() + target.sum()) > 0.98
