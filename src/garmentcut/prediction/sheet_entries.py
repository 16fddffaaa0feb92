"""Which cutouts a contact sheet shows, in which order, and what is known of them before they are looked at."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from garmentcut.dataset.naming import DEFAULT_PATTERN, NamePattern
from garmentcut.dataset.pair import VIEWS
from garmentcut.photo.contact_sheet import Mark
from garmentcut.photo.photoshop import CUTOUT_SUFFIXES
from garmentcut.photo.sheet_file import is_contact_sheet
from garmentcut.prediction.results import RESULTS_NAME, Journal, ResultsError, Row

_BEST_FIRST = (".png", ".tif", ".tiff", ".webp", ".psd", ".psb")  # of several outputs, one is shown
_MASK_END, _JPEG_SUFFIXES = "_mask", (".jpg", ".jpeg", ".jpe", ".mpo")
_PATTERN = NamePattern(DEFAULT_PATTERN)


class SheetError(ValueError):
    """A contact sheet that cannot be drawn at all; the message says what to change."""


@dataclass(frozen=True)
class Entry:
    """One cutout.

    Attributes:
        place: its name below the folder, with `/` and without suffix.
        file: the file to show; None: there is none.
        photo: what it was cut out of, where that is known.
        mark: why it needs a person, as far as is known without looking.
        reason: of the mark, in words.
        notes: further words.
        doubt: in [0, 1]; None: not known.
    """

    place: str
    file: Path | None = None
    photo: Path | None = None
    mark: Mark = ""
    reason: str = ""
    notes: tuple[str, ...] = ()
    doubt: float | None = None

    @property
    def garment(self) -> str:
        """Folder and garment: all views of one garment share it."""
        return self._key[0]

    @property
    def order(self) -> tuple[object, ...]:
        """To sort by: garments by name, as a person counts (2 before 10), and the views as they are photographed."""
        garment, view = self._key
        suffix = self.file.suffix.lower() if self.file else ""
        return _counted(garment), VIEWS.index(view) if view in VIEWS else len(VIEWS), _counted(self.place), suffix

    @property
    def _key(self) -> tuple[str, str]:
        place = PurePosixPath(self.place)
        key = _PATTERN.read(PurePosixPath(f"{place.name.removesuffix(_MASK_END)}.x"))  # x: dots in names are no suffix
        if key is None or key.view not in VIEWS:
            return self.place, ""
        return str(place.with_name(key.garment)), key.view


def find_entries(folder: Path, *, doubt_over: float) -> list[Entry]:
    """The cutouts of a folder, in order; reads no pictures.

    Where `garmentcut cut` has written, or still writes, its `results.jsonl` says what is there: one entry a photo, the
    failed ones too. Elsewhere every picture in the folder and all below it counts, but for contact sheets, and for
    masks and JPEG files beside a cutout of the same name.

    Args:
        folder: the cutouts.
        doubt_over: above this doubt a cutout is doubtful, where no verdict stands beside it.

    Raises:
        SheetError: no such folder, nothing in it, or its `results.jsonl` is not ours.
    """
    if not folder.is_dir():
        raise SheetError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    results = folder / RESULTS_NAME
    try:
        found = _of_results(folder, doubt_over) if results.exists() else _of_files(folder)
        entries = sorted(found, key=lambda entry: entry.order)
    except (OSError, ResultsError) as error:
        raise SheetError(str(error)) from error
    if not entries:
        raise SheetError(f"{folder}: no cutouts{' yet' if results.exists() else ''}; name a folder that holds some")
    return entries


def _of_results(folder: Path, doubt_over: float) -> Iterator[Entry]:
    # The lock is not needed: rows are appended whole, or the file is replaced by another in one step.
    for row in Journal(folder).rows.values():
        yield _of_row(folder, row, doubt_over)


def _of_row(folder: Path, row: Row, doubt_over: float) -> Entry:
    place, photo = row.place or Path(row.input).stem, Path(row.input)
    if row.status == "failed":
        return Entry(place, photo=photo, mark="failed", reason=row.reason, notes=row.notes)
    if row.status == "pending":
        return Entry(place, photo=photo, mark="not finished", reason="being cut, or stopped: run garmentcut cut again")
    file = folder / min(row.outputs, key=_rank) if row.outputs else None
    if file is None or not file.is_file():
        gone = f"{file.name} is gone" if file else "nothing was written"
        return Entry(place, photo=photo, mark="failed", reason=f"{gone}; run garmentcut cut again")
    is_over = row.doubt is not None and row.doubt > doubt_over
    is_doubtful = row.verdict == "review" if row.verdict else is_over
    why = "; ".join(row.reasons) or ("to review" if row.verdict else f"its doubt is over {doubt_over:g}")
    mark: Mark = "doubtful" if is_doubtful else ""
    return Entry(place, file, photo, mark, why if is_doubtful else "", row.notes, row.doubt)


def _rank(output: str) -> tuple[int, int]:
    path = PurePosixPath(output)
    place = _BEST_FIRST.index(path.suffix) if path.suffix in _BEST_FIRST else len(_BEST_FIRST)
    return int(path.stem.endswith(_MASK_END)), place


def _of_files(folder: Path) -> Iterator[Entry]:
    unreadable: list[OSError] = []
    pictures = _pictures_below(folder, unreadable)
    files = {path: path.relative_to(folder).with_suffix("").as_posix() for path in pictures}
    cutouts = {place for path, place in files.items() if not _is_aside(path)}
    for path, place in files.items():
        if not (_is_aside(path) and place.removesuffix(_MASK_END) in cutouts):
            yield Entry(place, path)
    for error in unreadable:
        place = Path(error.filename).relative_to(folder).as_posix()
        yield Entry(place, mark="failed", reason=f"the folder cannot be read: {error.strerror}")


def _is_aside(path: Path) -> bool:
    """A mask, or a JPEG file: of less worth than a cutout of the same name."""
    return path.stem.endswith(_MASK_END) or path.suffix.lower() in _JPEG_SUFFIXES


def _pictures_below(folder: Path, unreadable: list[OSError]) -> Iterable[Path]:
    for here, subfolders, files in os.walk(folder, onerror=unreadable.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for path in (Path(here, name) for name in sorted(files) if not name.startswith(".")):
            if path.suffix.lower() in CUTOUT_SUFFIXES and not is_contact_sheet(path):
                yield path


def _counted(name: str) -> list[tuple[int, str]]:
    """Numbers by their value, letters without case; digits in front of letters are no number but part of an id."""
    parts = re.split(r"(\d+(?![^\W_]))", name)
    return [(int(part), part) if place % 2 else (0, part.casefold()) for place, part in enumerate(parts)]
