"""Finds the cutouts of any folder, for `sheet`, and draws each in small on a ground, as the review page does too."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError, SourceError
from garmentcut.naming import VIEWS
from garmentcut.photo.color import srgb_of
from garmentcut.photo.mask import bounding_box, slices_of
from garmentcut.photo.photo import Cutout, to_8_bit
from garmentcut.photo.read import read_photo
from garmentcut.photo.truth import CUTOUT_SUFFIXES, read_cutout
from garmentcut.prediction.results import RESULTS_NAME, Journal, Row
from garmentcut.prediction.sources import subject_of

Rgb = NDArray[np.uint8]
"""`(H, W, 3)` sRGB."""
Thumbnail = NDArray[np.uint8]
"""`(h, w, 4)` sRGB and alpha, premultiplied: what alpha hides is black."""
Mark = Literal["", "doubtful", "failed", "not finished"]

CHECKERBOARD, _LIGHT, _DARK = "checkerboard", 255, 204  # levels of its squares, as in Photoshop
SHEET_MARK, _HEAD_BYTES = b"garmentcut contact sheet", 512  # in files of contact sheets, before the pixels
_SEEN = 0.05  # of alpha: on any ground, less is seen by nobody
_HALF_LEVEL = np.float32(0.5 / 255)
_BEST_FIRST = (".png", ".tif", ".tiff", ".webp", ".psd", ".psb")  # of several outputs, one is shown
_MASK_END, _JPEG_SUFFIXES = "_mask", (".jpg", ".jpeg", ".jpe", ".mpo")


@dataclass(frozen=True, eq=False)
class Cell:
    """One cutout of a sheet."""

    name: str  # of its file below the folder, with `/` and without suffix
    file: Path | None = None  # the file to show; None: there is none
    photo: Path | None = None  # what it was cut out of, where that is known
    mark: Mark = ""  # why it needs a person; empty: it does not
    reason: str = ""  # of the mark, in words
    notes: tuple[str, ...] = ()  # further words
    doubt: float | None = None  # in [0, 1]; None: not known
    facts: str = ""  # what to know of every cutout, such as its size
    thumbnail: Thumbnail | None = None  # None: not read yet, or there is none, and the reason takes its place
    page: Path | None = None  # file of the page that shows it

    @property
    def _garment_and_view(self) -> tuple[str, str]:
        place = PurePosixPath(self.name.removesuffix(_MASK_END))
        subject = subject_of(place)
        return (str(place.with_name(subject.garment)), subject.view) if subject.view in VIEWS else (self.name, "")

    @property
    def garment(self) -> str:
        """Folder and garment: all views of one garment share it."""
        return self._garment_and_view[0]

    @property
    def order(self) -> tuple[object, ...]:
        """A sort key: garments by name with numbers by value (2 before 10), views as they are photographed."""
        garment, view = self._garment_and_view
        suffix = self.file.suffix.lower() if self.file else ""
        return _counted(garment), VIEWS.index(view) if view in VIEWS else len(VIEWS), _counted(self.name), suffix


def _counted(name: str) -> list[tuple[int, str]]:
    """A sort key: numbers by value, letters without case; digits in front of letters belong to an id."""
    pieces = re.split(r"(\d+(?![^\W_]))", name)
    return [(int(piece), piece) if place % 2 else (0, piece.casefold()) for place, piece in enumerate(pieces)]


def find_cells(folder: Path, *, doubt_over: float) -> list[Cell]:
    """The cutouts of a folder, in order; reads no pictures.

    Where `garmentcut cut` has written, or still writes, its `results.jsonl` says what is there: one cell a photo, the
    failed ones too. Elsewhere every picture in the folder and all below it counts, but for contact sheets, and for
    masks and JPEG files beside a cutout of the same name.

    Args:
        folder: the cutouts.
        doubt_over: above this doubt a cutout is doubtful, where no verdict stands beside it.

    Raises:
        SourceError: no such folder, nothing in it, or its `results.jsonl` is not ours.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    has_results = (folder / RESULTS_NAME).exists()
    try:
        # The lock is not needed: rows are appended whole, or the file is replaced by another in one step.
        rows = Journal(folder).rows.values() if has_results else ()
        cells = [_cell_of(folder, row, doubt_over) for row in rows] if has_results else _cells_of_files(folder)
    except OSError as error:
        raise SourceError(f"{error.filename or folder}: {error.strerror or error}") from error
    if not cells:
        raise SourceError(f"{folder}: no cutouts{' yet' if has_results else ''}; name a folder that holds some")
    return sorted(cells, key=lambda cell: cell.order)


