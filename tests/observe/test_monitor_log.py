import io
import json
import logging
import os
import socket
from datetime import UTC, datetime, timedelta

import pytest

from garmentcut.observe.monitor import LOGGER, log_event, notify_service, start_logging


@pytest.fixture
def logged():
    """logged(form): starts a log and gives its lines when called again."""
    before = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    stream = io.StringIO()

    def start(form):
        start_logging(form, stream)
        return lambda: stream.getvalue().splitlines()

    yield start
    LOGGER.handlers[:], LOGGER.level, LOGGER.propagate = before
    LOGGER._cache.clear()


def test_json_lines(logged):
    lines = logged("json")
    log_event("photo", input="/in/ü\n\udcff.jpg", seconds=1.5, reason=None, size_hw=(3, 2))
    log_event("problem", level=logging.ERROR, name="output", time="not this one")
    first, second = map(json.loads, lines())
    time = datetime.fromisoformat(first.pop("time"))
    assert timedelta() <= datetime.now(UTC) - time < timedelta(minutes=1)
    assert first == {
        "level": "info",
        "event": "photo",
        "input": "/in/ü\n\udcff.jpg",
        "seconds": 1.5,
        "size_hw": [3, 2],
    }
    assert (second["level"], second["name"]) == ("error", "output")
    assert second["time"] != "not this one"
    assert all(line.isascii() for line in lines())


def test_text_lines(logged):
    lines = logged("text")
    log_event("photo", input="/in/two words\n.jpg", seconds=1.5, outputs=["a.png"], bad="\udcff")
    (line,) = lines()
    assert line.split(" ", 1)[1] == (r'info photo input="/in/two words\n.jpg" seconds=1.5 outputs=["a.png"] bad=\udcff')


def test_exceptions_are_reported(logged):
    lines = logged("json")
    try:
        raise ValueError("no")
    except ValueError:
        LOGGER.exception("broken")
    (line,) = map(json.loads, lines())
    assert line["exception"].endswith("ValueError: no")


def test_debug_is_left_out_and_a_second_start_replaces_the_first(logged):
    logged("text")
    lines = logged("text")
    log_event("detail", level=logging.DEBUG)
    log_event("photo")
    assert len(lines()) == 1


def test_nothing_is_said_unless_it_was_started(capfd):
    log_event("photo", level=logging.WARNING)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd is on Linux")
def test_systemd_is_notified(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        try:
            listening.bind(address := os.path.realpath("s"))
        except OSError as error:
            pytest.skip(f"no socket of that name here: {error}")
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify_service("READY=1")
        assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "nonsense", "/nowhere/at/all", "@nobody-listens"])
def test_silence_where_nobody_listens(monkeypatch, address):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify_service("READY=1")
