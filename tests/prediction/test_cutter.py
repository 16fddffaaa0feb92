from dataclasses import replace

import numpy as np
import pytest

import garmentcut
from garmentcut.errors import NoGarmentError, PhotoError
from garmentcut.model.card import StageSizes
from garmentcut.photo.photo import Photo
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.stages import Stages
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


@pytest.fixture
def staged(card, make_doubt):
    """staged(foreign_distance): three stages that know red cloth, but only where it takes less than half of a photo."""

    def make(foreign_distance):
        calls = []

        def locate(rgb):
            calls.append(rgb.shape)
            alpha = ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)
            return alpha * (alpha.mean() < 0.5)

        def segment(rgb):
            return ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)

        sizes = StageSizes(locate_hw=(96, 64), margin_px=8, tile_px=64, garment_px=(60.0, 110.0))
        doubt = replace(make_doubt(bias=-2.0), foreign_distance=foreign_distance)
        known = replace(card, working_size_hw=(288, 192), stages=sizes, doubt=doubt)
        cutter = Cutter(known, None, stages=Stages(locate, segment, lambda tile: segment(tile[..., :3]), sizes))
        return cutter, calls

    return make


def packshot(box=(20, 20, 172, 268)):
    pixels = np.full((288, 192, 3), 240, np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = (255, 0, 0)
    return pixels


def test_a_packshot_that_the_garment_fills_is_cut_at_the_scale_that_was_learned(staged):
    cutter, calls = staged(1.0)
    cutout = cutter(packshot())
    assert len(calls) == 2
    assert cutout.box_xyxy == pytest.approx((20, 20, 172, 268), abs=3)
    assert cutout.flags[0] == "foreign"
    photo = Photo(packshot())
    prediction = cutter.predict(photo, cutter.frame(photo))
    assert prediction.notes[-1].flag == "rescaled"


def test_a_foreign_photo_gets_test_time_augmentation(staged):
    seen = []

    def left_half(rgb):  # and of mirrored copies the right one
        seen.append(rgb.shape)
        alpha = ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)
        alpha[:, alpha.shape[1] // 2 :] = 0
        return alpha

    cutter, _ = staged(1.0)
    stages = replace(cutter.stages, segment=left_half)
    photo = Photo(packshot((70, 60, 130, 220)))
    foreign = replace(cutter, stages=stages)
    foreign.predict(photo, foreign.frame(photo))
    assert len(seen) >= 1 + 4
    alpha = replace(stages, test_time_augmentation=True, fast=True).alpha_of(photo.rgb)
    left, right = alpha[100:180, 76:90], alpha[100:180, 102:116][:, ::-1]
    assert 0.3 < left.min() <= left.max() < 0.9  # the crop alone would give 1, and 0 in the right half
    np.testing.assert_allclose(left, right, atol=0.02)


def test_a_usual_photo_is_looked_at_once(staged):
    cutter, calls = staged(1e9)
    cutter(packshot((60, 80, 130, 200)))
    small = packshot((90, 130, 110, 150))  # of unusual size, but the studio's own
    cutter(small)
    assert len(calls) == 2
    cutter, calls = staged(1.0)
    cutter(small)
    assert len(calls) == 3  # again with test-time augmentation, and at another scale
    with pytest.raises(NoGarmentError):
        cutter(np.full((288, 192, 3), 240, np.uint8))
