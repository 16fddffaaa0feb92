"""A photo as the page and other programs see it."""

from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from garmentcut.dataset.decisions import decision_stem
from garmentcut.prediction.batch import OWN_FOLDER
from garmentcut.prediction.results import fingerprint
from garmentcut.review.alphas import Subject
from garmentcut.review.intake import printable, row_of
from garmentcut.review.tables import ActionRow, PhotoRow

Item = dict[str, Any]

_WORDS = {
    "accept": "Accepted",
    "reject": "Rejected",
    "reopen": "Opened again",
    "revert": "Set back to the prediction",
    "save": "A correction was saved",
    "correct": "Corrected",
    "note": "A note was written",
}


def item_of(photo: PhotoRow, folder: Path) -> Item:
    """A photo's item; docs/review-api.md lists its fields.

    Args:
        photo: the photo.
        folder: of the batch.
    """
    row = row_of(photo)
    height, width = row.size_hw or (None, None)
    return {
        "id": photo.id,
        "place": photo.key,
        "name": PurePosixPath(photo.key).name,
        "garment": photo.garment,
        "view": photo.view,
        "doubt": photo.doubt,
        "verdict": photo.verdict,
        "reasons": [printable(reason) for reason in row.reasons],
        "state": photo.state,
        "version": photo.version,
        "note": photo.note,
        "width": width,
        "height": height,
        "reason": printable(row.reason),
        "has_draft": bool(photo.alpha_sha256) and photo.state != "corrected",
        "has_alpha": bool(photo.alpha_sha256),
        "undelivered": photo.undelivered,
        "seconds": round(photo.seconds, 1),
        "edge_share": photo.edge_share,
        "changed_by": photo.changed_by,
        "changed_at": utc_of(photo.changed_at).isoformat() if photo.changed_at else None,
        "urls": _urls_of(photo, folder),
    }


def subject_of_photo(photo: PhotoRow) -> Subject:
    """Where what belongs to a photo lies."""
    row = row_of(photo)
    place = row.place or Path(row.input).stem
    stem = decision_stem(place, row.input, is_second=photo.key != photo.place)
    return Subject(row, stem, photo.alpha_sha256, holds_prediction=not photo.delivered_sha256)


def heat_path(folder: Path, place: str) -> Path:
    """Where `cut` leaves the doubt of each pixel, if it leaves one: gray PNG."""
    return folder / OWN_FOLDER / "heat" / f"{place}.png"


def utc_of(time: datetime) -> datetime:
    """A time out of the database: SQLite's have lost their zone."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def last_action(session: Session, photo: PhotoRow) -> str:
    """What became of a photo last, by whom and when, for somebody whose write comes too late."""
    newest = select(ActionRow).where(ActionRow.photo_id == photo.id).order_by(ActionRow.version.desc()).limit(1)
    action = session.scalar(newest)
    if action is None:
        return "It is another now"
    time = utc_of(action.at).astimezone().strftime("%H:%M:%S")
    if action.kind == "recut":
        return f"Cut again by garmentcut cut at {time}"
    return f"{_WORDS.get(action.kind, 'Changed')} by {action.who or 'somebody'} at {time}"


def content_keys(photo: PhotoRow) -> dict[str, str]:
    """What each of a photo's pictures depends on, hashed: `?v=` of its address."""
    row = row_of(photo)
    prediction = fingerprint(row.input_sha256, row.model, row.seconds)
    alpha = photo.alpha_sha256[:16] or prediction
    return {
        "photo": row.input_sha256[:16] or fingerprint(row.input),
        "predicted": prediction,
        "alpha": alpha,
        "thumbnail": fingerprint(row.input_sha256, alpha, "garment"),
    }


def _urls_of(photo: PhotoRow, folder: Path) -> dict[str, str | None]:
    keys, media = content_keys(photo), f"/media/{photo.id}"
    is_cut = photo.state != "failed"
    heat = heat_path(folder, row_of(photo).place) if is_cut else None
    heat_time = heat.stat().st_mtime_ns if heat is not None and heat.is_file() else None
    return {
        "page": f"/photos/{photo.id}",
        "thumbnail": f"{media}/thumbnail.jpg?v={keys['thumbnail']}",
        "photo": f"{media}/photo.jpg?v={keys['photo']}",
        "alpha": f"{media}/alpha.png?v={keys['alpha']}" if is_cut else None,
        "predicted": f"{media}/predicted.png?v={keys['predicted']}" if is_cut else None,
        "heat": f"{media}/heat.png?v={heat_time:x}" if heat_time is not None else None,
    }
