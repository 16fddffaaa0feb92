from dataclasses import replace

import numpy as np
import pytest

from garmentcut.errors import NoGarmentError, PhotoError
from garmentcut.photo.photo import Photo
from garmentcut.prediction.cutter import Prediction, check_garment
from garmentcut.prediction.locate import (
    Frame,
    clean,
    correct_small_parts,
    count_garments,
    crop_pixels,
    frame_photo,
    locate,
    opaque,
    split_garments,
    whole_crop,
    without_false_positives,
)

HEIGHT, WIDTH = 192, 128


def seen(*areas, level=1.0):
    """A locate stage's alpha: (top, bottom, left, right[, level]) of each area."""
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    for top, bottom, left, right, *own in areas:
        alpha[top:bottom, left:right] = own[0] if own else level
    return alpha


def box_px(place):
    left, top, right, bottom = place.box_xyxy
    return round(top * HEIGHT), round(bottom * HEIGHT), round(left * WIDTH), round(right * WIDTH)


def test_a_garment_has_its_box():
    assert box_px(locate(seen((40, 120, 30, 90)))) == (40, 120, 30, 90)


def test_both_pieces_of_a_two_piece_are_in_the_box():
    assert box_px(locate(seen((40, 60, 40, 80), (110, 140, 38, 84)))) == (40, 140, 38, 84)


@pytest.mark.parametrize(
    "stray",
    [
        (4, 8, 100, 104),  # a speck
        (150, 156, 10, 16),
        (60, 110, 110, 126),  # furniture beside it, as large as another piece would be
    ],
)
def test_false_positives_do_not_widen_the_box(stray):
    place = locate(seen((40, 120, 30, 90), stray))
    assert box_px(place) == (40, 120, 30, 90)
    assert place.garment[stray[0] : stray[1], stray[2] : stray[3]].max() == 0


def test_a_strap_near_the_garment_belongs_to_it():
    assert box_px(locate(seen((40, 120, 30, 90), (24, 37, 50, 54)))) == (24, 120, 30, 90)


def test_a_sheer_sleeve_that_hangs_on_belongs_to_it_and_one_far_away_does_not():
    place = locate(seen((40, 120, 30, 90), (50, 70, 90, 110, 0.3), (150, 160, 5, 20, 0.3)))
    assert box_px(place) == (40, 120, 30, 110)
    assert place.garment[60, 100] == pytest.approx(0.3)


def test_a_soft_edge_is_kept():
    alpha = seen((40, 120, 30, 90))
    alpha[39, 30:90] = 0.1
    alpha[120, 30:90] = 0.3
    assert locate(alpha).garment[120, 50] == pytest.approx(0.3)


@pytest.mark.parametrize("alpha", [seen(), seen((10, 12, 10, 12)), seen((40, 120, 30, 90), level=0.4)])
def test_nothing_is_said_not_guessed(alpha):
    with pytest.raises(NoGarmentError, match="no garment found"):
        locate(alpha)


@pytest.mark.parametrize(
    ("area", "notes"),
    [
        ((40, 120, 30, 90), ()),
        ((40, HEIGHT, 30, 90), ("cut by the frame: bottom",)),
        ((0, 120, 0, 90), ("cut by the frame: left, top",)),
        ((40, 120, 30, WIDTH), ("cut by the frame: right",)),
    ],
)
def test_what_the_frame_cuts_off_is_reported(area, notes):
    assert locate(seen(area)).notes == notes


def test_an_empty_result_is_refused():
    frame = Frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), (HEIGHT, WIDTH), (HEIGHT, WIDTH))
    check_garment(Prediction.of_frame(seen((40, 120, 30, 90)), frame))
    with pytest.raises(NoGarmentError):
        check_garment(Prediction.of_frame(seen((40, 42, 30, 32)), frame))


def test_a_garment_of_like_size_beside_it_is_another_garment_not_furniture():
    both = seen((40, 120, 10, 50), (50, 120, 80, 110))
    assert box_px(locate(both)) == (40, 120, 10, 110)
    assert count_garments(both >= 0.5) == 2


@pytest.mark.parametrize(
    ("areas", "num"),
    [
        ((), 0),
        (((40, 120, 30, 90),), 1),
        (((40, 60, 40, 80), (110, 140, 38, 84)), 1),  # a two-piece
        (((40, 120, 10, 50), (60, 80, 80, 90)), 1),  # and something small
        (((40, 120, 4, 30), (40, 120, 50, 76), (40, 120, 96, 124)), 3),
        (((30, 120, 40, 65), (32, 118, 80, 106)), 1),  # the fronts of an open vest
        (((30, 120, 40, 65), (32, 118, 83, 108)), 1),  # the same of a wide-open one
        (((30, 120, 40, 65), (30, 120, 90, 116)), 2),  # too far apart for these
        (((30, 120, 40, 65), (50, 120, 80, 106)), 2),  # not equally long
        (((20, 60, 4, 60), (20, 60, 70, 124), (80, 120, 30, 100)), 1),  # the third hangs below both
    ],
)
def test_garments_are_counted(areas, num):
    assert count_garments(seen(*areas) >= 0.5) == num


