import itertools
import math

import numpy as np
import pytest
from scipy.ndimage import label

from garmentcut.evaluation.matting import (
    RIM_PX,
    connectivity_error,
    gradient_error,
    mse,
    rim_of,
    sad,
)

EVERYWHERE = np.ones((2, 2), bool)
SQUARE = np.zeros((40, 40), np.float32)
SQUARE[10:30, 10:30] = 1


def test_the_rim_is_near_the_targets_edge_or_soft():
    rim = rim_of(SQUARE)
    assert rim[20].tolist() == [abs(x - 10) <= RIM_PX or abs(x - 29) <= RIM_PX for x in range(40)]
    assert rim[7, 7]  # 3 * sqrt(2) from the corner
    assert not rim[6, 6]  # 4 * sqrt(2)
    sheer = SQUARE.copy()
    sheer[20, 20] = 0.9
    assert rim_of(sheer)[20, 20]
    assert rim_of(sheer).sum() == rim.sum() + 1
    assert not rim_of(np.zeros((9, 9), np.float32)).any()


def test_the_rim_does_not_care_where_the_frame_ends():
    for shift in (-10, 10):
        moved = np.roll(SQUARE, shift, axis=1)
        assert np.array_equal(rim_of(moved)[:, 15:25], np.roll(rim_of(SQUARE), shift, axis=1)[:, 15:25])


def test_sad_and_mse_by_hand():
    target = np.float32([[1, 0.5], [0, 0]])
    prediction = np.float32([[0.75, 0.5], [0, 0.5]])
    assert sad(prediction, target, EVERYWHERE) == 0.75 / 1000
    assert mse(prediction, target, EVERYWHERE) == (0.0625 + 0.25) / 4
    only_first = np.array([[True, False], [False, False]])
    assert sad(prediction, target, only_first) == 0.25 / 1000
    assert mse(prediction, target, only_first) == 0.0625


@pytest.mark.parametrize("metric", [sad, mse, gradient_error, connectivity_error])
def test_the_same_is_perfect_and_no_rim_is_zero(metric):
    assert metric(SQUARE, SQUARE, rim_of(SQUARE)) == 0
    assert metric(SQUARE, 1 - SQUARE, np.zeros_like(SQUARE, bool)) == 0
    assert metric(np.zeros_like(SQUARE), SQUARE, rim_of(SQUARE)) > 0


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
        rim = rim_of(target)
        naive = ((naive_steepness(prediction) - naive_steepness(target))[rim] ** 2).sum() / 1000
        assert gradient_error(prediction, target, rim) == pytest.approx(naive, rel=1e-6)


def naive_connectivity(prediction, target, rim):
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
    for y, x in zip(*np.nonzero(rim), strict=True):
        gaps = [float(alpha[y, x]) - last[y, x] for alpha in (prediction, target)]
        phi = [1 - gap * (gap >= 0.15 - 1e-6) for gap in gaps]
        error += abs(phi[0] - phi[1])
    return error / 1000


def test_connectivity_by_loops(alpha_pairs):
    for prediction, target in alpha_pairs:
        rim = rim_of(target)
        naive = naive_connectivity(prediction, target, rim)
        assert naive > 0
        assert connectivity_error(prediction, target, rim) == pytest.approx(naive, rel=1e-4)


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
    prediction[17, 18:22] = 0.1  # a faint rim: below the 0.15 that counts
    rim = rim_of(target)
    assert connectivity_error(prediction, target, rim) == 0
    prediction[17, 18:22] = 0.5  # now it counts, and only it
    assert connectivity_error(prediction, target, rim) == pytest.approx(4 * 0.5 / 1000)


def test_corners_do_not_connect():
    target, prediction = np.zeros((2, 8, 8), np.float32)
    target[1:4, 1:4] = target[4, 4] = 1  # touches the garment's corner only
    prediction[1:4, 1:4] = 1
    assert connectivity_error(prediction, target, np.ones_like(target, bool)) == 1 / 1000
