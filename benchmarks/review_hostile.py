"""Tests the review page's server with many people at once, and with requests of an attacker.

    garmentcut cut PHOTOS --out BATCH
    python benchmarks/review_hostile.py BATCH PHOTO

Works on a copy of BATCH. Fifty clients decide on all photos at once, and each decision must be stored afterwards. PHOTO
is posted to /cut in each format, and by more clients than may wait. Then follow paths that lead out of the folders,
uploads that are too large, never end or decompress to a huge size, and files with wrong types. Prints each request with
the status of its response, and exits with 1 if one is wrong. Last, the server is asked to stop while it cuts.
"""

import http.client
import io
import json
import shutil
import socket
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from review import Server, running, token_of

_NUM_CLIENTS = 50
_PATHS = (
    "/static/../app.py",
    "/static/%2e%2e/%2e%2e/config.py",
    "/static/..%2f..%2fconfig.py",
    "/static//etc/passwd",
    "/static/docs.css%00.png",
    "/media/../../../etc/passwd",
    "/media/1%2f..%2f..%2freview.sqlite",
    "/photos/..%2f..%2fetc%2fpasswd",
    "/.garmentcut/review.secret",
    "/review.sqlite",
)


class Watch:
    """Prints responses, and records whether all were right."""

    is_good = True

    def tell(self, what: str, got: Any, allowed: tuple[Any, ...]) -> None:
        """Print one line; a result that is not in `allowed` is a failure."""
        is_good = got in allowed
        self.is_good &= is_good
        print(f"{what:58} {got}{'' if is_good else f'   WRONG: not one of {allowed}'}")


def decide_at_once(server: Server, watch: Watch) -> None:
    """Each client decides on its own photos; afterwards each photo must be as its client left it."""
    headers, items = {"X-Garmentcut-Token": token_of(server)}, [one for one in server.items() if one["state"] == "open"]
    accepted = {item["id"]: "corrected" if item["has_draft"] else "accepted" for item in items}
    wanted = {key: ("accept", state) if key % 3 else ("reject", "rejected") for key, state in accepted.items()}

    def decide(item: dict[str, Any]) -> int:
        body = {"version": item["version"], "action": wanted[item["id"]][0], "seconds": 1}
        path = f"/api/photos/{item['id']}/decision"
        return server.ask("POST", path, json.dumps(body).encode(), **headers, **{"Content-Type": "application/json"})[0]

    start = time.perf_counter()
    with ThreadPoolExecutor(_NUM_CLIENTS) as clients:
        statuses = list(clients.map(decide, items))
    seconds = time.perf_counter() - start
    kept = sum(item["state"] == wanted[item["id"]][1] for item in server.items() if item["id"] in wanted)
    lost = (len(items) - statuses.count(200), len(items) - kept)
    watch.tell(f"{len(items)} decisions by {_NUM_CLIENTS} clients in {seconds:.1f} s: refused, lost", lost, ((0, 0),))


