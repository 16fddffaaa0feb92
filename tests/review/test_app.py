"""A real server in a process of its own: killed at the worst moment, left hanging, asked to end."""

import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image

from garmentcut.errors import UsageError
from garmentcut.photo.write import png_bytes
from garmentcut.review import app
from garmentcut.review.app import bind
from garmentcut.review.guard import open_access

# The stand-in network of conftest.py, and a moment to die at.
SERVER = """
import os, signal
import numpy as np
from garmentcut.model.card import ModelCard
from garmentcut.prediction.cutter import Cutter
from garmentcut.review import app, cutting, service, store
from garmentcut.review.redraw import Tiles

card = ModelCard("red", "red minus green", (96, 64), 32, "x", "y", 1 / 255, "alpha", "none", "MIT", sha256="0" * 64)

class Red:
    name, streams = "red", 1
    def __call__(self, rgb):
        return ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)

cutter = Cutter(card, Red())
Cutter.load = lambda *_args, **_kwargs: cutter
cutting.load_tiles = lambda *_args: Tiles(cutter)
app.MAX_CONNECTIONS = most

class Dying(store.StagedFile):
    def commit(self):
        os.kill(os.getpid(), signal.SIGKILL)

match moment:
    case "before the outputs":
        store.StagedFile = Dying
    case "slow":
        import time
        from garmentcut.review.cutting import CutQueue
        cut, entered = CutQueue._cut, folder / "entered"
        def cut_slowly(*args):
            entered.touch()
            while not (folder / "go").exists():
                time.sleep(0.01)
            return cut(*args)
        CutQueue._cut = cut_slowly

with app.bind("127.0.0.1", 0) as listening:
    told.send(listening.getsockname()[1])
    app.serve(service.Settings(folder), listening, token=token or None, say=told.send)
"""
TOKEN = "a-token-of-the-studio"


