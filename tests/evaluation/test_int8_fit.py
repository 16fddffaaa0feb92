from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from garmentcut.config import RuntimeConfig
from garmentcut.dataset.manifest import read_manifest
from garmentcut.evaluation import int8_fit
from garmentcut.evaluation.int8_fit import Int8FitError, fit_int8, look_at_inputs
from garmentcut.evaluation.trials import plan_trials
from garmentcut.model.card import read_model, with_card
from garmentcut.prediction.runtime import load_runtime


def network_of(card):
    """Eight mixtures of the colours, eight of these, then red minus green, 60 times."""
    mixed = np.random.default_rng(0).normal(0, 0.02, (8, 3, 3, 3)).astype(np.float32)
    mixed[:3, :, 1, 1] += np.eye(3, dtype=np.float32)
    again = np.random.default_rng(1).normal(0, 0.02, (8, 8, 3, 3)).astype(np.float32)
    again[:8, :, 1, 1] += np.eye(8, dtype=np.float32)
    difference = np.zeros((1, 8, 1, 1), np.float32)
    difference[0, :2, 0, 0] = 60, -60
    nodes, weights, before = [], [], "x"
    for place, kernel in enumerate((mixed, again, difference)):
        after = "y" if place == 2 else f"v{place}"
        weights.append(numpy_helper.from_array(kernel, f"w{place}"))
        pads = [1] * 4 if kernel.shape[2] == 3 else [0] * 4
        name = after if place == 2 else f"c{place}"
        nodes.append(helper.make_node("Conv", [before, f"w{place}"], [name], f"conv{place}", pads=pads))
        if place < 2:
            nodes.append(helper.make_node("Relu", [name], [after]))
        before = after
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])
        for name, channels in (("x", 3), ("y", 1))
    ]
    graph = helper.make_graph(nodes, "red", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return with_card(model.SerializeToString(), card)


@pytest.fixture
def trial(tmp_path, red_model):
    path = red_model(tmp_path / "red.onnx")
    card = read_model(path)[1]
    path.write_bytes(network_of(card))
    return SimpleNamespace(model=path, card=card, pairs=())


@pytest.fixture(scope="module")
def crops(studio):
    return [studio(192 + 32 * (place % 2), 192, sigma=0.3).photo for place in range(6)]


def test_most_work_is_done_in_8_bits_and_the_masks_stay(trial, crops, monkeypatch):
    monkeypatch.setattr(int8_fit, "LEAST_DICE", 0.99)
    fit = fit_int8(trial, crops)
    assert (fit.num_convolutions, fit.num_crops) == (3, 4)
    assert 0 < len(fit.ranges) <= 3
    assert 0.99 < fit.least_dice <= fit.dice <= 1
    content, card = read_model(trial.model)
    runtime = load_runtime(content, replace(card, int8_ranges=fit.ranges), RuntimeConfig(backend="openvino"))
    plain = load_runtime(content, card, RuntimeConfig(backend="openvino"))
    assert not np.array_equal(runtime(crops[0]), plain(crops[0]))


def test_ranges_are_those_of_the_inputs(trial, crops):
    bench = int8_fit.NetworkBench(*read_model(trial.model))
    ranges = list(bench.ranges(crops).values())
    pixels = np.stack([crop[:192] for crop in crops]) / 255
    assert ranges[0] == pytest.approx((pixels.min(), pixels.max()), abs=1e-6)
    assert all(low == 0 < high for low, high in ranges[1:])  # behind a ReLU


def test_what_does_harm_stays_in_float32(trial, crops, monkeypatch):
    monkeypatch.setattr(int8_fit, "_MOST_HARM", 0.0)
    with pytest.raises(Int8FitError, match="not one convolution"):
        fit_int8(trial, crops)


def test_a_change_of_the_masks_is_refused(trial, crops, monkeypatch):
    monkeypatch.setattr(int8_fit, "_MOST_HARM", 9.0)
    monkeypatch.setattr(int8_fit, "LEAST_DICE", 1.1)
    with pytest.raises(Int8FitError, match="keep float32"):
        fit_int8(trial, crops)


def test_too_few_photos(trial, crops):
    with pytest.raises(Int8FitError, match="5 crops are too few"):
        fit_int8(trial, crops[:5])


def test_inputs_are_what_the_network_was_shown(tmp_path, red_dataset, red_model):
    manifest = read_manifest(red_dataset.folder)
    [trial] = plan_trials(red_model(tmp_path / "red.onnx"), manifest)
    looked = list(look_at_inputs(trial, manifest))
    assert [pair.name for pair, _ in looked] == [pair.name for pair in trial.pairs]
    assert all([crop.shape for crop in seen] == [(96, 64, 3)] for _, seen in looked)
