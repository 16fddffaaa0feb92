from dataclasses import replace

import pytest

from garmentcut.dataset.manifest import Manifest, fault_of
from garmentcut.errors import TrainingError
from garmentcut.training.divisions import divide, divide_all, fold_names, without_wrong


def names_of(pairs):
    return {pair.name for pair in pairs}


@pytest.fixture
def parts(manifest):
    """The same pairs, two in each of train, validation and test."""
    named = dict(zip(("fold0", "fold1", "fold2"), ("train", "validation", "test"), strict=True))
    return Manifest(manifest.folder, tuple(replace(pair, split=named[pair.split]) for pair in manifest.pairs))


def test_a_fold_is_held_out_and_the_others_learned_from(manifest):
    division = divide(manifest, "1")
    assert names_of(division.validation) == names_of(manifest.of("fold1"))
    assert names_of(division.train) == names_of(manifest.of("fold0", "fold2"))
    assert (division.name, division.held_out) == ("fold1", ("fold1",))


def test_the_first_fold_where_none_is_named(manifest):
    assert divide(manifest).held_out == ("fold0",)


def test_folds_are_numbers_whatever_zeros_stand_before_them(manifest):
    renamed = Manifest(manifest.folder, tuple(replace(p, split=f"fold{int(p.split[4:]):02}") for p in manifest.pairs))
    assert divide(renamed, "1").held_out == divide(renamed, "01").held_out == ("fold01",)


def test_every_fold_in_its_turn(manifest):
    assert [division.name for division in divide_all(manifest, "all")] == ["fold0", "fold1", "fold2"]
    assert fold_names(manifest) == ("fold0", "fold1", "fold2")
    assert len(divide_all(manifest, "2")) == 1


def test_nothing_is_held_out_for_production(manifest):
    division = divide(manifest, "none")
    assert division.train == manifest.usable
    assert set(division.validation) <= set(division.train)
    assert division.held_out == ()


def test_few_of_many_photos_are_looked_at_and_every_view_is_among_them(manifest):
    views = ("Front", "FrontRight", "Back")
    many = [replace(manifest.pairs[0], name=f"{g:03}_{view}", view=view) for g in range(40) for view in views]
    looked_at = divide(Manifest(manifest.folder, tuple(many)), "none").validation
    assert len(looked_at) <= 12
    assert {pair.view for pair in looked_at} == set(views)


def test_train_and_validation(parts):
    division = divide(parts)
    assert names_of(division.train) == names_of(parts.of("train"))
    assert names_of(division.validation) == names_of(parts.of("validation"))
    assert division.held_out == ("validation", "test")


def test_the_test_split_is_never_learned_from(parts):
    division = divide(parts, validation="train")
    assert names_of(division.train) == names_of(parts.of("validation"))
    assert division.held_out == ("train", "test")
    assert divide(parts, validation="test").held_out == ("test",)


def test_refused_pairs_are_left_out(manifest):
    refused = replace(manifest.pairs[0], split="", faults=(fault_of("empty", "nothing in it"),))
    with_refused = Manifest(manifest.folder, (refused, *manifest.pairs[1:]))
    for fold in ("0", "none"):
        division = divide(with_refused, fold)
        assert refused.name not in names_of(division.train) | names_of(division.validation)


@pytest.mark.parametrize(
    ("fold", "validation", "says"),
    [
        ("7", None, "no split 'fold7'; it has fold0, fold1, fold2"),
        ("first", None, "no split 'foldfirst'"),
        (None, "test", "no split 'test'"),
        ("0", "fold1", "give one of them"),
        ("all", "fold1", "give one of them"),
    ],
)
def test_what_is_not_there_is_named(manifest, fold, validation, says):
    with pytest.raises(TrainingError, match=says):
        divide_all(manifest, fold, validation=validation)


def test_folds_of_a_data_set_without(parts):
    for fold in ("0", "all"):
        with pytest.raises(TrainingError, match="has no folds; its splits are test, train, validation"):
            divide_all(parts, fold)


def test_one_side_without_a_pair(manifest):
    alone = Manifest(manifest.folder, tuple(replace(pair, split="fold0") for pair in manifest.pairs))
    with pytest.raises(TrainingError, match="no pair to learn from"):
        divide(alone)
    with pytest.raises(TrainingError, match="no usable pair"):
        divide(Manifest(manifest.folder, ()), "none")


def test_nothing_is_learned_from_what_is_marked_wrong_but_it_is_measured(manifest):
    wrong = {manifest.usable[0].name, manifest.of("fold1")[0].name}
    pairs = tuple(replace(pair, verdict="wrong" if pair.name in wrong else "right") for pair in manifest.pairs)
    division = divide(replace(manifest, pairs=pairs), "1")
    left = without_wrong(division)
    assert names_of(division.train) - names_of(left.train) == wrong & names_of(division.train)
    assert left.validation == division.validation
    all_wrong = tuple(replace(pair, verdict="wrong") for pair in manifest.pairs)
    with pytest.raises(TrainingError, match=r"marked wrong; set data\.wrong_weight above 0"):
        without_wrong(divide(replace(manifest, pairs=all_wrong), "1"))
