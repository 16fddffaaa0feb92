import itertools
import math
from dataclasses import asdict, fields

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from torchmetrics.functional.classification import binary_accuracy, binary_jaccard_index
from torchmetrics.functional.segmentation import dice_score

from garmentcut.evaluation.metrics import (
    COUNTS,
    EDGE_BAND_PX,
    LEAST_HOLE_PX,
    METRICS,
    PLACE_PX,
    POOLED_METRICS,
    PhotoMetrics,
    area_of,
    assd,
    border_of,
    boundary_iou,
    check_masks,
    compare_outlines,
    connectivity_error,
    count_holes,
    dice,
    edge_band,
    gradient_error,
    hd95,
    iou,
    mask_of,
    measure,
    mse,
    pixel_accuracy,
    retouching_effort,
    sad,
    surface_dice,
    thin_parts,
)
from garmentcut.photo.mask import THIN_PX


def test_half_counts_as_garment_as_128_does_in_eight_bits():
    levels = np.arange(256, dtype=np.float32)[None] / 255
    assert np.array_equal(mask_of(levels)[0], np.arange(256) >= 128)
    alpha = np.float32([[0.4999, 0.5, 0.502]])
    assert mask_of(alpha).tolist() == [[False, True, True]]
    assert np.array_equal(mask_of(alpha), np.rint(alpha * 255) >= 128)  # as it will be written


def test_the_area_of_two_masks():
    first, second = np.zeros((2, 6, 9), bool)
    assert area_of(first, second) is None
    first[2, 3] = second[4, 1] = True
    assert area_of(first, second) == (slice(2, 5), slice(1, 4))
    wide = area_of(first, second, margin_px=3)
    assert first[wide].shape == (6, 7)  # rows 0 to 6, columns 0 to 6


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.ones((2, 3), bool), np.ones((3, 2), bool)),
        (np.ones((2, 3), np.uint8), np.ones((2, 3), bool)),
        (np.ones((2, 3, 1), bool), np.ones((2, 3, 1), bool)),
        (np.ones((0, 3), bool), np.ones((0, 3), bool)),
    ],
)
def test_other_things_than_masks_are_refused(first, second):
    with pytest.raises(ValueError, match="masks must be"):
        check_masks(first, second)


TARGET = np.array([[1, 1], [0, 0]], bool)
PREDICTION = np.array([[1, 0], [1, 0]], bool)
EMPTY = np.zeros((2, 2), bool)


def test_by_hand():
    assert dice(PREDICTION, TARGET) == 2 * 1 / (2 + 2)
    assert iou(PREDICTION, TARGET) == 1 / 3
    assert pixel_accuracy(PREDICTION, TARGET) == 2 / 4


@pytest.mark.parametrize("metric", [dice, iou, pixel_accuracy])
def test_the_same_is_perfect_and_both_empty_too(metric):
    assert metric(TARGET, TARGET) == 1
    assert metric(EMPTY, EMPTY) == 1


def test_one_empty():
    assert dice(EMPTY, TARGET) == dice(TARGET, EMPTY) == iou(EMPTY, TARGET) == iou(TARGET, EMPTY) == 0
    assert pixel_accuracy(EMPTY, TARGET) == 0.5


def test_naive_counting(mask_pairs):
    for prediction, target in mask_pairs:
        both = either = same = 0
        for ours, theirs in zip(prediction.flat, target.flat, strict=True):
            both += ours and theirs
            either += ours or theirs
            same += ours == theirs
        assert dice(prediction, target) == pytest.approx(2 * both / (prediction.sum() + target.sum()))
        assert iou(prediction, target) == pytest.approx(both / either)
        assert pixel_accuracy(prediction, target) == pytest.approx(same / target.size)


def test_iou_says_the_same_as_dice(mask_pairs):
    for prediction, target in mask_pairs:
        found = dice(prediction, target)
        assert iou(prediction, target) == pytest.approx(found / (2 - found), abs=1e-12)


