import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from garmentcut.dataset.samples import WINDOWS, map_path
from garmentcut.errors import TrainingError
from garmentcut.export.run_folder import export_folder
from garmentcut.model.card import card_of, first_network_of
from garmentcut.model.checkpoint import load_network
from garmentcut.recipe import first_recipe, load_recipe
from garmentcut.training.cascade import first_runs, train_all
from garmentcut.training.devices import Devices
from garmentcut.training.divisions import Division, divide
from garmentcut.training.logging import Ended
from garmentcut.training.loop import open_samples
from garmentcut.training.run import Run

RECIPE = load_recipe(
    None,
    {
        "network.options": {"encoder": "resnet10t", "channels": [8, 8, 8, 8], "in_channels": 4},
        "network.start": "scratch",
        "data.size_hw": [64, 32],
        "data.workers": 1,
        "data.synthetic": 2,
        "crops.frame_hw": [96, 64],
        "crops.damage": {"p": 0.5, "amount": 8.0},
        "crops.first": {
            "network": {"options": {"encoder": "resnet10t", "channels": [8, 8, 8, 8]}},
            "data": {"size_hw": [64, 32]},
            "training": {"steps": 2},
        },
        "training.steps": 3,
        "training.batch": 2,
        "training.evaluate_every": 3,
        "training.ema": 0.5,
    },
)


@pytest.fixture
def run(manifest, tmp_path):
    return Run(tmp_path / "run", RECIPE, manifest, divide(manifest, "0"))


def test_the_first_recipe_is_this_one_where_it_says_nothing_else():
    first = first_recipe(RECIPE)
    assert first.data.size_hw == (64, 32)
    assert first.data.synthetic == 0  # or the drawn photos' maps would be of a network that has seen them
    assert "in_channels" not in first.network.options
    assert first.training == replace(RECIPE.training, steps=2)
    assert not first.crops.first


def test_no_map_comes_from_a_network_that_has_seen_the_photo_or_its_garment(run):
    firsts = first_runs(run)
    told = [pair.name for first in firsts for pair in first.division.validation]
    assert sorted(told) == sorted(pair.name for pair in run.manifest.usable)
    for first in firsts:
        garments = {pair.group for pair in first.division.validation}
        assert garments.isdisjoint(pair.group for pair in first.division.train)
        # Nor is anything learned from what the whole cascade is measured on.
        assert {pair.split for pair in first.division.train}.isdisjoint(run.division.held_out)
    assert {pair.name for pair in firsts[-1].division.train} == {pair.name for pair in run.division.train}


def test_held_out_photos_do_not_choose_the_first_looks_weights(run):
    assert all(first.recipe.training.evaluate_every == first.recipe.training.steps for first in first_runs(run))


def test_one_split_is_too_few(run):
    [split] = {pair.split for pair in run.division.train[:1]}
    train = tuple(pair for pair in run.division.train if pair.split == split)
    alone = replace(run, division=Division("x", train, run.division.validation, run.division.held_out))
    with pytest.raises(TrainingError, match="split it into folds"):
        first_runs(alone)


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory):
    """A run trained to its end, broken off once on the way, and the names of what was trained."""
    torch.set_num_threads(1)
    run = Run(tmp_path_factory.mktemp("cascade") / "run", RECIPE, manifest, divide(manifest, "0"))
    names, events = [], train_all([run], Devices("cpu"))
    for told, event in events:
        if told.folder.name == "fold2" and not isinstance(event, Ended):
            break
        names += [told.folder.name] if isinstance(event, Ended) else []
    events.close()
    for told, event in train_all([run], Devices("cpu")):
        names += [told.folder.name] if isinstance(event, Ended) and not event.was_finished else []
    return run, names


def test_it_goes_on_where_it_stopped_and_trains_each_network_once(trained):
    run, names = trained
    assert names == ["fold1", "fold2", "whole", "run"]
    again = list(train_all([run], Devices("cpu")))
    assert len(again) == 4
    assert all(isinstance(event, Ended) and event.was_finished for _, event in again)


def test_every_photo_has_a_map_of_all_of_it(trained):
    run, _ = trained
    for pair in run.manifest.usable:
        with Image.open(map_path(run.maps_path, pair.name)) as image:
            assert (image.mode, image.height) == ("L", 64)
            assert image.width / image.height == pytest.approx(pair.size_hw[1] / pair.size_hw[0], abs=0.02)


def test_drawn_photos_are_learned_from_with_maps_of_their_own(trained):
    run, _ = trained
    assert [pair.split for pair in run.drawn] == ["synthetic", "synthetic"]
    learn_from, measure_on = open_samples(run)
    seen = [learn_from.pair_of(index).name for index in range(len(learn_from))]
    for pair in run.drawn:
        assert pair.size_hw == RECIPE.crops.frame_hw
        assert seen.count(pair.name) == WINDOWS
        assert learn_from.planes(seen.index(pair.name)).photo.shape == (4, 64, 32)
        with Image.open(map_path(run.maps_path, pair.name)) as image:
            assert image.height == 64
    assert not any(measure_on.pair_of(index) in run.drawn for index in range(len(measure_on)))
    assert json.loads((run.folder / "run.json").read_text())["num_trained_on"] == len(run.division.train)


def test_one_file_holds_both(trained):
    run, _ = trained
    network, _ = load_network(run.best_path)
    assert network.in_channels == 4
    content = export_folder(run.folder, {"licence": "ours"})
    card = card_of(content)
    assert card.sees_map
    assert card.licence == "ours"
    assert card.working_size_hw == (96, 64)
    assert card.first_look.size_hw == (64, 32)
    assert card.first_look.shapes_hw
    assert card.first_look.garment_px[1] > card.first_look.garment_px[0] > 0
    assert first_network_of(content, card)
    assert json.loads((run.folder / "run.json").read_text())["held_out"] == ["fold0"]


def test_a_recipe_of_one_look_is_trained_as_before(run):
    plain = {"name": "simple", "options": {"channels": [4, 8]}, "start": "scratch"}
    single = replace(RECIPE, network=replace(RECIPE.network, **plain), crops=load_recipe().crops)
    ends = [event for _, event in train_all([replace(run, recipe=single)], Devices("cpu")) if isinstance(event, Ended)]
    assert len(ends) == 1
    assert not run.maps_path.exists()
