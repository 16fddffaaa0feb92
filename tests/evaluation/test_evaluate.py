from dataclasses import replace

import numpy as np
import pytest

from garmentcut.config import RuntimeConfig
from garmentcut.dataset.manifest import fault_of
from garmentcut.evaluation.evaluate import evaluate
from garmentcut.evaluation.measures import measure
from garmentcut.evaluation.trials import plan_trials
from garmentcut.photo.files import write_atomic
from garmentcut.photo.png import png_bytes

CONFIG = RuntimeConfig(backend="openvino", threads=2)


@pytest.fixture
def model(tmp_path, red_model):
    return red_model(tmp_path / "red.onnx")


def scores_of(model, manifest, **kwargs):
    return list(evaluate(plan_trials(model, manifest), manifest, config=CONFIG, **kwargs))


def test_every_usable_pair_gets_a_row_in_order(model, red_dataset):
    scores = scores_of(model, red_dataset)
    assert [score.name for score in scores] == [pair.name for pair in red_dataset.usable]
    assert {(score.status, score.reason) for score in scores} == {("ok", "")}
    for score in scores[:-1]:
        assert score.measures.dice == score.sweep[9] == 1
        assert score.measures.hd95_px == 0
    assert scores[0].garment == "g0"
    assert {score.view for score in scores} == {"Front", "Back"}
    assert {score.split for score in scores} == {"fold0", "fold1", "fold2"}
    assert scores[0].model.startswith("red@")


def test_a_cutout_three_pixels_off_is_measured_as_that(model, red_dataset):
    off = scores_of(model, red_dataset)[-1]
    alpha = np.zeros((96, 64), np.float32)
    alpha[20:70, 25:49] = 1
    assert off.measures.dice == pytest.approx(47 / 50)
    assert off.measures == measure(alpha, np.roll(alpha, 3, axis=0))
    assert off.measures.hd95_px == 3


def test_a_refused_photo_counts_as_an_empty_cutout(model, red_dataset):
    write_atomic(red_dataset.path_of("photos/g2_Front.png"), png_bytes(np.full((96, 64, 3), 200, np.uint8)))
    refused = next(score for score in scores_of(model, red_dataset) if score.name == "g2_Front")
    assert refused.status == "refused"
    assert "no garment found" in refused.reason
    assert refused.measures.dice == 0
    assert refused.measures.hd95_px == pytest.approx(np.hypot(96, 64))
    assert set(refused.sweep) == {0.0}


def test_pairs_that_cannot_be_read_fail_and_the_others_go_on(model, red_dataset):
    red_dataset.path_of("photos/g0_Front.png").write_bytes(b"half a photo")
    red_dataset.path_of("alpha/g1_Back.png").unlink()
    scores = {score.name: score for score in scores_of(model, red_dataset)}
    assert len(scores) == 12
    failed = {name: score for name, score in scores.items() if score.status == "failed"}
    assert set(failed) == {"g0_Front", "g1_Back"}
    assert all(name in score.reason for name, score in failed.items())
    assert all(score.measures is None and score.sweep == () for score in failed.values())


def test_out_of_memory_is_a_row_too(model, red_dataset):
    def look(score, *_):
        if score.name == "g1_Front":
            raise MemoryError

    scores = {score.name: score for score in scores_of(model, red_dataset, look=look)}
    assert (scores["g1_Front"].status, scores["g1_Front"].reason) == ("failed", "not enough memory")
    assert scores["g2_Front"].status == "ok"


def test_photos_the_model_was_trained_on_are_known(tmp_path, red_model, red_dataset):
    first, second = (pair.photo_sha256[:12] for pair in red_dataset.usable[:2])
    assert first == second  # both views of the first garment are the same picture
    scores = scores_of(red_model(tmp_path / "told.onnx", trained_on=(first,)), red_dataset)
    assert [score.seen for score in scores] == [True, True] + [False] * 10
    assert {score.seen for score in scores_of(red_model(tmp_path / "silent.onnx"), red_dataset)} == {None}


def test_what_is_suspect_in_a_pair_stands_in_its_row(model, red_dataset):
    pairs = list(red_dataset.pairs)
    pairs[1] = replace(pairs[1], faults=(fault_of("small", "0.1 % of the photo"),))
    scores = scores_of(model, replace(red_dataset, pairs=tuple(pairs)))
    assert scores[1].faults == ("0.1 % of the photo",)
    assert scores[0].faults == ()


def test_look_is_shown_every_measured_photo(model, red_dataset):
    seen = {}

    def look(score, photo, target, prediction):
        seen[score.name] = photo.size_hw, target.shape, prediction.shape, float(prediction.max())

    scores_of(model, red_dataset, look=look)
    assert set(seen) == {pair.name for pair in red_dataset.usable}
    assert set(seen.values()) == {((96, 64), (96, 64), (96, 64), 1.0)}


def test_several_models_each_on_their_own_photos(tmp_path, red_model, red_dataset):
    trials = [
        replace(trial, pairs=red_dataset.of(f"fold{number}"))
        for number in range(3)
        for trial in plan_trials(red_model(tmp_path / f"{number}.onnx", name=f"red{number}"), red_dataset)
    ]
    scores = list(evaluate(trials, red_dataset, config=CONFIG))
    assert [(score.split, score.model[:4]) for score in scores] == [
        (f"fold{number}", f"red{number}") for number in range(3) for _ in range(4)
    ]


def test_an_evaluation_can_be_left_early(model, red_dataset):
    rows = evaluate(plan_trials(model, red_dataset), red_dataset, config=CONFIG)
    assert next(rows).name == "g0_Front"
    rows.close()