@pytest.fixture(scope="module")
def monai():
    """MONAI's metrics, which take seconds to load: not in every worker."""
    from monai import metrics

    return metrics


def test_monai_and_torchmetrics_agree(mask_pairs, monai):
    for prediction, target in mask_pairs:
        ours, theirs = (torch.from_numpy(mask.copy())[None, None] for mask in (prediction, target))
        assert dice(prediction, target) == pytest.approx(monai.DiceMetric()(ours, theirs).item(), abs=1e-6)
        assert dice(prediction, target) == pytest.approx(dice_score(ours, theirs, num_classes=1).item(), abs=1e-6)
        assert iou(prediction, target) == pytest.approx(binary_jaccard_index(ours, theirs).item(), abs=1e-6)
        assert pixel_accuracy(prediction, target) == pytest.approx(binary_accuracy(ours, theirs).item(), abs=1e-6)


BLANK = np.zeros((30, 40), bool)


def square(top, left, size=10, shape=(30, 40)):
    mask = np.zeros(shape, bool)
    mask[top : top + size, left : left + size] = True
    return mask


def naive_border(mask):
    """Pixels with one of four neighbours outside the mask, or outside the frame."""
    border = np.zeros_like(mask)
    height, width = mask.shape
    for y, x in itertools.product(range(height), range(width)):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [0 <= v < height and 0 <= u < width and mask[v, u] for v, u in around]
        border[y, x] = mask[y, x] and not all(inside)
    return border


def naive_distances(first, second):
    places = np.argwhere(naive_border(second))
    return [min(math.dist(here, there) for there in places) for here in np.argwhere(naive_border(first))]


def test_two_squares_by_hand():
    target, prediction = square(10, 10), square(10, 12)  # two pixels to the right
    distances = compare_outlines(prediction, target)
    # 36 border pixels each. The prediction's right side lies 2 beyond the target's; of the rest of its top and bottom,
    # 8 pixels coincide and 1 lies 1 beyond; the rest of its left side, inside the target, has the target's left side 2
    # away, or its top or bottom 1.
    assert len(distances.prediction_px) == len(distances.target_px) == 36
    right = [2.0] * 10
    top_and_bottom = [0, 0, 0, 0, 0, 0, 0, 0, 1] * 2
    left = [1, 2, 2, 2, 2, 2, 2, 1]
    assert sorted(distances.prediction_px) == sorted([*right, *top_and_bottom, *left])
    assert sorted(distances.target_px) == sorted(distances.prediction_px)
    total = 20 + 2 + 14
    assert assd(distances) == total / 36
    assert hd95(distances) == 2
    assert surface_dice(distances, 1) == 20 / 36
    assert surface_dice(distances, 1.99) == 20 / 36
    assert surface_dice(distances, 2) == 1


def test_a_single_pixel_and_its_diagonal_neighbour():
    first, second = np.eye(3, dtype=bool)[[0, 2, 2]] & False, np.zeros((3, 3), bool)
    first[0, 0] = second[1, 1] = True
    distances = compare_outlines(first, second)
    assert hd95(distances) == assd(distances) == pytest.approx(math.sqrt(2))


def test_hd95_takes_the_larger_direction():
    target, prediction = square(10, 5), square(10, 5)
    prediction[10:20, 30:40] = True  # a second garment that is not there: only the prediction's outline is far away
    distances = compare_outlines(prediction, target)
    assert np.percentile(distances.target_px, 95) == 0
    assert hd95(distances) == pytest.approx(np.percentile(distances.prediction_px, 95))
    assert hd95(distances) > 20


def test_naive_loops(mask_pairs):
    for prediction, target in mask_pairs[:8]:
        assert np.array_equal(border_of(prediction), naive_border(prediction))
        distances = compare_outlines(prediction, target)
        assert distances.prediction_px == pytest.approx(naive_distances(prediction, target))
        assert distances.target_px == pytest.approx(naive_distances(target, prediction))


