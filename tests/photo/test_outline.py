from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut.photo.outline import EDITABLE_PX, EXACT_PX, path_tolerance_px, trace_outline
from garmentcut.photo.path import draw_path

REAL = Path(__file__).parents[3] / "shared/garments/cutout"


def disc(size_hw, center_xy, radius):
    y, x = np.indices(size_hw) + 0.5
    return (radius - np.hypot(x - center_xy[0], y - center_xy[1]) + 0.5).clip(0, 1).astype(np.float32)


def iou(a, b):
    return np.minimum(a, b).sum() / np.maximum(a, b).sum()


def num_knots(path):
    return sum(len(subpath.knots) for subpath in path.subpaths)


def test_a_disc_needs_few_knots_and_loses_nothing():
    alpha = disc((300, 400), (210.3, 140.7), 90)
    path = trace_outline(alpha)
    assert iou(draw_path(path, alpha.shape), alpha) > 0.998
    assert num_knots(path) <= 16


def test_exact_is_nearer_than_editable_and_has_more_knots():
    y, x = np.indices((400, 400)) + 0.5
    angle, radius = np.arctan2(y - 200, x - 200), np.hypot(x - 200, y - 200)
    alpha = (120 + 25 * np.sin(7 * angle) - radius + 0.5).clip(0, 1).astype(np.float32)
    editable, exact = (trace_outline(alpha, tolerance_px=tolerance) for tolerance in (EDITABLE_PX, EXACT_PX))
    assert num_knots(exact) > num_knots(editable)
    assert iou(draw_path(exact, alpha.shape), alpha) > iou(draw_path(editable, alpha.shape), alpha) > 0.995


def test_a_hole_stays_open_and_an_island_apart():
    alpha = disc((200, 300), (100, 100), 80) - disc((200, 300), (100, 100), 30) + disc((200, 300), (250, 100), 30)
    path = trace_outline(alpha)
    assert len(path.subpaths) == 3
    drawn = draw_path(path, alpha.shape)
    assert (drawn[100, 100], drawn[100, 50], drawn[100, 250]) == (0, 1, 1)
    assert iou(drawn, alpha) > 0.997


def test_corners_stay_sharp():
    alpha = np.zeros((120, 160), np.float32)
    alpha[30:90, 40:120] = 1
    path = trace_outline(alpha)
    assert num_knots(path) <= 8
    assert iou(draw_path(path, alpha.shape), alpha) > 0.999


def test_a_garment_cut_off_by_the_frame_ends_at_the_frame():
    alpha = np.zeros((100, 80), np.float32)
    alpha[40:, 10:] = 1
    path = trace_outline(alpha)
    anchors = np.concatenate([subpath.knots[:, 1] for subpath in path.subpaths])
    assert anchors.min() >= 0
    assert anchors.max() <= 1
    assert iou(draw_path(path, alpha.shape), alpha) > 0.99


def test_a_full_picture_and_an_empty_one():
    assert draw_path(trace_outline(np.ones((50, 40), np.float32)), (50, 40)).mean() > 0.998
    assert trace_outline(np.zeros((50, 40), np.float32)).subpaths == ()
    assert trace_outline(np.full((50, 40), 0.49, np.float32)).subpaths == ()


def test_dust_is_left_out():
    alpha = disc((200, 200), (100, 100), 60)
    alpha[5:8, 5:8] = 1
    assert len(trace_outline(alpha).subpaths) == 1


def test_noise_is_traced_too():
    noise = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    drawn = draw_path(trace_outline(noise), noise.shape)
    assert drawn.shape == noise.shape


def test_larger_photos_give_an_editable_path_more_room():
    heights = (600, 1728, 3456)
    assert [path_tolerance_px("editable", height) for height in heights] == [EDITABLE_PX, EDITABLE_PX, 2 * EDITABLE_PX]
    assert [path_tolerance_px("exact", height) for height in heights] == [EXACT_PX] * 3


def test_a_long_outline_around_little_is_kept_more_exactly():
    strap = disc((300, 300), (150.3, 149.6), 104) - disc((300, 300), (150.3, 149.6), 100)
    overlap = iou(draw_path(trace_outline(strap), strap.shape), strap)
    assert overlap > 0.99, "within 0.2 pixels on average a tenth of it could be lost"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real cutouts are not beside this checkout")
@pytest.mark.parametrize(("tolerance_px", "most_knots"), [(EDITABLE_PX, 110), (EXACT_PX, 200)])
def test_real_cutouts_keep_their_outline(tolerance_px, most_knots):
    for path in sorted(REAL.glob("*.png"))[::24]:
        with Image.open(path) as image:
            alpha = np.asarray(image.getchannel("A"), np.float32) / 255
        traced = trace_outline(alpha, tolerance_px=tolerance_px)
        assert iou(draw_path(traced, alpha.shape), alpha) > 0.998
        assert num_knots(traced) <= most_knots


def test_much_outline_around_little_area_is_followed_more_closely():
    """Fur, or fringes: the limits that serve a dress would leave an overlap of 0.9978."""
    y, x = (np.indices((2400, 2400)) + 0.5) / 4
    angle, radius = np.arctan2(y - 300, x - 300), np.hypot(x - 300, y - 300)
    inside = radius < 200 + 12 * np.sin(60 * angle) + 3 * np.sin(23 * angle)
    alpha = inside.reshape(600, 4, 600, 4).mean((1, 3), dtype=np.float32)
    path = trace_outline(alpha)
    assert iou(draw_path(path, alpha.shape), alpha) > 0.998
    assert num_knots(path) < 500
