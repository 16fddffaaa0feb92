import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from garmentcut.errors import EvaluationError
from garmentcut.evaluation.metrics import METRICS, dice
from garmentcut.evaluation.scores import (
    ALL,
    THRESHOLDS,
    compare_scores,
    dice_at_thresholds,
    gain_of,
    read_scores,
    seen_sentence,
    sweep_of,
    total_scores,
    write_scores,
)


def test_what_is_written_is_read_back(tmp_path, make_score, failed_score):
    refused = make_score("b_Back", 0.0, status="refused", reason="no garment found; “check”", seen=True, faults=("x",))
    scores = [make_score("a_Front", 1 / 3), refused, failed_score]
    write_scores(scores, tmp_path / "new/folder")
    assert read_scores(tmp_path / "new/folder") == scores
    first = json.loads((tmp_path / "new/folder/scores.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["measures"]["dice"] == 1 / 3


def test_the_table_for_spreadsheets(tmp_path, make_score, failed_score):
    write_scores(
        [make_score("a_Front", 0.98, seen=None, faults=("cut off", "small")), replace(failed_score, reason='a "b", c')],
        tmp_path,
    )
    with (tmp_path / "scores.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a_Front", "broken_Back"]
    assert float(rows[0]["dice"]) == 0.98
    assert rows[0]["seen"] == ""
    assert rows[0]["faults"] == "cut off; small"
    assert rows[1]["reason"] == 'a "b", c'
    assert rows[1]["dice"] == ""
    assert {metric.key for metric in METRICS} <= set(rows[0])


@pytest.mark.parametrize("text", ["{}", "no json", '{"name": 1}', "[]", "3", "[" * 100_000])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "scores.jsonl").write_text(text)
    with pytest.raises(EvaluationError, match=r"scores\.jsonl, line 1, is not a garmentcut row"):
        read_scores(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EvaluationError, match=r"scores\.jsonl: No such file"):
        read_scores(tmp_path)


def test_the_same_as_dice_at_each_threshold(alpha_pairs):
    for prediction, target in alpha_pairs:
        for garment in (target >= 0.5, target > 0):
            slow = [dice(prediction >= np.float32(threshold), garment) for threshold in THRESHOLDS]
            assert dice_at_thresholds(prediction, garment) == pytest.approx(slow)


def test_values_on_a_threshold_pass_it():
    prediction = np.float32([[0.05, 0.5, 0.95, 0.0]])
    garment = np.array([[True, True, True, False]])
    assert dice_at_thresholds(prediction, garment)[0] == 1
    assert dice_at_thresholds(prediction, garment)[THRESHOLDS.index(0.5)] == 2 * 2 / (2 + 3)
    assert dice_at_thresholds(prediction, garment)[-1] == 2 * 1 / (1 + 3)


def test_empty_ones():
    nothing = np.zeros((3, 3), np.float32)
    assert set(dice_at_thresholds(nothing, nothing > 0)) == {1.0}
    assert set(dice_at_thresholds(nothing, nothing == 0)) == {0.0}
    with pytest.raises(ValueError, match="of one size"):
        dice_at_thresholds(nothing, np.zeros((2, 2), bool))


def test_a_prediction_a_pixel_too_fat_wants_a_higher_threshold(studio):
    target = studio(192, 128).alpha
    fat = np.maximum.reduce([np.roll(target, shift, axis) for shift in (-1, 1) for axis in (0, 1)])
    sweep = sweep_of([dice_at_thresholds(fat, target >= 0.5)])
    assert sweep.best >= 0.75


def test_the_best_and_how_flat():
    first = [0.9] * len(THRESHOLDS)
    second = list(first)
    first[8:12] = [0.98, 0.99, 0.9899, 0.98]
    second[8:12] = [0.98, 0.99, 0.9897, 0.98]
    sweep = sweep_of([tuple(first), tuple(second)])
    assert sweep.best == 0.5
    assert sweep.flat == (0.5, 0.55)
    assert sweep.mean_dice[10] == pytest.approx(0.9898)
    assert sweep_of([(0.7,) * len(THRESHOLDS)]).best == 0.5  # all alike: the middle
    assert sweep_of([(0.7,) * len(THRESHOLDS)]).flat == (0.05, 0.95)
    with pytest.raises(ValueError, match="no photos"):
        sweep_of([])


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
    content = json.loads(json.dumps(asdict(total_scores(scores))))
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
    assert asdict(totals)["without_wrong"]["num_photos"] == 32


def test_thin_parts_and_holes_are_added_up_before_they_are_divided(make_score):
    many = make_score("g0_Front")
    few = replace(
        many,
        name="g1_Front",
        garment="g1",
        measures=replace(many.measures, thin_px=10, thin_kept_px=0, holes=0, holes_found=0),
    )
    total = total_scores([many, few]).by_view[0]
    assert total.pooled["thin_recall"].value == pytest.approx(80 / 110)
    assert total.pooled["thin_precision"].value == pytest.approx(0.9)
    assert total.pooled["hole_recall"].value == 0.5
    assert (total.counts["holes"], total.counts["holes_found"], total.counts["holes_invented"]) == (2, 1, 2)
    none = replace(few, measures=replace(few.measures, thin_px=0))
    assert "thin_recall" not in total_scores([none]).by_view[0].pooled


def test_rows_that_are_older_than_a_metric_stay_readable(make_score, tmp_path):
    write_scores([make_score("g0_Front"), make_score("g1_Front")], tmp_path)
    path = tmp_path / "scores.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        del row["group"]
        measures = row["measures"]
        for key in ("sad", "mse", "gradient", "connectivity"):
            measures[f"rim_{key}"] = measures.pop(f"edge_{key}")
        for key in [key for key in measures if key.startswith(("thin", "hole", "effort"))]:
            del measures[key]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    old = read_scores(tmp_path)
    assert (old[0].measures.edge_sad, old[0].measures.effort_px, old[0].group) == (1.5, None, "")
    total = total_scores(old).by_view[0]
    assert "effort_px" not in total.figures
    assert (total.pooled, total.counts) == ({}, {})
    assert total.figures["edge_sad"]["mean"].value == 1.5


def test_two_models_are_compared_photo_by_photo(make_score, failed_score):
    rng = np.random.default_rng(0)
    theirs = [make_score(f"g{n:02d}_Front", 0.95 + 0.04 * rng.random()) for n in range(30)]
    ours = [make_score(one.name, one.measures.dice + 0.004 + 0.001 * rng.standard_normal()) for one in theirs]
    ours[7] = make_score("g07_Front", theirs[7].measures.dice - 0.2)
    found = compare_scores([*ours, failed_score], [*reversed(theirs), failed_score])
    assert (found.num_photos, found.num_garments) == (30, 30)
    expected = np.mean([a.measures.dice - b.measures.dice for a, b in zip(ours, theirs, strict=True)])
    assert found.differences["dice"].value == pytest.approx(expected)
    assert found.differences["dice"].low < expected < found.differences["dice"].high
    assert found.differences["effort_px"].value == pytest.approx(-2000 * expected)
    assert found.differences["thin_recall"].value == 0
    assert len(found.gains(10)) == 10
    assert [(a.name, b.name) for a, b in found.losses(10)] == [("g07_Front", "g07_Front")]
    gains = [gain_of(*pair) for pair in found.gains(10)]
    assert gains == sorted(gains, reverse=True)
    json.dumps(found.as_dict())
    with pytest.raises(EvaluationError, match="no photo in common"):
        compare_scores(ours, [failed_score])


@pytest.mark.parametrize("change", [{"measures": "none"}, {"sweep": "0.5"}, {"status": "new"}, {"name": 5}])
def test_values_of_another_kind_are_refused(tmp_path, change):
    row = {"name": "a_Front", "garment": "a", "view": "Front", "split": "test", "measures": None} | change
    (tmp_path / "scores.jsonl").write_text(json.dumps(row))
    with pytest.raises(EvaluationError, match=r"scores\.jsonl, line 1, is not a garmentcut row"):
        read_scores(tmp_path)