def test_the_crop_and_the_tree_change_nothing():
    """The same distances as by distance transforms over the whole frame."""
    rng = np.random.default_rng(0)
    for shape in ((30, 40), (41, 17)):
        frame = np.zeros((2, 120, 90), bool)
        frame[:, 50 : 50 + shape[0], 20 : 20 + shape[1]] = rng.random((2, *shape)) < 0.6
        prediction, target = frame
        distances = compare_outlines(prediction, target)
        for found, first, second in (
            (distances.prediction_px, prediction, target),
            (distances.target_px, target, prediction),
        ):
            whole = distance_transform_edt(~border_of(second))[border_of(first)]
            assert np.array_equal(found, whole)
        whole = boundary_iou(prediction, target, 2)
        cropped = (mask[area_of(prediction, target)] for mask in (prediction, target))
        assert boundary_iou(*cropped, 2) == whole


def test_a_garment_at_the_frame_has_its_border_there():
    full = np.ones((5, 7), bool)
    assert border_of(full).sum() == 5 * 7 - 3 * 5
    half = full.copy()
    half[:, 4:] = False
    assert hd95(compare_outlines(half, full)) == pytest.approx(3)  # from the right side of the frame


def test_both_empty_is_perfect():
    distances = compare_outlines(BLANK, BLANK)
    assert (hd95(distances), assd(distances), surface_dice(distances, 2), boundary_iou(BLANK, BLANK, 2)) == (0, 0, 1, 1)


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_is_as_bad_as_can_be(swap):
    masks = (square(3, 4), BLANK)[:: -1 if swap else 1]
    distances = compare_outlines(*masks)
    assert hd95(distances) == assd(distances) == math.hypot(30, 40) == 50  # of the whole frame, not of the crop
    assert surface_dice(distances, 3) == 0
    assert boundary_iou(*masks, 5) == 0


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_monai_agrees(mask_pairs, monai):
    for prediction, target in mask_pairs:
        ours, theirs = (torch.from_numpy(mask.copy())[None, None] for mask in (prediction, target))
        distances = compare_outlines(prediction, target)
        of_monai = monai.HausdorffDistanceMetric(percentile=95, include_background=True)(ours, theirs).item()
        assert hd95(distances) == pytest.approx(of_monai, abs=1e-5)
        of_monai = monai.SurfaceDistanceMetric(symmetric=True, include_background=True)(ours, theirs).item()
        assert assd(distances) == pytest.approx(of_monai, abs=1e-5)
        for tolerance in (1, 2, 3):
            of_monai = monai.SurfaceDiceMetric([tolerance], include_background=True)(ours, theirs).item()
            assert surface_dice(distances, tolerance) == pytest.approx(of_monai, abs=1e-6)


def test_boundary_iou_by_hand():
    target, prediction = square(10, 10), square(10, 11)
    # Edges one pixel wide have 36 pixels each; 18 of the top and bottom rows are common: 2 * 9.
    assert boundary_iou(prediction, target, 1) == 18 / (36 + 36 - 18)
    assert boundary_iou(target, target, 2) == 1
    # A width beyond half the garment makes the band the whole of it: plain IoU.
    assert boundary_iou(prediction, target, 9) == 90 / 110


def test_boundary_iou_by_loops(mask_pairs):
    def band(mask, width):
        height, breadth = mask.shape
        eroded = np.zeros_like(mask)
        for y, x in itertools.product(range(width, height - width), range(width, breadth - width)):
            eroded[y, x] = mask[y - width : y + width + 1, x - width : x + width + 1].all()
        return mask & ~eroded

    for (prediction, target), width in itertools.product(mask_pairs[:6], (1, 2, 5)):
        ours, theirs = band(prediction, width), band(target, width)
        assert boundary_iou(prediction, target, width) == pytest.approx((ours & theirs).sum() / (ours | theirs).sum())


def test_boundary_iou_needs_a_width():
    with pytest.raises(ValueError, match="width_px is 0"):
        boundary_iou(BLANK, BLANK, 0)


