import csv
import json
from dataclasses import replace

import pytest

from garmentcut.evaluation.measures import METRICS
from garmentcut.evaluation.scores import ScoresError, read_scores, write_scores


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


@pytest.mark.parametrize("text", ["{}", "no json", '{"name": 1}', "[]", "3"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "scores.jsonl").write_text(text)
    with pytest.raises(ScoresError, match=r"scores\.jsonl, line 1, is not a row"):
        read_scores(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScoresError, match=r"scores\.jsonl: No such file"):
        read_scores(tmp_path)
