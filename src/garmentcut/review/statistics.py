"""The product's own measure: hands-on seconds a photo, and how much of the edge a person had to move."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from garmentcut.review.items import utc_of
from garmentcut.review.queries import count_states
from garmentcut.review.tables import ActionRow, PhotoRow

_DECIDED = ("accepted", "corrected", "rejected")
_SECONDS_BINS = (0, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_EDGE_BINS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


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
        "seconds": _summary(seconds),
        "histogram": _histogram(seconds, _SECONDS_BINS),
        "by_state": {state: {"photos": len(own), "median": _median(own)} for state, own in by_state.items()},
        "edge": _edge(shares),
        **_by_day_and_person(session, batch_id),
    }


def _summary(seconds: Sequence[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    return {
        "total": round(sum(seconds), 1),
        "mean": round(float(np.mean(seconds)), 1),
        "median": round(float(np.median(seconds)), 1),
        "p90": round(float(np.percentile(seconds, 90)), 1),
    }


def _edge(shares: Sequence[float]) -> dict[str, Any] | None:
    if not shares:
        return None
    return {
        "mean": round(float(np.mean(shares)), 4),
        "median": round(float(np.median(shares)), 4),
        "histogram": _histogram(shares, _EDGE_BINS),
    }


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 1) if values else None


def _histogram(values: Iterable[float], edges: Sequence[float]) -> list[dict[str, Any]]:
    """Photos in each bin, from one edge up to, but without, the next."""
    numbers = [0] * len(edges)
    for value in values:
        numbers[int(np.searchsorted(edges, value, side="right")) - 1] += 1
    ends: list[float | None] = [*edges[1:], None]
    return [
        {"from": start, "to": end, "photos": number} for start, end, number in zip(edges, ends, numbers, strict=True)
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
