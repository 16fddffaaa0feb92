"""Reads a study's TOML file: the variants it compares, each a recipe, and over which seeds and folds."""

import difflib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field, fields
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from garmentcut.config import known_keys, read_tree
from garmentcut.errors import ConfigError, EvaluationError, ModelError, TrainingError
from garmentcut.model.networks import build_network
from garmentcut.recipe import STAGES, Recipe, load_recipe
from garmentcut.training.loop import check_size

SECTIONS = tuple(section.name for section in fields(Recipe))
"""Of a recipe."""

RATE = "optimizer.lr"

Setting = dict[str, Any]
"""Values of recipe keys, by `section.key`."""

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
_Count = Annotated[int, Field(ge=1, strict=True)]
_Number = Annotated[int, Field(ge=0, strict=True)]
_Options = dict[str, Any]
_OLD_KEYS = {"arms": "variants", "arm": "variant"}  # of study files: as they were called first


class StudyError(EvaluationError):
    """A study that cannot be run as it is declared; the message names the file, the key and the fix."""

    code = "study"


@dataclass(frozen=True, config=_STRICT)
class RecipeSettings:
    """Keys of a recipe by section, each laid over the recipe's as a whole."""

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
        return {f"{section}.{key}": value for section in SECTIONS for key, value in getattr(self, section).items()}


@dataclass(frozen=True, config=_STRICT)
class FirstPass:
    """Makes a variant the second of two passes: it sees each photo through the widened mask of a first network."""

    variant: str
    """The variant whose recipe the first networks are trained by, and whose networks find the mask in held-out
    photos."""
    dilation_px: tuple[_Number, _Number] = (16, 64)
    """By how many pixels of the photo the first mask is widened: drawn between these for each training photo, their
    middle for held-out ones."""
    copies: _Count = 4
    """Widenings drawn of each training photo."""


@dataclass(frozen=True, config=_STRICT)
class VariantTable(RecipeSettings):
    """One of the things compared."""

    recipe: str | None = None
    """Another base recipe than the study's; a path from the study's file."""
    garments: _Count | None = None
    """Learn from so many garments only, drawn by the seed; a smaller number's are among a larger one's."""
    first_pass: FirstPass | None = None
    """See `FirstPass`."""
    range_test: Annotated[bool, Field(strict=True)] = False
    """Set `optimizer.lr` to what a learning-rate range test on the tuning fold suggests."""
    tune: RecipeSettings = field(default_factory=RecipeSettings)
    """Options whose values are chosen on the seeds and folds of `[tune]`: a list of values, or a range
    `{ low = 1e-4, high = 1e-2, log = true }`."""


@dataclass(frozen=True, config=_STRICT)
class TuneTable:
    """Where options are chosen: never on what is reported."""

    seeds: tuple[_Number, ...] = ()
    """None of the study's own."""
    folds: tuple[_Number, ...] = ()
    """None of the study's own."""
    trials: _Count = 20
    """How many values a variant with a range tries; lists are tried whole."""
    settings: RecipeSettings = field(default_factory=RecipeSettings)
    """Laid over the recipe while it is tuned, for example fewer steps."""


@dataclass(frozen=True, config=_STRICT)
class CurveTable:
    """A curve through the variants' mean errors over the number of garments they learn from."""

    at: tuple[_Count, ...] = (1084, 10_000)
    """Numbers of garments to say more of."""


@dataclass(frozen=True, config=_STRICT)
class Published:
    """Somebody else's figure, shown beside the table; measured on other photos, so never compared by interval."""

    who: str
    dice: Annotated[float, Field(ge=0, le=1)]
    convention: str
    """Which pixels of a cutout counted as garment; `not stated`."""
    data: str
    """The photos it was measured on."""
    num_photos: _Count | None = None


