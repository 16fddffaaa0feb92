import json
import tracemalloc
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from garmentcut.errors import ModelError
from garmentcut.model.card import (
    CARD_KEY,
    ModelCard,
    alpha_of_logits,
    card_of,
    read_model,
    split_card,
    stage_network_of,
    with_card,
    with_card_text,
    with_stage,
)
from garmentcut.prediction.cutter import model_path
from garmentcut.prediction.doubt import check_doubt

CARD = ModelCard(
    name="test",
    network="none",
    working_size_hw=(64, 32),
    multiple_of=32,
    input_name="x",
    output_name="y",
    input_scale=1 / 255,
    convention="alpha",
    training_data="nothing",
    licence="MIT",
)
NETWORK = b"\x08\x08"  # a ModelProto with ir_version 8 and nothing else


def test_a_card_comes_back_with_the_hash_of_its_network():
    card = card_of(with_card(NETWORK, CARD))
    assert replace(card, sha256="") == CARD
    assert card.sha256 == "0b57459772db2f3f6986a135824545af8690c536a865454c3c664767dc2b73f0"
    assert card.label == "test@0b574597"


def test_a_new_card_replaces_the_old_one():
    renamed = with_card(with_card(NETWORK, CARD), replace(CARD, name="newer"))
    assert card_of(renamed).name == "newer"
    assert renamed == with_card(NETWORK, replace(CARD, name="newer"))


def test_a_changed_network_is_damage():
    model = with_card(NETWORK, CARD)
    with pytest.raises(ModelError, match="copy it again"):
        card_of(model.replace(NETWORK, b"\x08\x07", 1))


def test_old_names_in_a_card_are_read():
    old = {"signs": ["rim", "wide_rim", "parts", "two_looks", "unlike"], "looks_mean": [0], "looks_precision": [[1]]}
    old |= {key: [1.0] * 5 for key in ("center", "scale", "weights", "limits")} | {"bias": 0.0}
    content = json.loads(split_card(with_card(NETWORK, CARD))[0]) | {"doubt": old}
    del content["trained_hashes"]
    card = card_of(with_card_text(NETWORK, json.dumps(content | {"trained_prints": "cHJpbnQ="})))
    assert card.trained_hashes == "cHJpbnQ="
    doubt = card.doubt
    assert doubt.features == ("edge_softness", "wide_edge", "components", "stage_disagreement", "unlike")
    assert (doubt.appearance_mean, doubt.appearance_precision) == ((0.0,), ((1.0,),))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (NETWORK, "no garmentcut card"),
        (with_card_text(NETWORK, "{"), "not JSON"),
        (with_card_text(NETWORK, '"é"').replace("é".encode(), b"\xff\xff"), "not JSON"),
        (b"", "is empty; copy it again"),
        (with_card_text(NETWORK, "[]"), r"does not know \(not a table\)"),
        (with_card_text(NETWORK, '{"name": "from the future", "flux": 1}'), "does not know"),
        (b"\xff\xd8\xff\xe0 a photo", "not an ONNX file"),
    ],
)
def test_bad_model_files_are_named(tmp_path, model, says):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    with pytest.raises(ModelError, match=says) as error:
        read_model(path)
    assert str(path) in str(error.value)


def test_keys_of_earlier_versions_are_passed_over():
    content = json.loads(split_card(with_card(NETWORK, CARD))[0])
    older = {**content, "int8_ranges": {"conv": [0.0, 1.0]}, "first_look": None}
    assert card_of(with_card_text(NETWORK, json.dumps(older))).label == "test@0b574597"


def test_a_model_of_two_networks_is_refused_with_what_to_do():
    content = json.loads(split_card(with_card(NETWORK, CARD))[0])
    older = {**content, "first_look": {"network": "n", "size_hw": [96, 64], "multiple_of": 32}}
    with pytest.raises(ModelError, match="use the embedded one, or train one of three stages"):
        card_of(with_card_text(NETWORK, json.dumps(older)))


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", "1"])
def test_a_card_that_is_none_is_refused(text):
    with pytest.raises(ModelError, match="has a card that"):
        card_of(with_card_text(NETWORK, text))


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.onnx"):
        read_model(tmp_path / "nowhere.onnx")


def test_the_embedded_model_is_small_and_says_what_it_is():
    model, card = read_model(model_path())
    assert len(model) <= 16_000_000
    assert card.scores
    assert "licence" in card.training_data or "licence" in card.licence
    assert {score.convention for score in card.scores} == {"alpha >= 128", "alpha > 0"}


def test_other_tools_read_the_card():
    session = onnxruntime.InferenceSession(model_path(), providers=["CPUExecutionProvider"])
    assert "garmentcut.card" in session.get_modelmeta().custom_metadata_map


