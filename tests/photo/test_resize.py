import numpy as np
import pytest
from PIL import Image

from garmentcut.photo.resize import resize_alpha, resize_rgb


def shrunk(alpha, factor):
    size = round(alpha.shape[1] / factor), round(alpha.shape[0] / factor)
    return np.array(Image.fromarray(alpha).resize(size, Image.Resampling.BOX))


def plain(alpha, size_hw, *, steepness):
    """Cubic, steepened about 0.5: the method to match or beat."""
    large = np.asarray(Image.fromarray(alpha).resize(size_hw[::-1], Image.Resampling.BICUBIC))
    return ((large - 0.5) * steepness + 0.5).clip(0, 1)


def band_of(alpha):
    """Pixels near an edge: a window of 9 sees more than one level."""
    image = Image.fromarray(np.rint(alpha * 255).astype(np.uint8))
    windows = [
        np.pad(np.asarray(image), 4, mode="edge")[dy : dy + alpha.shape[0], dx : dx + alpha.shape[1]]
        for dy in range(0, 9, 2)
        for dx in range(0, 9, 2)
    ]
    return np.ptp(np.stack(windows), axis=0) > 0


def error(found, truth):
    return 255 * np.abs(found - truth)[band_of(truth)].mean()


@pytest.mark.parametrize("factor", [2, 3, 4.5])
def test_hard_edges_come_back_as_crisp_as_steepening_makes_them(studio, factor):
    truth = studio(864, 576, sigma=0.4).alpha
    small = shrunk(truth, factor)
    found = resize_alpha(small, truth.shape)
    cubic, steep = (plain(small, truth.shape, steepness=k) for k in (1, factor))
    assert error(found, truth) <= error(steep, truth) * 1.01
    assert error(found, truth) < error(cubic, truth) / 1.8
    wrong = ((found >= 0.5) != (truth >= 0.5))[band_of(truth)].mean()
    assert wrong <= ((cubic >= 0.5) != (truth >= 0.5))[band_of(truth)].mean() + 0.001


@pytest.mark.parametrize("factor", [2, 3])
def test_sheer_garments_get_crisp_edges_and_keep_their_level(studio, factor):
    truth = studio(864, 576, sigma=0.4).alpha * np.float32(0.4)
    small = shrunk(truth, factor)
    found = resize_alpha(small, truth.shape)
    assert found[400:460, 250:320] == pytest.approx(0.4, abs=1e-6)
    assert error(found, truth) < error(plain(small, truth.shape, steepness=1), truth) / 2
    assert error(found, truth) < error(plain(small, truth.shape, steepness=factor), truth) / 5


@pytest.mark.parametrize("factor", [2, 3])
def test_truly_soft_edges_stay_soft(studio, factor):
    truth = studio(864, 576, sigma=10).alpha
    found = resize_alpha(shrunk(truth, factor), truth.shape)
    assert error(found, truth) < 1


@pytest.mark.parametrize("size_hw", [(400, 400), (300, 500), (211, 307), (101, 100), (100, 333)])
def test_nothing_is_shifted(size_hw):
    y, x = np.mgrid[:100, :100] + 0.5
    disc = np.clip(30.5 - np.hypot(y - 48.3, x - 53.8), 0, 1).astype(np.float32)
    large = resize_alpha(disc, size_hw)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    center = np.array([(large * y).sum(), (large * x).sum()]) / large.sum() * 100 / size_hw
    assert center == pytest.approx([48.3, 53.8], abs=0.03)
    assert large.sum() / (size_hw[0] * size_hw[1]) == pytest.approx(disc.mean(), rel=0.01)


def test_tiles_leave_no_seam(studio, monkeypatch):
    small = shrunk(studio(288, 192, sigma=1).alpha, 2)
    whole = {}
    for tile in (10_000, 192, 37):
        monkeypatch.setattr("garmentcut.photo.resize._TILE_PX", tile)
        whole[tile] = resize_alpha(small, (501, 333))
    np.testing.assert_allclose(whole[192], whole[10_000], atol=1e-5)
    np.testing.assert_allclose(whole[37], whole[10_000], atol=1e-5)


@pytest.mark.parametrize("size_hw", [(6000, 4000), (97, 1), (1, 97), (33, 40), (1729, 1153)])
def test_every_size_and_empty_and_full(size_hw):
    for level in (0, 0.4, 1):
        np.testing.assert_array_equal(resize_alpha(np.full((31, 23), level, np.float32), size_hw), np.float32(level))


def test_garment_touching_the_frame():
    alpha = np.zeros((60, 40), np.float32)
    alpha[20:, :25] = 1
    large = resize_alpha(alpha, (180, 120))
    expected = np.zeros((180, 120), np.float32)
    expected[60:, :75] = 1
    expected[60, 74] = large[60, 74]  # the corner is rounded
    np.testing.assert_allclose(large, expected, atol=0.01)


def test_many_odd_sizes_stay_in_range():
    chance = np.random.default_rng(3)
    for _ in range(60):
        h, w, height, width = chance.integers(1, 90, 4)
        alpha = chance.random((h, w), np.float32)
        found = resize_alpha(alpha, (height, width))
        assert found.shape == (height, width)
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= 1


def test_same_size_is_the_same_and_smaller_keeps_the_mean(studio):
    alpha = studio().alpha
    assert resize_alpha(alpha, alpha.shape) is alpha
    assert resize_alpha(alpha, (96, 64)).mean() == pytest.approx(alpha.mean(), rel=1e-4)
    assert resize_alpha(alpha, (97, 61)).mean() == pytest.approx(alpha.mean(), rel=0.01)


def test_rgb(studio):
    photo = studio().photo
    assert resize_rgb(photo, photo.shape[:2]) is photo
    small = resize_rgb(photo, (96, 64))
    assert small.shape == (96, 64, 3)
    assert small.dtype == np.uint8
    assert small.mean() == pytest.approx(photo.mean(), abs=0.5)
    assert resize_rgb(photo[:, ::-1], (300, 200)).shape == (300, 200, 3)
