import itertools
import math

import numpy as np
import pytest
import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric
from scipy.ndimage import distance_transform_edt

from garmentcut.evaluation.masks import area_of
from garmentcut.evaluation.surface import assd, border_of, boundary_iou, hd95, outline_distances, surface_dice

EMPTY = np.zeros((30, 40), bool)


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
    distances = outline_distances(prediction, target)
    # 36 border pixels each. The prediction's right side lies 2 beyond the target's; of the rest of its top and bottom,
    # 8 pixels coincide and 1 lies 1 beyond; the rest of its left side, inside the target, has the target's left side 2
    # away, or its top or bottom 1.
    assert len(distances.from_prediction) == len(distances.from_target) == 36
    right = [2.0] * 10
    top_and_bottom = [0, 0, 0, 0, 0, 0, 0, 0, 1] * 2
    left = [1, 2, 2, 2, 2, 2, 2, 1]
    assert sorted(distances.from_prediction) == sorted([*right, *top_and_bottom, *left])
    assert sorted(distances.from_target) == sorted(distances.from_prediction)
    total = 20 + 2 + 14
    assert assd(distances) == total / 36
    assert hd95(distances) == 2
    assert surface_dice(distances, 1) == 20 / 36
    assert surface_dice(distances, 1.99) == 20 / 36
    assert surface_dice(distances, 2) == 1


def test_a_single_pixel_and_its_diagonal_neighbour():
    first, second = np.eye(3, dtype=bool)[[0, 2, 2]] & False, np.zeros((3, 3), bool)
    first[0, 0] = second[1, 1] = True
    distances = outline_distances(first, second)
    assert hd95(distances) == assd(distances) == pytest.approx(math.sqrt(2))


def test_hd95_takes_the_larger_direction():
    target, prediction = square(10, 5), square(10, 5)
    prediction[10:20, 30:40] = True  # a second garment that is not there: only the prediction's outline is far away
    distances = outline_distances(prediction, target)
    assert np.percentile(distances.from_target, 95) == 0
    assert hd95(distances) == pytest.approx(np.percentile(distances.from_prediction, 95))
    assert hd95(distances) > 20


def test_naive_loops(mask_pairs):
    for prediction, target in mask_pairs[:8]:
        assert np.array_equal(border_of(prediction), naive_border(prediction))
        distances = outline_distances(prediction, target)
        assert distances.from_prediction == pytest.approx(naive_distances(prediction, target))
        assert distances.from_target == pytest.approx(naive_distances(target, prediction))


def test_the_crop_and_the_tree_change_nothing():
    """The same distances as by distance transforms over the whole frame."""
    rng = np.random.default_rng(0)
    for shape in ((30, 40), (41, 17)):
        frame = np.zeros((2, 120, 90), bool)
        frame[:, 50 : 50 + shape[0], 20 : 20 + shape[1]] = rng.random((2, *shape)) < 0.6
        prediction, target = frame
        distances = outline_distances(prediction, target)
        for found, first, second in (
            (distances.from_prediction, prediction, target),
            (distances.from_target, target, prediction),
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
    assert hd95(outline_distances(half, full)) == pytest.approx(3)  # from the right side of the frame


def test_both_empty_is_perfect():
    distances = outline_distances(EMPTY, EMPTY)
    assert (hd95(distances), assd(distances), surface_dice(distances, 2), boundary_iou(EMPTY, EMPTY, 2)) == (0, 0, 1, 1)


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_is_as_bad_as_can_be(swap):
    masks = (square(3, 4), EMPTY)[:: -1 if swap else 1]
    distances = outline_distances(*masks)
    assert hd95(distances) == assd(distances) == math.hypot(30, 40) == 50  # of the whole frame, not of the crop
    assert surface_dice(distances, 3) == 0
    assert boundary_iou(*masks, 5) == 0


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_monai_agrees(mask_pairs):
    for prediction, target in mask_pairs:
        ours, theirs = (torch.from_numpy(mask.copy())[None, None] for mask in (prediction, target))
        distances = outline_distances(prediction, target)
        of_monai = HausdorffDistanceMetric(percentile=95, include_background=True)(ours, theirs).item()
        assert hd95(distances) == pytest.approx(of_monai, abs=1e-5)
        of_monai = SurfaceDistanceMetric(symmetric=True, include_background=True)(ours, theirs).item()
        assert assd(distances) == pytest.approx(of_monai, abs=1e-5)
        for tolerance in (1, 2, 3):
            of_monai = SurfaceDiceMetric([tolerance], include_background=True)(ours, theirs).item()
            assert surface_dice(distances, tolerance) == pytest.approx(of_monai, abs=1e-6)


def test_boundary_iou_by_hand():
    target, prediction = square(10, 10), square(10, 11)
    # Rims one pixel wide have 36 pixels each; 18 of the top and bottom rows are common: 2 * 9.
    assert boundary_iou(prediction, target, 1) == 18 / (36 + 36 - 18)
    assert boundary_iou(target, target, 2) == 1
    # A width beyond half the garment makes the rim the whole of it: plain IoU.
    assert boundary_iou(prediction, target, 9) == 90 / 110


def test_boundary_iou_by_loops(mask_pairs):
    def rim(mask, width):
        height, breadth = mask.shape
        eroded = np.zeros_like(mask)
        for y, x in itertools.product(range(width, height - width), range(width, breadth - width)):
            eroded[y, x] = mask[y - width : y + width + 1, x - width : x + width + 1].all()
        return mask & ~eroded

    for (prediction, target), width in itertools.product(mask_pairs[:6], (1, 2, 5)):
        ours, theirs = rim(prediction, width), rim(target, width)
        assert boundary_iou(prediction, target, width) == pytest.approx((ours & theirs).sum() / (ours | theirs).sum())


def test_boundary_iou_needs_a_width():
    with pytest.raises(ValueError, match="width_px is 0"):
        boundary_iou(EMPTY, EMPTY, 0)
