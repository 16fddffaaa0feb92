from dataclasses import replace

import numpy as np
import pytest

from garmentcut.dataset.composite import FIRST_SEED, draw_pairs, extra_pairs
from garmentcut.dataset.manifest import (
    Manifest,
    read_manifest,
    read_pair,
    read_target,
    target_bytes,
    write_manifest,
)
from garmentcut.errors import PhotoError
from garmentcut.photo.files import sha256_of
from garmentcut.recipe import DataConfig
from garmentcut.synthetic import draw_studio_photo, studio_traits


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "synthetic"
    return folder, draw_pairs(folder, 8, height=96)


def test_they_are_sheer_in_part_at_least(drawn, tmp_path):
    for pair in drawn[1]:
        seed = int(pair.garment.removeprefix("synthetic-"))
        assert seed >= FIRST_SEED
        assert "sheer" in studio_traits(seed)
    # Read beside another data set, as a training does.
    alphas = [read_pair(Manifest(tmp_path, ()), pair)[1] for pair in drawn[1]]
    soft = [((alpha > 0.1) & (alpha < 0.9)).sum() / (alpha > 0.1).sum() for alpha in alphas]
    assert max(soft) > 0.8
    assert min(soft) > 0.05


def test_traits_are_those_of_the_photo():
    for seed in (3, FIRST_SEED):
        assert studio_traits(seed) == draw_studio_photo(seed, size_hw=(48, 32)).traits


def test_photo_alpha_and_box_belong_together(drawn, tmp_path):
    names = [pair.name for pair in drawn[1]]
    assert len(set(names)) == 8
    assert {pair.view for pair in drawn[1]} == {"Front", "FrontRight", "Back"}
    for pair in drawn[1]:
        photo, alpha = read_pair(Manifest(tmp_path, ()), pair)
        shot = draw_studio_photo(int(pair.garment.removeprefix("synthetic-")), view=pair.view, size_hw=(96, 64))
        np.testing.assert_array_equal(photo.rgb, shot.rgb)
        np.testing.assert_allclose(alpha, shot.alpha, atol=1e-5)
        left, top, right, bottom = pair.box_xyxy
        inside = np.zeros(alpha.shape, bool)
        inside[top:bottom, left:right] = True
        assert not (alpha[~inside] >= 0.5).any()
        assert (alpha[top] >= 0.5).any()
        assert (alpha[:, right - 1] >= 0.5).any()


def test_what_is_there_is_not_drawn_again_and_damage_is_reported(drawn, monkeypatch):
    folder, pairs = drawn
    with monkeypatch.context() as patched:
        patched.setattr("garmentcut.dataset.composite.draw_studio_photo", None)
        assert draw_pairs(folder, 8, height=96) == pairs
    torn = folder / f"{pairs[0].name}_alpha.png"
    content = torn.read_bytes()
    torn.write_bytes(content[:50])
    with pytest.raises(PhotoError, match=pairs[0].name):
        draw_pairs(folder, 8, height=96)
    torn.write_bytes(content)


def test_none_are_none(tmp_path):
    assert draw_pairs(tmp_path / "synthetic", 0, height=96) == ()
    assert not (tmp_path / "synthetic").exists()


def test_varied_photos_are_of_other_makes_and_are_made_once(tmp_path, monkeypatch):
    pairs = draw_pairs(tmp_path, 3, height=96, is_varied=True)
    assert [pair.view for pair in pairs] == ["Front", "FrontRight", "Back"]
    assert all(pair.name.startswith("synthetic-varied-") for pair in pairs)
    plain = draw_pairs(tmp_path / "plain", 3, height=96)
    assert {pair.photo_sha256 for pair in pairs}.isdisjoint(pair.photo_sha256 for pair in plain)
    monkeypatch.setattr("garmentcut.dataset.composite.draw_studio_photo", None)
    assert draw_pairs(tmp_path, 3, height=96, is_varied=True) == pairs


def test_composites_keep_garment_and_group_of_their_photo(small_dataset, tmp_path):
    data = DataConfig(composites=5)
    pairs = extra_pairs(tmp_path / "made", data, height=96, manifest=small_dataset, pairs=small_dataset.usable)
    assert [pair.group for pair in pairs] == ["g0", "g0", "g1", "g1", "g2"]
    assert {pair.split for pair in pairs} == {"synthetic"}
    assert len({pair.photo_sha256 for pair in pairs}) == 5
    photo, alpha = read_pair(small_dataset, pairs[0])
    own, _ = read_pair(small_dataset, small_dataset.usable[0])
    assert photo.size_hw == own.size_hw
    assert 0.005 < (alpha >= 0.5).mean() < 0.9
    assert not np.array_equal(photo.rgb, own.rgb)


def test_composites_are_made_anew_from_a_corrected_cutout(small_dataset, tmp_path):
    def make():
        manifest = read_manifest(small_dataset.folder)
        made = extra_pairs(
            tmp_path / "made", DataConfig(composites=3), height=96, manifest=manifest, pairs=manifest.usable
        )
        return [pair.cutout_sha256 for pair in made]

    before, first = make(), small_dataset.usable[0]
    assert make() == before
    path = small_dataset.path_of(first.alpha)
    path.write_bytes(target_bytes(read_target(path, (96, 64)) * (np.arange(64) < 30).astype(np.float32)))
    corrected = replace(first, cutout_sha256=sha256_of(path))
    write_manifest(replace(small_dataset, pairs=(corrected, *small_dataset.pairs[1:])))
    assert [old == new for old, new in zip(before, make(), strict=True)].count(False) == 1


def test_nothing_is_made_where_nothing_is_asked_for(small_dataset, tmp_path):
    made = extra_pairs(tmp_path / "made", DataConfig(), height=96, manifest=small_dataset, pairs=small_dataset.usable)
    assert made == ()
    assert not (tmp_path / "made").exists()
