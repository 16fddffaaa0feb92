"""A real server in a process of its own: killed at the worst moment, left hanging, asked to end."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut.errors import UsageError
from garmentcut.review.app import bind
from garmentcut.review.guard import open_access

# The stand-in network of conftest.py, and a moment to die at.
SERVER = """
import os, signal, sys
from pathlib import Path
import numpy as np
from garmentcut.model.card import ModelCard
from garmentcut.prediction.cutter import Cutter
from garmentcut.review import app, cutting, service, store
from garmentcut.review.redraw import Tiles

folder, moment, most = sys.argv[1:]
card = ModelCard("red", "red minus green", (96, 64), 32, "x", "y", 1 / 255, "alpha", "none", "MIT", sha256="0" * 64)

class Red:
    name, streams = "red", 1
    def __call__(self, rgb):
        return ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)

cutter = Cutter(card, Red())
Cutter.load = lambda *_args, **_kwargs: cutter
cutting.load_tiles = lambda *_args: Tiles(cutter)
app.MAX_CONNECTIONS = int(most)

class Dying(store.StagedFile):
    def commit(self):
        os.kill(os.getpid(), signal.SIGKILL)

match moment:
    case "before the outputs":
        store.StagedFile = Dying
    case "slow":
        import time
        from garmentcut.review.cutting import CutQueue
        cut, entered = CutQueue._cut, Path(folder) / "entered"
        def cut_slowly(*args):
            entered.touch()
            while not (Path(folder) / "go").exists():
                time.sleep(0.01)
            return cut(*args)
        CutQueue._cut = cut_slowly

with app.bind("127.0.0.1", 0) as listening:
    print(listening.getsockname()[1], flush=True)
    app.serve(service.Settings(Path(folder)), listening, token=None, say=lambda link: print(link, flush=True))
"""


class Running:
    """A server's process."""

    def __init__(self, folder: Path, moment: str, most: int) -> None:
        arguments = [sys.executable, "-W", "ignore", "-c", SERVER, str(folder), moment, str(most)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.link = self.process.stdout.readline().strip()
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
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def run():
    """run(folder, moment="", most=400): a server that is ended after the test."""
    started = []

    def start(folder, moment="", most=400):
        started.append(Running(folder, moment, most))
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
    assert server.process.wait() == -signal.SIGKILL
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
    assert server.process.poll() is None


def test_what_runs_is_finished_before_the_server_ends(cut_batch, run):
    folder = cut_batch(["a_Front"])
    server = run(folder, "slow")
    photo = (folder.parent / "photos" / "a_Front.png").read_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/cut", photo)
        while not (folder / "entered").exists():
            assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        (folder / "go").touch()
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read().startswith(b"\x89PNG")
    assert server.process.wait() in (0, -signal.SIGTERM)


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
            assert server.process.poll() is None
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


def test_bodies_that_trickle_in_keep_nobody_out(cut_batch, run):
    folder = cut_batch(["a_Front"])
    server = run(folder)
    photo = (folder.parent / "photos" / "a_Front.png").read_bytes()
    head = f"POST /cut HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 100000\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            slow.sendall(head + b"\x89")
        for _ in range(3):
            status, content = server.ask("POST", "/cut", photo)
            assert status == 200 and content.startswith(b"\x89PNG")


def test_an_address_that_is_taken_is_said_so():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
            bind("127.0.0.1", port)