@dataclass(frozen=True, config=_STRICT)
class StudyFile:
    """A whole study file."""

    title: str
    question: str
    """What it is to answer, in a sentence."""
    recipe: str
    """The base recipe; a path from the study's file."""
    reference: str
    """The variant that all others are compared with."""
    seeds: Annotated[tuple[_Number, ...], Field(min_length=1)]
    """Each variant is trained with each, on each fold."""
    folds: Annotated[tuple[_Number, ...], Field(min_length=1)]
    """Each is held out of a training in its turn, and measured on."""
    defaults: tuple[str, ...] = ()
    """Sections of the base recipes that are set back to the code's defaults, for example `["augment"]`: all off."""
    notes: tuple[str, ...] = ()
    """Said at the end of the page."""
    settings: RecipeSettings = field(default_factory=RecipeSettings)
    """Laid over the base recipe in every run."""
    variants: dict[str, VariantTable] = field(default_factory=dict)
    """By name; what is compared."""
    grid: RecipeSettings = field(default_factory=RecipeSettings)
    """Instead of variants: options with lists of values, every combination a variant."""
    tune: TuneTable | None = None
    curve: CurveTable | None = None
    published: tuple[Published, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> "StudyFile":
        if bool(self.variants) == bool(self.grid.by_key):
            raise ValueError("give [variants.NAME] tables, or a [grid], and not both")
        for key in ("seeds", "folds", "defaults"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key}: each once")
        for section in self.defaults:
            if section not in SECTIONS:
                raise ValueError(f"defaults: {section!r} is none of {', '.join(SECTIONS)}")
        tuned = [name for name, variant in self.variants.items() if variant.tune.by_key or variant.range_test]
        if tuned and (self.tune is None or not (self.tune.seeds and self.tune.folds)):
            raise ValueError(f"variant {tuned[0]!r} is tuned: say on which seeds and folds in [tune]")
        for key in ("seeds", "folds") if tuned else ():
            if both := set(getattr(self, key)) & set(getattr(self.tune, key)):
                raise ValueError(f"tune.{key}: {min(both)} is reported on, so nothing may be chosen on it")
        self._check_passes()
        return self

    def _check_passes(self) -> None:
        for name, variant in self.variants.items():
            if (first := variant.first_pass) is None:
                continue
            where = f"variants.{name}.first_pass"
            if first.variant not in self.variants or self.variants[first.variant].first_pass:
                raise ValueError(f"{where}.variant: {first.variant!r} is no variant of one pass")
            for table in (variant, self.variants[first.variant]):
                if table.tune.by_key or table.range_test or table.garments:
                    raise ValueError(f"{where}: neither of the two variants can be tuned, or have `garments`")
            if first.dilation_px[0] > first.dilation_px[1]:
                raise ValueError(f"{where}.dilation_px: the smaller number first")


@plain_dataclass(frozen=True)
class Variant:
    """One of the things compared: a recipe that is complete but for the seed and what is tuned.

    Attributes:
        name: as the study's file calls it.
        base: the recipe file it starts from.
        own: what it sets.
        below: what the study sets under it.
        above: what the command sets over everything.
        tuned: what is tuned, with the values to try.
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
    tuned: Mapping[str, Any] = field(default_factory=dict)
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
        return bool(self.tuned) or self.range_test

    @property
    def is_searched(self) -> bool:
        """An option has a range: its values are drawn one after another, not listed."""
        return any(is_range(value) for value in self.tuned.values())

    def recipe(self, seed: int, chosen: Mapping[str, Any] | None = None, *, tuning: bool = False) -> Recipe:
        """The recipe of a run.

        Args:
            seed: of the run.
            chosen: values of what is tuned.
            tuning: the run is one of those by which they are chosen.

        Raises:
            StudyError: a key or value is not known; names the variant.
        """
        while_tuned = self.while_tuned if tuning else {}
        merged = {**self.below, **self.own, **while_tuned, **self.above, **(chosen or {}), "training.seed": seed}
        try:
            return load_recipe(self.base, merged)
        except ConfigError as error:
            raise StudyError(f"variant {self.name!r}: {error}") from error


def read_study_file(path: Path) -> StudyFile:
    """Read a study's TOML file.

    Raises:
        StudyError: it cannot be read, a key or value is not known (names the nearest known key), or its parts do not
            fit together.
    """
    try:
        tree = read_tree(path)
    except ConfigError as error:
        raise StudyError(str(error)) from error
    try:
        return TypeAdapter(StudyFile).validate_python(_renamed(tree))
    except ValidationError as error:
        raise StudyError(f"{path}: " + "; ".join(dict.fromkeys(map(_explain, error.errors())))) from error


def variants_of(
    file: StudyFile, path: Path, *, above: Setting | None = None, only: Sequence[str] = ()
) -> tuple[Variant, ...]:
    """The variants of a study, the reference first; every recipe of theirs has been loaded once.

    Args:
        file: the study.
        path: of it; recipes are looked for from there.
        above: set over everything.
        only: names of those to take beside the reference; none: all.

    Raises:
        StudyError: a recipe does not load, the network cannot take the photos, two variants are the same, and so on.
    """
    tables = file.variants or {words_of(setting): _table(setting) for setting in combinations(_listed(file))}
    for name in (file.reference, *only):
        if name not in tables:
            raise StudyError(f"{path}: there is no variant {name!r}; there is {', '.join(tables)}")
    names = sorted(tables, key=lambda name: name != file.reference)
    below = {f"{section}.{key}": value for section in file.defaults for key, value in _defaults(section).items()}
    variants = tuple(
        Variant(
            name=name,
            base=path.parent / (tables[name].recipe or file.recipe),
            own=tables[name].by_key,
            below=below | file.settings.by_key,
            above=above or {},
            tuned=tables[name].tune.by_key,
            while_tuned=file.tune.settings.by_key if file.tune else {},
            range_test=tables[name].range_test,
            garments=tables[name].garments,
            first_pass=tables[name].first_pass,
        )
        for name in names
        if not only or name in (file.reference, *only)
    )
    try:
        _check_above(variants, above or {})
        for variant in variants:
            _check(variant, file.seeds[0])
        _check_differences(variants, file.seeds[0])
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from error
    return variants


def is_range(value: Any) -> bool:
    """True for `{ low = ..., high = ... }`, false for a list of values.

    Raises:
        StudyError: it is neither.
    """
    if isinstance(value, list) and value:
        return False
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise StudyError(f"{value!r} is neither a list of values nor a range such as {{ low = 1e-4, high = 1e-2 }}")
    low, high, log = value["low"], value["high"], value.get("log", False)
    numbers = all(isinstance(limit, int | float) and not isinstance(limit, bool) for limit in (low, high))
    if not numbers or not low < high or (log and low <= 0) or not isinstance(log, bool):
        raise StudyError(f"{value!r}: low must be below high, and above 0 where log = true")
    return True


def distribution_of(value: Any) -> BaseDistribution:
    """What Optuna draws from; a list's values go in as JSON, since its storage holds plain values only."""
    if not is_range(value):
        return CategoricalDistribution([json.dumps(choice) for choice in value])
    low, high, log = value["low"], value["high"], value.get("log", False)
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def drawn(params: Mapping[str, Any], tuned: Mapping[str, Any]) -> Setting:
    """A setting from what Optuna drew."""
    return {key: params[key] if is_range(value) else json.loads(params[key]) for key, value in tuned.items()}


def combinations(listed: Mapping[str, Sequence[Any]]) -> Iterator[Setting]:
    """Every combination of listed values, the last option changing first."""
    for values in itertools.product(*listed.values()):
        yield dict(zip(listed, values, strict=True))


def words_of(setting: Mapping[str, Any]) -> str:
    """Such as `lr 0.001, name adam`; the section where two options share a name."""
    short = [key.partition(".")[2] for key in setting]
    return ", ".join(
        f"{name if short.count(name) == 1 else key} {_word(setting[key])}"
        for key, name in zip(setting, short, strict=True)
    )


def folder_name(text: str) -> str:
    """Words as a folder's name: `lr 0.001, name adam` is `lr-0.001-name-adam`."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.").lower()


def at_edge(setting: Mapping[str, Any], tuned: Mapping[str, Any]) -> tuple[str, ...]:
    """Options whose chosen value is the least or the greatest that was tried: a better one may lie beyond."""
    return tuple(key for key, value in setting.items() if key in tuned and _is_edge(value, tuned[key]))


def _is_edge(chosen: Any, tried: Any) -> bool:
    if is_range(tried):
        low, high, log = tried["low"], tried["high"], tried.get("log", False)
        near: float = (high / low) ** 0.05 if log else 0.05 * (high - low)
        return bool(chosen <= low * near or chosen >= high / near if log else min(chosen - low, high - chosen) <= near)
    numbers = [value for value in tried if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(tried) > 1 and chosen in (min(numbers), max(numbers))


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ("x" if all(isinstance(entry, int) for entry in value) else "/").join(map(_word, value))
    if isinstance(value, dict):
        return " ".join(f"{key} {_word(entry)}" for key, entry in value.items())
    return json.dumps(value)


def _defaults(section: str) -> dict[str, Any]:
    found: dict[str, Any] = asdict(getattr(Recipe(), section))
    return found


def _listed(file: StudyFile) -> Setting:
    for key, values in file.grid.by_key.items():
        if not isinstance(values, list) or not values:
            raise StudyError(f"grid.{key}: should be a list of values, not {values!r}")
    return file.grid.by_key


def _table(setting: Setting) -> VariantTable:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in setting.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return TypeAdapter(VariantTable).validate_python(sections)


def _check(variant: Variant, seed: int) -> None:
    named = f"variant {variant.name!r}"
    if not variant.folder:
        raise StudyError(f"{named}: a name needs letters or digits")
    if variant.range_test and variant.tuned:
        raise StudyError(f"{named}: range_test and tune do not go together; choose one")
    try:
        settings = [{}, *corners(variant.tuned)]
        if not variant.is_searched:
            words = [words_of(setting) for setting in combinations(variant.tuned)]
            if doubled := next((text for text in words if words.count(text) > 1), ""):
                raise StudyError(f"two settings read {doubled!r} and cannot be told apart; choose other values")
    except StudyError as error:
        raise StudyError(f"{named}, tune: {error}") from error
    for setting in settings:
        recipe = variant.recipe(seed, setting)
        variant.recipe(seed, setting, tuning=True)
        if any(getattr(recipe.stages, stage) for stage in STAGES):
            raise StudyError(f"{named}: a study compares single networks, and {variant.base.name} trains three stages")
        if recipe.training.patience:
            # Stopping early would choose the length of the training by the photos it is measured on.
            raise StudyError(f"{named}: training.patience must be 0 in a study; set it so in [settings]")
        try:
            with torch.device("meta"):
                check_size(recipe, build_network(recipe.network.name, **recipe.network.options))
        except (ModelError, TrainingError) as error:
            raise StudyError(f"{named}: {error}") from error


def corners(tuned: Mapping[str, Any]) -> Iterator[Setting]:
    """Settings that between them hold every listed value and both ends of every range."""
    ends = {key: [value["low"], value["high"]] if is_range(value) else value for key, value in tuned.items()}
    for number in range(max(map(len, ends.values()), default=0)):
        yield {key: values[min(number, len(values) - 1)] for key, values in ends.items()}


def _check_above(variants: Sequence[Variant], above: Setting) -> None:
    for variant, key in itertools.product(variants, above):
        if key == "training.seed":
            raise StudyError("training.seed cannot be set: a study says its seeds")
        if key in variant.tuned or (key == RATE and variant.range_test):
            raise StudyError(f"{key} cannot be set: variant {variant.name!r} tunes it")
        if len({repr(other.own.get(key)) for other in variants}) > 1:
            raise StudyError(f"{key} cannot be set: it is what the variants differ in")


def _check_differences(variants: Sequence[Variant], seed: int) -> None:
    seen: dict[str, str] = {}
    for variant in variants:
        beyond = (variant.tuned, variant.range_test, variant.garments, variant.first_pass)
        marks = ((repr([variant.recipe(seed), beyond]), "are the same"), (variant.folder, "have names too alike"))
        for mark, problem in marks:
            if other := seen.get(mark):
                raise StudyError(f"variants {other!r} and {variant.name!r} {problem}")
            seen[mark] = variant.name


def _renamed(tree: Any) -> Any:
    """A study file's tables under the names that keys have now; old ones stay readable."""
    if not isinstance(tree, dict):
        return tree
    tree = {_OLD_KEYS.get(key, key) if key == "arms" else key: value for key, value in tree.items()}
    variants = tree.get("variants")
    for table in variants.values() if isinstance(variants, dict) else ():
        if isinstance(table, dict) and isinstance(first := table.get("first_pass"), dict):
            table["first_pass"] = {_OLD_KEYS.get(key, key): value for key, value in first.items()}
    return tree


def _explain(error: Any) -> str:
    place = error["loc"]
    where = ".".join(str(part) for part in place)
    if error["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        close = difflib.get_close_matches(str(place[-1]), _known_keys(place), n=1, cutoff=0.4)
        return f"{where}: unknown key{f'; did you mean {close[0]}?' if close else ''}"
    if error["type"] == "value_error":
        return f"{where}: {error['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    if error["type"] in {"missing", "missing_argument"}:
        return f"{where} is missing"
    return f"{where}: {error['msg']}, not {error['input']!r}"


def _known_keys(place: tuple[Any, ...]) -> list[str]:
    """Keys that could stand at the place of an unknown one."""
    outer = str(place[-2]) if len(place) > 1 else ""
    tables: dict[str, Any] = {"": StudyFile, "tune": TuneTable, "curve": CurveTable, "first_pass": FirstPass}
    if len(place) == 3 and place[0] in ("variants", "published"):
        table: Any = VariantTable if place[0] == "variants" else Published
    else:
        table = tables.get(outer, RecipeSettings)
    return [key.name for key in fields(table)] + known_keys(Recipe)
