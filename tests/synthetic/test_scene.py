import numpy as np
import pytest

from garmentcut.synthetic.mannequin import design_mannequin, paint_mannequin
from garmentcut.synthetic.scene import STUDIOS, VIEWS, design_light, design_scene, expose, paint_scene, place_figure

SIZE = (216, 144)


def test_every_studio_is_drawn_by_some_seed_and_fills_the_frame():
    seeds = {}
    for seed in range(80):
        seeds.setdefault(design_scene(seed).name, seed)
    assert set(seeds) == set(STUDIOS)
    for seed in seeds.values():
        room = paint_scene(design_scene(seed), place_figure(seed, "Front", SIZE))
        assert room.shape == (*SIZE, 3) and room.min() >= 0 and room.max() <= 1
        assert room.mean() > 0.25  # the light falls on paper, not on black


@pytest.mark.parametrize("view", VIEWS)
def test_the_mannequin_stands_whole_in_the_frame(view):
    for seed in range(6):
        place = place_figure(seed, view, SIZE)
        figure = paint_mannequin(design_mannequin(seed), place, design_light(seed))
        assert 0.04 < figure.alpha.mean() < 0.2
        assert figure.alpha[0].max() == 0 and figure.alpha[:, 0].max() == 0 and figure.alpha[-1].max() == 0
        assert (figure.rgb <= figure.alpha[..., None] + 1e-5).all()


def test_the_turned_torso_is_narrower():
    def width(view):
        place = place_figure(0, view, (432, 288))
        alpha = paint_mannequin(design_mannequin(0), place, design_light(0)).alpha
        return alpha[round(place.neck_px + 0.24 * place.unit_px)].sum()

    assert width("FrontRight") < 0.95 * width("Front")
    assert width("Back") == pytest.approx(width("Front"), rel=0.03)


def test_the_lens_blurs_photo_and_alpha_alike():
    alpha = np.zeros((200, 120), np.float32)
    alpha[60:140, 30:90] = 1
    grey = np.repeat(alpha[..., None], 3, axis=2) * 0.9
    rgb, blurred = expose(grey, alpha, design_light(4), seed=4, view="Front")
    assert rgb.dtype == np.uint8 and blurred.dtype == np.float32
    assert abs(float(blurred.sum() - alpha.sum())) < 1e-2
    soft = (blurred > 0.001) & (blurred < 0.999)
    assert soft.sum() <= 2 * 2 * (80 + 60) + 8  # one pixel on each side of the edge
    inner = np.median(rgb[80:120, 50:70].astype(float))
    assert abs(np.corrcoef(rgb[55:65, 60, 1] / inner, blurred[55:65, 60])[0, 1]) > 0.99


def test_each_view_has_noise_of_its_own():
    flat = np.full((40, 40, 3), 0.5, np.float32)
    photos = [expose(flat, flat[..., 0], design_light(4), seed=4, view=view)[0] for view in ("Front", "Back", "Front")]
    assert (photos[0] != photos[1]).mean() > 0.2
    np.testing.assert_array_equal(photos[0], photos[2])
    assert photos[0].std() < 6