EVERYWHERE = np.ones((2, 2), bool)
SQUARE = np.zeros((40, 40), np.float32)
SQUARE[10:30, 10:30] = 1


def test_the_edge_band_is_near_the_targets_edge_or_soft():
    band = edge_band(SQUARE)
    assert band[20].tolist() == [abs(x - 10) <= EDGE_BAND_PX or abs(x - 29) <= EDGE_BAND_PX for x in range(40)]
    assert band[7, 7]  # 3 * sqrt(2) from the corner
    assert not band[6, 6]  # 4 * sqrt(2)
    sheer = SQUARE.copy()
    sheer[20, 20] = 0.9
    assert edge_band(sheer)[20, 20]
    assert edge_band(sheer).sum() == band.sum() + 1
    assert not edge_band(np.zeros((9, 9), np.float32)).any()


def test_the_edge_band_does_not_care_where_the_frame_ends():
    for shift in (-10, 10):
        moved = np.roll(SQUARE, shift, axis=1)
        assert np.array_equal(edge_band(moved)[:, 15:25], np.roll(edge_band(SQUARE), shift, axis=1)[:, 15:25])


def test_sad_and_mse_by_hand():
    target = np.float32([[1, 0.5], [0, 0]])
    prediction = np.float32([[0.75, 0.5], [0, 0.5]])
    assert sad(prediction, target, EVERYWHERE) == 0.75 / 1000
    assert mse(prediction, target, EVERYWHERE) == (0.0625 + 0.25) / 4
    only_first = np.array([[True, False], [False, False]])
    assert sad(prediction, target, only_first) == 0.25 / 1000
    assert mse(prediction, target, only_first) == 0.0625


@pytest.mark.parametrize("metric", [sad, mse, gradient_error, connectivity_error])
def test_the_same_is_perfect_and_no_edge_is_zero(metric):
    assert metric(SQUARE, SQUARE, edge_band(SQUARE)) == 0
    assert metric(SQUARE, 1 - SQUARE, np.zeros_like(SQUARE, bool)) == 0
    assert metric(np.zeros_like(SQUARE), SQUARE, edge_band(SQUARE)) > 0


