"""Settings of cut, serve, review, sheet and ingest: validated sections, from a TOML file and `section.key=value`."""

import difflib
import logging
import re
import tomllib
from collections.abc import Callable, Mapping, Set
from dataclasses import field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from garmentcut.errors import ConfigError
from garmentcut.naming import FORMATS, NAMES, known_format, listed

_LOGGER = logging.getLogger("garmentcut")
STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)

_Count = Annotated[int, Field(strict=True)]  # strict, so that `true` is no number and "yes" no boolean
_Switch = Annotated[bool, Field(strict=True)]
_MOST_SHOWN_CHARS = 80  # of a refused value in a message


def check_kind(value: object, kind: type) -> None:
    """Raise a TypeError that names `kind` if a value is neither of it nor None, but a dictionary or path, say."""
    if not isinstance(value, kind | None):
        raise TypeError(f"give a {kind.__module__}.{kind.__name__}, not {type(value).__name__}")


def _at_least_one(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError(f"no format; use one or more of {NAMES}")
    return names


def _hexadecimal(color: str) -> str:
    """Convert a CSS colour, such as `#fff`, `white` or `rgb(255, 255, 255)`, to `#rrggbb`."""
    if re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        return color
    from PIL import ImageColor

    try:
        channels = ImageColor.getrgb(color if color.isprintable() else "")
    except ValueError:
        channels = (0, 0, 0, 0)
    if len(channels) > 3:  # also refuses a colour with alpha
        raise ValueError(f"{color!r} is not a colour such as '#ffffff' or white")
    return "#" + bytes(channels).hex()


Color = Annotated[str, AfterValidator(_hexadecimal)]
Format = Annotated[str, AfterValidator(known_format)]
Formats = Annotated[tuple[Format, ...], AfterValidator(_at_least_one), Field(description=f"One or more of {NAMES}.")]


@dataclass(frozen=True, config=STRICT)
class ReadConfig:
    """Limits that are checked before any pixel is decoded."""

    max_mb: Annotated[_Count, Field(gt=0)] = 1024
    """Largest photo file, in megabytes (10^6 bytes)."""
    max_megapixels: Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)] = 160.0
    """Largest photo, in millions of pixels."""
    max_side_px: Annotated[_Count, Field(gt=0)] = 30_000
    """Longest side of a photo, in pixels."""
    max_memory_mb: Annotated[_Count, Field(ge=0)] = 0
    """Memory that one photo may take while it is read, cut and written, in megabytes, estimated from its header. 0:
    70 % of the memory of the machine, or of the limit of its container or service."""


@dataclass(frozen=True, config=STRICT)
class RuntimeConfig:
    """Where and how the network runs."""

    backend: Literal["auto", "openvino", "onnxruntime"] = "auto"
    """`auto`: ONNX Runtime if it finds an NVIDIA GPU (extra `gpu`), else OpenVINO on the CPU."""
    threads: Annotated[_Count, Field(ge=0, le=1024)] = 0
    """Processor threads for the network; 0: all cores."""
    streams: Annotated[_Count, Field(ge=0, le=64)] = 0
    """Photos in the network at a time, which share the threads; each takes memory. 0: 2 for a folder, whose other work
    then fills the gaps, and 1 for a single photo, which is then faster."""


@dataclass(frozen=True, config=STRICT)
class CutConfig:
    """How garments are cut."""

    # `best`, the mean with the mirrored photo's alpha, gained almost nothing; older batches and settings name it.
    effort: Annotated[Literal["fast", "normal"], BeforeValidator(lambda name: "normal" if name == "best" else name)] = (
        "normal"
    )
    """`fast`: without the refine stage, so edges are less exact. A model with a single network has no `fast`."""
    choke_px: Annotated[float, Field(ge=-20, le=20, strict=True)] = 0.0
    """Moves the edge inwards by this many pixels of the photo, fractions allowed; negative moves it outwards. Added to
    the card's own value."""


