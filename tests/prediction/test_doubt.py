from dataclasses import replace

import numpy as np
import pytest

from garmentcut.errors import ModelError
from garmentcut.prediction.cutter import Prediction
from garmentcut.prediction.doubt import (
    ALL_FEATURES,
    MAP_HEIGHT_PX,
    NUM_COMPARED,
    all_features,
    check_doubt,
    continuation_of,
    doubt_of,
    doubts_of,
    draw_maps,
    is_foreign,
    lines_at_border,
    observe,
    observe_prediction,
)
from garmentcut.prediction.locate import Frame


def test_doubt_is_a_logistic_function_of_the_features(make_doubt):
    model = make_doubt(edge_softness=2.0, bias=-1.0)
    features = np.zeros((3, len(ALL_FEATURES)))
    features[:, 0] = (0.0, 1.0, 100.0)
    doubts = doubts_of(model, features)
    np.testing.assert_allclose(doubts, 1 / (1 + np.exp([1.0, -1.0, -7.0])))  # beyond four scales nothing is added


def test_unlike_is_the_mahalanobis_distance():
    appearance = np.full(10, 3.0)
    found = all_features(np.zeros(12), appearance, mean=np.full(10, 1.0), precision=np.diag([1.0, 4.0, *[0.0] * 8]))
    assert found[-1] == pytest.approx(np.log(np.sqrt(2**2 + 4 * 2**2) + 0.1))


def test_a_card_of_an_older_version_knows_fewer_features_and_nothing_of_foreign_photos(make_doubt, card, studio):
    model, seen = make_doubt(sheer=1.0, bias=-1.0), observe(studio().photo, studio().alpha)
    names = tuple(name for name in ALL_FEATURES if name != "cut_off")
    places = [ALL_FEATURES.index(name) for name in names]
    numbers = {
        key: tuple(getattr(model, key)[place] for place in places) for key in ("center", "scale", "weights", "limits")
    }
    older = replace(model, features=names, **numbers)
    check_doubt(replace(card, doubt=older))
    assert doubt_of(older, seen) == pytest.approx(doubt_of(model, seen))
    assert not is_foreign(older, seen.appearance + 1e6)


def test_far_from_the_training_photos_is_foreign(make_doubt):
    model = replace(make_doubt(), foreign_distance=2.0)
    assert not is_foreign(model, np.array([2.0, *[0.0] * 26]))
    assert is_foreign(model, np.array([2.1, *[0.0] * 26]))


def test_a_strap_that_goes_on_beyond_the_alpha_is_found():
    rgb, alpha = np.full((160, 120, 3), 220, np.uint8), np.zeros((160, 120), np.float32)
    rgb[70:140, 30:90], alpha[70:140, 30:90] = 60, 1
    whole = observe(rgb, alpha)
    rgb[20:70, 40:44] = 60  # the strap, which the alpha lacks
    cut_off = observe(rgb, alpha)
    assert feature(cut_off, "cut_off") > feature(whole, "cut_off") + 2
    found = continuation_of(cut_off.maps)
    assert found.sum() > 4 * 8
    assert not found[:, : 30 - cut_off.maps.corner_xy[0]].any()
    alpha[20:70, 40:44] = 1
    assert feature(observe(rgb, alpha), "cut_off") == feature(whole, "cut_off")
    rgb[20:70, 40:44] = (0, 160, 60)  # a hanger's hook, say: of another colour
    alpha[20:70, 40:44] = 0
    assert feature(observe(rgb, alpha), "cut_off") == feature(whole, "cut_off")


def test_a_softer_edge_is_doubted_more(make_doubt, studio):
    model = make_doubt(edge_softness=1.0, bias=-3.0)
    sharp, soft = (doubt_of(model, observe(shown.photo, shown.alpha)) for shown in (studio(), studio(sigma=5)))
    assert 0 < sharp < soft < 1


def test_a_doubt_learned_from_other_signs_is_refused(make_doubt, card):
    check_doubt(replace(card, doubt=make_doubt()))
    other = replace(make_doubt(), features=("first", *ALL_FEATURES[1:]))
    with pytest.raises(ModelError, match="run `garmentcut calibrate` again"):
        check_doubt(replace(card, doubt=other))


def test_an_empty_alpha_has_no_maps():
    assert draw_maps(np.zeros((40, 30, 3), np.uint8), np.zeros((40, 30), np.float32)) is None


def test_maps_of_a_large_frame_are_small_and_in_place(studio):
    shown = studio(1728, 1152)
    maps = draw_maps(shown.photo, shown.alpha)
    assert maps.step == 4
    assert maps.frame_hw == (MAP_HEIGHT_PX, 288)
    left, top = maps.corner_xy
    whole = np.zeros(maps.frame_hw, bool)
    whole[top : top + maps.mask.shape[0], left : left + maps.mask.shape[1]] = maps.mask
    expected = shown.alpha.reshape(432, 4, 288, 4).mean(axis=(1, 3)) >= 0.5
    assert (whole != expected).sum() < 10
    assert maps.colors.shape[:2] == maps.alpha.shape == maps.softness.shape == maps.contrast.shape


