import pytest

from garmentcut.dataset.studio.figure import paint_mannequin
from garmentcut.dataset.studio.furniture import STUDIOS
from garmentcut.dataset.studio.mannequin import design_mannequin
from garmentcut.dataset.studio.placement import VIEWS, design_light, place_figure
from garmentcut.dataset.studio.scene import design_scene, paint_scene

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
