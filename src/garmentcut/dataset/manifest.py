"""`manifest.jsonl`, the list of a dataset's pairs: written by `ingest`, read by training and evaluation."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from garmentcut.config import ReadConfig
from garmentcut.errors import DatasetError, PhotoError
from garmentcut.naming import VIEWS
from garmentcut.photo.files import json_of, read_photo_bytes, read_regular_file, write_atomic
from garmentcut.photo.photo import Photo
from garmentcut.photo.read import PNG_SIGNATURE, read_photo
from garmentcut.photo.write import png_bytes

Severity = Literal["refuses", "suspect"]

REFUSING = {
    "name": "the file's name does not fit the pattern",
    "ambiguous": "several photos, or several cutouts, of one garment and view",
    "no_cutout": "a photo without a cutout",
    "no_photo": "a cutout without a photo",
    "unreadable": "photo, cutout or their folder cannot be read",
    "size": "the cutout has another size than the photo",
    "empty": "nothing is cut out",
    "full": "nothing is cut away",
    "background": "the background is not transparent",
    "inverted": "the background is cut out instead of the garment",
    "shifted": "the cutout's colours lie elsewhere in the photo",
    "other_photo": "the cutout's colours are not those of the photo",
    "duplicate": "the same photo file under another name",
    "uncorrected": "a document as garmentcut wrote it, which nobody has corrected",
}
"""Codes of the faults that keep a pair out of the dataset."""

SUSPECT = {
    "view": "the view is none of those known",
    "resampled": "the cutout was resampled to the photo's size",
    "accepted": "a document as garmentcut wrote it, accepted as it is",
    "unchecked": "no colours in the cutout that could be compared with the photo's",
    "colors": "the cutout's colours differ from the photo's, at the same place",
    "cut_off": "much of the garment's outline is the photo's border",
    "small": "very little is cut out",
    "near_duplicate": "a photo that looks the same, re-saved or scaled: split together with this one",
}
"""Codes of the faults that a person should look at; the pair is used nevertheless."""
_SEVERITIES: dict[str, Severity] = {**dict.fromkeys(REFUSING, "refuses"), **dict.fromkeys(SUSPECT, "suspect")}
_EXACT = np.float32(1e-6)  # more than the rounding error of k / 255 in float32
MANIFEST_NAME = "manifest.jsonl"
_FIX = "restore the file, or delete it and run `garmentcut ingest` again"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a pair."""

    code: str  # a key of `REFUSING` or `SUSPECT`
    text: str  # what is wrong with this pair and, if it is refused, how to fix it
    severity: Severity  # `refuses`: the pair is not used; `suspect`: it is used, but should be looked at


def fault_of(code: str, text: str) -> Fault:
    """A fault with its code's severity."""
    return Fault(code, text, _SEVERITIES[code])


def refuses(faults: Iterable[Fault]) -> bool:
    """True if one of these faults keeps a pair out of the dataset."""
    return any(fault.severity == "refuses" for fault in faults)


@dataclass(frozen=True)
class Pair:
    """A photo and its cutout."""

    name: str  # `<garment>_<view>`, safe as a file name, unique in the manifest
    garment: str  # id that all views of one garment share
    view: str  # `Front`, `FrontRight`, `Back` or `unknown`
    # Path of the original, with `/`; relative to the dataset's folder, or absolute if they share no parent folder;
    # `photos/...` if it was extracted from the cutout. Empty: there is none.
    photo: str
    cutout: str  # path of the retoucher's file, in the same form
    alpha: str  # path of the target, an 8-bit or 16-bit gray PNG at the photo's size; empty if refused
    photo_sha256: str  # of the original file, or of the one in `photos/`, hexadecimal; empty: not read
    cutout_sha256: str  # of the retoucher's file, hexadecimal; empty: not read
    size_hw: tuple[int, int]  # height and width of the photo in pixels; (0, 0): not read
    box_xyxy: tuple[int, int, int, int]  # box of `alpha >= 0.5`, right and bottom exclusive; zeros if refused
    split: str  # `fold0` ..., or `train`, `validation`, `test`; empty if refused
    source: str  # where in the cutout's file the alpha was found, see `garmentcut.photo.truth`
    faults: tuple[Fault, ...]  # what is wrong with it
    group: str  # garments that look the same share a group, and no split separates them; empty if refused
    notes: tuple[str, ...] = ()  # what had to be changed while reading the files
    # A person's judgement of the cutout: `wrong`, `right`, `unsure`; empty: nobody has looked at it.
    verdict: Literal["", "wrong", "right", "unsure"] = ""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @property
    def refused(self) -> bool:
        """True if a fault keeps it out of the dataset."""
        return refuses(self.faults)


