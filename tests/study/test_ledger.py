"""Jobs shared by processes: none done twice, none lost."""

import signal
import subprocess
import sys

import pytest
from optuna.distributions import FloatDistribution

from garmentcut.study.declaration import StudyError
from garmentcut.study.ledger import DATABASE_NAME, Ledger

X = {"x": FloatDistribution(0.0, 1.0)}

# Takes all of twenty jobs that it can get, and says which; a job is some database writes long.
SHARING = """
import sys
from pathlib import Path
from garmentcut.study.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    for number in range(20):
        if claim := ledger.take("runs", f"job{number}"):
            for step in range(8):
                claim.report(step, 0.5)
            claim.close("done", 0.5)
            print(claim.key, flush=True)
"""
# Takes a job, and waits to be killed.
HOLDING = """
import sys
from pathlib import Path
from garmentcut.study.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    claim = ledger.take("runs", "job")
    claim.report(3, 0.25)
    print("holding", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path) as opened:
        yield opened


def test_a_job_is_taken_once(ledger):
    claim = ledger.take("runs", "job")
    assert ledger.is_held("runs", "job")
    assert ledger.take("runs", "job") is None
    assert ledger.entries("runs")["job"].outcome == "running"
    claim.close("done", 0.75)
    entry = ledger.entries("runs")["job"]
    assert (entry.outcome, entry.value, entry.is_over) == ("done", 0.75, True)
    assert not ledger.is_held("runs", "job")
    assert ledger.take("runs", "job") is None


def test_books_are_apart(ledger):
    ledger.take("runs", "job").close("done", 0.5)
    assert ledger.take("tune a", "job") is not None


def test_it_is_done_again_if_what_it_made_is_gone(ledger):
    ledger.take("runs", "job").close("done", 0.75)
    assert ledger.take("runs", "job", is_kept=lambda: True) is None
    assert ledger.take("runs", "job", is_kept=lambda: False) is not None


def test_a_failed_job_is_tried_again_by_the_next_command_only(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.take("runs", "job").close("failed", reason="no memory")
        entry = ledger.entries("runs")["job"]
        assert (entry.outcome, entry.facts) == ("failed", {"reason": "no memory"})
        assert ledger.take("runs", "job") is None
    with Ledger(tmp_path) as ledger:
        ledger.take("runs", "job").close("failed", reason="again")
        assert ledger.take("runs", "job") is None
        assert ledger.entries("runs")["job"].facts["reason"] == "again"


def test_an_interrupted_job_goes_on(ledger):
    ledger.take("runs", "job").close("interrupted", reason="time is up")
    assert ledger.entries("runs")["job"].outcome == "interrupted"
    assert ledger.take("runs", "job") is not None


def test_two_processes_share_the_jobs(tmp_path):
    command = [sys.executable, "-c", SHARING, str(tmp_path)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [worker.communicate()[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(outputs[0] + outputs[1]) == sorted(f"job{number}" for number in range(20))
    with Ledger(tmp_path) as ledger:
        assert {entry.outcome for entry in ledger.entries("runs").values()} == {"done"}


def test_a_killed_processs_job_is_taken_over(tmp_path, ledger):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout.readline() == "holding\n"
        assert ledger.is_held("runs", "job")
        assert ledger.take("runs", "job") is None
        worker.send_signal(signal.SIGKILL)
    assert ledger.entries("runs")["job"].outcome == "running"  # nobody could say otherwise
    assert not ledger.is_held("runs", "job")
    ledger.take("runs", "job").close("done", 0.5)
    assert ledger.entries("runs")["job"].value == 0.5


def test_a_search_draws_so_many_and_goes_on_with_what_was_left(ledger):
    first = ledger.draw("search", X, num_trials=3)
    assert 0 <= first.params["x"] <= 1
    second = ledger.draw("search", X, num_trials=3)
    assert second.params != first.params
    first.close("done", 0.1)
    second.close("interrupted", reason="time is up")
    resumed = ledger.draw("search", X, num_trials=3)
    assert (resumed.key, resumed.params) == (second.key, second.params)
    resumed.close("failed", reason="no number")  # counts, and is not tried again
    third = ledger.draw("search", X, num_trials=3)
    assert third.key not in (first.key, second.key)
    assert ledger.draw("search", X, num_trials=3) is None
    third.close("done", 0.2)
    assert ledger.draw("search", X, num_trials=3) is None
    assert len(ledger.entries("search")) == 3


def test_a_search_gives_up_what_is_below_the_median(ledger):
    for number in range(6):
        claim = ledger.draw("search", X, num_trials=9, unpruned_steps=10)
        assert not claim.report(10, 0.8 + number / 100)
        assert not claim.report(20, 0.9)
        claim.close("done", 0.9)
    bad = ledger.draw("search", X, num_trials=9, unpruned_steps=10)
    assert not bad.report(5, 0.1)  # too early
    assert bad.report(10, 0.1)
    bad.close("pruned")
    entry = ledger.entries("search")[bad.key]
    assert (entry.outcome, entry.is_over) == ("pruned", True)


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / DATABASE_NAME).write_text("something else, and long enough to be looked at " * 40)
    with pytest.raises(StudyError, match=r"study\.db cannot be used .*choose another --out"):
        Ledger(tmp_path)
