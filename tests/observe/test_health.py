import doctest

from garmentcut.observe import health as module
from garmentcut.observe.health import Health


def test_the_example_in_its_docstring():
    assert doctest.testmod(module).failed == 0


def test_without_a_beat_it_counts_as_stuck():
    now = [0.0]
    health = Health(stale_s=10, clock=lambda: now[0])
    now[0] = 10
    assert health.is_alive()
    now[0] = 11
    assert not health.is_alive()
    assert health.troubles() == {"stuck": "no sign of life for 11 s"}
    health.beat()
    assert health.is_ready()


def test_troubles_are_news_once():
    health = Health()
    assert [health.trouble("output", text) for text in ("full", "full", "gone", "", "")] == [
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
    assert health.troubles() == {}
    assert health.troubles() == {"database": "asleep"}
    assert health.troubles() == {"database": "StopIteration"}


def test_each_beat_is_passed_on():
    beats = []
    health = Health(on_beat=lambda: beats.append(1))
    health.beat()
    assert beats == [1]
