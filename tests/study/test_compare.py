from dataclasses import replace

import numpy as np
import pytest

from garmentcut.evaluation.intervals import Difference
from garmentcut.study.compare import (
    DICE,
    SURFACE,
    Paired,
    VariantResult,
    conclusions,
    fit_power_law,
    gather,
    headline,
    holm,
    interval_text,
    power_law,
    reach_of,
    signed,
)
from garmentcut.study.plan import Choice, Registry
from garmentcut.study.run import StudySession
from garmentcut.training.devices import Devices

THREE = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "one"
seeds = [0, 1]
folds = [0, 1]
[variants.one]
[variants.two]
loss.dice = 2
[variants.three]
loss.dice = 3
"""


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def test_same_photo_same_fold_same_seed(make_study, results_of):
    study = make_study(THREE)
    names = sorted({pair.name for pair in study.manifest.of("fold0", "fold1")})

    def dice(key, name):
        base = 0.5 + names.index(name) / 100 + key.seed / 50 + key.fold / 20
        return (
            base
            + {"one": 0.0, "two": 0.001 * (names.index(name) + 1) * (key.seed + 1), "three": -0.1}[key.variant.name]
        )

    results = results_of(study, dice)
    tables = {one.name: results.table(one, DICE) for one in study.variants}
    blocks = results.blocks([own - other for own, other in zip(tables["two"], tables["one"], strict=True)])
    assert [block.values.shape for block in blocks] == [(3, 2), (3, 2)]
    for fold, block in enumerate(blocks):
        here = [pair.name for pair in study.manifest.of(f"fold{fold}")]
        expected = [[0.001 * (names.index(name) + 1) * (seed + 1) for seed in (0, 1)] for name in here]
        np.testing.assert_allclose(block.values, expected, atol=1e-12)
        assert list(block.garments) == [pair.group for pair in study.manifest.of(f"fold{fold}")]
    surface = results.table(study.variants[1], SURFACE)
    np.testing.assert_allclose(surface[0], 2 * tables["two"][0] - 1, atol=1e-12)
    one, two, three = results.rows
    assert one.paired is None
    assert (one.num_done, one.num_runs, one.num_photos) == (4, 4, 6)
    mean = np.mean([score.measures.dice for run in results.of(study.variants[0]) for score in run.scores])
    assert one.mean == pytest.approx(mean)
    assert two.paired.dice.value == pytest.approx(np.mean([0.0015 * (k + 1) for k in range(6)]))
    assert (two.paired.better, two.paired.worse, two.paired.same) == (6, 0, 0)
    assert (three.paired.verdict, three.paired.dice.low) == ("worse", pytest.approx(-0.1))


def test_a_missing_run_leaves_no_verdict(make_study, results_of):
    study = make_study(THREE)

    def dice(key, _):
        return (
            None
            if (key.variant.name, key.seed, key.fold) == ("two", 1, 0)
            else 0.9 + 0.01 * (key.variant.name == "two")
        )

    one, two, three = results_of(study, dice).rows
    assert two.paired.verdict == "incomplete"
    assert (two.num_done, two.num_runs) == (3, 4)
    assert two.paired.dice.value == pytest.approx(0.01)
    assert three.paired.verdict == "no difference shown"
    assert one.mean == pytest.approx(0.9)


def test_a_photo_that_one_training_could_not_measure_is_not_compared(make_study, results_of):
    study = make_study(THREE)
    results = results_of(study, lambda key, _: 0.9 + 0.01 * (key.variant.name == "two"))
    run, lost = results.runs[1], results.runs[1].scores[0].name
    assert (run.key.variant.name, run.outcome) == ("two", "done")
    scores = (replace(run.scores[0], measures=None, status="failed"), *run.scores[1:])
    results = replace(results, runs=(results.runs[0], replace(run, scores=scores), *results.runs[2:]))
    tables = [results.table(one, DICE) for one in study.variants[:2]]
    blocks = results.blocks([own - other for other, own in zip(*tables, strict=True)])
    first, second = (study.splits[fold].validation for fold in (0, 1))
    expected = [[pair.group for pair in first if pair.name != lost], [pair.group for pair in second]]
    assert [list(block.garments) for block in blocks] == expected
    paired = results.rows[1].paired
    assert (paired.better, paired.worse, paired.same) == (5, 0, 0)
    assert paired.dice.value == pytest.approx(0.01)


def test_nothing_in_common(make_study, results_of):
    study = make_study(THREE)
    rows = results_of(study, lambda key, _: None if key.variant.name != "two" else 0.9).rows
    assert [row.paired for row in rows] == [None, None, None]
    assert rows[0].mean is None


def test_a_missing_run_of_the_reference_leaves_no_verdict_at_all(make_study, results_of):
    study = make_study(THREE)
    rows = results_of(study, lambda key, _: None if key.path == "one/seed0-fold1" else 0.9).rows
    assert [row.paired.verdict for row in rows[1:]] == ["incomplete", "incomplete"]


def test_one_training_each_is_no_verdict_however_large_the_difference(make_study, results_of):
    study = make_study(THREE, Choice(seeds=(0,), folds=(0,)))
    rng = np.random.default_rng(0)
    rows = results_of(study, lambda key, _: 0.9 + 0.05 * (key.variant.name == "two") + rng.normal(0, 1e-4)).rows
    assert rows[1].paired.dice.low > 0.04
    assert rows[1].paired.verdict == "one training each"


def test_look_alikes_count_as_one_garment(make_study, results_of):
    study = make_study(THREE, Choice(seeds=(0,), folds=(0,)))
    pairs = tuple(replace(pair, group="same") for pair in study.manifest.pairs)
    alike = replace(study, manifest=replace(study.manifest, pairs=pairs))
    rng = np.random.default_rng(0)
    rows = results_of(alike, lambda *_: 0.9 + rng.normal(0, 0.01)).rows
    assert rows[1].paired.verdict == "too few garments"


SIZES = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "all"
seeds = [0, 1]
folds = [0, 1]
[variants.all]
[variants.one]
garments = 1
[variants.two]
garments = 2
[variants.four]
garments = 4
[curve]
at = [100]
"""


