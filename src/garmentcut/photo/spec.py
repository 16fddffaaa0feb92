"""A customer's specification (`cut --spec`): reads and checks its TOML file, and makes the files that it asks for."""

import base64
import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer
from pydantic.dataclasses import dataclass as section

from garmentcut.config import STRICT, Config, Formats, OutputConfig, check_sections, read_tree
from garmentcut.errors import ConfigError, Note, OutputError
from garmentcut.naming import FORMATS, VIEWS, keeps_hidden, listed
from garmentcut.photo.color import convert_colors, read_target
from garmentcut.photo.compose import Preparation, clean, lay_on_canvas
from garmentcut.photo.layout import (
    CanvasSection,
    GarmentSection,
    check_room,
    fitting_scale,
    is_whole_frame,
    place_garment,
    shared_scale,
)
from garmentcut.photo.metadata import copyright_of, iptc_rights_of
from garmentcut.photo.photo import Cutout, to_8_bit
from garmentcut.photo.write import encode_prepared, lost_metadata
from garmentcut.photo.xmp import rights_of

FIELDS = ("garment", "view", "stem", "counter")
"""Fields of the pattern of a file name."""

_TABLES = ("canvas", "garment", "color", "file", "view", "output")
_WIDTH = re.compile(r"0[1-9]")  # a zero, and the number of digits
_UNSAFE = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f]')
_PLACE = "\0"  # stands for the counter; no name contains it


@section(frozen=True, config=STRICT)
class ColorSection:
    """Colour space and depth."""

    profile: Annotated[str, Field(min_length=1)] = "keep"
    """`keep`: the photo's; `sRGB`; or a file with an RGB profile, relative to the specification's folder. The last two
    are embedded."""
    depth: Literal["keep", 8, 16] = "keep"
    """Bits per channel; jpeg, webp and masks always have 8."""


@section(frozen=True, config=STRICT)
class FileSection:
    """Name, format, and what is written beside the pixels."""

    name: str = "{stem}"
    """Name without suffix, in the photo's own folder in OUT; "/" creates subfolders. Fields: {garment} and {view} of
    `<garment>_<view>`, {stem}, and {counter}, which numbers photos that would otherwise share a name, from 1;
    {counter:03} has at least three digits."""
    formats: Formats = ("png",)
    quality: Annotated[int, Field(ge=1, le=100, strict=True)] | None = None
    """Quality of jpeg, by default 95, and of webp, by default lossless."""
    dpi: Annotated[float, Field(ge=1, le=10_000, strict=True)] | None = None
    """Resolution in pixels per inch that the file states; none: the photo's."""
    metadata: Literal["keep", "none", "copyright"] = "keep"
    """EXIF, XMP and IPTC: all of it, none, or only who made the photo and who owns it (EXIF's artist and copyright,
    XMP's creator and rights, IPTC's by-line, credit, source and copyright). Only with `keep` does a psd have the mark
    that shows `garmentcut ingest` what was corrected."""
    hidden: Literal["auto", "clear", "keep"] = "auto"
    """The photo's pixels under the alpha, like `output.hidden`."""
    path: Literal["auto", "none", "editable", "exact"] = "auto"
    """Clipping path in psd, tiff and jpeg, like `output.path`."""


@section(frozen=True, config=STRICT)
class Sections:
    """All sections."""

    canvas: CanvasSection = field(default_factory=CanvasSection)
    garment: GarmentSection = field(default_factory=GarmentSection)
    color: ColorSection = field(default_factory=ColorSection)
    file: FileSection = field(default_factory=FileSection)


