"""What a study file declares: a question, a base recipe, arms that differ from it, seeds, folds and what to tune."""

import difflib
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from garmentcut.config import known_keys, read_tree
from garmentcut.errors import ConfigError, UsageError
from garmentcut.recipe import Recipe

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
_Count = Annotated[int, Field(ge=1, strict=True)]
_Number = Annotated[int, Field(ge=0, strict=True)]
_Knobs = dict[str, Any]

SECTIONS = tuple(section.name for section in fields(Recipe))
"""Of a recipe."""


class StudyError(UsageError):
    """A study that cannot be run as it is declared; the message names the file, the key and the mend."""


@dataclass(frozen=True, config=_STRICT)
class Settings:
    """Keys of a recipe by section, each laid over the recipe's as a whole."""

    network: _Knobs = field(default_factory=dict)
    data: _Knobs = field(default_factory=dict)
    augment: _Knobs = field(default_factory=dict)
    loss: _Knobs = field(default_factory=dict)
    optimizer: _Knobs = field(default_factory=dict)
    schedule: _Knobs = field(default_factory=dict)
    training: _Knobs = field(default_factory=dict)
    crops: _Knobs = field(default_factory=dict)

    @property
    def by_key(self) -> dict[str, Any]:
        """`{"optimizer.lr": 0.001}`."""
        return {f"{section}.{key}": value for section in SECTIONS for key, value in getattr(self, section).items()}


@dataclass(frozen=True, config=_STRICT)
class FirstPass:
    """Makes an arm the second of two passes: it sees each photo through the widened mask of a first network."""

    arm: str
    """The arm whose recipe the first networks are trained by, and whose networks find the mask in held-out photos."""
    dilation_px: tuple[_Number, _Number] = (16, 64)
    """By how many pixels of the photo the first mask is widened: drawn between these for each training photo, their
    middle for held-out ones."""
    copies: _Count = 4
    """Widenings drawn of each training photo."""


@dataclass(frozen=True, config=_STRICT)
class ArmTable(Settings):
    """One of the things compared."""

    recipe: str | None = None
    """Another base recipe than the study's; a path from the study's file."""
    garments: _Count | None = None
    """Learn from so many garments only, drawn by the seed; a smaller number's are among a larger one's."""
    first_pass: FirstPass | None = None
    """See `FirstPass`."""
    range_test: Annotated[bool, Field(strict=True)] = False
    """Set `optimizer.lr` to what a learning-rate range test on the tuning fold suggests."""
    tune: Settings = field(default_factory=Settings)
    """Knobs whose values are chosen on the seeds and folds of `[tune]`: a list of values, or a range
    `{ low = 1e-4, high = 1e-2, log = true }`."""


@dataclass(frozen=True, config=_STRICT)
class TuneTable:
    """Where knobs are chosen: never on what is reported."""

    seeds: tuple[_Number, ...] = ()
    """None of the study's own."""
    folds: tuple[_Number, ...] = ()
    """None of the study's own."""
    trials: _Count = 20
    """How many values an arm with a range tries; lists are tried whole."""
    settings: Settings = field(default_factory=Settings)
    """Laid over the recipe while it is tuned, for example fewer steps."""


@dataclass(frozen=True, config=_STRICT)
class CurveTable:
    """A curve through the arms' mean errors over the number of garments they learn from."""

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
    """The arm that all others are compared with."""
    seeds: Annotated[tuple[_Number, ...], Field(min_length=1)]
    """Each arm is trained with each, on each fold."""
    folds: Annotated[tuple[_Number, ...], Field(min_length=1)]
    """Each is held out of a training in its turn, and measured on."""
    defaults: tuple[str, ...] = ()
    """Sections of the base recipes that are set back to the code's defaults, for example `["augment"]`: all off."""
    notes: tuple[str, ...] = ()
    """Said at the end of the page."""
    settings: Settings = field(default_factory=Settings)
    """Laid over the base recipe in every run."""
    arms: dict[str, ArmTable] = field(default_factory=dict)
    """By name; what is compared."""
    grid: Settings = field(default_factory=Settings)
    """Instead of arms: knobs with lists of values, every combination an arm."""
    tune: TuneTable | None = None
    curve: CurveTable | None = None
    published: tuple[Published, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> "StudyFile":
        if bool(self.arms) == bool(self.grid.by_key):
            raise ValueError("give [arms.NAME] tables, or a [grid], and not both")
        for key in ("seeds", "folds", "defaults"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key}: each once")
        for section in self.defaults:
            if section not in SECTIONS:
                raise ValueError(f"defaults: {section!r} is none of {', '.join(SECTIONS)}")
        self._check_tuning()
        self._check_passes()
        return self

    def _check_tuning(self) -> None:
        tuned = [name for name, arm in self.arms.items() if arm.tune.by_key or arm.range_test]
        if not tuned:
            return
        if self.tune is None or not (self.tune.seeds and self.tune.folds):
            raise ValueError(f"arm {tuned[0]!r} is tuned: say on which seeds and folds in [tune]")
        for key in ("seeds", "folds"):
            if both := set(getattr(self, key)) & set(getattr(self.tune, key)):
                raise ValueError(f"tune.{key}: {min(both)} is reported on, so nothing may be chosen on it")

    def _check_passes(self) -> None:
        for name, arm in self.arms.items():
            if (first := arm.first_pass) is None:
                continue
            if first.arm not in self.arms or self.arms[first.arm].first_pass:
                raise ValueError(f"arms.{name}.first_pass.arm: {first.arm!r} is no arm of one pass")
            for table in (arm, self.arms[first.arm]):
                if table.tune.by_key or table.range_test or table.garments:
                    raise ValueError(
                        f"arms.{name}.first_pass: neither of the two arms can be tuned, or have `garments`"
                    )
            if first.dilation_px[0] > first.dilation_px[1]:
                raise ValueError(f"arms.{name}.first_pass.dilation_px: the smaller number first")


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
        return TypeAdapter(StudyFile).validate_python(tree)
    except ValidationError as error:
        raise StudyError(f"{path}: " + "; ".join(dict.fromkeys(map(_explain, error.errors())))) from error


def nearest_key(word: str, known: list[str]) -> str:
    """The end of a message about an unknown key."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else ""


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        return f"{where}: unknown key{nearest_key(str(error['loc'][-1]), _known_keys(error['loc']))}"
    if error["type"] == "value_error":
        return f"{where}: {error['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    if error["type"] in {"missing", "missing_argument"}:
        return f"{where} is missing"
    return f"{where}: {error['msg']}, not {error['input']!r}"


def _known_keys(place: tuple[Any, ...]) -> list[str]:
    """Keys that could stand at the place of an unknown one."""
    outer = str(place[-2]) if len(place) > 1 else ""
    tables: dict[str, Any] = {"": StudyFile, "tune": TuneTable, "curve": CurveTable, "first_pass": FirstPass}
    if len(place) == 3 and place[0] == "arms":
        table: Any = ArmTable
    elif len(place) == 3 and place[0] == "published":
        table = Published
    else:
        table = tables.get(outer, Settings)
    return [key.name for key in fields(table)] + known_keys(Recipe)
