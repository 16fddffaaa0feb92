import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.cli.app import INTERRUPTED, OK
from garmentcut.cli.stop_signal import stop_on_signals
from garmentcut.observe.log import LOGGER
from garmentcut.photo.files import write_atomic
from garmentcut.synthetic import draw_studio_photo

EXAMPLE = next((Path(__file__).parents[2] / "examples/photos").glob("*_Front.jpg"))
AT_ONCE = ("--set", "watch.settle_s=0", "--set", "watch.poll_s=0.1", "--set", "watch.patience_s=0")


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def _quiet_log():
    before = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    yield
    LOGGER.handlers[:], LOGGER.level, LOGGER.propagate = before
    LOGGER._cache.clear()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere", "--watch"], "nowhere: --watch needs a folder that is there"),
        ([EXAMPLE, "--watch"], "--watch needs a folder"),
        (["OUT", "--watch"], "must not be the photos' folder"),
        ([EXAMPLE, "--log-format", "xml"], "'xml' is neither text nor json"),
        ([EXAMPLE, "--metrics-port", "http"], "'http' is no port such as 9464"),
        ([EXAMPLE, "--metrics-port", "70000"], "'70000' is no port"),
        ([EXAMPLE, "--metrics-port", "192.0.2.1:9464"], "choose another"),
        ([EXAMPLE, "--set", "watch.poll_s=0"], "watch.poll_s"),
    ],
)
def test_misuse_exits_2_and_says_what_to_change(tmp_path, args, says):
    (tmp_path / "out").mkdir()
    named = [str(tmp_path / "out") if arg == "OUT" else arg for arg in args]
    result = run("cut", *named, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("cut", EXAMPLE, "--out", tmp_path / "out", "--metrics-port", taken.getsockname()[1])
    assert (result.exit_code, "choose another" in result.stderr) == (2, True)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "garmentcut.observe.metrics", raising=False)
    result = run("cut", EXAMPLE, "--out", tmp_path / "out", "--metrics-port", "9464")
    assert result.exit_code == 2
    assert "pip install 'garmentcut[observe]'" in result.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, OK), (signal.SIGINT, INTERRUPTED)])
def test_signals_are_wishes_the_first_time(number, code):
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop.wait(0)
        os.kill(os.getpid(), number)
        assert stop.wait(30)  # returns at once
        assert stop.is_set()
        assert stop.exit_code == code
        assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)  # the second is obeyed at once
    assert signal.getsignal(number) == before


def test_a_folder_run_can_be_logged_too(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/broken.jpg").write_bytes(b"junk")
    result = run("cut", tmp_path / "in", "--out", tmp_path / "out", "--log-format", "json", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == 1
    (line,) = map(json.loads, result.stderr.splitlines())
    assert (line["event"], line["status"], line["input"]) == ("photo", "failed", str(tmp_path / "in/broken.jpg"))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def asked(port, page):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=30) as answer:
        return answer.read().decode()


def test_a_watch_from_start_to_sigterm(tmp_path):
    (tmp_path / "in").mkdir()
    port, out = free_port(), tmp_path / "out"
    command = [sys.executable, "-m", "garmentcut", "cut", "--watch", str(tmp_path / "in"), "--out", str(out)]
    command += ["--log-format", "json", "--metrics-port", str(port), "--json", *AT_ONCE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            events = map(json.loads, process.stderr)
            assert next(events)["event"] == "watching"
            Image.fromarray(draw_studio_photo(1, size_hw=(288, 192)).rgb).save(tmp_path / "a.png")
            write_atomic(tmp_path / "in/a_Front.png", (tmp_path / "a.png").read_bytes())
            write_atomic(tmp_path / "in/b.png", b"junk")
            told = {event["input"].rpartition("/")[2]: event for event in (next(events), next(events))}
            assert (told["a_Front.png"]["status"], told["b.png"]["status"]) == ("ok", "failed")
            assert json.loads(asked(port, "/readyz"))["ready"]
            page = asked(port, "/metrics")
            assert 'garmentcut_photos_total{status="ok"} 1.0' in page
            assert 'garmentcut_failures_total{code="unsupported"} 1.0' in page
            process.terminate()
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    summary = json.loads(rest)
    assert (summary["cut"], summary["failed"]) == (1, 1)
    assert (out / "a_Front.png").is_file()
    assert len((out / "results.jsonl").read_text().splitlines()) == 2
