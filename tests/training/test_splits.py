from dataclasses import replace

import pytest

from garmentcut.dataset.manifest import Manifest, fault_of
from garmentcut.errors import TrainingError
from garmentcut.training.run import fold_names, training_split, training_splits, without_wrong


def names_of(pairs):
    return {pair.name for pair in pairs}


@pytest.fixture
def parts(manifest):
    """The same pairs, two in each of train, validation and test."""
    named = dict(zip(("fold0", "fold1", "fold2"), ("train", "validation", "test"), strict=True))
    return Manifest(manifest.folder, tuple(replace(pair, split=named[pair.split]) for pair in manifest.pairs))


def test_a_fold_is_held_out_and_the_others_learned_from(manifest):
    split = training_split(manifest, "1")
    assert names_of(split.validation) == names_of(manifest.of("fold1"))
    assert names_of(split.train) == names_of(manifest.of("fold0", "fold2"))
    assert (split.name, split.held_out) == ("fold1", ("fold1",))


def test_the_first_fold_where_none_is_named(manifest):
    assert training_split(manifest).held_out == ("fold0",)


def test_folds_are_numbers_whatever_zeros_stand_before_them(manifest):
    renamed = Manifest(manifest.folder, tuple(replace(p, split=f"fold{int(p.split[4:]):02}") for p in manifest.pairs))
    assert training_split(renamed, "1").held_out == training_split(renamed, "01").held_out == ("fold01",)


def test_every_fold_in_its_turn(manifest):
    assert [split.name for split in training_splits(manifest, "all")] == ["fold0", "fold1", "fold2"]
    assert fold_names(manifest) == ("fold0", "fold1", "fold2")
    assert len(training_splits(manifest, "2")) == 1


def test_nothing_is_held_out_for_production(manifest):
    split = training_split(manifest, "none")
    assert split.train == manifest.usable
    assert set(split.validation) <= set(split.train)
    assert split.held_out == ()


def test_few_of_many_photos_are_measured_and_every_view_is_among_them(manifest):
    views = ("Front", "FrontRight", "Back")
    many = [replace(manifest.pairs[0], name=f"{g:03}_{view}", view=view) for g in range(40) for view in views]
    looked_at = training_split(Manifest(manifest.folder, tuple(many)), "none").validation
    assert len(looked_at) <= 12
    assert {pair.view for pair in looked_at} == set(views)


def test_train_and_validation(parts):
    split = training_split(parts)
    assert names_of(split.train) == names_of(parts.of("train"))
    assert names_of(split.validation) == names_of(parts.of("validation"))
    assert split.held_out == ("validation", "test")


def test_the_test_split_is_never_learned_from(parts):
    split = training_split(parts, validation="train")
    assert names_of(split.train) == names_of(parts.of("validation"))
    assert split.held_out == ("train", "test")
    assert training_split(parts, validation="test").held_out == ("test",)


def test_a_fold_may_be_named_as_the_split_is(manifest):
    assert training_split(manifest, "fold1").held_out == training_split(manifest, "1").held_out == ("fold1",)


def test_refused_pairs_are_left_out(manifest):
    refused = replace(manifest.pairs[0], split="", faults=(fault_of("empty", "nothing in it"),))
    with_refused = Manifest(manifest.folder, (refused, *manifest.pairs[1:]))
    for fold in ("0", "none"):
        split = training_split(with_refused, fold)
        assert refused.name not in names_of(split.train) | names_of(split.validation)


@pytest.mark.parametrize(
    ("fold", "validation", "says"),
    [
        ("7", None, "no split 'fold7'; it has fold0, fold1, fold2"),
        ("first", None, "no split 'foldfirst'"),
        (None, "test", "no split 'test'"),
        ("0", "fold1", "give only one of them"),
        ("all", "fold1", "give only one of them"),
    ],
)
def test_what_is_not_there_is_named(manifest, fold, validation, says):
    with pytest.raises(TrainingError, match=says):
        training_splits(manifest, fold, validation=validation)


def test_folds_of_a_data_set_without(parts):
    for fold in ("0", "all"):
        with pytest.raises(TrainingError, match="has no folds; its splits are test, train, validation"):
            training_splits(parts, fold)


def test_one_side_without_a_pair(manifest):
    alone = Manifest(manifest.folder, tuple(replace(pair, split="fold0") for pair in manifest.pairs))
    with pytest.raises(TrainingError, match="no pair to learn from"):
        training_split(alone)
    with pytest.raises(TrainingError, match="no usable pair"):
        training_split(Manifest(manifest.folder, ()), "none")


def test_nothing_is_learned_from_what_is_marked_wrong_but_it_is_measured(manifest):
    wrong = {manifest.usable[0].name, manifest.of("fold1")[0].name}
    pairs = tuple(replace(pair, verdict="wrong" if pair.name in wrong else "right") for pair in manifest.pairs)
    split = training_split(replace(manifest, pairs=pairs), "1")
    left = without_wrong(split)
    assert names_of(split.train) - names_of(left.train) == wrong & names_of(split.train)
    assert left.validation == split.validation
    all_wrong = tuple(replace(pair, verdict="wrong") for pair in manifest.pairs)
    with pytest.raises(TrainingError, match=r"marked wrong; set data\.wrong_weight above 0"):
        without_wrong(training_split(replace(manifest, pairs=all_wrong), "1"))