@dataclass(frozen=True)
class Output:
    """One picture of each photo, in one or more formats."""

    sections: Sections = field(default_factory=Sections)  # what was asked for
    by_view: dict[str, GarmentSection] = field(default_factory=dict)  # `[garment]` for the views that have their own
    # ICC profile to convert to; None: the photo's is kept. In JSON it is text, base64.
    profile: Annotated[
        bytes | None,
        BeforeValidator(lambda text: text and base64.b64decode(text)),
        PlainSerializer(lambda profile: profile and base64.b64encode(profile).decode(), when_used="json"),
    ] = None
    encoding: OutputConfig = field(default_factory=OutputConfig)  # the same in the form that the encoders use

    def garment_of(self, view: str) -> GarmentSection:
        """Size and place of the garment on a view."""
        return self.by_view.get(view, self.sections.garment)


@dataclass(frozen=True)
class Specification:
    """The files that a customer wants of each photo."""

    outputs: tuple[Output, ...]

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the files."""
        return hashlib.sha256(repr(self.outputs).encode()).hexdigest()[:16]


def read_specification(path: Path) -> Specification:
    """Read and check a specification.

    Its sections are `[canvas]`, `[garment]`, `[color]` and `[file]`; `[view.Front]`, `[view.FrontRight]` and
    `[view.Back]` hold keys of `[garment]` for one view. Several `[[output]]` tables, each with any of these sections,
    make several pictures of one photo; sections outside of them apply to all.

    Raises:
        ConfigError: the file cannot be read, a key or value is not known, keys contradict each other, or margins leave
            no room; names the file, the output and the key.
    """
    shared = read_tree(path)
    own = shared.pop("output", [{}])
    if not isinstance(own, list) or not own or not all(isinstance(tree, dict) for tree in own):
        raise ConfigError(f"{path}: output: write [[output]] above the tables of each")
    outputs = []
    for number, tree in enumerate(own, start=1):
        place = f"{path}, output {number}" if len(own) > 1 else str(path)
        outputs.append(_output_of(_overlaid(shared, tree), path.parent, place))
    return Specification(tuple(outputs))


def _overlaid(under: Any, over: Any) -> Any:
    """Merge two TOML values: tables key by key; anything else in `over` replaces `under`."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return under | {key: _overlaid(under[key], value) if key in under else value for key, value in over.items()}


def _output_of(tree: dict[str, Any], folder: Path, source: str) -> Output:
    _check_tables(tree, _TABLES, source)
    views = tree.pop("view", {})
    _check_tables(views, VIEWS, source, above="view.")
    sections = check_sections(Sections, tree, source=source)
    check_pattern(sections.file.name, source)
    check_room(sections.canvas, sections.garment, source)
    if sections.color.depth == 16 and all(FORMATS[name].bits == 8 for name in sections.file.formats):
        formats = " and ".join(sections.file.formats)
        deep = listed(name for name, row in FORMATS.items() if row.bits == 16)
        raise ConfigError(f"{source}: color.depth = 16, but {formats} hold 8; write {deep} too")
    by_view = {}
    for view, own in views.items():
        place = f"{source}, view.{view}"
        merged = {"garment": {**tree.get("garment", {}), **own}}
        by_view[view] = check_sections(Sections, merged, source=place).garment
        check_room(sections.canvas, by_view[view], place)
    profile = read_target(sections.color.profile, folder, source)
    encoding = {key: getattr(sections.file, key) for key in ("formats", "quality", "hidden", "path")}
    encoding["background"] = sections.canvas.background
    names = {f"output.{key}": f"file.{key}" for key in encoding} | {"output.background": "canvas.background"}
    try:
        return Output(sections, by_view, profile, check_sections(Config, {"output": encoding}).output)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error.named(names)}") from error


def _check_tables(tree: dict[str, Any], known: tuple[str, ...], source: str, *, above: str = "") -> None:
    for key, table in tree.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
            raise ConfigError(f"{source}: {above}{key}: unknown key; did you mean {above}{nearest}?")
        if not isinstance(table, dict):
            raise ConfigError(f"{source}: {above}{key}: write [{above}{key}] above its keys")


class Subject(NamedTuple):
    """What the name of a photo says."""

    garment: str  # the garment's id; the stem, if the name has no view
    view: str  # of the garment; empty: the name has none
    stem: str  # the photo's name without suffix


