import errno
import json
import os

import pytest
import safetensors.torch
import torch

from garmentcut.errors import ModelError
from garmentcut.model.checkpoint import Mismatch, NetworkSpec, load_network, read_weights, save_network
from garmentcut.model.networks import build_network

SPEC = NetworkSpec(
    "simple", {"channels": [4, 8]}, (96, 64), "alpha", {"trained_on": ["0123456789ab"], "note": "Kjole æ"}
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = build_network(SPEC.name, **SPEC.options)
    network(torch.rand(2, 3, 8, 8))  # moves the batch norms' statistics
    return network


def test_a_network_comes_back_bit_by_bit(tmp_path, network):
    save_network(tmp_path / "new" / "a.safetensors", network.to(memory_format=torch.channels_last), SPEC)
    loaded, spec = load_network(tmp_path / "new" / "a.safetensors")
    assert spec == SPEC
    assert loaded.training
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
        assert loaded.state_dict()[key].dtype == tensor.dtype


def test_tuples_come_back_as_lists(tmp_path, network):
    save_network(tmp_path / "a", network, NetworkSpec("simple", {"channels": (4, 8)}, (96, 64), "alpha"))
    assert load_network(tmp_path / "a")[1].options == {"channels": [4, 8]}


def test_half_is_half(tmp_path, network):
    save_network(tmp_path / "half", network, SPEC, half=True)
    stored, _ = read_weights(tmp_path / "half")
    assert stored["head.weight"].dtype == torch.float16
    assert stored["down.0.1.num_batches_tracked"].item() == 1
    loaded = load_network(tmp_path / "half")[0].head.weight
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, network.head.weight.half().float())


def test_an_interrupted_save_leaves_the_old_file(tmp_path, network, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_network(path, network, SPEC)
    before = path.read_bytes()

    def full_disk(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ModelError, match=r"a.safetensors cannot be written: No space left on device; make room"):
        save_network(path, build_network("simple"), SPEC)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("keep", [0, 4, 100, -1], ids=["empty", "a length", "half a header", "but one byte"])
def test_a_truncated_file_is_named(tmp_path, network, keep):
    path = tmp_path / "a.safetensors"
    save_network(path, network, SPEC)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"a\.safetensors is damaged .* copy or save it again"):
        load_network(path)


def test_other_files_are_named(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(1000))
    for name in ("photo.jpg", "nowhere", "."):
        with pytest.raises(ModelError, match=r"cannot be read|damaged or not a safetensors file"):
            load_network(tmp_path / name)


def with_spec(path, spec, weights=None):
    metadata = {"garmentcut.network": json.dumps(spec)} if spec else None
    path.write_bytes(safetensors.torch.save(weights or {"a": torch.ones(1)}, metadata))
    return path


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (None, "does not say which network it belongs to"),
        ({"name": "simple"}, r"another version of garmentcut \(options\)"),
        ({"name": "simpel", "options": {}, "size_hw": [8, 8], "target": "alpha"}, "did you mean simple"),
        (
            {"name": "simple", "options": {}, "size_hw": [8, 8], "target": "alpha"},
            r"does not fit simple \(missing: down.0.0.weight, .* and \d+ more; unknown: a\)",
        ),
    ],
)
def test_a_spec_that_cannot_be_followed(tmp_path, spec, says):
    with pytest.raises(ModelError, match=says) as error:
        load_network(with_spec(tmp_path / "a.safetensors", spec))
    assert "a.safetensors" in str(error.value)


TYPES = [
    *((key, value) for key in ("trained_on", "scores", "boxes_xyxy") for value in (5, "text", None, [1], {"a": 1})),
    *((key, [1]) for key in ("trained_hashes", "started_from", "name", "training_data", "licence", "data", "dice")),
    *((key, "text") for key in ("num_trained_on", "edge_bias", "edge_gain", "dice", "recipe")),
    ("trained_on", ["012345678901", 5]),
    ("trained_prints", 5),
    ("boxes_xyxy", [[5, 0, 5, 9]]),
]


@pytest.mark.parametrize(("key", "value"), TYPES, ids=[f"{key}={value}" for key, value in TYPES])
def test_a_fact_of_another_type_is_named(tmp_path, key, value):
    """Before, `trained_on` of a number was a traceback of the training that started from the file."""
    spec = {"name": "simple", "options": {}, "size_hw": [8, 8], "target": "alpha", "facts": {key: value}}
    with pytest.raises(ModelError, match=r"a\.safetensors was saved by another version of garmentcut \(facts") as error:
        read_weights(with_spec(tmp_path / "a.safetensors", spec))
    assert {"trained_prints": "trained_hashes"}.get(key, key) in str(error.value)


def test_any_safetensors_file_has_weights(tmp_path):
    weights, spec = read_weights(with_spec(tmp_path / "a", None))
    assert weights["a"].tolist() == [1.0]
    assert spec is None


OWN = {"a": torch.zeros(2), "b": torch.zeros(3, 1), "norm.num_batches_tracked": torch.zeros(())}


def test_equal_shapes_fit_and_counters_may_lack():
    assert not Mismatch.between(OWN, {"a": torch.ones(2), "b": torch.ones(3, 1)})


def test_every_kind_is_named():
    mismatch = Mismatch.between(OWN, {"b": torch.ones(1, 3), "c": torch.ones(1)})
    assert str(mismatch) == "missing: a; unknown: c; of another shape: b (1, 3) for (3, 1)"


def test_hundreds_are_counted():
    given = {f"key{number}": torch.ones(1) for number in range(100)}
    assert str(Mismatch.between({}, given)) == "unknown: key0, key1, key2 and 97 more"