@dataclass(frozen=True, config=STRICT)
class OutputConfig:
    """The files written for a photo."""

    formats: Formats = ("png",)
    background: Color | None = None
    """`#rrggbb` in sRGB, or a CSS colour name such as `white`: put the garment on this colour and write no alpha (psd:
    a layer of this colour below the photo; a mask stays a mask). None: transparent; jpeg and the preview of psd, which
    have no transparency, are white."""
    trim: _Switch = False
    """Crop to the garment; specks are ignored."""
    margin_px: Annotated[_Count, Field(ge=0, le=20_000)] = 0
    """Margin around the trimmed garment, in pixels; beyond the photo, pixels are added."""
    hidden: Literal["auto", "clear", "keep"] = "auto"
    """`clear`: edge colours cleaned, hidden pixels black. `keep`: the photo's pixels, untouched, under the alpha.
    `auto`: keep for tiff and psd (working files) and for a jpeg with a path and no background, which is then the whole
    photo with its path; clear for png, webp and other jpeg (final files)."""
    path: Literal["auto", "none", "editable", "exact"] = "auto"
    """Clipping path in psd, tiff and jpeg. `editable`: within half a pixel (of a photo 1728 pixels high), with few
    knots to move; `exact`: within a quarter of a pixel. `auto`: editable in psd, none elsewhere."""
    each: _Switch = False
    """If a photo has several garments on separate mannequins, write each to separate files: `a-1.png`, `a-2.png` ...,
    from left to right, instead of all to `a.png`."""
    quality: Annotated[_Count, Field(ge=1, le=100)] | None = None
    """Quality of jpeg, 1 to 100, by default 95, never with chroma subsampling; and of webp, by default lossless. The
    alpha of webp is always lossless."""

    @model_validator(mode="after")
    def _fits_together(self) -> "OutputConfig":
        if len(set(self.formats)) < len(self.formats):
            raise ConfigError("{output.formats}: name each format only once", ["output.formats"])
        if self.margin_px and not self.trim:
            needs = "{output.margin_px} needs a trimmed cutout: set {output.trim} too"
            raise ConfigError(needs, ["output.margin_px", "output.trim"])
        rows, hidden = [FORMATS[name] for name in self.formats], ["output.hidden", "output.formats"]
        if self.background is not None and self.hidden == "keep" and not all(row.has_layers for row in rows):
            covers = "{output.background} covers the hidden pixels, which {output.hidden} is to keep: leave one out"
            raise ConfigError(covers, ["output.background", *hidden])
        has_path = self.path in ("editable", "exact")
        if has_path and not any(row.has_path for row in rows):
            with_path = listed(name for name, row in FORMATS.items() if row.has_path)
            fix = f"{{output.path}}: {listed(self.formats)} cannot hold one; write {with_path} too"
            raise ConfigError(fix, ["output.path", "output.formats"])
        opaque = [name for name, row in zip(self.formats, rows, strict=True) if not row.has_alpha]
        if self.hidden == "keep" and opaque and not has_path:
            needs = f"{opaque[0]} holds no alpha: {{output.hidden}} keep needs a path, or the cutout would be lost"
            raise ConfigError(needs, hidden)
        return self


@dataclass(frozen=True, config=STRICT)
class FolderConfig:
    """How a folder is processed."""

    readers: Annotated[_Count, Field(ge=1, le=64)] = 1
    """Threads that read and decode before the network."""
    writers: Annotated[_Count, Field(ge=1, le=64)] = 1
    """Threads that encode and write after the network."""
    in_flight: Annotated[_Count, Field(ge=1, le=64)] = 1
    """Most photos that wait before the network, and after it: limits the memory."""
    accept_risk: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = None
    """Share of the accepted garments that may fall short of the quality the model was calibrated for. None: the risk
    given to `garmentcut calibrate`; a model that was not calibrated gives no verdict."""
    by_verdict: _Switch = False
    """Write accepted cutouts to `accepted/` and the others to `review/`, in the output folder."""


_Seconds = Annotated[float, Field(ge=0, le=86_400, strict=True, allow_inf_nan=False)]


@dataclass(frozen=True, config=STRICT)
class WatchConfig:
    """How `cut --watch` decides that a photo is complete."""

    poll_s: Annotated[_Seconds, Field(ge=0.1)] = 2.0
    """Seconds between two scans of the folders; at least ten times the duration of a scan."""
    debounce_s: _Seconds = 3.0
    """A photo is cut once its size and time have stayed the same for this many seconds."""
    patience_s: _Seconds = 60.0
    """A photo that cannot be read may still be arriving: it is tried again at growing intervals, for this many seconds
    after its last change. Then it counts as failed until it changes."""
    garment_s: _Seconds = 60.0
    """With `--spec`, the views of a garment share a scale: a garment is cut when Front, FrontRight and Back are there,
    or when no more views have arrived for this many seconds. A view that arrives later has the garment cut again."""


