from dataclasses import replace

import numpy as np
import pytest

from garmentcut.model.card import FirstLook
from garmentcut.photo.photo import Photo
from garmentcut.prediction.crop import crop_around, crop_pixels, settled_scale, whole_crop
from garmentcut.prediction.frame import frame_photo

LOOK = FirstLook("none", (96, 64), 32, margin_px=96, shapes_hw=((640, 576), (896, 576), (1472, 704)))
PHOTO_HW = (1728, 1152)


@pytest.fixture
def cascade(card):
    return replace(card, working_size_hw=PHOTO_HW, first_look=LOOK)


def box_of(top, bottom, left, right, photo_hw=PHOTO_HW):
    return left / photo_hw[1], top / photo_hw[0], right / photo_hw[1], bottom / photo_hw[0]


@pytest.mark.parametrize(
    ("garment", "shape_hw"),
    [
        ((600, 1000, 400, 700), (640, 576)),
        ((600, 1100, 400, 700), (896, 576)),
        ((300, 1500, 400, 700), (1472, 704)),
        ((300, 1500, 200, 900), (1408, 896)),  # none holds it: the next multiples of 64
        ((0, 1728, 0, 1152), (1728, 1152)),
    ],
)
def test_the_smallest_shape_that_holds_box_and_margin(cascade, garment, shape_hw):
    crop = crop_around(box_of(*garment), PHOTO_HW, 1.0, cascade)
    assert crop.shape_hw == shape_hw
    assert crop.content_hw == shape_hw
    top, bottom, left, right = garment
    assert crop.box_xyxy[0] <= max(left - 96, 0)
    assert crop.box_xyxy[1] <= max(top - 96, 0)
    assert crop.box_xyxy[2] >= min(right + 96, 1152)
    assert crop.box_xyxy[3] >= min(bottom + 96, 1728)


def test_a_crop_stays_in_the_photo(cascade):
    crop = crop_around(box_of(0, 300, 900, 1152), PHOTO_HW, 1.0, cascade)
    assert crop.box_xyxy == (1152 - 576, 0, 1152, 640)


def test_a_shape_wider_than_the_photo_is_padded_with_its_border(cascade):
    photo = Photo(np.random.default_rng(0).integers(0, 255, (1728, 400, 3), np.uint8))
    frame = frame_photo(photo, cascade)
    crop = crop_around((0.1, 0.4, 0.9, 0.6), photo.size_hw, 1.0, cascade)
    pixels = crop_pixels(photo, frame, crop)
    assert crop.content_hw == (640, 400)
    assert pixels.shape == (640, 576, 3)
    assert np.array_equal(pixels[:, 400:], np.repeat(pixels[:, 399:400], 176, axis=1))
    left, top, right, bottom = crop.box_xyxy
    assert np.array_equal(pixels[:, :400], photo.rgb[top:bottom, left:right])


def test_a_camera_photo_is_cropped_at_the_working_scale(cascade):
    photo = Photo(np.zeros((5184, 3456, 3), np.uint8))
    photo.rgb[2400:3000, 1500:1800] = 255
    frame = frame_photo(photo, cascade)
    crop = crop_around(box_of(2400, 3000, 1500, 1800, photo.size_hw), photo.size_hw, 1 / 3, cascade)
    assert crop.shape_hw == (640, 576)
    pixels = crop_pixels(photo, frame, crop)
    assert pixels.shape == (640, 576, 3)
    assert (pixels > 128).all(axis=2).sum() == pytest.approx(200 * 100, rel=0.02)


@pytest.mark.parametrize(
    ("side", "scale", "expected"),
    [
        (900, 1 / 3, 1 / 3),  # of a size that was learned
        (300, 1 / 3, 2 / 3),  # far away: seen larger
        (60, 1 / 3, 1.0),  # as large as the photo's own pixels
        (2700, 1 / 3, 2 / 9),  # near: seen smaller
        (100, 2.0, 2.0),  # a thumbnail, enlarged already: no more of that
    ],
)
def test_the_garment_sets_the_scale(side, scale, expected):
    look = replace(LOOK, garment_px=(200, 600))
    assert settled_scale((0, 0, side / 3456, side / 5184), (5184, 3456), scale, look) == pytest.approx(expected)


def test_the_whole_photo_is_a_crop_too(cascade):
    photo = Photo(np.zeros((1700, 1152, 3), np.uint8))
    frame = frame_photo(photo, cascade)
    crop = whole_crop(frame)
    assert crop.box_xyxy == (0, 0, 1152, 1700)
    assert crop_pixels(photo, frame, crop) is frame.rgb
