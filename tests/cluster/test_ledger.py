import io
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, fields
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from garmentcut.cluster.ledger import (
    PENDING,
    RESULTS,
    RUNS,
    Lease,
    Ledger,
    announce,
    finish,
    parquet_bytes,
    read_parquet,
)
from garmentcut.cluster.storage import open_storage
from garmentcut.errors import RunError, SourceError
from garmentcut.photo.files import this_host
from garmentcut.prediction.results import Journal, Row


@pytest.fixture(params=["folder", "s3"])
def target(request, tmp_path):
    if request.param == "folder":
        (tmp_path / "target").mkdir()
        return open_storage(str(tmp_path / "target"))
    return open_storage(request.getfixturevalue("bucket") + "/target")


def entry_of(name, digest="1", *, options="o", status="ok"):
    written = {f"{name}.png": (digest,)}
    return Row(name, name, (f"{name}.png",), status, options=options, written=written, input_etag="etag")


def write(target, run, *rows, finished=True):
    announced = announce(target, run, rows)
    if finished:
        finish(target, run, rows, announced)


def names(target, folder):
    return sorted(target.walk(folder))


def test_rows_of_parts_and_none_twice(target):
    write(target, 1, entry_of("a"), entry_of("b"))
    write(target, 1, entry_of("c"))
    write(target, 1, entry_of("b"), entry_of("a"))  # the same work once more, after its worker was killed
    assert len(names(target, RESULTS)) == 2
    assert names(target, PENDING) == []
    assert sorted(Ledger.read(target).rows) == ["a", "b", "c"]


def test_the_later_run_counts_and_all_hashes_are_kept(target):
    write(target, 1, entry_of("a", "old", options="before"))
    write(target, 2, entry_of("a", "new", options="now"))
    row = Ledger.read(target).rows["a"]
    assert (row.options, row.written) == ("now", {"a.png": ("old", "new")})


def test_what_was_only_announced_is_done_again_but_its_hashes_are_known(target):
    write(target, 1, entry_of("a", "old"))
    write(target, 2, entry_of("a", "new"), entry_of("b"), finished=False)
    known = Ledger.read(target).rows
    assert {name: each.status for name, each in known.items()} == {"a": "pending", "b": "pending"}
    assert known["a"].written == {"a.png": ("old", "new")}
    assert known["b"].written == {"b.png": ("1",)}


def test_an_announcement_that_outlived_its_end_changes_nothing(target):
    announce(target, 1, [entry_of("a")])
    finish(target, 1, [entry_of("a")])  # killed before it was removed
    assert Ledger.read(target).rows["a"] == entry_of("a")


def test_joining_leaves_one_row_a_photo_and_is_done_as_often_as_one_likes(target):
    write(target, 1, entry_of("b"))
    write(target, 2, entry_of("a", "old"))
    write(target, 3, entry_of("a", "new"), finished=False)
    before = Ledger.read(target)
    for run in (3, 4):
        Ledger.read(target).join(run)
        after = Ledger.read(target)
        assert after.rows == before.rows
        assert len(after.parts) == 1
        assert names(target, PENDING) == []
    assert list(after.rows) == ["a", "b"]


def test_a_join_that_is_killed_halfway_loses_nothing(target, monkeypatch):
    write(target, 1, entry_of("a"), entry_of("b"))
    write(target, 2, entry_of("b", "new"))
    ledger = Ledger.read(target)
    before = dict(ledger.rows)

    def kill(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(target), "delete", kill)
        ledger.join(2)
    assert Ledger.read(target).rows == before


def test_many_rows_become_several_parts(target, monkeypatch):
    monkeypatch.setattr("garmentcut.cluster.ledger._ROWS_A_PART", 2)
    write(target, 1, *[entry_of(letter) for letter in "edcba"])
    Ledger.read(target).join(1)
    assert len(names(target, RESULTS)) == 3
    assert list(Ledger.read(target).rows) == list("abcde")


@pytest.mark.parametrize("name", [f"{RESULTS}/part-000001-0123456789abcdef.parquet", f"{PENDING}/x.parquet"])
def test_a_file_that_is_not_ours_is_refused(target, name):
    target.put(name, b"not ours")
    with pytest.raises(SourceError, match=r"is no part of garmentcut's .*; move it or use another --out"):
        Ledger.read(target)


def test_other_files_beside_the_parts_are_passed_over(target):
    target.put(f"{RESULTS}/skirt.png", b"a cutout of photos/results/skirt.jpg")
    assert Ledger.read(target).rows == {}


