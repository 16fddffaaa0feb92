"""Two passes: whose masks the second network learns from."""

import numpy as np
import pytest

from garmentcut.dataset.manifest import read_manifest, read_pair
from garmentcut.dataset.split import prove_split
from garmentcut.errors import PhotoError
from garmentcut.study.masked import HIDDEN_LEVEL, widened
from garmentcut.study.passes import stages

TWO = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "one"
seeds = [4]
folds = [0]
[arms.one]
[arms.two]
loss.dice = 2
first_pass = { arm = "one", dilation_px = [2, 6], copies = 3 }
"""


class Box:
    """Stands in for a cutter: finds a box of 20x10 pixels at (30, 20), or nothing in some photos."""

    empty = ()

    def __init__(self, model):
        self.model, self.runtime, self.num = model, type("Runtime", (), {"streams": 1}), 0

    def __call__(self, photo):
        if self.model in self.empty:
            raise PhotoError("no garment found")
        alpha = np.zeros(photo.size_hw, np.float32)
        alpha[30:50, 20:30] = 1
        return type("Cutout", (), {"alpha": alpha})


@pytest.fixture
def boxes(monkeypatch):
    """First networks are boxes; exporting one gives its run's folder. Returns the models that were loaded."""
    loaded = []

    def load(model, config=None):  # noqa: ARG001
        loaded.append(model)
        return Box(model)

    monkeypatch.setattr("garmentcut.study.masked.Cutter.load", load)
    monkeypatch.setattr("garmentcut.study.passes.export_run", lambda run: run.folder / "model.onnx")
    return loaded


def test_a_mask_widened_by_hand():
    mask = np.zeros((7, 9), bool)
    mask[3, 4] = True
    found = widened(mask, 2)
    y, x = np.mgrid[:7, :9]
    assert np.array_equal(found, np.hypot(y - 3, x - 4) <= 2)
    assert np.array_equal(widened(mask, 0), mask)
    assert widened(np.zeros((3, 3), bool), 1).all()  # nothing found: nothing hidden


def test_one_pass_is_one_training(make_study):
    study = make_study(TWO)
    (run,) = stages(study, study.cells[0], {})
    assert run.folder == study.run_folder(study.cells[0])


def test_each_first_mask_comes_from_a_network_that_never_saw_the_photo(make_study, boxes):
    study = make_study(TWO)
    one, two = study.cells
    *first, second = stages(study, two, {})
    assert [run.division.name for run in first] == ["fold1", "fold2"]
    for run in first:
        assert {pair.split for pair in run.division.train} == {"fold1", "fold2"} - {run.division.name}
        assert {pair.split for pair in run.division.validation} == {run.division.name}
        assert run.division.held_out == (run.division.name, "fold0")
        assert run.recipe == one.arm.recipe(4)
    assert boxes == [*(run.folder / "model.onnx" for run in first), study.run_folder(one) / "model.onnx"]
    assert second.recipe == two.arm.recipe(4)
    assert second.division.held_out == ("fold0",)
    assert sorted(pair.name for pair in second.division.validation) == sorted(
        pair.name for pair in study.divisions[0].validation
    )
    assert len(second.division.train) == 3 * len(study.divisions[0].train)
    prove_split(second.manifest.pairs)


def test_what_the_second_network_sees(make_study, boxes):  # noqa: ARG001
    study = make_study(TWO)
    *_, second = stages(study, study.cells[1], {})
    pair = second.division.validation[0]
    seen, target = read_pair(second.manifest, pair)
    whole = next(other for other in study.manifest.usable if other.name == pair.name)
    photo, wanted = read_pair(study.manifest, whole)
    mask = np.zeros(photo.size_hw, bool)
    mask[30:50, 20:30] = True
    shown = widened(mask, 4)
    assert np.array_equal(seen.rgb[shown], photo.rgb[shown])
    assert (seen.rgb[~shown] == HIDDEN_LEVEL).all()
    assert np.array_equal(target, wanted)
    name = second.division.train[0].name.rpartition("-")[0]
    shown = [
        (read_pair(second.manifest, copy)[0].rgb != HIDDEN_LEVEL).any(axis=2).sum()
        for copy in second.division.train
        if copy.name.startswith(f"{name}-")
    ]
    assert widened(mask, 2).sum() <= min(shown) <= max(shown) <= widened(mask, 6).sum()


def test_its_photos_are_made_once(make_study, boxes):
    study = make_study(TWO)
    *_, before = stages(study, study.cells[1], {})
    num = len(boxes)
    (after,) = stages(study, study.cells[1], {})
    assert len(boxes) == num
    assert after.identity == before.identity
    assert read_manifest(before.manifest.folder).sha256 == before.manifest.sha256


def test_where_nothing_is_found_the_photo_is_shown_whole(make_study, boxes, monkeypatch):  # noqa: ARG001
    study = make_study(TWO)
    monkeypatch.setattr(Box, "empty", [study.run_folder(study.cells[0]) / "model.onnx"])
    *_, second = stages(study, study.cells[1], {})
    pair = second.division.validation[0]
    whole = next(other for other in study.manifest.usable if other.name == pair.name)
    assert np.array_equal(read_pair(second.manifest, pair)[0].rgb, read_pair(study.manifest, whole)[0].rgb)
