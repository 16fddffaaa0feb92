import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from garmentcut.training.stopping import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_only_leaves_a_note(number):
    with StopRequest() as stop:
        assert stop.reason == ""
        os.kill(os.getpid(), number)
        assert stop.reason == "interrupted"


def test_a_second_one_breaks_off():
    with StopRequest(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)


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


def test_all_devices_stop_together(fabric, monkeypatch):
    assert StopRequest(0).agreed(fabric) == "time is up"
    # Another process was interrupted: the highest number of all is what they agree on.
    monkeypatch.setattr("garmentcut.training.stopping.reduced", lambda _fabric, own, _operation: own.clamp(min=2))
    assert StopRequest().agreed(fabric) == "interrupted"