class FilledPattern(NamedTuple):
    """A name whose counter is not known yet: the text before and after it, and its minimum digits (0: no counter)."""

    before: str
    behind: str = ""
    num_digits: int = 0

    def numbered(self, counter: int) -> str:
        """The whole name."""
        return f"{self.before}{counter:0{self.num_digits}}{self.behind}" if self.num_digits else self.before

    def counter_of(self, name: str) -> int | None:
        """The counter in a name of this form; None: it has another form."""
        digits = name[len(self.before) : len(name) - len(self.behind)]
        fits = name.startswith(self.before) and name.endswith(self.behind) and re.fullmatch(r"[0-9]{1,9}", digits)
        return int(digits) if fits and self.numbered(int(digits)) == name else None


def fill_pattern(pattern: str, subject: Subject) -> FilledPattern:
    """Fill in everything in a pattern except its counter; if a photo has no view, {view} becomes `unknown`."""
    text, num_digits = "", 0
    for literal, name, spec, _ in Formatter().parse(pattern):
        text += literal
        if name == "counter":
            text, num_digits = text + _PLACE, int(spec) if spec else 1
        elif name is not None:
            text += getattr(subject, name) or "unknown"
    before, _, behind = text.partition(_PLACE)
    return FilledPattern(before, behind, num_digits)


def check_pattern(pattern: str, source: str) -> None:
    """Refuse a pattern that cannot name files; a ConfigError names `source`, and the field, width or character."""
    if problem := _problem_of(pattern):
        raise ConfigError(f"{source}: file.name = {pattern!r}: {problem}")


def _problem_of(pattern: str) -> str:
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError as error:
        return f"{error}; fields are {known}"
    for _, name, spec, conversion in parts:
        if name is not None and name not in FIELDS:
            return f"unknown field {{{name}}}; fields are {known}"
        if conversion or (spec and (name != "counter" or not _WIDTH.fullmatch(spec))):
            return "only {counter} has a width, such as {counter:03}"
    if [field for _, field, _, _ in parts].count("counter") > 1:
        return "{counter} at most once"
    if _UNSAFE.search("".join(literal for literal, _, _, _ in parts)):
        return "a character that file systems refuse"
    example = fill_pattern(pattern, Subject("a", "a", "a")).numbered(1)
    if any(not part.strip(". ") or part != part.strip() or part.endswith(".") for part in example.split("/")):
        return "no empty part, none that begins or ends with a blank or ends with a dot"
    return ""


class Sighting(NamedTuple):
    """How large a garment is in one photo."""

    view: str  # of the garment; empty: not known
    box_hw: tuple[int, int]  # height and width of its box on the photo


class Delivery(NamedTuple):
    """A file's content, and notes on how it differs from the specification."""

    format: str
    content: bytes
    notes: tuple[str, ...] = ()


def sight_garment(cutout: Cutout, view: str = "") -> Sighting:
    """Measure the garment in a cutout, to find its scale; raises OutputError if nothing is visible."""
    if cutout.garment_box_xyxy is None:
        raise OutputError("nothing of the garment is visible", code="nothing_visible")
    left, top, right, bottom = cutout.garment_box_xyxy
    return Sighting(view, (bottom - top, right - left))


def shared_scales(specification: Specification, sightings: Iterable[Sighting]) -> tuple[float, ...]:
    """For each output, the one scale that all views of a garment share."""
    sightings = tuple(sightings)
    return tuple(
        shared_scale(output.sections.canvas, [(output.garment_of(seen.view), seen.box_hw) for seen in sightings])
        for output in specification.outputs
    )


