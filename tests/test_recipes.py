"""The recipes that come with the repository."""

import tomllib
from pathlib import Path

import pytest
import torch

from garmentcut.model.networks import build_network
from garmentcut.recipe import STAGES, Recipe, load_recipe, recipe_toml, stage_recipe
from garmentcut.training.optim import Schedule, build_optimizer

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
NAMES = {
    "cutnet",
    "default",
    "finetune",
    "simple",
    "unet-128",
    "unet-256",
    "unet-512",
    "unet-1024",
}


@pytest.fixture(params=RECIPES, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_all_are_there():
    assert {path.stem for path in RECIPES} >= NAMES


def test_it_loads_and_its_whole_form_reads_back_equal(path, tmp_path):
    recipe = load_recipe(path)
    whole = tmp_path / "recipe.toml"
    whole.write_text(recipe_toml(recipe))
    assert load_recipe(whole) == recipe


def test_its_head_says_what_for_and_how_long(path):
    head = path.read_text().partition("\n\n")[0].splitlines()
    assert len(head) >= 3
    assert all(line.startswith("# ") for line in head)
    assert any(line.startswith("# Time: ") for line in head)
    recipe = load_recipe(path)
    assert f"{recipe.training.steps} steps of {recipe.training.batch} photos" in path.read_text()


def test_its_network_takes_its_size_and_can_be_trained(path):
    recipe = load_recipe(path)
    with torch.device("meta"):
        network = build_network(recipe.network.name, **recipe.network.options)
    assert all(side % network.multiple_of == 0 for side in recipe.data.size_hw)
    if recipe.data.window == "photo" and not recipe.stages.refine:
        assert recipe.data.size_hw[0] * 2 == recipe.data.size_hw[1] * 3


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ["default", "finetune"])
def test_each_stage_can_be_trained(name, stage):
    recipe = stage_recipe(load_recipe(Path(__file__).parents[1] / f"recipes/{name}.toml"), stage)
    with torch.device("meta"):
        network = build_network(recipe.network.name, **recipe.network.options)
    assert all(side % network.multiple_of == 0 for side in recipe.data.size_hw)
    assert recipe.data.window == {"locate": "photo", "segment": "garment", "refine": "edge"}[stage]
    assert not recipe.stages.refine


def test_optimizer_and_schedule_can_be_built(path):
    recipe = load_recipe(path)
    network = torch.nn.ModuleDict({"encoder": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 2)})
    network.encoder = network["encoder"]
    optimizer = build_optimizer(network, recipe.optimizer)
    assert Schedule(optimizer, recipe.schedule, recipe.training.steps).lr <= recipe.optimizer.lr


def test_the_default_recipe_is_the_default():
    """What is not about how photos are varied stands in the code's defaults too."""
    written = tomllib.loads((Path(__file__).parents[1] / "recipes/cutnet.toml").read_text())
    recipe, default = load_recipe(Path(__file__).parents[1] / "recipes/cutnet.toml"), Recipe()
    assert set(written) == {"network", "data", "augment", "loss", "optimizer", "schedule", "training"}
    assert recipe.network == default.network
    assert recipe.data == default.data
    assert recipe.optimizer == default.optimizer
    assert recipe.schedule == default.schedule


def test_the_u_nets_differ_in_size_and_length_only():
    recipes = [load_recipe(path) for path in RECIPES if path.stem.startswith("unet-")]
    for section in ("loss", "optimizer", "schedule"):
        assert len({repr(getattr(recipe, section)) for recipe in recipes}) == 1
