"""`garmentcut cut --ray` under faults: workers and driver are killed, the object store fails and delays requests.

    python benchmarks/cluster_faults.py [--photos 300] [--every 10] [--stand-in] [--s3 URL] [--keep FOLDER]

Photos are drawn (`garmentcut studio`, 192x288 and other sizes), and some are truncated. Only results matter here, not
time, so the network works at half of its height. The S3 server is moto's, or the one given by --s3, behind a layer that
injects faults. Needs the extras `cluster` and `dev`, and Linux.
"""

import argparse
import http.client
import io
import json
import os
import random
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster import draw_photos
from garmentcut.model.card import read_model, with_card
from garmentcut.prediction.cutter import model_path
from processes import Family, start, watched
from watch import write_model

_CONSOLE = Console(width=110)
_BROKEN = 12
_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding")


def smaller_model(path: Path) -> Path:
    """The embedded model, changed to work at half of its height."""
    content, card = read_model(model_path())
    height, width = card.working_size_hw
    path.write_bytes(with_card(content, replace(card, working_size_hw=(height // 2, width // 2))))
    return path


class Faulty:
    """A WSGI application that injects errors and delays before it calls another one."""

    def __init__(self, application: Any, errors: float, waits: float, wait_s: float) -> None:
        self._application, self._errors, self._waits, self._wait_s = application, errors, waits, wait_s
        self.counts: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Respond, late or with 503."""
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
    """A WSGI application that forwards requests to a server unchanged, so that their signatures stay valid."""

    def __init__(self, server: str) -> None:
        self._server = server.partition("://")[2].rstrip("/")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The server's response."""
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
    """A context with the URL of an application that is served on loopback."""
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
    """An S3 server behind a layer of faults, with address and credentials in the environment; and direct access to it.

    Args:
        faults: share of requests that fail, share that are delayed, and the delay in seconds.
        given: URL of a server whose user `testing` has the secret `testing`; empty: start moto's.
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
    """Kill one of the workers, as if its machine had failed."""
    workers = [(pid, name) for pid, name in family.members.items() if name.startswith("ray::Worker")]
    if workers:
        pid, name = random.choice(workers)
        counts[name] += 1
        os.kill(pid, signal.SIGKILL)


def run_with_faults(args: list[object], *, kill_driver_after: int, every_s: float, num_done: Callable[[], int]) -> Any:
    """Run a command; kill a worker every `every_s` seconds, and the driver after some photos unless that is 0."""
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
    """Check that each row exists once, and that all cutouts equal those of a folder run byte for byte."""
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
    """Cut photos in a failing object store; workers are killed every few seconds, the driver once."""
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
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--every", type=float, default=10, help="seconds between killed workers")
    parser.add_argument("--stand-in", action="store_true", help="a network of one convolution: on a slow machine")
    parser.add_argument("--s3", default="", help="URL of an S3 server; its user `testing` has the secret `testing`")
    parser.add_argument("--keep", type=Path, help="folder for photos and results, which is kept")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report_faults(chosen.keep or Path(folder), chosen.photos, chosen.every, chosen.s3, chosen.stand_in)
