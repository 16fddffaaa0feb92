from dataclasses import replace

import numpy as np
import pytest

from garmentcut.config import CutConfig
from garmentcut.errors import ModelError, NoGarmentError
from garmentcut.model.card import StageSizes, read_model, stage_network_of, with_card
from garmentcut.photo.photo import Photo
from garmentcut.prediction.cutter import (
    Cutter,
    Stages,
    enlarged,
    firmer_straps,
    model_path,
    refine_edges,
    segment_crop,
    tiles,
    within_reach,
)
from garmentcut.prediction.doubt import ALL_FEATURES, observe_prediction
from garmentcut.prediction.locate import Frame, crop_of, crop_pixels, find_garment, frame_photo, learned_scale
from garmentcut.synthetic import draw_studio_photo

SIZES = StageSizes(locate_hw=(96, 64), margin_px=20, tile_px=64)


def frame_of(rgb):
    return Frame(rgb, rgb.shape[:2], rgb.shape[:2])


def red(rgb):
    """A network that takes red pixels for garment."""
    return (rgb[..., 0].astype(np.float32) / 255).clip(0, 1)


def dice_of_stages(prediction):
    """Of the locate stage's and the last stage's masks, in small."""
    first, last = prediction.coarse >= 0.5, prediction.small_alpha(prediction.coarse.shape) >= 0.5
    return 2 * (first & last).sum() / (first.sum() + last.sum())


def dressed(height=384, width=256, box=(80, 100, 180, 300)):
    rgb = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = box
    rgb[top:bottom, left:right, 0] = 255
    return rgb


def given(tile):
    """A refine stage that has learned nothing."""
    return tile[..., 3].astype(np.float32) / 255


def test_the_garment_is_found_and_cut_at_the_photos_size():
    rgb = dressed()
    prediction = Stages(red, red, given, SIZES)(Photo(rgb), frame_of(rgb))
    alpha = prediction.full_alpha()
    wanted = rgb[..., 0] == 255
    assert alpha.shape == wanted.shape
    assert 2 * (alpha[wanted] >= 0.5).sum() / ((alpha >= 0.5).sum() + wanted.sum()) > 0.99
    assert alpha[150:250, 100:160].min() == 1
    assert alpha[:80].max() == 0


def test_nothing_is_no_garment():
    with pytest.raises(NoGarmentError):
        find_garment(red, frame_of(np.zeros((96, 64, 3), np.uint8)), SIZES)


def test_refine_sees_the_photos_own_pixels_along_the_edge_only():
    rgb, seen = dressed(512, 512, (100, 100, 400, 400)), []

    def refine(tile):
        seen.append(tile)
        return tile[..., 0].astype(np.float32) / 255

    alpha = segment_crop(red, rgb, SIZES)
    fine = refine_edges(refine, rgb, alpha, 64)
    assert all(tile.shape == (64, 64, 4) for tile in seen)
    assert 0 < len(seen) * 64 * 64 < 0.75 * 512 * 512
    assert np.abs(fine - (rgb[..., 0] == 255)).max() < 1e-6


def test_what_refine_finds_beyond_the_map_is_taken():
    """A strap that segment has lost lies in a tile of the edge: it is drawn all the same."""
    rgb = dressed(256, 256, (64, 100, 192, 200))
    rgb[60:100, 100:104, 0] = 255
    lost = dressed(256, 256, (64, 100, 192, 200))[..., 0][::2, ::2].astype(np.float32) / 255
    fine = refine_edges(lambda tile: tile[..., 0].astype(np.float32) / 255, rgb, lost, 96)
    assert fine[80:100, 101].min() == 1


def map_of_a_body():
    levels = np.zeros((200, 200), np.uint8)
    levels[60:, 40:160] = 255
    levels[100:180, 80:140] = 160  # a print that segment is less sure of
    return levels


def test_far_from_the_edge_refine_does_not_overrule_segment():
    levels = map_of_a_body()
    fine = levels.astype(np.float32) / 255
    fine[120:150, 90:130] = 0  # print taken for ground
    fine[5:40, 60:120] = 1  # ground taken for cloth
    limited = within_reach(fine, levels)
    assert limited[120:150, 90:130].min() == 1
    assert limited[5:40, 60:120].max() == 0
    levels[100:180, 80:140] = 130  # as unsure as it can be
    fine[100:180, 80:140] = 0.95
    assert within_reach(fine, levels)[120, 100] == pytest.approx(0.95)
    levels[:40] = 60  # a faint haze
    assert within_reach(fine, levels)[:20].max() == 0


