from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from garmentcut.errors import ModelError
from garmentcut.model.card import UNKNOWN
from garmentcut.model.checkpoint import (
    NetworkSpec,
    default_weights,
    origin_of,
    read_weights,
    save_network,
    start_network,
    widened,
)
from garmentcut.model.networks import build_network
from garmentcut.recipe import STAGES, load_recipe, stage_recipe

SMALL = {"encoder": "test_resnet", "channels": [8, 8, 8, 8]}


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


def test_what_a_start_has_learned_from(tmp_path):
    assert origin_of("scratch") == ("random weights", (), "")
    assert origin_of("imagenet").trained_on == ()
    words, trained_on, _ = origin_of("default/segment")
    assert words.startswith("the embedded model ") and len(trained_on) > 100
    parent = tmp_path / "parent.safetensors"
    facts = {"trained_on": ["0123456789ab"], "trained_hashes": "cHJpbnQ="}
    save_network(parent, cutnet(), NetworkSpec("cutnet", SMALL, (64, 64), "alpha", facts))
    assert origin_of(str(parent)) == ("parent.safetensors of a cutnet", ("0123456789ab",), "cHJpbnQ=")
    facts["trained_prints"] = facts.pop("trained_hashes")  # as older files call them
    save_network(parent, cutnet(), NetworkSpec("cutnet", SMALL, (64, 64), "alpha", facts))
    assert origin_of(str(parent)).trained_hashes == "cHJpbnQ="
    save_network(parent, cutnet(), NetworkSpec("cutnet", SMALL, (64, 64), "alpha"))
    assert origin_of(str(parent)).trained_on == (UNKNOWN,)  # nobody recorded them
    safetensors.torch.save_file(cutnet().encoder.trunk.state_dict(), tmp_path / "encoder")
    assert origin_of(str(tmp_path / "encoder")) == ("encoder, weights of the encoder", (), "")
    with pytest.raises(ModelError, match="not a file"):
        origin_of("nowhere.safetensors")


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.mark.parametrize("stage", STAGES)
def test_the_embedded_model(stage):
    name = stage_recipe(load_recipe(Path("finetune")), stage).network.name
    weights, spec = read_weights(default_weights(stage))
    assert spec.name == name
    network = build_network(name, **spec.options)
    (note,) = start_network(network, name, f"default/{stage}")
    assert note == f"{name}: all weights from default/{stage}"
    assert all(torch.equal(tensor, weights[key].to(tensor.dtype)) for key, tensor in network.state_dict().items())


def test_one_network_cannot_start_from_three():
    with pytest.raises(ModelError, match='base = "finetune"'):
        start_network(cutnet(), "cutnet", "default")


def test_an_encoders_file(tmp_path):
    one, other = cutnet(), cutnet()
    head = other.head.weight.clone()
    safetensors.torch.save_file(one.encoder.trunk.state_dict(), tmp_path / "encoder.safetensors")
    (note,) = start_network(other, "cutnet", str(tmp_path / "encoder.safetensors"))
    assert note == "cutnet: encoder is test_resnet with the file's weights, the rest drawn at random"
    weights = other.encoder.state_dict()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in one.encoder.state_dict().items())
    assert torch.equal(other.head.weight, head)


# Networks that have an encoder, and the source of its weights; those of 101 layers have more of what those of 50 have.
ENCODERS = (
    ("cutnet", SMALL, "timm test_resnet"),
    ("deeplab_largefov", {}, "torchvision vgg16"),
    ("fcn", {}, "torchvision vgg16"),
    ("segnet", {}, "torchvision vgg16_bn"),
    ("ternausnet", {"depth": 11}, "torchvision vgg11"),
    ("ternausnet", {"depth": 16}, "torchvision vgg16"),
    ("linknet34", {}, "torchvision resnet34"),
    ("pspnet", {"depth": 50}, "timm resnet50s"),
    ("deeplab_plus", {"encoder": "resnet50"}, "torchvision resnet50"),
    ("deeplab_plus", {"encoder": "xception65"}, "timm xception65"),
)
every_encoder = pytest.mark.parametrize(
    ("name", "options", "source"), ENCODERS, ids=[f"{name}-{source}" for name, _, source in ENCODERS]
)


