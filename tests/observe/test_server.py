import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from garmentcut.observe.monitor import Metrics, Monitor
from garmentcut.observe.server import MAX_CLIENTS, StatusServer, answer_status


@pytest.fixture
def asked():
    """asked(server, path): status, content type and content."""

    def ask(server, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=30) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read()

    return ask


def test_metrics_health_and_readiness_over_http(asked):
    monitor = Monitor(Metrics())
    with StatusServer(monitor, port=0) as server:
        status, content_type, content = asked(server, "/metrics")
        assert status == 200
        assert content_type.startswith("text/plain; version=")
        assert b"garmentcut_photos_total" in content
        assert asked(server, "/healthz?from=compose")[0] == 200
        assert asked(server, "/readyz")[::2] == (200, b'{"ready": true, "problems": {}}\n')
        monitor.problem("output", "No space left on device")
        status, _, content = asked(server, "/readyz")
        assert (status, json.loads(content)["problems"]) == (503, {"output": "No space left on device"})
        assert asked(server, "/healthz")[0] == 200  # starting again would not help
        assert asked(server, "/")[0] == 404
    with pytest.raises(urllib.error.URLError):
        asked(server, "/healthz")


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nX-Slow: "])
def test_slow_clients_in_numbers_keep_nobody_out(asked, start, capfd):
    with StatusServer(Monitor(), port=0) as server, contextlib.ExitStack() as stack:
        before = threading.active_count()
        for _ in range(3 * MAX_CLIENTS):
            slow = stack.enter_context(contextlib.closing(socket.create_connection(("127.0.0.1", server.port))))
            slow.sendall(start)
        assert asked(server, "/healthz")[0] == 200
        deadline = time.monotonic() + 20
        while threading.active_count() - before > MAX_CLIENTS and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() - before <= MAX_CLIENTS
    assert capfd.readouterr().err == ""


def test_a_stuck_process_is_not_alive():
    monitor = Monitor()
    monitor.health._beaten -= 301
    assert answer_status(monitor, "/healthz").status == 503
    assert answer_status(monitor, "/readyz").status == 503


def test_without_metrics_there_is_no_page_of_them():
    assert answer_status(Monitor(), "/metrics") is None


def test_a_path_of_the_programs_own_has_no_answer():
    assert answer_status(Monitor(Metrics()), "/orders") is None


def test_it_listens_on_this_machine_only_unless_told():
    with StatusServer(Monitor(), port=0) as server:
        assert server._server.server_address[0] == "127.0.0.1"


def test_an_address_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        StatusServer(Monitor(), port=taken.getsockname()[1])
