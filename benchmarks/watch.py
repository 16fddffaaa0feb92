"""Tests a watched folder: 1000 photos are copied slowly in random bursts, 20 are broken, and the watch is killed.

    python benchmarks/watch.py                       1000 photos, 20 broken, 5 kills: some minutes
    python benchmarks/watch.py --photos 100 --broken 5 --kills 2
    python benchmarks/watch.py scan                  cost of a scan of 100,000 finished photos

Photos are those of `garmentcut studio`, 192x288, in red cloth. The network is a stand-in, one convolution that finds
red, so that watching is measured and not the network. Each photo is copied by one of eight copiers: at once, in pieces
with pauses, under another name first, or with its full size first and its content later. Some pauses are longer than
the time after which the watch takes a file for complete. The watch is `garmentcut cut --watch` in its own process,
which is killed (SIGKILL) while it works and restarted at once. In the end each cutout is compared with the exact alpha
of its photo.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from garmentcut.model.card import ModelCard, with_card
from garmentcut.photo.files import sha256_of
from garmentcut.prediction.results import Journal, Row
from garmentcut.prediction.watch import scan_folders, watched_folders
from garmentcut.synthetic import draw_studio_photo

_CONSOLE = Console(width=100)
_SIZE_HW = (288, 192)
RED = (0.75, 0.04, 0.05)
_PORT = 9497
_TIMING = ("watch.poll_s=0.5", "watch.debounce_s=1.0", "watch.patience_s=10")
_LONG_PAUSE_S = 2.5  # longer than debounce_s, shorter than patience_s
_NUM_DRAWN = 40


def write_model(path: Path) -> Path:
    """A model file whose network is one convolution: logits = 60 (red - green) - 18."""
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.array([60, -60, 0], np.float32).reshape(1, 3, 1, 1), "w")
    bias = numpy_helper.from_array(np.array([-18], np.float32), "b")
    shape = ["n", None, "h", "w"]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [shape[0], channels, *shape[2:]])
        for name, channels in (("x", 3), ("y", 1))
    )
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w", "b"], ["y"])], "red", [x], [y], [weights, bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = ModelCard(
        name="red",
        network="one convolution that finds red",
        working_size_hw=_SIZE_HW,
        multiple_of=32,
        input_name="x",
        output_name="y",
        input_scale=1 / 255,
        convention="alpha >= 128",
        training_data="none",
        licence="MIT",
    )
    path.write_bytes(with_card(model.SerializeToString(), card))
    return path


def draw_photos(folder: Path) -> list[tuple[bytes, NDArray[np.bool_]]]:
    """JPEG and PNG files in turn, each with its exact mask."""
    folder.mkdir()
    drawn = []
    for seed in range(_NUM_DRAWN):
        shown = draw_studio_photo(seed, size_hw=_SIZE_HW, fabric_rgb=RED, print_name="plain")
        path = folder / f"{seed}.{'png' if seed % 2 else 'jpg'}"
        Image.fromarray(shown.rgb).save(path, quality=95)
        drawn.append((path.read_bytes(), shown.alpha >= 0.5))
    return drawn


def break_photo(content: bytes, number: int) -> bytes:
    """A broken file: truncated, empty, zeros, or something else."""
    return (content[: len(content) * 2 // 3], b"", bytes(len(content)), b"not a photo at all", content[:100])[
        number % 5
    ]


class Copiers:
    """Copies photos into the watched folder in bursts, like eight copiers with bad connections."""

    def __init__(self, folder: Path, *, seed: int = 9) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.pool = ThreadPoolExecutor(8)
        self.ways: Counter[str] = Counter()

    def run(self, files: dict[str, bytes]) -> None:
        """Copy all files; returns when the last one is complete."""
        names = list(files)
        self.random.shuffle(names)
        while names:
            burst, names = names[: (num := self.random.choice((1, 3, 10, 40, 90)))], names[num:]
            jobs = [self.pool.submit(self._copy, name, files[name], self.random.random()) for name in burst]
            time.sleep(self.random.uniform(0.1, 3))
            if self.random.random() < 0.3:
                for job in jobs:
                    job.result()
        self.pool.shutdown()

    def _copy(self, name: str, content: bytes, luck: float) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ways = ((0.3, self._at_once), (0.5, self._renamed), (0.65, self._size_first), (1.0, self._in_pieces))
        way: Callable[[Path, bytes], None] = next(way for share, way in ways if luck < share)
        self.ways[way.__name__.strip("_").replace("_", " ")] += 1
        way(path, content)

    def _at_once(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)

    def _renamed(self, path: Path, content: bytes) -> None:
        part = path.with_name(path.name + ".part")
        self._in_pieces(part, content)
        part.rename(path)

    def _size_first(self, path: Path, content: bytes) -> None:
        path.write_bytes(bytes(len(content)))
        time.sleep(_LONG_PAUSE_S if len(content) % 3 else 0.3)
        with path.open("r+b") as file:
            file.write(content)

    def _in_pieces(self, path: Path, content: bytes) -> None:
        pieces = 2 + len(content) % 4
        with path.open("wb") as file:
            for number in range(pieces):
                file.write(content[len(content) * number // pieces : len(content) * (number + 1) // pieces])
                file.flush()
                time.sleep(_LONG_PAUSE_S if (len(content) + number) % 7 == 0 else 0.1)


class WatchProcess:
    """A process of `garmentcut cut --watch` that can be started, killed and queried."""

    def __init__(self, inputs: Path, out: Path, model: Path, log: Path) -> None:
        options = [part for setting in _TIMING for part in ("--set", setting)]
        self.command = [sys.executable, "-m", "garmentcut", "cut", str(inputs), "--watch", "--out", str(out)]
        self.command += ["--model", str(model), "--log-format", "json", "--metrics-port", str(_PORT), *options]
        self.log, self.out = log.open("ab"), out

    def start(self) -> None:
        """Start it; it is not ready yet."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=self.log)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def metrics(self) -> dict[str, float]:
        """All metrics; empty while it starts."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/metrics", timeout=5) as answer:
                lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        except (urllib.error.URLError, OSError):
            return {}
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def num_finished(self) -> int:
        """Number of photos in the results."""
        return len(list(filter(lambda row: row["status"] != "pending", rows_of(self.out).values())))


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    """The last row of each photo; incomplete lines are skipped."""
    path = out / "results.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return {row["input"]: row for row in map(json.loads, lines)}


def run(work: Path, *, num_photos: int, num_broken: int, num_kills: int) -> dict[str, Any]:
    """Run the whole test; see the module's docstring."""
    drawn = draw_photos(work / "drawn")
    chance = random.Random(3)
    broken = set(chance.sample(range(num_photos), num_broken))
    files, masks = {}, {}
    for number in range(num_photos):
        content, mask = drawn[number % len(drawn)]
        name = f"day{number % 4}/{number:04}_Front.{'png' if number % len(drawn) % 2 else 'jpg'}"
        files[name] = break_photo(content, number) if number in broken else content
        masks[name] = mask
    watch = WatchProcess(work / "in", work / "out", write_model(work / "red.onnx"), work / "log.jsonl")
    (work / "in").mkdir()
    copiers, started, memory, kills = Copiers(work / "in"), time.monotonic(), list[tuple[int, float]](), list[int]()
    with ThreadPoolExecutor(1) as background:
        watch.start()
        copying = background.submit(copiers.run, files)
        kill_at = [num_photos * (number + 1) // (num_kills + 1) for number in range(num_kills)]
        last = -1
        while not copying.done() or watch.num_finished() < num_photos:
            time.sleep(0.5)
            if time.monotonic() - started > 3600:
                raise SystemExit(f"an hour is over; {watch.num_finished()} rows")
            if watch.process.poll() is not None:
                raise SystemExit((work / "log.jsonl").read_text())
            if copying.done():
                copying.result()
            found = watch.num_finished()
            if value := watch.metrics().get("process_resident_memory_bytes"):
                memory.append((found, value))
            if kill_at and found >= kill_at[0] and found != last:  # while it works
                kill_at.pop(0)
                watch.kill()
                kills.append(found)
                watch.start()
            last = found
    seconds = time.monotonic() - started
    time.sleep(12)  # longer than patience_s, so that anything that is done twice shows up
    watch.process.send_signal(signal.SIGTERM)
    code = watch.process.wait(60)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        **judge(work, files, masks, broken),
        "seconds until the last row": round(seconds),
        "killed at so many rows": kills,
        "exit code after SIGTERM": code,
        "processor seconds, all starts": round(usage.ru_utime + usage.ru_stime),
        "memory in MB, most in each quarter": _most_by_quarter(memory, num_photos),
        "copied": dict(copiers.ways),
    }


