import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from garmentcut.dataset.manifest import read_manifest
from garmentcut.study.declare import (
    StudyError,
    at_edge,
    combinations,
    corners,
    distribution_of,
    drawn,
    read_study_file,
    variants_of,
    words_of,
)
from garmentcut.study.plan import open_study

FIRST = "[variants.one]\nfirst_pass = { variant"
WHOLE = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "one"
seeds = [0, 1]
folds = [0, 1]
[settings]
training.steps = 10
[tune]
seeds = [7]
folds = [2]
settings.training.steps = 5
[variants.one]
[variants.two]
optimizer.lr = 1e-3
tune.loss.dice = [1.0, 2.0]
[[published]]
who = "w"
dice = 0.99
convention = "not stated"
data = "d"
"""


def test_a_whole_file(study_file):
    file = read_study_file(study_file(WHOLE))
    assert list(file.variants) == ["one", "two"]
    assert file.variants["two"].by_key == {"optimizer.lr": 1e-3}
    assert file.variants["two"].tune.by_key == {"loss.dice": [1.0, 2.0]}
    assert file.settings.by_key == {"training.steps": 10}
    assert file.tune.settings.by_key == {"training.steps": 5}
    assert file.published[0].num_photos is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('reference = "one"', 'referense = "one"'), "referense: unknown key; did you mean reference?"),
        (('question = "q"', ""), "question is missing"),
        (("optimizer.lr", "optimiser.lr"), "variants.two.optimiser: unknown key; did you mean optimizer?"),
        (
            ("[variants.one]", "[variants.one]\ngarment = 3"),
            "one.garment: unknown key; did you mean garments?",
        ),
        (("[settings]", "[setting]"), "setting: unknown key; did you mean settings?"),
        (("[settings]", "[settings]\nopt.lr = 3"), "settings.opt: unknown key; did you mean optimizer?"),
        (("seeds = [7]", "seed = [7]"), "tune.seed: unknown key; did you mean seeds?"),
        (('who = "w"', 'whom = "w"'), "whom: unknown key; did you mean who?"),
        (("seeds = [0, 1]", "seeds = [0, 0]"), "seeds: give each only once"),
        (("seeds = [0, 1]", "seeds = []"), "seeds"),
        (("seeds = [0, 1]", "seeds = 5"), "seeds: should be a list such as [5], not 5"),
        (("folds = [0, 1]", 'folds = ["a"]'), "folds: Input should be a valid integer, not 'a'"),
        (("seeds = [7]", "seeds = [1]"), "tune.seeds: 1 is in the report, so nothing may be tuned on it"),
        (("folds = [2]", "folds = [0]"), "tune.folds: 0 is in the report"),
        (("folds = [2]", "folds = []"), "variant 'two' is tuned: give its seeds and folds in [tune]"),
        (("[variants.one]", "[grid]\noptimizer.lr = [1, 2]\n[variants.one]"), "a [grid], not both"),
        (("[settings]", 'defaults = ["augmnt"]\n[settings]'), "defaults: 'augmnt' is none of network"),
        (("dice = 0.99", "dice = 99"), "published.0.dice"),
        (
            ("[variants.one]", '[variants.one]\nfirst_pass = { variant = "none" }'),
            "first_pass.variant: 'none' is not a one-pass variant",
        ),
        (
            ("[variants.one]", '[variants.one]\nfirst_pass = { variant = "two" }'),
            "neither of the two variants can be tuned",
        ),
        (("title", "title = "), "study.toml: "),
    ],
)
def test_errors_name_the_key_and_the_fix(study_file, change, says):
    path = study_file(WHOLE.replace(*change, 1))
    with pytest.raises(StudyError) as error:
        read_study_file(path)
    assert str(error.value).startswith(str(path))
    assert says in str(error.value)


def test_what_variants_were_called_first_stays_readable(study_file):
    old = WHOLE.replace("[variants.", "[arms.") + '[arms.three]\nfirst_pass = { arm = "one" }\n'
    file = read_study_file(study_file(old))
    assert list(file.variants) == ["one", "two", "three"]
    assert file.variants["three"].first_pass.variant == "one"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(StudyError, match=r"none\.toml: No such file"):
        read_study_file(tmp_path / "none.toml")


@pytest.fixture
def variants(study_file, study_head):
    def make(text, **options):
        path = study_file(study_head + text)
        return {variant.name: variant for variant in variants_of(read_study_file(path), path, **options)}

    return make


def test_what_lies_over_what(variants, tmp_path):
    (tmp_path / "other.toml").write_text('[network]\nname = "simple"\nstart = "scratch"\n[optimizer]\nlr = 0.5\n')
    found = variants(
        """
        [tune]
        seeds = [9]
        folds = [1]
        settings.training.steps = 2
        [settings]
        loss.dice = 3.0
        loss.bce = 0.25
        [variants.two]
        recipe = "other.toml"
        loss.bce = 0.5
        tune.optimizer.weight_decay = [0.0, 0.1]
        [variants.one]
        """,
        above={"training.batch": 7},
    )
    assert list(found) == ["one", "two"]  # the reference first
    recipe = found["two"].recipe(5, {"optimizer.weight_decay": 0.1})
    assert (recipe.loss.dice, recipe.loss.bce, recipe.optimizer.lr) == (3.0, 0.5, 0.5)
    assert (recipe.training.batch, recipe.training.seed, recipe.optimizer.weight_decay) == (7, 5, 0.1)
    assert found["one"].recipe(0).optimizer.lr == 1e-2
    assert found["one"].recipe(0).training.steps == 4
    assert found["two"].recipe(0, tuning=True).training.steps == 2
    assert list(found["two"].attempts.values()) == [{"optimizer.weight_decay": value} for value in (0.0, 0.1)]


def test_sections_set_back_to_defaults(study_file, study_head):
    path = study_file(
        study_head + 'defaults = ["optimizer"]\n[variants.one]\n[variants.two]\noptimizer.lr = 0.3\n',
    )
    one, two = variants_of(read_study_file(path), path)
    assert one.recipe(0).optimizer.lr == 2e-3
    assert two.recipe(0).optimizer.lr == 0.3


def test_a_grid_makes_variants(study_file, study_head):
    head = study_head.replace('"one"', '"dice 2, lr 0.1"')
    text = head + "[grid]\noptimizer.lr = [0.01, 0.1]\nloss.dice = [1.0, 2.0]\n"
    path = study_file(text)
    found = variants_of(read_study_file(path), path)
    assert [variant.name for variant in found] == [
        "dice 2, lr 0.1",
        "dice 1, lr 0.01",
        "dice 1, lr 0.1",
        "dice 2, lr 0.01",
    ]
    assert found[0].recipe(0).optimizer.lr == 0.1
    assert found[0].folder == "dice-2-lr-0.1"


def test_only_some(variants):
    assert list(
        variants("[variants.two]\nloss.dice = 2\n[variants.one]\n[variants.three]\nloss.dice = 3\n", only=["two"])
    ) == [
        "one",
        "two",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[variants.one]\noptimizer.lrr = 1", "variant 'one': optimizer.lrr: unknown key; did you mean"),
        ("[variants.one]\noptimizer.lr = 'x'\n[variants.two]", "variant 'one': .*optimizer.lr"),
        ("[variants.two]\n", "there is no variant 'one'; there is two"),
        ("[variants.one]\n[variants.two]\n", "variants 'one' and 'two' are the same"),
        ("[variants.one]\n[variants.One]\nloss.dice = 2\n", "names too alike"),
        (
            "[variants.one]\ndata.size_hw = [97, 64]\n",
            "data.size_hw = .97, 64.: simple needs multiples of 2",
        ),
        ('[variants.one]\nnetwork.name = "simpl"\nnetwork.options = {}\n', "did you mean simple"),
        ("[variants.one]\ntraining.patience = 2\n", "training.patience must be 0 in a study"),
        ('[variants.one]\nrecipe = "stages.toml"\n', "compares single networks, and stages.toml trains three stages"),
        ("[variants.one]\n[variants.'!']\nloss.dice = 2\n", "a name needs letters or digits"),
        ('[variants.one]\n[variants.two]\nrecipe = "none.toml"\n', "none.toml: "),
        (
            "[tune]\nseeds=[9]\nfolds=[9]\n[variants.one]\ntune.optimizer.lr = 3\n",
            "variants.one: tune: 3 is neither a list",
        ),
        ("[tune]\nseeds=[9]\nfolds=[9]\n[variants.one]\ntune.optimizer.lr = [1, 0]\n", "variant 'one': .*optimizer.lr"),
        (
            "[tune]\nseeds=[9]\nfolds=[9]\n[variants.one]\ntune.loss.dice = [1.00001, 1.00002]\n",
            "cannot be told apart",
        ),
        (
            "[tune]\nseeds=[9]\nfolds=[9]\n[variants.one]\ntune.network.start = ['a/b', 'A b']\n",
            "two settings read 'start-a-b' and cannot be told apart",
        ),
        (
            "[tune]\nseeds=[9]\nfolds=[9]\n[variants.one]\nrange_test = true\ntune.loss.dice = [1, 2]\n",
            "exclude each other",
        ),
    ],
)
def test_what_cannot_be_run_is_said_beforehand(variants, tmp_path, text, says):
    (tmp_path / "stages.toml").write_text('base = "default"\n')
    with pytest.raises(StudyError, match=says):
        variants(text)


@pytest.mark.parametrize(
    ("above", "says"),
    [
        ({"training.seed": "3"}, "a study says its seeds"),
        ({"loss.dice": "3"}, "it is what the variants differ in"),
        ({"optimizer.lr": "3"}, "variant 'two' tunes it"),
    ],
)
def test_what_cannot_be_set_over_everything(variants, above, says):
    text = (
        "[tune]\nseeds=[9]\nfolds=[9]\n[variants.one]\n[variants.two]\nloss.dice = 2\ntune.optimizer.lr = [0.1, 0.2]\n"
    )
    with pytest.raises(StudyError, match=says):
        variants(text, above=above)


LOG = {"low": 1e-4, "high": 1e-2, "log": True}


def test_every_combination_the_last_changing_first():
    found = combinations({"a.x": [1, 2], "b.y": ["p", "q"]})
    assert found == [{"a.x": x, "b.y": y} for x in (1, 2) for y in ("p", "q")]
    assert combinations({}) == [{}]


def test_corners_hold_every_value_and_both_ends():
    found = corners({"a.x": [1, 2, 3], "b.y": LOG})
    assert found == [{"a.x": 1, "b.y": 1e-4}, {"a.x": 2, "b.y": 1e-2}, {"a.x": 3, "b.y": 1e-2}]


def test_what_optuna_draws_from():
    assert distribution_of(LOG) == FloatDistribution(1e-4, 1e-2, log=True)
    assert distribution_of({"low": 1, "high": 8}) == IntDistribution(1, 8)
    assert distribution_of([[1, 2], "x"]) == CategoricalDistribution(["[1, 2]", '"x"'])
    assert drawn({"a.x": 0.001, "b.y": "[1, 2]"}) == {"a.x": 0.001, "b.y": [1, 2]}


@pytest.mark.parametrize(
    "value",
    [
        3,
        [],
        {"low": 1},
        {"low": 2, "high": 1},
        {"low": math.nan, "high": 1.0},
        {"low": 0, "high": 1, "log": True},
        {"low": 1, "high": 2, "log": 1},
        {"low": "a", "high": "b"},
    ],
)
def test_what_cannot_be_tuned(value):
    with pytest.raises(StudyError):
        distribution_of(value)


def test_words():
    assert words_of({"optimizer.lr": 0.00031234, "optimizer.name": "adam"}) == "lr 0.0003123, name adam"
    assert words_of({"optimizer.name": "adam", "network.name": "unet"}) == "optimizer.name adam, network.name unet"
    assert words_of({"data.size_hw": [768, 512], "augment.zoom": {"p": 0.5, "amount": 0.3}}) == (
        "size_hw 768x512, zoom p 0.5 amount 0.3"
    )
    assert words_of({"training.compile": True}) == "compile true"
    assert words_of({"a.resampling": ["area", "linear"]}) == "resampling area/linear"


@pytest.mark.parametrize(
    ("chosen", "tuned", "is_edge"),
    [
        (1e-4, [1e-4, 1e-3, 1e-2], True),
        (1e-3, [1e-4, 1e-3, 1e-2], False),
        (1e-2, [1e-4, 1e-2], True),
        ("adam", ["adam", "sgd"], False),
        (1.02e-4, LOG, True),
        (9.5e-3, LOG, True),
        (1e-3, LOG, False),
        (0.02, {"low": 0.0, "high": 1.0}, True),
        (0.5, {"low": 0.0, "high": 1.0}, False),
    ],
)
def test_the_edge_of_what_was_tried(chosen, tuned, is_edge):
    assert bool(at_edge({"a.x": chosen}, {"a.x": tuned})) == is_edge


ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "studies").glob("*.toml"))


@pytest.fixture(scope="module")
def many(dataset):
    """The rows of 160 garments in five folds; there are no such photos."""
    manifest = read_manifest(dataset)
    pairs = [
        replace(
            manifest.pairs[number % 9],
            name=f"g{number}_Front",
            garment=f"g{number}",
            group=f"g{number}",
            split=f"fold{number % 5}",
            photo_sha256=f"{number:064d}",
        )
        for number in range(160)
    ]
    return replace(manifest, pairs=tuple(pairs), scheme="folds 5")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_variants_recipe_loads_and_its_network_takes_the_photos(path, many, tmp_path):
    study = open_study(path, many, tmp_path)
    assert len(study.variants) >= 2
    assert study.file.question.endswith("?")
    if path.stem not in ("networks", "smoke"):
        assert len(study.file.seeds) >= 2


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_its_head_says_what_it_is(path):
    assert path.read_text().startswith("# ")


def test_the_documentation_lists_each_and_its_result():
    page = (ROOT / "docs/studies.md").read_text()
    assert set(re.findall(r"`studies/([\w-]+)\.toml`", page)) == {path.stem for path in STUDIES}


def test_the_kinds_of_augmentation_add_up_to_all_of_them(many, tmp_path):
    study = open_study(ROOT / "studies/augmentation.toml", many, tmp_path)
    own = {variant.name: variant.table.by_key for variant in study.variants}
    every, single = own.pop("all"), {}
    without = own.pop("all but rotation")
    for setting in own.values():
        single |= setting
    assert single == every
    assert {key: value for key, value in every.items() if "rotation" not in key} == without
    assert own["none"] == {}
    assert all(strength.p == 0 for strength in vars(study.variants[0].recipe(0).augment).values())