def test_near_the_edge_and_in_thin_parts_refine_is_heard():
    levels = map_of_a_body()
    fine = levels.astype(np.float32) / 255
    fine[60:64, 40:160] = 0.25  # the edge is 4 px further down
    fine[66:, 36:40] = 1
    fine[2:60, 70:78] = 1  # a strap
    fine[100:180, 80:140] = 1
    assert np.array_equal(within_reach(fine, levels), fine)


def test_around_specks_refine_is_not_heard():
    levels = map_of_a_body()
    levels[20:26, 20:26] = 140
    fine = levels.astype(np.float32) / 255
    fine[14:32, 14:32] = 1  # a wall that refine takes for cloth
    limited = within_reach(fine, levels)
    assert limited[20:26, 20:26].min() == 1
    assert limited[14:19, 14:32].max() == 0
    fine[14:32, 14:32] = 0
    fine[10:60, 22:26] = 1  # a strap, of which segment sees a bit
    assert within_reach(fine, levels)[30:56, 22:26].min() == 1


def test_faint_straps_that_segment_sees_become_firmer():
    fine, seen = np.zeros((200, 200), np.float32), np.zeros((200, 200), np.uint8)
    fine[60:, 40:160], seen[60:, 40:160] = 1, 255
    fine[56:60] = 0.3  # a soft edge
    fine[5:60, 70:75], fine[20:30, 70:75], seen[5:60, 70:75] = 0.6, 0.2, 230  # a strap, and where it is fainter
    fine[5:60, 90:95] = 0.6  # segment does not see it
    fine[10:50, 120:125], seen[10:50, 120:125] = 0.45, 200  # half seen nowhere
    fine[52:60, 100:104], seen[52:60, 100:104] = 0.6, 200  # a stub
    firmer = firmer_straps(fine, seen)
    odds = np.exp(1.5)
    assert firmer[10, 72] == pytest.approx(odds * 0.6 / (odds * 0.6 + 0.4), abs=1e-6)
    assert firmer[25, 72] == pytest.approx(odds * 0.2 / (odds * 0.2 + 0.8), abs=1e-6)
    assert (firmer.dtype, firmer.max(), np.count_nonzero(firmer)) == (np.float32, 1, np.count_nonzero(fine))
    firmer[:56, 68:77] = fine[:56, 68:77]
    np.testing.assert_array_equal(firmer, fine)


def test_a_garment_without_thin_parts_stays_as_it_is():
    fine = np.zeros((200, 200), np.float32)
    fine[60:160, 40:160] = 0.7
    assert firmer_straps(fine, np.rint(fine * 255).astype(np.uint8)) is fine


@pytest.mark.parametrize("seed", range(5))
def test_tiles_show_everything_unsure_with_some_pixels_around(seed):
    rng = np.random.default_rng(seed)
    unsure = np.zeros((300, 260), np.bool_)
    for _ in range(8):
        y, x = rng.integers(300), rng.integers(260)
        unsure[y : y + rng.integers(1, 60), x : x + rng.integers(1, 60)] = True
    shown = np.zeros_like(unsure)
    for top, left in tiles(unsure, 96):
        assert 0 <= top <= 300 - 96
        assert 0 <= left <= 260 - 96
        inner = [
            slice(start + (0 if start == 0 else 16), end if end == side else end - 16)
            for start, end, side in ((top, top + 96, 300), (left, left + 96, 260))
        ]
        shown[tuple(inner)] = True
    assert not (unsure & ~shown).any()


def test_nothing_unsure_needs_no_tile():
    assert tiles(np.zeros((200, 200), np.bool_), 96) == []


def test_tiles_fade_into_each_other_without_a_seam():
    rgb = np.zeros((256, 512, 3), np.uint8)
    alpha = np.full((128, 256), 0.5, np.float32)
    fine = refine_edges(lambda tile: np.full(tile.shape[:2], 0.7, np.float32), rgb, alpha, 96)
    assert np.abs(fine[20:-20, 20:-20] - 0.7).max() < 1e-5


