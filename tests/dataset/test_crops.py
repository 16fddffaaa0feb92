from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from garmentcut.dataset.batches import batches
from garmentcut.dataset.crops import WINDOWS, CropSamples, map_path, open_crops
from garmentcut.photo.photo import PhotoError
from garmentcut.recipe import load_recipe

FRAME_HW = (96, 64)
RECIPE = load_recipe(
    None,
    {
        "data.size_hw": [32, 32],
        "crops.first": {"data": {"size_hw": [48, 32]}},
        "crops.frame_hw": list(FRAME_HW),
    },
)


@pytest.fixture
def maps(small_dataset, studio, tmp_path):
    """First looks' maps: the target itself, in small."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for pair in small_dataset.usable:
        levels = Image.fromarray(np.rint(studio(96, 64).alpha * 255).astype(np.uint8))
        levels.resize((32, 48), Image.Resampling.BOX).save(map_path(folder, pair.name))
    return folder


def opened(manifest, maps, recipe=RECIPE):
    return CropSamples(manifest, manifest.usable, recipe, maps=maps, num_windows=WINDOWS)


def test_photo_map_and_target_are_of_one_place(small_dataset, maps, studio):
    samples, drawn = opened(small_dataset, maps), studio(96, 64)
    whole = np.dstack([drawn.photo, np.rint(drawn.alpha * 255)]).transpose(2, 0, 1)
    for index in (0, 5, WINDOWS + 3):
        sample = samples[index]
        assert sample.photo.shape == (4, 32, 32)
        assert sample.alpha.shape == (1, 32, 32)
        places = [
            (top, left)
            for top in range(65)
            for left in range(33)
            if np.array_equal(sample.photo[:3].numpy(), whole[:3, top : top + 32, left : left + 32])
        ]
        assert places
        top, left = places[0]
        target = whole[3, top : top + 32, left : left + 32]
        assert np.abs(sample.alpha[0].numpy() - target).max() <= 1
        assert np.abs(sample.photo[3].numpy() - target).mean() < 12  # in small, and back: soft


def test_windows_of_a_photo_differ_and_stay_the_same(small_dataset, maps):
    first, again = (opened(small_dataset, maps) for _ in range(2))
    assert len(first) == 3 * WINDOWS
    different = {first[index].alpha.numpy().tobytes() for index in range(WINDOWS)}
    assert len(different) > WINDOWS // 2
    assert all(torch.equal(first[index].photo, again[index].photo) for index in range(0, 3 * WINDOWS, 7))
    other = opened(small_dataset, maps, replace(RECIPE, training=replace(RECIPE.training, seed=1)))
    assert any(not torch.equal(first[index].photo, other[index].photo) for index in range(WINDOWS))


def test_the_box_comes_from_the_map_not_from_the_target(small_dataset, maps):
    for pair in small_dataset.usable:
        wrong = np.zeros((48, 32), np.uint8)
        wrong[2:8, 2:8] = 255  # upper left
        Image.fromarray(wrong).save(map_path(maps, pair.name))
    samples = opened(small_dataset, maps)
    assert all(samples[index].photo[3].max() == 255 for index in range(WINDOWS))


def test_what_is_measured_on_is_the_middle_of_the_box(small_dataset, maps):
    sides = small_dataset.usable[:2], small_dataset.usable[2:]
    learn_from, measure_on = open_crops(small_dataset, sides, RECIPE, maps=maps)
    assert (len(learn_from), len(measure_on)) == (2 * WINDOWS, 1)
    assert measure_on[0].alpha[0, 16, 16] == 255


def test_batches_carry_the_map(small_dataset, maps):
    [batch] = batches(opened(small_dataset, maps), range(1), batch=4, seed=0, workers=1)
    assert batch.photos.shape == (4, 4, 32, 32)
    assert set(batch.names) <= {pair.name for pair in small_dataset.usable}


def test_a_map_that_is_missing_is_named(small_dataset, maps):
    map_path(maps, small_dataset.usable[0].name).unlink()
    with pytest.raises(PhotoError, match=small_dataset.usable[0].name):
        opened(small_dataset, maps)[0]