def test_a_folder_has_results_jsonl_too_and_what_folder_runs_did_since_counts(tmp_path):
    target = open_storage(str(tmp_path))
    write(target, 1, entry_of("a"), entry_of("b"))
    Ledger.read(target).join(1)
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        json.loads(json.dumps(asdict(each))) for each in (entry_of("a"), entry_of("b"))
    ]
    Journal(Path(tmp_path)).append(entry_of("a", "2", options="later"))
    row = Ledger.read(target).rows["a"]
    assert (row.options, row.written) == ("later", {"a.png": ("1", "2")})


def claim(target, number, **changes):
    content = {"token": "other", "host": this_host(), "pid": os.getpid(), "renewed": time.time(), "ended": False}
    target.put(f"{RUNS}/{number:06d}.json", json.dumps({**content, **changes}).encode())


def dead_process():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_runs_are_numbered(target):
    numbers = []
    for _ in range(3):
        with Lease(target) as lease:
            numbers.append(lease.number)
    assert numbers == [1, 2, 3]


def test_a_live_run_keeps_others_out(target):
    with Lease(target), pytest.raises(SourceError, match="another run is at work there"):
        Lease(target).__enter__()


@pytest.mark.parametrize(
    ("changes", "may_begin"),
    [
        ({}, False),
        ({"ended": True}, True),
        ({"renewed": 0.0}, True),  # two minutes without a sign
        ({"host": "elsewhere/1"}, False),
        ({"host": "elsewhere/1", "renewed": 0.0}, True),
    ],
)
def test_who_is_taken_for_dead(target, changes, may_begin):
    claim(target, 4, **changes)
    if may_begin:
        with Lease(target) as lease:
            assert lease.number == 5
    else:
        with pytest.raises(SourceError, match="another run is at work there"):
            Lease(target).__enter__()


def test_a_claim_that_a_full_disk_left_empty_is_dead_after_a_while(tmp_path):
    """Before, it was taken for alive for ever."""
    path = tmp_path / ".garmentcut/runs/000004.json"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(SourceError, match="another run is at work there"):
        Lease(open_storage(str(tmp_path))).__enter__()
    os.utime(path, (0, 0))
    with Lease(open_storage(str(tmp_path))) as lease:
        assert lease.number == 5


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once(target):
    claim(target, 1, pid=dead_process())
    with Lease(target) as lease:
        assert lease.number == 2


def test_of_two_that_begin_at_once_one_does(target, monkeypatch):
    first, second = Lease(target), Lease(target)
    monkeypatch.setattr(second, "_next_number", lambda: 1)  # it looked before the first had begun
    with first, pytest.raises(SourceError, match="has begun there just now"):
        second.__enter__()


def test_a_create_whose_answer_was_lost_is_known_again(target, monkeypatch):
    lease = Lease(target)
    create = type(target).create
    monkeypatch.setattr(type(target), "create", lambda *args: create(*args) and False)
    with lease:
        assert lease.number == 1


def test_a_run_that_was_taken_over_stops(target):
    lease = Lease(target, renewed_every_s=0.001)
    with lease:
        lease.check()
        claim(target, 2)
        lease._heart.join(20)
        with pytest.raises(RunError, match="another run has taken it over"):
            lease.check()
    with pytest.raises(SourceError):  # and it does not let go of what is the other's
        Lease(target).__enter__()


def test_it_is_renewed(target, monkeypatch):
    renewed, put = threading.Event(), type(target).put

    def watched_put(*args):
        put(*args)
        renewed.set()

    monkeypatch.setattr(type(target), "put", watched_put)
    with Lease(target, renewed_every_s=0.001):
        assert renewed.wait(20)


FULL = Row(
    "s3://bucket/photos/a.jpg",
    "photos/a",
    ("a.png", "a_mask.png"),
    notes=("gray",),
    seconds=0.5,
    size_hw=(1728, 1152),
    model="default 1",
    options="0123",
    input_bytes=5_000_000_000,
    input_mtime_ns=1_795_412_864_000_000_000,
    input_sha256="ab" * 32,
    written={"a.png": ("1", "2"), "a_mask.png": ("3",)},
    doubt=0.25,
    verdict="review",
    reasons=("faint straps",),
    input_etag="mark",
)


@pytest.mark.parametrize("row", [FULL, Row("/photos/b.jpg"), Row("/c.jpg", status="failed", reason="damaged")])
def test_a_row_comes_back_as_it_was(row):
    assert list(read_parquet(parquet_bytes([row]))) == [row]


def test_the_columns_are_those_of_results_jsonl():
    table = pq.read_table(io.BytesIO(parquet_bytes([FULL])))
    assert table.column_names == [field.name for field in fields(Row)]
    assert table.to_pylist(maps_as_pydicts="strict")[0] == json.loads(json.dumps(asdict(FULL)))


def test_none_is_a_file_too():
    assert list(read_parquet(parquet_bytes([]))) == []


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1 and so on PAR1"])
def test_what_is_no_part(content):
    with pytest.raises(ValueError, match=r"."):
        list(read_parquet(content))
