import os
import socket

import pytest

from garmentcut.observe.service import notify_service


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd is on Linux")
def test_systemd_is_told(tmp_path, monkeypatch):
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
