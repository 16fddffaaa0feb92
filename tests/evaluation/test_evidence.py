import numpy as np
import pytest

from garmentcut.evaluation.evidence import gather_evidence, softmin_confidence

HEIGHT, WIDTH = 432, 288  # a quarter of the reference: lengths scale with it


@pytest.fixture(scope="module")
def scene():
    """A dark rounded garment with texture before a light wall: photo and true alpha."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    inside = (np.hypot((y - 216) / 150, (x - 144) / 80) < 1) | ((abs(x - 144) < 60) & (abs(y - 300) < 80))
    alpha = inside.astype(np.float32)
    rgb = np.where(inside[..., None], np.array([60, 40, 90]), np.array([205, 205, 210])) + rng.normal(
        0, 3, (HEIGHT, WIDTH, 3)
    )
    return rgb.clip(0, 255).astype(np.uint8), alpha


def test_a_right_cutout_has_nothing_against_it(scene):
    rgb, alpha = scene
    found = gather_evidence(rgb, alpha, alpha)
    assert (found.dice, found.regions) == (1.0, ())
    assert np.hypot(*found.model_shift_xy) < 0.1
    assert np.hypot(*found.photo_shift_xy) < 0.2
    assert abs(found.growth_px) < 0.1


def test_a_missing_hem_is_a_region_that_the_photo_confirms(scene):
    rgb, alpha = scene
    cutout = alpha.copy()
    cutout[365:] = 0
    found = gather_evidence(rgb, cutout, alpha)
    (region,) = found.regions
    assert region.is_missing
    assert region.area_px == int((alpha - cutout).sum())
    assert (region.box_xyxy[1], region.box_xyxy[3]) == (365, 380)
    assert region.depth_px == pytest.approx(15, abs=1)
    assert region.edge_support > 0.5
    assert region.color_support > 0.5
    assert region.confidence == 1.0
    assert np.hypot(*found.model_shift_xy) < 0.3  # no shift is made of it


def test_an_error_of_the_model_weighs_less_than_the_same_of_the_cutout(scene):
    rgb, alpha = scene
    wrong = alpha.copy()
    wrong[365:] = 0
    of_cutout, of_model = gather_evidence(rgb, wrong, alpha), gather_evidence(rgb, alpha, wrong)
    assert of_model.regions[0].edge_support < -0.5
    assert of_model.regions[0].color_support < -0.5
    assert not of_model.regions[0].is_missing
    assert of_model.regions[0].weight < 0.1 * of_cutout.regions[0].weight


def test_a_side_cut_away_runs_through_plain_cloth_and_does_not_make_the_rest_look_rough(scene):
    rgb, alpha = scene
    rough = np.roll(alpha, 1, axis=1)  # the model errs by a pixel all around
    thin = alpha.copy()
    left = np.argmax(alpha, axis=1)
    for y in range(230, 330):
        thin[y, : left[y] + 5] = 0
    whole, eroded = gather_evidence(rgb, alpha, rough), gather_evidence(rgb, thin, rough)
    assert eroded.regions[0].traced < 0.3
    assert eroded.regions[0].is_missing
    assert eroded.spread_px < 1.3 * whole.spread_px


def test_a_border_that_follows_an_edge_of_the_photo_weighs_less(scene):
    rgb, alpha = scene
    rgb = rgb.copy()
    rgb[365:][alpha[365:] > 0] = (150, 150, 150)  # a hem of another colour: perhaps it was left out on purpose
    cutout = alpha.copy()
    cutout[365:] = 0
    found = gather_evidence(rgb, cutout, alpha).regions[0]
    assert found.traced > 0.9
    assert found.weight < 0.6 * found._replace(traced=0.0).weight


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, -3), (2, 2)])
def test_a_shift_is_measured_by_the_model_and_by_the_photo(scene, dx, dy):
    rgb, alpha = (np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1) for plane in scene)
    shifted = np.roll(alpha, (dy, dx), axis=(0, 1))
    found = gather_evidence(rgb, shifted, alpha)
    assert found.model_shift_xy == pytest.approx((dx, dy), abs=0.4)
    assert found.photo_shift_xy == pytest.approx((dx, dy), abs=0.7)


def test_a_cutout_that_is_too_thin_all_around_has_grown_inwards(scene):
    from scipy.ndimage import binary_erosion

    rgb, alpha = scene
    thin = binary_erosion(alpha > 0, iterations=2).astype(np.float32)
    assert gather_evidence(rgb, thin, alpha).growth_px == pytest.approx(-2, abs=0.4)


def test_nothing_cut_out_or_nothing_predicted(scene):
    rgb, alpha = scene
    nothing = np.zeros_like(alpha)
    missing = gather_evidence(rgb, nothing, alpha)
    assert (missing.dice, missing.regions[0].is_missing, missing.regions[0].area_px) == (0.0, True, int(alpha.sum()))
    assert not gather_evidence(rgb, alpha, nothing).regions[0].is_missing
    assert gather_evidence(rgb, nothing, nothing).regions == ()
    everything = np.ones_like(alpha)
    assert gather_evidence(rgb, nothing, everything).regions[0].depth_px == pytest.approx(WIDTH / 2, abs=1)


def test_softmin_as_in_the_paper():
    alpha = np.array([[0.9, 0.2], [0.8, 0.6]], np.float32)
    theirs = np.array([[True, False], [False, True]])
    own = np.array([0.9, 0.8, 0.2, 0.6])
    weights = np.exp((1 - own) / 0.1)
    assert softmin_confidence(alpha, theirs) == pytest.approx(float((own * weights).sum() / weights.sum()), rel=1e-5)