def test_each_garment_gets_an_alpha_of_its_own_and_nothing_is_lost():
    alpha = np.zeros((40, 100), np.float32)
    alpha[5:35, 10:30], alpha[8:30, 60:85] = 1, 1
    alpha[36:38, 14:20] = 0.8  # a hem that lies apart
    alpha[2, 70] = 0.3
    left, right = split_garments(alpha)
    np.testing.assert_array_equal(left + right, alpha)
    assert not left[:, 45:].any()
    assert not right[:, :45].any()
    (whole,) = split_garments(left)
    np.testing.assert_array_equal(whole, left)
    # A correction may have joined or removed garments: there are as many files as before.
    kept = split_garments(left, 2)
    np.testing.assert_array_equal(kept[0], left)
    assert not kept[1].any()
    alpha[5:35, 90:99] = 1
    assert len(split_garments(alpha)) == 3
    np.testing.assert_array_equal(split_garments(alpha, 2)[1], alpha * (np.arange(100) >= 45))


def test_pieces_of_one_mannequin_stay_together():
    alpha = np.zeros((60, 40), np.float32)
    alpha[5:20, 10:30], alpha[35:55, 12:28] = 1, 1
    assert len(split_garments(alpha)) == 1


def agreed():
    """A dress that the first and the last stage agree on."""
    fine = np.zeros((200, 160), np.float32)
    fine[40:180, 40:120] = 1
    return fine, fine * 0.97


def test_what_agrees_is_not_touched():
    fine, coarse = agreed()
    assert clean(fine, coarse) is fine


def test_a_brass_button_is_no_hole():
    fine, coarse = agreed()
    fine[100:105, 80:84] = 0.05
    fine[99, 80:84] = 0.7  # its soft edge
    assert (clean(fine, coarse)[41:179, 41:119] == 1).all()


def test_a_gap_that_the_locate_stage_sees_stays_open():
    fine, coarse = agreed()
    fine[100:110, 80:84], coarse[98:112, 78:86] = 0, 0.4
    assert clean(fine, coarse) is fine


def test_a_large_hole_is_not_filled():
    fine, coarse = agreed()
    fine[80:120, 60:100] = 0
    assert clean(fine, coarse) is fine


def test_a_notch_at_the_edge_is_no_hole():
    fine, coarse = agreed()
    fine[100:104, 36:46] = 0
    assert clean(fine, coarse) is fine


def test_lace_stays_lace():
    fine, coarse = agreed()
    fine[60:100:4, 60:100:4], coarse[55:105, 55:105] = 0.1, 0.8
    assert clean(fine, coarse) is fine


def test_a_speck_is_taken_off_with_its_edge():
    fine, coarse = agreed()
    fine[10:14, 10:14] = 0.9
    fine[9, 10:14] = 0.3
    cleaned = clean(fine, coarse)
    assert cleaned[:30].max() == 0
    assert np.array_equal(cleaned[30:], fine[30:])


def test_a_strap_too_thin_for_the_locate_stage_is_no_speck():
    fine, coarse = agreed()
    fine[4:36, 60:63] = 0.9  # it hangs by threads that neither saw
    assert clean(fine, coarse) is fine


def test_fringe_that_hangs_on_is_no_speck():
    fine, coarse = agreed()
    fine[180:195, 60:62] = 0.9  # longer than locate saw
    assert clean(fine, coarse) is fine


def test_a_second_piece_that_the_locate_stage_missed_is_no_speck():
    fine, coarse = agreed()
    fine[2:36, 40:120] = 1
    assert clean(fine, coarse)[20, 80] == 1


def test_what_lies_apart_from_the_garment_is_a_false_positive():
    fine, coarse = np.zeros((200, 200), np.float32), np.zeros((200, 200), np.float32)
    fine[20:180, 40:140] = coarse[20:180, 40:140] = 1
    fine[30:60, 150:160] = 0.7  # a tile of the floor
    fine[100:105, 138:170] = 1  # a tie that hangs on
    coarse[30:60, 150:160] = 0.3
    cleaned = without_false_positives(fine, coarse)
    assert not cleaned[30:60, 150:160].any()
    fine[30:60, 150:160] = 0
    np.testing.assert_array_equal(cleaned, fine)
    assert without_false_positives(fine, coarse) is fine
    fine[:, 150:] = 1  # too large to be thrown away unseen
    assert without_false_positives(fine, coarse) is fine


