import pytest
from prometheus_client.parser import text_string_to_metric_families

from garmentcut.errors import FAILURES
from garmentcut.observe.metrics import Metrics


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
    metrics.count_photo(doubt=0.04)
    metrics.count_photo()
    metrics.count_photo(code="truncated")
    found = samples(metrics)
    assert found["garmentcut_photos_total", "ok"] == 2
    assert found["garmentcut_photos_total", "failed"] == 1
    assert found["garmentcut_failures_total", "truncated"] == 1
    assert found["garmentcut_doubt_count",] == 1
    assert (found["garmentcut_doubt_bucket", "0.03"], found["garmentcut_doubt_bucket", "0.05"]) == (0, 1)
    assert found["garmentcut_last_success_timestamp_seconds",] > 1.7e9


def test_every_series_is_there_from_the_start_and_reasons_add_none(samples):
    metrics = Metrics()
    before = set(samples(metrics))
    assert {name for family, *name in before if family == "garmentcut_failures_total" for name in name} == set(FAILURES)
    for code in FAILURES:
        metrics.count_photo(code=code)
    assert set(samples(metrics)) == before


def test_stages_queue_and_looks(samples):
    metrics = Metrics()
    metrics.time_stage("network", 0.7)
    metrics.set_queue(ready=3, retrying=1)
    metrics.set_queue(ready=2)
    metrics.set_look(0.5, 1234)
    found = samples(metrics)
    assert found["garmentcut_stage_seconds_sum", "network"] == 0.7
    assert found["garmentcut_stage_seconds_count", "read"] == 0
    assert (found["garmentcut_queue_photos", "ready"], found["garmentcut_queue_photos", "retrying"]) == (2, 1)
    assert (found["garmentcut_look_seconds",], found["garmentcut_found_photos",]) == (0.5, 1234)


def test_two_runs_in_one_process_do_not_meet(samples):
    one, other = Metrics(), Metrics()
    one.count_photo()
    assert samples(other)["garmentcut_photos_total", "ok"] == 0


def test_open_metrics_on_request():
    content_type, page = Metrics().page("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
