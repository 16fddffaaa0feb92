from types import SimpleNamespace

import numpy as np
import pytest

from garmentcut.dataset.frames import frame_pair
from garmentcut.photo.photo import Photo
from garmentcut.prediction.frame import frame_photo
from garmentcut.recipe import DataConfig

CARD = SimpleNamespace(working_size_hw=(96, 64), multiple_of=32)  # what `frame_photo` asks of a model's card


def framed(photo, alpha, size_hw, *, target="alpha", box_xyxy=(0, 0, 0, 0)):
    photo = photo if isinstance(photo, Photo) else Photo(photo)
    return frame_pair(photo, alpha, box_xyxy=box_xyxy, data=DataConfig(size_hw=size_hw, target=target))


def test_a_photo_of_the_size_is_taken_as_it_is(studio):
    drawn = studio(96, 64)
    rgb, levels = framed(drawn.photo, drawn.alpha, (96, 64))
    assert np.array_equal(rgb, drawn.photo)
    assert np.array_equal(levels / np.float32(255), drawn.alpha)


@pytest.mark.parametrize("photo_hw", [(192, 128), (144, 96), (72, 48), (192, 100)])
def test_it_is_what_prediction_shows_the_network(studio, photo_hw):
    drawn = studio(*photo_hw)
    rgb, levels = framed(drawn.photo, drawn.alpha, (96, 64))
    assert np.array_equal(rgb, frame_photo(Photo(drawn.photo), CARD).rgb)
    assert levels.mean() / 255 == pytest.approx(drawn.alpha.mean() * min(1, 1.5 * photo_hw[1] / photo_hw[0]), abs=0.01)


def test_a_wide_photo_is_cut_about_its_garment():
    photo, alpha = np.zeros((40, 200, 3), np.uint8), np.zeros((40, 200), np.float32)
    photo[:, 150:170], alpha[:, 150:170] = 255, 1
    rgb, levels = framed(photo, alpha, (40, 60), box_xyxy=(150, 0, 170, 40))
    assert rgb.shape == (40, 60, 3)
    assert levels.shape == (40, 60)
    assert (levels[:, 20:40] == 255).all()
    assert levels.sum() == 20 * 40 * 255
    assert np.array_equal(rgb[..., 0], levels)


@pytest.mark.parametrize(("box", "start"), [((190, 0, 200, 40), 45), ((0, 0, 10, 40), 5)])
def test_the_cut_stays_inside_the_photo(box, start):
    photo, alpha = np.zeros((80, 400, 3), np.uint8), np.zeros((80, 400), np.float32)
    alpha[:, box[0] * 2 : box[2] * 2] = 1
    levels = framed(photo, alpha, (40, 50), box_xyxy=tuple(2 * side for side in box))[1]
    middle = np.flatnonzero(levels[0]).mean() + 0.5
    assert middle == pytest.approx(start, abs=0.51)


def test_a_narrow_photo_is_padded_at_the_right_with_its_border():
    photo = np.arange(40 * 20 * 3, dtype=np.uint16).reshape(40, 20, 3).astype(np.uint8)
    alpha = np.zeros((40, 20), np.float32)
    alpha[10:20, 15:] = 1  # runs out of the photo
    rgb, levels = framed(photo, alpha, (40, 32))
    assert np.array_equal(rgb[:, :20], photo)
    assert (rgb[:, 20:] == photo[:, 19:]).all()
    assert (levels[10:20, 15:] == 255).all()
    assert (levels[:10] == 0).all()


@pytest.mark.parametrize(("target", "wanted"), [("alpha", [0, 25, 128, 255]), ("alpha >= 128", [0, 0, 255, 255])])
def test_targets_at_the_photos_size(target, wanted):
    alpha = np.repeat(np.float32([[0, 25, 128, 255]]) / 255, 4, axis=0)
    assert framed(np.zeros((4, 4, 3), np.uint8), alpha, (4, 4), target=target)[1][0].tolist() == wanted


def test_any_alpha_above_zero_counts_before_it_is_scaled():
    alpha = np.zeros((8, 8), np.float32)
    alpha[:, 2:5] = 1 / 255
    photo = np.zeros((8, 8, 3), np.uint8)
    assert framed(photo, alpha, (8, 8), target="alpha > 0")[1][0].tolist() == [0, 0, 255, 255, 255, 0, 0, 0]
    assert framed(photo, alpha, (4, 4), target="alpha > 0")[1][0].tolist() == [0, 255, 255, 0]
    assert not framed(photo, alpha, (4, 4), target="alpha >= 128")[1].any()


def test_16_bits_and_profiles_become_8_bit_srgb(studio):
    drawn = studio(96, 64)
    wide = Photo(drawn.photo.astype(np.uint16) * 257)
    assert np.array_equal(framed(wide, drawn.alpha, (96, 64))[0], drawn.photo)
