import numpy as np
import pytest

from garmentcut.dataset.studio.composition import compose
from garmentcut.dataset.studio.fabric import design_fabric
from garmentcut.dataset.studio.figure import paint_mannequin
from garmentcut.dataset.studio.garment import design_garment, pick_kind
from garmentcut.dataset.studio.mannequin import design_mannequin
from garmentcut.dataset.studio.placement import design_light, place_figure
from garmentcut.dataset.studio.scene import design_scene, paint_scene


@pytest.fixture(scope="module", params=[(3, "Front"), (4, "FrontRight"), (300, "Back")])
def picture(request):
    seed, view = request.param
    place = place_figure(seed, view, (288, 192))
    light, scene, mannequin = design_light(seed), design_scene(seed), design_mannequin(seed)
    fabric = design_fabric(seed, mannequin.skin, scene.backdrop)
    garment = design_garment(seed, pick_kind(seed), mannequin.torso, fabric)
    figure = paint_mannequin(mannequin, place, light)
    return compose(garment, figure, paint_scene(scene, place), place, light, seed=seed)


def test_the_picture_is_garment_over_all_else_by_alpha(picture):
    again = picture.garment_rgb + (1 - picture.alpha[..., None]) * picture.behind
    np.testing.assert_allclose(again, picture.rgb, atol=2e-6)


def test_all_parts_stay_in_range(picture):
    for part in (picture.rgb, picture.alpha, picture.garment_rgb, picture.behind):
        assert part.min() >= 0 and part.max() <= 1 + 1e-6
    assert (picture.garment_rgb <= picture.alpha[..., None] + 1e-6).all()


def test_nothing_of_the_garment_lies_outside_alpha(picture):
    assert picture.garment_rgb[picture.alpha == 0].max() == 0
