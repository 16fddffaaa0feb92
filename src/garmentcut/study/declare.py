"""Reads a study's TOML file: the recipes that it compares, called variants, and the seeds and folds of their runs."""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, fields
from dataclasses import dataclass as plain_dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import AliasChoices, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from garmentcut.config import STRICT, explain, read_tree
from garmentcut.errors import ConfigError, EvaluationError, ModelError, TrainingError
from garmentcut.recipe import STAGES, Recipe, load_recipe
from garmentcut.training.loop import network_of

RATE, RANGE_TEST_KEY = "optimizer.lr", "range test"

Setting = dict[str, Any]  # values of recipe keys, by `section.key`

_DEFAULTS: dict[str, Setting] = asdict(Recipe())  # by section
_Count = Annotated[int, Field(ge=1, strict=True)]
_Number = Annotated[int, Field(ge=0, strict=True)]
_Options = dict[str, Any]


class StudyError(EvaluationError):
    """A study that cannot be run as declared; the message names the file, the key and the fix."""

    code = "study"


@dataclass(frozen=True, config=STRICT)
class RecipeSettings:
    """Values of a recipe by section and key; each value replaces the recipe's own."""

    network: _Options = field(default_factory=dict)
    data: _Options = field(default_factory=dict)
    augment: _Options = field(default_factory=dict)
    loss: _Options = field(default_factory=dict)
    optimizer: _Options = field(default_factory=dict)
    schedule: _Options = field(default_factory=dict)
    training: _Options = field(default_factory=dict)
    stages: _Options = field(default_factory=dict)

    @property
    def by_key(self) -> Setting:
        """`{"optimizer.lr": 0.001}`."""
        return {f"{section}.{key}": value for section in _DEFAULTS for key, value in getattr(self, section).items()}


@dataclass(frozen=True, config=STRICT)
class FirstPass:
    """Makes a variant the second of two passes: it sees each photo through the widened mask of a first network."""

    # The variant that trains the first networks; variants were called arms until November 2026.
    variant: Annotated[str, Field(validation_alias=AliasChoices("variant", "arm"))]
    # By how many pixels of the photo the first mask is widened: drawn between these limits for each training photo;
    # their mean for held-out photos.
    dilation_px: tuple[_Number, _Number] = (16, 64)
    copies: _Count = 4  # how many widenings are drawn for each training photo


@dataclass(frozen=True, config=STRICT)
class VariantTable(RecipeSettings):
    """What a study's file says about one variant."""

    recipe: str | None = None  # base recipe instead of the study's; a path relative to the study's file
    # Train on this many garments only, drawn by the seed; a larger number includes those of a smaller one.
    garments: _Count | None = None
    first_pass: FirstPass | None = None
    range_test: Annotated[bool, Field(strict=True)] = False  # take `optimizer.lr` from a range test on the tuning fold
    # Options whose values are chosen on the seeds and folds of `[tune]`: a list of values, or a range
    # `{ low = 1e-4, high = 1e-2, log = true }`.
    tune: RecipeSettings = field(default_factory=RecipeSettings)

    @property
    def is_tuned(self) -> bool:
        """True if values are chosen before it is run, on photos that are not reported on."""
        return bool(self.tune.by_key) or self.range_test

    @cached_property
    def tuned(self) -> dict[str, BaseDistribution]:
        """Distributions of the options that are tuned; list items are JSON, as Optuna stores only plain values."""
        return {key: distribution_of(value) for key, value in self.tune.by_key.items()}

    @cached_property
    def listed(self) -> list[Setting] | None:
        """Every combination of the values that are tuned; None: there is a range."""
        are_lists = all(isinstance(tuned, CategoricalDistribution) for tuned in self.tuned.values())
        return combinations(self.tune.by_key) if are_lists else None

    @model_validator(mode="after")
    def _can_be_tuned(self) -> "VariantTable":
        if self.range_test and self.tune.by_key:
            raise ValueError("range_test and tune exclude each other; choose one")
        words = [folder_name(words_of(setting)) for setting in self.listed or ()]  # as their jobs are named
        if doubled := next((text for text in words if words.count(text) > 1), ""):
            raise ValueError(f"tune: two settings read {doubled!r} and cannot be told apart; choose other values")
        return self


