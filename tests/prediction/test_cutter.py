from dataclasses import replace

import numpy as np
import pytest

import garmentcut
from garmentcut.errors import NoGarmentError, PhotoError
from garmentcut.model.card import StageSizes
from garmentcut.photo.mask import bounding_box
from garmentcut.photo.photo import Photo
from garmentcut.prediction.cutter import Cutter, Prediction, Stages
from garmentcut.prediction.locate import Frame, frame_photo, photo_in, whole_crop, window_of
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
    with pytest.raises(PhotoError, match="an array must be"):
        red_cutter(bad)


def test_settings_of_another_kind_are_refused():
    for wrong, kind in (({"config": {"threads": 1}}, "RuntimeConfig"), ({"cut": "fast"}, "CutConfig")):
        with pytest.raises(TypeError, match=f"give a garmentcut.config.{kind}, not (dict|str)"):
            garmentcut.Cutter.load(**wrong)


def test_the_embedded_model_cuts_a_studio_photo():
    shot = draw_studio_photo(209, size_hw=(864, 576))
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


def test_a_foreign_photo_gets_test_time_augmentation(staged, monkeypatch):
    monkeypatch.setattr("garmentcut.prediction.cutter.agree_with_colors", lambda alpha, *_, **__: alpha)
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
    alpha = replace(stages, foreign=True, fast=True).alpha_of(photo.rgb)
    left, right = alpha[100:180, 76:90], alpha[100:180, 102:116][:, ::-1]
    assert 0.3 < left.min() <= left.max() < 0.9  # the crop alone would give 1, and 0 in the right half
    np.testing.assert_allclose(left, right, atol=0.02)


@pytest.mark.parametrize(
    ("foreign", "ground", "most"),
    [(False, 0.99, 1.0), (False, 0.8, 0.4), (True, 0.8, 0.4)],
    ids=["sure", "unsure", "foreign"],
)
def test_patches_agree_with_their_colors(staged, foreign, ground, most):
    def with_some_ground(rgb):
        alpha = ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)
        alpha[20:30, 10:20] = ground
        return alpha

    cutter, _ = staged(1.0)
    stages = replace(cutter.stages, segment=with_some_ground, foreign=foreign, fast=True)
    alpha = stages.alpha_of(packshot((70, 60, 130, 220)))
    assert most - 0.4 <= alpha[45:55, 25:35].max() <= most
    assert alpha[80:200, 80:120].min() > 0.9


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
