"""What a person decided on a photo of a batch, as a file in the batch's folder.

Read by `cut`, which delivers a corrected alpha, and by `ingest --from-review`, which makes a pair of it; no database is
needed for that.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from garmentcut.photo.files import write_atomic

DECISIONS_FOLDER = ".garmentcut/review"
"""Below the batch's folder; a tree like the photos'."""
LOCK_NAME = f"{DECISIONS_FOLDER}/.lock"
"""Held while a photo's outputs are exchanged: by the review page, and by `cut` where there is such a folder."""
_SUFFIX = ".decision.json"
_MAX_STEM_BYTES = 160  # leaves room for what is put behind it, of the 255 that file systems take


@dataclass(frozen=True)
class Decision:
    """A photo as a person left it.

    Attributes:
        input: absolute path of the photo.
        input_sha256: of the photo: of another one, the decision says nothing.
        place: of its outputs below the batch's folder, without suffix.
        state: open, accepted, corrected or rejected.
        alpha: file of the corrected alpha, 8-bit gray PNG, below the batch's folder; empty: there is none.
        alpha_sha256: of this file.
        prediction: file of the alpha as the model gave it, likewise; empty: not kept, the outputs have it.
        written: every output made again for it, with its last two SHA-256: what may be replaced.
        seconds: hands-on.
        edge_share: share of the rim that the correction moved.
        who: who decided.
        at: when, ISO 8601, UTC.
        version: of the photo in the review's database.
    """

    input: str
    input_sha256: str
    place: str
    state: str
    alpha: str = ""
    alpha_sha256: str = ""
    prediction: str = ""
    written: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seconds: float = 0.0
    edge_share: float | None = None
    who: str = ""
    at: str = ""
    version: int = 0


def decision_stem(place: str, input: str, *, is_second: bool = False) -> str:
    """Where a photo's decision and alphas lie below the batch's folder, without suffix.

    Args:
        place: of its outputs.
        input: path of the photo.
        is_second: another photo has the same place.
    """
    *folders, name = place.split("/")
    name = f"{name}~{Path(input).suffix.lstrip('.').lower()}" if is_second else name
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) > _MAX_STEM_BYTES:
        short = encoded[: _MAX_STEM_BYTES - 17].decode(errors="ignore")
        name = f"{short}-{hashlib.sha256(encoded).hexdigest()[:16]}"
    return "/".join([DECISIONS_FOLDER, *folders, name])


def write_decision(out_dir: Path, stem: str, decision: Decision) -> None:
    """Record a decision, atomically.

    Raises:
        OSError: it cannot be written; the last one stands.
    """
    write_atomic(out_dir / f"{stem}{_SUFFIX}", json.dumps(asdict(decision)).encode())


def read_decision(out_dir: Path, stem: str) -> Decision | None:
    """The decision at a place; None: there is none, or it cannot be read."""
    return _read(out_dir / f"{stem}{_SUFFIX}")


def decision_on(out_dir: Path, place: str, input: str, input_sha256: str) -> Decision | None:
    """The decision on these pixels or, where nobody has decided on them, on what else this file held; None: neither."""
    stems = (decision_stem(place, input, is_second=is_second) for is_second in (False, True))
    found = [decision for stem in stems if (decision := read_decision(out_dir, stem)) is not None]
    same = [decision for decision in found if decision.input_sha256 == input_sha256]
    return next(iter(same or [decision for decision in found if decision.input == input]), None)


def read_decisions(out_dir: Path) -> Iterator[Decision]:
    """All decisions of a batch, sorted by file name."""
    for path in sorted((out_dir / DECISIONS_FOLDER).rglob(f"*{_SUFFIX}")):
        decision = _read(path)
        if decision is not None:
            yield decision


def _read(path: Path) -> Decision | None:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        known = {key.name: content[key.name] for key in fields(Decision) if key.name in content}
        known["written"] = {name: tuple(hashes) for name, hashes in known.get("written", {}).items()}
        decision = Decision(**known)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    names = (decision.input, decision.place, decision.alpha, decision.prediction)
    return decision if all(isinstance(name, str) and ".." not in Path(name).parts for name in names) else None