@dataclass(frozen=True, config=STRICT)
class TuneTable:
    """The seeds and folds that options are chosen on, which are never reported on."""

    seeds: tuple[_Number, ...] = ()
    folds: tuple[_Number, ...] = ()
    trials: _Count = 20  # how many settings a variant with a range tries; of lists, all values are tried
    settings: RecipeSettings = field(default_factory=RecipeSettings)  # override the recipe in tuning: fewer steps, say


@dataclass(frozen=True, config=STRICT)
class CurveTable:
    """A curve through the variants' mean errors over the number of garments they are trained on."""

    at: tuple[_Count, ...] = (1084, 10_000)  # numbers of garments to extrapolate to


@dataclass(frozen=True, config=STRICT)
class Published:
    """A published score, shown next to the table; measured on other photos, so not compared by intervals."""

    who: str
    dice: Annotated[float, Field(ge=0, le=1)]
    convention: str  # which pixels of a cutout counted as garment, or `not stated`
    data: str  # the photos that it was measured on
    num_photos: _Count | None = None


@dataclass(frozen=True, config=STRICT)
class StudyFile:
    """A whole study file; the keys are explained in docs/studies.md."""

    title: str
    question: str
    recipe: str  # a path relative to the study's file
    reference: str  # the variant that all others are compared with
    seeds: Annotated[tuple[_Number, ...], Field(min_length=1)]
    folds: Annotated[tuple[_Number, ...], Field(min_length=1)]
    defaults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    settings: RecipeSettings = field(default_factory=RecipeSettings)
    variants: dict[str, VariantTable] = Field(default_factory=dict, validation_alias=AliasChoices("variants", "arms"))
    grid: RecipeSettings = field(default_factory=RecipeSettings)
    tune: TuneTable = field(default_factory=TuneTable)
    curve: CurveTable | None = None
    published: tuple[Published, ...] = ()

    @property
    def below(self) -> Setting:
        """Values below every variant's own ones: sections reset to their defaults, then `[settings]`."""
        defaults = {f"{name}.{key}": value for name in self.defaults for key, value in _DEFAULTS[name].items()}
        return defaults | self.settings.by_key

    @model_validator(mode="after")
    def _fits_together(self) -> "StudyFile":
        if bool(self.variants) == bool(self.grid.by_key):
            raise ValueError("give either [variants.NAME] tables or a [grid], not both")
        for key in ("seeds", "folds", "defaults"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key}: give each only once")
        for section in self.defaults:
            if section not in _DEFAULTS:
                raise ValueError(f"defaults: {section!r} is none of {', '.join(_DEFAULTS)}")
        tuned = [name for name, variant in self.variants.items() if variant.is_tuned]
        if tuned and not (self.tune.seeds and self.tune.folds):
            raise ValueError(f"variant {tuned[0]!r} is tuned: give its seeds and folds in [tune]")
        for key in ("seeds", "folds") if tuned else ():
            if both := set(getattr(self, key)) & set(getattr(self.tune, key)):
                raise ValueError(f"tune.{key}: {min(both)} is in the report, so nothing may be tuned on it")
        return self

    @model_validator(mode="after")
    def _variants_fit_together(self) -> "StudyFile":
        for key, values in self.grid.by_key.items():
            if not isinstance(values, list) or not values:
                raise ValueError(f"grid.{key}: should be a list of values, not {values!r}")
        for name, variant in self.variants.items():
            if (first := variant.first_pass) is None:
                continue
            where = f"variants.{name}.first_pass"
            if first.variant not in self.variants or self.variants[first.variant].first_pass:
                raise ValueError(f"{where}.variant: {first.variant!r} is not a one-pass variant")
            for table in (variant, self.variants[first.variant]):
                if table.is_tuned or table.garments:
                    raise ValueError(f"{where}: neither of the two variants can be tuned, or have `garments`")
            if first.dilation_px[0] > first.dilation_px[1]:
                raise ValueError(f"{where}.dilation_px: give the smaller number first")
        return self


