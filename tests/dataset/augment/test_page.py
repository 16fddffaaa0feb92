import numpy as np
import pytest
import torch

from garmentcut.dataset.augment import augmentation_page
from garmentcut.dataset.samples import Sample
from garmentcut.recipe import AugmentConfig

RIM = np.array([255, 0, 255], np.uint8)


@pytest.fixture
def shown(batch):
    photos, alphas = ((part * 255).round().to(torch.uint8) for part in batch)
    return [Sample(photos[row], alphas[row], "Front", f"{row}") for row in range(3)]


def test_a_row_for_each_knob_that_is_on(shown, only):
    bare = augmentation_page(shown, AugmentConfig())
    page = augmentation_page(shown, only("shift", "noise", "recolor", p=0.5))
    assert page.dtype == np.uint8
    assert page.shape == (7 * bare.shape[0], bare.shape[1], 3)  # as they are, three alone, three of all together
    assert bare.shape[1] >= 3 * 240


def test_the_edge_of_the_target_is_drawn(shown, only):
    page = augmentation_page(shown, only("rotation", "blur"))
    rows = np.split((page == RIM).all(axis=2), 6)
    assert all(row.sum() > 300 for row in rows)


def test_labels_name_the_knobs(shown, only):
    label_rows = augmentation_page(shown, only("shift"))[:22], augmentation_page(shown, only("zoom"))[:22]
    assert np.array_equal(*label_rows)
    shift, zoom = (augmentation_page(shown, only(name)) for name in ("shift", "zoom"))
    height = len(shift) // 5
    assert not np.array_equal(shift[height : height + 22], zoom[height : height + 22])


def test_the_seed_decides(shown, only):
    pages = [augmentation_page(shown, only("shift"), seed) for seed in (1, 1, 2)]
    assert np.array_equal(pages[0], pages[1])
    assert not np.array_equal(pages[0], pages[2])


def test_a_photo_without_a_garment_can_be_shown(shown, only):
    bare = [Sample(shown[0].photo, torch.zeros_like(shown[0].alpha), "Front", "bare")]
    assert augmentation_page(bare, only("noise", "recolor", "paste", "rotation")).shape[1] >= 240