class Running:
    """A server's process."""

    def __init__(self, start_process, folder: Path, moment: str, most: int, token: str) -> None:
        names = {"folder": folder, "moment": moment, "most": most, "token": token}
        self.process, heard = start_process(SERVER, **names)
        self.port = heard.recv()
        heard.recv()  # its link: now it answers
        self.token = open_access(folder, "127.0.0.1", self.port, None).page_token

    def ask(self, method, path, body=None, **headers):
        """Status and content."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"X-Garmentcut-Token": self.token, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def items(self):
        return json.loads(self.ask("GET", "/api/photos")[1])["items"]

    def end(self):
        self.process.kill()
        self.process.join()


@pytest.fixture
def run(start_process):
    """run(folder, moment="", most=400, token=""): a server that is ended after the test."""
    started = []

    def start(folder, moment="", most=400, token=""):
        started.append(Running(start_process, folder, moment, most, token))
        return started[-1]

    yield start
    for server in started:
        server.end()


def test_killed_while_it_delivers_it_has_lost_nothing(cut_batch, run, open_review, png, gray):
    folder = cut_batch(["a_Front"])
    server = run(folder, "before the outputs")
    (item,) = server.items()
    alpha = gray(server.ask("GET", item["urls"]["alpha"])[1]).copy()
    alpha[30:60, 10:20] = 255
    with pytest.raises((http.client.HTTPException, OSError)):
        server.ask("PUT", f"/api/photos/{item['id']}/alpha?version=1&accept=1", png(alpha))
    server.process.join()
    assert server.process.exitcode == -signal.SIGKILL
    client = open_review(folder)
    item = client.get("/api/photos").json()["items"][0]
    assert (item["state"], item["version"], item["undelivered"]) == ("corrected", 2, "")
    with Image.open(folder / "a_Front.png") as image:
        np.testing.assert_array_equal(np.array(image)[..., 3], alpha)
    body = {"version": 2, "action": "reject"}
    assert client.post(f"/api/photos/{item['id']}/decision", json=body).status_code == 200


def test_half_open_requests_keep_nobody_out(cut_batch, run):
    server = run(cut_batch(["a_Front"]), most=40)
    beginnings = [
        b"",
        b"GET",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"POST /cut HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
    ]
    with contextlib.ExitStack() as stack:
        for number in range(300):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            with contextlib.suppress(ConnectionError):
                half.sendall(beginnings[number % 3])
        assert server.ask("GET", "/healthz")[0] == 200
        assert len(server.items()) == 1
    assert server.process.is_alive()


def test_what_runs_is_finished_before_the_server_ends(cut_batch, run):
    folder = cut_batch(["a_Front"])
    server = run(folder, "slow")
    photo = (folder.parent / "photos" / "a_Front.png").read_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/cut", photo)
        while not (folder / "entered").exists():
            assert server.process.is_alive()
        server.process.terminate()
        (folder / "go").touch()
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read().startswith(b"\x89PNG")
    server.process.join()
    assert server.process.exitcode in (0, -signal.SIGTERM)


def test_the_queue_has_an_end(cut_batch, run):
    folder = cut_batch(["a_Front"])
    server = run(folder, "slow")
    photo = (folder.parent / "photos" / "a_Front.png").read_bytes()
    waiting = []
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            waiting.append(stack.enter_context(contextlib.closing(connection)))
            connection.request("POST", "/cut", photo)
        while not (folder / "entered").exists():
            assert server.process.is_alive()
        status = 0
        while status != 429:  # until all eight have been taken in
            probe = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2)
            stack.enter_context(contextlib.closing(probe))
            probe.request("POST", "/cut", b"not a photo, should there be room")
            with contextlib.suppress(TimeoutError):  # it was faster than one of the eight, and waits itself
                answer = probe.getresponse()
                status, content = answer.status, answer.read()
                assert status in (415, 429)
        assert answer.headers["retry-after"] and b"too many photos wait" in content
        (folder / "go").touch()
        statuses = [one.getresponse().status for one in waiting]
        assert set(statuses) <= {200, 429} and statuses.count(200) >= 4


HEAD = "POST /cut HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    ("num", "most", "part"),
    [(90, 400, 1.0), (90, 50, 1.0), (90, 50, 0.9)],
    ids=["bodies, more than uploads", "bodies, more than connections", "heads, more than connections"],
)
def test_slow_clients_in_numbers_keep_nobody_out(cut_batch, run, num, most, part):
    """More than may send at a time, or than may be connected: whoever is fast is served, from the first moment on."""
    folder = cut_batch(["a_Front"])
    server = run(folder, most=most)
    pixels = np.random.default_rng(0).integers(190, 200, (900, 600, 3), np.uint8)  # too much for one packet
    pixels[200:700, 200:400] = (255, 0, 0)
    photo = png_bytes(pixels)
    head = HEAD.format(port=server.port).encode()
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [one.close() for one in clients])
        clients = []
        for number in range(3):
            for _ in range(num):
                with contextlib.suppress(ConnectionError):
                    clients.append(socket.create_connection(("127.0.0.1", server.port)))
                    clients[-1].sendall(head + b"\x89" if part == 1 else head[: int(len(head) * part)])
            start = time.monotonic()
            status, content = server.ask("POST", "/cut", photo)
            assert status == 200 and content.startswith(b"\x89PNG"), (number, content)
            assert time.monotonic() - start < 10  # a second, where the machine does nothing else
            for client in clients:  # what trickles in is slow, too
                with contextlib.suppress(ConnectionError):
                    client.sendall(b"x")


@pytest.fixture
def listen(monkeypatch):
    """listen(answer, most, stall_s): the port of a server that answers with so many bytes, in one or in parts."""
    servers = []

    def start(num_parts, *, most=400, stall_s=15.0):
        async def application(_scope, _receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for number in range(num_parts):
                body = bytes(MANY_BYTES // num_parts)
                await send({"type": "http.response.body", "body": body, "more_body": number < num_parts - 1})

        monkeypatch.setattr(app, "MAX_CONNECTIONS", most)
        monkeypatch.setattr(app, "STALL_S", stall_s)
        connections = app.Connections(application)
        config = uvicorn.Config(connections, http=app.Connection, ws="none", lifespan="off", log_config=None)
        server, listening = uvicorn.Server(config), bind("127.0.0.1", 0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        servers.append((server, thread, listening))
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        return listening.getsockname()[1], connections

    yield start
    for server, thread, listening in servers:
        server.should_exit = server.force_exit = True
        thread.join(20)
        listening.close()


MANY_BYTES = 30_000_000  # more than the system takes over


def ask_for_all(port, *, times=1):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.connect(("127.0.0.1", port))
    request = b"GET / HTTP/1.1\r\nHost: x\r\n"
    client.sendall((request + b"\r\n") * (times - 1) + request + b"Connection: close\r\n\r\n")
    return client


def read_all(client, *, pause_s=0.0):
    num_bytes = 0
    while part := client.recv(1_000_000 if pause_s else 65_536):
        num_bytes += len(part)
        time.sleep(pause_s)
    return num_bytes


@pytest.mark.parametrize(("num_parts", "times"), [(1, 1), (300, 1), (1, 2)])
def test_an_answer_that_nobody_takes_is_not_held_for_ever(listen, num_parts, times):
    port, connections = listen(num_parts, stall_s=0.3)
    with contextlib.closing(ask_for_all(port, times=times)) as client:
        time.sleep(0.2)
        assert len(connections.known) == 1
        deadline = time.monotonic() + 20
        while connections.known and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not connections.known
        with contextlib.suppress(ConnectionError):
            assert read_all(client) < MANY_BYTES


@pytest.mark.parametrize("num_parts", [1, 300])
def test_an_answer_that_is_taken_slowly_is_given_whole(listen, num_parts):
    port, _ = listen(num_parts, stall_s=0.3)
    with contextlib.closing(ask_for_all(port)) as client:
        start = time.monotonic()
        assert read_all(client, pause_s=0.005) > MANY_BYTES
        assert time.monotonic() - start > 0.6  # longer than an answer may stand still


@pytest.mark.parametrize("num_parts", [1, 300])
def test_many_who_take_no_answers_keep_nobody_out(listen, num_parts):
    port, _ = listen(num_parts, most=5)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(contextlib.closing(ask_for_all(port)))
        time.sleep(1.5)
        with contextlib.closing(ask_for_all(port)) as client:
            assert read_all(client) > MANY_BYTES


WRONG = [
    {},
    {"X-Api-Key": "wrong"},
    {"X-Api-Key": ""},
    {"X-Api-Key": f"{TOKEN}x"},
    {"X-Api-Key": TOKEN[:-1]},
    {"X-Api-Key": TOKEN.upper()},
    {"X-Api-Key": "\xfc" * len(TOKEN)},
    {"Authorization": TOKEN},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer wrong"},
    {"Cookie": f"garmentcut-{{port}}={TOKEN}"},
    {"Cookie": "garmentcut-{port}=" + "0" * 64},
    {"Cookie": "=;;=\x01"},
    {"X-Garmentcut-Token": TOKEN},
    {"X-Garmentcut-Token": "0" * 64},
]


def test_wrong_and_missing_tokens_over_a_socket(cut_batch, run):
    folder = cut_batch(["a_Front"])
    server = run(folder, token=TOKEN)
    photo = (folder.parent / "photos" / "a_Front.png").read_bytes()
    asked = [
        ("GET", "/api/photos", None),
        ("GET", f"/api/photos?token={TOKEN}", None),  # only the link's own page takes it from an address
        ("GET", "/media/1/alpha.png", None),
        ("GET", "/?token=wrong", None),
        ("POST", "/cut", photo),
        ("POST", "/api/photos/1/decision", b'{"version": 1, "action": "accept"}'),
        ("PUT", "/api/photos/1/alpha?version=1", photo),
    ]
    for headers in WRONG:
        sent = {name: value.replace("{port}", str(server.port)) for name, value in headers.items()}
        for method, path, body in asked:
            status, content = server.ask(method, path, body, **{"X-Garmentcut-Token": "", **sent})
            assert status == 401, (headers, method, path)
            assert path.startswith("/?") or json.loads(content)["code"] == "no_token"
    refused = server.ask("POST", "/v1.0/removebg", photo, **{"X-Api-Key": "wrong"})
    assert refused[0] == 403 and json.loads(refused[1])["code"] == "no_token"
    assert server.ask("POST", "/cut", photo, **{"X-Api-Key": TOKEN})[0] == 200
    status, content = server.ask("GET", "/api/photos", Authorization=f"Bearer {TOKEN}")
    assert status == 200 and json.loads(content)["items"][0]["version"] == 1


def test_without_the_pages_token_nothing_is_written_over_a_socket(cut_batch, run):
    server = run(cut_batch(["a_Front"]))
    body = b'{"version": 1, "action": "accept"}'
    for token in ("", "wrong", server.token[:-1], server.token.upper(), f"{server.token} x", "\xfc" * 64):
        status, content = server.ask("POST", "/api/photos/1/decision", body, **{"X-Garmentcut-Token": token})
        assert status == 403 and json.loads(content)["code"] == "forbidden", token
    assert server.items()[0]["version"] == 1


def test_an_address_that_is_taken_is_said_so():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
            bind("127.0.0.1", port)
