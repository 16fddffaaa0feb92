"""From a cutout to the files a customer specified: placed, in the wanted colours, depth and format."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from garmentcut.config import Format
from garmentcut.photo.color import convert_colors
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.encoding import encode_prepared
from garmentcut.photo.layout import fitting_scale, is_whole_frame, place_garment, shared_scale
from garmentcut.photo.metadata import copyright_of, rights_of
from garmentcut.photo.naming import Subject
from garmentcut.photo.photo import OutputError, to_8_bit
from garmentcut.photo.placing import lay_on_canvas
from garmentcut.photo.preparation import Preparation
from garmentcut.photo.specification import Output, Specification

_WORKING_FORMATS = {"psd", "tiff"}  # a retoucher goes on in them: the photo's hidden pixels are kept


class Sighting(NamedTuple):
    """What of a garment one photo shows.

    Attributes:
        view: of the garment; empty: not known.
        box_hw: height and width of its box on the photo.
    """

    view: str
    box_hw: tuple[int, int]


class Delivery(NamedTuple):
    """A file's content, and what had to be done otherwise than specified, in words."""

    format: Format
    content: bytes
    notes: tuple[str, ...] = ()


def sight_garment(cutout: Cutout, view: str = "") -> Sighting:
    """What must be known of a cutout to find its garment's scale.

    Raises:
        OutputError: nothing is visible.
    """
    if cutout.garment_box_xyxy is None:
        raise OutputError("nothing is visible of the garment", code="nothing_visible")
    left, top, right, bottom = cutout.garment_box_xyxy
    return Sighting(view, (bottom - top, right - left))


def shared_scales(specification: Specification, sightings: Iterable[Sighting]) -> tuple[float, ...]:
    """For each output the one scale at which the views of a garment are delivered.

    Args:
        specification: what the customer wants.
        sightings: the garment on all photos of it, at least one.
    """
    sightings = tuple(sightings)
    return tuple(
        shared_scale(output.sections.canvas, [(output.garment_of(seen.view), seen.box_hw) for seen in sightings])
        for output in specification.outputs
    )


def deliver(
    cutout: Cutout, specification: Specification, *, subject: Subject, scales: tuple[float, ...] | None = None
) -> list[Delivery]:
    """The files that a customer specified, for one photo.

    Args:
        cutout: full size, as the cutter made it.
        specification: what the customer wants.
        subject: what the photo's name tells.
        scales: what `shared_scales` says for all photos of the garment; None: this is the only one.

    Returns:
        For each output, in order, a file in each of its formats.

    Raises:
        OutputError: the garment does not fit its canvas, or the format cannot hold it.
        PhotoError: its colours cannot be turned into the wanted profile.
    """
    if scales is None:
        scales = shared_scales(specification, [sight_garment(cutout, subject.view)])
    return [
        delivery
        for output, scale in zip(specification.outputs, scales, strict=True)
        for delivery in _deliver_output(cutout, output, subject=subject, scale=scale)
    ]


def _deliver_output(cutout: Cutout, output: Output, *, subject: Subject, scale: float) -> list[Delivery]:
    notes = _notes_on(cutout, output, subject=subject, scale=scale)
    prepared: dict[bool, Preparation] = {}
    deliveries = []
    for format in output.sections.file.formats:
        keeps_hidden = _keeps_hidden(output, format)
        if keeps_hidden not in prepared:
            finished = _finished(cutout, output, subject.view, scale, keeps_hidden=keeps_hidden)
            marked = output.sections.file.metadata == "keep"
            prepared[keeps_hidden] = Preparation(finished, output.encoding, name=subject.stem, marked=marked)
        deliveries.append(Delivery(format, encode_prepared(prepared[keeps_hidden], format), notes))
    return deliveries


def _keeps_hidden(output: Output, format: Format) -> bool:
    """Whether the encoder will want the photo's pixels under the alpha, as `OutputConfig.hidden` says."""
    file, background = output.sections.file, output.sections.canvas.background
    if file.hidden != "auto":
        return file.hidden == "keep"
    if format == "jpeg":
        return background is None and file.path not in ("auto", "none")
    return format == "psd" or (format in _WORKING_FORMATS and background is None)


def _notes_on(cutout: Cutout, output: Output, *, subject: Subject, scale: float) -> tuple[str, ...]:
    canvas, garment, notes = output.sections.canvas, output.garment_of(subject.view), []
    if "{view}" in output.sections.file.name and not subject.view:
        notes.append("no view in the photo's name: {view} became unknown")
    wanted = 0.0 if is_whole_frame(canvas, garment) else fitting_scale(canvas, garment, sight_garment(cutout).box_hw)
    if cutout.garment_box_xyxy != cutout.box_xyxy and not is_whole_frame(canvas, garment):
        notes.append("specks outside the garment left out")
    if wanted > garment.max_enlargement <= scale:
        notes.append(f"garment smaller than specified: {wanted:.2f} times enlarged is over garment.max_enlargement")
    return tuple(notes)


def _finished(cutout: Cutout, output: Output, view: str, scale: float, *, keeps_hidden: bool) -> Cutout:
    """The cutout as it goes into the file, but for format and background."""
    sections, source = output.sections, cutout if keeps_hidden else cutout.cleaned
    if sections.color.depth == 16 and source.rgb.dtype == np.uint8:
        source = replace(source, rgb=source.rgb.astype(np.uint16) * 257)  # before it is resampled: gains true levels
    garment = output.garment_of(view)
    if not is_whole_frame(sections.canvas, garment):
        placement = place_garment(sections.canvas, garment, sight_garment(source).box_hw, scale=scale)
        source = lay_on_canvas(source, placement, keeps_hidden=keeps_hidden)
    if output.profile is not None:
        source = _recolored(source, output.profile)
    if sections.color.depth == 8:
        source = replace(source, rgb=to_8_bit(source.rgb))
    return _described(source, output)


def _recolored(cutout: Cutout, profile: bytes) -> Cutout:
    if not cutout.is_clean:
        return replace(cutout, rgb=convert_colors(cutout.rgb, cutout.profile, profile), profile=profile)
    rgb, shown = np.zeros_like(cutout.rgb), cutout.alpha > 0  # black stays black, and costs no time
    rgb[shown] = convert_colors(cutout.rgb[shown], cutout.profile, profile)
    return replace(cutout, rgb=rgb, profile=profile)


def _described(cutout: Cutout, output: Output) -> Cutout:
    file = output.sections.file
    if file.dpi is not None:
        cutout = replace(cutout, dpi=(file.dpi, file.dpi))
    if file.metadata == "keep":
        return cutout
    if file.metadata == "none":
        return replace(cutout, exif=None, xmp=None)
    return replace(cutout, exif=copyright_of(cutout.exif), xmp=rights_of(cutout.xmp))
