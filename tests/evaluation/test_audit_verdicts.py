import json

import pytest
from filelock import FileLock

from garmentcut.dataset.manifest import DatasetError, read_manifest
from garmentcut.evaluation import audit_verdicts
from garmentcut.evaluation.audit_verdicts import VerdictError, keep_verdicts, parse_mark, read_verdicts


def test_marks_are_parsed():
    assert parse_mark("a=b_Front=wrong") == ("a=b_Front", "wrong")
    assert parse_mark("g1_Front=") == ("g1_Front", "")
    with pytest.raises(VerdictError, match="not of the form NAME=wrong"):
        parse_mark("g1_Front")
    with pytest.raises(VerdictError, match="'bad' is none of wrong, right, unsure"):
        parse_mark("g1_Front=bad")


def test_what_the_page_saves_is_read(tmp_path):
    path = tmp_path / "verdicts.json"
    path.write_text(json.dumps({"verdicts": {"g1_Front": "wrong", "g2_Back": "unsure"}}))
    assert read_verdicts(path) == {"g1_Front": "wrong", "g2_Back": "unsure"}
    path.write_text(json.dumps({"verdicts": {"g1_Front": "maybe"}}))
    with pytest.raises(VerdictError, match=r"verdicts\.json: g1_Front: 'maybe'"):
        read_verdicts(path)
    path.write_text("[]")
    with pytest.raises(VerdictError, match="not a file of verdicts"):
        read_verdicts(path)
    with pytest.raises(VerdictError, match="No such file"):
        read_verdicts(tmp_path / "none.json")


def test_verdicts_are_kept_in_the_manifest(red_dataset):
    keep_verdicts(red_dataset.folder, {"g5_Back": "wrong", "g0_Front": "right"})
    keep_verdicts(red_dataset.folder, {"g0_Front": ""})
    read = read_manifest(red_dataset.folder)
    assert {pair.name: pair.verdict for pair in read.pairs if pair.verdict} == {"g5_Back": "wrong"}
    assert read.sha256 == red_dataset.sha256  # runs still know the dataset


def test_all_or_none(red_dataset):
    for name in ("g7_Front", "g9_Front"):  # unknown, refused
        with pytest.raises(VerdictError, match=f"no usable pair named {name}"):
            keep_verdicts(red_dataset.folder, {"g5_Back": "wrong", name: "wrong"})
    assert not any(pair.verdict for pair in read_manifest(red_dataset.folder).pairs)


def test_another_process_at_work_is_waited_for_and_then_told(red_dataset, monkeypatch):
    monkeypatch.setattr(audit_verdicts, "_PATIENCE_S", 0.01)
    with FileLock(red_dataset.folder / ".garmentcut.lock"), pytest.raises(DatasetError, match="at work there"):
        keep_verdicts(red_dataset.folder, {"g5_Back": "wrong"})
