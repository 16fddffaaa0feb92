import json

import numpy as np
import pytest

from garmentcut.evaluation.measures import METRICS
from garmentcut.evaluation.totals import ALL, seen_sentence, total_scores


@pytest.fixture
def scores(make_score, failed_score):
    rows = [make_score(f"g{n}_Front", 0.98 + n / 1000) for n in range(20)]
    rows += [make_score(f"g{n}_Back", 0.9 + n / 1000) for n in range(10)]
    return [*rows, make_score("g30_unknown", 0.0, status="refused", reason="no garment found"), failed_score]


def test_counts_and_views(scores):
    totals = total_scores(scores)
    assert (totals.num_photos, totals.num_measured, totals.num_refused, totals.num_failed) == (32, 31, 1, 1)
    assert [total.view for total in totals.by_view] == [ALL, "Front", "Back", "unknown"]
    assert [total.num_photos for total in totals.by_view] == [31, 20, 10, 1]
    assert [total.num_garments for total in totals.by_view] == [21, 20, 10, 1]
    assert totals.models == ("net@01234567",)
    assert totals.seconds == pytest.approx(0.5)


def test_figures_of_a_view(scores):
    front = total_scores(scores).by_view[1]
    dice = front.figures["dice"]
    values = [0.98 + n / 1000 for n in range(20)]
    assert dice["mean"].value == pytest.approx(np.mean(values))
    assert dice["median"].value == pytest.approx(np.median(values))
    assert dice["worst"].value == pytest.approx(0.98)  # one of twenty
    assert dice["share_0.99"].value == 0.5
    assert dice["share_0.995"].value == 0.25
    assert dice["mean"].low < dice["mean"].value < dice["mean"].high
    assert front.figures["hd95_px"]["worst"].value == pytest.approx(200 * 0.02)  # the largest
    assert set(front.figures) == {metric.key for metric in METRICS}
    assert "share_0.99" not in front.figures["iou"]
    assert total_scores(scores).by_view[3].figures["dice"]["mean"].low is None  # one garment


def test_refused_photos_count_and_failed_ones_do_not(scores):
    everything = total_scores(scores).by_view[0].figures["dice"]["mean"].value
    measured = [score.measures.dice for score in scores if score.measures]
    assert 0 in measured
    assert everything == pytest.approx(np.mean(measured))


def test_the_threshold_sweep(scores):
    assert total_scores(scores).sweep.best == 0.6


def test_training_photos_are_named_plainly(make_score):
    def sentence(*seen):
        return seen_sentence(total_scores([make_score(f"g{n}_Front", seen=value) for n, value in enumerate(seen)]))

    assert sentence(False, False) == "0 of 2 photos were in the training data."
    assert sentence(True, False, True) == "2 of 3 photos were in the training data."
    assert "does not list" in sentence(True, None)


def test_nothing_measured(failed_score):
    totals = total_scores([failed_score])
    assert (totals.by_view, totals.sweep, totals.num_failed) == ((), None, 1)


def test_totals_become_json(scores):
    content = json.loads(json.dumps(total_scores(scores).as_dict()))
    assert content["by_view"][0]["figures"]["dice"]["mean"].keys() == {"value", "low", "high"}
    assert len(content["sweep"]["mean_dice"]) == 19


def test_with_and_without_cutouts_marked_wrong(scores, make_score):
    plain = total_scores(scores)
    assert (plain.num_wrong, plain.without_wrong) == (0, None)
    marked = [*scores, make_score("g40_Front", 0.2, verdict="wrong"), make_score("g41_Front", 0.9, verdict="right")]
    totals = total_scores(marked)
    assert (totals.num_wrong, totals.num_measured) == (1, 33)
    assert totals.without_wrong.num_photos == 32
    without = [score for score in marked if score.verdict != "wrong"]
    assert totals.without_wrong.figures == total_scores(without).by_view[0].figures
    assert totals.by_view[0].figures["dice"]["mean"].value < totals.without_wrong.figures["dice"]["mean"].value
    assert totals.as_dict()["without_wrong"]["num_photos"] == 32