@plain_dataclass(frozen=True)
class Variant:
    """One of the recipes compared, complete except for the seed and tuned values."""

    name: str  # as in the study's file
    table: VariantTable  # what the file says about it
    file: StudyFile
    path: Path  # of the file, which the path of the recipe is relative to
    above: Setting = field(default_factory=dict)  # values from the command line, which override everything

    @property
    def folder(self) -> str:
        """Its name as a valid folder name."""
        return folder_name(self.name)

    def job_of(self, attempt: str) -> str:
        """Name of the job that tries one of `attempts`, and its folder."""
        return f"tune/{self.folder}/{folder_name(attempt)}"

    @cached_property
    def attempts(self) -> dict[str, Setting | None]:
        """The settings to try in tuning, by key; None: one that Optuna draws."""
        if self.table.range_test:
            return {RANGE_TEST_KEY: {}}
        if self.table.listed is None:
            ranges = hashlib.sha256(json.dumps(self.table.tune.by_key).encode()).hexdigest()[:8]
            return dict.fromkeys(f"trial{number} of {ranges}" for number in range(self.file.tune.trials))
        return {words_of(setting): setting for setting in self.table.listed}

    def recipe(self, seed: int, chosen: Setting | None = None, *, tuning: bool = False) -> Recipe:
        """The recipe of a run with the chosen values of tuned options; `tuning`: it is a run that they are chosen by.

        Raises:
            StudyError: a key or value is not known; the message names the variant.
        """
        own = self.file.below | self.table.by_key | (self.file.tune.settings.by_key if tuning else {})
        base = self.path.parent / (self.table.recipe or self.file.recipe)
        try:
            return load_recipe(base, own | self.above | (chosen or {}) | {"training.seed": seed})
        except ConfigError as error:
            raise StudyError(f"variant {self.name!r}: {error}") from error


def read_study_file(path: Path) -> StudyFile:
    """Read a study's TOML file.

    Raises:
        StudyError: it cannot be read, a key or value is not known (the message names the nearest known key), or its
            parts contradict each other.
    """
    try:
        return TypeAdapter(StudyFile).validate_python(read_tree(path))
    except ConfigError as error:
        raise StudyError(str(error)) from error
    except ValidationError as error:
        tables: tuple[Any, ...] = (StudyFile, VariantTable, FirstPass, TuneTable, CurveTable, Published)
        keys = [key.name for table in tables for key in fields(table)]
        problems = dict.fromkeys(str(explain(one, keys)) for one in error.errors())
        raise StudyError(f"{path}: {'; '.join(problems)}") from error


def variants_of(
    file: StudyFile, path: Path, *, above: Setting | None = None, only: Sequence[str] = ()
) -> tuple[Variant, ...]:
    """The reference and the other variants of a study, or only some of them; each recipe is loaded once as a check.

    Paths of recipes are relative to the file; values of `above` override everything.

    Raises:
        StudyError: a recipe is invalid, a network does not fit the photos' size, two variants are equal, and so on.
    """
    tables = dict(file.variants)
    for setting in combinations(file.grid.by_key) if not tables else ():
        sections = {name: {key: setting[f"{name}.{key}"] for key in getattr(file.grid, name)} for name in _DEFAULTS}
        tables[words_of(setting)] = VariantTable(**sections)  # type: ignore[arg-type] # sections only
    for name in (file.reference, *only):
        if name not in tables:
            raise StudyError(f"there is no variant {name!r}; there is {', '.join(tables)}")
    names = sorted(tables, key=lambda name: name != file.reference)
    chosen = [name for name in names if not only or name in (file.reference, *only)]
    variants = tuple(Variant(name, tables[name], file, path, above or {}) for name in chosen)
    _check_above(variants, above or {})
    seen: dict[str, str] = {}
    for variant in variants:
        _check(variant)
        table = variant.table
        beyond = (table.tune, table.range_test, table.garments, table.first_pass)
        whole = repr([variant.recipe(file.seeds[0]), beyond])
        for mark, problem in ((whole, "are the same"), (variant.folder, "have names too alike")):
            if other := seen.get(mark):
                raise StudyError(f"variants {other!r} and {variant.name!r} {problem}")
            seen[mark] = variant.name
    return variants


