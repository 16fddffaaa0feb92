from garmentcut.evaluation.intervals import Estimate
from garmentcut.evaluation.measures import METRICS
from garmentcut.evaluation.table import aligned, interval, percents, totals_text
from garmentcut.evaluation.totals import total_scores


def test_columns_are_aligned():
    assert aligned([["view", "mean"], ["FrontRight", "0.9"]]) == ["view        mean", "FrontRight   0.9"]


def test_intervals():
    assert interval(Estimate(0.5, 0.25, 0.75), 3) == "[0.250, 0.750]"
    assert percents(Estimate(0.5, 0.25, 0.75)) == "[25, 75]"
    assert interval(Estimate(0.5), 3) == percents(Estimate(0.5)) == ""


def test_everything_is_said(make_score, failed_score):
    scores = [make_score(f"g{n}_{view}", 0.98 + n / 1000) for n in range(8) for view in ("Front", "Back")]
    scores += [make_score("g9_Back", 0.0, status="refused", reason="no garment found"), failed_score]
    text = totals_text(total_scores(scores), scores)
    lines = text.splitlines()
    assert lines[0].startswith("18 photos: 17 measured, 1 of them refused by the model, 1 failed, 0.50 s each")
    assert "net@01234567" in lines[0]
    assert lines[1] == "0 of 17 photos were in the training data."
    assert [line.split()[0] for line in lines[4:8]] == ["view", "all", "Front", "Back"]
    assert lines[6].split()[1:4] == ["8", "8", "0.9835"]
    for metric in METRICS:
        assert metric.title in text
    assert "Threshold, alpha >= 128: best 0.60 with mean Dice" in text
    assert "Threshold, alpha > 0: best 0.60" in text
    assert "refused: g9_Back: no garment found" in lines
    assert "failed: broken_Back: no such file: <b>x</b>" in lines


def test_many_failures_are_counted_not_listed(failed_score):
    scores = [failed_score] * 25
    text = totals_text(total_scores(scores), scores)
    assert text.count("failed: broken_Back") == 20
    assert "... and 5 more" in text
    assert text.startswith("25 photos: 0 measured, 25 failed; model")


def test_cutouts_marked_wrong_have_a_column_without_them(make_score):
    scores = [make_score(f"g{n}_Front", 0.95) for n in range(6)] + [make_score("g9_Front", 0.1, verdict="wrong")]
    text = totals_text(total_scores(scores), scores)
    assert "1 of 7 cutouts are marked wrong; they are in all figures but the last." in text
    assert "without wrong" in text
    assert "marked wrong" not in totals_text(total_scores(scores[:6]), scores[:6])
