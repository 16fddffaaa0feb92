"""`garmentcut cut --ray` against the plain folder run, and under faults.

    python benchmarks/cluster.py speed      folder run, Ray with 1 and 2 workers: processor seconds, memory
    python benchmarks/cluster.py faults     workers and driver killed, an object store that errs and waits

300 photos where --photos does not say else, drawn (`garmentcut studio`, 192x288 and other sizes). For `speed`
the network sees them at its own height, so that each costs what a studio's photo costs; for `faults`, where results
count and not time, at half of it. The S3 server is moto's, on loopback, behind a layer of faults. Needs the extras
`cluster` and `dev`, and Linux, whose /proc tells what each process has used: processor seconds can be compared on a
shared machine too.
"""

import argparse
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from garmentcut.dataset.studio import draw_studio_photo
from garmentcut.model.card import read_model, with_card
from garmentcut.prediction.cutter import default_model

_CONSOLE = Console(width=110)
_HEIGHTS = (288, 432, 576)
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BROKEN = 12


# ------------------------------------------------- photos ---------------------------------------------------------


def draw_photos(folder: Path, num: int, *, broken: int = 0) -> None:
    """Synthetic photos of three sizes, each file another; some of them cut short."""
    folder.mkdir(parents=True)
    shots = [draw_studio_photo(seed, size_hw=(height, height * 2 // 3)) for seed in range(6) for height in _HEIGHTS]
    for number, shot in enumerate(islice(cycle(shots), num)):
        pixels = shot.rgb.copy()
        pixels[0, 0] = np.frombuffer(number.to_bytes(3, "big"), np.uint8)  # no two photos are one
        path = folder / f"{number:04}.png"
        Image.fromarray(pixels).save(path, compress_level=1)
    for number in np.linspace(1, num - 1, broken).astype(int) if broken else ():
        path = folder / f"{number:04}.png"
        path.write_bytes(path.read_bytes()[: 40 + number])


def smaller_model(path: Path) -> Path:
    """The embedded model, told to look at half of its height."""
    content, card = read_model(default_model())
    height, width = card.working_size_hw
    path.write_bytes(with_card(content, replace(card, working_size_hw=(height // 2, width // 2))))
    return path


# ------------------------------------------------ processes -------------------------------------------------------


def process_table() -> Iterator[tuple[int, int, float, int, str]]:
    """Process id, parent, processor seconds so far, its own resident bytes, command line."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                pages = int((folder / "statm").read_text().split()[1])
                shared = int((folder / "statm").read_text().split()[2])
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (OSError, IndexError):
                continue
            used = sum(int(each) for each in stat[11:13]) / _TICKS
            yield int(folder.name), int(stat[1]), used, (pages - shared) * _PAGE, command


@dataclass
class Family:
    """A process and all below it, looked at every half second.

    Attributes:
        seconds: processor seconds of each process, by id, as last seen.
        peaks: own memory of all of them together, in bytes, by seconds since the start.
    """

    root: int
    seconds: dict[int, float] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)
    members: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def look(self, at: float) -> None:
        """Take note of what there is now."""
        table = list(process_table())
        ids, grown = {self.root}, True
        while grown:
            more = {each[0] for each in table if each[1] in ids} - ids
            ids |= more
            grown = bool(more)
        ids |= {each[0] for each in table if "/ray/" in each[4] or each[4].startswith("ray::")} & set(
            self.members
        ) | ids
        present = [each for each in table if each[0] in ids]
        self.members = {each[0]: each[4] for each in present}
        self.names |= {pid: name for pid, name in self.members.items() if "IDLE" not in name}
        self.seconds |= {each[0]: each[2] for each in present}
        self.memory.append((at, sum(each[3] for each in present)))

    @property
    def processor_s(self) -> float:
        """Of all of them, also of those that have ended."""
        return sum(self.seconds.values())

    def by_kind(self) -> dict[str, float]:
        """Processor seconds of those that cut, read, write, of the command itself, and of Ray's own processes."""
        kinds = {
            "CutBatch": "cut",
            "read_batch": "read and write",
            "write_batch": "read and write",
            "garmentcut": "command",
        }
        sums: defaultdict[str, float] = defaultdict(float)
        for pid, used in self.seconds.items():
            name = self.names.get(pid, "")
            sums[next((kind for word, kind in kinds.items() if word in name and "/ray/" not in name), "Ray")] += used
        return dict(sums)


@contextmanager
def watched(process: "subprocess.Popen[bytes]", every_s: float = 0.5) -> Iterator[Family]:
    """A family under observation while the context lasts."""
    family, over, began = Family(process.pid), threading.Event(), time.perf_counter()

    def watch() -> None:
        while not over.wait(every_s):
            family.look(time.perf_counter() - began)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield family
    finally:
        over.set()
        thread.join()


def start(*args: object, **environment: str) -> "subprocess.Popen[bytes]":
    """A garmentcut command."""
    return subprocess.Popen(
        [sys.executable, "-m", "garmentcut", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **environment},
    )


# --------------------------------------------------- speed --------------------------------------------------------


def measure(*args: object, done: Callable[[], int]) -> dict[str, Any]:
    """Run a command: wall and processor seconds, seconds to the first photo, memory."""
    began, first, halves = time.perf_counter(), 0.0, dict[str, float]()
    process = start(*args, "--json")
    with watched(process) as family:
        while process.poll() is None:
            if not first and done():
                first = time.perf_counter() - began
            time.sleep(0.2)
    assert process.stdout is not None and process.stderr is not None
    output, errors = process.stdout.read().decode(), process.stderr.read().decode()
    if process.returncode not in (0, 1):
        sys.exit(errors)
    wall = time.perf_counter() - began
    for name, low, high in (("early", 0.3, 0.5), ("late", 0.8, 1.0)):
        halves[name] = max((size for at, size in family.memory if low * wall <= at <= high * wall), default=0) / 1e6
    summary = json.loads(output.strip().splitlines()[-1])
    own = {"processor_s": family.processor_s, "by_kind": family.by_kind(), **halves, "cut": summary["cut"]}
    return {"wall_s": wall, "first_s": first, **own}


def report_speed(work: Path, num: int) -> None:
    """The folder run, and Ray with one worker and two, over the same photos.

    `measured.json` beside the rows is for `benchmarks/scale_plan.py check`.
    """
    draw_photos(work / "photos", num)
    few = work / "few"
    draw_photos(few, 6)
    ways: dict[str, list[object]] = {
        "folder run": [],
        "Ray, 1 worker": ["--ray", "--set", "cluster.workers=1"],
        "Ray, 2 workers": ["--ray", "--set", "cluster.workers=2"],
    }
    for name, options in ways.items():
        rows = {}
        for label, photos in (("start", few), ("all", work / "photos")):
            out = work / f"{label} {name}"
            rows[label] = measure(
                "cut",
                photos,
                "--out",
                out,
                *options,
                done=lambda out=out: any(out.glob("*.png")),  # type: ignore[misc]
            )
            (out / "measured.json").write_text(
                json.dumps({"workers": len(options) and int(str(options[-1])[-1]), **rows[label]})
            )
        whole, small = rows["all"], rows["start"]
        kinds = {
            kind: (used - small["by_kind"].get(kind, 0)) / (num - small["cut"])
            for kind, used in whole["by_kind"].items()
        }
        each = (whole["processor_s"] - small["processor_s"]) / (num - small["cut"])  # what starting costs is in both
        wall = (whole["wall_s"] - small["wall_s"]) / (num - small["cut"])
        shown = ", ".join(f"{kind} {used:.3f}" for kind, used in kinds.items())
        lines = [
            f"{name}: {whole['cut']} cut, {whole['wall_s']:.0f} s wall, {whole['processor_s']:.0f} processor s",
            f"  a photo, without the start: {each:.3f} processor s ({shown}), {wall:.3f} s wall",
            f"  start and {small['cut']} photos: {small['wall_s']:.0f} s wall, {small['processor_s']:.0f} processor s;"
            f" first photo after {whole['first_s']:.1f} s",
            f"  memory: {whole['early']:.0f} MB early, {whole['late']:.0f} MB late",
        ]
        _CONSOLE.print("\n".join(lines))


# --------------------------------------------------- faults -------------------------------------------------------


class Faulty:
    """A WSGI application that errs and waits before another one answers."""

    def __init__(self, application: Any, errors: float, waits: float, wait_s: float) -> None:
        self._application, self._errors, self._waits, self._wait_s = application, errors, waits, wait_s
        self.counts: Counter[str] = Counter()
        self.active = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer, late or with 503."""
        self.counts["requests"] += 1
        if self.active and random.random() < self._waits:
            self.counts["waited"] += 1
            time.sleep(self._wait_s)
        if self.active and random.random() < self._errors:
            self.counts["errors"] += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"try again"]
        return self._application(environ, start_response)  # type: ignore[no-any-return]


@contextmanager
def object_store(errors: float, waits: float, wait_s: float) -> Iterator[Faulty]:
    """An S3 server on loopback, its address and credentials in the environment."""
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    faulty = Faulty(DomainDispatcherApplication(create_backend_app), errors, waits, wait_s)
    server = make_server("127.0.0.1", 0, faulty, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        yield faulty
    finally:
        server.shutdown()
        thread.join()


def kill_a_worker(family: Family, counts: Counter[str]) -> None:
    """End one of the processes that cut, read or write, as a machine that vanishes would."""
    workers = [(pid, name) for pid, name in family.members.items() if name.startswith("ray::Map")]
    if workers:
        pid, name = random.choice(workers)
        counts[name.split("(")[-1].partition(")")[0]] += 1
        os.kill(pid, signal.SIGKILL)


def run_with_faults(args: list[object], *, kill_driver_after: int, every_s: float, num_done: Callable[[], int]) -> Any:
    """Run a command, a worker killed every so often; the driver once so many photos are there, if that is not 0."""
    process, counts, last = start(*args, "--json"), Counter[str](), time.perf_counter()
    with watched(process) as family:
        while process.poll() is None:
            time.sleep(0.5)
            if time.perf_counter() - last > every_s:
                last = time.perf_counter()
                kill_a_worker(family, counts)
            if kill_driver_after and num_done() >= kill_driver_after:
                process.kill()
                break
    process.wait()
    assert process.stdout is not None and process.stderr is not None
    return counts, process.returncode, process.stdout.read().decode(), process.stderr.read().decode()


def check_results(target: str, references: dict[str, bytes], num: int, num_broken: int) -> str:
    """All rows there, once each; all cutouts those of a folder run, byte for byte."""
    import pyarrow.parquet as pq
    import s3fs

    fs = s3fs.S3FileSystem(use_listings_cache=False)
    parts = [name for name in fs.find(f"{target}/results") if name.endswith(".parquet")]
    rows = [row for name in parts for row in pq.read_table(io.BytesIO(fs.cat_file(name))).to_pylist()]
    status = Counter(row["status"] for row in rows)
    assert len(rows) == len({row["input"] for row in rows}) == num, (len(rows), num)
    assert status == {"ok": num - num_broken, "failed": num_broken}, status
    files = {name.rpartition("/")[2]: fs.cat_file(name) for name in fs.find(target) if name.endswith(".png")}
    files = {name: content for name, content in files.items() if name in references}
    assert files.keys() == references.keys(), len(files)
    same = sum(files[name] == references[name] for name in references)
    others = [name for name in fs.find(target) if not name.endswith(".png")]
    return (
        f"{len(rows)} rows in {len(parts)} part, {dict(status)}; {same} of {len(references)} files as the folder run's;"
        f" besides them {len(others)} objects"
    )


def report_faults(work: Path, num: int, every_s: float) -> None:
    """Photos in an object store that errs, workers killed every few seconds, the driver killed once."""
    import s3fs

    broken = max(num * _BROKEN // 300, 1)
    draw_photos(work / "photos", num, broken=broken)
    began, model = time.perf_counter(), smaller_model(work / "model.onnx")
    plain = start("cut", work / "photos", "--out", work / "plain", "--model", model, "--json")
    summary = json.loads(plain.communicate()[0].decode().strip().splitlines()[-1])
    num_broken = summary["failed"]
    references = {path.name: path.read_bytes() for path in (work / "plain").glob("*.png")}
    _CONSOLE.print(f"folder run: {summary['cut']} cut, {num_broken} broken, {time.perf_counter() - began:.0f} s")
    with object_store(errors=0.05, waits=0.05, wait_s=1.0) as store:
        fs = s3fs.S3FileSystem(use_listings_cache=False)
        fs.mkdir("bucket")
        for path in (work / "photos").iterdir():
            fs.pipe_file(f"bucket/photos/{path.name}", path.read_bytes())
        store.active = True
        args: list[object] = ["cut", "s3://bucket/photos", "--out", "s3://bucket/cut", "--ray"]
        args += ["--model", model, "--set", "cluster.workers=2"]

        def num_done() -> int:
            store.active = False
            try:
                return sum(
                    name.endswith(".png") for name in s3fs.S3FileSystem(use_listings_cache=False).find("bucket/cut")
                )
            finally:
                store.active = True

        began = time.perf_counter()
        first, code, _, errors = run_with_faults(args, kill_driver_after=num // 3, every_s=every_s, num_done=num_done)
        if code != -signal.SIGKILL:
            sys.exit(errors)
        _CONSOLE.print(f"driver killed with {num_done()} cutouts there; workers killed: {dict(first)}")
        second, code, output, errors = run_with_faults(args, kill_driver_after=0, every_s=every_s, num_done=num_done)
        if code not in (0, 1):
            sys.exit(errors)
        summary = json.loads(output.strip().splitlines()[-1])
        _CONSOLE.print(f"second run: exit {code}, {summary['skipped']} done before, {summary['cut']} cut,")
        _CONSOLE.print(
            f"  {summary['failed']} failed; workers killed: {dict(second)}; {time.perf_counter() - began:.0f} s in all"
        )
        _CONSOLE.print(f"requests: {dict(store.counts)}")
        store.active = False
        _CONSOLE.print(check_results("bucket/cut", references, num, num_broken))


if __name__ == "__main__":
    random.seed(0)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", choices=["speed", "faults"])
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--every", type=float, default=10, help="seconds between killed workers")
    parser.add_argument("--keep", type=Path, help="folder for photos and results, which is kept")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = chosen.keep or Path(folder)
        if chosen.report == "speed":
            report_speed(place, chosen.photos)
        else:
            report_faults(place, chosen.photos, chosen.every)
