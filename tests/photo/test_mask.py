import numpy as np
import pytest

from garmentcut.photo.mask import (
    agree_with_colors,
    bounding_box,
    box_sums,
    components,
    dilate,
    erode,
    garment_box,
    grab_cut,
    slices_of,
)


def canvas(*boxes, size_hw=(600, 400)):
    """Alpha 1 in boxes of left, top, right, bottom."""
    alpha = np.zeros(size_hw, np.float32)
    for left, top, right, bottom in boxes:
        alpha[top:bottom, left:right] = 1
    return alpha


DRESS = 100, 150, 300, 550


def test_specks_do_not_count():
    assert garment_box(canvas(DRESS, (10, 5, 15, 9), (390, 590, 398, 598))) == DRESS
    assert garment_box(canvas(DRESS, (10, 5, 15, 9)) * np.float32(0.2)) == DRESS, "sheer garments have specks too"


def test_parts_count():
    assert garment_box(canvas((150, 150, 250, 200), (160, 300, 240, 350))) == (150, 150, 250, 350)
    assert garment_box(canvas(DRESS, (20, 20, 30, 30))) == (20, 20, 300, 550), "a loose end of a strap"


def test_a_soft_edge_counts_to_its_last_level():
    alpha = canvas(DRESS, (5, 5, 8, 8))
    alpha[149, 100:300], alpha[148, 100:300] = np.float32(1 / 255), np.float32(0.4 / 255)
    assert garment_box(alpha) == (100, 149, 300, 550)


def test_whatever_hangs_together_is_one_part():
    """A spiral a few pixels wide, 10,000 pixels long."""
    alpha = np.zeros((512, 512), np.float32)
    for ring in range(0, 250, 10):
        alpha[ring : 512 - ring, ring : ring + 3] = alpha[ring : 512 - ring, 509 - ring : 512 - ring] = 1
        alpha[ring : ring + 3, ring : 512 - ring] = alpha[509 - ring : 512 - ring, ring + 10 : 512 - ring] = 1
        alpha[502 - ring : 505 - ring, ring : ring + 14] = 1
    assert garment_box(alpha) == (0, 0, 512, 512)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 700), (300, 1), (257, 259)])
def test_any_size(size_hw):
    assert garment_box(np.ones(size_hw, np.float32)) == (0, 0, *size_hw[::-1])
    assert garment_box(np.zeros(size_hw, np.float32)) is None


def test_dust_alone_is_all_there_is():
    random = np.random.default_rng(0)
    alpha = (random.random((3000, 3000)) > 0.9999).astype(np.float32)
    assert garment_box(alpha) == bounding_box(alpha > 0)


def naive_extreme(plane, extreme, neighbours, outside):
    wide = np.pad(plane, 1, constant_values=outside)
    rows, columns = plane.shape
    offsets = [(y, x) for y in range(3) for x in range(3) if neighbours == 8 or 1 in (y, x)]
    return extreme.reduce([wide[y : y + rows, x : x + columns] for y, x in offsets])


@pytest.mark.parametrize("neighbours", [4, 8])
@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.uint16, np.float32])
def test_morphology_of_masks_and_alphas(kind, neighbours):
    plane = (np.random.default_rng(1).random((9, 13)) > 0.4).astype(kind)
    wider, narrower, eaten = (
        dilate(plane, neighbours=neighbours),
        erode(plane, neighbours=neighbours),
        erode(plane, neighbours=neighbours, outside="background"),
    )
    assert wider.dtype == narrower.dtype == kind
    np.testing.assert_array_equal(wider, naive_extreme(plane, np.maximum, neighbours, 0))
    np.testing.assert_array_equal(narrower, naive_extreme(plane, np.minimum, neighbours, 1))
    np.testing.assert_array_equal(eaten, naive_extreme(plane, np.minimum, neighbours, 0))


def test_several_steps_are_steps_one_after_another():
    plane = np.random.default_rng(2).random((20, 20)) > 0.7
    np.testing.assert_array_equal(dilate(plane, 2, neighbours=4), dilate(dilate(plane, neighbours=4), neighbours=4))
    np.testing.assert_array_equal(erode(~plane, 3), ~dilate(plane, 3))
    assert erode(plane, 0) is not plane


@pytest.mark.parametrize(
    "turn", [lambda mask: mask, lambda mask: mask[::-1], lambda mask: mask.T, lambda mask: mask[::2, 1::2]]
)
def test_boxes_of_masks_of_any_layout(turn):
    mask = turn(np.random.default_rng(3).random((40, 60)) > 0.99)
    rows, columns = np.nonzero(mask)
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert bounding_box(mask) == box
    assert mask[slices_of(box)].sum() == mask.sum()


def test_a_box_of_nothing_is_none():
    assert bounding_box(np.zeros((3, 4), bool)) is None
    assert bounding_box(np.zeros((0, 4), bool)) is None


def test_margins_end_at_the_border():
    assert slices_of((1, 2, 3, 4), 5) == (slice(0, 9), slice(0, 8))