def test_a_crop_smaller_than_a_tile_is_padded():
    rgb = dressed(40, 30, (8, 8, 20, 30))
    fine = refine_edges(given, rgb, segment_crop(red, rgb, SIZES), 64)
    assert fine.shape == (40, 30)


@pytest.mark.parametrize("garment_px", [(50.0, 100.0), (400.0, 800.0)])
def test_garments_of_another_size_are_scaled_to_what_was_learned(garment_px):
    frame = frame_of(np.zeros((384, 256, 3), np.uint8))
    sizes = StageSizes(margin_px=0, garment_px=garment_px)
    crop = crop_of((0.25, 0.25, 0.75, 0.75), frame, sizes)
    learned = (crop.content_hw[0] * crop.content_hw[1]) ** 0.5
    assert learned == pytest.approx(min(garment_px[1], 157), rel=0.02)  # never enlarged beyond the photo's own pixels


def test_the_map_is_enlarged_in_place():
    alpha = np.zeros((10, 10), np.float32)
    alpha[5:] = 1
    large = enlarged(alpha, (20, 20))
    assert large[:9].max() == 0 or large[9].max() <= 128
    assert large[11:].min() == 255


def test_the_fast_effort_leaves_the_refine_stage_out():
    rgb = dressed()

    def refine(_tile):
        raise AssertionError

    alpha = Stages(red, red, refine, SIZES, fast=True)(Photo(rgb), frame_of(rgb)).full_alpha()
    assert (alpha >= 0.5).sum() == pytest.approx(100 * 200, rel=0.02)


def test_two_mannequins_side_by_side_are_both_cut_and_reported():
    rgb = dressed(384, 400, (40, 100, 140, 300))
    rgb[110:290, 240:330, 0] = 255
    prediction = Stages(red, red, given, SIZES)(Photo(rgb), frame_of(rgb))
    alpha = prediction.full_alpha()
    assert alpha[200, 90] == 1
    assert alpha[200, 280] == 1
    assert prediction.notes == ("2 garments are cut out together",)


def test_a_garment_that_goes_on_beyond_its_box_is_seen_whole():
    """Locate has seen the jacket only; segment sees that the trousers go on where its crop ends."""
    rgb, boxes = dressed(box=(80, 60, 180, 340)), []

    def upper_half(small):
        alpha = red(small)
        alpha[len(alpha) // 2 :] = 0
        return alpha

    def segment(crop):
        boxes.append(crop.shape)
        return red(crop)

    alpha = Stages(upper_half, segment, given, SIZES)(Photo(rgb), frame_of(rgb)).full_alpha()
    assert (alpha[62:338, 82:178] >= 0.5).all()
    assert (alpha >= 0.5).sum() == pytest.approx(100 * 280, rel=0.02)
    assert len(boxes) == 3  # one after another, each half as long again


def test_a_crop_that_the_photo_ends_is_not_widened():
    rgb, seen = dressed(box=(0, 0, 256, 384)), []

    def segment(crop):
        seen.append(crop.shape)
        return red(crop)

    Stages(red, segment, given, SIZES)(Photo(rgb), frame_of(rgb))
    assert len(seen) == 1


def test_what_locate_leaves_out_still_counts_as_disagreement():
    rgb = dressed()
    rgb[150:190, 215:245, 0] = 255  # furniture beside it
    prediction = Stages(red, red, given, SIZES)(Photo(rgb), frame_of(rgb))
    assert prediction.coarse[40:45, 55:60].max() > 0.5
    alone = Stages(red, red, given, SIZES)(Photo(dressed()), frame_of(dressed()))
    more, usual = (
        observe_prediction(one).features[ALL_FEATURES.index("stage_disagreement")] for one in (prediction, alone)
    )
    assert more > usual + 1


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
    assert learned_scale((0, 0, side / 3456, side / 5184), (5184, 3456), scale, (200, 600)) == pytest.approx(expected)


@pytest.fixture
def load(card):
    """load(choke_px=0.0, cut=None, refine=given): a cutter of three stages."""

    def loaded(*, cut=None, refine=given, **changes):
        sizes = StageSizes(locate_hw=(96, 64), segment_reduction=1, margin_px=32, tile_px=64)
        cut = cut or CutConfig()
        stages = Stages(red_cloth, red_cloth, refine, sizes, cut.effort == "fast")
        card_ = replace(card, working_size_hw=(384, 256), stages=sizes, **changes)
        return Cutter(card_, stages.segment, cut, stages)

    return loaded


def red_cloth(rgb):
    """A network that takes red cloth for garment, on any ground."""
    return ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)


