import numpy as np
import pytest

from garmentcut.evaluation.metrics import compare_outlines, surface_dice
from garmentcut.review.media import measure_change


@pytest.fixture
def alpha():
    y, x = np.mgrid[:80, :60]
    return ((np.hypot(y - 40, x - 30) < 22) * 255).astype(np.uint8)


def test_nothing_changed(alpha):
    assert measure_change(alpha, alpha) == (0, 0.0)
    assert measure_change(alpha, np.maximum(alpha, 8)) == (0, 0.0)  # what no eye tells


@pytest.mark.parametrize("shift", [1, 2, 3, 5])
def test_the_share_is_what_evaluate_calls_surface_dice(alpha, shift):
    moved = alpha.copy()
    moved[30:50] = np.roll(alpha, shift, axis=1)[30:50]
    distances = compare_outlines(alpha >= 128, moved >= 128)
    change = measure_change(alpha, moved)
    assert change.edge_share == pytest.approx(1 - surface_dice(distances, 2.0), abs=1e-12)
    assert change.pixels == int((alpha != moved).sum())


@pytest.mark.parametrize("kind", ["hole", "gone", "new", "at the frame"])
def test_pieces_that_come_and_go(alpha, kind):
    after = alpha.copy()
    match kind:
        case "hole":
            after[36:44, 26:34] = 0
        case "gone":
            after[:] = 0
        case "new":
            after[2:6, 2:9] = 255
        case "at the frame":
            after[60:, :] = 255
    distances = compare_outlines(alpha >= 128, after >= 128)
    assert measure_change(alpha, after).edge_share == pytest.approx(1 - surface_dice(distances, 2.0))
