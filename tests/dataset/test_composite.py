import numpy as np
import pytest

from garmentcut.dataset.composite import FIRST_SEED, draw_pairs
from garmentcut.dataset.manifest import Manifest, read_pair
from garmentcut.errors import PhotoError
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


def test_what_is_there_is_not_drawn_again_and_damage_is_told(drawn, monkeypatch):
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
