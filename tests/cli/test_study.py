"""`garmentcut study`, as people run it; synthetic photos of 96x64, a tiny network."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import garmentcut.study
from garmentcut.cli import app
from garmentcut.evaluation.scores import read_scores, write_scores
from garmentcut.export.onnx import export_network
from garmentcut.model.card import with_card
from garmentcut.synthetic import write_studio_photos
from garmentcut.training.logging import Evaluated
from garmentcut.training.loop import train_runs

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "studies/smoke.toml"
ONE_SEED = ("--seed", "0")  # of the two; several seeds are compared in tests/study, where nothing is trained
RUNS = [f"{variant}/seed0-fold{fold}" for variant in ("simple", "faster") for fold in (0, 1)]


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Four drawn garments in three views, in two folds."""
    folder = tmp_path_factory.mktemp("studio")
    originals, cutouts, dataset = folder / "originals", folder / "cutouts", folder / "dataset"
    list(write_studio_photos(originals, range(4), size_hw=(96, 64), cutouts_dir=cutouts))
    done = run("ingest", originals, cutouts, "--out", dataset, "--folds", 2)
    assert done.exit_code == 0, done.output
    return dataset


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """A study that was killed in its third run, and went on; how processes share one is in tests/study/test_plan.py."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    out, left, networks = tmp_path_factory.mktemp("study") / "out", tmp_path_factory.mktemp("left") / "out", []
    command = ["study", SMOKE, "--data", dataset, "--out", out, *ONE_SEED]

    def killed_in_its_third_run(*args, **options):
        for told, event in train_runs(*args, **options):
            yield told, event
            if isinstance(event, Evaluated) and len(list(out.glob("runs/*/*/scores.jsonl"))) == 2:
                shutil.copytree(out, left)  # what is on disk now is all that a killed process leaves
                raise KeyboardInterrupt

    def exported(network, card):  # torch takes long to: the first run's network will do for the others
        networks.append(networks[0] if networks else export_network(network, card))
        return with_card(networks[0], card)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("garmentcut.study.run.export_network", exported)
        with patch.context() as killing:
            killing.setattr("garmentcut.study.run.train_runs", killed_in_its_third_run)
            seen = run(*command).stderr.splitlines()
        shutil.rmtree(out)
        left.rename(out)
        assert seen[0] == "simple, seed 0, fold 0: begins"
        assert len([text for text in seen if "step 4/8" in text]) == 3
        again = run(*command)
    torch.set_num_threads(threads)
    return out, seen, again


def test_killed_each_run_is_done_once(finished):
    out, seen, again = finished
    assert again.exit_code == 0, again.stderr
    done = [line for line in [*seen, *again.stderr.splitlines()] if ": done, Dice" in line]
    assert len(done) == len({line.partition(":")[0] for line in done}) == len(RUNS)
    assert sorted(path.parent.relative_to(out / "runs").as_posix() for path in out.glob("runs/*/*/scores.jsonl")) == (
        sorted(RUNS)
    )


def test_no_step_of_the_killed_run_counts_twice(finished):
    out = finished[0]
    journal = (out / "runs/simple/seed0-fold1/journal.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in journal if json.loads(line)["kind"] == "step"]
    assert steps == list(range(1, 9))


def test_the_report_has_the_means_of_the_scores(finished, dataset, tmp_path):
    out = shutil.copytree(finished[0], tmp_path / "out")  # both variants got the first one's network: no difference
    base = {"simple": 0.8, "faster": 0.9}
    dices = {variant: [] for variant in base}
    for folder in sorted(out.glob("runs/*/*")):
        variant = folder.parent.name
        rows = read_scores(folder)
        found = [base[variant] + (0.01 if variant == "simple" else -0.002) * place for place in range(len(rows))]
        measures = [replace(row.measures, dice=dice) for row, dice in zip(rows, found, strict=True)]
        write_scores([replace(row, measures=one) for row, one in zip(rows, measures, strict=True)], folder)
        dices[variant] += found
    done = run("study", SMOKE, "--data", dataset, "--out", out, *ONE_SEED, "--report-only", "--json")
    assert done.exit_code == 0
    results = json.loads(done.stdout)
    assert [len(values) for values in dices.values()] == [12, 12]
    for variant in results["variants"]:
        values = dices[variant["variant"]]
        assert variant["mean"] == pytest.approx(sum(values) / 12)
        assert variant["median"] == pytest.approx((sorted(values)[5] + sorted(values)[6]) / 2)
        assert (variant["num_done"], variant["num_photos"]) == (2, 12)
    paired = results["variants"][1]["paired"]
    assert paired["dice"]["value"] == pytest.approx(0.1 - 0.012 * 2.5)  # of six photos in each fold
    assert (paired["better"], paired["worse"], paired["same"]) == (12, 0, 0)
    assert "too few garments" not in results["headline"]
    assert (out / "report.html").exists()


def test_nothing_is_left_to_do(finished, dataset):
    done = run("study", SMOKE, "--data", dataset, "--out", finished[0], *ONE_SEED)
    assert done.exit_code == 0
    assert done.stderr == f"next: open {finished[0] / 'report.html'}\n"  # and nothing of any run
    assert done.stdout.startswith("Smoke test: ")
    assert done.stdout.endswith(f"page: {finished[0] / 'report.html'}\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--set", "training.steps=9"],
            "other runs of variant 'simple': training.steps was 8, is 9. Choose another --out",
        ),
        (["--set", "optimizer.lr=1"], "it is what the variants differ in"),
        (["--arm", "none"], "garmentcut: --arm is called --variant now\n"),
        (["--variant", "none"], "there is no variant 'none'; there is simple, faster"),
        (["--fold", "7"], "has no split 'fold7'"),
        (["--set", "training.steps"], "not of the form section.key=value"),
    ],
)
def test_misuse_exits_2_and_says_what_to_change(finished, dataset, options, says):
    done = run("study", SMOKE, "--data", dataset, "--out", finished[0], *options)
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["none.toml", "--data", "DATASET", "--out", "x"], "none.toml: No such file"),
        ([SMOKE, "--data", "nowhere", "--out", "x"], "make one with `garmentcut ingest`"),
        ([SMOKE, "--data", "DATASET", "--out", ""], "--out is missing or empty"),
        ([SMOKE, "--data", "DATASET", "--out", "DATASET"], "not empty, and not a study's"),
    ],
)
def test_folders_and_files_that_are_not_there(dataset, args, says):
    done = run("study", *[dataset if arg == "DATASET" else arg for arg in args])
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_failed_run_exits_1_and_is_named(finished, tmp_path, dataset, monkeypatch):
    # What was exported before will do for the run that does not fail: torch takes long to export.
    model = (finished[0] / "runs/simple/seed0-fold0/model.onnx").read_bytes()
    monkeypatch.setattr("garmentcut.study.run.export_network", lambda _, card: with_card(model, card))
    (tmp_path / "base.toml").write_text((ROOT / "recipes/simple.toml").read_text())
    study = tmp_path / "study.toml"
    study.write_text(
        SMOKE.read_text()
        .replace("../recipes/simple.toml", "base.toml")
        .replace("[variants.faster]\noptimizer.lr = 3e-3", '[variants.faster]\nnetwork.start = "none.safetensors"')
    )
    args = ["--data", dataset, "--out", tmp_path / "out", "--seed", 0, "--fold", 0]
    done = run("study", study, *args)
    assert done.exit_code == 1
    assert "failed: faster, seed 0, fold 0: network.start: 'none.safetensors' is not a file" in done.stdout
    assert "No verdict, runs are missing: faster." in done.stdout
    assert (tmp_path / "out/runs/simple/seed0-fold0/scores.jsonl").exists()


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    """As in a new process, which nothing of a study has been loaded into."""
    for name in [name for name in sys.modules if name.startswith("garmentcut.study.")]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(garmentcut.study, name.split(".")[2], raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = run("study", SMOKE, "--data", "x", "--out", tmp_path / "o")
    assert done.exit_code == 2
    assert "optuna" in done.stderr
    assert "pip install 'garmentcut[train]'" in done.stderr
