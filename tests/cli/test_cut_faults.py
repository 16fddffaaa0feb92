"""What a studio's file system can do to `garmentcut cut`: each fault is told, and stops nobody else."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.cli.shell import HANGUP
from garmentcut.photo import files
from garmentcut.photo.files import StagedFile
from garmentcut.prediction import results
from garmentcut.prediction.folder import FolderCutter


@pytest.fixture
def draw(tmp_path):
    def write(name, shift=0):
        pixels = np.full((96, 64, 3), 200, np.uint8)
        pixels[20:70, 20 + shift : 44 + shift] = (255, 0, 0)
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(tmp_path, red_model, monkeypatch):
    """run(*options, within=nullcontext): `garmentcut cut in -o out` in tmp_path; with `shell` in its own process."""
    red_model(tmp_path / "red.onnx")
    monkeypatch.chdir(tmp_path)

    def cut(*options, within=nullcontext, shell=""):
        arguments = ["cut", "in", "-o", "out", "--model", "red.onnx", *options]
        if not shell:
            with within():
                result = CliRunner().invoke(app, arguments)
            return Done(result.exit_code, result.stdout, result.stderr)
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "garmentcut", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        return Done(done.returncode, done.stdout, done.stderr)

    return cut


@pytest.mark.parametrize("library", [None, OSError, TypeError])
def test_freed_memory_is_shared_by_threads_where_the_c_library_can(run, draw, monkeypatch, library):
    asked = []

    def load(_):
        if library:
            raise library
        return SimpleNamespace(mallopt=lambda *options: asked.append(options))

    draw("a.png")
    monkeypatch.setattr("garmentcut.cli.cut.ctypes", SimpleNamespace(CDLL=load))
    assert run().returncode == 0
    assert asked == ([] if library else [(-8, 2)])


def test_a_folder_that_cannot_be_read_is_a_failure_of_its_own(run, draw, without_rights, tmp_path):
    draw("a.png")
    draw("closed/b.png")
    (tmp_path / "in/lost+found").mkdir()
    for name, mode in (("closed", 0o000), ("lost+found", 0o000)):
        (tmp_path / "in" / name).chmod(mode)
    done = run("--json", within=without_rights)
    (tmp_path / "in/closed").chmod(0o755)
    (tmp_path / "in/lost+found").chmod(0o755)
    assert (done.returncode, done.stderr) == (1, "")
    summary = json.loads(done.stdout)
    assert (summary["cut"], summary["failed"]) == (1, 2)
    assert sorted((row["input"].rpartition("/")[2], row["code"]) for row in summary["failures"]) == [
        ("closed", "unreadable"),
        ("lost+found", "unreadable"),
    ]
    done = run("--json")  # readable now: its photos are cut, and the folder's own failure is over
    assert (done.returncode, json.loads(done.stdout)["cut"]) == (0, 1)
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 2


def test_the_photo_folder_itself(run, draw, without_rights, tmp_path):
    draw("a.png")
    (tmp_path / "in").chmod(0o000)
    done = run(within=without_rights)
    (tmp_path / "in").chmod(0o755)
    assert done.returncode == 1
    assert f"failed: {tmp_path / 'in'}: cannot be read: Permission denied" in done.stdout


def test_a_subfolder_of_the_output(run, draw, without_rights, tmp_path):
    draw("a.png")
    draw("day/b.png")
    assert run().returncode == 0
    (tmp_path / "out/day").chmod(0o000)
    done = run("--json", within=without_rights)
    (tmp_path / "out/day").chmod(0o755)
    assert (done.returncode, done.stderr) == (1, "")
    summary = json.loads(done.stdout)
    assert (summary["skipped"], summary["failed"]) == (1, 1)
    assert summary["failures"][0]["code"] == "not_written"
    assert summary["failures"][0]["reason"] == f"{tmp_path / 'out/day/b.png'}: Permission denied"


def test_a_folder_where_nothing_may_be_written_fails_by_the_cutouts_name(run, draw, without_rights, tmp_path):
    draw("day/b.png")
    (tmp_path / "out/day").mkdir(parents=True)
    (tmp_path / "out/day").chmod(0o555)
    done = run("--json", within=without_rights)
    assert json.loads(done.stdout)["failures"][0]["reason"] == f"{tmp_path / 'out/day/b.png'}: Permission denied"


@pytest.mark.parametrize("name", ["results.jsonl", ".garmentcut/batch.json"])
def test_a_file_of_ours_that_cannot_be_read_is_named(run, draw, without_rights, tmp_path, name):
    draw("a.png")
    assert run().returncode == 0
    (tmp_path / "out" / name).touch()
    (tmp_path / "out" / name).chmod(0o000)
    done = run("--overwrite", within=without_rights)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"out/{name}: " in done.stderr
    assert "Permission denied" in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("results.jsonl", 2),
        (".garmentcut/batch.json", 2),
        (".garmentcut.lock", 2),
        (".garmentcut/attempts.jsonl", 0),
    ],
)
def test_a_pipe_in_the_place_of_a_file_of_ours_is_not_waited_for(run, draw, tmp_path, name, code):
    draw("a.png")
    assert run().returncode == 0
    (tmp_path / "out" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "out" / name)
    done = run("--overwrite")
    assert done.returncode == code
    if code:
        assert f"out/{name}: " in done.stderr
        assert "not a regular file" in done.stderr


@pytest.mark.parametrize(
    ("shell", "code"), [(">/dev/full", 0), (">&-", 1), ("2>/dev/full", 1), (">/dev/full 2>&1", 0), (">&- 2>&-", 0)]
)
def test_without_anybody_to_tell_the_work_is_done(run, draw, tmp_path, shell, code):
    draw("a.png")
    if code:
        (tmp_path / "in/b.png").write_bytes(b"")
    done = run(shell=shell)
    assert (done.returncode, done.stderr) == (code, "" if "2>" in shell else done.stderr)
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out/a.png").is_file()
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 1 + code


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "output_folder", "No space left on device; free some space"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "output_folder", "put it back and run again"),
        (KeyboardInterrupt(), "stopped", "run the same command again to continue"),
    ],
)
def test_what_ended_a_run_stands_in_its_json_beside_what_was_done(run, draw, tmp_path, monkeypatch, error, code, says):
    for name in ("a.png", "b.png", "c.png"):
        draw(name)
    write = files.StagedFile.__init__

    def fail_at_b(self, path, data, **owner):
        if path.name == "b.png":
            if code == "output_folder" and isinstance(error, FileNotFoundError):
                shutil.rmtree(tmp_path / "out")
            raise error
        write(self, path, data, **owner)

    monkeypatch.setattr(files.StagedFile, "__init__", fail_at_b)
    done = run("--json")
    found = json.loads(done.stdout)
    # The third photo may be finished before the failure of the second ends the run.
    assert (found["cut"] + found["left"], found["error"]["code"]) == (3, code)
    assert found["cut"] in (1, 2)
    if (rows := tmp_path / "out/results.jsonl").exists():
        assert len(rows.read_text().splitlines()) == found["cut"]
    assert says in found["error"]["message"] and found["error"]["message"] in done.stderr
    assert done.returncode == (130 if code == "stopped" else 1)


def test_an_output_folder_that_cannot_be_written_is_told_in_json(run, draw, without_rights, tmp_path):
    draw("a.png")
    (tmp_path / "out").mkdir(mode=0o555)
    done = run("--json", within=without_rights)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "source")


def test_what_is_not_looked_at_is_said(run, draw, tmp_path):
    draw("a.png")
    for name in ("b.cr3", "c.bmp", "d.gif", "e.nef", "f.psd", "Thumbs.db", "._a.png"):
        (tmp_path / "in" / name).touch()
    done = run()
    assert done.returncode == 0
    line = "5 files were not looked at: .bmp 1, .cr3 1, .gif 1, .nef 1, .psd 1; listed in "
    assert line in done.stdout
    assert "2 hidden or left by operating systems" in done.stdout
    listed = [json.loads(line) for line in (tmp_path / "out/.garmentcut/skipped.jsonl").read_text().splitlines()]
    assert len(listed) == 7
    done = run("--json", "--fail-on", "skipped")
    assert done.returncode == 3
    summary = json.loads(done.stdout)
    assert (summary["not_looked_at"], summary["skipped"], summary["failed"]) == (5, 1, 0)
    assert summary["not_looked_at_kinds"][".cr3"] == 1
    assert run("--fail-on", "doubtful").returncode == 0
    (tmp_path / "in/bad.png").touch()
    assert run("--fail-on", "skipped").returncode == 1


def test_fail_on_where_no_photo_is_to_be_cut(run, draw):
    draw("a.png")
    run()
    fail_on = ["--fail-on", "doubtful", "--fail-on", "foreign"]
    done = CliRunner().invoke(app, ["cut", "out/a.png", "-o", "out", "--model", "red.onnx", *fail_on])
    assert (done.exit_code, done.stdout.splitlines()[0][:15]) == (0, "0 photos: 0 cut")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fail-on", "warnings"], "--fail-on: 'warnings' is none of doubtful, foreign, skipped"),
        (["--fail-on", "skipped", "--watch"], "leave one of them out"),
    ],
)
def test_misuse_of_fail_on(run, draw, options, says):
    draw("a.png")
    done = run(*options)
    assert done.returncode == 2
    assert says in done.stderr


def test_control_characters_reach_neither_terminal_nor_log(run, draw):
    draw("a\x1b[31m\x9b2J\u202eb.png")
    draw("empty\x07.png").write_bytes(b"")
    done = run("--log-format", "text")
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert not [char for char in said if not char.isprintable() and char != "\n"]
    assert "a\\x1b[31m\\x9b2J\\u202eb.png" in said.replace("\\u001b", "\\x1b")
    assert "empty\\x07.png" in said


@pytest.mark.parametrize("name", ["S:M/a.png", "C:colon.png"])
def test_names_of_other_systems_work_twice(run, draw, name):
    draw(name)
    assert run().returncode == 0
    done = run("--json")
    assert (done.returncode, json.loads(done.stdout)["skipped"]) == (0, 1)


def test_a_damaged_line_of_the_results_is_reported(run, draw, tmp_path):
    draw("a.png")
    draw("b.png", 3)
    run()
    results = tmp_path / "out/results.jsonl"
    first, second = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(first.replace(b'"status": "ok"', b'"status": 5') + second)
    done = run()
    assert done.returncode == 0
    assert "1 damaged line of results.jsonl set aside in out" in done.stdout.replace(f"{tmp_path}/", "")
    assert "1 cut, 1 done before" in done.stdout


def test_a_photo_that_is_replaced_is_counted(run, draw):
    draw("a.png")
    run()
    draw("a.png", 5)
    done = run()
    assert "1 photo replaced by a new one of the same name" in done.stdout
    assert json.loads(run("--json").stdout)["replaced"] == 0


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_run_that_stops_half_way_says_how_many_photos_are_left_and_why(run, draw, monkeypatch, stop):
    for name in ("a.png", "b.png", "c.png"):
        draw(name)
    write = StagedFile.__init__

    def write_two(self, path, data, **owner):
        if path.name == "c.png":
            raise stop
        write(self, path, data, **owner)

    monkeypatch.setattr(StagedFile, "__init__", write_two)
    is_full = isinstance(stop, OSError)
    done = run("--json")
    content = json.loads(done.stdout)
    assert done.returncode == (1 if is_full else 130)
    assert [content[key] for key in ("photos", "cut", "failed", "left")] == [3, 2, 0, 1]
    assert content["error"]["code"] == ("output_folder" if is_full else "stopped")
    done = run()
    assert done.stdout.startswith("3 photos: 0 cut, 2 done before, 1 left")
    assert "run the same command again to cut the photos that are left" in done.stderr
    monkeypatch.undo()


def test_a_stopped_run_counts_what_was_in_progress_as_it_ended(run, draw, tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        draw(name)
    reported, report = [], results.report_row

    def stop_at_first(monitor, row):
        reported.append(row.input)
        if len(reported) == 1:
            raise KeyboardInterrupt
        report(monitor, row)

    monkeypatch.setattr(results, "report_row", stop_at_first)
    done = run("--json")
    content = json.loads(done.stdout)
    recorded = (tmp_path / "out/results.jsonl").read_text().splitlines()
    assert done.returncode == 130
    assert len(recorded) > 0
    assert (content["cut"], content["cut"] + content["left"]) == (len(recorded), 3)


def test_the_photos_folder_as_output_of_a_cluster_is_refused_before_anything_is_written(run, draw):
    folder = draw("a.png").parent
    done = run("--out", "./in/../in/", "--ray")
    assert (done.returncode, list(folder.iterdir())) == (2, [folder / "a.png"])
    assert "the output folder must not be the photos' folder" in done.stderr


def test_a_bug_is_told_as_json_too(run, draw, monkeypatch):
    draw("a.png")
    monkeypatch.setattr(FolderCutter, "plan", lambda *_: 1 // 0)
    content = json.loads(run("--json").stdout)
    assert content == {
        "error": {"code": "internal", "message": "ZeroDivisionError: integer division or modulo by zero"}
    }


@pytest.mark.usefixtures("heard_hangup")
@pytest.mark.parametrize("number", [signal.SIGTERM, HANGUP])
def test_a_signal_tidies_up_like_ctrl_c_and_ends_the_process_as_it_asks(number):
    code = f"""
        import os, signal
        from garmentcut.cli.shell import _failures_reported, _owed_json
        _owed_json.set({{}})
        with _failures_reported("stopped"):
            try:
                os.kill(os.getpid(), {number:d})
            finally:
                print("tidied up", flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=120
    )
    printed = 'tidied up\n{"error": {"code": "stopped", "message": "stopped"}}\n'
    assert (done.returncode, done.stdout, done.stderr) == (-number, printed, "garmentcut: stopped\n")


@pytest.mark.usefixtures("heard_hangup")
def test_a_closed_terminal_lets_a_server_finish_its_requests_as_sigterm_does():
    """Before, requests in progress were answered with 500."""
    code = f"""
        import os, signal
        from garmentcut.cli.shell import _failures_reported
        with _failures_reported("stopped"):
            signal.signal(signal.SIGTERM, lambda number, frame: print("finishing"))  # as uvicorn does
            os.kill(os.getpid(), {HANGUP:d})
            print("finished")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "finishing\nfinished\n", "")