def red_dress_with_a_hole(colour, size_px=6):
    rgb = np.full((200, 200, 3), (225, 220, 210), np.uint8)
    rgb[20:180, 40:140] = 160, 20, 30
    hole = slice(90, 90 + size_px), slice(80, 80 + size_px)
    rgb[hole] = colour
    fine = np.zeros((200, 200), np.float32)
    fine[20:180, 40:140] = 1
    fine[hole] = 0.1
    return fine, rgb, hole


@pytest.mark.parametrize(
    ("colour", "size_px"),
    [((190, 160, 60), 6), ((160, 20, 30), 6), ((160, 20, 30), 16)],
    ids=["a brass button", "the cloth", "much of the cloth"],
)
def test_a_hole_that_shows_no_ground_is_filled(colour, size_px):
    fine, rgb, hole = red_dress_with_a_hole(colour, size_px)
    filled = correct_small_parts(fine, rgb)
    assert filled[hole].min() == 1
    filled[hole] = 0.1
    np.testing.assert_array_equal(filled, fine)


@pytest.mark.parametrize(
    ("colour", "size_px"), [((225, 220, 210), 6), ((225, 220, 210), 16), ((190, 160, 60), 16), ((160, 20, 30), 30)]
)
def test_a_hole_that_shows_the_ground_or_might_and_a_very_large_one_stay(colour, size_px):
    fine, rgb, _ = red_dress_with_a_hole(colour, size_px)
    np.testing.assert_array_equal(correct_small_parts(fine, rgb), fine)


def dress_with_a_separate_part(colour, width_px=4):
    rgb, part = np.full((200, 200, 3), (225, 220, 210), np.uint8), (slice(150, 190), slice(90, 90 + width_px))
    rgb[20:140, 40:140] = 160, 20, 30
    rgb[150:190, 70:110] = 230, 180, 150  # the mannequin's legs, and what is between them
    rgb[part] = colour
    fine = np.zeros((200, 200), np.float32)
    fine[20:140, 40:140] = fine[part] = 1
    fine[150:190, 89] = 0.3
    return fine, rgb


def test_a_gap_between_the_legs_that_was_taken_for_a_strap_is_removed():
    fine, rgb = dress_with_a_separate_part((225, 220, 210))
    corrected = correct_small_parts(fine, rgb)
    assert corrected[145:].max() == 0  # with its soft edge
    np.testing.assert_array_equal(corrected[:145], fine[:145])


@pytest.mark.parametrize(
    ("colour", "width_px"),
    [((160, 20, 30), 4), ((20, 90, 60), 4), ((225, 220, 210), 12)],
    ids=["cloth", "tie", "large"],
)
def test_a_separate_part_that_is_no_background_stays_and_a_large_one_too(colour, width_px):
    fine, rgb = dress_with_a_separate_part(colour, width_px)
    np.testing.assert_array_equal(correct_small_parts(fine, rgb), fine)


def test_a_separate_part_whose_colour_the_cloth_has_too_stays():
    fine, rgb = dress_with_a_separate_part((225, 220, 210))
    rgb[100:110, 40:140] = 225, 220, 210  # a stripe in the colour of the wall
    np.testing.assert_array_equal(correct_small_parts(fine, rgb), fine)


def test_a_print_that_is_half_transparent_becomes_opaque():
    fine, coarse = agreed()
    fine[90:130, 60:100] = 0.6
    lifted = opaque(fine, np.where(coarse > 0.5, np.float32(0.99), coarse))
    assert lifted[90:130, 60:100].min() == 1
    assert np.array_equal(lifted[:90], fine[:90])


def test_deep_within_sure_cloth_there_is_no_ground():
    fine, coarse = agreed()
    coarse = np.where(coarse > 0.5, np.float32(0.99), coarse)
    fine[70:150, 60:100] = 0  # a print that the last stage takes for ground
    fine[60:160, 40:48] = 0.1  # an edge that it sees further inside
    lifted = opaque(fine, coarse)
    assert lifted[70:150, 60:100].min() == 1
    assert np.array_equal(lifted[:, :48], fine[:, :48])


def test_sheer_cloth_gaps_and_edges_stay_as_they_are():
    fine, coarse = agreed()
    fine[90:130, 60:100], coarse[90:130, 60:100] = 0.6, 0.7  # sheer to both
    fine[60:70, 60:70], coarse[60:70, 60:70] = 0.2, 0.95  # a gap that locate hardly sees
    fine[40:180, 118:120], coarse[40:180, 112:120] = 0.5, 0.6  # an edge
    assert np.array_equal(opaque(fine, coarse), fine)


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
