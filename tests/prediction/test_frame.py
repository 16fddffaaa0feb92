from dataclasses import replace

import numpy as np
import pytest

from garmentcut.errors import PhotoError
from garmentcut.photo.mask import bounding_box
from garmentcut.photo.photo import Photo
from garmentcut.prediction.frame import Frame, crop_pixels, frame_photo, photo_in, whole_crop, window_of
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


def plain_photo(box_xyxy, size_hw=(300, 200), ground=240):
    pixels = np.full((*size_hw, 3), ground, np.uint8)
    left, top, right, bottom = box_xyxy
    pixels[top:bottom, left:right] = (200, 30, 30)
    return Photo(pixels)


@pytest.mark.parametrize(
    ("box", "is_larger"),
    [((20, 20, 180, 280), True), ((90, 140, 104, 160), False)],
)
def test_a_garment_of_unusual_size_on_plain_ground_has_a_window_of_its_scale(card, box, is_larger):
    photo = plain_photo(box)
    frame = Frame(photo.rgb, photo.size_hw, photo.size_hw)
    garment_px = (60.0, 110.0)
    window = window_of(frame, garment_px)
    assert (window[3] - window[1] > 1) is is_larger
    part, exact = photo_in(window, photo, frame)
    assert part.size_hw[0] / part.size_hw[1] == pytest.approx(1.5, abs=0.1)
    shown = frame_photo(part, card)
    height, width = shown.content_hw
    found = bounding_box(np.abs(shown.rgb[:height, :width].astype(int) - 240).max(axis=2) > 60)
    scale = 300 / height  # to the size that `garment_px` is of
    size = ((found[2] - found[0]) * (found[3] - found[1])) ** 0.5 * scale
    assert 50 < size < 120
    # What the part shows lies where it lay: through the window back into the photo.
    alpha = np.zeros(part.size_hw, np.float32)
    alpha[np.abs(part.rgb.astype(int) - 240).max(axis=2) > 60] = 1
    of_part = Frame(part.rgb, part.size_hw, part.size_hw)
    moved = Prediction(of_part, whole_crop(of_part), alpha, alpha[::2, ::2]).moved_to(frame, exact)
    truth = np.zeros(photo.size_hw, np.float32)
    truth[box[1] : box[3], box[0] : box[2]] = 1
    assert np.abs(moved.full_alpha() - truth).mean() < 0.004
    first, last = moved.coarse >= 0.5, moved.small_alpha(moved.coarse.shape) >= 0.5  # at half the size
    assert 2 * (first & last).sum() / (first.sum() + last.sum()) > 0.85


def test_usual_sizes_and_busy_grounds_have_no_window():
    photo = plain_photo((60, 80, 140, 200))
    assert window_of(Frame(photo.rgb, photo.size_hw, photo.size_hw), (60.0, 110.0)) is None
    photo = plain_photo((20, 20, 180, 280))
    assert window_of(Frame(photo.rgb, photo.size_hw, photo.size_hw), (0.0, 0.0)) is None  # not known
    photo.rgb[:, :100] //= 2  # a black curtain on the left
    assert window_of(Frame(photo.rgb, photo.size_hw, photo.size_hw), (60.0, 110.0)) is None
