import io
import itertools
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.cli.train import _Shown, training_progress
from garmentcut.synthetic import VIEWS, draw_studio_photo
from garmentcut.training import loop
from garmentcut.training.logging import MapsDone, Planned

ROOT = Path(__file__).parents[2]
RECIPE = """
[network]
name = "simple"
options = { channels = [4, 8] }
start = "scratch"
[data]
size_hw = [96, 64]
workers = 1
[training]
steps = 4
batch = 2
evaluate_every = 2
"""


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads that wait for each other on a busy machine cost more than these small networks do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two garments in three views and two folds."""
    folder = tmp_path_factory.mktemp("studio")
    for side in ("photos", "cutouts"):
        (folder / side).mkdir()
    for seed, view in itertools.product((1, 2), VIEWS):
        shot = draw_studio_photo(seed, view=view, size_hw=(288, 192))
        name, alpha = f"{shot.garment}_{view}.png", np.rint(shot.alpha[..., None] * 255).astype(np.uint8)
        Image.fromarray(shot.rgb).save(folder / "photos" / name)
        Image.fromarray(np.concatenate([shot.rgb * (alpha > 0), alpha], -1)).save(folder / "cutouts" / name)
    done = run("ingest", folder / "photos", folder / "cutouts", "--out", folder / "dataset", "--folds", 2)
    assert done.exit_code == 0, done.output
    return folder / "dataset"


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "small.toml").write_text(RECIPE)
    return tmp_path / "small.toml"


def test_a_training_from_beginning_to_end(dataset, recipe, tmp_path):
    out = tmp_path / "run"
    done = run("train", recipe, "--data", dataset, "--out", out, "--set", "training.steps=6")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{out}: finished at step 6 of 6, ")
    assert "best mean Dice 0." in done.stdout
    assert str(out / "best.safetensors") in done.stdout
    lines = done.stderr.splitlines()  # no terminal: a line an evaluation
    assert [line.split(":")[0] for line in lines] == ["step 2/6", "step 4/6", "step 6/6", "next"]
    assert "photos/s; validation Dice" in lines[0]
    assert "size_hw = [96, 64]" in (out / "recipe.toml").read_text()
    assert "steps = 6" in (out / "recipe.toml").read_text()
    again = run("train", recipe, "--data", dataset, "--out", out, "--set", "training.steps=6")
    assert again.exit_code == 0
    assert "was finished before at step 6" in again.stdout


def test_minutes_that_are_over_and_the_same_command_again(dataset, recipe, tmp_path):
    command = ["train", recipe, "--data", dataset, "--out", tmp_path / "run", "--json"]
    first = run(*command, "--minutes", 0)
    assert first.exit_code == 0
    (told,) = json.loads(first.stdout)["runs"]
    assert (told["ended"], told["step"], told["best"], told["weights"]) == ("time is up", 1, None, None)
    (told,) = json.loads(run(*command).stdout)["runs"]
    assert (told["ended"], told["step"], told["was_finished"]) == ("all steps", 4, False)
    assert Path(told["weights"]).is_file()


def test_all_folds(dataset, recipe, tmp_path):
    done = run("train", recipe, "--data", dataset, "--out", tmp_path / "run", "--fold", "all", "--json")
    told = json.loads(done.stdout)["runs"]
    assert [row["split"] for row in told] == ["fold0", "fold1"]
    assert [row["held_out"] for row in told] == [["fold0"], ["fold1"]]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["fold0", "fold1"]
    assert "fold1: step 2/4" in done.stderr
    as_text = run("train", recipe, "--data", dataset, "--out", tmp_path / "run", "--fold", "all")
    assert "mean of the best of 2 runs: Dice 0." in as_text.stdout
    first = tmp_path / "run" / "fold0"
    exported = f"next: garmentcut export {first} --out {first / 'model.onnx'}, and so on for each run; then garmentcut "
    assert f"{exported}evaluate {tmp_path / 'run'}" in as_text.stderr


def test_learning_from_everything_is_said(dataset, recipe, tmp_path):
    done = run("train", recipe, "--data", dataset, "--out", tmp_path / "run", "--fold", "none")
    assert "of photos it was trained on" in done.stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["none.toml", "--data", "DATA", "--out", "OUT"], "none.toml: there is no such file; built in are cutnet"),
        (["RECIPE", "--data", "nowhere", "--out", "OUT"], "make one with `garmentcut ingest`"),
        (["RECIPE", "--data", "DATA", "--out", ""], "--out is missing or empty"),
        (["RECIPE", "--data", "DATA"], "--out is missing or empty"),
        (["RECIPE", "--data", "DATA", "--out", "OUT", "--set", "training.stps=1"], "did you mean training.steps?"),
        (["RECIPE", "--data", "DATA", "--out", "OUT", "--set", "network.name=simpel"], "did you mean simple?"),
        (
            ["RECIPE", "--data", "DATA", "--out", "OUT", "--set", "network.start=imagenet"],
            "set network.start to scratch",
        ),
        (["RECIPE", "--data", "DATA", "--out", "OUT", "--set", "data.size_hw=[33, 20]"], "needs multiples of 2"),
        (["RECIPE", "--data", "DATA", "--out", "OUT", "--fold", "5"], "it has fold0, fold1"),
        (["RECIPE", "--data", "DATA", "--out", "OUT", "--accelerator", "tpu"], "none of auto, cpu and cuda"),
        (["RECIPE", "--data", "DATA", "--out", "DATA"], "is not empty, and not a training's folder"),
        (["RECIPE", "--data", "DATA", "--augmentations", "page.gif"], "a .jpg or a .png"),
    ],
)
def test_misuse_exits_2_and_says_what_to_change(dataset, recipe, tmp_path, args, says):
    named = {"RECIPE": str(recipe), "DATA": str(dataset), "OUT": str(tmp_path / "run")}
    done = run("train", *(named.get(arg, arg) for arg in args))
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert done.stdout == ""


def test_another_recipe_in_the_same_folder(dataset, recipe, tmp_path):
    command = ["train", recipe, "--data", dataset, "--out", tmp_path / "run"]
    run(*command, "--minutes", 0)
    done = run(*command, "--set", "training.steps=8")
    assert done.exit_code == 2
    assert "training.steps was 4, is 8" in done.stderr


def test_a_loss_that_is_no_number_exits_1(dataset, recipe, tmp_path):
    command = ["train", recipe, "--data", dataset, "--out", tmp_path / "run"]
    done = run(*command, "--set", "optimizer.name=sgd", "--set", "optimizer.lr=1e30", "--set", "optimizer.clip_norm=0")
    assert done.exit_code == 1
    assert "learning rate" in done.stderr
    assert "on photos " in done.stderr


def test_a_range_test_trains_nothing(dataset, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("garmentcut.training.trial._NUM_STEPS", 8)
    done = run("train", recipe, "--data", dataset, "--out", tmp_path / "run", "--range-test", "--json")
    assert done.exit_code == 0, done.output
    assert Path(json.loads(done.stdout)["curve"]).is_file()
    assert not (tmp_path / "run/run.json").exists()
    assert "range_test.svg" in run("train", recipe, "--data", dataset, "--out", tmp_path / "run", "--range-test").stdout
    assert run("train", recipe, "--data", dataset, "--out", tmp_path / "run").exit_code == 0


def test_a_page_of_augmentations_trains_nothing(dataset, recipe, tmp_path):
    page = tmp_path / "page.jpg"
    zoomed = ["--set", "augment.zoom.p=1", "--set", "augment.zoom.amount=0.3"]
    done = run("train", recipe, "--data", dataset, "--augmentations", page, *zoomed)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(page)
    done = run("train", recipe, "--data", dataset, "--augmentations", page, *zoomed, "--json")
    assert json.loads(done.stdout) == {"augmentations": str(page)}
    with Image.open(page) as drawn:
        assert drawn.height > 300


def test_without_the_extra_it_says_how_to_install_it(tmp_path):
    code = "import sys\nfor name in ('torch', 'lightning', 'timm'):\n    sys.modules[name] = None\n"
    code += "sys.argv = ['garmentcut', 'train', 'r.toml', '--data', 'd', '--out', 'o']\n"
    code += "from garmentcut.cli import main, train\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("is not installed; run: pip install 'garmentcut[train]'\n")
    assert done.stdout == ""


def test_help_needs_no_torch():
    code = "import sys\nfor name in ('torch', 'lightning', 'numpy', 'PIL'):\n    sys.modules[name] = None\n"
    code += "sys.argv = ['garmentcut', 'train', '--help']\nfrom garmentcut.cli import main, train\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--range-test" in done.stdout


def everything_from(terminal):
    """What is written to a terminal until its other end is closed."""
    parts = []
    with suppress(OSError):  # Linux says so of a closed end
        while part := os.read(terminal, 65536):
            parts.append(part)
    return b"".join(parts).decode()


def test_ctrl_c_saves_and_a_bar_shows_the_way(dataset, recipe, tmp_path, monkeypatch, capsys):
    """On a terminal: a bar on stderr; interrupted at the first evaluation, it saves and exits with 130."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    evaluate, (ours, theirs) = loop._evaluate, pty.openpty()

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(*args)

    command = list(map(str, ["train", recipe, "--data", dataset, "--out", tmp_path / "run"]))
    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patched:
        reading = pool.submit(everything_from, ours)  # a terminal that nobody reads makes the program wait
        with os.fdopen(theirs, "w") as terminal:
            patched.setattr(loop, "_evaluate", interrupted)
            patched.setattr(sys, "stderr", terminal)
            patched.setenv("TERM", "xterm")
            patched.setenv("COLUMNS", "160")
            with pytest.raises(SystemExit) as end:
                app(command)
        shown = reading.result()
    os.close(ours)
    told = capsys.readouterr().out
    assert end.value.code == 130, shown
    assert "interrupted at step 3 of 4" in told
    assert "the same command continues" in told
    assert "photos/s" in shown
    assert "step 2: validation Dice" in shown
    again = run(*command, "--json")
    assert json.loads(again.stdout)["runs"][0]["ended"] == "all steps"


