from dataclasses import fields, replace
from pathlib import Path

import pytest

from garmentcut.config import known_keys
from garmentcut.errors import ConfigError
from garmentcut.recipe import STAGES, Recipe, Strength, load_recipe, recipe_toml, stage_recipe


def test_it_fits_on_a_page():
    assert len(fields(Recipe)) <= 8
    assert len(known_keys(Recipe)) <= 78


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
        ({"augment.shift": "{ p = 0.5 }"}, "augment.shift.amount is missing"),
        ({"augment.colour": "{ p = 1, amount = 1 }"}, "augment.colour: unknown key"),
        ({"augment.zoom": "{ p = 1.5, amount = 1 }"}, "augment.zoom.p"),
        ({"augment.zoom": "{ p = 0.5 }"}, "augment.zoom.amount"),
        ({"optimizer.name": "adamx"}, "optimizer.name"),
        ({"optimizer.lr": "0"}, "optimizer.lr"),
        ({"loss.bce": "0", "loss.dice": "0"}, "at least one of bce"),
        ({"data.size_hw": "[1728]"}, "data.size_hw"),
        ({"training.batch": "true"}, "training.batch"),
        ({"optimizer.lr": "true"}, "optimizer.lr"),
        ({"augment.flip": "{ p = true, amount = 1 }"}, "augment.flip.p"),
    ],
)
def test_errors_name_the_key(overrides, says):
    with pytest.raises(ConfigError) as error:
        load_recipe(None, overrides)
    assert says in str(error.value)


def test_a_wrong_key_of_any_stage_is_named_at_once():
    with pytest.raises(ConfigError, match=r"stages\.refine: training\.stepz: unknown key; did you mean training\.ste"):
        load_recipe(Path("finetune"), {"stages.refine.training.stepz": "4"})


def test_a_stage_has_no_stages():
    with pytest.raises(ConfigError, match=r"stages\.segment\.stages: a stage has no stages"):
        load_recipe(Path("finetune"), {"stages.segment.stages.folds": "4"})


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[trainin]\nsteps = 3\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: trainin: unknown key; did you mean training\?"):
        load_recipe(path)


def written(path, text):
    path.write_text(text)
    return path


def test_a_recipe_says_only_what_differs_from_its_base(tmp_path):
    (tmp_path / "below").mkdir()
    written(tmp_path / "below/ground.toml", "[network]\nname = 'unet'\noptions = { size = 128 }\n[loss]\nl1 = 0.5\n")
    middle = "base = 'below/ground.toml'\n[network]\nname = 'cutnet'\noptions = {}\n[training]\nsteps = 7\n"
    written(tmp_path / "middle.toml", middle)
    top = written(tmp_path / "top.toml", "base = 'middle.toml'\n[training]\nbatch = 5\n")
    recipe = load_recipe(top, {"training.seed": "3"})
    assert (recipe.network.name, recipe.network.options, recipe.loss.l1) == ("cutnet", {}, 0.5)
    assert (recipe.training.steps, recipe.training.batch, recipe.training.seed) == (7, 5, 3)


def test_a_built_in_recipe_goes_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = load_recipe(Path(__file__).parents[1] / "recipes/cutnet.toml")
    assert load_recipe(Path("cutnet")) == whole
    mine = written(tmp_path / "mine.toml", "base = 'cutnet'\n[training]\nsteps = 3\n")
    assert load_recipe(mine) == replace(whole, training=replace(whole.training, steps=3))
    written(tmp_path / "cutnet", "[training]\nsteps = 9\n")  # a file of one's own goes first
    assert load_recipe(Path("cutnet")).training.steps == 9


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base = 'top.toml'\n", "top.toml is itself based on this recipe"),
        ("base = 'cutnett'\n", "cutnett: there is no such file; built in are "),
        ("base = 3\n", "base should be the file or the name of a recipe, not 3"),
        ("base = 'cutnet'\ntraining = 3\n", "training"),
        ("[training]\nbase = 'cutnet'\n", "training.base: unknown key"),
    ],
)
def test_what_a_recipe_cannot_build_on(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        load_recipe(written(tmp_path / "top.toml", text))


def test_old_names_of_keys_are_read_and_their_new_ones_told(tmp_path, caplog):
    old = written(tmp_path / "old.toml", "[loss]\nrim_weight = 2.0\n")
    recipe = load_recipe(old, {"loss.rim_px": "9"})
    assert (recipe.loss.edge_weight, recipe.loss.edge_px) == (2.0, 9)
    assert "loss.rim_weight is called loss.edge_weight now" in caplog.text
    assert "loss.rim_px is called loss.edge_px now" in caplog.text


def test_every_shipped_recipe_loads():
    recipes = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
    assert {path.stem for path in recipes} >= {"default", "cutnet", "simple", "unet-256"}
    for path in recipes:
        assert load_recipe(path).training.steps > 0


def test_a_recipe_builds_on_each_stage_of_another(tmp_path):
    (tmp_path / "below.toml").write_text(
        "[stages.locate.data]\nsize_hw = [96, 64]\n[stages.segment.data]\nsize_hw = [64, 64]\n"
        "[stages.segment.training]\nsteps = 5\n[stages.refine.training]\nsteps = 7\n"
    )
    (tmp_path / "above.toml").write_text('base = "below.toml"\n[stages.segment.training]\nbatch = 3\n')
    recipe = load_recipe(tmp_path / "above.toml")
    segment = stage_recipe(recipe, "segment")
    assert segment.data.size_hw == (64, 64)
    assert (segment.training.steps, segment.training.batch) == (5, 3)
    assert stage_recipe(recipe, "locate").data.size_hw == (96, 64)


def test_a_stage_that_starts_from_the_embedded_model_starts_from_its_own_stage():
    recipe = load_recipe(
        None, {"network.start": "default", **{f"stages.{name}": {"training": {"steps": 1}} for name in STAGES}}
    )
    assert [stage_recipe(recipe, name).network.start for name in STAGES] == [f"default/{name}" for name in STAGES]


def test_stages_are_all_or_none():
    with pytest.raises(ConfigError, match="all of locate, segment and refine"):
        load_recipe(None, {"stages.refine": {"training": {"steps": 1}}})
