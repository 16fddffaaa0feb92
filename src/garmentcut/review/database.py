"""The database of the review, SQLite or PostgreSQL: its tables, transactions, and the queries of its pages.

Each write increments the batch's revision and the photo's version in the same transaction.
"""

import base64
import itertools
import json
import sqlite3
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column

from garmentcut.errors import DatabaseError, ReviewError
from garmentcut.prediction.results import FOREIGN, foreign_warning

SCHEMA_VERSION = 1
State = Literal["open", "accepted", "corrected", "rejected", "failed"]
STATES: tuple[str, ...] = get_args(State)
NO_DOUBT, FAILED_DOUBT = -1.0, -2.0
"""Sort keys of photos whose doubt is not known, and of photos that failed."""
_BUSY_S = 30
# The last kind: a table lacks a column, because something else made it.
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR)
_START_ANEW = "move it away and start again: what people decided is in files, too, and is taken over"
_BETWEEN_TRIES_S = 0.2
_POSTGRES_DRIVER = "postgresql+pg8000"


class Table(MappedAsDataclass, DeclarativeBase, kw_only=True, eq=False, repr=False):
    """Base of all tables; a new row has the default values of its columns immediately."""

    type_annotation_map: ClassVar = {str: sa.Text, float: sa.Float, datetime: sa.DateTime(timezone=True)}


class SchemaVersion(Table):
    """One row: which version of garmentcut made the tables."""

    __tablename__ = "garmentcut_review"
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class BatchRow(Table):
    """A batch; its revision counts the writes to any of its photos."""

    __tablename__ = "batches"
    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    revision: Mapped[int] = mapped_column(default=0)


class PhotoRow(Table):
    """A photo's current state."""

    __tablename__ = "photos"
    __table_args__ = (
        sa.UniqueConstraint("batch_id", "key"),
        sa.Index("photos_by_revision", "batch_id", "revision"),
        sa.Index("photos_by_doubt", "batch_id", "order_doubt", "key"),
        sa.Index("photos_by_garment", "batch_id", "garment"),
    )
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    batch_id: Mapped[str] = mapped_column(sa.ForeignKey("batches.id"))
    key: Mapped[str]  # its place, or what distinguishes it from another photo at the same place; printable
    place: Mapped[str]
    garment: Mapped[str]
    view: Mapped[str] = mapped_column(sa.String(32))
    row: Mapped[str]  # row of results.jsonl as JSON; the only place for paths, which need not be printable
    doubt: Mapped[float | None]
    order_doubt: Mapped[float]  # sort key; `NO_DOUBT` and `FAILED_DOUBT` come last
    verdict: Mapped[str] = mapped_column(sa.String(16))
    state: Mapped[str] = mapped_column(sa.String(16))
    version: Mapped[int] = mapped_column(default=1)  # counts writes; each names the version it is based on
    revision: Mapped[int] = mapped_column(default=0)  # the batch's at its last write
    note: Mapped[str] = mapped_column(default="")
    # SHA-256 of its corrected alpha's file, draft or final; empty: there is none.
    alpha_sha256: Mapped[str] = mapped_column(sa.String(64), default="")
    # SHA-256 of the alpha that its outputs hold; empty: the prediction.
    delivered_sha256: Mapped[str] = mapped_column(sa.String(64), default="")
    # Why the outputs could not be made again; empty: they were, or this is not needed.
    undelivered: Mapped[str] = mapped_column(default="")
    seconds: Mapped[float] = mapped_column(default=0.0)  # time spent working on it so far
    edge_share: Mapped[float | None] = mapped_column(default=None)  # share of the outline that the correction moved
    changed_by: Mapped[str] = mapped_column(default="")
    changed_at: Mapped[datetime | None] = mapped_column(default=None)


class ActionRow(Table):
    """One action of a person; rows are only ever added."""

    __tablename__ = "actions"
    __table_args__ = (sa.Index("actions_by_photo", "photo_id", "version"),)
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    photo_id: Mapped[int] = mapped_column(sa.ForeignKey("photos.id"))
    version: Mapped[int]  # the photo's version after it
    at: Mapped[datetime]
    who: Mapped[str]
    # Accept, reject, reopen, revert, save (a draft), correct, note, or recut (by `garmentcut cut`).
    kind: Mapped[str] = mapped_column(sa.String(16))
    state: Mapped[str] = mapped_column(sa.String(16))  # the photo's state after it
    seconds: Mapped[float] = mapped_column(default=0.0)
    note: Mapped[str] = mapped_column(default="")
    alpha_sha256: Mapped[str] = mapped_column(sa.String(64), default="")  # of the corrected alpha after it; empty: none
    # For a save or a correction: pixels that differ from the prediction by more than 8 of 255 levels.
    pixels_changed: Mapped[int | None] = mapped_column(default=None)
    edge_share: Mapped[float | None] = mapped_column(default=None)