def cut(server: Server, photo: bytes, watch: Watch) -> None:
    """Send one photo in each format, then more photos than may wait."""
    for wanted, begin in (("png", b"\x89PNG"), ("mask", b"\x89PNG"), ("psd", b"8BPS")):
        start = time.perf_counter()
        status, content = server.ask("POST", f"/cut?format={wanted}", photo)
        seconds = time.perf_counter() - start
        watch.tell(f"POST /cut?format={wanted}, {seconds:.2f} s", (status, content.startswith(begin)), ((200, True),))
    with ThreadPoolExecutor(24) as clients:
        statuses = sorted(status for status, _ in clients.map(lambda _: server.ask("POST", "/cut", photo), range(24)))
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    watch.tell("POST /cut by 24 clients at once", counts, ({200: 8, 429: 16},))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int, num_bytes: int) -> bytes:
    """A PNG of zeros, which are compressed a thousand to one."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(num_bytes), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def not_photos() -> Iterator[tuple[str, bytes, tuple[int, ...]]]:
    """Descriptions of files that are not photos, each with its bytes and the expected statuses."""
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield "SVG named PNG", svg, (415,)
    yield "PNG's first bytes, then SVG", b"\x89PNG\r\n\x1a\n" + svg, (413, 415)  # the header is missing
    yield "nothing", b"", (415,)
    yield "ZIP", b"PK\x03\x04" + bytes(1000), (415,)
    yield "PNG of 60000x60000 by its header, 300 MB when unpacked", png_bomb(60_000, 60_000, 300_000_000), (413,)
    yield "PNG of 64x64 by its header, 300 MB when unpacked", png_bomb(64, 64, 300_000_000), (200, 415, 422)
    file = io.BytesIO()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(file, "PNG")
    yield "PNG cut off", file.getvalue()[:-30], (415,)
    yield "PNG without a garment", file.getvalue(), (422,)


def raw(server: Server, head: str, body: bytes = b"", *, times: int = 1) -> int:
    """Status of a request that no library would send; the body is sent up to `times` times, until it is rejected."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=60)) as connection:
        connection.sendall(f"{head}\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        try:
            for _ in range(times):
                connection.sendall(body)
        except OSError:
            pass  # the server has closed the connection
        try:
            line = connection.recv(4096).split(b"\r\n")[0].split()
        except ConnectionResetError:
            return 0
    return int(line[1]) if len(line) > 1 else 0


def attack(server: Server, watch: Watch) -> None:
    """Send all hostile requests."""
    for path in _PATHS:
        watch.tell(f"GET {path}", raw(server, f"GET {path} HTTP/1.1"), (400, 404, 422))
    for what, content, allowed in not_photos():
        form = (
            b"--x\r\nContent-Disposition: form-data; name=photo; filename=dress.png\r\n\r\n"
            + content
            + b"\r\n--x--\r\n"
        )
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        watch.tell(f"POST /cut, {what}", server.ask("POST", "/cut", form, **kind)[0], allowed)
    head = "POST /cut HTTP/1.1\r\n"
    watch.tell("POST /cut, 99 GB declared", raw(server, f"{head}Content-Length: 99000000000"), (413,))
    endless = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    watch.tell("POST /cut, never ends", raw(server, f"{head}Transfer-Encoding: chunked", endless, times=200), (413, 0))
    watch.tell("another host", server.ask("GET", "/", Host="evil.example")[0], (400,))
    watch.tell("decision without the page's token", server.ask("POST", "/api/photos/1/decision", b"{}")[0], (403,))
    other = {"X-Garmentcut-Token": token_of(server), "Origin": "http://evil.example"}
    watch.tell("decision sent by another site", server.ask("POST", "/api/photos/1/decision", b"{}", **other)[0], (403,))
    watch.tell("POST /cut by another site", server.ask("POST", "/cut", b"x", Origin="http://evil.example")[0], (403,))
    watch.tell("the server afterwards", server.ask("GET", "/readyz")[0], (200,))
    print(f"memory afterwards {server.megabytes:.0f} MB")


def end_while_it_cuts(server: Server, photo: bytes, watch: Watch) -> None:
    """Running requests must be answered before the process ends."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("POST", "/cut", photo)
        time.sleep(0.1)
        server.process.terminate()
        start, answer = time.perf_counter(), connection.getresponse()
        watch.tell("cut begun before the end", (answer.status, answer.read()[:4]), ((200, b"\x89PNG"),))
    server.process.wait(60)
    print(f"ended {time.perf_counter() - start:.2f} s after it was asked to")


def main(batch: Path, photo: Path) -> bool:
    """Run all tests; True if none failed."""
    watch, content = Watch(), photo.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(batch, Path(folder) / "batch")
        with running(copy) as server:
            decide_at_once(server, watch)
            cut(server, content, watch)
            attack(server, watch)
            end_while_it_cuts(server, content, watch)
    return watch.is_good


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1]), Path(sys.argv[2])) else 1)
