from dataclasses import replace

import pytest

from garmentcut.errors import RunError
from garmentcut.export.onnx import card_of_network


def test_the_spec_fills_the_card(network, spec):
    card = card_of_network(network, spec)
    assert card.network == "cutnet, encoder resnet10t, channels [8, 8, 8, 8]; 5.15 M parameters"
    assert (card.working_size_hw, card.multiple_of, card.convention) == ((96, 66), 32, "alpha")
    assert (card.trained_on, card.edge_bias) == (("0123456789ab",), 0.25)
    assert card.training_data == "1 photo of studio"
    assert card.scores == ()


def test_facts_win_over_what_is_made_of_them_and_words_over_facts(network, spec):
    spec = replace(spec, facts={**spec.facts, "training_data": "ours", "name": "first"})
    card = card_of_network(network, spec, name="second", licence="MIT")
    assert (card.training_data, card.name, card.licence) == ("ours", "second", "MIT")


@pytest.mark.parametrize(
    ("target", "convention"), [("alpha", "alpha >= 128"), ("alpha >= 128", "alpha >= 128"), ("alpha > 0", "alpha > 0")]
)
def test_a_trainings_own_score(network, spec, target, convention):
    dice = {"data": "studio, fold0", "size_hw": [96, 66], "num_photos": 2, "mean_dice": 0.5, "median_dice": 0.75}
    (score,) = card_of_network(network, replace(spec, target=target, facts={"dice": dice})).scores
    assert score.data == "studio, fold0, at 66x96 while it was trained"
    assert (score.convention, score.num_photos, score.mean_dice, score.median_dice) == (convention, 2, 0.5, 0.75)


def test_a_fact_of_another_kind_is_named(network, spec):
    with pytest.raises(RunError, match=r"card.edge_gain: .*greater than 0, not -1"):
        card_of_network(network, replace(spec, facts={"edge_gain": -1}))
