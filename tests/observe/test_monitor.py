import doctest
import json
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from garmentcut.errors import FAILURES
from garmentcut.observe import monitor as module
from garmentcut.observe.monitor import LOGGER, EventLines, Health, Metrics, Monitor, StopRequest, start_logging


@pytest.fixture
def events(tmp_path):
    """events(): what was logged so far."""
    before = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    with (tmp_path / "log").open("w+") as stream:
        start_logging("json", stream)
        yield lambda: [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    LOGGER.handlers[:], LOGGER.level, LOGGER.propagate = before
    LOGGER._cache.clear()


def test_a_photo_is_one_line(events):
    monitor = Monitor()
    monitor.photo("/in/a.jpg", doubt=0.1, seconds=1.0)
    monitor.photo("/in/b.jpg", code="empty", reason="empty file; copy it again")
    good, bad = events()
    assert (good["event"], good["level"], good["status"], good["doubt"], good["seconds"]) == (
        "photo",
        "info",
        "ok",
        0.1,
        1.0,
    )
    assert (bad["level"], bad["code"], bad["reason"]) == ("warning", "empty", "empty file; copy it again")
    assert "doubt" not in bad


def test_a_line_for_people_shows_lists_and_letters_as_they_are():
    record = logging.makeLogRecord({"msg": "photo", "levelname": "INFO", "created": 0})
    record.fields = {"input": "/in/Größe 1.tif", "outputs": ["Größe 1.png"], "size_hw": (1728, 1152), "reason": 'a="b"'}
    assert EventLines("text").format(record) == (
        '1970-01-01T00:00:00.000Z info photo input="/in/Größe 1.tif" outputs=["Größe 1.png"] size_hw=[1728, 1152] '
        'reason="a=\\"b\\""'
    )
    record.fields = {"folders": ["a\nb\x1b\u202e\udcff"]}
    assert EventLines("text").format(record).endswith(r' folders=["a\nb\u001b\u202e\udcff"]')


def test_a_problem_is_logged_when_it_begins_and_ends(events):
    monitor = Monitor()
    for text in ("full", "full", "", ""):
        monitor.problem("output", text)
    assert [event["event"] for event in events()] == ["problem", "problem over"]
    assert not monitor.health.problems()


def test_steps_are_timed_even_if_they_fail():
    metrics = Metrics()

    def step(number):
        if number:
            raise ValueError
        return "done"

    timed = Monitor(metrics).timed("write", step)
    assert timed(0) == "done"
    with pytest.raises(ValueError):
        timed(1)
    assert b'garmentcut_stage_seconds_count{stage="write"} 2.0' in metrics.page()[1]


def test_nobody_listens_and_nothing_is_in_the_way():
    def step():
        pass

    assert Monitor().timed("read", step) is step
    Monitor().queue(ready=1)
    Monitor().scan(1, 2)


def test_the_example_in_its_docstring():
    assert doctest.testmod(module).failed == 0


def test_without_a_beat_it_counts_as_stuck(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    health = Health()
    now[0] = 300
    assert health.is_alive()
    now[0] = 301
    assert not health.is_alive()
    assert health.problems() == {"stuck": "no sign of life for 301 s"}
    health.beat()
    assert not health.problems()


def test_problems_are_news_once():
    health = Health()
    assert [health.problem("output", text) for text in ("full", "full", "gone", "", "")] == [
        True,
        False,
        True,
        True,
        False,
    ]


def test_checks_are_asked_each_time_and_may_fail():
    answers = iter(["", "asleep"])
    health = Health()
    health.add_check("database", lambda: next(answers))
    assert health.problems() == {}
    assert health.problems() == {"database": "asleep"}
    assert health.problems() == {"database": "StopIteration"}


def test_each_beat_is_passed_on():
    beats = []
    health = Health(on_beat=lambda: beats.append(1))
    health.beat()
    assert beats == [1]


@pytest.fixture
def samples():
    """samples(metrics): value by name and labels."""

    def read(metrics):
        content_type, page = metrics.page()
        assert content_type.startswith("text/plain")
        found = {}
        for family in text_string_to_metric_families(page.decode()):
            for sample in family.samples:
                found[(sample.name, *sample.labels.values())] = sample.value
        return found

    return read


def test_photos_failures_and_doubt(samples):
    metrics = Metrics()
    Monitor(metrics).photo("a.jpg", doubt=0.04, is_foreign=True)
    Monitor(metrics).photo("a.jpg")
    Monitor(metrics).photo("a.jpg", code="truncated")
    found = samples(metrics)
    assert found["garmentcut_photos_total", "ok"] == 2
    assert found["garmentcut_photos_total", "failed"] == 1
    assert found["garmentcut_failures_total", "truncated"] == 1
    assert found["garmentcut_doubt_count",] == 1
    assert found["garmentcut_foreign_photos_total",] == 1
    assert (found["garmentcut_doubt_bucket", "0.03"], found["garmentcut_doubt_bucket", "0.05"]) == (0, 1)
    assert found["garmentcut_last_success_timestamp_seconds",] > 1.7e9


def test_every_series_is_there_from_the_start_and_reasons_add_none(samples):
    metrics = Metrics()
    before = set(samples(metrics))
    assert {name for family, *name in before if family == "garmentcut_failures_total" for name in name} == set(FAILURES)
    for code in FAILURES:
        Monitor(metrics).photo("a.jpg", code=code)
    assert set(samples(metrics)) == before


def test_stages_queue_and_scans(samples):
    metrics = Metrics()
    metrics.seconds.labels("network").observe(0.7)
    Monitor(metrics).queue(ready=3, retrying=1)
    Monitor(metrics).queue(ready=2)
    Monitor(metrics).scan(0.5, 1234)
    found = samples(metrics)
    assert found["garmentcut_stage_seconds_sum", "network"] == 0.7
    assert found["garmentcut_stage_seconds_count", "read"] == 0
    assert (found["garmentcut_queue_photos", "ready"], found["garmentcut_queue_photos", "retrying"]) == (2, 1)
    assert (found["garmentcut_scan_seconds",], found["garmentcut_found_photos",]) == (0.5, 1234)


def test_two_runs_in_one_process_do_not_meet(samples):
    one, other = Metrics(), Metrics()
    Monitor(one).photo("a.jpg")
    assert samples(other)["garmentcut_photos_total", "ok"] == 0


def test_open_metrics_on_request():
    content_type, page = Metrics().page("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")


@pytest.mark.usefixtures("heard_hangup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_only_leaves_a_note(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.wait(0)
        os.kill(os.getpid(), number)
        assert stop.wait(30)  # returns at once
        assert (stop.is_set(), stop.reason, stop.number) == (True, "interrupted", number)
        assert signal.getsignal(number) == before  # the second is obeyed at once


def test_a_second_one_breaks_off():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # test runners may have their own
    with StopRequest(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_what_was_done_on_a_signal_before_is_done_again_after():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_time_is_up():
    assert StopRequest(0).reason == "time is up"
    assert StopRequest(60).reason == ""


def test_in_another_thread_no_signal_is_asked_for():
    def reason():
        with StopRequest(0) as stop:
            return stop.reason

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(reason).result() == "time is up"


def test_under_nohup_a_closed_terminal_is_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.reason == ""
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
