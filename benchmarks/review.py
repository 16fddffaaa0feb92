"""Measures the review page's server and its smart brush.

    python benchmarks/review.py server BATCH
    python benchmarks/review.py brush DATASET MODEL [--split fold0] [--photos 34]

`server` starts `garmentcut review` on an output folder of `garmentcut cut` and sends requests like those of a browser
and of an attacker. `brush` lets the smart brush fix alphas of photos that the model was not trained on: the three
largest pieces of each where its alpha and the retoucher's differ by more than a half, and two discs at the edge where
the alpha is damaged on purpose. The stroke is the piece, widened by 18 pixels, with a soft edge. DATASET is a folder
that `garmentcut ingest` made, MODEL a file whose training held the split out.
"""

import argparse
import base64
import http.client
import io
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_NUM_REQUESTS, _NUM_CLIENTS, _NUM_HALF_OPEN = 1000, 50, 10_000


class Server(NamedTuple):
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Status and content."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def items(self) -> list[dict[str, Any]]:
        """All photos."""
        found: list[dict[str, Any]] = json.loads(self.ask("GET", "/api/photos?limit=500")[1])["items"]
        return found

    @property
    def megabytes(self) -> float:
        """Resident memory now."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@contextmanager
def running(batch: Path) -> Iterator[Server]:
    """A context with a server on a free port that is ready."""
    command = [
        sys.executable,
        "-c",
        "import garmentcut.cli.review; from garmentcut.cli import main; main()",
        "review",
        str(batch),
    ]
    process = subprocess.Popen([*command, "--port", "0", "--no-open"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        link = process.stdout.readline()
        server = Server(process, int(link.rsplit(":", 1)[1].strip(" /\n")))
        while server.ask("GET", "/readyz")[0] != 200:
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait()


def measure_server(batch: Path) -> None:
    """Measure first views, memory after many requests, many clients, and many incomplete requests."""
    with running(batch) as server:
        print(f"ready, with the model loaded: {server.megabytes:.0f} MB")
        items = server.items()
        views = [_first_view(server, item) for item in items[:20]]
        print(f"first view (page, photo, alpha), {len(views)} photos: median {statistics.median(views):.3f} s")
        for side_px in (100, 250, 450, 900):
            strokes = _redraw(server, items[:10], side_px)
            print(
                f"smart stroke in a box of {side_px} px, {len(strokes)} photos: "
                f"median {statistics.median(strokes):.2f} s, slowest {max(strokes):.2f} s; {server.megabytes:.0f} MB"
            )
        _ask_much(server, items)
        _hang(server)


def _first_view(server: Server, item: dict[str, Any]) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(3) as browser:
        addresses = [item["urls"][name] for name in ("page", "photo", "alpha")]
        assert all(status == 200 for status, _ in browser.map(lambda address: server.ask("GET", address), addresses))
    return time.perf_counter() - start


def token_of(server: Server) -> str:
    """The token that the server's own pages send."""
    found = re.search(rb'name="garmentcut-token" content="(\w+)"', server.ask("GET", "/")[1])
    assert found
    return found[1].decode()


