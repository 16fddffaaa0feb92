import json

import pytest

from garmentcut.evaluation.audit import AuditError, audit, draw_suspects, write_suspects
from garmentcut.evaluation.trials import plan_trials


@pytest.fixture
def trials(tmp_path, red_model, red_dataset):
    return plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)


def test_the_cutout_that_lies_off_is_the_first_suspect(trials, red_dataset):
    told = []
    found = audit(trials, red_dataset, told=lambda name, failure: told.append((name, failure)))
    assert found.suspects[0].name == "g5_Back"
    assert found.suspects[0].score > 3 * max(found.suspects[1].score, 0.1)
    assert {suspect.name for suspect in found.suspects} == {pair.name for pair in red_dataset.usable}
    assert not found.uses_doubt  # six garments teach nothing
    assert (len(told), found.failures) == (12, {})


def test_cutouts_that_the_model_has_learned_are_not_audited(tmp_path, red_model, red_dataset):
    learned = tuple({pair.photo_sha256[:12] for pair in red_dataset.usable[:2]})  # the two views are one file
    trials = plan_trials(red_model(tmp_path / "red.onnx", trained_on=learned), red_dataset)
    with pytest.raises(AuditError, match="was trained on 2 of these 12 cutouts"):
        audit(trials, red_dataset)
    assert audit(trials, red_dataset, use_seen=True).suspects


def test_a_pair_that_cannot_be_read_is_named(trials, red_dataset):
    red_dataset.path_of(red_dataset.usable[0].photo).unlink()
    found = audit(trials, red_dataset)
    assert list(found.failures) == ["g0_Front"]
    assert len(found.suspects) == 11


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