def naive_steepness(alpha, sigma=1.4):
    """Two-dimensional filters of unit energy, as the benchmark's gaussgradient.m builds them."""
    half = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * 1e-2)))
    gauss = [math.exp(-(u**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) for u in range(-half, half + 1)]
    slope = [-u * gauss[u + half] / sigma**2 for u in range(-half, half + 1)]
    across = np.outer(gauss, slope)
    across /= math.sqrt((across**2).sum())
    padded = np.pad(alpha.astype(np.float64), half, mode="edge")
    steepness = np.zeros(alpha.shape)
    for y, x in itertools.product(*map(range, alpha.shape)):
        window = padded[y : y + 2 * half + 1, x : x + 2 * half + 1]
        steepness[y, x] = math.hypot((window * across).sum(), (window * across.T).sum())
    return steepness


def test_gradient_by_loops(alpha_pairs):
    for prediction, target in alpha_pairs[:3]:
        band = edge_band(target)
        naive = ((naive_steepness(prediction) - naive_steepness(target))[band] ** 2).sum() / 1000
        assert gradient_error(prediction, target, band) == pytest.approx(naive, rel=1e-6)


def naive_connectivity(prediction, target, band):
    """The benchmark's definition, a pixel at a time."""
    levels = [step / 10 for step in range(11)]
    last = -np.ones(target.shape)
    for i in range(1, len(levels)):
        joint = (prediction >= np.float32(levels[i])) & (target >= np.float32(levels[i]))
        labels, num = label(joint, [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
        sizes = [(labels == number).sum() for number in range(1, num + 1)]
        omega = labels == 1 + sizes.index(max(sizes)) if sizes else np.zeros_like(joint)
        for y, x in itertools.product(*map(range, target.shape)):
            if last[y, x] == -1 and not omega[y, x]:
                last[y, x] = levels[i - 1]
    last[last == -1] = 1
    error = 0.0
    for y, x in zip(*np.nonzero(band), strict=True):
        gaps = [float(alpha[y, x]) - last[y, x] for alpha in (prediction, target)]
        phi = [1 - gap * (gap >= 0.15 - 1e-6) for gap in gaps]
        error += abs(phi[0] - phi[1])
    return error / 1000


def test_connectivity_by_loops(alpha_pairs):
    for prediction, target in alpha_pairs:
        band = edge_band(target)
        naive = naive_connectivity(prediction, target, band)
        assert naive > 0
        assert connectivity_error(prediction, target, band) == pytest.approx(naive, rel=1e-4)


def test_connectivity_by_hand():
    """A speck that only the target has: alpha 1 there, cut off from the garment at every level."""
    target, prediction = np.zeros((2, 12, 12), np.float32)
    target[2:6, 2:6] = prediction[2:6, 2:6] = target[9, 9] = 1
    assert connectivity_error(prediction, target, np.ones_like(target, bool)) == 1 / 1000
    prediction[9, 9] = 1  # cut off in both alike: no error
    assert connectivity_error(prediction, target, np.ones_like(target, bool)) == 0
    prediction[9, 9] = 0.9  # 0.1 apart: both hang loose, by 1 and by 0.9
    assert connectivity_error(prediction, target, np.ones_like(target, bool)) == pytest.approx(0.1 / 1000, rel=1e-5)


def test_connectivity_never_takes_the_background_for_the_garment():
    """The garment is far smaller than the background; a copy of the metric in wide use then compares with that."""
    target, prediction = np.zeros((2, 40, 40), np.float32)
    target[18:22, 18:22] = prediction[18:22, 18:22] = 1
    prediction[17, 18:22] = 0.1  # a faint edge: below the 0.15 that counts
    band = edge_band(target)
    assert connectivity_error(prediction, target, band) == 0
    prediction[17, 18:22] = 0.5  # now it counts, and only it
    assert connectivity_error(prediction, target, band) == pytest.approx(4 * 0.5 / 1000)


def test_the_effort_is_the_outline_that_lies_elsewhere():
    target, prediction = np.zeros((2, 60, 60), bool)
    target[10:50, 10:50] = True
    prediction[10:50, 14:50] = True  # its left edge lies 4 px inside
    # Two edges of 40 pixels, less the corners: of the one 2 rows at each end lie within 2 px of the other's top and
    # bottom edge; the target's corners reach 3 more columns to the left.
    far_of_ours = 40 - 2 * 3
    far_of_theirs = sum(nearest(point, outline_of(prediction)) > 2 for point in outline_of(target))
    effort = retouching_effort(compare_outlines(prediction, target))
    assert effort == ((far_of_ours + far_of_theirs) / 2, 1)
    assert retouching_effort(compare_outlines(target, target)) == (0, 0)
    assert retouching_effort(compare_outlines(np.roll(target, 2, axis=1), target)) == (0, 0)


def test_a_lost_strap_costs_its_length_and_places_are_counted():
    target = np.zeros((200, 120), bool)
    target[100:190, 10:110] = True
    body = target.copy()
    target[20:100, 30:34] = target[20:100, 80:84] = True  # two straps of 80 px
    effort = retouching_effort(compare_outlines(body, target))
    assert effort[0] == pytest.approx(2 * 80, abs=8)
    assert effort[1] == 2
    assert retouching_effort(compare_outlines(np.zeros_like(target), target))[1] == 1  # all hangs together


def outline_of(mask):
    return np.argwhere(border_of(mask))


def nearest(point, points):
    return min(math.dist(point, other) for other in points)


def test_effort_as_a_naive_loop_finds_it(mask_pairs):
    for prediction, target in mask_pairs:
        ours, theirs = outline_of(prediction), outline_of(target)
        far = [tuple(p) for p in ours if nearest(p, theirs) > 2] + [tuple(p) for p in theirs if nearest(p, ours) > 2]
        groups = []
        for point in far:
            near = [g for g in groups if any(max(abs(point[0] - y), abs(point[1] - x)) <= PLACE_PX for y, x in g)]
            groups = [g for g in groups if not any(g is other for other in near)] + [sum(near, [point])]
        assert retouching_effort(compare_outlines(prediction, target)) == (len(far) / 2, len(groups))


def test_thin_parts_by_hand():
    target = np.zeros((120, 100), bool)
    target[60:110, 20:80] = True
    target[10:60, 30:34] = True  # a strap of 4 px
    prediction = target.copy()
    prediction[10:30, 30:34] = False  # its upper part is lost
    prediction[70:74, 80:100] = True  # and something thin invented
    found = thin_parts(prediction, target)
    # What stays of the body after opening is widened by 2 px: 48 rows of the strap are thin, 18 of the invented part.
    assert found == (48 * 4, 28 * 4, 28 * 4 + 18 * 4, 28 * 4)
    assert thin_parts(target, target) == (192, 192, 192, 192)
    assert thin_parts(np.zeros_like(target), target) == (192, 0, 0, 0)
    assert thin_parts(np.zeros_like(target), np.zeros_like(target)) == (0, 0, 0, 0)


def naive_dilated(mask, reach):
    wide = np.pad(mask, reach)
    return np.array(
        [
            [wide[y : y + 2 * reach + 1, x : x + 2 * reach + 1].any() for x in range(mask.shape[1])]
            for y in range(len(mask))
        ]
    )


def naive_thin(mask):
    reach = THIN_PX // 2
    wide = np.pad(mask, reach)
    eroded = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        eroded[y, x] = wide[y : y + THIN_PX, x : x + THIN_PX].all()
    return mask & ~naive_dilated(naive_dilated(eroded, reach), 2)


def test_thin_parts_as_a_naive_loop_finds_them():
    rng = np.random.default_rng(3)
    for _ in range(4):
        field = gaussian_filter(rng.standard_normal((2, 70, 60)), (0, 5, 5))
        field[1] = field[0] + 0.3 * field[1]
        prediction, target = field > 0
        thin, drawn = naive_thin(target), naive_thin(prediction)
        expected = [thin, thin & prediction, drawn, drawn & naive_dilated(target, 2)]
        assert list(thin_parts(prediction, target)) == [np.count_nonzero(mask) for mask in expected]


def test_holes_by_hand():
    target = np.zeros((60, 80), bool)
    target[5:55, 5:75] = True
    target[10:20, 10:20] = target[30:40, 10:20] = target[30:34, 60:64] = False  # two holes, and a speck of 16 px
    prediction = target.copy()
    prediction[10:20, 10:20] = True  # the first one is filled
    prediction[30:36, 10:20] = True  # and more than half of the second
    prediction[40:50, 40:50] = False  # one is invented
    assert count_holes(prediction, target) == (2, 0, 1)
    prediction[35, 10:20] = False  # now half of it shows
    assert count_holes(prediction, target) == (2, 1, 1)
    assert count_holes(target, target) == (2, 2, 0)
    assert count_holes(np.zeros_like(target), target) == (2, 0, 0)  # nothing is found where all is lost
    assert count_holes(np.zeros_like(target), np.zeros_like(target)) == (0, 0, 0)


def test_a_bay_at_the_frame_is_no_hole():
    target = np.ones((40, 40), bool)
    target[0:10, 10:20] = False
    assert count_holes(target, target) == (0, 0, 0)
    assert count_holes(np.pad(target, 1), np.pad(target, 1)) == (0, 0, 0)


def naive_holes(mask):
    """Sets of pixels that no path of direct neighbours joins with the frame."""
    left, found = {tuple(p) for p in np.argwhere(~mask)}, []
    while left:
        todo, part = [left.pop()], set()
        while todo:
            y, x = todo.pop()
            part.add((y, x))
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if near in left:
                    left.discard(near)
                    todo.append(near)
        at_frame = any(y in (0, mask.shape[0] - 1) or x in (0, mask.shape[1] - 1) for y, x in part)
        if len(part) >= LEAST_HOLE_PX and not at_frame:
            found.append(part)
    return found


def test_holes_as_a_naive_loop_finds_them():
    rng = np.random.default_rng(5)
    num = 0
    for _ in range(6):
        field = gaussian_filter(rng.standard_normal((2, 80, 80)), (0, 3, 3))
        field[1] = field[0] + 0.4 * field[1]
        prediction, target = field > -0.6 * field.std()
        found = 0
        for hole in naive_holes(target):
            shown = sum(not prediction[point] for point in hole)
            ring = {
                (y + dy, x + dx)
                for y, x in hole
                for dy, dx in itertools.product(range(-3, 4), repeat=2)
                if 0 <= y + dy < 80 and 0 <= x + dx < 80
            } - hole
            found += 2 * shown >= len(hole) and 2 * sum(bool(prediction[point]) for point in ring) >= len(ring)
        invented = sum(2 * sum(bool(target[p]) for p in hole) >= len(hole) for hole in naive_holes(prediction))
        assert count_holes(prediction, target) == (len(naive_holes(target)), found, invented)
        num += found + invented
    assert num > 4


def test_corners_do_not_connect():
    target, prediction = np.zeros((2, 8, 8), np.float32)
    target[1:4, 1:4] = target[4, 4] = 1  # touches the garment's corner only
    prediction[1:4, 1:4] = 1
    assert connectivity_error(prediction, target, np.ones_like(target, bool)) == 1 / 1000


def test_every_metric_is_described_once_in_the_order_of_the_fields():
    pooled = {count for metric in POOLED_METRICS for count in (metric.hits, metric.out_of)}
    keys = [key.name for key in fields(PhotoMetrics)]
    assert keys[: len(METRICS)] == [metric.key for metric in METRICS]
    assert set(keys[len(METRICS) :]) == set(COUNTS) == {*pooled, "holes_invented"}


def test_all_of_one_photo(studio):
    target = studio(96, 64).alpha
    perfect = asdict(measure(target, target))
    for metric in METRICS:
        if metric.key != "dice_any":
            assert perfect[metric.key] == (1 if metric.higher_is_better else 0), metric.key
    # The mask of alpha >= 128 is a little leaner than what the retoucher left visible.
    inside, visible = np.count_nonzero(target >= 0.5), np.count_nonzero(target > 0)
    assert perfect["dice_any"] == pytest.approx(2 * inside / (inside + visible))
    shifted = asdict(measure(np.roll(target, 4, axis=1), target))
    for metric in METRICS:
        better, worse = (perfect, shifted) if metric.higher_is_better else (shifted, perfect)
        assert better[metric.key] > worse[metric.key], metric.key
    assert shifted["iou"] == pytest.approx(shifted["dice"] / (2 - shifted["dice"]))
    assert shifted["surface_dice_1px"] < shifted["surface_dice_2px"] < shifted["surface_dice_3px"] < 1


def test_an_empty_cutout_gets_the_worst_of_everything(studio):
    target = studio(96, 64).alpha
    found = asdict(measure(np.zeros_like(target), target))
    assert found["dice"] == found["dice_any"] == found["iou"] == found["surface_dice_3px"] == 0
    assert found["boundary_iou_2px"] == found["boundary_iou_5px"] == 0
    assert found["hd95_px"] == pytest.approx(found["assd_px"]) == pytest.approx(np.hypot(96, 64))
    assert found["pixel_accuracy"] == 1 - np.count_nonzero(target >= 0.5) / target.size
    assert all(isinstance(value, float | int) and np.isfinite(value) for value in found.values())


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="of one size"):
        measure(np.zeros((4, 4), np.float32), np.zeros((4, 5), np.float32))
