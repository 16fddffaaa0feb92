"""What a study file may say, and what is said of one that may not."""

import pytest

from garmentcut.study.declaration import StudyError, read_study_file

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
[arms.one]
[arms.two]
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
    assert list(file.arms) == ["one", "two"]
    assert file.arms["two"].by_key == {"optimizer.lr": 1e-3}
    assert file.arms["two"].tune.by_key == {"loss.dice": [1.0, 2.0]}
    assert file.settings.by_key == {"training.steps": 10}
    assert file.tune.settings.by_key == {"training.steps": 5}
    assert file.published[0].num_photos is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('reference = "one"', 'referense = "one"'), "referense: unknown key; did you mean reference?"),
        (('question = "q"', ""), "question is missing"),
        (("optimizer.lr", "optimiser.lr"), "arms.two.optimiser: unknown key; did you mean optimizer?"),
        (("[arms.one]", "[arms.one]\ngarment = 3"), "arms.one.garment: unknown key; did you mean garments?"),
        (("[settings]", "[setting]"), "setting: unknown key; did you mean settings?"),
        (("seeds = [7]", "seed = [7]"), "tune.seed: unknown key; did you mean seeds?"),
        (('who = "w"', 'whom = "w"'), "whom: unknown key; did you mean who?"),
        (("seeds = [0, 1]", "seeds = [0, 0]"), "seeds: each once"),
        (("seeds = [0, 1]", "seeds = []"), "seeds"),
        (("folds = [0, 1]", 'folds = ["a"]'), "folds.0"),
        (("seeds = [7]", "seeds = [1]"), "tune.seeds: 1 is reported on, so nothing may be chosen on it"),
        (("folds = [2]", "folds = [0]"), "tune.folds: 0 is reported on"),
        (("folds = [2]", "folds = []"), "arm 'two' is tuned: say on which seeds and folds in [tune]"),
        (("[arms.one]", "[grid]\noptimizer.lr = [1, 2]\n[arms.one]"), "and not both"),
        (("[settings]", 'defaults = ["augmnt"]\n[settings]'), "defaults: 'augmnt' is none of network"),
        (("dice = 0.99", "dice = 99"), "published.0.dice"),
        (("[arms.one]", '[arms.one]\nfirst_pass = { arm = "none" }'), "first_pass.arm: 'none' is no arm of one pass"),
        (("[arms.one]", '[arms.one]\nfirst_pass = { arm = "two" }'), "neither of the two arms can be tuned"),
        (("title", "title = "), "study.toml: "),
    ],
)
def test_errors_name_the_key_and_the_mend(study_file, change, says):
    path = study_file(WHOLE.replace(*change, 1))
    with pytest.raises(StudyError) as error:
        read_study_file(path)
    assert str(error.value).startswith(str(path))
    assert says in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(StudyError, match=r"none\.toml: No such file"):
        read_study_file(tmp_path / "none.toml")
