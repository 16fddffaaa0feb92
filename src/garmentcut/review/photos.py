"""The photos of a batch under review: from rows of results.jsonl to the `store`'s database, and on to the `routes`."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from garmentcut.dataset.corrections import decision_stem, read_decision
from garmentcut.errors import PhotoError
from garmentcut.naming import VIEWS
from garmentcut.photo.files import sha256_of
from garmentcut.prediction.results import RESULTS_NAME, Row, fingerprint, heat_path, read_row
from garmentcut.prediction.sources import subject_of
from garmentcut.review.database import FAILED_DOUBT, NO_DOUBT, ActionRow, BatchRow, PhotoRow, utc_of
from garmentcut.review.media import ReviewPhoto

UNKNOWN_VIEW = "unknown"
_AT_A_TIME = 400  # values in one database query
Item = dict[str, Any]
# Fields that an item takes from the database as they are.
_SHOWN = (
    *("id", "garment", "view", "doubt", "verdict", "state", "version", "note", "undelivered", "edge_share"),
    "changed_by",
)
_WORDS = {
    "accept": "Accepted",
    "reject": "Rejected",
    "reopen": "Opened again",
    "revert": "Set back to the prediction",
    "save": "A correction was saved",
    "correct": "Corrected",
    "note": "A note was written",
}


def take_rows(session: Session, batch: BatchRow, rows: Iterable[Row], folder: Path) -> None:
    """Update the photos of a batch from its rows; `session` must be a write with the batch's row locked.

    A photo that is not in the database yet takes its state from the decision's file, because the database or the
    batch's id may have been lost. A photo that was cut again from other pixels or by another model is reopened, because
    the decision was about another cutout. A correction is kept if only the model changed, because `cut` delivers it.
    """
    rows = list(rows)
    known = _known_photos(session, batch, rows)
    for row in rows:
        key = _key_of(row, known)
        photo = known.get(key)
        if photo is None:
            known[key] = PhotoRow(batch_id=batch.id, key=key, state="open" if row.ok else "failed", **_described(row))
            session.add(known[key])
            _restore(session, known[key], folder)
        elif photo.changed_at is None and photo.undelivered and photo.row == text_of(row):
            before = photo.undelivered
            if not _restore(session, photo, folder) and photo.undelivered == before:
                continue
        elif photo.row != text_of(row):
            _take_again(session, photo, row, folder)
        else:
            continue
        batch.revision += 1
        known[key].revision = batch.revision


def log_action(
    session: Session, photo: PhotoRow, kind: str, *, seconds: float = 0.0, pixels_changed: int | None = None
) -> None:
    """Log an action: the photo's new state, and who changed it."""
    by_cut = kind == "recut"
    session.add(
        ActionRow(
            photo_id=photo.id,
            at=(None if by_cut else photo.changed_at) or datetime.now(UTC),
            who="" if by_cut else photo.changed_by,
            kind=kind,
            seconds=seconds,
            pixels_changed=pixels_changed,
            **{name: getattr(photo, name) for name in ("version", "state", "note", "alpha_sha256", "edge_share")},
        )
    )


def text_of(row: Row) -> str:
    """A row as it is stored in the database."""
    return json.dumps(asdict(row), sort_keys=True)


def row_of(photo: PhotoRow) -> Row:
    """The row of results.jsonl that a photo was read from; raises ValueError if it was stored damaged."""
    if (row := read_row(photo.row.encode())) is None:
        raise ValueError(f"the row of {photo.key} is damaged")
    return row


def printable(text: str) -> str:
    """A text that any database and page can hold; bytes that are not text are escaped."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _known_photos(session: Session, batch: BatchRow, rows: list[Row]) -> dict[str, PhotoRow]:
    """The photos in the database that rows may be about, by key; not all photos, because rows arrive one at a time."""
    keys, known = [key for row in rows for key in _possible_keys(row)], dict[str, PhotoRow]()
    for start in range(0, len(keys), _AT_A_TIME):
        asked = PhotoRow.batch_id == batch.id, PhotoRow.key.in_(keys[start : start + _AT_A_TIME])
        known |= {photo.key: photo for photo in session.scalars(select(PhotoRow).where(*asked))}
    return known


def _possible_keys(row: Row) -> tuple[str, str]:
    place = printable(row.place or Path(row.input).stem)
    return place, f"{place}~{printable(Path(row.input).suffix.lstrip('.').lower())}"


def _key_of(row: Row, known: dict[str, PhotoRow]) -> str:
    """The photo's key: its place, plus its file type if another photo has the same place."""
    place, with_kind = _possible_keys(row)
    taker = known.get(place)
    if taker is None or (earlier := row_of(taker)).input == row.input:
        return place
    moved = earlier.input_sha256 == row.input_sha256 and not Path(earlier.input).exists()
    return place if moved else with_kind


