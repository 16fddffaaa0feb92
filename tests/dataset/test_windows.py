import math
from dataclasses import replace

import numpy as np
import pytest

from garmentcut.dataset.samples import framed
from garmentcut.dataset.windows import (
    WindowSamples,
    corrupted,
    map_paths,
    reachable_target,
    read_map,
    write_map,
)
from garmentcut.errors import PhotoError
from garmentcut.photo.photo import Photo
from garmentcut.recipe import Strength, load_recipe

SIZE_HW = (32, 24)
ALWAYS = {"shift": 0.2, "zoom": 0.3, "aspect": 0.2, "rotation": 10.0, "perspective": 0.05, "flip": 1.0}


def recipe_of(window="garment", size_hw=SIZE_HW, **augment):
    settings = {"data.size_hw": list(size_hw), "data.window": window, "data.frame_height": 96}
    return load_recipe(None, {**settings, **{f"augment.{key}": value for key, value in augment.items()}})


def everything():
    return {key: {"p": 1.0, "amount": amount} for key, amount in ALWAYS.items()}


@pytest.fixture
def maps(small_dataset, tmp_path, studio):
    for pair in small_dataset.usable:
        for path in map_paths(tmp_path / "maps", pair.name):
            path.parent.mkdir(exist_ok=True)
            write_map(path, studio(96, 64).alpha[::2, ::2])
    return tmp_path / "maps"


def test_without_variation_the_window_is_a_part_of_the_photo(small_dataset, studio):
    size_hw = height, width = 80, 56  # more than the garment
    samples = WindowSamples(small_dataset, small_dataset.usable, recipe_of(size_hw=size_hw), maps=None, vary=False)
    left, top, right, bottom = small_dataset.usable[0].box_xyxy
    y, x = (top + bottom) / 2 - (height - 1) / 2, (left + right) / 2 - (width - 1) / 2
    whole = np.rint(studio(96, 64).alpha * 255)
    near = np.stack(
        [  # the middle of the box may fall between pixels
            whole[row : row + height, column : column + width]
            for row in {math.floor(y), math.ceil(y)}
            for column in {math.floor(x), math.ceil(x)}
        ]
    )
    planes = samples.planes(0)
    assert planes.photo.shape == (3, *size_hw)
    assert (planes.alpha[0] <= near.max(axis=0) + 1).all()
    assert (planes.alpha[0] >= near.min(axis=0) - 1).all()
    assert 0 < (planes.alpha[0] >= 128).mean() < 1


def test_photo_target_and_map_are_moved_alike(small_dataset, maps):
    """The target stands in for the photo: a channel of the photo that is the target must come out as the target."""
    recipe = recipe_of("edge", **everything())
    samples = WindowSamples(small_dataset, small_dataset.usable, recipe, maps=maps, vary=True)
    whole = samples._cached(0)
    samples._kept[0] = replace(whole, rgb=np.repeat(whole.target[..., None], 3, axis=2))
    for draw in range(12):
        planes = samples.planes(0, draw)
        # Enlarged photos are resampled by a sharper filter than targets, which must not overshoot.
        assert np.abs(planes.photo[0].astype(int) - planes.alpha[0]).mean() < 3
        assert np.abs(planes.photo[3].astype(int) - planes.alpha[0]).mean() < 12  # half the resolution


def test_a_draw_is_repeated_exactly_and_another_is_another(small_dataset):
    first, again = (
        WindowSamples(small_dataset, small_dataset.usable, recipe_of(**everything()), maps=None, vary=True)
        for _ in range(2)
    )
    assert np.array_equal(first.planes(1, 5).photo, again.planes(1, 5).photo)
    assert not np.array_equal(first.planes(1, 5).photo, first.planes(1, 6).photo)


def test_what_is_measured_on_is_always_the_same(small_dataset):
    samples = WindowSamples(small_dataset, small_dataset.usable, recipe_of(**everything()), maps=None, vary=False)
    assert np.array_equal(samples.planes(0, 1).photo, samples.planes(0, 2).photo)


def test_edge_windows_stand_on_the_edge(small_dataset, maps):
    samples = WindowSamples(small_dataset, small_dataset.usable, recipe_of("edge"), maps=maps, vary=True)
    shares = [(samples.planes(0, draw).alpha >= 128).mean() for draw in range(20)]
    assert all(0 < share < 1 for share in shares)


