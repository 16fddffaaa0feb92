import csv
import hashlib
import io
import itertools
import json
import re
import subprocess
import sys
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.dataset.manifest import Manifest, Pair, read_manifest, write_manifest
from garmentcut.evaluation.scores import read_scores
from garmentcut.model.card import ModelCard, with_card
from garmentcut.photo.files import write_atomic
from garmentcut.photo.write import png_bytes

CARD = ModelCard(
    name="red",
    network="red minus green",
    working_size_hw=(96, 64),
    multiple_of=32,
    input_name="x",
    output_name="y",
    input_scale=1 / 255,
    convention="alpha",
    training_data="none",
    licence="MIT",
)


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network of one layer that finds red cloth: loaded in milliseconds."""
    conv = helper.make_node("Conv", ["x", "weight", "bias"], ["y"], kernel_shape=[1, 1])
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1, 3, 1, 1], [24.0, -24.0, 0.0])
    bias = helper.make_tensor("bias", TensorProto.FLOAT, [1], [-12.0])
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c, "h", "w"]) for n, c in (("x", 3), ("y", 1))]
    graph = helper.make_graph([conv], "red", ends[:1], ends[1:], [weight, bias])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("model") / "red.onnx"
    path.write_bytes(with_card(network.SerializeToString(), CARD))
    return path


@pytest.fixture
def dataset(tmp_path):
    """Two red dresses before a gray wall, in two views, a split each; the targets lie up to three pixels off."""
    folder, pairs = tmp_path / "dataset", []
    for number, (garment, view) in enumerate(itertools.product("ab", ("Front", "Back"))):
        name = f"{garment}_{view}"
        rgb, alpha = np.full((96, 64, 3), 200, np.uint8), np.zeros((96, 64), np.uint8)
        rgb[20:70, 20:44] = 255, number, 0  # no two photos are the same file
        alpha[20 + number : 70 + number, 20:44] = 255
        write_atomic(folder / f"photos/{name}.png", png_bytes(rgb))
        write_atomic(folder / f"alpha/{name}.png", png_bytes(alpha))
        pairs.append(
            Pair(
                name=name,
                garment=garment,
                view=view,
                photo=f"photos/{name}.png",
                cutout="none.png",
                alpha=f"alpha/{name}.png",
                photo_sha256=hashlib.sha256((folder / f"photos/{name}.png").read_bytes()).hexdigest(),
                cutout_sha256="0" * 64,
                size_hw=(96, 64),
                box_xyxy=(20, 20 + number, 44, 70 + number),
                split=f"fold{number // 2}",
                source="mask image",
                faults=(),
                group=garment,
            )
        )
    write_manifest(Manifest(folder, tuple(pairs), "folds 2"))
    return folder


def test_the_main_job(tmp_path, model, dataset):
    out, page = tmp_path / "scores", tmp_path / "page.html"
    done = run("evaluate", model, dataset, "--out", out, "--report", page, "--worst", 3)
    assert done.exit_code == 0
    assert done.stderr == f"next: open {page}\n"  # no progress bar where nobody looks
    assert done.stdout.startswith("4 photos: 4 measured")
    assert "surface Dice, 2 px" in done.stdout
    scores = read_scores(out)
    assert sorted(score.split for score in scores) == ["fold0", "fold0", "fold1", "fold1"]
    assert {score.name: score.measures.dice for score in scores} == pytest.approx(
        {"a_Front": 1, "a_Back": 49 / 50, "b_Front": 48 / 50, "b_Back": 47 / 50}
    )
    with (out / "scores.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [score.name for score in scores]
    totals = json.loads((out / "totals.json").read_text())
    mean = sum(score.measures.dice for score in scores) / 4
    assert totals["by_view"][0]["figures"]["dice"]["mean"]["value"] == pytest.approx(mean)
    text = page.read_text(encoding="utf-8")
    assert text.count("<article>") == 3
    assert re.findall(r"</span> (\w+)</h3>", text) == ["b_Back", "b_Front", "a_Back"]


def test_photos_that_the_model_knows_are_refused_or_told_in_red(tmp_path, model, dataset, monkeypatch):
    marks = tuple(pair.photo_sha256[:12] for pair in read_manifest(dataset).usable if pair.name == "a_Front")
    learned = tmp_path / "learned.onnx"
    learned.write_bytes(with_card(model.read_bytes(), replace(CARD, trained_on=marks)))
    refused = run("evaluate", learned, dataset)
    assert refused.exit_code == 2
    assert "learned.onnx was trained on 2 of these 4 photos, or on others of the same garments" in refused.stderr
    assert "--seen" in refused.stderr and refused.stdout == ""
    assert run("evaluate", model, dataset, "--against", learned).exit_code == 2
    told = CliRunner().invoke(app, ["evaluate", str(learned), str(dataset), "--seen"], color=True)
    assert told.exit_code == 0
    assert "\x1b[31m" in told.stderr and "2 of 4 photos were in the training data" in told.stderr
    assert run("evaluate", learned, dataset, "--split", "fold1").exit_code == 0
    with monkeypatch.context() as patch:
        closed = Mock(spec=io.StringIO, write=Mock(side_effect=BrokenPipeError), isatty=lambda: False, encoding="utf-8")
        patch.setattr(sys, "stderr", closed)
        assert not app(["evaluate", str(learned), str(dataset), "--seen"], standalone_mode=False)


def test_json_is_for_machines(model, dataset):
    done = run("evaluate", model, dataset, "--split", "fold1", "--json")
    totals = json.loads(done.stdout)
    assert (done.exit_code, totals["num_photos"], totals["num_failed"]) == (0, 2, 0)


def test_a_model_against_another_one(tmp_path, model, dataset):
    page, other = tmp_path / "page.html", tmp_path / "other.onnx"
    other.write_bytes(with_card(model.read_bytes(), replace(CARD, name="old", choke_px=2.0)))
    done = run("evaluate", model, dataset, "--against", other, "--report", page)
    assert done.exit_code == 0, done.output
    assert "Against old@" in done.stdout
    assert "Dice rose in 4 photos and fell in 0" in done.stdout
    text = page.read_text(encoding="utf-8")
    assert text.index("Largest gains") < text.index("before: old@") < text.index("now: red@")
    found = json.loads(run("evaluate", model, dataset, "--against", other, "--json").stdout)["against"]
    assert found["num_photos"] == 4
    assert found["differences"]["dice"]["value"] > 0


def test_a_broken_pair_is_named_and_the_exit_code_says_so(model, dataset):
    broken = sorted((dataset / "alpha").iterdir())[0]
    broken.write_bytes(b"no picture")
    done = run("evaluate", model, dataset)
    assert done.exit_code == 1
    assert re.match(r"4 photos: 3 measured.*, 1 failed", done.stdout)
    assert f"failed: {broken.stem}: " in done.stdout
    assert str(broken) in done.stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["none.onnx", "DATASET"], "none.onnx: No such file"),
        (["default", "nowhere"], "make one with `garmentcut ingest`"),
        (["MODEL", "DATASET", "--split", "fold9"], "has no split 'fold9'; it has fold0, fold1"),
        (["", "DATASET"], ". holds no model.onnx"),
        (["DATASET", "DATASET"], "holds no model.onnx; export it"),
    ],
)
def test_misuse_exits_2_and_says_what_to_change(model, dataset, args, says):
    named = {"MODEL": model, "DATASET": dataset}
    done = run("evaluate", *(named.get(arg, arg) for arg in args))
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_a_page_that_cannot_be_written(tmp_path, model, dataset):
    (tmp_path / "file").write_text("x")
    done = run("evaluate", model, dataset, "--split", "fold0", "--report", tmp_path / "file/page.html")
    assert done.exit_code == 2
    assert f"{tmp_path / 'file'} is no folder that you may write to" in done.stderr
    assert "photos" not in done.stderr  # before any photo was cut
    assert "it is a folder" in run("evaluate", model, dataset, "--split", "fold0", "--report", tmp_path).stderr


def test_without_the_extra_it_says_what_to_install(model, dataset):
    code = "import sys\nsys.modules['scipy'] = None\n"
    code += f"sys.argv = ['garmentcut', 'evaluate', {str(model)!r}, {str(dataset)!r}]\n"
    code += "from garmentcut.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'garmentcut[train]'" in done.stderr


def test_evaluating_never_loads_torch(model, dataset):
    code = "import atexit, os, sys\nheavy = {'torch', 'torchvision', 'timm', 'lightning'}\n"
    code += "atexit.register(lambda: os._exit(9) if heavy & sys.modules.keys() else None)\n"
    code += f"sys.argv = ['garmentcut', 'evaluate', {str(model)!r}, {str(dataset)!r}, '--split', 'fold0']\n"
    code += "from garmentcut.cli import main\nmain()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def run_audit(*args):
    return CliRunner().invoke(app, ["audit", *map(str, args)])


@pytest.fixture
def dataset_audit(red_dataset):
    return red_dataset.folder


def test_a_page_of_suspects(red_runs, dataset_audit, tmp_path):
    done = run_audit(dataset_audit, "--model", red_runs, "--out", tmp_path / "page", "--worst", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].split()[2].startswith("g5_Back")
    assert (tmp_path / "page/index.html").read_text().count("<article") == 3
    assert len((tmp_path / "page/suspects.jsonl").read_text().splitlines()) == 12


def test_json_for_machines(red_runs, dataset_audit):
    done = run_audit(dataset_audit, "--model", red_runs, "--json")
    assert next(row["name"] for row in json.loads(done.stdout)["suspects"]) == "g5_Back"


def test_verdicts_are_kept_by_hand_and_from_the_page(dataset_audit, tmp_path):
    done = run_audit(dataset_audit, "--mark", "g5_Back=wrong", "--mark", "g0_Front=right")
    assert (done.exit_code, done.stdout.strip()) == (0, f"{dataset_audit}: 1 right, 1 wrong, of 12 cutouts")
    (tmp_path / "v.json").write_text(json.dumps({"verdicts": {"g0_Front": "", "g1_Back": "unsure"}}))
    assert json.loads(run_audit(dataset_audit, "--verdicts", tmp_path / "v.json", "--json").stdout) == {
        "wrong": 1,
        "unsure": 1,
    }
    assert {pair.name: pair.verdict for pair in read_manifest(dataset_audit).pairs if pair.verdict} == {
        "g5_Back": "wrong",
        "g1_Back": "unsure",
    }


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "nothing to do: give --model RUNS to audit"),
        (("--mark", "g5_Back"), "not of the form NAME=wrong"),
        (("--mark", "g7=wrong"), "no usable pair named g7"),
        (("--mark", "g5_Back=wrong", "--model", "x.onnx"), "store verdicts first"),
        (("--model", "none.onnx"), "none.onnx: No such file"),
    ],
)
def test_misuse(dataset_audit, args, message):
    done = run_audit(dataset_audit, *args)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_pair_that_cannot_be_read_is_reported(red_runs, dataset_audit, red_dataset):
    red_dataset.path_of(red_dataset.usable[0].photo).unlink()
    done = run_audit(dataset_audit, "--model", red_runs)
    assert done.exit_code == 1
    assert "failed: g0_Front: " in done.stdout
