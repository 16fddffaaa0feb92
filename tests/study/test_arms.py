"""Arms: complete recipes, checked before anything is trained."""

import pytest

from garmentcut.study.arms import arms_of
from garmentcut.study.declaration import StudyError, read_study_file

HEAD = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "one"
seeds = [0]
folds = [0]
"""


@pytest.fixture
def arms(study_file):
    def make(text, **options):
        path = study_file(HEAD + text)
        return {arm.name: arm for arm in arms_of(read_study_file(path), path, **options)}

    return make


def test_what_lies_over_what(arms, tmp_path):
    (tmp_path / "other.toml").write_text('[network]\nname = "simple"\nstart = "scratch"\n[optimizer]\nlr = 0.5\n')
    found = arms(
        """
        [tune]
        seeds = [9]
        folds = [1]
        settings.training.steps = 2
        [settings]
        loss.dice = 3.0
        loss.bce = 0.25
        [arms.two]
        recipe = "other.toml"
        loss.bce = 0.5
        tune.optimizer.weight_decay = [0.0, 0.1]
        [arms.one]
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
    assert found["two"].is_tuned
    assert not found["two"].is_searched


def test_sections_set_back_to_defaults(study_file):
    path = study_file(
        HEAD + 'defaults = ["optimizer"]\n[arms.one]\n[arms.two]\noptimizer.lr = 0.3\n',
    )
    one, two = arms_of(read_study_file(path), path)
    assert one.recipe(0).optimizer.lr == 2e-3
    assert two.recipe(0).optimizer.lr == 0.3


def test_a_grid_makes_arms(study_file):
    text = HEAD.replace('"one"', '"dice 2, lr 0.1"') + "[grid]\noptimizer.lr = [0.01, 0.1]\nloss.dice = [1.0, 2.0]\n"
    path = study_file(text)
    found = arms_of(read_study_file(path), path)
    assert [arm.name for arm in found] == ["dice 2, lr 0.1", "dice 1, lr 0.01", "dice 1, lr 0.1", "dice 2, lr 0.01"]
    assert found[0].recipe(0).optimizer.lr == 0.1
    assert found[0].folder == "dice-2-lr-0.1"


def test_only_some(arms):
    assert list(arms("[arms.two]\nloss.dice = 2\n[arms.one]\n[arms.three]\nloss.dice = 3\n", only=["two"])) == [
        "one",
        "two",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[arms.one]\noptimizer.lrr = 1", "arm 'one': .*base.toml: optimizer.lrr: unknown key; did you mean"),
        ("[arms.one]\noptimizer.lr = 'x'\n[arms.two]", "arm 'one': .*optimizer.lr"),
        ("[arms.two]\n", "there is no arm 'one'; there is two"),
        ("[arms.one]\n[arms.two]\n", "arms 'one' and 'two' are the same"),
        ("[arms.one]\n[arms.One]\nloss.dice = 2\n", "names too alike"),
        ("[arms.one]\ndata.size_hw = [97, 64]\n", "arm 'one': data.size_hw = .97, 64.: simple needs multiples of 2"),
        ('[arms.one]\nnetwork.name = "simpl"\nnetwork.options = {}\n', "did you mean simple"),
        ("[arms.one]\ntraining.patience = 2\n", "training.patience must be 0 in a study"),
        ("[arms.one]\n[arms.'!']\nloss.dice = 2\n", "a name needs letters or digits"),
        ('[arms.one]\n[arms.two]\nrecipe = "none.toml"\n', "none.toml: No such file"),
        ("[tune]\nseeds=[9]\nfolds=[9]\n[arms.one]\ntune.optimizer.lr = 3\n", "arm 'one', tune: 3 is neither"),
        ("[tune]\nseeds=[9]\nfolds=[9]\n[arms.one]\ntune.optimizer.lr = [1, 0]\n", "arm 'one': .*optimizer.lr"),
        (
            "[tune]\nseeds=[9]\nfolds=[9]\n[arms.one]\ntune.loss.dice = [1.00001, 1.00002]\n",
            "cannot be told apart",
        ),
        (
            "[tune]\nseeds=[9]\nfolds=[9]\n[arms.one]\nrange_test = true\ntune.loss.dice = [1, 2]\n",
            "do not go together",
        ),
    ],
)
def test_what_cannot_be_run_is_said_beforehand(arms, text, says):
    with pytest.raises(StudyError, match=says):
        arms(text)


@pytest.mark.parametrize(
    ("above", "says"),
    [
        ({"training.seed": "3"}, "a study says its seeds"),
        ({"loss.dice": "3"}, "it is what the arms differ in"),
        ({"optimizer.lr": "3"}, "arm 'two' tunes it"),
    ],
)
def test_what_cannot_be_set_over_everything(arms, above, says):
    text = "[tune]\nseeds=[9]\nfolds=[9]\n[arms.one]\n[arms.two]\nloss.dice = 2\ntune.optimizer.lr = [0.1, 0.2]\n"
    with pytest.raises(StudyError, match=says):
        arms(text, above=above)
