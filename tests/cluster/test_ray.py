"""Workers on Ray itself: minutes where others use the processor too."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from garmentcut.cluster.ledger import Ledger
from garmentcut.cluster.run import connected, run_batches
from garmentcut.cluster.storage import open_storage
from garmentcut.cluster.worker import Assignment, Job
from garmentcut.config import Config, load_config
from garmentcut.errors import RunError
from garmentcut.prediction.results import Row

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.slow


def start(*args, **environment):
    command = [sys.executable, "-m", "garmentcut", "cut", *map(str, args), "--json"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def finish(process):
    output, errors = process.communicate(timeout=560)
    assert process.returncode in (0, 1), errors
    return process.returncode, json.loads(output)


def test_the_command_on_s3_twice(photos, bucket, red_model):
    for path in photos.rglob("*.*"):
        open_storage(f"{bucket}/photos").put(path.relative_to(photos).as_posix(), path.read_bytes())
    args = [f"{bucket}/photos", "--out", f"{bucket}/cut", "--model", red_model, "--ray", "--set", "cluster.workers=1"]
    code, summary = finish(start(*args))
    assert (code, summary["cut"], summary["failed"]) == (1, 5, 1)
    assert (summary["out"], summary["results"]) == (f"{bucket}/cut", f"{bucket}/cut/results")
    assert summary["failures"][0]["input"] == f"{bucket}/photos/broken.jpg"
    rows = Ledger.read(open_storage(f"{bucket}/cut")).rows
    assert sum(row.ok for row in rows.values()) == 5
    names = {name for name in open_storage(f"{bucket}/cut").walk() if name.endswith(".png")}
    assert names == {"a_Back.png", "a_Front.png", "b_Front.png", "c.png", "deep/b_Back.png"}
    open_storage(f"{bucket}/photos").delete("broken.jpg")
    code, summary = finish(start(*args))
    assert (code, summary["cut"], summary["skipped"], summary["failed"]) == (0, 0, 5, 0)


def test_a_driver_that_is_killed_and_started_again(photos, draw, tmp_path, red_model):
    for number in range(30):
        draw(photos / f"more/{number}.png", shift=number % 9)
    out = tmp_path / "out"
    args = [
        photos,
        "--out",
        out,
        "--model",
        red_model,
        "--ray",
        "--set",
        "cluster.workers=1",
        "--set",
        "cluster.batch=2",
    ]
    process, deadline = start(*args), time.monotonic() + 500
    while not any(out.rglob("*.png")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = len(list(out.rglob("*.png")))
    assert there
    code, summary = finish(start(*args))
    assert code == 1
    assert summary["photos"] == 36
    assert summary["skipped"] >= there - 2  # of the batch whose files were there, but not its rows
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(rows) == len({row["input"] for row in rows}) == 36
    assert sum(row["status"] == "ok" for row in rows) == 35


def test_a_cluster_without_room_and_one_that_is_not_there():
    refused = pytest.raises(RunError, match=r"no room for 1 x 1000 threads")
    with refused, connected("local", load_config(overrides={"runtime.threads": 1000})):
        pass
    with pytest.raises(RunError, match=r"--ray 127\.0\.0\.1:9: Connection refused"), connected("127.0.0.1:9", Config()):
        pass


def test_a_worker_that_dies_comes_back_and_one_that_cannot_begin_ends_the_run(monkeypatch, capfd):
    monkeypatch.setattr("garmentcut.cluster.run.Worker", Mortal)
    monkeypatch.setattr("garmentcut.cluster.run._TRIES", 1)
    groups = [(Job(Row(str(number))),) for number in range(9)]
    config = load_config(overrides={"cluster.workers": 1})
    assignment = Assignment("/nowhere", 1, config)
    with connected("local", config) as workers:
        rows = list(run_batches(groups, None, assignment, workers, {}))
        assert {row.input for row in rows} <= set("45678")  # the others are given to the worker with their murderer
        rows = list(run_batches(groups, None, assignment, replace(workers, batch=1), {}))
        assert sorted(row.input for row in rows) == ["0", *"2345678"]
        assert "constructor arguments" not in capfd.readouterr().err  # which Ray warns that a restart needs
        with pytest.raises(RunError, match="no model; run again to continue"):
            list(run_batches(groups, b"", assignment, workers, {}))


class Mortal:
    """A worker that photo 1 kills."""

    def __init__(self, model, *_arguments):
        if model is not None:
            raise ValueError("no model")

    def cut(self, jobs):
        if any(job.row.input == "1" for job in jobs):
            os.kill(os.getpid(), signal.SIGKILL)
        return [job.row for job in jobs]
