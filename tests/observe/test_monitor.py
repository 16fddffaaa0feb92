import json

import pytest

from garmentcut.observe.log import LOGGER, start_logging
from garmentcut.observe.metrics import Metrics
from garmentcut.observe.monitor import Monitor


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


def test_trouble_is_told_when_it_begins_and_ends(events):
    monitor = Monitor()
    for text in ("full", "full", "", ""):
        monitor.trouble("output", text)
    assert [event["event"] for event in events()] == ["trouble", "trouble over"]
    assert monitor.health.is_ready()


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
    Monitor().look(1, 2)
