"""A study's folder is for one data set and one study."""

from dataclasses import replace

import pytest

from garmentcut.study.declaration import StudyError
from garmentcut.study.kept import check_recipes, claim_folder
from garmentcut.study.plan import Choice
from garmentcut.study.tuning import Chosen

NOTHING = {name: Chosen({}, None, 0, 0) for name in ("fast", "slow")}


def test_the_same_study_comes_back(make_study):
    study = make_study()
    claim_folder(study)
    claim_folder(study)


def test_something_else_is_there(make_study, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/photo.jpg").write_text("x")
    with pytest.raises(StudyError, match="not empty, and not a study's"):
        claim_folder(make_study())


def test_other_pairs_or_splits(make_study):
    study = make_study()
    claim_folder(study)
    manifest = study.manifest
    fewer = replace(manifest, pairs=manifest.pairs[:-1])
    first, *rest = manifest.pairs
    elsewhere = "fold1" if first.split == "fold0" else "fold0"
    moved = replace(manifest, pairs=(replace(first, split=elsewhere), *rest))
    for other, says in ((fewer, "the pairs have changed"), (moved, "the splits have changed")):
        with pytest.raises(StudyError, match=says):
            claim_folder(replace(study, manifest=other))


def test_a_folder_that_cannot_be_made(make_study, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StudyError, match="choose another --out"):
        claim_folder(make_study())


def test_runs_of_other_settings_are_not_passed_off_as_these(make_study):
    study = make_study()
    run = study.run_of(study.cells[0], {})
    run.write({})
    check_recipes(study, NOTHING)
    changed = make_study(choice=Choice(settings={"training.steps": 9}))
    with pytest.raises(StudyError, match=r"other runs of arm 'fast': training.steps was 4, is 9\. Choose another"):
        check_recipes(changed, NOTHING)
    check_recipes(changed, {})  # nothing is known yet of what it is to be