@pytest.mark.parametrize(("floor", "factor", "exponent"), [(0.01, 0.3, 0.7), (0.0, 0.2, 0.4), (0.005, 1.0, 1.5)])
def test_a_power_law_is_found_again(floor, factor, exponent):
    sizes = np.array([10.0, 20.0, 40.0, 80.0, 130.0])
    errors = floor + factor * sizes**-exponent
    found = fit_power_law(sizes, errors)
    predicted = found[0] + found[1] * 1000.0 ** -found[2]
    assert predicted == pytest.approx(floor + factor * 1000.0**-exponent, rel=0.02)


def test_it_never_falls_below_0_nor_rises():
    sizes = np.array([10.0, 20.0, 40.0, 80.0])
    steep = 10.0 * sizes**-4.0  # steeper than any exponent tried: a would be below 0
    rising = 0.01 + 0.001 * sizes
    for errors in (steep, rising):
        floor, factor, _ = fit_power_law(sizes, errors)
        assert floor >= 0
        assert factor >= 0


def test_it_is_fitted_to_what_the_arms_learned_from(make_study, results_of):
    study, rng = make_study(SIZES), np.random.default_rng(0)

    def dice(key, _):
        garments = key.variant.table.garments or 6
        return 1 - (0.01 + 0.2 * garments**-0.5) * rng.uniform(0.95, 1.05)

    growth = results_of(study, dice).growth
    assert [point.garments for point in growth.measured] == [1, 2, 4, 6]
    (point,) = growth.beyond
    assert point.garments == 100
    assert point.low <= point.error <= point.high
    assert point.error == pytest.approx(0.03, abs=0.02)
    assert power_law(100, growth.floor, growth.factor, growth.exponent) == pytest.approx(point.error)


def test_too_few_sizes_make_no_curve(make_study, results_of):
    study = make_study(SIZES, Choice(variants=("two", "four")))
    assert results_of(study, lambda *_: 0.9).growth is None
    study = make_study(SIZES)
    assert results_of(study, lambda key, _: None if key.variant.name == "two" else 0.9).growth is None


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "out")


def test_everything_of_a_run(make_study, registry, fake_training):
    study = make_study()
    list(StudySession(study, registry, Devices("cpu")).work())
    results = gather(study, registry)
    assert [run.key for run in results.runs] == list(study.keys)
    run = results.runs[0]
    assert (run.outcome, run.machine, run.seconds, run.num_garments) == ("done", "1 core", 3.0, 6)
    assert run.mean_dice == pytest.approx(0.9)
    assert [step for step, _ in run.curve] == [2, 4]
    assert [run.key.variant.name for run in results.of(study.variants[1])] == ["slow"] * 4
    assert all(run.outcome == "done" for run in results.runs)
    assert fake_training.trained


