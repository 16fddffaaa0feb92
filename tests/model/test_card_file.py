import onnx
import pytest
from onnx import TensorProto, helper

from garmentcut.errors import ModelError
from garmentcut.model.card import (
    CARD_KEY,
    ModelCard,
    split_card,
    stage_network_of,
    with_card_text,
    with_stage,
)

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
