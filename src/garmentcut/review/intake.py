"""Rows of results.jsonl taken into the database: new photos, and photos that were cut again."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from sqlalchemy import select
from sqlalchemy.orm import Session

from garmentcut.dataset.pair import VIEWS
from garmentcut.prediction.names import subject_of
from garmentcut.prediction.results import Row
from garmentcut.review.tables import FAILED_DOUBT, NO_DOUBT, ActionRow, BatchRow, PhotoRow

UNKNOWN_VIEW = "unknown"
_AT_A_TIME = 400  # values in one question to the database


def take_rows(session: Session, batch: BatchRow, rows: Iterable[Row]) -> None:
    """Bring the photos of a batch up to date.

    A photo cut again from other pixels or by another model is open again, whatever was decided: another cutout was
    judged. A correction outlives another model, for `cut` delivers it, but not other pixels.

    Args:
        session: of a write; the batch's row is locked.
        batch: the photos'.
        rows: finished ones, each photo once.
    """
    rows = list(rows)
    known = _known_photos(session, batch, rows)
    for row in rows:
        key = _key_of(row, known)
        photo = known.get(key)
        if photo is None:
            known[key] = _new_photo(batch, key, row)
            session.add(known[key])
        elif photo.row != (text := text_of(row)):
            _take_again(session, photo, row, text)
        else:
            continue
        batch.revision += 1
        known[key].revision = batch.revision


def text_of(row: Row) -> str:
    """A row as the database holds it."""
    return json.dumps(asdict(row), sort_keys=True)


def row_of(photo: PhotoRow) -> Row:
    """The row that a photo was taken from."""
    content = json.loads(photo.row)
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    written = {name: tuple(hashes) for name, hashes in content["written"].items()}
    return Row(**{**content, **lists, "written": written})


def printable(text: str) -> str:
    """A text that any database and page can hold: bytes that are no text are written out."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _known_photos(session: Session, batch: BatchRow, rows: list[Row]) -> dict[str, PhotoRow]:
    """The photos that rows may be about, by key; not all others of the batch, for rows come one at a time."""
    keys, known = [key for row in rows for key in _possible_keys(row)], dict[str, PhotoRow]()
    for start in range(0, len(keys), _AT_A_TIME):
        asked = PhotoRow.batch_id == batch.id, PhotoRow.key.in_(keys[start : start + _AT_A_TIME])
        known |= {photo.key: photo for photo in session.scalars(select(PhotoRow).where(*asked))}
    return known


def _possible_keys(row: Row) -> tuple[str, str]:
    place = printable(row.place or Path(row.input).stem)
    return place, f"{place}~{printable(Path(row.input).suffix.lstrip('.').lower())}"


def _key_of(row: Row, known: dict[str, PhotoRow]) -> str:
    """The photo's place; behind it the kind of file, where another photo has taken the place."""
    place, with_kind = _possible_keys(row)
    taker = known.get(place)
    if taker is None or (earlier := row_of(taker)).input == row.input:
        return place
    moved = earlier.input_sha256 == row.input_sha256 and not Path(earlier.input).exists()
    return place if moved else with_kind


def _new_photo(batch: BatchRow, key: str, row: Row) -> PhotoRow:
    photo = PhotoRow(
        batch_id=batch.id,
        key=key,
        state="open" if row.ok else "failed",
        version=1,
        note="",
        alpha_sha256="",
        delivered_sha256="",
        undelivered="",
        seconds=0.0,
        changed_by="",
    )
    _describe(photo, row)
    return photo


def _describe(photo: PhotoRow, row: Row) -> None:
    place = PurePosixPath(row.place or Path(row.input).stem)
    subject = subject_of(place)
    is_known = subject.view in VIEWS
    photo.row = text_of(row)
    photo.place = printable(str(place))
    photo.garment = printable(str(place.with_name(subject.garment) if is_known else place))
    photo.view = subject.view if is_known else UNKNOWN_VIEW
    photo.doubt, photo.verdict = row.doubt, row.verdict
    photo.order_doubt = FAILED_DOUBT if not row.ok else NO_DOUBT if row.doubt is None else row.doubt


def _take_again(session: Session, photo: PhotoRow, row: Row, text: str) -> None:
    earlier = row_of(photo)
    same_pixels, same_model = row.input_sha256 == earlier.input_sha256, row.model == earlier.model
    _describe(photo, row)
    photo.row = text
    if not same_pixels:
        photo.alpha_sha256, photo.edge_share = "", None
    if row.ok and row.seconds != earlier.seconds:  # cut again: with the correction, where there is one
        photo.delivered_sha256 = photo.alpha_sha256 if photo.state == "corrected" else ""
    if not row.ok:
        photo.state = "failed"
    elif photo.state == "failed" or not (same_pixels and (same_model or photo.state == "corrected")):
        photo.state = "open"
    else:
        return
    photo.version += 1
    session.add(
        ActionRow(
            photo_id=photo.id,
            version=photo.version,
            at=datetime.now(UTC),
            who="",
            kind="recut",
            state=photo.state,
            alpha_sha256=photo.alpha_sha256,
        )
    )
