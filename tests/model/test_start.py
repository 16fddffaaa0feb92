import pytest
import safetensors.torch
import torch

from garmentcut.model.checkpoint import CheckpointError, NetworkSpec, save_network
from garmentcut.model.cutnet import STARTER
from garmentcut.model.networks import build_network
from garmentcut.model.start import StartError, default_weights, start_network

SMALL = {"encoder": "resnet10t", "channels": [8, 8, 8, 8]}


def cutnet(**options):
    return build_network("cutnet", **SMALL, **options)


def saved(path, network, **options):
    save_network(path, network, NetworkSpec("cutnet", {**SMALL, **options}, (64, 64), "alpha"))
    return str(path)


def test_scratch_leaves_all_as_it_is():
    network = cutnet()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    assert start_network(network, "cutnet", "scratch") == ("cutnet: all weights drawn at random",)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_a_whole_network(tmp_path):
    one, other = cutnet(), cutnet()
    notes = start_network(other, "cutnet", saved(tmp_path / "one.safetensors", one))
    assert notes == (f"cutnet: all weights from {tmp_path / 'one.safetensors'}",)
    assert all(torch.equal(tensor, other.state_dict()[key]) for key, tensor in one.state_dict().items())


def test_a_network_without_the_new_parts(tmp_path):
    plain, full = cutnet(context=False, detail=False), cutnet()
    notes = start_network(full, "cutnet", saved(tmp_path / "plain", plain, context=False, detail=False))
    assert notes[1] == "new and neutral until they learn: context, detail"
    photos = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(full.eval()(photos), plain.eval()(photos))


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.mark.parametrize("options", [{}, STARTER], ids=["default options", "starter"])
def test_the_embedded_model(options):
    network = build_network("cutnet", **options)
    notes = start_network(network, "cutnet", "default")
    stored = safetensors.torch.load_file(default_weights())
    assert torch.equal(network.head.weight, stored["head.weight"].float())
    assert len(notes) == (1 if options else 2)


def test_an_encoders_file(tmp_path):
    one, other = cutnet(), cutnet()
    head = other.head.weight.clone()
    safetensors.torch.save_file(one.encoder.trunk.state_dict(), tmp_path / "encoder.safetensors")
    (note,) = start_network(other, "cutnet", str(tmp_path / "encoder.safetensors"))
    assert note == "cutnet: encoder is resnet10t with the file's weights, the rest drawn at random"
    weights = other.encoder.state_dict()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in one.encoder.state_dict().items())
    assert torch.equal(other.head.weight, head)


def test_imagenet_out_of_reach_says_what_to_do(monkeypatch):
    network = cutnet()

    def unreachable(*_, **__):
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(StartError, match=r"no route to the hub\); set network.start to a .safetensors file .* scratch"):
        start_network(network, "cutnet", "imagenet")


@pytest.mark.parametrize("start", ["imagenet", "encoder file"])
def test_a_network_without_an_encoder(tmp_path, start):
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    start = str(tmp_path / "a.safetensors") if start == "encoder file" else start
    with pytest.raises(
        StartError, match=r"simple has no encoder that could start from .*; set network.start to scratch"
    ):
        start_network(build_network("simple"), "simple", start)


def test_what_does_not_fit(tmp_path):
    path = saved(tmp_path / "a.safetensors", cutnet())
    before = (network := cutnet(detail=False)).head.weight.clone()
    with pytest.raises(
        CheckpointError, match=r"does not fit these options: unknown: detail.correct.bias, .* and 1 more"
    ):
        start_network(network, "cutnet", path)
    assert torch.equal(network.head.weight, before)
    with pytest.raises(CheckpointError, match=r"is a cutnet, not a simple; set network.name .* to cutnet, \{'encoder'"):
        start_network(build_network("simple"), "simple", path)
    with pytest.raises(StartError, match="'imagnet' is no file; give one, or imagenet, scratch or default"):
        start_network(cutnet(), "cutnet", "imagnet")
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(StartError, match=r"foreign.safetensors: not the weights of resnet10t: missing: "):
        start_network(cutnet(), "cutnet", str(tmp_path / "foreign.safetensors"))
