import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.dataset.manifest import read_manifest, read_pair
from garmentcut.synthetic import draw_studio_photo, write_studio_photos


def run(*args):
    return CliRunner().invoke(app, ["ingest", *map(str, args)])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Three garments in three views: photos as JPEG, cutouts as PNG."""
    root = tmp_path_factory.mktemp("studio")
    list(write_studio_photos(root / "in", range(3), size_hw=(144, 96), cutouts_dir=root / "cut"))
    return root


@pytest.fixture
def studio_dir(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_main_job(studio_dir, monkeypatch):
    """As a user runs it: in another folder, without a terminal, in a process of its own; and again."""
    command = [sys.executable, "-m", "garmentcut", "ingest", "in", "cut", "--out", "set", "--folds", "3"]
    done = subprocess.run(command, cwd=studio_dir, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "next: garmentcut train default --data set --out runs/first to train a network\n"
    assert done.stdout.startswith("9 pairs: 9 usable, 0 refused; 9 read in ")
    assert done.stdout.count("3 pairs, 1 garment, 1 Back, 1 Front, 1 FrontRight") == 3
    manifest = read_manifest(studio_dir / "set")
    pair = next(pair for pair in manifest.usable if pair.view == "Back")
    garments = [draw_studio_photo(seed, view="Back", size_hw=(144, 96)) for seed in range(3)]
    (shot,) = [shot for shot in garments if shot.garment == pair.garment]
    assert abs(read_pair(manifest, pair)[1] - shot.alpha).max() <= 0.51 / 255
    monkeypatch.chdir(studio_dir)
    assert json.loads(run(*command[4:], "--json").stdout)["read"] == 0


def test_refused_pairs_are_counted_by_reason_and_exit_1(studio_dir):
    first, second, third = sorted((studio_dir / "cut").iterdir())[:3]
    first.unlink()
    second.write_bytes(b"no picture")
    third.rename(studio_dir / "cut/whatever.png")
    result = run(studio_dir / "in", studio_dir / "cut", "--out", studio_dir / "set", "--parts", "2/1", "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["refused"] == {"no_cutout": 2, "unreadable": 1, "name": 1}
    assert (summary["pairs"], summary["usable"]) == (10, 6)
    assert set(summary["splits"]) == {"train", "validation"}
    assert next(f["text"] for f in summary["faults"] if f["name"] == second.stem).endswith("export it again")


def test_without_usable_pairs_no_training_is_advised(studio_dir):
    (studio_dir / "other").mkdir()
    shutil.copy(next((studio_dir / "in").iterdir()), studio_dir / "other/odd.jpg")
    result = run(studio_dir / "other", studio_dir / "cut", "--out", studio_dir / "set")
    assert " 0 usable, 10 refused; " in result.stdout
    assert "to train a network" not in result.output


def test_other_names(studio_dir):
    for path in (studio_dir / "cut").iterdir():
        path.rename(path.with_stem(f"{path.stem} final"))
    folders = studio_dir / "in", studio_dir / "cut", "--out", studio_dir / "set"
    result = run(*folders, "--folds", "3", "--cutout-pattern", "<garment>_<view> final")
    assert result.exit_code == 0, result.output


def test_too_few_garments_for_the_folds(studio_dir):
    result = run(studio_dir / "in", studio_dir / "cut", "--out", studio_dir / "set")
    assert result.exit_code == 2
    assert "3 garments (look-alikes counted once) cannot fill 5 splits (folds 5); use --folds 3" in result.stderr
    assert "9 pairs: 9 usable, 0 refused" in result.stdout
    assert "no manifest written" in result.stdout
    assert run(studio_dir / "in", studio_dir / "cut", "--out", studio_dir / "set", "--folds", 3).exit_code == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["NOWHERE", "CUT", "--out", "SET"], "NOWHERE: not a folder"),
        (["IN", "CUT", "--out", ""], "an empty --out"),
        (["IN", "CUT", "--out", "IN"], "a folder of its own"),
        (["IN", "CUT", "--out", "SET", "--folds", "1"], "1 folds: give 2 to 100"),
        (["IN", "CUT", "--out", "SET", "--parts", "70"], "such as 70/15/15"),
        (["IN", "CUT", "--out", "SET", "--parts", "8/2", "--folds", "5"], "give only one of them"),
        (["IN", "CUT", "--out", "SET", "--pattern", "<garmet>"], "needs <garment> once"),
        (["IN", "CUT", "--out", "SET", "--set", "read.max_mbs=1"], "did you mean read.max_mb?"),
        (["IN", "CUT", "--out", "FILE"], "cannot be the dataset's folder"),
    ],
)
def test_misuse_exits_2_and_says_what_to_change(drawn, tmp_path, args, says):
    (tmp_path / "file").touch()
    named = {"IN": drawn / "in", "CUT": drawn / "cut", "SET": tmp_path / "set", "FILE": tmp_path / "file"}
    result = run(*(named.get(arg, arg) for arg in args))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_a_full_disk_exits_1(studio_dir, monkeypatch):
    from garmentcut.dataset import checks

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checks, "write_atomic", full)
    result = run(studio_dir / "in", studio_dir / "cut", "--out", studio_dir / "set", "--folds", 3)
    assert result.exit_code == 1
    assert "free some space and run again: it continues where it stopped" in result.stderr


def test_folders_that_cannot_be_read_are_failures_of_their_own(studio_dir, without_rights, monkeypatch):
    deep = studio_dir / "in"
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(18):  # longer than a path may be
        os.mkdir("x" * 250, dir_fd=descriptor)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    for folder, mode in (("in/locked", 0), ("cut/lost+found", 0), ("in/closed", 0o400)):
        (studio_dir / folder / "sub").mkdir(parents=True)
        (studio_dir / folder).chmod(mode)
    monkeypatch.chdir(studio_dir)
    try:
        with without_rights():
            done = run("in", "cut", "--out", "set", "--folds", 3, "--json")
    finally:
        for folder in ("in/locked", "cut/lost+found", "in/closed"):
            (studio_dir / folder).chmod(0o700)
        shutil.rmtree(studio_dir / "in")
    assert (done.exit_code, done.stderr) == (1, "")
    summary = json.loads(done.stdout)
    assert (summary["usable"], summary["refused"]) == (9, {"unreadable": 4})
    texts = "\n".join(fault["text"] for fault in summary["faults"])
    assert "the photos' folder locked: Permission denied; make it readable" in texts
    assert "the cutouts' folder lost+found: Permission denied" in texts
    assert "the photos' folder closed/sub: Permission denied" in texts
    assert "xxx...: File name too long" in texts


def test_a_photo_folder_that_cannot_be_read(studio_dir, without_rights, monkeypatch):
    (studio_dir / "in").chmod(0)
    monkeypatch.chdir(studio_dir)
    with without_rights():
        done, below = (run(photos, "cut", "--out", "set") for photos in ("in", "in/sub"))
    (studio_dir / "in").chmod(0o700)
    assert (done.exit_code, below.exit_code) == (2, 2)
    assert "'in' is not readable" in done.stderr
    assert "in/sub: Permission denied; make it readable" in below.stderr
    assert not (studio_dir / "set").exists()


def test_a_folder_that_cannot_be_written_is_told_with_the_fix(studio_dir, without_rights, monkeypatch):
    (studio_dir / "full").mkdir(mode=0o555)
    monkeypatch.chdir(studio_dir)
    with without_rights():
        ingested = run("in", "cut", "--out", "full/set")
        drawn = CliRunner().invoke(app, ["studio", "--out", "full/photos", "--height", "96"])
    assert (ingested.exit_code, drawn.exit_code) == (2, 1)
    assert "dataset's folder: Permission denied; fix that, or choose another --out" in ingested.stderr
    assert drawn.stderr == "garmentcut: full/photos: Permission denied; fix that and run the same command again\n"


def test_what_operating_systems_leave_is_passed_over_and_counted(studio_dir):
    (studio_dir / "in/@eaDir").mkdir()
    name = next((studio_dir / "in").glob("*.jpg")).name
    for junk in (f"@eaDir/{name}", "Thumbs.db", f"._{name}"):
        (studio_dir / "in" / junk).write_bytes(b"junk")
    result = run(studio_dir / "in", studio_dir / "cut", "--out", studio_dir / "set", "--folds", 3)
    assert result.exit_code == 0, result.output
    assert "9 pairs: 9 usable, 0 refused" in result.stdout
    assert "3 hidden or left by operating systems (Thumbs.db, ._x.jpg and the like): skipped" in result.stdout


def test_folders_in_the_wrong_order_are_noticed_before_anything_is_read(studio_dir):
    result = run(studio_dir / "cut", studio_dir / "in", "--out", studio_dir / "set", "--folds", 3)
    assert result.exit_code == 2
    assert f"{studio_dir / 'cut'} holds cutouts and {studio_dir / 'in'} their photos: name" in result.stderr
    assert not (studio_dir / "set").exists()  # a run that could not start leaves nothing


def test_help_loads_nothing_heavy():
    code = "import sys\nfrom garmentcut.cli import app\nsys.argv = ['garmentcut', 'ingest', '--help']\n"
    code += "try:\n    app()\nexcept SystemExit:\n    pass\n"
    code += "print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Make a dataset from photos and cutouts" in done.stdout
    assert not set(done.stderr.split()) & {"numpy", "PIL", "torch", "rich"}


def test_nothing_needs_torch(studio_dir):
    code = "import sys\nfor name in ('torch', 'torchvision', 'timm', 'lightning', 'scipy'):\n"
    code += "    sys.modules[name] = None\nfrom garmentcut.cli import app\napp()"
    command = [sys.executable, "-c", code, "ingest", "in", "cut", "--out", "set", "--folds", "3"]
    subprocess.run(command, cwd=studio_dir, check=True, capture_output=True)
    assert Path(studio_dir / "set/manifest.jsonl").is_file()


def test_corrected_documents_from_cut_to_data_set_and_back(studio_dir):
    """As `cut --format psd`, a retoucher and `ingest` pass them on: one folder, then added to what is there."""
    from garmentcut import read_photo
    from garmentcut.photo.photo import Cutout
    from garmentcut.photo.truth import read_cutout

    (studio_dir / "psd").mkdir()
    for path in sorted((studio_dir / "in").iterdir()):
        cutout = Cutout.of(read_photo(path), read_cutout(studio_dir / f"cut/{path.stem}.png").alpha)
        cutout.save(studio_dir / f"psd/{path.stem}.psd")
    refused = run(studio_dir / "psd", "--out", studio_dir / "set", "--folds", "3", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["refused"] == {"uncorrected": 9}
    accepted = run(studio_dir / "psd", "--out", studio_dir / "set", "--folds", "3", "--accept-unchanged", "--json")
    summary = json.loads(accepted.stdout)
    assert (accepted.exit_code, summary["usable"], summary["suspect"]) == (0, 9, {"accepted": 9})
    pair = read_manifest(studio_dir / "set").usable[0]
    assert pair.photo == f"photos/{pair.name}.png"
    (studio_dir / "psd" / f"{pair.name}.psd").unlink()
    added = run(studio_dir / "psd", "--out", studio_dir / "set", "--add", "--accept-unchanged", "--json")
    assert (json.loads(added.stdout)["usable"], json.loads(added.stdout)["gone"]) == (9, [])


@pytest.mark.parametrize(
    ("garments", "next_step"), [(1, "garmentcut cut in --out cut"), (5, "garmentcut ingest in c ")]
)
def test_drawing_names_a_next_step_that_works(garments, next_step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["studio", "--out", "in", "--cutouts", "c", "--height", "96", "--garments", str(garments)]
    done = CliRunner().invoke(app, command)
    assert done.stderr.startswith(f"next: {next_step}")  # fewer than five garments fill no five folds
