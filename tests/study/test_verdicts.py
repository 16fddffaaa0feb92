"""What may be said, word for word."""

from dataclasses import replace

import pytest

from garmentcut.evaluation.intervals import Difference
from garmentcut.study.comparison import ArmResult, Paired
from garmentcut.study.verdicts import conclusions, headline, interval_text, reach_of, signed

WIDE = Difference(0.0007, -0.0004, 0.0018, 0.3, "garments and seeds")
ABOVE = Difference(0.0012, 0.0005, 0.0019, 0.002, "garments and seeds")


@pytest.fixture
def row(make_study):
    arm = make_study().arms[0]

    def make(name, paired=None, done=4):
        return ArmResult(replace(arm, name=name), done, 4, 60, 0.99, 0.995, 0.98, 100.0, paired)

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
            paired(ABOVE, "no difference shown", 0.2),
            "b: no difference from a shown, once corrected for the number of comparisons: +0.0012",
        ),
        (paired(ABOVE, "one training each"), "no verdict, one training each: another training might turn it round"),
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
