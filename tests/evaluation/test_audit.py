import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from garmentcut.dataset.manifest import read_manifest
from garmentcut.errors import DatasetError, EvaluationError
from garmentcut.evaluation import audit as audits
from garmentcut.evaluation.audit import (
    Examined,
    audit,
    draw_suspects,
    keep_verdicts,
    parse_mark,
    rank_suspects,
    read_verdicts,
    render_page,
    write_suspects,
)
from garmentcut.evaluation.evidence import Evidence, Region
from garmentcut.evaluation.predict import plan_trials
from garmentcut.photo.files import FolderLock


def test_marks_are_parsed():
    assert parse_mark("a=b_Front=wrong") == ("a=b_Front", "wrong")
    assert parse_mark("g1_Front=") == ("g1_Front", "")
    with pytest.raises(EvaluationError, match="not of the form NAME=wrong"):
        parse_mark("g1_Front")
    with pytest.raises(EvaluationError, match="'bad' is none of wrong, right, unsure"):
        parse_mark("g1_Front=bad")


def test_what_the_page_saves_is_read(tmp_path):
    path = tmp_path / "verdicts.json"
    path.write_text(json.dumps({"verdicts": {"g1_Front": "wrong", "g2_Back": "unsure"}}))
    assert read_verdicts(path) == {"g1_Front": "wrong", "g2_Back": "unsure"}
    path.write_text(json.dumps({"verdicts": {"g1_Front": "maybe"}}))
    with pytest.raises(EvaluationError, match=r"verdicts\.json: g1_Front: 'maybe'"):
        read_verdicts(path)
    path.write_text("[]")
    with pytest.raises(EvaluationError, match="not a file of verdicts"):
        read_verdicts(path)
    with pytest.raises(EvaluationError, match="No such file"):
        read_verdicts(tmp_path / "none.json")


def test_verdicts_are_kept_in_the_manifest(red_dataset):
    keep_verdicts(red_dataset.folder, {"g5_Back": "wrong", "g0_Front": "right"})
    keep_verdicts(red_dataset.folder, {"g0_Front": ""})
    read = read_manifest(red_dataset.folder)
    assert {pair.name: pair.verdict for pair in read.pairs if pair.verdict} == {"g5_Back": "wrong"}
    assert read.sha256 == red_dataset.sha256  # runs still know the dataset


def test_all_or_none(red_dataset):
    for name in ("g7_Front", "g9_Front"):  # unknown, refused
        with pytest.raises(EvaluationError, match=f"no usable pair named {name}"):
            keep_verdicts(red_dataset.folder, {"g5_Back": "wrong", name: "wrong"})
    assert not any(pair.verdict for pair in read_manifest(red_dataset.folder).pairs)


def test_a_dataset_that_cannot_be_written_is_told_with_the_fix(red_dataset, without_rights):
    red_dataset.folder.chmod(0o555)
    with without_rights(), pytest.raises(DatasetError, match=r"Permission denied; fix that and run the same command"):
        keep_verdicts(red_dataset.folder, {"g1_Front": "wrong"})
    red_dataset.folder.chmod(0o755)


def test_another_process_at_work_is_waited_for_and_then_told(red_dataset, monkeypatch):
    monkeypatch.setattr(audits, "_PATIENCE_S", 0.01)
    with FolderLock(red_dataset.folder / ".garmentcut.lock"), pytest.raises(DatasetError, match="at work there"):
        keep_verdicts(red_dataset.folder, {"g5_Back": "wrong"})


RNG = np.random.default_rng(2)


def region(area, *, missing=True, support=0.8):
    return Region((10, 10, 60, 40), missing, area, 15.0, 0.95, support, support)


def ordinary(scale=1.0):
    shift = 0.4 * RNG.standard_normal(2)
    area = int(scale * RNG.integers(50, 400))
    return Evidence(0.99, 0.3, (region(area, support=0.2),), tuple(shift), tuple(shift), 0.0, 1.0)


def ranked(evidence, doubts=None):
    return rank_suspects([Examined(f"p{number}", one, 1728, "hem") for number, one in enumerate(evidence)], doubts)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Evidence(0.97, 0.0, (region(9000),), (0.0, 0.0), (0.0, 0.0), 0.0, 1.0), "lacks 9000 px at the hem"),
        (Evidence(0.97, 0.0, (region(9000, missing=False),), (0.0, 0.0), (0.0, 0.0), 0.0, 1.0), "has too much 9000 px"),
        (Evidence(0.98, 0.1, (), (3.0, 0.1), (2.8, 0.0), 0.0, 1.0), "shifted as a whole: "),
        (
            Evidence(0.31, 0.0, (), (9.0, 0.0), (0.0, 0.0), 0.0, 9.0),
            "perhaps of another photo: cutout and prediction share 31 %",
        ),
    ],
)
def test_what_is_wrong_comes_first_and_is_said(wrong, words):
    evidence = [ordinary() for _ in range(40)]
    evidence[17] = wrong
    found = ranked(evidence)
    assert found[0].name == "p17"
    assert found[0].clues[0].text.startswith(words)
    assert found[0].score > found[1].score + 1


def test_a_shift_that_photo_and_model_do_not_agree_on_is_none():
    evidence = [ordinary() for _ in range(40)]
    evidence[17] = Evidence(0.99, 0.3, (), (3.0, 0.0), (-3.0, 0.0), 0.0, 1.0)
    assert ranked(evidence)[0].name != "p17"


def test_where_the_prediction_scatters_disagreement_is_expected():
    evidence = [ordinary() for _ in range(60)]
    plain = Evidence(0.98, 0.1, (region(3500, support=0.2),), (0.0, 0.0), (0.0, 0.0), 0.0, 1.0)
    evidence[3], evidence[57] = plain, plain._replace(spread_px=2.4)
    score = {one.name: one.score for one in ranked(evidence)}
    assert score["p3"] > score["p57"] + 1