def _restore(session: Session, photo: PhotoRow, folder: Path) -> bool:
    """Apply the decision's file to a photo that nobody has decided on, and log it; False: there is none that fits.

    Then the photo stays open. If the file cannot be read, the photo stays open too, with a message.
    """
    row, stem = row_of(photo), subject_of_photo(photo).stem
    try:
        decision, photo.undelivered = read_decision(folder, stem), ""
    except PhotoError as error:
        photo.undelivered = printable(str(error))
        return False
    if decision is None or not decision.at or not row.ok or decision.input_sha256 != row.input_sha256:
        return False
    has_alpha = bool(decision.alpha_sha256) and (folder / decision.alpha).is_file()
    is_judged = decision.model in ("", row.model)  # otherwise another cutout was judged
    if (decision.state == "corrected" and has_alpha) or (decision.state in ("accepted", "rejected") and is_judged):
        photo.state = decision.state
    photo.alpha_sha256 = decision.alpha_sha256 if has_alpha else ""
    if has_alpha and photo.state != "accepted" and decision.written:
        files = [(folder / name, hashes[-1:]) for name, hashes in decision.written.items() if name in row.outputs]
        is_done = all(path.is_file() and sha256_of(path) in newest for path, newest in files)
        is_repeatable = photo.state == "corrected" and (folder / decision.prediction).is_file()
        photo.delivered_sha256 = photo.alpha_sha256 if is_done or not is_repeatable else ""
    photo.version, photo.note = max(decision.version, photo.version), decision.note
    photo.seconds, photo.edge_share = decision.seconds, decision.edge_share if has_alpha else None
    photo.changed_by, photo.changed_at = decision.who, datetime.fromisoformat(decision.at)
    session.flush()  # assigns its id
    kinds = {"corrected": "correct", "accepted": "accept", "rejected": "reject"}
    log_action(session, photo, kinds.get(photo.state, "save" if has_alpha else "reopen"), seconds=photo.seconds)
    return True


def _described(row: Row) -> dict[str, Any]:
    """The columns of the database that are taken from a row."""
    place = PurePosixPath(row.place or Path(row.input).stem)
    subject = subject_of(place)
    is_known = subject.view in VIEWS
    return {
        "row": text_of(row),
        "place": printable(str(place)),
        "garment": printable(str(place.with_name(subject.garment) if is_known else place)),
        "view": subject.view if is_known else UNKNOWN_VIEW,
        "doubt": row.doubt,
        "verdict": row.verdict,
        "order_doubt": FAILED_DOUBT if not row.ok else NO_DOUBT if row.doubt is None else row.doubt,
    }


def _take_again(session: Session, photo: PhotoRow, row: Row, folder: Path) -> None:
    if row.code == "bad_correction" and photo.state != "failed":
        return  # its earlier cutout can be corrected again
    earlier = row_of(photo)
    same_pixels, same_model = row.input_sha256 == earlier.input_sha256, row.model == earlier.model
    for name, value in _described(row).items():
        setattr(photo, name, value)
    if not same_pixels:
        photo.alpha_sha256, photo.edge_share = "", None
    is_cut_again = (row.seconds, row.options, row.written) != (earlier.seconds, earlier.options, earlier.written)
    if row.ok and is_cut_again:  # with the correction, if there is one
        photo.delivered_sha256 = photo.alpha_sha256 if photo.state == "corrected" else ""
    is_back = row.ok and photo.state == "failed"
    if row.ok and not is_back and same_pixels and (same_model or photo.state == "corrected"):
        return
    photo.state, photo.version = "open" if row.ok else "failed", photo.version + 1
    if not (is_back and _restore(session, photo, folder)):  # what was decided before it failed may hold again
        log_action(session, photo, "recut")


