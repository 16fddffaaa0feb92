import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import garmentcut
from garmentcut.cli import app
from garmentcut.cli.shell import load_settings

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "Cut and review": ["cut", "review", "serve", "sheet"],
    "Data and training": ["ingest", "studio", "card", "export", "train"],
    "Measure and compare": ["evaluate", "audit", "calibrate", "study"],
}


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_version():
    assert run("--version").stdout.strip() == run("-V").stdout.strip() == garmentcut.__version__


def test_the_end_searches_for_no_garbage():
    """With torch this takes seconds, after all has been said; `gc.freeze` hides everything from the search."""
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 1000))"
    command = [sys.executable, "-c", f"{code}\nfrom garmentcut.cli import main; main()", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{garmentcut.__version__}\nTrue\n"


def test_help_lists_every_command_in_its_group():
    text = run("-h").stdout
    assert text == run("--help").stdout
    assert run().exit_code == 2
    parts = text.split("\n\n")
    for title, names in COMMANDS.items():
        (part,) = [part for part in parts if part.startswith(f"{title}:")]
        assert [line.split()[0] for line in part.splitlines()[1:] if line[2] != " "] == names


@pytest.mark.parametrize("name", [name for names in COMMANDS.values() for name in names])
def test_each_command_has_short_options_and_a_summary_that_is_a_sentence(name):
    text = run(name, "-h").stdout
    summary = " ".join(text.partition("\n\n")[2].partition("\n\n")[0].split())
    assert summary.endswith(".") and summary[0].isupper()
    assert "-h, --help" in text
    assert ("-o, --out" in text) == ("--out" in text)


def test_help_shows_options_in_groups_and_defaults():
    text = run("cut", "--help").stdout
    places = [text.index(f"\n{title}:") for title in ("Arguments", "Options", "Files to write", "Running")]
    assert places == sorted(places)
    assert "[default: 8321;" in " ".join(run("review", "--help").stdout.split())


@pytest.mark.parametrize("name", [name for names in COMMANDS.values() for name in names])
def test_help_names_values_by_words_and_not_by_types(name):
    text = re.sub("<(garment|view)>", "", run(name, "-h").stdout)  # as users write them in a pattern
    assert not re.search(r"<\w|[{}]|\bINTEGER\b|\bRANGE\b", text)


@pytest.mark.parametrize("words", [["-out", "out"], ["-o", "out", "-trim"], ["-out=out"]])
def test_one_dash_before_a_long_name_is_not_taken_for_short_options(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("cut", tmp_path, *words, "--json")
    assert done.exit_code == 2 and "two dashes" in done.stderr
    assert "need two dashes: --" in json.loads(done.stdout)["error"]["message"]
    assert not list(tmp_path.iterdir())
    assert "two dashes" not in run("cut", "-o", "out", "--", "-trim").stderr
    assert "two dashes" not in run("cut", "h", "--out", "o").stderr  # names of files, not of options


def test_a_setting_that_was_renamed_is_taken_with_a_line_of_advice(tmp_path):
    done = run("cut", tmp_path, "-o", tmp_path / "out", "--set", "watch.settle_s=5", "--effort", "best")
    assert "garmentcut: watch.settle_s is called watch.debounce_s now\n" in done.stderr
    assert "garmentcut: cut.effort = best is normal now" in done.stderr


@pytest.mark.parametrize("old", [["--arm", "a"], ["--arm=a"]])
def test_an_old_option_is_taken_with_a_line_of_advice(old, tmp_path):
    done = run("study", tmp_path / "none.toml", "--data", tmp_path, "-o", tmp_path / "out", *old)
    assert done.stderr.startswith("garmentcut: --arm is called --variant now\n")
    assert "no manifest.jsonl there" in done.stderr  # so far it came
    assert "is called" not in run("cut", tmp_path, "-o", tmp_path / "out", *old).stderr  # not an option of this command


@pytest.mark.parametrize("name", [name for names in COMMANDS.values() for name in names])
def test_misuse_is_an_object_for_machines(name):
    """Once, whoever noticed it: the parser or the command; on stderr as without --json."""
    if "--json" not in run(name, "-h").stdout:
        pytest.skip("has no --json")
    done = run(name, "--json", "--no-such-option")
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["code"]) == (2, "usage")
    assert error["message"] in done.stderr and "--no-such-option" in error["message"]
    assert run(name, "--no-such-option", "--", "--json").stdout == ""
    assert run(name, "--no-such-option").stdout == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("cut --json", "usage"),
        ("cut a -o b --json --margin ten", "usage"),
        ("cut a.jpg -o b --json", "source"),
        ("cut a.jpg -o b --json --fail-on late", "usage"),
        ("cut . -o b --json --set cut.choke=1", "config"),
        ("card a.onnx --json", "model"),
        ("ingest a b -o c --json", "dataset"),
        ("study a.toml --data b -o c --json", "dataset"),
        ("sheet a --json", "source"),
    ],
)
def test_misuse_has_its_code(words, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*words.split())
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["code"]) == (2, code)
    assert error["message"] and error["message"] in done.stderr


def test_help_is_quick():
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "garmentcut", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.6  # of the processor; 0.1 on an idle machine


def test_the_shell_completes_commands_and_options():
    asked = {"_GARMENTCUT_COMPLETE": "complete_bash", "COMP_CWORD": "1", "COMP_WORDS": "garmentcut ca"}
    code = "from garmentcut.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = ['garmentcut']\n{code}"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted(done.stdout.split()) == ["calibrate", "card"]


def test_settings_of_the_working_directory_are_used_and_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/garmentcut.toml").write_text("cut.choke_px = 9.0\n")
    (tmp_path / "garmentcut.toml").write_text("cut.choke_px = 1.0\nread.max_mb = 7\n")
    (tmp_path / "other.toml").write_text("cut.choke_px = 2.0\n")
    monkeypatch.chdir(tmp_path / "photos")
    assert load_settings(None, None).cut.choke_px == 9.0, "the working directory only, whatever it is"
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    found = load_settings(None, ["read.max_mb=8"])
    assert (found.cut.choke_px, found.read.max_mb) == (1.0, 8)
    assert str(tmp_path / "garmentcut.toml") in capsys.readouterr().err
    assert load_settings(Path("other.toml"), None).cut.choke_px == 2.0
    assert load_settings(None, None, {"cut.choke_px": ("--choke", 3.0)}).cut.choke_px == 3.0
    assert "garmentcut.toml" not in run("card", "--json").stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_that_cannot_be_written_is_a_failure_but_no_traceback(option):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "garmentcut", option], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"garmentcut: No space left on device\n")
