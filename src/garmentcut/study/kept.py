"""A study's folder: only ever for one data set, and for runs that are still what the study's file says."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from garmentcut.errors import ConfigError
from garmentcut.photo.files import write_atomic
from garmentcut.recipe import Recipe, load_recipe
from garmentcut.study.declaration import StudyError
from garmentcut.study.plan import Cell, Study
from garmentcut.study.tuning import Chosen
from garmentcut.training.run import RECIPE_NAME

FACTS_NAME = "study.json"


def claim_folder(study: Study) -> None:
    """Make the folder, or make sure that it holds this study's data set and no other's.

    Raises:
        StudyError: it holds something else, or cannot be written.
    """
    path, facts = study.folder / FACTS_NAME, _facts_of(study)
    try:
        if path.exists():
            if (told := json.loads(path.read_bytes())) != facts:
                changed = "the pairs" if told.get("data_sha256") != facts["data_sha256"] else "the splits"
                raise StudyError(
                    f"{study.folder} holds a study of this data set as it was: {changed} have changed;"
                    " choose another --out"
                )
            return
        if study.folder.is_dir() and any(study.folder.iterdir()):
            raise StudyError(f"{study.folder} is not empty, and not a study's; choose another --out")
        write_atomic(path, (json.dumps(facts, indent=1) + "\n").encode())
    except (OSError, ValueError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"{path}: {getattr(error, 'strerror', None) or error}; choose another --out") from error


def check_recipes(study: Study, chosen: Mapping[str, Chosen]) -> None:
    """Make sure that the runs that are there were trained as the study's file says now.

    Raises:
        StudyError: one was not; says what differs.
    """
    for cell in study.cells:
        path = study.run_folder(cell) / RECIPE_NAME
        if cell.arm.name not in chosen or not path.exists():
            continue
        wanted = cell.arm.recipe(cell.seed, chosen[cell.arm.name].setting)
        try:
            differences = _differences(load_recipe(path), wanted)
        except ConfigError as error:
            raise StudyError(f"{path}: {error}; choose another --out") from error
        if differences:
            raise StudyError(_mend(cell, study, differences))


def _mend(cell: Cell, study: Study, differences: list[str]) -> str:
    folder = study.run_folder(cell).parent
    return (
        f"{study.folder} holds other runs of arm {cell.arm.name!r}: {'; '.join(differences)}. Choose another --out, or"
        f" delete {folder} to train that arm anew"
    )


def _differences(before: Recipe, now: Recipe) -> list[str]:
    tables: tuple[dict[str, dict[str, Any]], ...] = (asdict(before), asdict(now))
    return [
        f"{section}.{key} was {value!r}, is {tables[1][section][key]!r}"
        for section, keys in tables[0].items()
        for key, value in keys.items()
        if value != tables[1][section][key]
    ]


def _facts_of(study: Study) -> dict[str, str]:
    splits = sorted((pair.name, pair.split) for pair in study.manifest.usable)
    return {
        "data_sha256": study.manifest.sha256,
        "splits_sha256": hashlib.sha256(json.dumps(splits).encode()).hexdigest(),
    }