def test_components():
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]], bool)
    connected = components(mask)
    np.testing.assert_array_equal(connected.areas, [2, 2, 3])
    np.testing.assert_array_equal(connected.boxes_xyxy, [[0, 0, 2, 2], [3, 0, 4, 2], [0, 3, 3, 4]])
    np.testing.assert_array_equal(connected.labels > 0, mask)
    np.testing.assert_array_equal(connected.mask_of(connected.areas > 2), mask & (np.arange(4)[:, None] == 3))
    assert len(components(mask, neighbours=4).areas) == 4
    assert not components(np.zeros((2, 2), bool)).mask_of(np.zeros(0, bool)).any()


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1), (7, 9, 4), (1, 1)])
@pytest.mark.parametrize("reach_px", [0, 2, 30])
def test_sums_over_squares(shape, reach_px):
    planes = np.random.default_rng(4).random(shape).astype(np.float32)
    sums = box_sums(planes, reach_px)
    assert (sums.shape, sums.dtype) == (shape, np.float64)
    for y, x in np.ndindex(shape[:2]):
        square = planes[max(y - reach_px, 0) : y + reach_px + 1, max(x - reach_px, 0) : x + reach_px + 1]
        np.testing.assert_allclose(sums[y, x], square.astype(np.float64).sum(axis=(0, 1)))


def dress_on_a_wall(ground=(200, 198, 190), noise=6):
    rgb = np.empty((160, 120, 3), np.int16)
    rgb[:], rgb[30:130, 30:90] = ground, (150, 20, 30)
    rgb += np.random.default_rng(3).integers(-noise, noise + 1, rgb.shape, np.int16)
    alpha = np.zeros((160, 120), np.float32)
    alpha[30:130, 30:90] = 0.99
    return rgb.clip(0, 255).astype(np.uint8), alpha


def test_patches_take_the_side_whose_colors_they_have():
    rgb, true = dress_on_a_wall()
    alpha = true.copy()
    alpha[10:28, 30:90], alpha[100:130, 40:70] = 0.7, 0.2  # some wall, and without some cloth
    found = agree_with_colors(alpha, rgb)
    assert (found.dtype, found.shape) == (np.float32, alpha.shape)
    assert 0 <= found.min() <= found.max() <= 1
    np.testing.assert_array_equal(found >= 0.5, true >= 0.5)
    assert found[15:25].max() < 0.3 and found[105:125, 45:65].min() > 0.8


def test_a_color_of_both_sides_leaves_the_alpha_as_it_was():
    rgb, true = dress_on_a_wall(ground=(150, 20, 30))
    np.testing.assert_array_equal(agree_with_colors(true, rgb) >= 0.5, true >= 0.5)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_an_alpha_of_one_level_keeps_its_side(level):
    rgb, _ = dress_on_a_wall()
    found = agree_with_colors(np.full(rgb.shape[:2], level, np.float32), rgb)
    assert np.isfinite(found).all()
    assert (found[5:25, 5:25] >= 0.5).all() == (level >= 0.5)


def test_only_unsure_patches_change_if_asked():
    rgb, true = dress_on_a_wall()
    alpha = true.copy()
    alpha[100:130, 40:70] = 0.3
    alpha[28:30, 30:90], alpha[10:20, 95:105] = 0.6, 0.99  # a soft edge, and what is sure
    found = agree_with_colors(alpha, rgb, unsure_only=True)
    assert found[103:127, 43:67].min() > 0.8
    found[96:134, 36:74] = alpha[96:134, 36:74]
    np.testing.assert_array_equal(found, alpha)
    assert agree_with_colors(true, rgb, unsure_only=True) is true


def test_grab_cut_decides_unsure_patches_at_the_photo_s_own_edge():
    rgb, true = dress_on_a_wall()
    alpha = true.copy()
    alpha[110:140, 30:90] = 0.6  # over the hem: cloth above, wall below
    found = grab_cut(alpha, rgb)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found >= 0.5, true >= 0.5)
    assert set(np.unique(found[112:138, 32:88])) == {0, 1}
    found[106:144, 26:94] = alpha[106:144, 26:94]
    np.testing.assert_array_equal(found, alpha)
    assert grab_cut(true, rgb) is true


def test_grab_cut_leaves_straps_and_what_has_no_other_side():
    rgb, true = dress_on_a_wall()
    rgb[5:30, 40:47], strap = (150, 20, 30), true.copy()
    strap[5:30, 40:47] = 0.6
    np.testing.assert_array_equal(grab_cut(strap, rgb)[:30], strap[:30])
    everywhere = np.full(true.shape, 0.6, np.float32)
    np.testing.assert_array_equal(grab_cut(everywhere, rgb), everywhere)


def test_grab_cut_says_the_same_each_time():
    rgb, true = dress_on_a_wall(noise=60)
    alpha = np.where(true > 0.5, np.float32(0.7), np.float32(0.2))
    alpha[60:80, 40:60], alpha[:20] = 1, 0
    np.testing.assert_array_equal(grab_cut(alpha, rgb), grab_cut(alpha, rgb))


@pytest.mark.parametrize("order", ["C", "F"])
def test_grab_cut_takes_pixels_in_any_order(order):
    rgb, true = dress_on_a_wall()
    alpha = np.array(true, order=order)
    alpha[110:140, 30:90] = 0.6
    np.testing.assert_array_equal(grab_cut(alpha, rgb) >= 0.5, true >= 0.5)