def test_states(make_study, registry, monkeypatch):
    study = make_study()
    keys = [key.job for key in study.keys]
    held = registry.take(keys[0])
    registry.take(keys[1]).close("failed", "no memory")
    registry.take(keys[2]).close("interrupted", "time is up")
    registry.take(keys[3]).close("done")  # but its scores are gone
    failures = {"slow": "nothing could be chosen"}
    monkeypatch.setattr("garmentcut.study.compare.choices_of", lambda *_: ({}, failures))
    results = gather(study, registry)
    states = [(run.outcome, run.reason, run.is_failed) for run in results.runs[:6]]
    assert states[0] == ("running", "", False)
    assert states[1] == ("failed", "no memory", True)
    assert states[2] == ("interrupted", "time is up", False)
    assert states[3][0] == "not run"
    assert "no scores" in states[3][1]
    assert states[4] == ("not run", "", False)
    assert states[5] == ("not run", "nothing could be chosen", True)
    assert not any(run.outcome == "done" for run in results.runs)
    held.close("done")


WIDE = Difference(0.0007, -0.0004, 0.0018, 0.3, "garments and seeds")
ABOVE = Difference(0.0012, 0.0005, 0.0019, 0.002, "garments and seeds")


@pytest.fixture
def row(make_study):
    variant = make_study().variants[0]

    def make(name, paired=None, done=4):
        return VariantResult(replace(variant, name=name), done, 4, 60, 0.99, 0.995, 0.98, 100.0, paired)

    return make


def paired(dice, verdict, p=0.01):
    return Paired(dice, dice, 40, 18, 2, p, verdict)


@pytest.mark.parametrize(
    ("pairing", "says"),
    [
        (
            paired(ABOVE, "better"),
            "b: better than a: +0.0012 Dice [+0.0005, +0.0019]; better on 40 photos, worse on 18, the same on 2.",
        ),
        (paired(WIDE, "no difference shown"), "b: no difference from a shown: +0.0007 Dice [-0.0004, +0.0018]"),
        (
            replace(paired(ABOVE, "better"), better=1),
            "[+0.0005, +0.0019]; better on 1 photo, worse on 18, the same on 2.",
        ),
        (
            paired(ABOVE, "no difference shown", 0.2),
            "b: no difference from a shown, once corrected for the number of comparisons: +0.0012",
        ),
        (paired(ABOVE, "one training each"), "no verdict, one training each: another training might reverse it"),
        (
            paired(Difference(0.01, None, None, None, "garments"), "too few garments", None),
            "b: no verdict, too few garments for an interval: +0.0100 Dice; better",
        ),
    ],
)
def test_a_sentence_for_each(row, pairing, says):
    assert says in conclusions([row("a"), row("b", pairing)])[0]


def test_what_is_missing(row):
    rows = [row("a"), row("b", paired(ABOVE, "incomplete"), done=3), row("c", None, done=0)]
    one, two = conclusions(rows)
    assert "no verdict, 3 of its 4 runs are done" in one
    assert two == "c: not measured (0 of 4 runs done)."
    assert headline(rows) == "No verdict, runs are missing: b, c."


def test_the_headline_names_every_arm_once(row):
    rows = [
        row("a"),
        row("b", paired(ABOVE, "better")),
        row("c", paired(WIDE, "no difference shown")),
        row("d", paired(WIDE, "no difference shown")),
        row("e", paired(ABOVE, "worse")),
    ]
    assert headline(rows) == "Better than a: b. Worse than a: e. No difference from a shown: c, d."


def test_names_with_a_comma_do_not_read_as_two(row):
    rows = [row("area, linear"), *(row(name, paired(WIDE, "no difference shown")) for name in ("area, cubic", "b"))]
    assert headline(rows) == 'No difference from "area, linear" shown: "area, cubic", b.'
    assert conclusions(rows)[0].startswith('"area, cubic": no difference from "area, linear" shown: ')


def test_what_the_intervals_are_over(row):
    rows = [row("a"), row("b", paired(WIDE, "no difference shown"))]
    assert reach_of(rows) == (
        "95 % intervals: where the mean difference would lie with other garments of this kind and other seeds."
    )
    more = reach_of([*rows, row("c", paired(ABOVE, "better"))])
    assert more.endswith("p at most 0.05 after Holm's correction for 2 comparisons.")
    assert reach_of([row("a")]) == ""


def test_numbers():
    assert (signed(0.00123), signed(-0.00004), signed(-0.1)) == ("+0.0012", "0.0000", "-0.1000")
    assert interval_text(WIDE) == "[-0.0004, +0.0018]"
    assert interval_text(Difference(0.1, None, None, None, "garments")) == ""