def test_a_fifth_of_the_edge_windows_stand_on_straps(small_dataset, maps):
    samples = WindowSamples(small_dataset, small_dataset.usable, recipe_of("edge"), maps=maps, vary=True)
    whole = samples._cached(0)
    nowhere = np.zeros((0, 2), np.int32)
    strap = np.zeros((400, 400), np.uint8)
    strap[100:300, 200:208] = 255
    ground, half = np.zeros((400, 400, 3), np.uint8), np.zeros((200, 200), np.uint8)
    places = {
        "wrong_xy": nowhere,
        "thin_xy": np.full((30, 2), 204, np.int32),
        "edge_xy": np.full((30, 2), 40, np.int32),
    }
    samples._kept[0] = replace(whole, rgb=ground, target=strap, maps=(half, half), **places)
    num = sum((samples.planes(0, draw).alpha >= 128).any() for draw in range(100))
    assert 10 <= num <= 30


@pytest.mark.parametrize(("width", "is_thin"), [(8, True), (16, True), (24, False)])
def test_straps_are_places_to_stand_on_and_the_body_is_not(small_dataset, maps, width, is_thin):
    pair = small_dataset.usable[0]
    samples = WindowSamples(small_dataset, [pair], recipe_of("edge"), maps=maps, vary=True)
    rgb, alpha = np.zeros((96, 64, 3), np.uint8), np.zeros((96, 64), np.float32)
    alpha[60:, 10:50], alpha[:60, 20 : 20 + width] = 1, 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("garmentcut.dataset.windows.read_pair", lambda *_: (Photo(rgb), alpha))
        places = samples._cached(0).thin_xy
    assert (len(places) > 0) == is_thin
    assert not is_thin or places[:, 1].max() < 62


def test_photos_of_any_size_are_framed_at_one_height(studio):
    drawn = studio(96, 64)
    rgb, target = framed(Photo(drawn.photo), drawn.alpha, 48)
    assert rgb.shape == (48, 32, 3)
    assert target.shape == (48, 32)
    assert (target >= 128).mean() == pytest.approx((drawn.alpha >= 0.5).mean(), abs=0.02)


def test_maps_read_back_at_half_of_the_frame(tmp_path):
    alpha = np.linspace(0, 1, 48 * 32, dtype=np.float32).reshape(48, 32)
    write_map(tmp_path / "a.png", alpha)
    assert np.abs(read_map(tmp_path / "a.png", (96, 64)) - alpha * 255).max() <= 0.5
    assert read_map(tmp_path / "a.png", (191, 127)).shape == (96, 64)


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_map_that_is_missing_or_damaged_is_named(tmp_path, content):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"a\.png"):
        read_map(path, (96, 64))


def test_a_map_is_corrupted_as_often_as_asked():
    levels = np.zeros((64, 64), np.uint8)
    levels[16:48, 16:48] = 255
    levels[30:34, 48:60] = 255  # a strap
    rng = np.random.default_rng(0)
    changed = [not np.array_equal(corrupted(levels, rng, Strength(0.5, 17)), levels) for _ in range(400)]
    assert 0.25 < np.mean(changed) < 0.5
    assert corrupted(levels, rng, Strength(0.0, 17)) is levels


def test_corruption_loses_thin_parts_and_makes_holes():
    levels = np.zeros((64, 64), np.uint8)
    levels[16:48, 16:48] = 255
    levels[30:34, 48:60] = 255
    rng = np.random.default_rng(3)
    made = np.stack([corrupted(levels, rng, Strength(1.0, 17)) for _ in range(200)])
    assert (made[:, 32, 56] < 64).mean() > 0.1
    assert (made[:, 20:44, 20:44].min(axis=(1, 2)) < 64).mean() > 0.01
    assert (made[:, :8, :8].max(axis=(1, 2)) > 192).mean() > 0.005


def test_far_from_a_maps_edge_the_map_stays_as_it_is():
    target, seen = np.zeros((192, 192), np.uint8), np.zeros((192, 192), np.uint8)
    target[60:, 40:150] = 255
    target[4:60, 60:66] = 255  # a strap that the map has lost
    seen[66:, 40:150] = 255  # an edge 6 px too low
    seen[110:160, 80:120] = 40  # a print taken for ground
    seen[4:40, 110:180] = 200  # ground taken for cloth
    asked = reachable_target(target, seen)
    assert np.array_equal(asked[130:140, 95:105], seen[130:140, 95:105])
    assert np.array_equal(asked[18:26, 130:160], seen[18:26, 130:160])
    assert np.array_equal(asked[4:66, 40:80], target[4:66, 40:80])
    assert np.array_equal(reachable_target(target, target), target)
