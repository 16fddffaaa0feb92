"""A customer's specification: how the delivered files look, on one TOML page; checked before the first photo."""

import difflib
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from garmentcut.config import Config, ConfigError, OutputConfig, check_sections, read_tree
from garmentcut.photo.color import read_target
from garmentcut.photo.layout import check_room
from garmentcut.photo.naming import check_pattern
from garmentcut.photo.specification_sections import GarmentSection, Sections

VIEWED = ("Front", "FrontRight", "Back")
"""Views that may have a section of their own."""
_TABLES = ("canvas", "garment", "color", "file", "view", "output")
_EIGHT_BIT_FORMATS = {"jpeg", "webp", "mask"}


@dataclass(frozen=True)
class Output:
    """One picture of each photo, in one or more formats.

    Attributes:
        sections: what was asked for.
        by_view: the garment's section where a view has its own.
        profile: ICC profile to convert to; None: the photo's is kept.
        encoding: the same as the encoders know it.
    """

    sections: Sections = field(default_factory=Sections)
    by_view: dict[str, GarmentSection] = field(default_factory=dict)
    profile: bytes | None = None
    encoding: OutputConfig = field(default_factory=OutputConfig)

    def garment_of(self, view: str) -> GarmentSection:
        """Size and place of the garment on a view."""
        return self.by_view.get(view, self.sections.garment)


@dataclass(frozen=True)
class Specification:
    """What a customer wants of each photo."""

    outputs: tuple[Output, ...]

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the files."""
        return hashlib.sha256(repr(self.outputs).encode()).hexdigest()[:16]


def read_specification(path: Path) -> Specification:
    """Read and check a specification.

    Its sections are `[canvas]`, `[garment]`, `[color]` and `[file]`; `[view.Front]`, `[view.FrontRight]` and
    `[view.Back]` hold keys of `[garment]` for one view. Several `[[output]]` tables, each with any of these sections,
    make several pictures of one photo; what stands outside of them holds for all.

    Raises:
        ConfigError: the file cannot be read, a key or value is not known, keys contradict each other, or margins leave
            no room; names the file, the output and the key.
    """
    shared = read_tree(path)
    own = shared.pop("output", [{}])
    if not isinstance(own, list) or not own or not all(isinstance(tree, dict) for tree in own):
        raise ConfigError(f"{path}: output: write [[output]] above the tables of each")
    places = [f"{path}, output {number}" if len(own) > 1 else str(path) for number in range(1, len(own) + 1)]
    return Specification(
        tuple(_output_of(_overlaid(shared, tree), path.parent, place) for tree, place in zip(own, places, strict=True))
    )


def _overlaid(under: Any, over: Any) -> Any:
    """Tables key by key, anything else whole."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return under | {key: _overlaid(under[key], value) if key in under else value for key, value in over.items()}


def _output_of(tree: dict[str, Any], folder: Path, source: str) -> Output:
    _check_tables(tree, _TABLES, source)
    views = tree.pop("view", {})
    _check_tables(views, VIEWED, source, above="view.")
    sections = check_sections(Sections, tree, source=source)
    check_pattern(sections.file.name, source)
    check_room(sections.canvas, sections.garment, source)
    if sections.color.depth == 16 and not set(sections.file.formats) - _EIGHT_BIT_FORMATS:
        formats = " and ".join(sections.file.formats)
        raise ConfigError(f"{source}: color.depth = 16, but {formats} hold 8; write png, tiff or psd too")
    by_view = {}
    for view, own in views.items():
        place = f"{source}, view.{view}"
        merged = {"garment": {**tree.get("garment", {}), **own}}
        by_view[view] = check_sections(Sections, merged, source=place).garment
        check_room(sections.canvas, by_view[view], place)
    profile = read_target(sections.color.profile, folder, source)
    return Output(sections, by_view, profile, _encoding_of(sections, source))


def _check_tables(tree: dict[str, Any], known: tuple[str, ...], source: str, *, above: str = "") -> None:
    for key, table in tree.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
            raise ConfigError(f"{source}: {above}{key}: unknown key; did you mean {above}{nearest}?")
        if not isinstance(table, dict):
            raise ConfigError(f"{source}: {above}{key}: write [{above}{key}] above its keys")


def _encoding_of(sections: Sections, source: str) -> OutputConfig:
    file = sections.file
    wanted = {key: getattr(file, key) for key in ("formats", "quality", "hidden", "path")}
    tree = {"output": {**wanted, "background": sections.canvas.background}}
    return check_sections(Config, tree, source=source).output