@pytest.mark.parametrize(("name", "options"), [("cutnet", SMALL), ("fcn", {}), ("pspnet", {"depth": 50})])
def test_without_the_hub_it_stops_and_offers_other_starts(name, options, monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route\nto the hub")

    with torch.device("meta"):
        network = build_network(name, **options)
    before = {key: id(tensor) for key, tensor in network.state_dict(keep_vars=True).items()}
    monkeypatch.setattr("timm.create_model", unreachable)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(
        ModelError, match=r"the hub \(no route to the hub\); set network.start to .*scratch, or"
    ) as told:
        start_network(network, name, "imagenet")
    assert "default" not in str(told.value)  # no such network's weights are embedded
    assert {key: id(tensor) for key, tensor in network.state_dict(keep_vars=True).items()} == before


def weights_of(source):
    """Weights in the source's own keys and shapes, each tensor one number of its own; no classifier."""
    library, _, architecture = source.partition(" ")
    with torch.device("meta"):
        made = timm.create_model(architecture) if library == "timm" else torchvision.models.get_model(architecture)
    kept = {
        key: tensor for key, tensor in made.state_dict().items() if not key.startswith(("classifier", "fc", "head"))
    }
    return {
        key: torch.full(tensor.shape, number % 1000 + 1).to(torch.float16 if tensor.ndim else torch.int64)
        for number, (key, tensor) in enumerate(kept.items())
    }


@every_encoder
def test_an_encoder_starts_from_a_file(name, options, source, tmp_path):
    weights = weights_of(source)
    safetensors.torch.save_file(weights, tmp_path / "encoder.safetensors")
    with torch.device("meta"):
        network = build_network(name, **options)
    network = network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.zero_()
    (note,) = start_network(network, name, str(tmp_path / "encoder.safetensors"))
    assert note.startswith(f"{name}: encoder is ")
    found = {float(tensor.flatten()[0]) for tensor in network.state_dict().values() if tensor.ndim}
    assert found == {float(tensor.flatten()[0]) for tensor in weights.values() if tensor.ndim} | {0.0}


@pytest.mark.parametrize("start", ["imagenet", "encoder file"])
def test_a_network_without_an_encoder(tmp_path, start):
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    start = str(tmp_path / "a.safetensors") if start == "encoder file" else start
    with pytest.raises(
        ModelError, match=r"simple has no encoder that could start from .*; set network.start to scratch"
    ):
        start_network(build_network("simple"), "simple", start)


def test_what_does_not_fit(tmp_path):
    path = saved(tmp_path / "a.safetensors", cutnet())
    before = (network := cutnet(detail=False)).head.weight.clone()
    with pytest.raises(ModelError, match=r"does not fit these options: unknown: detail.correct.bias, .* and 1 more"):
        start_network(network, "cutnet", path)
    assert torch.equal(network.head.weight, before)
    with pytest.raises(ModelError, match=r"is a cutnet, not a simple; set network.name .* to cutnet, \{'encoder'"):
        start_network(build_network("simple"), "simple", path)
    with pytest.raises(ModelError, match="'imagnet' is not a file; give one, or imagenet, scratch or default"):
        start_network(cutnet(), "cutnet", "imagnet")
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match=r"foreign.safetensors: not the weights of test_resnet: missing: "):
        start_network(cutnet(), "cutnet", str(tmp_path / "foreign.safetensors"))


@pytest.fixture
def three():
    torch.manual_seed(0)
    return build_network("cutnet", **SMALL).eval()


def test_a_wider_network_gives_what_the_narrow_one_gave(three, tmp_path):
    torch.nn.init.normal_(three.head.weight)
    save_network(tmp_path / "three.safetensors", three, NetworkSpec("cutnet", SMALL, (64, 64), "alpha"))
    four = build_network("cutnet", **SMALL, in_channels=4).eval()
    start_network(four, "cutnet", str(tmp_path / "three.safetensors"))
    photos = torch.rand(2, 3, 64, 64)
    for level in (0.0, 1.0):
        seen = torch.cat([photos, torch.full((2, 1, 64, 64), level)], dim=1)
        assert torch.allclose(four(seen), three(photos), atol=1e-4)


def test_only_inputs_are_widened():
    weights = {"a": torch.ones(2, 3, 1, 1), "b": torch.ones(2, 3, 1, 1), "c": torch.ones(4)}
    own = {"a": torch.zeros(2, 4, 1, 1), "b": torch.zeros(3, 3, 1, 1), "c": torch.zeros(5)}
    fitted = widened(weights, own)
    assert fitted["a"].shape == (2, 4, 1, 1)
    assert fitted["a"][:, 3].abs().sum() == 0
    assert fitted["b"] is weights["b"]
    assert fitted["c"] is weights["c"]
