"""The queue: which photos are asked for, in which order; found by the database, page by page."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from garmentcut.review.tables import STATES, PhotoRow

State = Literal["open", "accepted", "corrected", "rejected", "failed"]
_Text = Annotated[str, Field(max_length=400)]
NO_VERDICT = "none"


class CursorError(ValueError):
    """An `after` that no answer has given."""


class QueueQuery(BaseModel):
    """Which photos, in which order. Filters of one kind: any of them; of several kinds: all of them."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    state: list[State] = Field(default=[])
    """Of the review."""
    view: list[_Text] = Field(default=[])
    """Front, FrontRight, Back or unknown."""
    verdict: list[Literal["accept", "review", "none"]] = Field(default=[])
    """Of the model; `none`: it has given none."""
    garment: list[_Text] = Field(default=[])
    """Exactly."""
    text: _Text = ""
    """Looked for in place and note, case aside."""
    sort: Literal["doubt", "name"] = "doubt"
    """`doubt`: most doubtful first; `name`: by place."""
    after: _Text = ""
    """`cursor` of the page before; empty: the first page."""
    limit: Annotated[int, Field(ge=1, le=500)] = 60
    """Photos on a page."""


@dataclass(frozen=True)
class Page:
    """A page of the queue."""

    photos: Sequence[PhotoRow]
    cursor: str | None
    total: int


@dataclass(frozen=True)
class Neighbours:
    """Where a photo stands in the queue."""

    previous: int | None
    next: int | None
    position: int
    total: int


def find_page(session: Session, batch_id: str, query: QueueQuery) -> Page:
    """A page of the queue, and how many photos the whole queue has.

    Raises:
        CursorError: `query.after` is not one of ours.
    """
    matching = _matching(batch_id, query)
    found = select(PhotoRow).where(*matching).order_by(*_order(query.sort)).limit(query.limit + 1)
    if query.after:
        found = found.where(_beyond(query.sort, _read_cursor(query.after)))
    photos = session.scalars(found).all()
    has_more, photos = len(photos) > query.limit, photos[: query.limit]
    cursor = _write_cursor(photos[-1]) if has_more else None
    return Page(photos, cursor, session.scalar(_count(matching)) or 0)


def find_neighbours(session: Session, photo: PhotoRow, query: QueueQuery) -> Neighbours:
    """The photos before and behind one, in a queue that it need not belong to itself."""
    matching, place = _matching(photo.batch_id, query), (photo.order_doubt, photo.key)
    ids = select(PhotoRow.id).where(*matching)
    behind = ids.where(_beyond(query.sort, place)).order_by(*_order(query.sort)).limit(1)
    before = (
        ids.where(_beyond(query.sort, place, backwards=True)).order_by(*_order(query.sort, backwards=True)).limit(1)
    )
    num_before: int = session.scalar(_count([*matching, _beyond(query.sort, place, backwards=True)])) or 0
    total: int = session.scalar(_count(matching)) or 0
    return Neighbours(session.scalar(before), session.scalar(behind), num_before + 1, total)


def count_by(session: Session, batch_id: str, column: Any) -> dict[str, int]:
    """How many photos of a batch have each value of a column."""
    counted = select(column, func.count()).where(PhotoRow.batch_id == batch_id).group_by(column)
    return {value: number for value, number in session.execute(counted)}  # noqa: C416 - rows are no pairs to mypy


def count_doubted(session: Session, batch_id: str) -> int:
    """Of how many photos the model has said how sure it is."""
    return session.scalar(_count([PhotoRow.batch_id == batch_id, PhotoRow.doubt.is_not(None)])) or 0


def count_states(session: Session, batch_id: str) -> dict[str, int]:
    """How many photos are in each state."""
    return dict.fromkeys(STATES, 0) | count_by(session, batch_id, PhotoRow.state)


def _matching(batch_id: str, query: QueueQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [PhotoRow.batch_id == batch_id]
    verdicts = ["" if verdict == NO_VERDICT else verdict for verdict in query.verdict]
    columns = (PhotoRow.state, query.state), (PhotoRow.view, query.view), (PhotoRow.garment, query.garment)
    wanted += [column.in_(values) for column, values in (*columns, (PhotoRow.verdict, verdicts)) if values]
    if text := query.text.strip().replace("\0", ""):
        # icontains: letters without case, and % and _ as they stand.
        wanted.append(
            or_(PhotoRow.place.icontains(text, autoescape=True), PhotoRow.note.icontains(text, autoescape=True))
        )
    return wanted


def _count(wanted: list[ColumnElement[bool]]) -> Select[Any]:
    return select(func.count()).select_from(PhotoRow).where(*wanted)


def _order(sort: str, *, backwards: bool = False) -> tuple[ColumnElement[Any], ...]:
    if sort == "name":
        return (PhotoRow.key.desc() if backwards else PhotoRow.key.asc(),)
    if backwards:
        return PhotoRow.order_doubt.asc(), PhotoRow.key.desc()
    return PhotoRow.order_doubt.desc(), PhotoRow.key.asc()


def _beyond(sort: str, place: tuple[float, str], *, backwards: bool = False) -> ColumnElement[bool]:
    """Photos behind a place in the order, or before it."""
    doubt, key = place
    by_key = PhotoRow.key < key if backwards else PhotoRow.key > key
    if sort == "name":
        return by_key
    by_doubt = PhotoRow.order_doubt > doubt if backwards else PhotoRow.order_doubt < doubt
    return or_(by_doubt, and_(PhotoRow.order_doubt == doubt, by_key))


def _write_cursor(photo: PhotoRow) -> str:
    return base64.urlsafe_b64encode(json.dumps([photo.order_doubt, photo.key]).encode()).decode()


def _read_cursor(cursor: str) -> tuple[float, str]:
    try:
        doubt, key = json.loads(base64.urlsafe_b64decode(cursor))
        return float(doubt), str(key)
    except (ValueError, TypeError, RecursionError) as error:
        raise CursorError("after is not the cursor of a page; ask for the first page again") from error
