"""Database queries of the review's routes and pages: the queue, page by page, and a batch's statistics."""

import base64
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from garmentcut.errors import ReviewError
from garmentcut.prediction.results import FOREIGN, foreign_warning
from garmentcut.review.database import STATES, ActionRow, PhotoRow
from garmentcut.review.photos import utc_of

State = Literal["open", "accepted", "corrected", "rejected", "failed"]
_Text = Annotated[str, Field(max_length=400)]
NO_VERDICT = "none"
_DECIDED = ("accepted", "corrected", "rejected")
_SECONDS_BINS = (0, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_EDGE_BINS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


class QueueQuery(BaseModel):
    """Which photos to list, in which order. Filters of one kind are alternatives; of several kinds, all must match."""

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


class Page(NamedTuple):
    """A page of the queue."""

    photos: Sequence[PhotoRow]
    cursor: str | None
    total: int


def find_page(session: Session, batch_id: str, query: QueueQuery) -> Page:
    """A page of the queue, and how many photos the whole queue has.

    Raises:
        ReviewError: `query.after` is not one of ours.
    """
    matching = _matching(batch_id, query)
    found = select(PhotoRow).where(*matching).order_by(*_order(query.sort)).limit(query.limit + 1)
    if query.after:
        found = found.where(_beyond(query.sort, _read_cursor(query.after)))
    photos = session.scalars(found).all()
    has_more, photos = len(photos) > query.limit, photos[: query.limit]
    cursor = _write_cursor(photos[-1]) if has_more else None
    return Page(photos, cursor, session.scalar(_count(matching)) or 0)


def find_neighbours(session: Session, photo: PhotoRow, query: QueueQuery) -> dict[str, int | None]:
    """A photo's place in a queue to which it need not belong: `previous`, `next`, `position`, `total`."""
    matching, place = _matching(photo.batch_id, query), (photo.order_doubt, photo.key)
    before, behind = (_beyond(query.sort, place, backwards=backwards) for backwards in (True, False))
    first = select(PhotoRow.id).where(*matching).limit(1)
    return {
        "previous": session.scalar(first.where(before).order_by(*_order(query.sort, backwards=True))),
        "next": session.scalar(first.where(behind).order_by(*_order(query.sort))),
        "position": (session.scalar(_count([*matching, before])) or 0) + 1,
        "total": session.scalar(_count(matching)) or 0,
    }


def overview_of(session: Session, batch_id: str) -> dict[str, Any]:
    """How many photos of a batch have each state, view, verdict and a doubt, and a warning if many are foreign.

    A photo looks unlike the studio that the model was trained on if that is the first of its row's flags.
    """
    is_foreign = PhotoRow.row.contains(f'"flags": ["{FOREIGN}"', autoescape=True)
    own, counts = PhotoRow.batch_id == batch_id, count_states(session, batch_id)
    known, num_foreign = (session.scalar(_count([own, one])) or 0 for one in (PhotoRow.doubt.is_not(None), is_foreign))
    verdicts = _count_by(session, batch_id, PhotoRow.verdict)
    return {
        "counts": counts,
        "warning": foreign_warning(num_foreign, sum(counts.values()) - counts["failed"]),
        "facets": {
            "view": _count_by(session, batch_id, PhotoRow.view),
            "verdict": {verdict or NO_VERDICT: number for verdict, number in verdicts.items()},
            "doubt": {"known": known, "none": sum(verdicts.values()) - known},
        },
    }


def count_states(session: Session, batch_id: str) -> dict[str, int]:
    """How many photos are in each state."""
    return dict.fromkeys(STATES, 0) | _count_by(session, batch_id, PhotoRow.state)


def _count_by(session: Session, batch_id: str, column: Any) -> dict[str, int]:
    """How many photos of a batch have each value of a column."""
    counted = select(column, func.count()).where(PhotoRow.batch_id == batch_id).group_by(column)
    return {value: number for value, number in session.execute(counted)}  # noqa: C416 - rows are no pairs to mypy


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
    """Photos after a place in the order, or before it."""
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
        raise ReviewError("after is not the cursor of a page; ask for the first page again") from error


def statistics_of(session: Session, batch_id: str) -> dict[str, Any]:
    """Figures of a batch, as `GET /api/statistics` answers; seconds are hands-on, of decided photos only."""
    photos = session.execute(
        select(PhotoRow.state, PhotoRow.seconds, PhotoRow.edge_share).where(PhotoRow.batch_id == batch_id)
    ).all()
    decided = [photo for photo in photos if photo.state in _DECIDED]
    seconds = [photo.seconds for photo in decided]
    shares = [photo.edge_share for photo in photos if photo.state == "corrected" and photo.edge_share is not None]
    by_state = {state: [photo.seconds for photo in decided if photo.state == state] for state in _DECIDED}
    return {
        "photos": len(photos),
        "counts": count_states(session, batch_id),
        "decided": len(decided),
        "corrected": len(by_state["corrected"]),
        "seconds": _summary(seconds) if seconds else None,
        "histogram": _histogram(seconds, _SECONDS_BINS),
        "by_state": {
            state: {"photos": len(own), "median": _averages(own)["median"]} for state, own in by_state.items()
        },
        "edge": {**_averages(shares, 4), "histogram": _histogram(shares, _EDGE_BINS)} if shares else None,
        **_by_day_and_person(session, batch_id),
    }


def _summary(seconds: Sequence[float]) -> dict[str, float | None]:
    return {"total": round(sum(seconds), 1), **_averages(seconds), "p90": round(float(np.percentile(seconds, 90)), 1)}


def _averages(values: Sequence[float], digits: int = 1) -> dict[str, float | None]:
    mean, median = (round(float(of(values)), digits) if values else None for of in (np.mean, np.median))
    return {"mean": mean, "median": median}


def _histogram(values: Sequence[float], edges: Sequence[float]) -> list[dict[str, Any]]:
    """The number of photos in each bin; a bin excludes its upper edge."""
    numbers = np.histogram(values, [*edges, np.inf])[0].tolist()
    return [
        {"from": low, "to": high, "photos": n} for low, high, n in zip(edges, [*edges[1:], None], numbers, strict=True)
    ]


def _by_day_and_person(session: Session, batch_id: str) -> dict[str, Any]:
    actions = session.execute(
        select(ActionRow.at, ActionRow.who, ActionRow.seconds, ActionRow.photo_id)
        .join(PhotoRow, PhotoRow.id == ActionRow.photo_id)
        .where(PhotoRow.batch_id == batch_id, ActionRow.kind != "recut")
        .order_by(ActionRow.at)
    ).all()
    days: dict[str, list[Any]] = defaultdict(list)
    people: dict[str, list[Any]] = defaultdict(list)
    for action in actions:
        days[utc_of(action.at).astimezone().date().isoformat()].append(action)
        people[action.who].append(action)
    return {
        "by_day": [{"day": day, **_effort(done)} for day, done in days.items()],
        "by_person": [{"who": who, **_effort(done)} for who, done in sorted(people.items())],
    }


def _effort(actions: Sequence[Any]) -> dict[str, Any]:
    """Photos that somebody worked on, and the time it took."""
    seconds = round(sum(action.seconds for action in actions), 1)
    return {"photos": len({action.photo_id for action in actions}), "seconds": seconds}
