"""Every knob on one page: frozen, validated sections, loaded from a TOML file and `section.key=value` overrides."""

import difflib
import re
import tomllib
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Format = Literal["png", "mask", "webp", "tiff"]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and the mend."""


@dataclass(frozen=True, config=_STRICT)
class ReadConfig:
    """What is refused before any pixel is decoded."""

    max_mb: Annotated[int, Field(gt=0)] = 1024
    """Largest photo file, in megabytes (10^6 bytes)."""
    max_megapixels: Annotated[float, Field(gt=0)] = 160.0
    """Largest photo, in millions of pixels."""
    max_side_px: Annotated[int, Field(gt=0)] = 30_000
    """Longest side of a photo, in pixels."""


@dataclass(frozen=True, config=_STRICT)
class RuntimeConfig:
    """Where and how the network runs."""

    backend: Literal["auto", "openvino", "onnxruntime"] = "auto"
    """`auto`: ONNX Runtime where it finds an NVIDIA GPU (extra `gpu`), else OpenVINO on the CPU."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Processor threads for the network; 0: all cores."""


@dataclass(frozen=True, config=_STRICT)
class OutputConfig:
    """The files written for a photo."""

    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = ("png",)
    """One or more of png, mask, webp, tiff."""
    background: str | None = None
    """`#rrggbb` in sRGB: lay the garment on this colour and write no alpha; none: transparent."""
    trim: bool = False
    """Crop to the garment."""
    margin_px: Annotated[int, Field(ge=0, le=20_000)] = 0
    """Pixels kept (or added) around the trimmed garment."""
    hidden: Literal["auto", "clear", "keep"] = "auto"
    """`clear`: rim colours cleaned, hidden pixels black. `keep`: the photo's pixels, untouched, under the alpha.
    `auto`: keep for tiff (a working file), clear for png and webp (final files)."""

    @model_validator(mode="after")
    def _fits_together(self) -> "OutputConfig":
        if len(set(self.formats)) < len(self.formats):
            raise ValueError("formats: each format once")
        if self.margin_px and not self.trim:
            raise ValueError("margin_px works on a trimmed cutout: set trim too")
        if self.background is not None and not re.fullmatch(r"#[0-9a-fA-F]{6}", self.background):
            raise ValueError(f"background: {self.background!r} is not a colour such as '#ffffff'")
        if self.background is not None and self.hidden == "keep":
            raise ValueError("background covers the hidden pixels: hidden = 'keep' contradicts it")
        return self


@dataclass(frozen=True, config=_STRICT)
class FolderConfig:
    """How a folder is worked through."""

    readers: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads that read and decode ahead of the network."""
    writers: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads that encode and write behind the network."""
    in_flight: Annotated[int, Field(ge=1, le=64)] = 2
    """Photos waiting at most before and behind the network each: bounds the memory."""


@dataclass(frozen=True, config=_STRICT)
class Config:
    """All sections."""

    read: ReadConfig = field(default_factory=ReadConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    folder: FolderConfig = field(default_factory=FolderConfig)


def load_config(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Config:
    """Read a TOML file and lay overrides over it.

    Args:
        path: a TOML file with any of the sections and keys of `Config`; None: the defaults.
        overrides: `{"section.key": value}`; wins over the file. A value given as text is read as TOML if it can be
            (`true`, `12`, `["png", "mask"]`), else taken as it stands.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not known; names the nearest known key.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for dotted, value in (overrides or {}).items():
        section, _, key = dotted.partition(".")
        if not key or not isinstance(tree.setdefault(section, {}), dict):
            raise ConfigError(f"{dotted!r} is not of the form section.key, for example output.trim")
        tree[section][key] = _parse_value(value) if isinstance(value, str) else value
    try:
        return TypeAdapter(Config).validate_python(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(e) for e in error.errors())) from error


def parse_override(text: str) -> tuple[str, str]:
    """Split `section.key=value`.

    Raises:
        ConfigError: there is no `=`.
    """
    dotted, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is not of the form section.key=value")
    return dotted.strip(), value.strip()


def known_keys() -> list[str]:
    """All keys as `section.key`, in the order of this page."""
    sections: dict[str, Any] = {
        "read": ReadConfig,
        "runtime": RuntimeConfig,
        "output": OutputConfig,
        "folder": FolderConfig,
    }
    return [f"{name}.{key}" for name, section in sections.items() for key in section.__dataclass_fields__]


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] not in {"unexpected_keyword_argument", "extra_forbidden"}:
        return f"{where}: {error['msg'].removeprefix('Value error, ')}"
    candidates = known_keys() + [key.partition(".")[0] for key in known_keys()]
    nearest = difflib.get_close_matches(where, candidates, n=1, cutoff=0.4)
    return f"{where}: unknown key" + (f"; did you mean {nearest[0]}?" if nearest else "")
