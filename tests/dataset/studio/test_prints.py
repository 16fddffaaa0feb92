import numpy as np
import pytest

from garmentcut.dataset.studio.fabric import PRINTS, TEXTURE_WIDTH, design_fabric
from garmentcut.dataset.studio.prints import look_up, paint_texture

SKIN, BACKDROP = np.full(3, 0.8, np.float32), np.full(3, 0.95, np.float32)


@pytest.mark.parametrize("name", PRINTS)
def test_every_print_paints_colours_and_density_in_range(name):
    texture = paint_texture(design_fabric(1, SKIN, BACKDROP, print_name=name), 120.0)
    assert texture.shape[2] == 4 and texture.dtype == np.float32
    assert texture.min() >= 0 and texture.max() <= 1
    varied = texture[..., :3].std(axis=(0, 1)).max() > 0.005
    assert varied == (name != "plain")
    assert (texture[..., 3].min() < 0.9) == (name == "lace")


def test_a_plain_fabric_has_the_chosen_colour():
    texture = paint_texture(design_fabric(1, SKIN, BACKDROP, rgb=(0.2, 0.4, 0.6), print_name="plain"), 100.0)
    np.testing.assert_allclose(texture[..., :3].reshape(-1, 3).mean(axis=0), (0.2, 0.4, 0.6), atol=0.003)


def test_the_print_repeats_around_the_body():
    texture = paint_texture(design_fabric(2, SKIN, BACKDROP, print_name="stripes"), 100.0)
    around, down = np.linspace(-0.2, 0.2, 50), np.full(50, 0.4)
    np.testing.assert_allclose(
        look_up(texture, around, down), look_up(texture, around + TEXTURE_WIDTH, down), atol=1e-4
    )


def test_some_fabrics_resemble_the_mannequin_and_some_the_background():
    likenesses = [design_fabric(seed, SKIN, BACKDROP).likeness for seed in range(120)]
    assert 3 < likenesses.count("mannequin") < 25
    assert 3 < likenesses.count("background") < 30