def target_bytes(alpha: NDArray[np.float32]) -> bytes:
    """Encode an alpha `(H, W)` float32 in [0, 1] as gray PNG: 8-bit if all values are k / 255, else 16-bit."""
    levels = np.rint(alpha * np.float32(255))
    if np.abs(levels / np.float32(255) - alpha).max(initial=0) < _EXACT:
        return png_bytes(levels.astype(np.uint8))
    return png_bytes(np.rint(alpha * np.float32(65535)).astype(np.uint16))


def read_target(path: Path, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Read a target: `size_hw` float32 in [0, 1].

    Raises:
        PhotoError: the file is missing, damaged, not a gray PNG or of another size; the message names it.
    """
    try:
        data = read_photo_bytes(path, ReadConfig())
        if not data.startswith(PNG_SIGNATURE):
            raise PhotoError("not a PNG")
        levels = imagecodecs.png_decode(data)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}; run `garmentcut ingest` again") from error
    except Exception as error:  # the decoder's own exceptions are not documented
        raise PhotoError(f"{path}: damaged; run `garmentcut ingest` again") from error
    if levels.shape != size_hw:
        raise PhotoError(f"{path}: {levels.shape} where the photo has {size_hw}; run `garmentcut ingest` again")
    alpha: NDArray[np.float32] = levels.astype(np.float32)
    alpha /= np.float32(np.iinfo(levels.dtype).max)
    return alpha


@dataclass(frozen=True)
class Manifest:
    """A dataset."""

    folder: Path  # the dataset's folder
    pairs: tuple[Pair, ...]  # all rows, including refused ones
    scheme: str = ""  # how it was split, such as `folds 5` or `parts 70/15/15`; empty: not by `ingest`
    seed: int = 0  # seed of the split

    @cached_property
    def usable(self) -> tuple[Pair, ...]:
        """The pairs that are not refused."""
        return tuple(pair for pair in self.pairs if not pair.refused)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, sorted."""
        return tuple(sorted({pair.split for pair in self.usable}))

    def of(self, *splits: str) -> tuple[Pair, ...]:
        """Usable pairs of these splits; raises DatasetError if there is no such split."""
        if unknown := sorted(set(splits) - set(self.splits)):
            known = ", ".join(self.splits) or "none"
            raise DatasetError(f"{self.folder}: no split {', '.join(unknown)}; it has {known}")
        return tuple(pair for pair in self.usable if pair.split in splits)

    def path_of(self, text: str) -> Path:
        """The file that a pair's `photo`, `cutout` or `alpha` names."""
        return self.folder / text

    @property
    def sha256(self) -> str:
        """Hexadecimal fingerprint of the usable pairs: their names and contents, but neither paths nor splits."""
        rows = sorted((pair.name, pair.photo_sha256, pair.cutout_sha256) for pair in self.usable)
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclass(frozen=True)
class _Header:
    garmentcut: Literal["manifest"]
    version: Literal[1]
    scheme: str
    seed: int
    rows: int

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


_PAIRS, _HEADERS = TypeAdapter(Pair), TypeAdapter(_Header)


def read_manifest(folder: Path) -> Manifest:
    """Read a dataset's `manifest.jsonl`: a header line, then one line per pair.

    Raises:
        DatasetError: the file or rows of it are missing, a line is incomplete or invalid, or a later version wrote it.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        lines = read_regular_file(path).splitlines()
    except FileNotFoundError as error:
        raise DatasetError(f"{folder}: no {MANIFEST_NAME} there; make one with `garmentcut ingest`") from error
    except NotADirectoryError as error:
        raise DatasetError(f"{folder}: a file, not the folder that `garmentcut ingest` made") from error
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    header = _read_header(path, lines)
    pairs = tuple(_read_row(path, number, line) for number, line in enumerate(lines[1:], 2))
    if len(pairs) != header.rows:
        raise DatasetError(f"{path}: {len(pairs)} rows where its first line says {header.rows}; {_FIX}")
    first: dict[str, int] = {}
    for number, pair in enumerate(pairs, 2):
        if first.setdefault(pair.name, number) != number:
            raise DatasetError(f"{path}, lines {first[pair.name]} and {number}: both are {pair.name}; {_FIX}")
    return Manifest(Path(folder), pairs, header.scheme, header.seed)


def write_manifest(manifest: Manifest) -> None:
    """Write `manifest.jsonl` atomically, with rows sorted by name."""
    pairs = sorted(manifest.pairs, key=lambda pair: pair.name)
    header = _Header("manifest", 1, manifest.scheme, manifest.seed, len(pairs))
    rows = asdict(header), *map(asdict, pairs)
    write_atomic(manifest.folder / MANIFEST_NAME, "".join(f"{json.dumps(row)}\n" for row in rows).encode())


def read_pair(manifest: Manifest, pair: Pair) -> tuple[Photo, NDArray[np.float32]]:
    """Read a photo and its target, the alpha `(H, W)` float32 in [0, 1] at the photo's size.

    Raises:
        PhotoError: a file is missing, damaged or has another size than when it was ingested; the message names it.
    """
    path = manifest.path_of(pair.photo)
    photo = read_photo(path)
    if photo.size_hw != pair.size_hw:
        sizes = " instead of ".join(f"{width}x{height}" for height, width in (photo.size_hw, pair.size_hw))
        raise PhotoError(f"{path}: {sizes} pixels: changed since; run `garmentcut ingest` again")
    return photo, read_target(manifest.path_of(pair.alpha), photo.size_hw)


def with_verdicts(pairs: Iterable[Pair], earlier: Iterable[Pair]) -> tuple[Pair, ...]:
    """The pairs, with the verdicts that the same cutouts of the same photos had in an earlier manifest, by any name."""
    content_of = attrgetter("photo_sha256", "cutout_sha256")
    known = {content_of(pair): pair.verdict for pair in earlier if pair.verdict}
    return tuple(replace(pair, verdict=known.get(content_of(pair), pair.verdict)) for pair in pairs)


def _read_header(path: Path, lines: list[bytes]) -> _Header:
    try:
        content = json_of(lines[0])
        if not content["version"] > 1:  # so NaN is not a later version
            return _HEADERS.validate_python(content)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}, line 1, does not say that it is a manifest of garmentcut's; {_FIX}") from error
    raise DatasetError(f"{path}: written by a later garmentcut; update this one")


def _read_row(path: Path, number: int, line: bytes) -> Pair:
    try:
        pair = _PAIRS.validate_json(line)
        _check_row(pair)
        return pair
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what: object = f"{where}: {first['msg']}" if where else "not a whole row"
        raise DatasetError(f"{path}, line {number}: {what}; {_FIX}") from error
    except ValueError as error:
        raise DatasetError(f"{path}, line {number}: {error}; {_FIX}") from error


def _check_row(pair: Pair) -> None:
    """Check what the types do not express. Raises: ValueError."""
    if pair.view not in (*VIEWS, "unknown"):
        raise ValueError(f"view {pair.view!r} is none of {', '.join(VIEWS)}, unknown")
    if pair.refused:
        return
    for key in ("name", "garment", "photo", "cutout", "alpha", "photo_sha256", "cutout_sha256", "split", "group"):
        if not getattr(pair, key):
            raise ValueError(f"no {key}, and not refused")
    left, top, right, bottom = pair.box_xyxy
    if not (0 <= left < right <= pair.size_hw[1] and 0 <= top < bottom <= pair.size_hw[0]):
        raise ValueError("box_xyxy does not lie in the photo")
