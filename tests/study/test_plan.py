"""A study on a data set."""

import pytest

from garmentcut.dataset.manifest import read_manifest
from garmentcut.study.declaration import StudyError
from garmentcut.study.plan import Choice, open_study

SIZES = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "all"
seeds = [0, 1]
folds = [0]
[arms.all]
[arms.two]
garments = 2
[arms.five]
garments = 5
"""


def test_names_and_folders(make_study, tmp_path):
    study = make_study()
    cell = study.cells[1]
    assert (cell.key, cell.words) == ("slow/seed0-fold0", "slow, seed 0, fold 0")
    run = study.run_of(cell, {"loss.dice": 7.0})
    assert run.folder == tmp_path / "out/runs/slow/seed0-fold0"
    assert (run.recipe.loss.dice, run.recipe.training.seed, run.recipe.optimizer.lr) == (7.0, 0, 1e-9)
    assert run.division.held_out == ("fold0",)
    assert {pair.split for pair in run.division.train} == {"fold1", "fold2"}


def test_a_choice_of_parts(make_study):
    study = make_study(choice=Choice(seeds=(3,), folds=(2,), settings={"training.steps": "9"}))
    assert [cell.key for cell in study.cells] == ["fast/seed3-fold2", "slow/seed3-fold2"]
    assert study.run_of(study.cells[0], {}).recipe.training.steps == 9


def test_smaller_numbers_of_garments_are_among_larger_ones(make_study):
    study = make_study(SIZES)
    drawn = {}
    for cell in study.cells:
        division = study.division(cell.arm, cell.seed, cell.fold)
        drawn[cell.arm.name, cell.seed] = {pair.garment for pair in division.train}
        assert division.validation == study.divisions[0].validation
    for seed in (0, 1):
        assert [len(drawn[name, seed]) for name in ("two", "five", "all")] == [2, 5, 6]
        assert drawn["two", seed] < drawn["five", seed] < drawn["all", seed]
    assert drawn["two", 0] != drawn["two", 1]


def test_more_garments_than_there_are(make_study):
    with pytest.raises(StudyError, match="learns from 7 garments, fold 0 leaves 6"):
        make_study(SIZES.replace("garments = 5", "garments = 7"))


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (Choice(folds=(9,)), "has no split 'fold9'"),
        (Choice(arms=("none",)), "there is no arm 'none'"),
        (Choice(settings={"training.step": "1"}), "did you mean training.steps"),
    ],
)
def test_parts_that_are_not_there(make_study, choice, says):
    with pytest.raises(StudyError, match=says):
        make_study(choice=choice)


def test_seeds_that_it_is_tuned_on(make_study):
    text = SIZES.replace("garments = 2", "tune.loss.dice = [1, 2]") + "[tune]\nseeds = [5]\nfolds = [1]\n"
    with pytest.raises(StudyError, match=r"with these seeds and folds: tune\.seeds: 5 is reported on"):
        make_study(text, Choice(seeds=(5,)))


def test_a_second_pass_needs_its_first(study_file, dataset, tmp_path):
    text = """
    title = "t"
    question = "q"
    recipe = "base.toml"
    reference = "plain"
    seeds = [0]
    folds = [0]
    [arms.plain]
    [arms.one]
    loss.dice = 2
    [arms.two]
    first_pass = { arm = "one" }
    """
    path, manifest = study_file(text), read_manifest(dataset)
    assert open_study(path, manifest, tmp_path).cells[-1].arm.name == "two"
    with pytest.raises(StudyError, match="arm 'two' needs arm 'one'"):
        open_study(path, manifest, tmp_path, Choice(arms=("two",)))