def test_the_label_quality_score_counts_too():
    evidence = [ordinary() for _ in range(60)]
    plain = Evidence(0.98, 0.3, (region(3500, support=0.2),), (0.0, 0.0), (0.0, 0.0), 0.0, 1.0)
    evidence[3], evidence[57] = plain, plain._replace(softmin_confidence=0.01)
    score = {one.name: one.score for one in ranked(evidence)}
    assert score["p57"] > score["p3"] + 1


def test_doubt_is_reported_beside():
    found = ranked([ordinary() for _ in range(3)], np.array([0.1, 0.2, 0.3]))
    assert {one.name: one.doubt for one in found} == {"p0": 0.1, "p1": 0.2, "p2": 0.3}


def test_the_models_own_shift_is_no_fault_of_the_cutouts():
    evidence = [Evidence(0.99, 0.3, (), (2.0, 0.0), (2.0, 0.0), 0.0, 1.0) for _ in range(30)]
    assert max(suspect.score for suspect in ranked(evidence)) == pytest.approx(0)


@pytest.fixture
def trials(tmp_path, red_model, red_dataset):
    return plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)


def test_the_cutout_that_lies_off_is_the_first_suspect(trials, red_dataset):
    told = []
    found = audit(trials, red_dataset, on_photo=lambda name, failure: told.append((name, failure)))
    assert found.suspects[0].name == "g5_Back"
    assert found.suspects[0].score > 3 * max(found.suspects[1].score, 0.1)
    assert {suspect.name for suspect in found.suspects} == {pair.name for pair in red_dataset.usable}
    assert not found.uses_doubt  # six garments teach nothing
    assert (len(told), found.failures, found.warning) == (12, {}, "")
    blind = [one._replace(evidence=one.evidence._replace(dice=0.0)) for one in found.suspects]
    weak = replace(found, suspects=tuple(blind))
    assert weak.warning.startswith("the model agrees with these cutouts at a median Dice of 0.00 only: do not trust")
    assert weak.warning in render_page(weak, {}, dataset=red_dataset.folder, models="red")


def test_cutouts_that_the_model_has_learned_are_not_audited(tmp_path, red_model, red_dataset):
    learned = tuple({pair.photo_sha256[:12] for pair in red_dataset.usable[:2]})  # the two views are one file
    trials = plan_trials(red_model(tmp_path / "red.onnx", trained_on=learned), red_dataset)
    with pytest.raises(EvaluationError, match="was trained on 2 of these 12 photos"):
        audit(trials, red_dataset)
    assert audit(trials, red_dataset, use_seen=True).suspects


def test_a_pair_that_cannot_be_read_is_named(trials, red_dataset):
    red_dataset.path_of(red_dataset.usable[0].photo).unlink()
    found = audit(trials, red_dataset)
    assert list(found.failures) == ["g0_Front"]
    assert len(found.suspects) == 11


def test_of_a_share_that_is_not_mounted_every_pair_is_named(trials, red_dataset):
    for pair in red_dataset.usable:
        red_dataset.path_of(pair.photo).unlink(missing_ok=True)
    found = audit(trials, red_dataset)
    assert (len(found.suspects), len(found.failures)) == (0, 12)


def test_suspects_are_drawn_and_written(trials, red_dataset, tmp_path):
    found = audit(trials, red_dataset)
    pictures = draw_suspects(trials, red_dataset, found.suspects[:2])
    assert set(pictures) == {suspect.name for suspect in found.suspects[:2]}
    captions = [picture.caption for picture in pictures["g5_Back"]]
    assert captions == ["photo", "cutout", "prediction", "difference", "the region, enlarged"]
    write_suspects(found, tmp_path / "page")
    rows = [json.loads(line) for line in (tmp_path / "page/suspects.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == [suspect.name for suspect in found.suspects]
    assert rows[0]["clues"][0]["text"]


@pytest.fixture
def audited(tmp_path, red_model, red_dataset):
    trials = plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)
    found = audit(trials, red_dataset)
    return found, draw_suspects(trials, red_dataset, found.suspects[:3])


def test_the_page_shows_suspects_worst_first(audited):
    found, pictures = audited
    page = render_page(found, pictures, dataset=Path("/data/ours"), models="red@1")
    names = re.findall(r'<article id="s\d+" data-name="([^"]+)"', page)
    assert names == [suspect.name for suspect in found.suspects[:3]]
    assert page.count("data:image/jpeg;base64,") == 15
    assert "garmentcut audit /data/ours --verdicts verdicts.json" in page
    assert "Too few garments" in page
    assert "http://" not in page and "https://" not in page  # works offline


def test_verdicts_that_are_kept_are_shown(audited):
    found, pictures = audited
    first = found.suspects[0].name
    marked = replace(found, pairs={**found.pairs, first: replace(found.pairs[first], verdict="wrong")})
    page = render_page(marked, pictures, dataset=Path("d"), models="red")
    given = re.search(r'<script type="application/json" id="given">(.*?)</script>', page)
    assert json.loads(given.group(1)) == {first: "wrong"}
    assert len(re.findall(r'value="wrong" checked', page)) == 1


def test_names_cannot_break_out(audited):
    found, pictures = audited
    first, evil = found.suspects[0].name, "</script><b>x"
    suspects = (found.suspects[0]._replace(name=evil), *found.suspects[1:])
    pairs = {**found.pairs, evil: replace(found.pairs[first], verdict="right")}
    page = render_page(
        replace(found, suspects=suspects, pairs=pairs),
        {**pictures, evil: pictures[first]},
        dataset=Path("d"),
        models="m",
    )
    assert "<b>x" not in page