def test_contrast_is_the_distance_of_the_colours_on_both_sides():
    rgb = np.full((60, 60, 3), 200, np.uint8)
    alpha = np.zeros((60, 60), np.float32)
    alpha[20:40, 20:40] = 1
    rgb[20:40, 20:30] = 100  # the left half is told apart, the right half is not
    maps = draw_maps(rgb, alpha)
    left, top = maps.corner_xy
    assert maps.contrast[30 - top, 20 - left] == pytest.approx(100, abs=3)
    assert maps.contrast[30 - top, 39 - left] < 3
    assert not maps.contrast[~maps.edge].any()


def test_components_and_holes_are_counted_and_dust_is_not():
    alpha = np.zeros((120, 120), np.float32)
    alpha[20:60, 20:60] = 1
    alpha[35:45, 35:45] = 0
    alpha[70:90, 20:60] = 1
    alpha[100, 100] = 1
    maps = draw_maps(np.zeros((120, 120, 3), np.uint8), alpha)
    left, top = maps.corner_xy
    assert maps.num_components == 2
    assert [(x + left, y + top) for x, y in maps.holes_xy] == [(40, 40)]


def feature(observation, name):
    return observation.features[ALL_FEATURES.index(name)]


def test_each_feature_grows_with_what_it_stands_for(studio):
    plain = studio(288, 192)
    soft = studio(288, 192, sigma=4)
    base = observe(plain.photo, plain.alpha)
    assert feature(observe(soft.photo, soft.alpha), "edge_softness") > feature(base, "edge_softness") + 0.5
    assert feature(observe(soft.photo, soft.alpha), "wide_edge") > feature(base, "wide_edge")

    sheer = plain.alpha.copy()
    sheer[120:170, 70:120] = 0.6
    assert feature(observe(plain.photo, sheer), "sheer") > feature(base, "sheer") + 1

    hazy = plain.alpha.copy()
    hazy[5:25, 5:60] = 0.3
    assert feature(observe(plain.photo, hazy), "haze") > feature(base, "haze") + 1

    torn = plain.alpha.copy()
    torn[100:104] = 0
    torn[130:150, 90:110] = 0
    assert (feature(observe(plain.photo, torn), "components"), feature(base, "components")) == (np.log2(3), 1)
    assert (feature(observe(plain.photo, torn), "holes"), feature(base, "holes")) == (1, 0)
    assert feature(observe(plain.photo, torn), "outline") > feature(base, "outline")

    gray = np.full_like(plain.photo, 200)
    assert feature(observe(gray, plain.alpha), "low_contrast") == 1
    assert feature(observe(gray, plain.alpha), "contrast") < feature(base, "contrast")
    assert feature(observe(gray, plain.alpha), "mixed_colors") < feature(base, "mixed_colors")


def test_contact_is_with_the_frame_only():
    alpha = np.zeros((80, 60), np.float32)
    alpha[30:, 10:50] = 1
    observation = observe(np.zeros((80, 60, 3), np.uint8), alpha)
    assert {name: line.sum() for name, line in lines_at_border(observation.maps).items() if line.any()} == {
        "bottom": 40
    }
    assert feature(observation, "contact") > 0.1
    alpha[79] = 0
    assert feature(observe(np.zeros((80, 60, 3), np.uint8), alpha), "contact") == 0


def test_signs_hardly_depend_on_the_size_the_network_works_at(studio):
    small, large = (
        observe(shown.photo, shown.alpha) for shown in (studio(432, 288, sigma=1), studio(1728, 1152, sigma=4))
    )
    np.testing.assert_allclose(small.appearance[:NUM_COMPARED], large.appearance[:NUM_COMPARED], rtol=0.03)
    np.testing.assert_allclose(small.appearance[NUM_COMPARED:], large.appearance[NUM_COMPARED:], rtol=0.03, atol=0.5)
    for name in ("outline", "components", "contact", "contrast", "mixed_colors"):
        assert feature(small, name) == pytest.approx(feature(large, name), abs=0.15), name


def test_padding_is_not_looked_at_and_two_stages_are_compared(studio):
    shown = studio(96, 64)
    padded = np.pad(shown.photo, ((0, 32), (0, 32), (0, 0)), mode="edge")
    prediction = Prediction.of_frame(
        np.pad(shown.alpha, ((0, 32), (0, 32)), constant_values=1), Frame(padded, (96, 64), (96, 64))
    )
    seen, plain = observe_prediction(prediction), observe(shown.photo, shown.alpha)
    np.testing.assert_array_equal(seen.features, plain.features)
    moved = np.roll(prediction.small_alpha((48, 32)), 6, axis=0)
    other = Prediction(prediction.frame, prediction.crop, prediction.fine, moved)
    assert feature(observe_prediction(other), "stage_disagreement") > feature(seen, "stage_disagreement") + 3
