from dataclasses import replace

import pytest
from pydantic import ValidationError

from garmentcut.model.card import Acceptance, DoubtModel, ModelCard, Threshold, card_of, with_card

MODEL = DoubtModel(
    features=("edge_softness", "unlike"),
    center=(0.0, 1.0),
    scale=(1.0, 2.0),
    weights=(0.5, 0.25),
    bias=-1.0,
    appearance_mean=(1.0,),
    appearance_precision=((2.0,),),
    limits=(1.0, 1.0),
)
ACCEPTANCE = Acceptance(
    quality=0.95,
    confidence=0.9,
    data="tests",
    num_photos=60,
    num_garments=50,
    risk=0.05,
    thresholds=(
        Threshold(0.01, None, "cannot: 50 garments, needs at least 230"),
        Threshold(0.05, 0.125, "", 46, 0, (0.92, 0.81, 0.98)),
        Threshold(0.1, None, "cannot: too many fall short"),
        Threshold(0.2, 0.5, "", 50, 2, (1.0, 0.93, 1.0)),
    ),
)


def test_the_numbers_must_fit_together():
    for changed in (
        {"weights": (1.0,)},
        {"scale": (1.0, 0.0)},
        {"appearance_precision": ((1.0, 2.0),)},
        {"bias": float("nan")},
    ):
        with pytest.raises(ValidationError):
            replace(MODEL, **changed)


def test_it_travels_in_the_model_file():
    onnx = b"\x08\x08"  # ir_version 8: the shortest file that is one
    card = ModelCard("m", "n", (96, 64), 32, "x", "y", 1 / 255, "alpha", "none", "MIT")
    assert card_of(with_card(onnx, card)).doubt is None
    read = card_of(with_card(onnx, replace(card, doubt=MODEL, acceptance=ACCEPTANCE)))
    assert (read.doubt, read.acceptance) == (MODEL, ACCEPTANCE)


@pytest.mark.parametrize(
    ("risk", "guaranteed"), [(0.05, 0.05), (0.07, 0.05), (0.1, 0.05), (0.2, 0.2), (0.9, 0.2), (0.01, 0.01)]
)
def test_what_guarantees_less_risk_guarantees_more_too(risk, guaranteed):
    assert ACCEPTANCE.threshold_of(risk).risk == guaranteed


def test_no_threshold_for_so_small_a_risk():
    assert ACCEPTANCE.threshold_of(0.005) is None
    assert ACCEPTANCE.threshold_of(0.01).reason == "cannot: 50 garments, needs at least 230"
