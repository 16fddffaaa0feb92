import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from garmentcut.config import RuntimeConfig
from garmentcut.errors import RunError
from garmentcut.export import onnx as export
from garmentcut.export.onnx import card_of_network, export_network
from garmentcut.model.card import card_of, read_model, stage_network_of
from garmentcut.model.checkpoint import NetworkSpec, default_weights, load_network
from garmentcut.prediction.cutter import model_path
from garmentcut.prediction.runtime import load_runtime
from garmentcut.recipe import STAGES
from garmentcut.synthetic import draw_studio_photo


def torch_logits(network, photos):
    with torch.no_grad():
        return network.eval()(photos).numpy()


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 3, 96, 64), (3, 3, 64, 160)])
def test_any_number_and_size(network, exported, shape):
    session, photos = onnxruntime.InferenceSession(exported), torch.rand(shape)
    (logits,) = session.run(None, {"x": photos.numpy()})
    assert logits.dtype == np.float32
    assert np.abs(logits - torch_logits(network, photos)).max() < 1e-3


def test_the_file_says_what_it_takes(exported):
    model = onnx.load_from_string(exported)
    onnx.checker.check_model(model)
    (x,), (y,) = model.graph.input, model.graph.output
    dims = [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in (x, y)]
    assert (x.name, y.name) == ("x", "y")
    assert dims == [["n", 3, "h", "w"], ["n", 1, "h", "w"]]
    assert [operators.version for operators in model.opset_import if operators.domain == ""] == [18]
    assert not {node.op_type for node in model.graph.node} & {"BatchNormalization"}  # folded into the convolutions


def test_it_holds_nothing_of_the_machine_it_was_made_on(exported):
    assert b"/garmentcut/" not in exported
    assert b"Traceback" not in exported and b"File " not in exported


def test_the_card_is_inside_with_the_parity(exported, network, spec):
    card = card_of(exported)
    assert 0 <= card.parity < 1e-4
    assert card.trained_on == ("0123456789ab",)
    assert card.network == card_of_network(network, spec).network


def test_the_product_runs_it(network, exported):
    card = card_of(exported)
    rgb = np.random.default_rng(0).integers(0, 256, (96, 64, 3), np.uint8)
    alpha = load_runtime(exported, card, RuntimeConfig(backend="openvino", threads=1))(rgb)
    logits = torch_logits(network, torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255)[0, 0]
    assert alpha.std() > 0.05
    assert np.abs(alpha - 1 / (1 + np.exp(0.25 - logits))).max() < 1e-4


@pytest.mark.parametrize("largest", [0.0011, float("nan")])
def test_without_parity_there_is_no_file(network, spec, exported, monkeypatch, largest):
    monkeypatch.setattr(export, "_onnx_of", lambda *_: exported)
    monkeypatch.setattr(export, "measure_parity", lambda *_: {"openvino": 1e-7, "onnxruntime": largest})
    with pytest.raises(RunError, match=r"differ from torch's, openvino by 1e-07, onnxruntime by .*; at most 0.001"):
        export_network(network, card_of_network(network, spec))


def test_a_network_for_one_size_only_is_refused(spec, capfd):
    class Fixed(torch.nn.Module):
        multiple_of = 1

        def forward(self, x):
            return x[:, :1] + torch.ones(1, 1, 96, 97)

    with pytest.raises(RunError, match="cutnet: torch cannot export it for photos of any size: "):
        export_network(Fixed(), card_of_network(Fixed(), spec))
    assert capfd.readouterr() == ("", "")


def test_the_network_is_left_as_it_was(network, spec, exported, monkeypatch):
    monkeypatch.setattr(export, "_onnx_of", lambda *_: exported)
    network.train().double()
    try:
        export_network(network, card_of_network(network, spec))
        assert network.training
        assert network.head.weight.dtype == torch.float64
    finally:
        network.float()


@pytest.mark.slow
def test_the_same_network_gives_the_same_file(network, spec, exported):
    before = torch.get_rng_state()
    assert export_network(network, card_of_network(network, spec)) == exported
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_embedded_model_is_what_its_weights_export_to(stage):
    network, spec = load_network(default_weights(stage))
    model, card = read_model(model_path())
    own = card.stage_card(stage)
    small = NetworkSpec(spec.name, spec.options, (128, 96), spec.target, spec.facts)
    ours = export_network(network, card_of_network(network, small))
    photo = draw_studio_photo(3, size_hw=(384, 256))
    pixels = np.dstack([photo.rgb, np.rint(photo.alpha * 255).astype(np.uint8)]) if stage == "refine" else photo.rgb
    one, other = (load_runtime(content, own)(pixels) for content in (stage_network_of(model, card, stage), ours))
    assert one.max() > 0.9  # there is a garment to disagree on
    assert np.abs(one - other).max() < 0.05  # locate's weights are stored in 8 bits, the others' in 16
