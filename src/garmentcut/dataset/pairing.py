"""Pairs photos with cutouts by their file names, for `ingest`: each file ends up in exactly one candidate.

A layered document may contain its photo or lie in the same folder as it. In both cases one folder is enough.
"""

import re
import stat
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from garmentcut.dataset.manifest import Fault, fault_of, refuses
from garmentcut.errors import DatasetError
from garmentcut.naming import VIEWS, Key, NamePattern, safe_name
from garmentcut.photo.files import walk_files
from garmentcut.photo.read import PHOTO_SUFFIXES
from garmentcut.photo.truth import CUTOUT_SUFFIXES, LAYERED_SUFFIXES

_MAX_SHOWN = 200  # characters of a path in a message
_NOT_TEXT = re.compile("[\ud800-\udfff]")  # bytes of a file name that are not valid text; JSON cannot hold them
_Folded = tuple[str, str]


def view_of(text: str) -> tuple[str, tuple[Fault, ...]]:
    """The view that a name states, or `unknown`; and a fault if the name states a view that does not exist."""
    if text in VIEWS:
        return text, ()
    return "unknown", (fault_of("view", f"view {text!r} is none of {', '.join(VIEWS)}"),) if text else ()


@dataclass(frozen=True)
class Candidate:
    """A photo and a cutout of the same name, or whichever of them exists, before they are read."""

    name: str  # safe as a file name, unique among candidates
    # As in `garmentcut.dataset.manifest.Pair`.
    garment: str
    view: str
    # Absolute paths; None: missing.
    photo: Path | None
    cutout: Path | None
    faults: tuple[Fault, ...] = ()  # what is wrong with the names
    inside: bool = False  # the cutout is a layered document that may contain the photo; if not, `photo` is read
    unless_inside: tuple[Fault, ...] = ()  # faults that count only if the document does not contain the photo
    is_alpha: bool = False  # the cutout's file is a gray image that holds only the alpha

    @property
    def refused(self) -> bool:
        """True if a fault makes it useless to read the files."""
        return refuses(self.faults)


@dataclass(frozen=True)
class Side:
    """One side of the pairs: the photos, or the cutouts."""

    kind: str  # `photo` or `cutout`
    root: Path  # absolute path of their folder, which is searched recursively
    pattern: NamePattern  # how the files are named
    suffixes: frozenset[str]  # suffixes of the files that can be read, lower case

    @property
    def option(self) -> str:
        """The command line option that sets the pattern; in one folder it sets that of photos and cutouts."""
        return "--pattern" if self.kind == "photo" or self.suffixes == LAYERED_SUFFIXES else "--cutout-pattern"


class _Files(NamedTuple):
    """A side's files by garment and view, and a refused candidate for each file or folder that has neither."""

    side: Side
    keyed: dict[_Folded, list[tuple[Key, Path]]]
    nameless: list[Candidate]
    skipped: dict[str, str]  # why a path was passed over; see `walk_files`


def sides_of(originals: Path, cutouts: Path | None, patterns: tuple[str, str]) -> tuple[Side, Side]:
    """The side of the photos and the side of the cutouts. `patterns` says how the files of each are named.

    If `cutouts` is None, the cutouts are the layered documents in `originals`.

    Raises:
        DatasetError: a path is not a folder, both are the same folder, or a pattern is wrong.
    """
    for given in (originals, cutouts or originals):
        try:
            is_folder = stat.S_ISDIR(given.stat().st_mode)
        except FileNotFoundError:
            is_folder = False
        except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
            reason = getattr(error, "strerror", None) or error
            raise DatasetError(f"{given}: {reason}; make it readable, or name another folder") from error
        if not is_folder:
            raise DatasetError(f"{given}: not a folder; name the folder that holds the files")
    if cutouts is not None and originals.resolve() == cutouts.resolve():
        fix = "give the cutouts a folder of their own, or, if they are PSDs, name the folder once"
        raise DatasetError(f"{originals}: photos and cutouts in one folder; {fix}")
    photo_pattern, cutout_pattern = map(NamePattern, patterns)
    if photo_pattern.has_view != cutout_pattern.has_view:
        raise DatasetError(f"patterns {patterns[0]!r} and {patterns[1]!r}: one has <view> and the other has not")
    suffixes = CUTOUT_SUFFIXES if cutouts is not None else LAYERED_SUFFIXES
    return (
        Side("photo", originals.resolve(), photo_pattern, frozenset(PHOTO_SUFFIXES)),
        Side("cutout", (cutouts or originals).resolve(), cutout_pattern, suffixes),
    )