def distribution_of(value: Any) -> BaseDistribution:
    """The distribution that Optuna draws from, for a list of values or `{ low = ..., high = ... }`.

    Raises:
        StudyError: the value is neither.
    """
    if isinstance(value, list) and value:
        return CategoricalDistribution([json.dumps(choice) for choice in value])
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise StudyError(f"tune: {value!r} is neither a list nor a range like {{ low = 1e-4, high = 1e-2 }}")
    kinds = {type(value["low"]), type(value["high"])}
    try:
        if not kinds <= {int, float} or not value["low"] < value["high"] or type(value.get("log", False)) is not bool:
            raise ValueError
        return (IntDistribution if kinds == {int} else FloatDistribution)(**value)
    except ValueError:
        raise StudyError(f"tune: {value!r}: low must be below high, and above 0 where log = true") from None


def drawn(params: Setting) -> Setting:
    """The setting for parameters that Optuna drew."""
    return {key: json.loads(value) if isinstance(value, str) else value for key, value in params.items()}


def combinations(listed: Mapping[str, Sequence[Any]]) -> list[Setting]:
    """Every combination of listed values, the last option changing first."""
    return [dict(zip(listed, values, strict=True)) for values in itertools.product(*listed.values())]


def corners(tune: Setting) -> list[Setting]:
    """Settings that together contain each listed value and both ends of each range."""
    ends = {key: _ends(listed) for key, listed in tune.items()}
    num = max(map(len, ends.values()), default=0)
    return [{key: values[min(number, len(values) - 1)] for key, values in ends.items()} for number in range(num)]


def at_edge(setting: Setting, tune: Setting) -> list[str]:
    """Options whose chosen value is the smallest or largest that was tried, so that a better one may lie outside."""
    return [key for key, value in setting.items() if key in tune and _is_edge(value, tune[key])]


def words_of(setting: Setting) -> str:
    """A setting in words, such as `lr 0.001, name adam`, with the section if two options have the same name."""
    short = [key.partition(".")[2] for key in setting]
    names = [name if short.count(name) == 1 else key for key, name in zip(setting, short, strict=True)]
    return ", ".join(f"{name} {_word(value)}" for name, value in zip(names, setting.values(), strict=True))


def folder_name(text: str) -> str:
    """A text as a folder name: `lr 0.001, name adam` becomes `lr-0.001-name-adam`."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.").lower()


def _ends(listed: Any) -> list[Any]:
    """All listed values, or both ends of a range."""
    return listed if isinstance(listed, list) else [listed["low"], listed["high"]]


def _is_edge(chosen: Any, listed: Any) -> bool:
    tried = _ends(listed)
    if isinstance(listed, list):
        are_numbers = all(type(value) in (int, float) for value in tried)
        return are_numbers and len(tried) > 1 and chosen in (min(tried), max(tried))
    low, high, place = map(math.log if listed.get("log") else float, (*tried, chosen))
    return not 0.05 < (place - low) / (high - low) < 0.95


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ("x" if all(isinstance(entry, int) for entry in value) else "/").join(map(_word, value))
    if isinstance(value, dict):
        return " ".join(f"{key} {_word(entry)}" for key, entry in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _check(variant: Variant) -> None:
    named, seed = f"variant {variant.name!r}", variant.file.seeds[0]
    if not variant.folder:
        raise StudyError(f"{named}: a name needs letters or digits")
    for setting in ({}, *corners(variant.table.tune.by_key)):
        recipe = variant.recipe(seed, setting)
        variant.recipe(seed, setting, tuning=True)
        if any(getattr(recipe.stages, stage) for stage in STAGES):
            base = Path(variant.table.recipe or variant.file.recipe).name
            raise StudyError(f"{named}: a study compares single networks, and {base} trains three stages")
        if recipe.training.patience:
            # Early stopping would choose the length of the training by the photos that it is measured on.
            raise StudyError(f"{named}: training.patience must be 0 in a study; set it so in [settings]")
        try:
            with torch.device("meta"):
                network_of(recipe)
        except (ModelError, TrainingError) as error:
            raise StudyError(f"{named}: {error}") from error


def _check_above(variants: Sequence[Variant], above: Setting) -> None:
    for variant, key in itertools.product(variants, above):
        if key == "training.seed":
            raise StudyError("training.seed cannot be set: a study says its seeds")
        if key in variant.table.tune.by_key or (key == RATE and variant.table.range_test):
            raise StudyError(f"{key} cannot be set: variant {variant.name!r} tunes it")
        if len({repr(other.table.by_key.get(key)) for other in variants}) > 1:
            raise StudyError(f"{key} cannot be set: it is what the variants differ in")
