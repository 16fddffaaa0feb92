"""The studies that come with the repository: each can be run as it is."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from garmentcut.dataset.manifest import read_manifest
from garmentcut.study.plan import open_study

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "studies").glob("*.toml"))


@pytest.fixture(scope="module")
def many(dataset):
    """The rows of 160 garments in five folds; there are no such photos."""
    manifest = read_manifest(dataset)
    pairs = [
        replace(
            manifest.pairs[number % 9],
            name=f"g{number}_Front",
            garment=f"g{number}",
            group=f"g{number}",
            split=f"fold{number % 5}",
            photo_sha256=f"{number:064d}",
        )
        for number in range(160)
    ]
    return replace(manifest, pairs=tuple(pairs), scheme="folds 5")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_arms_recipe_loads_and_its_network_takes_the_photos(path, many, tmp_path):
    study = open_study(path, many, tmp_path)
    assert len(study.arms) >= 2
    assert study.file.question.endswith("?")
    if path.stem not in ("networks", "smoke"):
        assert len(study.file.seeds) >= 2


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_its_head_says_what_it_is(path):
    assert path.read_text().startswith("# ")


def test_the_documentation_lists_each_and_its_result():
    page = (ROOT / "docs/studies.md").read_text()
    assert set(re.findall(r"`studies/([\w-]+)\.toml`", page)) == {path.stem for path in STUDIES}


def test_the_kinds_of_augmentation_add_up_to_all_of_them(many, tmp_path):
    study = open_study(ROOT / "studies/augmentation.toml", many, tmp_path)
    own = {arm.name: arm.own for arm in study.arms}
    every, single = own.pop("all"), {}
    without = own.pop("all but rotation")
    for setting in own.values():
        single |= setting
    assert single == every
    assert {key: value for key, value in every.items() if "rotation" not in key} == without
    assert own["none"] == {}
    assert all(strength.p == 0 for strength in vars(study.arms[0].recipe(0).augment).values())