def _cell_of(folder: Path, row: Row, doubt_over: float) -> Cell:
    cell = Cell(row.place or Path(row.input).stem, photo=Path(row.input), notes=row.notes)
    if row.status == "failed":
        return replace(cell, mark="failed", reason=row.reason)
    if row.status == "pending":
        return replace(cell, mark="not finished", reason="being cut, or stopped: run garmentcut cut again")
    file = folder / min(row.outputs, key=_rank) if row.outputs else None
    if file is None or not file.is_file():
        gone = f"{file.name} is gone" if file else "nothing was written"
        return replace(cell, mark="failed", reason=f"{gone}; run garmentcut cut again")
    cell = replace(cell, file=file, doubt=row.doubt)
    if not row.is_doubtful_over(doubt_over):
        return cell
    why = "; ".join(row.reasons) or ("to review" if row.verdict else f"its doubt is over {doubt_over:g}")
    return replace(cell, mark="doubtful", reason=why)


def _rank(output: str) -> tuple[bool, int]:
    path = PurePosixPath(output)
    return path.stem.endswith(_MASK_END), [*_BEST_FIRST, path.suffix].index(path.suffix)


def _cells_of_files(folder: Path) -> list[Cell]:
    unreadable: list[OSError] = []
    files: dict[Path, str] = {}
    for here, subfolders, names in os.walk(folder, onerror=unreadable.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for path in (Path(here, name) for name in sorted(names) if not name.startswith(".")):
            if path.suffix.lower() in CUTOUT_SUFFIXES and not is_contact_sheet(path):
                files[path] = path.relative_to(folder).with_suffix("").as_posix()
    # A mask, or a JPEG file, is of less worth than a cutout of the same name.
    aside = {path for path in files if path.stem.endswith(_MASK_END) or path.suffix.lower() in _JPEG_SUFFIXES}
    cutouts = {name for path, name in files.items() if path not in aside}
    cells = [Cell(name, path) for path, name in files.items() if path not in aside]
    cells += [Cell(files[path], path) for path in aside if files[path].removesuffix(_MASK_END) not in cutouts]
    for error in unreadable:
        name = Path(error.filename).relative_to(folder).as_posix()
        cells.append(Cell(name, mark="failed", reason=f"the folder cannot be read: {error.strerror}"))
    return cells


def read_cell(cell: Cell, size_hw: tuple[int, int], limits: ReadConfig, *, trim: bool = True) -> Cell:
    """The cell with its thumbnail and what the file shows by itself; whatever the file holds, it never raises."""
    if cell.file is None:
        return cell
    try:
        cutout, notes, suspicion = _read_shown(cell, cell.file, limits)
        thumbnail = shrink_cutout(cutout, size_hw, trim=trim)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one file must not stop the others
        reason = str(error).removeprefix(f"{cell.file}: ") or type(error).__name__
        reason = "not enough memory" if isinstance(error, MemoryError) else reason
        return replace(cell, facts=cell.file.name, mark="failed", reason=reason)
    height, width = cutout.alpha.shape
    doubt = () if cell.doubt is None else (f"doubt {cell.doubt:.2f}",)
    return replace(
        cell,
        thumbnail=thumbnail,
        facts=" · ".join((f"{width} x {height} px", cell.file.suffix.lstrip(".").lower(), *doubt)),
        mark="doubtful" if suspicion else cell.mark,
        reason="; ".join(filter(None, (cell.reason, suspicion))),
        notes=(*cell.notes, *notes),
    )


def _read_shown(cell: Cell, file: Path, limits: ReadConfig) -> tuple[Cutout, tuple[str, ...], str]:
    """What a file shows, notes on that, and what makes it doubtful by itself."""
    try:
        found = read_cutout(file, limits)
    except PhotoError as error:
        # A picture without transparency as it is: `garmentcut cut --background` writes such ones, others lost it.
        try:
            photo = read_photo(file, limits=limits)
        except PhotoError:
            raise error from None
        cutout = Cutout(photo.rgb, np.ones(photo.size_hw, np.float32), photo.profile)
        if cell.photo is not None:
            return cutout, ("on a background, not transparent",), ""
        return cutout, (), "nothing in the file says what is cut out"
    suspicion = "nothing is cut out: no pixel is transparent" if found.alpha.min() > 1 - _HALF_LEVEL else ""
    suspicion = "empty: nothing is visible" if found.alpha.max() < _HALF_LEVEL else suspicion
    if found.rgb is not None:
        return Cutout(found.rgb, found.alpha, found.profile), found.notes, suspicion
    cutout, note = _of_mask(cell.photo, found.alpha, limits)
    return cutout, (*found.notes, note), suspicion


def _of_mask(path: Path | None, alpha: NDArray[np.float32], limits: ReadConfig) -> tuple[Cutout, str]:
    """A bare mask on the photo it was made from; without one, the mask itself, white on black."""
    note = "mask alone: its photo is not known"
    if path is not None:
        try:
            photo = read_photo(path, limits=limits)
            if photo.size_hw == alpha.shape:
                return Cutout.of(photo, alpha), "its photo under the mask"
            note = "mask alone: its photo has another size"
        except PhotoError:
            note = "mask alone: its photo cannot be read any more"
    levels = np.rint(alpha * np.float32(255)).astype(np.uint8)
    return Cutout(np.repeat(levels[..., None], 3, axis=2), np.ones_like(alpha)), note


def shrink_cutout(cutout: Cutout, size_hw: tuple[int, int], *, trim: bool = True) -> Thumbnail:
    """Fit a cutout into a size; a small one is not enlarged.

    Every pixel counts by its alpha, so that hidden colours do not bleed into the edge; the filter does not overshoot,
    so that the edge gets no halo that the file does not have.

    Args:
        cutout: any size.
        size_hw: height and width to fit into.
        trim: show only the box of what an eye sees, specks too; where there is nothing, the whole frame.

    Raises:
        PhotoError: its colour profile cannot be applied.
    """
    box = (bounding_box(cutout.alpha > _SEEN) if trim else None) or (0, 0, *cutout.alpha.shape[::-1])
    alpha: NDArray[np.uint8] = np.rint(cutout.alpha[slices_of(box)] * np.float32(255)).astype(np.uint8)
    rgb = srgb_of(to_8_bit(cutout.rgb[slices_of(box)]), cutout.profile)
    image = Image.fromarray(np.dstack([rgb, alpha])).convert("RGBa")
    scale = min(size_hw[0] / image.height, size_hw[1] / image.width, 1)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return np.array(image.resize(size, Image.Resampling.HAMMING, reducing_gap=3.0))


def draw_ground(ground: str, size_hw: tuple[int, int], *, square_px: int = 8) -> Rgb:
    """A ground to lay thumbnails on.

    Args:
        ground: `checkerboard`, or a colour `#rrggbb`.
        size_hw: height and width.
        square_px: side of the checkerboard's squares.
    """
    if ground != CHECKERBOARD:
        return np.full((*size_hw, 3), ImageColor.getrgb(ground), np.uint8)
    is_dark = (np.indices(size_hw) // square_px).sum(axis=0) % 2 == 1
    return np.where(is_dark[..., None], np.uint8(_DARK), np.full(3, _LIGHT, np.uint8))


def lay_on_ground(thumbnail: Thumbnail, ground: Rgb) -> Rgb:
    """The ground with the thumbnail in its middle; the thumbnail is no larger than the ground."""
    height, width = thumbnail.shape[:2]
    top, left = (ground.shape[0] - height) // 2, (ground.shape[1] - width) // 2
    laid = ground.copy()
    place = laid[top : top + height, left : left + width]
    shown_through = (place * (255 - thumbnail[..., 3:].astype(np.uint16)) + 127) // 255
    place[:] = np.minimum(shown_through + thumbnail[..., :3], 255)
    return laid


def is_contact_sheet(path: Path) -> bool:
    """True for files of `garmentcut.prediction.sheet.encode_sheet`; False also for what cannot be read."""
    try:
        with path.open("rb") as file:
            return SHEET_MARK in file.read(_HEAD_BYTES)
    except OSError:
        return False
