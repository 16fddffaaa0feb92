"""Pairing, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from garmentcut.study.comparison import DICE, SURFACE, compare, holm, pair_up
from garmentcut.study.plan import Choice

THREE = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "one"
seeds = [0, 1]
folds = [0, 1]
[arms.one]
[arms.two]
loss.dice = 2
[arms.three]
loss.dice = 3
"""


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def test_same_photo_same_fold_same_seed(make_study, results_of):
    study = make_study(THREE)
    names = sorted({pair.name for pair in study.manifest.of("fold0", "fold1")})

    def dice(cell, name):
        base = 0.5 + names.index(name) / 100 + cell.seed / 50 + cell.fold / 20
        return (
            base + {"one": 0.0, "two": 0.001 * (names.index(name) + 1) * (cell.seed + 1), "three": -0.1}[cell.arm.name]
        )

    results = results_of(study, dice)
    groups = {name: name for name in names}
    blocks = pair_up(results.of(study.arms[1]), results.of(study.arms[0]), groups)
    assert [block.values.shape for block in blocks[DICE]] == [(3, 2), (3, 2)]
    for fold, block in enumerate(blocks[DICE]):
        here = sorted(pair.name for pair in study.manifest.of(f"fold{fold}"))
        expected = [[0.001 * (names.index(name) + 1) * (seed + 1) for seed in (0, 1)] for name in here]
        np.testing.assert_allclose(block.values, expected, atol=1e-12)
        assert list(block.garments) == here
    np.testing.assert_allclose(blocks[SURFACE][0].values, 2 * blocks[DICE][0].values, atol=1e-12)
    one, two, three = compare(results)
    assert one.paired is None
    assert (one.num_done, one.num_runs, one.num_photos) == (4, 4, 6)
    mean = np.mean([score.measures.dice for run in results.of(study.arms[0]) for score in run.scores])
    assert one.mean == pytest.approx(mean)
    assert two.paired.dice.value == pytest.approx(np.mean([0.0015 * (k + 1) for k in range(6)]))
    assert (two.paired.better, two.paired.worse, two.paired.same) == (6, 0, 0)
    assert (three.paired.verdict, three.paired.dice.low) == ("worse", pytest.approx(-0.1))


def test_a_missing_run_leaves_no_verdict(make_study, results_of):
    study = make_study(THREE)

    def dice(cell, _):
        return None if (cell.arm.name, cell.seed, cell.fold) == ("two", 1, 0) else 0.9 + 0.01 * (cell.arm.name == "two")

    one, two, three = compare(results_of(study, dice))
    assert two.paired.verdict == "incomplete"
    assert (two.num_done, two.num_runs) == (3, 4)
    assert two.paired.dice.value == pytest.approx(0.01)
    assert three.paired.verdict == "no difference shown"
    assert one.mean == pytest.approx(0.9)


def test_nothing_in_common(make_study, results_of):
    study = make_study(THREE)
    rows = compare(results_of(study, lambda cell, _: None if cell.arm.name != "two" else 0.9))
    assert [row.paired for row in rows] == [None, None, None]
    assert rows[0].mean is None


def test_a_missing_run_of_the_reference_leaves_no_verdict_at_all(make_study, results_of):
    study = make_study(THREE)
    rows = compare(results_of(study, lambda cell, _: None if cell.key == "one/seed0-fold1" else 0.9))
    assert [row.paired.verdict for row in rows[1:]] == ["incomplete", "incomplete"]


def test_one_training_each_is_no_verdict_however_large_the_difference(make_study, results_of):
    study = make_study(THREE, Choice(seeds=(0,), folds=(0,)))
    rng = np.random.default_rng(0)
    rows = compare(results_of(study, lambda cell, _: 0.9 + 0.05 * (cell.arm.name == "two") + rng.normal(0, 1e-4)))
    assert rows[1].paired.dice.low > 0.04
    assert rows[1].paired.verdict == "one training each"


def test_look_alikes_count_as_one_garment(make_study, results_of):
    study = make_study(THREE, Choice(seeds=(0,), folds=(0,)))
    pairs = tuple(replace(pair, group="same") for pair in study.manifest.pairs)
    alike = replace(study, manifest=replace(study.manifest, pairs=pairs))
    rng = np.random.default_rng(0)
    rows = compare(results_of(alike, lambda *_: 0.9 + rng.normal(0, 0.01)))
    assert rows[1].paired.verdict == "too few garments"
