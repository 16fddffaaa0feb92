"""Every network of the study, through the product's commands: trained, exported, evaluated, cut with."""

import json
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.model.networks import NETWORKS, build_network

ROOT = Path(__file__).parents[2]
ARMS = {
    name: arm["network"]
    for name, arm in tomllib.loads((ROOT / "studies" / "networks.toml").read_text())["variants"].items()
}


def run(*args):
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    assert done.exit_code == 0, f"{args[0]}: {done.output}"
    return done.stdout


def side_of(name, options):
    """The smallest photos, from 64x64, that the network takes, in pixels."""
    import torch

    with torch.device("meta"):
        network = build_network(name, **options)
    least = max(64, getattr(network, "min_side", 1))
    return -(-least // network.multiple_of) * network.multiple_of


def toml(options):
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items()) + " }"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    run("studio", "--out", folder / "photos", "--cutouts", folder / "cutouts", "--garments", 4, "--height", 192)
    run("ingest", folder / "photos", folder / "cutouts", "--out", folder / "dataset", "--folds", 2)
    return folder


def test_the_study_has_every_network():
    assert {arm["name"] for arm in ARMS.values()} == set(NETWORKS) - {"prepared", "segment", "refine"}


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS)
def test_it_is_trained_and_cuts(arm, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, options = ARMS[arm]["name"], ARMS[arm].get("options", {})
    side = side_of(name, options)
    settings = [
        f"network.name={name}",
        f"network.options={toml(options)}",
        "network.start=scratch",
        f"data.size_hw=[{side}, {side}]",
        "training.steps=2",
        "training.batch=2",
        "training.evaluate_every=2",
    ]
    sets = [word for option in settings for word in ("--set", option)]
    data = dataset / "dataset"
    told = json.loads(run("train", ROOT / "recipes" / "cutnet.toml", "--data", data, "--out", "run", "--json", *sets))
    assert told["runs"][0]["ended"] == "all steps"
    card = json.loads(run("export", "run", "--out", "run/model.onnx", "--json"))
    assert card["parity"] <= 1e-3
    assert json.loads(run("evaluate", "run", data, "--json"))["num_measured"] > 0
    photos = sorted((dataset / "photos").iterdir())[:2]
    for backend in ("openvino", "onnxruntime"):
        backend_and_limits = ["--set", f"runtime.backend={backend}"]
        done = CliRunner().invoke(
            app,
            ["cut", *map(str, photos), "--out", backend, "--model", "run/model.onnx", "--json", *backend_and_limits],
        )
        # Two steps teach little: a photo may be refused for lack of a garment, but by both runtimes alike.
        told = json.loads(done.stdout)
        assert told["cut"] + told["failed"] == 2
    cut = {
        backend: sorted(path.name for path in Path(backend).glob("*.png")) for backend in ("openvino", "onnxruntime")
    }
    assert cut["openvino"] == cut["onnxruntime"]
    for file in cut["openvino"]:
        alphas = [Image.open(Path(backend) / file).getchannel("A") for backend in cut]
        differences = [abs(a - b) for a, b in zip(*(alpha.tobytes() for alpha in alphas), strict=True)]
        assert max(differences) <= 1
