"""Decisions of the review page, as files in the batch's folder, and the training pairs made from them.

`cut` reads them to deliver corrected alphas, `ingest --from-review` to make training pairs. Neither needs the review's
database.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter

from garmentcut.config import ReadConfig
from garmentcut.dataset.manifest import fault_of
from garmentcut.dataset.pairing import Candidate, view_of
from garmentcut.errors import DatasetError, PhotoError
from garmentcut.naming import NamePattern, safe_name
from garmentcut.photo.files import json_of, read_photo_bytes, read_regular_file, sha256_of, write_atomic
from garmentcut.photo.photo import to_alpha
from garmentcut.photo.read import read_gray_png
from garmentcut.photo.truth import CutoutFile

DECISIONS_FOLDER = ".garmentcut/review"  # below the batch's folder; same subfolders as the photos
LOCK_NAME = f"{DECISIONS_FOLDER}/.lock"
"""A lock file, held while a photo's outputs are replaced: by the review page, and by `cut` if its folder exists."""
_SUFFIX = ".decision.json"
_STATES = ("open", "accepted", "corrected", "rejected")
_MAX_STEM_BYTES = 160  # leaves room for suffixes: file systems allow names of 255 bytes


@dataclass(frozen=True)
class Decision:
    """What a person decided about a photo."""

    input: str  # absolute path of the photo
    input_sha256: str  # of the photo; the decision is about these contents only
    place: str  # path of its outputs below the batch's folder, without suffix
    state: str  # of `_STATES`
    alpha: str = ""  # file of the corrected alpha, 8-bit gray PNG, below the batch's folder; empty: there is none
    alpha_sha256: str = ""  # of this file
    prediction: str = ""  # file of the alpha as the model gave it, likewise; empty: it is in the outputs
    # Each output rewritten for the decision, with its last two SHA-256: only files with one of them may be replaced.
    written: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seconds: float = 0.0  # time spent working on it
    edge_share: float | None = None  # share of the outline that the correction moved
    who: str = ""  # who decided
    at: str = ""  # when, as ISO 8601 in UTC
    version: int = 0  # of the photo in the review's database
    note: str = ""  # on the photo
    model: str = ""  # name and hash of the model whose cutout was judged; empty: written by an older garmentcut


_DECISION = TypeAdapter(Decision)


def decision_stem(place: str, input: str, *, is_second: bool = False) -> str:
    """Path of a photo's decision and alphas below the batch's folder, without suffix.

    `place` and `input` are as in `Decision`; `is_second` means that another photo has the same place.
    """
    *folders, name = place.split("/")
    name = f"{name}~{Path(input).suffix.lstrip('.').lower()}" if is_second else name
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) > _MAX_STEM_BYTES:
        short = encoded[: _MAX_STEM_BYTES - 17].decode(errors="ignore")
        name = f"{short}-{hashlib.sha256(encoded).hexdigest()[:16]}"
    return "/".join([DECISIONS_FOLDER, *folders, name])


def write_decision(out_dir: Path, stem: str, decision: Decision) -> None:
    """Record a decision atomically; if that fails, the previous decision stays."""
    write_atomic(out_dir / f"{stem}{_SUFFIX}", json.dumps(asdict(decision)).encode(), root=out_dir)


def read_decision(out_dir: Path, stem: str) -> Decision | None:
    """The decision stored at a stem, see `decision_stem`; None if there is none. Raises PhotoError if unreadable."""
    path = out_dir / f"{stem}{_SUFFIX}"
    try:
        decision = _DECISION.validate_python(json_of(read_regular_file(path)))
        if any(".." in Path(name).parts for name in (decision.place, decision.alpha, decision.prediction)):
            raise ValueError("it leads out of the folder")
        if decision.state not in _STATES or (decision.at and not datetime.fromisoformat(decision.at)):
            raise ValueError("no such state")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        fix = "put back a copy, or delete it and decide again in garmentcut review"
        raise PhotoError(f"{path}: a decision that cannot be read; {fix}", code="bad_correction") from error
    return decision


