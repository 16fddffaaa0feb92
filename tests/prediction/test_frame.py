from dataclasses import replace

import numpy as np
import pytest

from garmentcut.errors import PhotoError
from garmentcut.photo.photo import Photo
from garmentcut.prediction.frame import crop_pixels, frame_photo, whole_crop
from garmentcut.prediction.stages import Prediction


def photo_of(height, width, dtype=np.uint8):
    ramp = np.linspace(0, np.iinfo(dtype).max, height * width * 3)
    return Photo(ramp.reshape(height, width, 3).astype(dtype))


def test_a_photo_of_the_working_size_is_not_touched(card):
    photo = photo_of(96, 64)
    frame = frame_photo(photo, card)
    assert np.array_equal(frame.rgb, photo.rgb)
    assert (frame.content_hw, frame.photo_hw) == ((96, 64), (96, 64))


@pytest.mark.parametrize(
    ("photo_hw", "content_hw", "frame_hw"),
    [
        ((960, 640), (96, 64), (96, 64)),  # a camera's: scaled down
        ((48, 32), (96, 64), (96, 64)),  # a thumbnail: scaled up to the size of garment the network knows
        ((96, 50), (96, 50), (96, 64)),  # narrower: padded, not stretched
        ((95, 64), (96, 65), (96, 96)),
        ((640, 960), (91, 136), (96, 160)),  # lying: the area limit sets the scale
        ((50, 400), (39, 314), (64, 320)),
    ],
)
def test_scaled_evenly_and_padded(card, photo_hw, content_hw, frame_hw):
    frame = frame_photo(photo_of(*photo_hw), card)
    assert frame.content_hw == content_hw
    assert frame.rgb.shape == (*frame_hw, 3)
    assert content_hw[0] / photo_hw[0] == pytest.approx(content_hw[1] / photo_hw[1], rel=0.03)


def test_padding_repeats_the_border(card):
    frame = frame_photo(photo_of(96, 50), card)
    assert (frame.rgb[:, 50:] == frame.rgb[:, 49:50]).all()


def test_16_bits_are_rounded_for_the_network(card):
    frame = frame_photo(photo_of(96, 64, np.uint16), card)
    assert frame.rgb.dtype == np.uint8
    assert frame.rgb[0, 0, 0] == 0
    assert frame.rgb[-1, -1, -1] == 255


@pytest.mark.parametrize("photo_hw", [(96, 64), (192, 128), (300, 200), (95, 64), (48, 32), (64, 200)])
def test_alpha_comes_back_in_place(card, photo_hw):
    height, width = photo_hw
    frame = frame_photo(photo_of(height, width), card)
    rows = (np.arange(frame.rgb.shape[0]) + 0.5) / frame.content_hw[0]
    columns = (np.arange(frame.rgb.shape[1]) + 0.5) / frame.content_hw[1]
    inside = (abs(rows - 0.5) < 0.25)[:, None] & (abs(columns - 0.5) < 0.25)[None]
    alpha = Prediction.of_frame(inside.astype(np.float32), frame).full_alpha()
    assert alpha.shape == photo_hw
    centre = [(alpha.sum(axis=1 - axis) * (np.arange(photo_hw[axis]) + 0.5)).sum() / alpha.sum() for axis in (0, 1)]
    assert centre == pytest.approx([height / 2, width / 2], abs=max(0.5, 0.6 * height / 96))
    assert alpha.mean() == pytest.approx(0.25, abs=0.02)


def test_another_working_size_is_another_scale(card):
    frame = frame_photo(photo_of(192, 128), replace(card, working_size_hw=(192, 128)))
    assert frame.content_hw == (192, 128)


@pytest.mark.parametrize("photo_hw", [(1, 1), (8, 8), (15, 40), (20, 8000), (8000, 20)])
def test_what_cannot_be_a_studio_photo_is_refused(card, photo_hw):
    with pytest.raises(PhotoError, match="too small or too narrow"):
        frame_photo(photo_of(*photo_hw), card)


def test_the_whole_photo_is_a_crop_too(card):
    photo = photo_of(95, 64)
    frame = frame_photo(photo, card)
    crop = whole_crop(frame)
    assert crop.box_xyxy == (0, 0, 64, 95)
    assert np.array_equal(crop_pixels(photo, frame, crop), frame.rgb[:96, :65])