def _most_by_quarter(memory: list[tuple[int, float]], num_photos: int) -> str:
    quarters = [[value for found, value in memory if found * 4 // (num_photos + 1) == number] for number in range(4)]
    return ", ".join(f"{max(values) / 1e6:.0f}" if values else "-" for values in quarters)


def judge(work: Path, files: dict[str, bytes], masks: dict[str, Any], broken: set[int]) -> dict[str, Any]:
    """Check all cutouts, rows and events of the log."""
    rows = {str(Path(path).relative_to(work / "in")): row for path, row in rows_of(work / "out").items()}
    assert set(rows) == set(files), "a photo without a row, or a row without a photo"
    assert len((work / "out/results.jsonl").read_bytes().splitlines()) == len(rows), "two rows for a photo"
    failed = {name: row["reason"] for name, row in rows.items() if row["status"] != "ok"}
    assert {int(Path(name).name[:4]) for name in failed} == broken, "the wrong ones failed"
    dices = []
    for name in files.keys() - failed.keys():
        (output,) = rows[name]["outputs"]
        with Image.open(work / "out" / output) as image:
            mask = np.asarray(image.getchannel("A")) >= 128
        assert sha256_of(work / "in" / name) == rows[name]["input_sha256"], "not the content that came in the end"
        dices.append(2 * (mask & masks[name]).sum() / (mask.sum() + masks[name].sum()))
    written = [path for path in (work / "out").rglob("*") if path.suffix in (".png", ".part")]
    assert len(written) == len(dices), "files nobody asked for"
    events = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines() if line.startswith("{")]
    events_of = Counter((event["input"], event["status"]) for event in events if event["event"] == "photo")
    wrong = [event for event in events if event["event"] == "photo" and event["status"] == "failed"]
    return {
        "cutouts": len(dices),
        "rows with reasons": len(failed),
        "reasons": dict(Counter(reason.split("(")[0].strip() for reason in failed.values())),
        "least Dice with the exact mask": round(float(min(dices)), 4),
        "photos cut more than once": sum(number > 1 for (_, status), number in events_of.items() if status == "ok"),
        "failures reported more than once": sum(
            number > 1 for (_, status), number in events_of.items() if status != "ok"
        ),
        "failures reported that were none": sum(
            event["input"] not in {str(work / "in" / n) for n in failed} for event in wrong
        ),
    }


def scan(work: Path, num_photos: int = 100_000) -> dict[str, Any]:
    """Measure a scan of folders with a thousand finished photos each, and the memory of the results."""
    for number in range(num_photos):
        path = work / "in" / f"{number // 1000:03}" / f"{number:06}_Front.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (work / "out").mkdir()
    folders, journal = watched_folders([work / "in"], work / "out"), Journal(work / "out")
    before = _memory_mb()
    for found in scan_folders(folders, work / "out", unreadable=[]):
        stem = Path(found.path).stem
        row = Row(found.path, stem, (f"{stem}.png",), model="starter", options="0" * 16, size_hw=(1728, 1152))
        journal.rows[found.path] = row
    seconds = []
    for _ in range(5):
        start = time.process_time()
        num = sum(1 for found in scan_folders(folders, work / "out", unreadable=[]) if journal.rows.get(found.path))
        seconds.append(time.process_time() - start)
    assert num == num_photos
    start = time.process_time()
    journal.compact()
    return {
        "photos": num_photos,
        "processor seconds for a scan": round(min(seconds), 2),
        "rows in memory, MB": round(_memory_mb() - before),
        "results.jsonl tidied, processor seconds": round(time.process_time() - start, 1),
    }


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def show(title: str, figures: dict[str, Any]) -> None:
    """Print a table."""
    table = Table("", "", title=title, show_header=False)
    for name, value in figures.items():
        table.add_row(name, str(value))
    _CONSOLE.print(table)


def main() -> None:
    """Run the requested test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("watch", "scan"), default="watch")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--kills", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="garmentcut-watch-") as folder:
        work = Path(folder).resolve()
        if given.what == "scan":
            show("A scan of finished photos", scan(work))
            return
        figures = run(work, num_photos=given.photos, num_broken=given.broken, num_kills=given.kills)
        show("A watched folder", figures)


if __name__ == "__main__":
    main()
