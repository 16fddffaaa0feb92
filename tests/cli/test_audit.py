import json

import pytest
from typer.testing import CliRunner

from garmentcut.cli import app, audit  # noqa: F401 registers the command
from garmentcut.dataset.manifest import read_manifest


def run(*args):
    return CliRunner().invoke(app, ["audit", *map(str, args)])


@pytest.fixture
def dataset(red_dataset):
    return red_dataset.folder


def test_a_page_of_suspects(red_runs, dataset, tmp_path):
    done = run(dataset, "--model", red_runs, "--out", tmp_path / "page", "--worst", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].split()[2].startswith("g5_Back")
    assert (tmp_path / "page/index.html").read_text().count("<article") == 3
    assert len((tmp_path / "page/suspects.jsonl").read_text().splitlines()) == 12


def test_json_for_machines(red_runs, dataset):
    done = run(dataset, "--model", red_runs, "--json")
    assert next(row["name"] for row in json.loads(done.stdout)["suspects"]) == "g5_Back"


def test_verdicts_are_kept_by_hand_and_from_the_page(dataset, tmp_path):
    done = run(dataset, "--mark", "g5_Back=wrong", "--mark", "g0_Front=right")
    assert (done.exit_code, done.stdout.strip()) == (0, f"{dataset}: 1 right, 1 wrong, of 12 cutouts")
    (tmp_path / "v.json").write_text(json.dumps({"verdicts": {"g0_Front": "", "g1_Back": "unsure"}}))
    assert json.loads(run(dataset, "--verdicts", tmp_path / "v.json", "--json").stdout) == {"wrong": 1, "unsure": 1}
    assert {pair.name: pair.verdict for pair in read_manifest(dataset).pairs if pair.verdict} == {
        "g5_Back": "wrong",
        "g1_Back": "unsure",
    }


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "nothing to do: --model RUNS to audit"),
        (("--mark", "g5_Back"), "not of the form NAME=wrong"),
        (("--mark", "g7=wrong"), "no usable pair named g7"),
        (("--mark", "g5_Back=wrong", "--model", "x.onnx"), "keep verdicts first"),
        (("--model", "none.onnx"), "none.onnx: No such file"),
    ],
)
def test_misuse(dataset, args, message):
    done = run(dataset, *args)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_pair_that_cannot_be_read_is_told(red_runs, dataset, red_dataset):
    red_dataset.path_of(red_dataset.usable[0].photo).unlink()
    done = run(dataset, "--model", red_runs)
    assert done.exit_code == 1
    assert "failed: g0_Front: " in done.stdout