def item_of(photo: PhotoRow, folder: Path) -> Item:
    """A photo as the API returns it; docs/review-api.md lists the fields."""
    subject, is_cut = subject_of_photo(photo), photo.state != "failed"
    row, keys, media = subject.row, content_keys(subject), f"/media/{photo.id}"
    (height, width), heat = row.size_hw or (None, None), heat_path(folder, row.place)
    heat_time = heat.stat().st_mtime_ns if is_cut and heat.is_file() else None
    return {
        **{name: getattr(photo, name) for name in _SHOWN},
        "place": photo.key,
        "name": PurePosixPath(photo.key).name,
        "reasons": [printable(reason) for reason in row.reasons],
        "width": width,
        "height": height,
        "reason": printable(row.reason),
        "has_draft": bool(photo.alpha_sha256) and photo.state != "corrected",
        "has_alpha": bool(photo.alpha_sha256),
        "seconds": round(photo.seconds, 1),
        "changed_at": utc_of(photo.changed_at).isoformat() if photo.changed_at else None,
        "urls": {
            "page": f"/photos/{photo.id}",
            "thumbnail": f"{media}/thumbnail.jpg?v={keys['thumbnail']}",
            "photo": f"{media}/photo.jpg?v={keys['photo']}",
            "alpha": f"{media}/alpha.png?v={keys['alpha']}" if is_cut else None,
            "predicted": f"{media}/predicted.png?v={keys['predicted']}" if is_cut else None,
            "heat": f"{media}/heat.png?v={heat_time:x}" if heat_time is not None else None,
        },
    }


def subject_of_photo(photo: PhotoRow) -> ReviewPhoto:
    """A photo's record for the alpha files."""
    row = row_of(photo)
    place = row.place or Path(row.input).stem
    stem = decision_stem(place, row.input, is_second=photo.key != photo.place)
    return ReviewPhoto(row, stem, photo.alpha_sha256, holds_prediction=not photo.delivered_sha256)


def last_action(session: Session, photo: PhotoRow) -> str:
    """The last action on a photo in words: who, what and when; for a person whose write comes too late."""
    newest = select(ActionRow).where(ActionRow.photo_id == photo.id).order_by(ActionRow.version.desc()).limit(1)
    action = session.scalar(newest)
    if action is None:
        return "It is another now"
    time = utc_of(action.at).astimezone().strftime("%H:%M:%S")
    if action.kind == "recut":
        return f"Cut again by garmentcut cut at {time}"
    return f"{_WORDS.get(action.kind, 'Changed')} by {action.who or 'somebody'} at {time}"


def content_keys(subject: ReviewPhoto) -> dict[str, str]:
    """For each of a photo's pictures, a hash of everything that it depends on: `?v=` in its address."""
    row = subject.row
    prediction = fingerprint(row.input_sha256, row.model, row.seconds)
    alpha = subject.alpha_sha256[:16] or prediction
    return {
        "photo": row.input_sha256[:16] or fingerprint(row.input),
        "predicted": prediction,
        "alpha": alpha,
        "thumbnail": fingerprint(row.input_sha256 or row.input, alpha, "garment"),
    }


@dataclass
class Feed:
    """Follows the rows of an output folder as they are appended.

    `cut` appends whole lines; at its start and end it replaces the file by one with a single row for each photo. The
    last row of a photo counts.
    """

    folder: Path
    _inode: int = 0
    _offset: int = 0
    _last: bytes = b""
    _stamp: tuple[int, int, int] = (0, 0, 0)

    def rows(self) -> list[Row]:
        """Finished rows, `ok` or `failed`, since the last call; all rows if the file was replaced."""
        try:
            status = (self.folder / RESULTS_NAME).stat()
        except FileNotFoundError:
            return []
        if (stamp := (status.st_ino, status.st_size, status.st_mtime_ns)) == self._stamp:
            return []
        lines = self._read_lines()
        self._stamp = stamp
        rows = {row.input: row for line in lines if (row := read_row(line)) is not None}
        return [row for row in rows.values() if row.status != "pending"]

    def _read_lines(self) -> list[bytes]:
        with (self.folder / RESULTS_NAME).open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(max(self._offset - len(self._last), 0))
            if status.st_ino != self._inode or file.read(len(self._last)) != self._last:  # inodes are reused
                self._inode, self._offset, self._last = status.st_ino, 0, b""
                file.seek(0)
            *lines, torn = file.read().split(b"\n")
            self._offset = file.tell() - len(torn)
            self._last = lines[-1] + b"\n" if lines else self._last
        return lines
