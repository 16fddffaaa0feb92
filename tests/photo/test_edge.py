import tracemalloc

import numpy as np
import pytest

from garmentcut.photo.edge import clean_edge_color


def error(rgb, studio):
    """Mean absolute colour error times alpha in the rim, 0 to 255: what shows on a new background."""
    rim = (studio.alpha > 0) & (studio.alpha < 1)
    return (np.abs(rgb.astype(np.float64) - studio.garment).mean(axis=-1) * studio.alpha)[rim].mean()


@pytest.mark.parametrize(("sigma", "times"), [(0.8, 5), (1.5, 5), (3, 2.5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_come_several_times_closer_to_the_truth(studio, sigma, times, dtype):
    drawn = studio(432, 288, sigma=sigma)
    scale = dtype(np.iinfo(dtype).max // 255)
    cleaned = clean_edge_color(drawn.photo * scale, drawn.alpha)
    assert cleaned.dtype == dtype
    before, after = error(drawn.photo, drawn), error(cleaned / scale, drawn)
    assert before > 8
    assert after < before / times


@pytest.mark.parametrize("height", [100, 288, 900])
def test_at_any_size(studio, height):
    drawn = studio(height, height * 2 // 3, sigma=1)
    assert error(clean_edge_color(drawn.photo, drawn.alpha), drawn) < error(drawn.photo, drawn) / 4


def test_only_the_rim_changes_and_the_input_never(studio):
    drawn = studio()
    before = drawn.photo.copy()
    cleaned = clean_edge_color(drawn.photo, drawn.alpha)
    rim = (drawn.alpha > 0) & (drawn.alpha < 1)
    np.testing.assert_array_equal(cleaned[~rim], drawn.photo[~rim])
    np.testing.assert_array_equal(drawn.photo, before)
    assert (cleaned != drawn.photo).any()


@pytest.mark.parametrize("level", [0, 1])
def test_no_rim_no_change(studio, level):
    photo = studio().photo
    cleaned = clean_edge_color(photo, np.full(photo.shape[:2], level, np.float32))
    np.testing.assert_array_equal(cleaned, photo)
    assert cleaned is not photo


def test_rims_at_the_frame_and_tiny_pictures(studio):
    drawn = studio()
    parts = [
        np.s_[100:180, 60:130],
        np.s_[:, 96:],
        np.s_[144:, :96],
        np.s_[40:41, :],
        np.s_[:, 96:97],
        np.s_[144:145, 30:31],
    ]
    for part in parts:
        cleaned = clean_edge_color(drawn.photo[part], np.clip(drawn.alpha[part], 0.01, 0.99))
        assert cleaned.shape == drawn.photo[part].shape


def test_rim_cut_by_the_frame_is_cleaned_as_well(studio):
    drawn = studio(432, 288)
    part = np.s_[:200, 30:144]
    crop = drawn._replace(**{name: getattr(drawn, name)[part] for name in drawn._fields})
    assert error(clean_edge_color(crop.photo, crop.alpha), crop) < error(crop.photo, crop) / 4


def test_a_million_sheer_pixels_need_little_memory():
    photo = np.full((1728, 1152, 3), (90, 60, 70), np.uint8)
    alpha = np.zeros((1728, 1152), np.float32)
    alpha[300:1300, 76:1076] = 0.4
    tracemalloc.start()
    cleaned = clean_edge_color(photo, alpha)
    assert tracemalloc.get_traced_memory()[1] < 250e6
    tracemalloc.stop()
    assert cleaned.shape == photo.shape