def decision_on(out_dir: Path, place: str, input: str, input_sha256: str) -> Decision | None:
    """The decision about a photo with these contents, or else about earlier contents of the same file, or None."""
    stems = (decision_stem(place, input, is_second=is_second) for is_second in (False, True))
    found = [decision for stem in stems if (decision := read_decision(out_dir, stem)) is not None]
    same = [decision for decision in found if decision.input_sha256 == input_sha256]
    return next(iter(same or [decision for decision in found if decision.input == input]), None)


def _stems_in(out_dir: Path) -> list[str]:
    """Stems of all decisions of a batch, sorted. Raises: DatasetError: a folder cannot be read."""
    found = list[str]()

    def refuse(error: OSError) -> None:
        raise DatasetError(f"{error.filename}: {error.strerror}; its decisions cannot be read") from error

    for folder, _, names in os.walk(out_dir / DECISIONS_FOLDER, onerror=refuse):
        paths = (Path(folder, name).relative_to(out_dir) for name in names if name.endswith(_SUFFIX))
        found += (str(path).removesuffix(_SUFFIX) for path in paths)
    return sorted(found)


@dataclass(frozen=True)
class ReviewSource:
    """Reviewed batches to make training pairs from."""

    batches: tuple[Path, ...] = ()  # output folders of `garmentcut cut`
    # Also take predictions that were accepted unchanged. By default only corrections are taken, because a network
    # learns little from its own predictions, and its small errors become permanent.
    with_accepted: bool = False


def find_reviewed(source: ReviewSource, pattern: NamePattern, spelt: dict[str, str]) -> list[Candidate]:
    """A candidate for each photo whose alpha a person approved; for each name, the newest decision counts.

    `spelt` is as for `find_candidates`.

    Raises:
        DatasetError: a folder is not a reviewed batch, or cannot be read.
    """
    newest: dict[str, tuple[str, Candidate]] = {}
    for batch in source.batches:
        if not (batch / DECISIONS_FOLDER).is_dir():
            raise DatasetError(f"{batch}: nobody has reviewed it; name a folder that garmentcut review was opened on")
        for stem in _stems_in(batch):
            try:
                decision = read_decision(batch, stem)
            except PhotoError as error:
                name, faults = Path(stem).name, (fault_of("unreadable", str(error)),)
                unread = Candidate(safe_name(name), name, "unknown", None, None, faults, is_alpha=True)
                newest[str(batch / stem)] = "", unread
                continue
            if decision and (decision.state == "corrected" or (source.with_accepted and decision.state == "accepted")):
                candidate = _candidate(batch.resolve(), decision, pattern, spelt)
                if candidate.name not in newest or newest[candidate.name][0] <= decision.at:
                    newest[candidate.name] = decision.at, candidate
    return [candidate for _, candidate in newest.values()]


def _candidate(batch: Path, decision: Decision, pattern: NamePattern, spelt: dict[str, str]) -> Candidate:
    place = PurePosixPath(decision.place)
    key = pattern.read(place.with_name(f"{place.name}.photo"))  # so that no dot in the name starts a suffix
    garment, text = (key.garment, key.view) if key else (place.name, "")
    garment = spelt.setdefault(garment.casefold(), garment)
    view, faults = view_of(text)
    photo, name = Path(decision.input), decision.alpha if decision.state == "corrected" else decision.prediction
    try:
        if sha256_of(photo) != decision.input_sha256:
            fix = "has changed since it was reviewed; cut and review it again"
            faults = (fault_of("other_photo", f"{photo} {fix}"), *faults)
    except OSError as error:
        faults = (fault_of("no_photo", f"{photo}: {error.strerror}; put it back where it was cut from"), *faults)
    cutout = batch / name if name else None
    if cutout is None or not cutout.is_file():
        gone = f"the alpha of {decision.place} is gone from {batch}; review it again"
        faults = (fault_of("no_cutout", gone), *faults)
    return Candidate(safe_name(f"{garment}_{text or view}"), garment, view, photo, cutout, faults, is_alpha=True)


def read_alpha(path: Path, limits: ReadConfig) -> CutoutFile:
    """Read a gray PNG that is known to be an alpha; `read_cutout` takes a gray image only if it is nearly bilevel.

    Raises:
        PhotoError: the file cannot be read, or is not gray.
    """
    try:
        return CutoutFile(to_alpha(read_gray_png(read_photo_bytes(path, limits), limits)), None, "mask image")
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}", code=error.code) from error
