"""Read what a retoucher delivers: the alpha of a cutout file, however the file holds it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.photo.cutout_source import Findings, Found, Source, find_in_picture
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.photo import Photo, PhotoError, Pixels
from garmentcut.photo.reading import PHOTO_SUFFIXES, damage_named, format_of

LAYERED_SUFFIXES = frozenset({".psd", ".psb"})
"""Of documents that may hold their photo beside the cutout."""

CUTOUT_SUFFIXES = LAYERED_SUFFIXES | frozenset(PHOTO_SUFFIXES)
"""Suffixes looked for in folders; a file's content, not its name, decides how it is read."""

_PSD_SIGNATURE = b"8BPS"
_SAME_IOU = 0.95  # below, two places mean different cutouts


class CutoutError(PhotoError):
    """A cutout file without a usable alpha; the message names the file, says why and what would mend it."""


@dataclass(frozen=True, eq=False)
class CutoutFile:
    """What a cutout file holds.

    Attributes:
        alpha: `(H, W)` float32 in [0, 1], upright, soft as in the file.
        rgb: `(H, W, 3)` uint8 or uint16, upright and straight (not premultiplied), in the file's own colour space; what
            lies where alpha is 0 may be anything. None: a bare mask, or colours that cannot be read.
        source: where the alpha comes from.
        notes: how it was chosen and what was left out, in words.
        is_unchanged: the alpha is the one that garmentcut itself wrote; nobody has corrected it.
        read_original: gives the photo that a layered document holds untouched, at the size of `alpha`; raises
            PhotoError, which says why there is none. None: the file is no layered document.
    """

    alpha: NDArray[np.float32]
    rgb: Pixels | None
    source: Source
    notes: tuple[str, ...] = ()
    is_unchanged: bool = False
    read_original: Callable[[], Photo] | None = None


def read_cutout(path: str | os.PathLike[str], config: ReadConfig | None = None) -> CutoutFile:
    """Read the alpha of a retoucher's PNG, TIFF, PSD, JPEG or WebP file.

    Of several places in the file the first counts that is not the same everywhere: transparency (of a PSD: of its
    visible layers, see `layer_alpha`) or a TIFF's extra channel, layer masks, a saved channel, the clipping path; last,
    the whole picture if it is a mask, white on black. A note says what else would have meant another cutout. Of a PSD
    that garmentcut wrote, what was changed since counts (`psd_correction`).

    Args:
        path: a regular file; its content decides the format.
        config: bytes, pixels and sides accepted; checked before decoding.

    Raises:
        CutoutError: as `read_photo` raises PhotoError; also, nothing in the file says what is cut out.
    """
    limits = config or ReadConfig()
    try:
        data = read_photo_bytes(Path(path), limits)
        with damage_named():
            return _choose(_find(data, limits))
    except PhotoError as error:
        raise CutoutError(f"{path}: {error}") from error


def _find(data: bytes, limits: ReadConfig) -> Findings:
    if data.startswith(_PSD_SIGNATURE):
        from garmentcut.photo.cutout_psd import find_in_psd  # loads psd-tools

        return find_in_psd(data, limits)
    return find_in_picture(data, limits, format_of(data))


def _choose(findings: Findings) -> CutoutFile:
    if not findings.found:
        hints = f" ({'; '.join(findings.hints)})" if findings.hints else ""
        raise PhotoError(
            f"has no transparency, mask, saved channel or clipping path{hints}; "
            "save the cutout as PNG or PSD with transparency, or with a clipping path"
        )
    telling = [found for found in findings.found if found.is_telling]
    used = (telling or findings.found)[0]
    flat = [f"{found.title} is the same everywhere" for found in findings.found if telling and not found.is_telling]
    rgb, color_notes = used.read_rgb()
    return CutoutFile(
        alpha=np.ascontiguousarray(used.alpha),
        rgb=None if rgb is None else np.ascontiguousarray(rgb),
        source=used.source,
        notes=(*used.notes, *color_notes, *flat, *_differences(used, telling[1:])),
        is_unchanged=findings.is_unchanged,
        read_original=findings.read_original,
    )


def _differences(used: Found, others: list[Found]) -> tuple[str, ...]:
    """Notes on places that mean another cutout."""
    notes = []
    mask = used.alpha >= 0.5
    for other in others:
        other_mask = other.alpha >= 0.5
        union = int((mask | other_mask).sum())
        iou = int((mask & other_mask).sum()) / union if union else 1.0
        if iou < _SAME_IOU:
            notes.append(f"{other.title} means another cutout (IoU {iou:.2f}) and is left out")
    return tuple(notes)