class Database:
    """Gives access to the database in transactions; safe to use from several threads.

    Its address is `postgresql://...`, `sqlite:///...`, or the path of a SQLite file.

    Raises:
        DatabaseError: it cannot be reached or is damaged, or another version of garmentcut made its tables.
    """

    def __init__(self, url: str | Path) -> None:
        self._engine = _engine_of(_url_of(url))
        self.name = self._engine.url.render_as_string()  # without the password
        self._file: tuple[int, int] | None = None  # device and inode of SQLite's file
        with self.opening():
            self._check_file()
            self._make_tables()
            self._file = self._found_file()

    @contextmanager
    def opening(self) -> Iterator[None]:
        """A context for the start of a server: errors close the database and become a `DatabaseError`."""
        try:
            yield
        except (SQLAlchemyError, ValueError) as error:  # ValueError: an invalid value, such as a date
            self.close()
            raise DatabaseError(f"{self.name}: {reason_of(error)}") from error
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only transaction."""
        self._check_place()
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is committed at the end of the context, or rolled back on an error."""
        self._check_place()
        engine = self._engine.execution_options(garmentcut_writes=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _check_place(self) -> None:
        """Raise DatabaseError if SQLite's file was moved or replaced; SQLite would keep writing, and all be lost."""
        if self._file is not None and self._found_file() != self._file:
            raise DatabaseError(f"{self.name}: removed or replaced since the server was started; start it again")

    def _found_file(self) -> tuple[int, int] | None:
        name = self._engine.url.database
        if self._engine.url.get_backend_name() != "sqlite" or not name:
            return None
        try:
            status = Path(name).stat()
        except OSError:
            return 0, 0
        return status.st_dev, status.st_ino

    def _check_file(self) -> None:
        """Check the whole file, so that damage is found at the start and not when somebody needs the data."""
        if self._engine.url.get_backend_name() == "sqlite":
            with self._engine.connect() as connection:
                if (found := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()) != "ok":
                    raise DatabaseError(f"{self.name}: damaged ({found}); {_START_ANEW}")

    def _make_tables(self) -> None:
        for is_last in (False, False, True):
            try:
                Table.metadata.create_all(self._engine)
                with self.write() as session:
                    if session.scalar(sa.select(SchemaVersion.version)) is None:
                        session.execute(sa.insert(SchemaVersion).values(version=SCHEMA_VERSION))
                break
            except DBAPIError:  # another server may be creating the tables
                if is_last:
                    raise
                time.sleep(_BETWEEN_TRIES_S)
        with self.read() as session:
            version = session.scalar(sa.select(SchemaVersion.version))
        if version != SCHEMA_VERSION:
            raise DatabaseError(f"{self.name}: made by another version of garmentcut ({version}); update garmentcut")


def utc_of(time: datetime) -> datetime:
    """A time from the database in UTC; SQLite does not store time zones."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def reason_of(error: Exception) -> str:
    """A message that says why a database cannot be used, and how to fix it."""
    origin = getattr(error, "orig", None) or error
    reason = " ".join(str(origin).split())[:200]
    is_damaged = getattr(origin, "sqlite_errorcode", 0) in _DAMAGED or isinstance(error, ValueError)
    return f"{reason}; {_START_ANEW}" if is_damaged else reason


def _url_of(url: str | Path) -> sa.URL:
    if isinstance(url, Path) or "://" not in url:
        return sa.URL.create("sqlite", database=str(url))
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseError(f"{url.partition('://')[0]}://...: not the address of a database") from error
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername=_POSTGRES_DRIVER)
    if parsed.drivername not in ("sqlite", _POSTGRES_DRIVER):
        raise DatabaseError(f"{parsed.drivername}: not a supported database; use postgresql:// or sqlite:///")
    return parsed


def _engine_of(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        try:
            return sa.create_engine(url, pool_pre_ping=True, pool_size=8, max_overflow=8, pool_timeout=_BUSY_S)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise DatabaseError("pg8000 is not installed; run: pip install 'garmentcut[web]'") from error
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_S}, pool_size=8, max_overflow=8, pool_timeout=_BUSY_S)
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # otherwise the driver begins transactions itself, and too late
    connection.create_function("lower", 1, str.lower, deterministic=True)  # SQLite's own knows only ASCII
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A writer takes the lock at once: a reader that becomes a writer later cannot wait for another, but fails.
    writes = connection.get_execution_options().get("garmentcut_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


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
        ReviewError: `query.after` is not a valid cursor.
    """
    matching = _matching(batch_id, query)
    found = sa.select(PhotoRow).where(*matching).order_by(*_order(query.sort)).limit(query.limit + 1)
    if query.after:
        found = found.where(_beyond(query.sort, _read_cursor(query.after)))
    photos = session.scalars(found).all()
    has_more, photos = len(photos) > query.limit, photos[: query.limit]
    cursor = _write_cursor(photos[-1]) if has_more else None
    return Page(photos, cursor, session.scalar(_count(matching)) or 0)


def find_neighbours(session: Session, photo: PhotoRow, query: QueueQuery) -> dict[str, int | None]:
    """`previous`, `next`, `position` and `total` of a photo in a queue; the photo need not match its filters."""
    matching, place = _matching(photo.batch_id, query), (photo.order_doubt, photo.key)
    before, behind = (_beyond(query.sort, place, backwards=backwards) for backwards in (True, False))
    first = sa.select(PhotoRow.id).where(*matching).limit(1)
    return {
        "previous": session.scalar(first.where(before).order_by(*_order(query.sort, backwards=True))),
        "next": session.scalar(first.where(behind).order_by(*_order(query.sort))),
        "position": (session.scalar(_count([*matching, before])) or 0) + 1,
        "total": session.scalar(_count(matching)) or 0,
    }


def overview_of(session: Session, batch_id: str) -> dict[str, Any]:
    """Numbers of photos in a batch by state, view, verdict and doubt, and a warning if many photos are foreign.

    A photo is foreign, that is, unlike the studio that the model was trained on, if the first flag of its row says so.
    """
    is_foreign = PhotoRow.row.contains(f'"flags": ["{FOREIGN}"', autoescape=True)
    own, counts = PhotoRow.batch_id == batch_id, count_states(session, batch_id)
    known, num_foreign = (session.scalar(_count([own, one])) or 0 for one in (PhotoRow.doubt.is_not(None), is_foreign))
    verdicts = _count_by(session, batch_id, PhotoRow.verdict)
    return {
        "counts": counts,
        "warning": foreign_warning(num_foreign if counts["open"] else 0, sum(counts.values()) - counts["failed"]),
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
    counted = sa.select(column, sa.func.count()).where(PhotoRow.batch_id == batch_id).group_by(column)
    return {value: number for value, number in session.execute(counted)}  # noqa: C416 - rows are no pairs to mypy


def _matching(batch_id: str, query: QueueQuery) -> list[sa.ColumnElement[bool]]:
    wanted: list[sa.ColumnElement[bool]] = [PhotoRow.batch_id == batch_id]
    verdicts = ["" if verdict == NO_VERDICT else verdict for verdict in query.verdict]
    columns = (PhotoRow.state, query.state), (PhotoRow.view, query.view), (PhotoRow.garment, query.garment)
    wanted += [column.in_(values) for column, values in (*columns, (PhotoRow.verdict, verdicts)) if values]
    if text := query.text.strip().replace("\0", ""):
        forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}  # names of files have either
        # icontains with autoescape ignores case, and takes % and _ literally.
        tried = itertools.product((PhotoRow.place, PhotoRow.note), forms)
        wanted.append(sa.or_(*(column.icontains(form, autoescape=True) for column, form in tried)))
    return wanted


def _count(wanted: list[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(PhotoRow).where(*wanted)


def _order(sort: str, *, backwards: bool = False) -> tuple[sa.ColumnElement[Any], ...]:
    if sort == "name":
        return (PhotoRow.key.desc() if backwards else PhotoRow.key.asc(),)
    if backwards:
        return PhotoRow.order_doubt.asc(), PhotoRow.key.desc()
    return PhotoRow.order_doubt.desc(), PhotoRow.key.asc()


def _beyond(sort: str, place: tuple[float, str], *, backwards: bool = False) -> sa.ColumnElement[bool]:
    """Photos after a place in the order, or before it."""
    doubt, key = place
    by_key = PhotoRow.key < key if backwards else PhotoRow.key > key
    if sort == "name":
        return by_key
    by_doubt = PhotoRow.order_doubt > doubt if backwards else PhotoRow.order_doubt < doubt
    return sa.or_(by_doubt, sa.and_(PhotoRow.order_doubt == doubt, by_key))


def _write_cursor(photo: PhotoRow) -> str:
    return base64.urlsafe_b64encode(json.dumps([photo.order_doubt, photo.key]).encode()).decode()


def _read_cursor(cursor: str) -> tuple[float, str]:
    try:
        doubt, key = json.loads(base64.urlsafe_b64decode(cursor))
        return float(doubt), str(key).encode().decode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ReviewError("after is not the cursor of a page; ask for the first page again") from error


def statistics_of(session: Session, batch_id: str) -> dict[str, Any]:
    """Statistics of a batch, as in `GET /api/statistics`; working time in seconds, of decided photos only."""
    photos = session.execute(
        sa.select(PhotoRow.state, PhotoRow.seconds, PhotoRow.edge_share).where(PhotoRow.batch_id == batch_id)
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
        sa.select(ActionRow.at, ActionRow.who, ActionRow.seconds, ActionRow.photo_id)
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
    """The number of photos that somebody worked on, and the time that it took."""
    seconds = round(sum(action.seconds for action in actions), 1)
    return {"photos": len({action.photo_id for action in actions}), "seconds": seconds}
