"""The database behind the review's store and queries, SQLite or PostgreSQL: its tables and its transactions.

Every write bumps the batch's revision and the photo's version, in one transaction.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    DateTime,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    insert,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from garmentcut.errors import DatabaseError

SCHEMA_VERSION = 1
STATES = ("open", "accepted", "corrected", "rejected", "failed")
NO_DOUBT, FAILED_DOUBT = -1.0, -2.0
"""What stands for a doubt where none is known, and for that of a photo that failed: to sort by."""
_BUSY_S = 30
# The last: tables without a column, which somebody else made.
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR)
_START_ANEW = "move it away and start again: what people decided is in files, too, and is taken over"
_BETWEEN_TRIES_S = 0.2
_POSTGRES_DRIVER = "postgresql+pg8000"


class Table(DeclarativeBase):
    """Base of all tables."""


class SchemaVersion(Table):
    """One row: which version of garmentcut made the tables."""

    __tablename__ = "garmentcut_review"
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


class BatchRow(Table):
    """A batch; its revision counts the writes to any of its photos."""

    __tablename__ = "batches"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, default=0)


class PhotoRow(Table):
    """A photo's current state."""

    __tablename__ = "photos"
    __table_args__ = (
        UniqueConstraint("batch_id", "key"),
        Index("photos_by_revision", "batch_id", "revision"),
        Index("photos_by_doubt", "batch_id", "order_doubt", "key"),
        Index("photos_by_garment", "batch_id", "garment"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id"))
    # Its place, or what distinguishes it from another photo at the same place; printable.
    key: Mapped[str] = mapped_column(Text)
    place: Mapped[str] = mapped_column(Text)
    garment: Mapped[str] = mapped_column(Text)
    view: Mapped[str] = mapped_column(String(32))
    # Its row of results.jsonl, as JSON: the one place for paths, which need not be printable.
    row: Mapped[str] = mapped_column(Text)
    doubt: Mapped[float | None] = mapped_column(Float)
    order_doubt: Mapped[float] = mapped_column(Float)  # to sort by; `NO_DOUBT` and `FAILED_DOUBT` come last
    verdict: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    # Counts this photo's writes; every write names the one it is based on.
    version: Mapped[int] = mapped_column(Integer, default=1)
    revision: Mapped[int] = mapped_column(Integer)  # the batch's at its last write
    note: Mapped[str] = mapped_column(Text, default="")
    # Of its corrected alpha's file, draft or final; empty: there is none.
    alpha_sha256: Mapped[str] = mapped_column(String(64), default="")
    # Of the alpha that its outputs hold; empty: the prediction.
    delivered_sha256: Mapped[str] = mapped_column(String(64), default="")
    # Why the outputs could not be made again; empty: they were, or need not be.
    undelivered: Mapped[str] = mapped_column(Text, default="")
    seconds: Mapped[float] = mapped_column(Float, default=0.0)  # hands-on, so far
    edge_share: Mapped[float | None] = mapped_column(Float)  # share of the outline that the corrected alpha moved
    changed_by: Mapped[str] = mapped_column(Text, default="")
    changed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ActionRow(Table):
    """One action of a person; rows are only ever added."""

    __tablename__ = "actions"
    __table_args__ = (Index("actions_by_photo", "photo_id", "version"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    photo_id: Mapped[int] = mapped_column(ForeignKey("photos.id"))
    version: Mapped[int] = mapped_column(Integer)  # the photo's after it
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    who: Mapped[str] = mapped_column(Text)
    # Accept, reject, reopen, revert, save (a draft), correct, note, or recut (by `garmentcut cut`).
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))  # the photo's after it
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    note: Mapped[str] = mapped_column(Text, default="")
    alpha_sha256: Mapped[str] = mapped_column(String(64), default="")  # of the corrected alpha after it; empty: none
    # Of a save or a correction, against the prediction, by more than 8 of 255 levels.
    pixels_changed: Mapped[int | None] = mapped_column(Integer)
    edge_share: Mapped[float | None] = mapped_column(Float)


class Database:
    """Transactions; one object serves all threads.

    Args:
        url: `postgresql://...`, `sqlite:///...`, or the path of a SQLite file.

    Raises:
        DatabaseError: it cannot be reached or is damaged, or another version of garmentcut made its tables.
    """

    def __init__(self, url: str | Path) -> None:
        self._engine = _engine_of(_url_of(url))
        self.name = self._engine.url.render_as_string()  # without the password
        self._file: tuple[int, int] | None = None  # device and number of SQLite's file
        with self.opening():
            self._check_file()
            self._make_tables()
            self._file = self._found_file()

    @contextmanager
    def opening(self) -> Iterator[None]:
        """While a server starts: what goes wrong is told as what it means for the database, which is closed.

        Raises:
            DatabaseError: it cannot be used; says what to do.
        """
        try:
            yield
        except (SQLAlchemyError, ValueError) as error:  # a value that no such table holds, such as a date
            self.close()
            raise DatabaseError(f"{self.name}: {reason_of(error)}") from error
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that changes nothing."""
        self._check_place()
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: stored as a whole when it ends, or not at all."""
        self._check_place()
        engine = self._engine.execution_options(garmentcut_writes=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _check_place(self) -> None:
        """SQLite would go on writing into a file that has lost its name, and nothing of it would be left.

        Raises:
            DatabaseError: it is gone, or another one stands in its place.
        """
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
        """A page damaged in the middle is found now, not by the first person who needs it."""
        if self._engine.url.get_backend_name() == "sqlite":
            with self._engine.connect() as connection:
                if (found := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()) != "ok":
                    raise DatabaseError(f"{self.name}: damaged ({found}); {_START_ANEW}")

    def _make_tables(self) -> None:
        for is_last in (False, False, True):
            try:
                Table.metadata.create_all(self._engine)
                with self.write() as session:
                    if session.scalar(select(SchemaVersion.version)) is None:
                        session.execute(insert(SchemaVersion).values(version=SCHEMA_VERSION))
                break
            except DBAPIError:  # another server makes the tables of the same database, perhaps
                if is_last:
                    raise
                time.sleep(_BETWEEN_TRIES_S)
        with self.read() as session:
            version = session.scalar(select(SchemaVersion.version))
        if version != SCHEMA_VERSION:
            raise DatabaseError(f"{self.name}: made by another version of garmentcut ({version}); update garmentcut")


def reason_of(error: Exception) -> str:
    """Why a database cannot be used, in words, and what to do about it."""
    origin = getattr(error, "orig", None) or error
    reason = " ".join(str(origin).split())[:200]
    is_damaged = getattr(origin, "sqlite_errorcode", 0) in _DAMAGED or isinstance(error, ValueError)
    return f"{reason}; {_START_ANEW}" if is_damaged else reason


def _url_of(url: str | Path) -> URL:
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseError(f"{url.partition('://')[0]}://...: not the address of a database") from error
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername=_POSTGRES_DRIVER)
    if parsed.drivername not in ("sqlite", _POSTGRES_DRIVER):
        raise DatabaseError(f"{parsed.drivername}: not a database known here; use postgresql:// or sqlite:///")
    return parsed


def _engine_of(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        try:
            return create_engine(url, pool_pre_ping=True, pool_size=8, max_overflow=8, pool_timeout=_BUSY_S)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise DatabaseError("pg8000 is not installed; run: pip install 'garmentcut[web]'") from error
    engine = create_engine(url, connect_args={"timeout": _BUSY_S}, pool_size=8, max_overflow=8, pool_timeout=_BUSY_S)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions by itself, and too late
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A writer takes its turn at once: one that began as a reader could not wait for another, but would fail.
    writes = connection.get_execution_options().get("garmentcut_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
