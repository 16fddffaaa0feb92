from dataclasses import fields
from pathlib import Path

import pytest

from garmentcut.config import ConfigError, known_keys
from garmentcut.recipe import Recipe, Strength, load_recipe, recipe_toml


def test_it_fits_on_a_page():
    assert len(fields(Recipe)) <= 8
    assert len(known_keys(Recipe)) <= 64


def test_a_written_recipe_reads_back_equal(tmp_path):
    given = {
        "network.options": {"channels": [8, 4], "light": True, "encoder": 'a "quoted"\\\tname\x7f'},
        "augment.zoom": {"p": 0.5, "amount": 0.3},
        "optimizer.lr": 1e-7,
    }
    recipe = load_recipe(None, given)
    (tmp_path / "recipe.toml").write_text(recipe_toml(recipe), encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.toml") == recipe
    assert recipe.augment.zoom == Strength(0.5, 0.3)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"training.step": "3"}, "training.step: unknown key; did you mean training.steps?"),
        ({"augment.colour": "{ p = 1, amount = 1 }"}, "augment.colour: unknown key"),
        ({"augment.zoom": "{ p = 1.5, amount = 1 }"}, "augment.zoom.p"),
        ({"augment.zoom": "{ p = 0.5 }"}, "augment.zoom.amount"),
        ({"optimizer.name": "adamx"}, "optimizer.name"),
        ({"optimizer.lr": "0"}, "optimizer.lr"),
        ({"loss.bce": "0", "loss.dice": "0"}, "at least one of bce"),
        ({"data.size_hw": "[1728]"}, "data.size_hw"),
        ({"training.batch": "true"}, "training.batch"),
    ],
)
def test_errors_name_the_key(overrides, says):
    with pytest.raises(ConfigError) as error:
        load_recipe(None, overrides)
    assert says in str(error.value)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[trainin]\nsteps = 3\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: trainin: unknown key; did you mean training\?"):
        load_recipe(path)


def test_every_shipped_recipe_loads():
    recipes = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
    assert {path.stem for path in recipes} >= {"cutnet", "cutnet-small", "simple", "unet-256"}
    for path in recipes:
        assert load_recipe(path).training.steps > 0
