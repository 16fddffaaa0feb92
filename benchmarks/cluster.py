"""`garmentcut cut --ray` against the plain folder run, and under faults.

    python benchmarks/cluster.py speed      folder run, Ray with 1 and 2 workers: wall and processor seconds, memory
    python benchmarks/cluster.py faults     workers and driver killed, an object store that errs and waits

300 photos where --photos does not say else, drawn (`garmentcut studio`, 192x288 and other sizes). For `speed`
the network sees them at its own height, so that each costs what a studio's photo costs; for `faults`, where results
count and not time, at half of it. The S3 server is moto's, or the one that --s3 names, behind a layer of faults. Needs
the extras `cluster` and `dev`, and Linux, whose /proc tells what each process has used: processor seconds can be
compared on a shared machine too.
"""

import argparse
import http.client
import io
import json
import os
import random
import secrets
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
from watch import RED, write_model

_CONSOLE = Console(width=110)
_HEIGHTS = (288, 432, 576)
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BROKEN = 12
_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding")
_SETTLED = 8  # photos after which a run has found its pace


# ------------------------------------------------- photos ---------------------------------------------------------


def draw_photos(folder: Path, num: int, *, broken: int = 0, red: bool = False) -> None:
    """Synthetic photos of three sizes, each file another; some of them cut short."""
    folder.mkdir(parents=True)
    fabric: dict[str, Any] = {"fabric_rgb": RED, "print_name": "plain"} if red else {}
    sizes = [(height, height * 2 // 3) for height in _HEIGHTS]
    shots = [draw_studio_photo(seed, size_hw=size_hw, **fabric) for seed in range(6) for size_hw in sizes]
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
        self.names |= {pid: name for pid, name in self.members.items() if name and "IDLE" not in name}
        self.seconds |= {each[0]: each[2] for each in present}
        self.memory.append((at, sum(each[3] for each in present)))

    @property
    def processor_s(self) -> float:
        """Of all of them, also of those that have ended."""
        return sum(self.seconds.values())

    def by_kind(self, seconds: dict[int, float]) -> dict[str, float]:
        """Seconds by process as those that cut, read, write, of the command itself, and of Ray's own processes."""
        kinds = {
            "CutBatch": "cut",
            "read_batch": "read and write",
            "write_batch": "read and write",
            "garmentcut": "command",
        }
        sums: defaultdict[str, float] = defaultdict(float)
        for pid, used in seconds.items():
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


@dataclass(frozen=True)
class Moment:
    """What a run has used until so many photos were there.

    Attributes:
        num: photos.
        wall_s: since it was started.
        seconds: processor seconds of each of its processes.
    """

    num: int
    wall_s: float
    seconds: dict[int, float]


def measure(*args: object, num_done: Callable[[], int]) -> dict[str, Any]:
    """Run a command: wall and processor seconds, seconds to the first photo, memory.

    `steady` is what happens between the first photos and the last ones: neither start nor end is in it.
    """
    began, first, halves, moments = time.perf_counter(), 0.0, dict[str, float](), list[Moment]()
    process = start(*args, "--json")
    with watched(process) as family:
        while process.poll() is None:
            wall, num = time.perf_counter() - began, num_done()
            first = first or (wall if num else 0.0)
            if num >= _SETTLED and (not moments or num > moments[-1].num):
                moments.append(Moment(num, wall, dict(family.seconds)))
            time.sleep(0.2)
    assert process.stdout is not None and process.stderr is not None
    output, errors = process.stdout.read().decode(), process.stderr.read().decode()
    if process.returncode not in (0, 1):
        sys.exit(errors)
    wall = time.perf_counter() - began
    for name, low, high in (("early", 0.3, 0.5), ("late", 0.8, 1.0)):
        halves[name] = max((size for at, size in family.memory if low * wall <= at <= high * wall), default=0) / 1e6
    summary = json.loads(output.strip().splitlines()[-1])
    return {
        "wall_s": wall,
        "first_s": first,
        "processor_s": family.processor_s,
        "cut": summary["cut"],
        "steady": steady(moments, family),
        **halves,
    }


def steady(moments: list[Moment], family: Family) -> dict[str, Any]:
    """Between the first moment and the last: wall and processor seconds a photo, these by kind of process too."""
    begin, end = moments[0], moments[-1]
    num = end.num - begin.num
    used = {pid: (total - begin.seconds.get(pid, 0.0)) / num for pid, total in end.seconds.items()}
    return {
        "num": num,
        "wall_s": (end.wall_s - begin.wall_s) / num,
        "processor_s": sum(used.values()),
        "by_kind": family.by_kind(used),
    }


def report_speed(work: Path, num: int, workers: list[int]) -> None:
    """The folder run, and Ray with so many workers (0: the folder run), over the same photos, one after another.

    `measured.json` beside the rows is for `benchmarks/scale_plan.py check`.
    """
    if not (work / "photos").exists():
        draw_photos(work / "photos", num)
    for count in workers:
        name = f"Ray, {count} worker{'s' * (count > 1)}" if count else "folder run"
        options: list[object] = ["--ray", "--set", f"cluster.workers={count}"] if count else []
        out = work / f"cut {name}"
        found = measure(
            "cut",
            work / "photos",
            "--out",
            out,
            *options,
            num_done=lambda out=out: sum(1 for _ in out.glob("*.png")),  # type: ignore[misc]
        )
        (out / "measured.json").write_text(json.dumps({"workers": count, **found}))
        each = found["steady"]
        shown = ", ".join(f"{kind} {used:.3f}" for kind, used in each["by_kind"].items())
        lines = [
            f"{name}: {found['cut']} cut, {found['wall_s']:.0f} s wall, {found['processor_s']:.0f} processor s",
            f"  a photo, over {each['num']}, without start and end: {each['processor_s']:.3f} processor s ({shown}),"
            f" {each['wall_s']:.3f} s wall",
            f"  first photo after {found['first_s']:.1f} s",
            f"  memory: {found['early']:.0f} MB early, {found['late']:.0f} MB late",
        ]
        _CONSOLE.print("\n".join(lines))


# --------------------------------------------------- faults -------------------------------------------------------


class Faulty:
    """A WSGI application that errs and waits before another one answers."""

    def __init__(self, application: Any, errors: float, waits: float, wait_s: float) -> None:
        self._application, self._errors, self._waits, self._wait_s = application, errors, waits, wait_s
        self.counts: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer, late or with 503."""
        self.counts["requests"] += 1
        if random.random() < self._waits:
            self.counts["waited"] += 1
            time.sleep(self._wait_s)
        if random.random() < self._errors:
            self.counts["errors"] += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"try again"]
        return self._application(environ, start_response)  # type: ignore[no-any-return]


class Forwarding:
    """A WSGI application that hands requests on to a server, as they are: their signatures stay good."""

    def __init__(self, server: str) -> None:
        self._server = server.partition("://")[2].rstrip("/")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The server's answer."""
        names = {key: key[5:].replace("_", "-").lower() for key in environ if key.startswith("HTTP_")}
        headers = {name: environ[key] for key, name in names.items()}
        headers |= {"content-type": environ["CONTENT_TYPE"]} if environ.get("CONTENT_TYPE") else {}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        connection = http.client.HTTPConnection(self._server, timeout=60)
        connection.request(environ["REQUEST_METHOD"], environ["RAW_URI"], body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
        start_response(f"{answer.status} {answer.reason}", kept)
        return [content]


@contextmanager
def served(application: Any) -> Iterator[str]:
    """URL of an application, on loopback while the context lasts."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def object_store(faults: tuple[float, float, float], given: str) -> Iterator[tuple[Faulty, Any]]:
    """An S3 server behind faults, its address and credentials in the environment; and a way past the faults.

    Args:
        faults: share of requests that fail, share that waits, and how many seconds.
        given: URL of a server whose user `testing` has the secret `testing`; empty: moto's.
    """
    import logging

    import s3fs
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application: Any = Forwarding(given) if given else DomainDispatcherApplication(create_backend_app)
    faulty = Faulty(application, *faults)
    with served(application) as straight, served(faulty) as url:
        os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        yield faulty, s3fs.S3FileSystem(use_listings_cache=False, endpoint_url=straight)


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


def check_results(fs: Any, target: str, references: dict[str, bytes], num_failed: int) -> str:
    """All rows there, once each; all cutouts those of a folder run, byte for byte."""
    import pyarrow.parquet as pq

    num = len(references) + num_failed
    parts = [name for name in fs.find(f"{target}/results") if name.endswith(".parquet")]
    rows = [row for name in parts for row in pq.read_table(io.BytesIO(fs.cat_file(name))).to_pylist()]
    status = Counter(row["status"] for row in rows)
    assert len(rows) == len({row["input"] for row in rows}) == num, (len(rows), num)
    assert status == {"ok": len(references), "failed": num_failed}, status
    files = {name.rpartition("/")[2]: fs.cat_file(name) for name in fs.find(target) if name.endswith(".png")}
    files = {name: content for name, content in files.items() if name in references}
    assert files.keys() == references.keys(), len(files)
    same = sum(files[name] == references[name] for name in references)
    others = [name for name in fs.find(target) if not name.endswith(".png")]
    return (
        f"{len(rows)} rows in {len(parts)} part, {dict(status)}; {same} of {len(references)} files as the folder run's;"
        f" besides them {len(others)} objects"
    )


def report_faults(work: Path, num: int, every_s: float, server: str, stand_in: bool) -> None:
    """Photos in an object store that errs, workers killed every few seconds, the driver killed once."""
    draw_photos(work / "photos", num, broken=max(num * _BROKEN // 300, 1), red=stand_in)
    began, model = time.perf_counter(), (write_model if stand_in else smaller_model)(work / "model.onnx")
    plain = start("cut", work / "photos", "--out", work / "plain", "--model", model, "--json")
    summary = json.loads(plain.communicate()[0].decode().strip().splitlines()[-1])
    num_failed = summary["failed"]
    references = {path.name: path.read_bytes() for path in (work / "plain").glob("*.png")}
    _CONSOLE.print(f"folder run: {summary['cut']} cut, {num_failed} failed, {time.perf_counter() - began:.0f} s")
    with object_store((0.05, 0.05, 1.0), server) as (store, fs):
        bucket = f"garmentcut-{secrets.token_hex(4)}"
        fs.mkdir(bucket)
        for path in (work / "photos").iterdir():
            fs.pipe_file(f"{bucket}/photos/{path.name}", path.read_bytes())
        args: list[object] = ["cut", f"s3://{bucket}/photos", "--out", f"s3://{bucket}/cut", "--ray"]
        args += ["--model", model, "--set", "cluster.workers=2"]

        def num_done() -> int:
            return sum(name.endswith(".png") for name in fs.find(f"{bucket}/cut"))

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
        _CONSOLE.print(check_results(fs, f"{bucket}/cut", references, num_failed))


if __name__ == "__main__":
    random.seed(0)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", choices=["speed", "faults"])
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="0: the folder run")
    parser.add_argument("--every", type=float, default=10, help="seconds between killed workers")
    parser.add_argument("--stand-in", action="store_true", help="a network of one convolution: on a slow machine")
    parser.add_argument("--s3", default="", help="URL of an S3 server; its user `testing` has the secret `testing`")
    parser.add_argument("--keep", type=Path, help="folder for photos and results, which is kept")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = chosen.keep or Path(folder)
        if chosen.report == "speed":
            report_speed(place, chosen.photos, chosen.workers)
        else:
            report_faults(place, chosen.photos, chosen.every, chosen.s3, chosen.stand_in)