def test_the_embedded_model_doubts_and_accepts():
    card = read_model(model_path())[1]
    assert card.doubt is not None
    check_doubt(card)
    assert "had not seen them" in card.doubt.data
    threshold = card.acceptance.threshold_of(0.05)
    assert 0.05 < threshold.max_doubt < 0.2
    assert threshold.share_accepted[0] > 0.3
    assert card.acceptance.threshold_of(0.01).max_doubt is None
    assert card.doubt.rank_correlation > 0.5
    assert dict(zip(card.doubt.features, card.doubt.weights, strict=True))["wide_edge"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"working_size_hw": [1_000_000, 1_000_000]},
        {"working_size_hw": [0, 64]},
        {"multiple_of": 0},
        {"multiple_of": 1_000_000},
        {"choke_px": 1e9},
        {"choke_px": float("nan")},
        {"edge_bias": float("inf")},
        {"input_scale": 0.0},
        {"stages": {"locate_hw": [64, 10**9]}},
        {"stages": {"tile_px": 10}},
    ],
)
def test_values_that_make_no_sense_are_refused(changes):
    content = json.loads(split_card(model_path().read_bytes())[0])
    broken = with_card_text(model_path().read_bytes(), json.dumps({**content, **changes}))
    with pytest.raises(ModelError, match=f"{next(iter(changes))}"):
        card_of(broken)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_alpha_of_logits_by_hand(precision):
    logits = np.array([[-1e6, 0.5], [1.5, 1e6]], precision)
    alpha = alpha_of_logits(logits, 0.5, 2.0)
    assert alpha == pytest.approx(np.array([[0.0, 0.5], [1 / (1 + np.exp(-2.0)), 1.0]]), abs=1e-6)
    assert alpha.dtype == precision


@pytest.fixture
def model() -> bytes:
    shape = [TensorProto.FLOAT, (1, 2)]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", *shape)], [helper.make_tensor_value_info("y", *shape)]
    )
    made = helper.make_model(graph)
    helper.set_model_props(made, {"other": "stays"})
    return made.SerializeToString()


def test_what_is_written_the_onnx_package_reads(model):
    text = "Kjole æøå " + "x" * 300
    parsed = onnx.load_from_string(with_card_text(model, text))
    onnx.checker.check_model(parsed)
    assert {p.key: p.value for p in parsed.metadata_props} == {"other": "stays", CARD_KEY: text}


def test_what_the_onnx_package_writes_is_read(model):
    parsed = onnx.load_from_string(model)
    helper.set_model_props(parsed, {"other": "stays", CARD_KEY: "text"})
    assert split_card(parsed.SerializeToString()) == (b"text", model)
    assert split_card(model) == (None, model)


def test_the_last_of_several_counts_and_all_are_removed(model):
    twice = with_card_text(with_card_text(model, "old"), "new")
    assert split_card(twice) == (b"new", model)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"\xff" * 40, b"hello world, no model"])
def test_other_files_are_no_models(content):
    try:
        found, _ = split_card(content)
    except ModelError as error:
        assert "not an ONNX file" in str(error)
    else:
        assert found is None


def test_a_model_cut_short_is_reported(model):
    with pytest.raises(ModelError, match="cut short"):
        split_card(with_card_text(model, "text")[:-2])


def test_an_attached_network_is_seen_by_nobody_else(model):
    content = bytes(range(256)) * 40
    whole = with_stage(with_card_text(model, "a"), "locate", content)
    assert stage_network_of(whole, CARD, "locate") == content
    assert split_card(whole)[0] == b"a"
    parsed = onnx.load_from_string(whole)
    onnx.checker.check_model(parsed)
    assert parsed.graph == onnx.load_from_string(model).graph
    kept = parsed.SerializeToString()  # other tools keep what they do not know
    assert stage_network_of(kept, CARD, "locate") == content
    for stage, without in (("locate", model), ("refine", whole)):
        with pytest.raises(ModelError, match=f"should hold a {stage} stage"):
            stage_network_of(without, CARD, stage)


def test_a_new_attachment_takes_the_place_of_the_old_one(model):
    located = with_stage(model, "locate", b"located")
    both = with_stage(located, "refine", b"first")
    assert with_stage(both, "refine", b"second") == with_stage(located, "refine", b"second")


def test_the_card_can_be_changed_without_losing_the_attachment(model):
    whole = with_stage(model, "locate", b"first")
    assert split_card(with_card_text(whole, "a")) == (b"a", whole)


def test_a_file_of_countless_tiny_fields_takes_little_memory():
    content = NETWORK * 20_000
    tracemalloc.start()
    try:
        assert split_card(content) == (None, content)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(content)
    finally:
        tracemalloc.stop()
