import numpy as np
import pytest

from garmentcut.synthetic.fabric import (
    PRINTS,
    TEXTURE_WIDTH,
    design_fabric,
    design_folds,
    fold_relief,
    look_up,
    paint_texture,
)
from garmentcut.synthetic.garment import SILHOUETTES

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


def relief(name, theta, y, stiffness=1.0):
    folds = design_folds(5, SILHOUETTES[name][0], seam=0.25, hem=0.6, stiffness=stiffness)
    return fold_relief(folds, theta, y)


@pytest.mark.parametrize("name", SILHOUETTES)
def test_folds_close_behind_the_body(name):
    y = np.linspace(0.1, 0.6, 50)
    np.testing.assert_allclose(relief(name, np.full(50, -np.pi), y), relief(name, np.full(50, np.pi), y), atol=1e-5)


def test_hanging_folds_grow_towards_the_hem():
    theta = np.linspace(-np.pi, np.pi, 400)
    near_hem, near_seam = (relief("flared", theta, np.full(400, y)).std() for y in (0.6, 0.4))
    assert near_hem > 1.5 * near_seam


def test_full_skirts_fold_more_than_pencil_skirts_and_stiff_cloth_less():
    theta, y = np.linspace(-np.pi, np.pi, 400), np.full(400, 0.6)
    assert relief("full", theta, y).std() > 3 * relief("pencil", theta, y).std()
    assert relief("full", theta, y, stiffness=1.3).std() < relief("full", theta, y, stiffness=0.7).std()
