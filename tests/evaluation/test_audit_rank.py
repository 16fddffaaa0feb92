from dataclasses import replace

import numpy as np
import pytest

from garmentcut.evaluation.audit_evidence import Evidence, Region
from garmentcut.evaluation.audit_rank import rank_suspects

RNG = np.random.default_rng(2)


def region(area, *, missing=True, support=0.8):
    return Region((10, 10, 60, 40), missing, area, 15.0, 0.95, support, support)


def ordinary(scale=1.0):
    shift = 0.4 * RNG.standard_normal(2)
    area = int(scale * RNG.integers(50, 400))
    return Evidence(0.99, 0.3, (region(area, support=0.2),), tuple(shift), tuple(shift), 0.0, 1.0)


def ranked(evidence, doubts=None):
    names = [f"p{number}" for number in range(len(evidence))]
    return rank_suspects(names, evidence, doubts, heights_px=[1728] * len(names), places=["hem"] * len(names))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Evidence(0.97, 0.0, (region(9000),), (0.0, 0.0), (0.0, 0.0), 0.0, 1.0), "lacks 9000 px at the hem"),
        (Evidence(0.97, 0.0, (region(9000, missing=False),), (0.0, 0.0), (0.0, 0.0), 0.0, 1.0), "has too much 9000 px"),
        (Evidence(0.98, 0.1, (), (3.0, 0.1), (2.8, 0.0), 0.0, 1.0), "shifted as a whole: "),
        (
            Evidence(0.31, 0.0, (), (9.0, 0.0), (0.0, 0.0), 0.0, 9.0),
            "perhaps of another photo: cutout and prediction share 31 %",
        ),
    ],
)
def test_what_is_wrong_comes_first_and_is_said(wrong, words):
    evidence = [ordinary() for _ in range(40)]
    evidence[17] = wrong
    found = ranked(evidence)
    assert found[0].name == "p17"
    assert found[0].clues[0].text.startswith(words)
    assert found[0].score > found[1].score + 1


def test_a_shift_that_photo_and_model_do_not_agree_on_is_none():
    evidence = [ordinary() for _ in range(40)]
    evidence[17] = Evidence(0.99, 0.3, (), (3.0, 0.0), (-3.0, 0.0), 0.0, 1.0)
    assert ranked(evidence)[0].name != "p17"


def test_where_the_prediction_scatters_disagreement_is_expected():
    evidence = [ordinary() for _ in range(60)]
    plain = Evidence(0.98, 0.1, (region(3500, support=0.2),), (0.0, 0.0), (0.0, 0.0), 0.0, 1.0)
    evidence[3], evidence[57] = plain, replace(plain, spread_px=2.4)
    score = {one.name: one.score for one in ranked(evidence)}
    assert score["p3"] > score["p57"] + 1


def test_the_label_quality_score_counts_too():
    evidence = [ordinary() for _ in range(60)]
    plain = Evidence(0.98, 0.3, (region(3500, support=0.2),), (0.0, 0.0), (0.0, 0.0), 0.0, 1.0)
    evidence[3], evidence[57] = plain, replace(plain, softmin_confidence=0.01)
    score = {one.name: one.score for one in ranked(evidence)}
    assert score["p57"] > score["p3"] + 1


def test_doubt_is_told_beside():
    found = ranked([ordinary() for _ in range(3)], np.array([0.1, 0.2, 0.3]))
    assert {one.name: one.doubt for one in found} == {"p0": 0.1, "p1": 0.2, "p2": 0.3}


def test_the_models_own_shift_is_no_fault_of_the_cutouts():
    evidence = [Evidence(0.99, 0.3, (), (2.0, 0.0), (2.0, 0.0), 0.0, 1.0) for _ in range(30)]
    assert max(suspect.score for suspect in ranked(evidence)) == pytest.approx(0)
