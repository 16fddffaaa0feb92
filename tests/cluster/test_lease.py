import json
import os
import subprocess
import sys
import threading
import time

import pytest

from garmentcut.cluster.errors import TakenOverError
from garmentcut.cluster.lease import RUNS, Lease, this_host
from garmentcut.cluster.storage import open_storage
from garmentcut.errors import SourceError


@pytest.fixture(params=["folder", "s3"])
def target(request, tmp_path):
    if request.param == "folder":
        return open_storage(str(tmp_path / "target"))
    return open_storage(request.getfixturevalue("bucket") + "/target")


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
        with pytest.raises(TakenOverError, match="another run has taken it over"):
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
