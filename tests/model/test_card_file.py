import onnx
import pytest
from onnx import TensorProto, helper

from garmentcut.errors import ModelError
from garmentcut.model.card import attachment_of, metadata_of, with_attachment, with_metadata, without_metadata


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
    parsed = onnx.load_from_string(with_metadata(model, "card", "Kjole æøå " + "x" * 300))
    onnx.checker.check_model(parsed)
    assert {p.key: p.value for p in parsed.metadata_props} == {"other": "stays", "card": "Kjole æøå " + "x" * 300}


def test_what_the_onnx_package_writes_is_read(model):
    assert metadata_of(model, "other") == "stays"
    assert metadata_of(model, "card") is None


def test_the_last_of_several_counts_and_all_are_removed(model):
    twice = with_metadata(with_metadata(model, "card", "old"), "card", "new")
    assert metadata_of(twice, "card") == "new"
    assert without_metadata(twice, "card") == model


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"\xff" * 40, b"hello world, no model"])
def test_other_files_are_no_models(content):
    try:
        found = metadata_of(content, "card")
    except ModelError as error:
        assert "not an ONNX file" in str(error)
    else:
        assert found is None


def test_a_model_cut_short_is_reported(model):
    with pytest.raises(ModelError, match="cut short"):
        metadata_of(with_metadata(model, "card", "text")[:-2], "card")


def test_an_attachment_is_seen_by_nobody_else(model):
    content = bytes(range(256)) * 40
    whole = with_attachment(with_metadata(model, "card", "a"), content)
    assert attachment_of(whole) == content
    assert attachment_of(model) is None
    assert metadata_of(whole, "card") == "a"
    parsed = onnx.load_from_string(whole)
    onnx.checker.check_model(parsed)
    assert parsed.graph == onnx.load_from_string(model).graph
    assert attachment_of(parsed.SerializeToString()) == content  # other tools keep what they do not know


def test_a_new_attachment_takes_the_place_of_the_old_one(model):
    both = with_attachment(with_attachment(model, b"located", "locate"), b"first", "refine")
    assert with_attachment(both, b"second", "refine") == with_attachment(
        with_attachment(model, b"located", "locate"), b"second", "refine"
    )


def test_the_card_can_be_changed_without_losing_the_attachment(model):
    whole = with_metadata(with_attachment(model, b"first"), "card", "a")
    assert without_metadata(whole, "card") == with_attachment(model, b"first")
