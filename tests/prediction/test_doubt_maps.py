import numpy as np
import pytest

from garmentcut.prediction.doubt_maps import MAP_HEIGHT_PX, box_sum, draw_maps, eroded


@pytest.mark.parametrize("reach", [1, 3])
def test_box_sums_are_sums_over_squares(reach):
    planes = np.random.default_rng(0).random((9, 7, 2)).astype(np.float32)
    sums = box_sum(planes, reach)
    for y, x in ((0, 0), (4, 3), (8, 6)):
        near = planes[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        np.testing.assert_allclose(sums[y, x], near.sum(axis=(0, 1)), rtol=1e-5)


def test_erosion_takes_nothing_at_the_frame():
    mask = np.zeros((6, 6), bool)
    mask[2:, 1:5] = True
    assert eroded(mask).sum() == 2 * 3  # rows 3 to 5: the frame's border counts as mask


def test_an_empty_alpha_has_no_maps():
    assert draw_maps(np.zeros((40, 30, 3), np.uint8), np.zeros((40, 30), np.float32)) is None


def test_maps_of_a_large_frame_are_small_and_in_place(studio):
    shown = studio(1728, 1152)
    maps = draw_maps(shown.photo, shown.alpha)
    assert maps.step == 4
    assert maps.frame_hw == (MAP_HEIGHT_PX, 288)
    left, top = maps.corner_xy
    whole = np.zeros(maps.frame_hw, bool)
    whole[top : top + maps.mask.shape[0], left : left + maps.mask.shape[1]] = maps.mask
    expected = shown.alpha.reshape(432, 4, 288, 4).mean(axis=(1, 3)) >= 0.5
    assert (whole != expected).sum() < 10
    assert maps.colors.shape[:2] == maps.alpha.shape == maps.softness.shape == maps.contrast.shape


def test_contrast_is_the_distance_of_the_colours_on_both_sides():
    rgb = np.full((60, 60, 3), 200, np.uint8)
    alpha = np.zeros((60, 60), np.float32)
    alpha[20:40, 20:40] = 1
    rgb[20:40, 20:30] = 100  # the left half is told apart, the right half is not
    maps = draw_maps(rgb, alpha)
    left, top = maps.corner_xy
    assert maps.contrast[30 - top, 20 - left] == pytest.approx(100, abs=3)
    assert maps.contrast[30 - top, 39 - left] < 3
    assert not maps.contrast[~maps.edge].any()


def test_parts_and_holes_are_counted_and_dust_is_not():
    alpha = np.zeros((120, 120), np.float32)
    alpha[20:60, 20:60] = 1
    alpha[35:45, 35:45] = 0
    alpha[70:90, 20:60] = 1
    alpha[100, 100] = 1
    maps = draw_maps(np.zeros((120, 120, 3), np.uint8), alpha)
    left, top = maps.corner_xy
    assert [(spot.x + left, spot.y + top, spot.area_px) for spot in maps.parts] == [(40, 40, 1500), (40, 80, 800)]
    assert [(spot.x + left, spot.y + top, spot.area_px) for spot in maps.holes] == [(40, 40, 100)]