@dataclass(frozen=True, config=STRICT)
class ClusterConfig:
    """How `cut --ray` uses a cluster."""

    workers: Annotated[_Count, Field(ge=0, le=100_000)] = 0
    """Processes that hold the model; each takes `runtime.threads` cores (1 where that is 0), or a GPU. 0: as many as
    the cluster has cores or GPUs for."""
    batch: Annotated[_Count, Field(ge=0, le=1024)] = 0
    """Photos given to a worker at a time, which are cut again if it is killed. 0: 4 on a CPU, 16 on a GPU."""


@dataclass(frozen=True, config=STRICT)
class Config:
    """All sections."""

    read: ReadConfig = field(default_factory=ReadConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    cut: CutConfig = field(default_factory=CutConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    folder: FolderConfig = field(default_factory=FolderConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)


OLD_KEYS = {"watch.settle_s": "watch.debounce_s", "runtime.int8": "every network calculates in float32"}
"""Settings of earlier versions: the present name of each or, in words, why it is ignored."""

Sections = TypeVar("Sections")
"""A frozen dataclass whose fields are sections: `Config`, or a `Recipe`."""


def load_config(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Config:
    """`load_sections` for `Config`; old names are translated and removed options ignored, which is logged."""
    if (overrides or {}).get("cut.effort") == "best":
        _LOGGER.warning("cut.effort = best is normal now: a second look at the mirror image gained next to nothing")
    return load_sections(Config, path, overrides, old_keys=OLD_KEYS)


def load_sections(
    kind: type[Sections],
    path: Path | None = None,
    overrides: dict[str, Any] | None = None,
    *,
    read: Callable[[Path], dict[str, Any]] | None = None,
    old_keys: Mapping[str, str] = MappingProxyType({}),
) -> Sections:
    """Read a TOML file and apply overrides.

    Args:
        kind: the class to read, such as `Config`.
        path: a TOML file with any of the sections and keys of `kind`; None: the defaults.
        overrides: `{"section.key": value}`; takes precedence over the file. A text value is parsed as TOML if possible
            (`true`, `12`, `["png", "mask"]`), else used as it is.
        read: function that reads the file; `read_tree` by default.
        old_keys: as for `rename_keys`; each one in use is logged as a warning.

    Raises:
        ConfigError: the file cannot be read, or a key or value is unknown; the message names the nearest known key.
    """
    tree = (read or read_tree)(path) if path else {}
    rename_keys(tree, old_keys, where=f"{path}: ")
    for dotted, value in (overrides or {}).items():
        if dotted in old_keys and not (dotted := _present_name(dotted, old_keys)):
            continue
        section, _, key = dotted.partition(".")
        if not key:
            raise ConfigError(f"{dotted!r} is not of the form section.key, for example {known_keys(kind)[0]}")
        place = tree.setdefault(section, {})
        for outer in (parts := key.split("."))[:-1]:
            place = place.setdefault(outer, {}) if isinstance(place, dict) else place
        if not isinstance(place, dict):
            raise ConfigError(f"{path}: {section} is a value there, not a section; write [{section}] above its keys")
        place[parts[-1]] = _parse_value(value) if isinstance(value, str) else value
    return check_sections(kind, tree, source=str(path) if path else "", overrides=(overrides or {}).keys())


def rename_keys(tree: dict[str, Any], old_keys: Mapping[str, str], *, where: str | None = None) -> None:
    """Rename old keys in place; if a key is given under both names, the value of the present one is kept.

    Args:
        tree: `{section: {key: value}}`.
        old_keys: `{"section.old": "section.new"}`; words instead of a new name say why the key is ignored.
        where: beginning of the logged warnings; None: nothing is logged.
    """
    for old in old_keys:
        section, _, key = old.partition(".")
        if isinstance(keys := tree.get(section), dict) and key in keys:
            value = keys.pop(key)
            if new := _present_name(old, old_keys, where=where):
                keys.setdefault(new.partition(".")[2], value)


def _present_name(old: str, old_keys: Mapping[str, str], *, where: str | None = "") -> str:
    """The present name of an old key; empty: it is ignored."""
    new, is_gone = old_keys[old], " " in old_keys[old]
    if where is not None:
        _LOGGER.warning("%s%s is %s", where, old, f"ignored: {new}" if is_gone else f"called {new} now")
    return "" if is_gone else new


def check_sections(
    kind: type[Sections], tree: dict[str, Any], *, source: str = "", overrides: Set[str] = frozenset()
) -> Sections:
    """Validate sections that have already been read.

    Args:
        kind: the class that they should match.
        tree: `{section: {key: value}}`.
        source: where they come from, for the error message.
        overrides: keys that do not come from there.

    Raises:
        ConfigError: a key or value is unknown; the message names the nearest known key.
    """
    try:
        return TypeAdapter(kind).validate_python(tree)
    except ValidationError as error:
        problems = [explain(e, known_keys(kind)) for e in error.errors()]
        tables = ((section, keys) for section, keys in tree.items() if isinstance(keys, dict))
        read = {f"{section}.{key}" for section, keys in tables for key in keys} - overrides
        given = [one.template for one in problems if one.settings & overrides and not one.settings & read]
        others = "; ".join(one.template for one in problems if one.template not in given)
        texts = [*given, *([f"{source}: " * bool(source) + others] if others else [])]
        raise ConfigError("; ".join(texts), set().union(*(problem.settings for problem in problems))) from error


def parse_override(text: str) -> tuple[str, str]:
    """Split `section.key=value`; raises ConfigError if there is no `=`."""
    dotted, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is not of the form section.key=value")
    return dotted.strip(), value.strip()


def known_keys(kind: type[Any] = Config) -> list[str]:
    """All keys as `section.key`, in the order of their definition."""
    sections = TypeAdapter(kind).validate_python({})
    return [f"{section.name}.{key.name}" for section in fields(kind) for key in fields(getattr(sections, section.name))]


def read_tree(path: Path) -> dict[str, Any]:
    """Read a TOML file as dictionaries; raises ConfigError if it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # sig: Windows' editor adds a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a TOML file: it is not UTF-8 text; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: a number has more digits than any setting of garmentcut") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply for a file of garmentcut") from error


def _parse_value(text: str) -> Any:
    try:
        tree = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # also for a number of thousands of digits
        return text
    return tree["value"] if len(tree) == 1 else text


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        return "that"
    return text if len(text) <= _MOST_SHOWN_CHARS else f"{text[:_MOST_SHOWN_CHARS]}..."


def explain(error: Any, keys: list[str]) -> ConfigError:
    """What one of pydantic's errors says; an unknown key gets the nearest of `keys`, each `section.key` or plain."""
    if isinstance(ours := error.get("ctx", {}).get("error"), ConfigError):
        return ours
    where = re.sub(r"\.\d+$", "", ".".join(map(str, error["loc"])))  # without the index in a list; the value is quoted
    if error["type"] in {"missing", "missing_argument"}:
        text = " is missing"
    elif error["type"] == "value_error":
        text = f": {error['msg'].removeprefix('Value error, ')}"
    elif error["type"] not in {"unexpected_keyword_argument", "extra_forbidden"}:
        given, is_lone = _short(error["input"]), error["type"] == "tuple_type"
        text = f": {f'should be a list such as [{given}]' if is_lone else error['msg']}, not {given}"
    else:
        candidates = {key.partition(".")[0]: key.partition(".")[0] for key in keys}
        candidates |= {key.partition(".")[2]: key for key in keys} | {key: key for key in keys}
        # A dotted key is not compared with plain ones: its own section would be the nearest.
        pairs = ((a, b) for a in (where, str(error["loc"][-1])) for b in candidates if "." in b or "." not in a)
        likeness, nearest = max((difflib.SequenceMatcher(None, *pair).ratio(), pair[1]) for pair in pairs)
        text = ": unknown key" + (f"; did you mean {candidates[nearest]}?" if likeness >= 0.4 else "")
    return ConfigError(f"{{{where}}}{text}" if where else text.removeprefix(": "), [where])