def deliver(
    cutout: Cutout, specification: Specification, *, subject: Subject, scales: tuple[float, ...] | None = None
) -> list[Delivery]:
    """Make the files that a customer specified for one photo from its cutout at full size.

    `scales` comes from `shared_scales`, for all photos of the garment; None: this is the only one. Returns for each
    output, in order, a file in each of its formats.

    Raises:
        OutputError: the garment does not fit its canvas, or the format cannot hold it.
        PhotoError: its colours cannot be converted to the requested profile.
    """
    if scales is None:
        scales = shared_scales(specification, [sight_garment(cutout, subject.view)])
    cleaned: Cutout | None = None
    deliveries = []
    for output, scale in zip(specification.outputs, scales, strict=True):
        file, wanted, prepared = output.sections.file, output.encoding, dict[bool, Preparation]()
        notes = _notes_on(cutout, output, subject=subject, scale=scale)
        for format in file.formats:
            keeps = keeps_hidden(format, hidden=wanted.hidden, path=wanted.path, background=wanted.background)
            if keeps not in prepared:
                whole = cutout if keeps else (cleaned := cleaned or clean(cutout))
                finished = _finished(whole, output, subject.view, scale)
                marked = file.metadata == "keep"
                prepared[keeps] = Preparation(finished, wanted, name=subject.stem, marked=marked)
            lost = lost_metadata(prepared[keeps].metadata, format)
            deliveries.append(Delivery(format, encode_prepared(prepared[keeps], format), (*notes, *lost)))
    return deliveries


def _notes_on(cutout: Cutout, output: Output, *, subject: Subject, scale: float) -> tuple[str, ...]:
    canvas, garment, notes = output.sections.canvas, output.garment_of(subject.view), []
    if "{view}" in output.sections.file.name and not subject.view:
        notes.append(Note("no view in the photo's name: {view} became unknown", "no_view"))
    wanted = 0.0 if is_whole_frame(canvas, garment) else fitting_scale(canvas, garment, sight_garment(cutout).box_hw)
    if cutout.garment_box_xyxy != cutout.box_xyxy and not is_whole_frame(canvas, garment):
        notes.append(Note("specks outside the garment left out", "specks_left_out"))
    if wanted > garment.max_enlargement <= scale:
        note = f"garment smaller than specified: {wanted:.2f} times enlarged is over garment.max_enlargement"
        notes.append(Note(note, "too_small_for_canvas"))
    return tuple(notes)


def _finished(cutout: Cutout, output: Output, view: str, scale: float) -> Cutout:
    """The cutout as it will be written, except for format and background."""
    sections = output.sections
    if sections.color.depth == 16 and cutout.rgb.dtype == np.uint8:
        # Before resampling, which then makes true 16-bit levels.
        cutout = replace(cutout, rgb=cutout.rgb.astype(np.uint16) * 257)
    garment = output.garment_of(view)
    if not is_whole_frame(sections.canvas, garment):
        placement = place_garment(sections.canvas, garment, sight_garment(cutout).box_hw, scale=scale)
        cutout = lay_on_canvas(cutout, placement)
    if output.profile is not None:
        cutout = _recolored(cutout, output.profile)
    if sections.color.depth == 8:
        cutout = replace(cutout, rgb=to_8_bit(cutout.rgb))
    file = sections.file
    if file.dpi is not None:
        cutout = replace(cutout, dpi=(file.dpi, file.dpi))
    if file.metadata == "none":
        return replace(cutout, exif=None, xmp=None, iptc=None)
    if file.metadata == "copyright":
        exif, xmp, iptc = copyright_of(cutout.exif), rights_of(cutout.xmp), iptc_rights_of(cutout.iptc)
        return replace(cutout, exif=exif, xmp=xmp, iptc=iptc)
    return cutout


def _recolored(cutout: Cutout, profile: bytes) -> Cutout:
    if not cutout.is_clean:
        return replace(cutout, rgb=convert_colors(cutout.rgb, cutout.profile, profile), profile=profile)
    rgb, shown = np.zeros_like(cutout.rgb), cutout.alpha > 0  # hidden pixels stay black, and take no time
    rgb[shown] = convert_colors(cutout.rgb[shown], cutout.profile, profile)
    return replace(cutout, rgb=rgb, profile=profile)
