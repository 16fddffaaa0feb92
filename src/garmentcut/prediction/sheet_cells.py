"""One cutout of a contact sheet, looked at: its thumbnail and its caption. Whatever goes wrong becomes the reason."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.photo.contact_sheet import Cell, Mark
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.embedded_profile import read_profile
from garmentcut.photo.photo import PhotoError
from garmentcut.photo.photoshop import CutoutError, CutoutFile, read_cutout
from garmentcut.photo.reading import read_photo
from garmentcut.photo.thumbnail import shrink_cutout
from garmentcut.prediction.sheet_entries import Entry

_HALF_LEVEL = np.float32(0.5 / 255)


class _Look(NamedTuple):
    """What a file shows; `suspicion`: what makes it doubtful by itself."""

    cutout: Cutout
    notes: tuple[str, ...] = ()
    suspicion: str = ""


def read_cell(entry: Entry, size_hw: tuple[int, int], *, trim: bool = True, limits: ReadConfig | None = None) -> Cell:
    """Read an entry's file and shrink it; never raises for what a file holds.

    Args:
        entry: of `find_entries`.
        size_hw: largest height and width of the thumbnail.
        trim: show only what is visible, not the whole frame.
        limits: bytes and pixels accepted.
    """
    cell = Cell(entry.place, entry.garment, mark=entry.mark, reason=entry.reason, notes="; ".join(entry.notes))
    if entry.file is None:
        return cell
    try:
        look = _look_at(entry, entry.file, limits or ReadConfig())
        thumbnail = shrink_cutout(look.cutout, size_hw, trim=trim)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one file must not stop the others
        mark: Mark = "failed"
        return replace(cell, facts=entry.file.name, mark=mark, reason=_reason_of(error, entry.file))
    return replace(
        cell,
        thumbnail=thumbnail,
        facts=_facts_of(entry, entry.file, look.cutout),
        mark="doubtful" if look.suspicion else cell.mark,
        reason="; ".join(filter(None, (cell.reason, look.suspicion))),
        notes="; ".join((*entry.notes, *look.notes)),
    )


def _look_at(entry: Entry, file: Path, limits: ReadConfig) -> _Look:
    try:
        found = read_cutout(file, limits)
    except CutoutError as error:
        return _flat_picture(entry, file, limits, error)
    suspicion = _suspicion_of(found.alpha)
    if found.rgb is not None:
        return _Look(Cutout(found.rgb, found.alpha, read_profile(file, limits)), found.notes, suspicion)
    cutout, note = _of_mask(entry, found, limits)
    return _Look(cutout, (*found.notes, note), suspicion)


def _flat_picture(entry: Entry, file: Path, limits: ReadConfig, error: CutoutError) -> _Look:
    """A picture without transparency as it is: `garmentcut cut --background` writes such ones, others lost it."""
    try:
        photo = read_photo(file, limits=limits)
    except PhotoError:
        raise error from None
    cutout = Cutout(photo.rgb, np.ones(photo.size_hw, np.float32), photo.profile)
    if entry.photo is not None:
        return _Look(cutout, ("on a background, not transparent",))
    return _Look(cutout, suspicion="nothing in the file says what is cut out")


def _of_mask(entry: Entry, found: CutoutFile, limits: ReadConfig) -> tuple[Cutout, str]:
    """A bare mask on the photo it was made from; without one, the mask itself, white on black."""
    note = "mask alone: its photo is not known"
    if entry.photo is not None:
        try:
            photo = read_photo(entry.photo, limits=limits)
            if photo.size_hw == found.alpha.shape:
                return Cutout.of(photo, found.alpha), "its photo under the mask"
            note = "mask alone: its photo has another size"
        except PhotoError:
            note = "mask alone: its photo cannot be read any more"
    levels = np.rint(found.alpha * np.float32(255)).astype(np.uint8)
    return Cutout(np.repeat(levels[..., None], 3, axis=2), np.ones_like(found.alpha)), note


def _suspicion_of(alpha: NDArray[np.float32]) -> str:
    if alpha.max() < _HALF_LEVEL:
        return "empty: nothing is visible"
    return "nothing is cut out: no pixel is transparent" if alpha.min() > 1 - _HALF_LEVEL else ""


def _facts_of(entry: Entry, file: Path, cutout: Cutout) -> str:
    height, width = cutout.alpha.shape
    doubt = () if entry.doubt is None else (f"doubt {entry.doubt:.2f}",)
    return " · ".join((f"{width} x {height} px", file.suffix.lstrip(".").lower(), *doubt))


def _reason_of(error: Exception, file: Path) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory"
    return str(error).removeprefix(f"{file}: ") or type(error).__name__