def find_candidates(
    photos: Side, cutouts: Side, spelt: dict[str, str], *, out_dir: Path, skipped: list[tuple[str, str]] | None = None
) -> list[Candidate]:
    """Candidates sorted by name; each photo, each cutout and each unreadable folder is in exactly one of them.

    If both sides share one folder, each layered document gets a candidate, and other images count only if a document
    has the same name, because the folder may hold cutouts in other formats too. Hidden files, `out_dir`, and one side's
    folder inside the other's are passed over. `skipped` gets what else is: paths, and why (see `walk_files`). `spelt`
    has each known garment's spelling by its case-folded one, and gets those of the others: as its first photo has it.

    Raises:
        DatasetError: one of the two folders cannot be read, or holds no file of a known format.
    """
    passed = {out_dir.resolve(), photos.root, cutouts.root}
    is_one_folder = photos.root == cutouts.root
    both = _read_names(photos, passed, may_be_empty=is_one_folder), _read_names(cutouts, passed)
    if skipped is not None:  # of a shared folder, what neither side reads
        first, second = (files.skipped.items() for files in both)
        skipped += sorted(first & second) if is_one_folder else (*first, *second)
    for files in both:
        for (garment, _), entries in sorted(files.keyed.items()):
            spelt.setdefault(garment, entries[0][0].garment)
    listed = both[1:] if is_one_folder else both
    folded = {key for files in listed for key in files.keyed}
    candidates = [_candidate(key, spelt[key[0]], both) for key in folded]
    candidates += [candidate for files in listed for candidate in files.nameless]
    return sorted(candidates, key=lambda candidate: candidate.name)


def _read_names(side: Side, passed: set[Path], *, may_be_empty: bool = False) -> _Files:
    files, errors, found = _Files(side, defaultdict(list), [], {}), list[OSError](), False
    suffixes, skip = tuple(sorted(side.suffixes)), files.skipped.__setitem__
    for path in map(Path, walk_files(side.root, suffixes, passed=passed, on_error=errors.append, on_skip=skip)):
        found = True
        key = side.pattern.read(PurePosixPath(path.relative_to(side.root).as_posix()))
        if _NOT_TEXT.search(str(path)):
            files.nameless.append(_nameless(side, path, "name", "its name is not valid Unicode; rename it"))
        elif key is None:
            text = f"it is not named {side.pattern.text}; rename it, or give {side.option}"
            files.nameless.append(_nameless(side, path, "name", text))
        else:
            files.keyed[key.folded].append((key, path))
    if not found and not may_be_empty:
        looked = f"looked for {' '.join(suffixes)}"
        reason = f"{errors[0].filename}: {errors[0].strerror}; make it readable" if errors else looked
        raise DatasetError(f"{side.root}: no {side.kind}s there; {reason}")
    for error in errors:
        text = f"{error.strerror}; make it readable, or move it elsewhere"
        files.nameless.append(_nameless(side, Path(error.filename), "unreadable", text))
    return files


def _candidate(folded: _Folded, garment: str, both: tuple[_Files, _Files]) -> Candidate:
    entries = [files.keyed.get(folded, []) for files in both]
    text = next(key.view for key, _ in entries[0] + entries[1])
    view, view_faults = view_of(text)
    name = f"{garment}_{text}" if text else garment
    photo_faults, faults = (_partner_faults(name, *side) for side in zip(entries, both, strict=True))
    faults += view_faults
    # If several images share a document's name, some of them are cutouts: no photo is better than a wrong one.
    photo, cutout = (found[0][1] if found else None for found in entries)
    is_one_folder = both[0].side.root == both[1].side.root
    inside = cutout is not None and cutout.suffix.lower() in LAYERED_SUFFIXES and (is_one_folder or not entries[0])
    photo = None if inside and photo_faults else photo
    faults, unless_inside = (faults, photo_faults) if inside else (photo_faults + faults, ())
    safe = safe_name(f"{garment}_{text or view}")
    return Candidate(safe, garment, view, photo, cutout, faults, inside, unless_inside)


def _partner_faults(name: str, found: list[tuple[Key, Path]], files: _Files) -> tuple[Fault, ...]:
    side = files.side
    if len(found) > 1:
        where = ", ".join(str(path.relative_to(side.root)) for _, path in found)
        fix = "keep one"
        if len({path.parent for _, path in found}) > 1:
            fix += f", or, if they are different photos, tell them apart by their folder: {side.option} '<garment>/"
            fix += f"{side.pattern.text}'"
        return (fault_of("ambiguous", f"{len(found)} {side.kind}s of one name: {where}; {fix}"),)
    if found:
        return ()
    fix = "add it, or say with --pattern and --cutout-pattern how photos and cutouts are named"
    return (fault_of(f"no_{side.kind}", f"no {side.kind} of {name} in {side.root}; {fix}"),)


def _nameless(side: Side, path: Path, code: str, text: str) -> Candidate:
    """A refused candidate for a file or an unreadable folder that belongs to no pair."""
    shown = path.relative_to(side.root).as_posix().encode(errors="backslashreplace").decode()
    short = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
    what = side.kind if code == "name" else f"the {side.kind}s' folder"
    photo, cutout = (path, None) if side.kind == "photo" else (None, path)
    faults = (fault_of(code, f"{what} {short}: {text}"),)
    return Candidate(safe_name(f"{side.kind}s/{shown}"), "", "unknown", photo, cutout, faults)