def test_the_progress_of_maps_is_shown_in_ten_lines(capsys, tmp_path):
    run = SimpleNamespace(folder=tmp_path)
    with training_progress([tmp_path]) as show_event:
        for number in range(1, 67):
            show_event(run, MapsDone(number, 66))
        show_event(run, MapsDone(1, 1))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0] == "maps of 7/66 photos, for refine to learn from"
    assert [line.split()[2] for line in lines[-2:]] == ["66/66", "1/1"]


def test_folds_with_equally_many_photos_have_a_bar_of_maps_each(tmp_path):
    run = SimpleNamespace(folder=tmp_path)
    with Progress(console=Console(file=io.StringIO())) as progress:
        show_event = _Shown([tmp_path], progress)
        for number in (1, 2, 3, 1, 2):
            show_event(run, MapsDone(number, 3))
        assert [(task.completed, task.total) for task in progress.tasks] == [(3, 3), (2, 3)]


@pytest.mark.parametrize(
    ("seconds", "hours", "says"),
    [
        (29000.0, 8.0, "about 8 h 3 min on this machine; steps"),
        (420.0, None, "about 7 min on this machine; steps"),
        (
            420.0,
            0.05,
            "about 7 min on this machine; steps: locate 20; no network takes fewer, so it is more than --hours",
        ),
    ],
)
def test_how_long_it_will_take(seconds, hours, says, capsys):
    with training_progress([]) as show_event:
        show_event(None, Planned(seconds, {"locate": 20}, hours))
    assert says in capsys.readouterr().err