def on_gray(*extra, size_hw=(384, 256)):
    rgb = np.full((*size_hw, 3), 200, np.uint8)
    step = size_hw[0] // 96
    for top, bottom, left, right in ((30, 60, 24, 44), *extra):
        rgb[top * step : bottom * step, left * step : right * step] = 255, 0, 0
    return rgb


def area(alpha):
    rows, columns = np.nonzero(alpha >= 0.5)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_what_stands_beside_is_not_cut(load):
    alpha = load()(on_gray((10, 12, 50, 52))).alpha
    assert area(alpha) == (96, 120, 176, 240)
    assert alpha.sum() == pytest.approx(120 * 80)


def test_what_the_stages_saw_is_told(load):
    cutter, photo = load(), Photo(on_gray())
    prediction = cutter.predict(photo, cutter.frame(photo))
    assert prediction.coarse.shape == (96, 64)
    assert prediction.alpha.shape == (384, 256)
    assert dice_of_stages(prediction) > 0.97
    assert prediction.small_alpha((96, 64)) == pytest.approx(prediction.coarse, abs=0.35)
    assert prediction.notes == ()


def test_a_garment_cut_by_the_frame_is_told(load):
    cutter, photo = load(), Photo(on_gray((55, 96, 24, 44)))
    assert cutter.predict(photo, cutter.frame(photo)).notes == ("cut by the frame: bottom",)


@pytest.mark.parametrize("size_hw", [(384, 256), (1152, 768), (2304, 1536), (768, 1536)])
@pytest.mark.parametrize("effort", ["fast", "normal"])
def test_the_cutout_lies_where_the_garment_is_at_every_size(load, size_hw, effort):
    step = size_hw[0] // 96
    alpha = load(cut=CutConfig(effort=effort))(on_gray(size_hw=size_hw)).alpha
    assert alpha.shape == size_hw
    assert area(alpha) == pytest.approx((24 * step, 30 * step, 44 * step, 60 * step), abs=step / 2)
    assert alpha.sum() == pytest.approx(600 * step**2, rel=0.03)


def test_chokes_of_card_and_user_add_up(load):
    alpha = load(cut=CutConfig(choke_px=1.0), choke_px=0.5)(on_gray()).alpha
    assert alpha[180].sum() == pytest.approx(80 - 2 * 1.5, abs=0.01)


def test_a_model_of_one_network_has_no_fast(tmp_path):
    content, card = read_model(model_path())
    single = tmp_path / "single.onnx"
    single.write_bytes(with_card(content, replace(card, stages=None)))
    with pytest.raises(ModelError, match="no stage that `fast` could leave out"):
        Cutter.load(single, cut=CutConfig(effort="fast"))


def test_a_card_that_promises_three_stages_is_held_to_it(card):
    with pytest.raises(ModelError, match="should hold a refine stage, and does not; export it again"):
        stage_network_of(b"", replace(card, stages=StageSizes()), "refine")


def test_a_camera_photo_is_cropped_at_the_working_scale(card):
    photo = Photo(np.zeros((5184, 3456, 3), np.uint8))
    photo.rgb[2400:3000, 1500:1800] = 255
    frame = frame_photo(photo, replace(card, working_size_hw=(1728, 1152)))
    box = 1500 / 3456, 2400 / 5184, 1800 / 3456, 3000 / 5184
    pixels = crop_pixels(photo, frame, crop_of(box, frame, StageSizes(margin_px=96)))
    assert pixels.shape == (200 + 2 * 96, 100 + 2 * 96, 3)
    assert (pixels > 128).all(axis=2).sum() == pytest.approx(200 * 100, rel=0.02)


def test_a_garment_in_a_lying_frame_is_found():
    upright = draw_studio_photo(3, size_hw=(576, 384)).rgb
    lying = np.empty((576, 864, 3), np.uint8)
    lying[:] = upright[2, 2]
    lying[:, 240:624] = upright
    cutter, photo = Cutter.load(), Photo(lying)
    assert dice_of_stages(cutter.predict(photo, cutter.frame(photo))) > 0.95
