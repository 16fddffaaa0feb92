"""Values to try."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from garmentcut.study.declaration import StudyError
from garmentcut.study.knobs import at_edge, combinations, corners, distribution_of, drawn, words_of

LOG = {"low": 1e-4, "high": 1e-2, "log": True}


def test_every_combination_the_last_changing_first():
    found = list(combinations({"a.x": [1, 2], "b.y": ["p", "q"]}))
    assert found == [{"a.x": x, "b.y": y} for x in (1, 2) for y in ("p", "q")]
    assert list(combinations({})) == [{}]


def test_corners_hold_every_value_and_both_ends():
    found = list(corners({"a.x": [1, 2, 3], "b.y": LOG}))
    assert found == [{"a.x": 1, "b.y": 1e-4}, {"a.x": 2, "b.y": 1e-2}, {"a.x": 3, "b.y": 1e-2}]


def test_what_optuna_draws_from():
    assert distribution_of(LOG) == FloatDistribution(1e-4, 1e-2, log=True)
    assert distribution_of({"low": 1, "high": 8}) == IntDistribution(1, 8)
    assert distribution_of([[1, 2], "x"]) == CategoricalDistribution(["[1, 2]", '"x"'])
    knobs = {"a.x": LOG, "b.y": [[1, 2], "x"]}
    assert drawn({"a.x": 0.001, "b.y": "[1, 2]"}, knobs) == {"a.x": 0.001, "b.y": [1, 2]}


@pytest.mark.parametrize(
    "value", [3, [], {"low": 1}, {"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}, {"low": "a", "high": "b"}]
)
def test_what_is_no_knob(value):
    with pytest.raises(StudyError):
        distribution_of(value)


def test_words():
    assert words_of({"optimizer.lr": 0.00031234, "optimizer.name": "adam"}) == "lr 0.0003123, name adam"
    assert words_of({"optimizer.name": "adam", "network.name": "unet"}) == "optimizer.name adam, network.name unet"
    assert words_of({"data.size_hw": [768, 512], "augment.zoom": {"p": 0.5, "amount": 0.3}}) == (
        "size_hw 768x512, zoom p 0.5 amount 0.3"
    )
    assert words_of({"training.compile": True}) == "compile true"
    assert words_of({"a.resampling": ["area", "linear"]}) == "resampling area/linear"


@pytest.mark.parametrize(
    ("chosen", "knob", "is_edge"),
    [
        (1e-4, [1e-4, 1e-3, 1e-2], True),
        (1e-3, [1e-4, 1e-3, 1e-2], False),
        (1e-2, [1e-4, 1e-2], True),
        ("adam", ["adam", "sgd"], False),
        (1.02e-4, LOG, True),
        (9.5e-3, LOG, True),
        (1e-3, LOG, False),
        (0.02, {"low": 0.0, "high": 1.0}, True),
        (0.5, {"low": 0.0, "high": 1.0}, False),
    ],
)
def test_the_edge_of_what_was_tried(chosen, knob, is_edge):
    assert bool(at_edge({"a.x": chosen}, {"a.x": knob})) == is_edge
