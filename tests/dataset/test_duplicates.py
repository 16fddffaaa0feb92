import io

import numpy as np
import pytest
from PIL import Image

from garmentcut.dataset.duplicates import NEAR, find_near, find_repeated, group_garments, near_faults, print_of
from garmentcut.photo.resize import resize_alpha, resize_rgb

SIZE_HW = (288, 192)


def distance(one, other):
    ((_, _, found),) = find_near(np.stack([one, other]), near=99)
    return found


def saved(rgb, alpha):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=70)
    return np.asarray(Image.open(file)), alpha


def wider(alpha):
    """The mask a pixel wider all round."""
    padded = np.pad(alpha, 1)
    return np.max([padded[y : y + alpha.shape[0], x : x + alpha.shape[1]] for y in range(3) for x in range(3)], axis=0)


@pytest.mark.parametrize(
    "change",
    [
        saved,
        lambda rgb, alpha: (resize_rgb(rgb, (144, 96)), resize_alpha(alpha, (144, 96))),
        lambda rgb, alpha: (resize_rgb(rgb, (432, 288)), resize_alpha(alpha, (432, 288))),
        lambda rgb, alpha: ((rgb * 0.75).astype(np.uint8), alpha),
        lambda rgb, alpha: ((rgb * 0.9 + 25).astype(np.uint8), alpha),
        lambda rgb, alpha: (np.roll(rgb, (7, -9), (0, 1)), np.roll(alpha, (7, -9), (0, 1))),
        lambda rgb, alpha: (np.pad(rgb, ((40, 0), (0, 30), (0, 0)), mode="edge"), np.pad(alpha, ((40, 0), (0, 30)))),
        lambda rgb, alpha: (rgb, wider(alpha)),
        lambda rgb, alpha: (np.asarray(Image.fromarray(rgb).convert("L").convert("RGB")), alpha),
    ],
    ids=["saved again", "half", "enlarged", "darker", "flatter", "moved", "other frame", "wider mask", "gray"],
)
def test_the_same_photo_is_near(draw_pair, change):
    for seed in range(5):
        rgb, alpha = draw_pair(seed, *SIZE_HW)
        assert distance(print_of(rgb, alpha), print_of(*change(rgb, alpha))) < NEAR


def test_other_photos_are_not(draw_pair):
    prints = np.stack([print_of(*draw_pair(seed, *SIZE_HW)) for seed in range(40)])
    assert list(find_near(prints)) == []


def test_the_same_cloth_in_another_cut_is_not(draw_pair):
    rgb, _ = draw_pair(1, *SIZE_HW)
    skirt, dress = np.zeros(SIZE_HW, np.float32), np.zeros(SIZE_HW, np.float32)
    skirt[100:180, 60:120] = 1
    dress[100:180, 60:120] = dress[40:100, 75:105] = 1
    assert distance(print_of(rgb, skirt), print_of(rgb, dress)) > NEAR


def test_garments_at_the_frame_and_of_one_pixel():
    rgb = np.full((60, 40, 3), 90, np.uint8)
    whole, dot = np.ones((60, 40), np.float32), np.zeros((60, 40), np.float32)
    dot[59, 39] = 1
    for alpha in (whole, dot):
        made = print_of(rgb, alpha)
        assert made.shape == (192,) and made.dtype == np.int8


def test_all_pairs_are_compared_across_chunks():
    random = np.random.default_rng(0)
    prints = random.integers(-120, 120, (300, 192), np.int8)
    prints[299] = prints[0]
    prints[130] = prints[129] + (random.random(192) < 0.1)
    found = {(i, j): d for i, j, d in find_near(prints)}
    assert set(found) == {(0, 299), (129, 130)}
    changed = (prints[130].astype(float) - prints[129]) / 31
    assert found[129, 130] == pytest.approx(np.sqrt((changed**2).sum() / 96), abs=1e-3)


def test_repeated_contents_name_the_first():
    hashes = [("a", "1"), ("b", "2"), ("c", "1"), ("d", "1")]
    assert find_repeated(hashes) == {"c": "a", "d": "a"}


def test_groups_are_what_links_lead_to():
    groups = group_garments("edcbaf", [("c", "e"), ("d", "e"), ("a", "b")])
    assert groups == {"a": "a", "b": "a", "c": "c", "d": "c", "e": "c", "f": "f"}


def test_near_photos_name_their_nearest():
    faults = near_faults(["x", "y", "z"], [(0, 1, 0.1), (1, 2, 0.05)])
    assert {name: fault.text for name, fault in faults.items()} == {
        "x": "looks like y (distance 0.10)",
        "y": "looks like z (distance 0.05)",
        "z": "looks like y (distance 0.05)",
    }
