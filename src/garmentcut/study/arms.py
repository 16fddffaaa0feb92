"""Arms: what a study compares, each a recipe that is complete but for the seed and what is tuned."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from garmentcut.errors import ConfigError, TrainingError
from garmentcut.model.networks import NetworkError, build_network
from garmentcut.recipe import Recipe, load_recipe
from garmentcut.study.declaration import ArmTable, FirstPass, StudyError, StudyFile
from garmentcut.study.knobs import Setting, combinations, corners, is_range, words_of
from garmentcut.training.loop import check_size

RATE = "optimizer.lr"


def folder_name(text: str) -> str:
    """Words as a folder's name: `lr 0.001, name adam` is `lr-0.001-name-adam`."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.").lower()


@dataclass(frozen=True)
class Arm:
    """One of the things compared.

    Attributes:
        name: as the study's file calls it.
        base: the recipe file it starts from.
        own: what it sets, by `section.key`.
        below: what the study sets under it.
        above: what the command sets over everything.
        knobs: what is tuned, with the values to try.
        while_tuned: laid over the recipe while it is tuned.
        range_test: the learning rate comes from a range test.
        garments: how many to learn from; None: all there are.
        first_pass: what its photos are seen through; None: nothing.
    """

    name: str
    base: Path
    own: Setting
    below: Setting = field(default_factory=dict)
    above: Setting = field(default_factory=dict)
    knobs: Mapping[str, Any] = field(default_factory=dict)
    while_tuned: Setting = field(default_factory=dict)
    range_test: bool = False
    garments: int | None = None
    first_pass: FirstPass | None = None

    @property
    def folder(self) -> str:
        """Its name as a folder's."""
        return folder_name(self.name)

    @property
    def is_tuned(self) -> bool:
        """Something of it is chosen before it is run."""
        return bool(self.knobs) or self.range_test

    @property
    def is_searched(self) -> bool:
        """A knob has a range: its values are drawn one after another, not listed."""
        return any(is_range(value) for value in self.knobs.values())

    def recipe(self, seed: int, chosen: Mapping[str, Any] | None = None, *, tuning: bool = False) -> Recipe:
        """The recipe of a run.

        Args:
            seed: of the run.
            chosen: values of what is tuned.
            tuning: the run is one of those by which they are chosen.

        Raises:
            StudyError: a key or value is not known; names the arm.
        """
        tuned = self.while_tuned if tuning else {}
        merged = {**self.below, **self.own, **tuned, **self.above, **(chosen or {}), "training.seed": seed}
        try:
            return load_recipe(self.base, merged)
        except ConfigError as error:
            raise StudyError(f"arm {self.name!r}: {error}") from error


def arms_of(file: StudyFile, path: Path, *, above: Setting | None = None, only: Sequence[str] = ()) -> tuple[Arm, ...]:
    """The arms of a study, the reference first; every recipe of theirs has been loaded once.

    Args:
        file: the study.
        path: of it; recipes are looked for from there.
        above: set over everything, by `section.key`.
        only: names of those to take beside the reference; none: all.

    Raises:
        StudyError: an arm's recipe does not load, the network cannot take the photos, two arms are the same, and so on.
    """
    tables = file.arms or {words_of(setting): _table(setting) for setting in combinations(_listed(file))}
    for name in (file.reference, *only):
        if name not in tables:
            raise StudyError(f"{path}: there is no arm {name!r}; there is {', '.join(tables)}")
    names = sorted(tables, key=lambda name: name != file.reference)
    chosen = [name for name in names if not only or name in (file.reference, *only)]
    arms = tuple(_arm(name, tables[name], file, path, above or {}) for name in chosen)
    try:
        _check_above(arms, above or {})
        for arm in arms:
            _check(arm, file)
        _check_differences(arms, file.seeds[0])
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from error
    return arms


def _arm(name: str, table: ArmTable, file: StudyFile, path: Path, above: Setting) -> Arm:
    below = {f"{section}.{key}": value for section in file.defaults for key, value in _defaults(section).items()}
    tuned = file.tune.settings.by_key if file.tune else {}
    return Arm(
        name=name,
        base=path.parent / (table.recipe or file.recipe),
        own=table.by_key,
        below={**below, **file.settings.by_key},
        above=above,
        knobs=table.tune.by_key,
        while_tuned=tuned,
        range_test=table.range_test,
        garments=table.garments,
        first_pass=table.first_pass,
    )


def _defaults(section: str) -> dict[str, Any]:
    found: dict[str, Any] = asdict(getattr(Recipe(), section))
    return found


def _listed(file: StudyFile) -> dict[str, Sequence[Any]]:
    knobs = file.grid.by_key
    for key, values in knobs.items():
        if not isinstance(values, list) or not values:
            raise StudyError(f"grid.{key}: should be a list of values, not {values!r}")
    return knobs


def _table(setting: Setting) -> ArmTable:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in setting.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return TypeAdapter(ArmTable).validate_python(sections)


def _check(arm: Arm, file: StudyFile) -> None:
    if not arm.folder:
        raise StudyError(f"arm {arm.name!r}: a name needs letters or digits")
    if arm.range_test and arm.knobs:
        raise StudyError(f"arm {arm.name!r}: range_test and tune do not go together; choose one")
    try:
        settings = [{}, *corners(arm.knobs)]
        if not arm.is_searched:
            _check_words(list(combinations(arm.knobs)))
    except StudyError as error:
        raise StudyError(f"arm {arm.name!r}, tune: {error}") from error
    for setting in settings:
        recipe = arm.recipe(file.seeds[0], setting)
        arm.recipe(file.seeds[0], setting, tuning=True)
        if recipe.training.patience:
            # Stopping early would choose the length of the training by the photos it is measured on.
            raise StudyError(f"arm {arm.name!r}: training.patience must be 0 in a study; set it so in [settings]")
        _check_network(arm, recipe)


def _check_words(settings: Sequence[Setting]) -> None:
    seen: dict[str, Setting] = {}
    for setting in settings:
        if other := seen.get(words_of(setting)):
            raise StudyError(f"{other} and {setting} cannot be told apart; choose values that differ more")
        seen[words_of(setting)] = setting


def _check_network(arm: Arm, recipe: Recipe) -> None:
    try:
        with torch.device("meta"):
            network = build_network(recipe.network.name, **recipe.network.options)
        check_size(recipe, network)
    except (NetworkError, TrainingError) as error:
        raise StudyError(f"arm {arm.name!r}: {error}") from error


def _check_above(arms: Sequence[Arm], above: Setting) -> None:
    for arm in arms:
        for key in above:
            if key == "training.seed":
                raise StudyError("training.seed cannot be set: a study says its seeds")
            if key in arm.knobs or (key == RATE and arm.range_test):
                raise StudyError(f"{key} cannot be set: arm {arm.name!r} tunes it")
            if len({repr(other.own.get(key)) for other in arms}) > 1:
                raise StudyError(f"{key} cannot be set: it is what the arms differ in")


def _check_differences(arms: Sequence[Arm], seed: int) -> None:
    seen: dict[str, str] = {}
    for arm in arms:
        what = [arm.recipe(seed), *(getattr(arm, key.name) for key in fields(arm) if key.name in _BEYOND_RECIPE)]
        for mark, problem in ((repr(what), "are the same"), (arm.folder, "have names too alike for folders")):
            if other := seen.get(mark):
                raise StudyError(f"arms {other!r} and {arm.name!r} {problem}")
            seen[mark] = arm.name


_BEYOND_RECIPE = {"knobs", "range_test", "garments", "first_pass"}
