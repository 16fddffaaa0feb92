"""manifest.jsonl: one row a pair of photo and cutout, refused ones too; everything training and evaluation read."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from garmentcut.dataset.faults import Fault
from garmentcut.dataset.pair import VIEWS, Pair
from garmentcut.photo.files import write_atomic
from garmentcut.photo.photo import Photo, PhotoError
from garmentcut.photo.read import read_photo

__all__ = [
    "MANIFEST_NAME",
    "VIEWS",
    "DatasetError",
    "Fault",
    "Manifest",
    "Pair",
    "read_manifest",
    "read_pair",
    "with_verdicts",
    "write_manifest",
]

MANIFEST_NAME = "manifest.jsonl"
_FORMAT = {"garmentcut": "manifest", "version": 1}
_MEND = "restore the file, or delete it and run `garmentcut ingest` again"


class DatasetError(ValueError):
    """A data set that cannot be used as it is; the message names the file, the line and the mend."""


@dataclass(frozen=True)
class Manifest:
    """A data set.

    Attributes:
        folder: the data set's folder.
        pairs: every row, refused ones too.
        scheme: how it was split: `folds 5`, `parts 70/15/15`; empty: not by `ingest`.
        seed: of the split.
    """

    folder: Path
    pairs: tuple[Pair, ...]
    scheme: str = ""
    seed: int = 0

    @cached_property
    def usable(self) -> tuple[Pair, ...]:
        """The pairs that are not refused."""
        return tuple(pair for pair in self.pairs if not pair.refused)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, sorted."""
        return tuple(sorted({pair.split for pair in self.usable}))

    def of(self, *splits: str) -> tuple[Pair, ...]:
        """Usable pairs of these splits.

        Raises:
            DatasetError: there is no such split.
        """
        if unknown := sorted(set(splits) - set(self.splits)):
            known = ", ".join(self.splits) or "none"
            raise DatasetError(f"{self.folder}: no split {', '.join(unknown)}; it has {known}")
        return tuple(pair for pair in self.usable if pair.split in splits)

    def path_of(self, text: str) -> Path:
        """The file that a pair's `photo`, `cutout` or `alpha` names."""
        return self.folder / text

    @property
    def sha256(self) -> str:
        """Fingerprint of the usable pairs: names and contents, not paths nor splits; hexadecimal."""
        rows = sorted((pair.name, pair.photo_sha256, pair.cutout_sha256) for pair in self.usable)
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclass(frozen=True)
class _Header:
    garmentcut: str
    version: int
    scheme: str
    seed: int
    rows: int

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


_PAIRS, _HEADERS = TypeAdapter(Pair), TypeAdapter(_Header)


def read_manifest(folder: Path) -> Manifest:
    """Read a data set's `manifest.jsonl`: a first line that says what it is, then one line a pair.

    Raises:
        DatasetError: there is none, a line is torn or was edited, rows are missing, or a later version wrote it.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError as error:
        raise DatasetError(f"{folder}: no {MANIFEST_NAME} there; make one with `garmentcut ingest`") from error
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    header = _read_header(path, lines)
    pairs = tuple(_read_row(path, number, line) for number, line in enumerate(lines[1:], 2))
    if len(pairs) != header.rows:
        raise DatasetError(f"{path}: {len(pairs)} rows where its first line says {header.rows}; {_MEND}")
    _check_names(path, pairs)
    return Manifest(Path(folder), pairs, header.scheme, header.seed)


def write_manifest(manifest: Manifest) -> None:
    """Write `manifest.jsonl`, rows sorted by name, whole or not at all.

    Raises:
        OSError: nothing was changed.
    """
    pairs = sorted(manifest.pairs, key=lambda pair: pair.name)
    header = {**_FORMAT, "scheme": manifest.scheme, "seed": manifest.seed, "rows": len(pairs)}
    lines = [json.dumps(header), *(json.dumps(asdict(pair)) for pair in pairs)]
    write_atomic(manifest.folder / MANIFEST_NAME, "".join(f"{line}\n" for line in lines).encode())


def read_pair(manifest: Manifest, pair: Pair) -> tuple[Photo, NDArray[np.float32]]:
    """A photo and its target.

    Returns:
        The photo, and the alpha `(H, W)` float32 in [0, 1] at the photo's size.

    Raises:
        PhotoError: one of them is missing, damaged, or was changed since it was ingested; names the file.
    """
    from garmentcut.dataset.target import read_target

    photo = read_photo(manifest.path_of(pair.photo))
    if photo.size_hw != pair.size_hw:
        sizes = " instead of ".join(f"{width}x{height}" for height, width in (photo.size_hw, pair.size_hw))
        raise PhotoError(
            f"{manifest.path_of(pair.photo)}: {sizes} pixels: changed since; run `garmentcut ingest` again"
        )
    return photo, read_target(manifest.path_of(pair.alpha), photo.size_hw)


def with_verdicts(pairs: Iterable[Pair], earlier: Iterable[Pair]) -> tuple[Pair, ...]:
    """Pairs with the verdicts that the same cutouts of the same photos had in an earlier manifest."""
    known = {_content_of(pair): pair.verdict for pair in earlier if pair.verdict}
    return tuple(replace(pair, verdict=known.get(_content_of(pair), pair.verdict)) for pair in pairs)


def _content_of(pair: Pair) -> tuple[str, str, str]:
    return pair.name, pair.photo_sha256, pair.cutout_sha256


def _read_header(path: Path, lines: list[bytes]) -> _Header:
    try:
        content = json.loads(lines[0])
        if content["version"] > _FORMAT["version"]:
            raise DatasetError(f"{path}: written by a later garmentcut; update this one")
        header = _HEADERS.validate_python(content)
        if (header.garmentcut, header.version) != tuple(_FORMAT.values()):
            raise ValueError
    except DatasetError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}, line 1, does not say that it is a manifest of garmentcut's; {_MEND}") from error
    return header


def _read_row(path: Path, number: int, line: bytes) -> Pair:
    try:
        pair = _PAIRS.validate_json(line)
        _check_row(pair)
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{where}: {first['msg']}" if where else "not a whole row"
        raise DatasetError(f"{path}, line {number}: {what}; {_MEND}") from error
    except ValueError as error:
        raise DatasetError(f"{path}, line {number}: {error}; {_MEND}") from error
    return pair


def _check_row(pair: Pair) -> None:
    """What the types do not say."""
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


def _check_names(path: Path, pairs: Iterable[Pair]) -> None:
    lines: dict[str, int] = {}
    for number, pair in enumerate(pairs, 2):
        if pair.name in lines:
            raise DatasetError(f"{path}, lines {lines[pair.name]} and {number}: both are {pair.name}; {_MEND}")
        lines[pair.name] = number