def _redraw(server: Server, items: list[dict[str, Any]], side_px: int) -> list[float]:
    """Seconds for a smart stroke of 40 pixels through a box in the photo's middle, measured by the client."""
    seconds = []
    headers = {"X-Garmentcut-Token": token_of(server), "Content-Type": "application/json"}
    for item in items:
        left, top = (item["width"] - side_px) // 2, (item["height"] - side_px) // 2
        box = left, top, left + side_px, top + side_px
        with Image.open(io.BytesIO(server.ask("GET", item["urls"]["alpha"])[1])) as alpha:
            part = alpha.crop(box)
        stroke = np.zeros((side_px, side_px), np.uint8)
        stroke[side_px // 2 - 20 : side_px // 2 + 20] = 255
        pictures = {"stroke": _base64(Image.fromarray(stroke)), "alpha": _base64(part)}
        body = json.dumps({"box_xyxy": box, "hint": "auto", **pictures}).encode()
        start = time.perf_counter()
        status, _ = server.ask("POST", f"/api/photos/{item['id']}/redraw", body, **headers)
        assert status == 200
        seconds.append(time.perf_counter() - start)
    return seconds


def _base64(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _ask_much(server: Server, items: list[dict[str, Any]]) -> None:
    paths = [item["urls"][name] for item in items for name in ("page", "photo", "alpha", "predicted", "thumbnail")]
    paths = (paths * (_NUM_REQUESTS // len(paths) + 1))[:_NUM_REQUESTS]
    start, most = time.perf_counter(), 0.0
    with ThreadPoolExecutor(_NUM_CLIENTS) as clients:
        statuses = []
        for status, _ in clients.map(lambda path: server.ask("GET", path), paths):
            statuses.append(status)
            most = max(most, server.megabytes)
    print(
        f"{len(paths)} requests by {_NUM_CLIENTS} clients: {statuses.count(200)} answered 200, "
        f"{len(paths) / (time.perf_counter() - start):.0f} a second, at most {most:.0f} MB"
    )


def _hang(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * _NUM_HALF_OPEN)), hard))
    with ExitStack() as stack:
        num_open = 0
        for _ in range(_NUM_HALF_OPEN):
            with suppress(OSError):
                half = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
                num_open += 1
        start = time.perf_counter()
        status, _ = server.ask("GET", "/api/photos?limit=1")
        seconds = time.perf_counter() - start
        print(f"{num_open} half-open requests: then answered {status} in {seconds:.2f} s, {server.megabytes:.0f} MB")


def measure_brush(dataset: Path, model: Path, *, split: str, num_photos: int) -> None:
    """Measure how close the model's errors come to the retoucher's alpha by one stroke each."""
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.photo.read import read_photo
    from garmentcut.prediction.cutter import Cutter
    from garmentcut.review.redraw import load_tiles

    manifest, cutter, tiles = read_manifest(dataset), Cutter.load(model), load_tiles(model, None)
    pairs = [pair for pair in manifest.usable if pair.split == split][:num_photos]
    rows: list[dict[str, float]] = []
    damaged: list[dict[str, float]] = []
    rng = np.random.default_rng(0)
    for pair in pairs:
        photo = read_photo(manifest.folder / pair.photo)
        target = _levels_of(manifest.folder / pair.alpha)
        predicted = np.rint(cutter(photo).alpha * 255).astype(np.uint8)
        rows += [_one_stroke(photo, predicted, predicted, target, mask, tiles) for mask in _pieces(predicted, target)]
        for current, mask in _damages(predicted, target, rng):
            damaged.append(_one_stroke(photo, predicted, current, target, mask, tiles))
        print(f"{pair.name}: {len(rows)} strokes so far", file=sys.stderr)
    for kind, found in (("where the model was wrong", rows), ("on bites and bulges made by hand", damaged)):
        print(
            f"{len(found)} strokes {kind}, {len(pairs)} photos of {split}; error of alpha under the stroke, in [0, 1]:"
        )
        for name in found[0]:
            values = [row[name] for row in found]
            better = sum(row[name] < row["before"] for row in found)
            print(f"  {name:24} mean {np.mean(values):.4f}  median {np.median(values):.4f}  better in {better}")


def _levels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        pixels = np.asarray(image).astype(np.float32)
    levels: NDArray[np.uint8] = np.rint(pixels * (255 / (65535 if pixels.max() > 255 else 255))).astype(np.uint8)
    return levels


def _pieces(predicted: NDArray[np.uint8], target: NDArray[np.uint8]) -> Iterator[NDArray[np.bool_]]:
    """The three largest pieces, of at least 60 pixels and at most 380 wide, where they differ by more than a half."""
    from scipy import ndimage

    differs = np.abs(predicted.astype(np.int16) - target) > 127
    labels, number = ndimage.label(ndimage.binary_dilation(differs, iterations=3))
    sizes = ndimage.sum(differs, labels, range(1, number + 1)) if number else np.zeros(0)
    boxes = ndimage.find_objects(labels)
    for place in np.argsort(-np.asarray(sizes))[:3]:
        height, width = (part.stop - part.start for part in boxes[place])
        if sizes[place] >= 60 and max(height, width) <= 380:
            yield labels == place + 1


def _damages(
    predicted: NDArray[np.uint8], target: NDArray[np.uint8], rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """The model's alpha with a disc of 40 pixels removed at its edge, and with one added; each with the disc."""
    mask = target >= 128
    edge = np.argwhere(mask[1:-1, 1:-1] & ~(mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:])) + 1
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    for level in (0, 255):
        row, column = edge[rng.integers(len(edge))]
        disc = np.hypot(rows - row, columns - column) < 40
        yield np.where(disc, np.uint8(level), predicted), disc


def _one_stroke(
    photo: Any, predicted: Any, current: Any, target: Any, piece: NDArray[np.bool_], tiles: Any
) -> dict[str, float]:
    from scipy import ndimage

    from garmentcut.review.redraw import Canvas, Stroke, redraw

    distance = ndimage.distance_transform_edt(~piece)
    painted = np.rint(((22 - distance) / 8).clip(0, 1) * 255).astype(np.uint8)
    (top, bottom), (left, right) = ((int(np.min(axis)), int(np.max(axis)) + 1) for axis in np.nonzero(painted))
    part = slice(top, bottom), slice(left, right)
    stroke, was, wanted = painted[part], current[part], target[part].astype(np.float32)
    missing = float((wanted - was)[piece[part]].sum()) > 0
    errors, canvas = {"before": _error(was, wanted, stroke)}, Canvas(photo, predicted, current)
    again = tiles.predict(photo, (left, top, right, bottom)) * 255
    errors["model alone, nearer by"] = _error(was + (again - was) * (stroke / 255), wanted, stroke)
    for name, hint in (("smart brush", "auto"), ("smart brush with a hint", "add" if missing else "subtract")):
        drawn = redraw(canvas, Stroke((left, top, right, bottom), stroke, was, hint), tiles)  # type: ignore[arg-type]
        errors[name] = _error(drawn, wanted, stroke)
    return errors


def _error(alpha: Any, wanted: Any, stroke: Any) -> float:
    weight = stroke.astype(np.float64)
    return float((np.abs(alpha.astype(np.float64) - wanted) * weight).sum() / weight.sum() / 255)


def main() -> None:
    """Run the requested measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("server").add_argument("batch", type=Path)
    brush = kinds.add_parser("brush")
    brush.add_argument("dataset", type=Path)
    brush.add_argument("model", type=Path)
    brush.add_argument("--split", default="fold0")
    brush.add_argument("--photos", type=int, default=34)
    asked = parser.parse_args()
    if asked.kind == "server":
        measure_server(asked.batch)
    else:
        measure_brush(asked.dataset, asked.model, split=asked.split, num_photos=asked.photos)


if __name__ == "__main__":
    main()
