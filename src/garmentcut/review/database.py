"""The database: SQLite in the batch's folder, or PostgreSQL by URL; opened, checked, and asked in transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, insert, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from garmentcut.review.tables import SCHEMA_VERSION, SchemaVersion, Table

_BUSY_S = 30
_POSTGRES_DRIVER = "postgresql+pg8000"


class DatabaseError(ValueError):
    """A database that cannot be used; the message says what to do."""


class Database:
    """Transactions; one object serves all threads.

    Args:
        url: `postgresql://...`, `sqlite:///...`, or the path of a SQLite file.

    Raises:
        DatabaseError: it cannot be reached, or another version of garmentcut made its tables.
    """

    def __init__(self, url: str | Path) -> None:
        self._engine = _engine_of(_url_of(url))
        self.name = self._engine.url.render_as_string()  # without the password
        try:
            self._make_tables()
        except SQLAlchemyError as error:
            self.close()
            reason = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
            raise DatabaseError(f"{self.name}: {reason}") from error
        except DatabaseError:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that changes nothing."""
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: what is done in it is stored whole when it ends, or not at all."""
        engine = self._engine.execution_options(garmentcut_writes=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Let all connections go."""
        self._engine.dispose()

    def _make_tables(self) -> None:
        try:
            Table.metadata.create_all(self._engine)
            with self.write() as session:
                if session.scalar(select(SchemaVersion.version)) is None:
                    session.execute(insert(SchemaVersion).values(version=SCHEMA_VERSION))
        except (
            DBAPIError
        ) as error:  # two servers make the tables of one database at a time: one of them finds them made
            if not isinstance(error, IntegrityError) and "exists" not in str(error.orig):
                raise
        with self.read() as session:
            version = session.scalar(select(SchemaVersion.version))
        if version != SCHEMA_VERSION:
            raise DatabaseError(f"{self.name}: made by another version of garmentcut ({version}); update garmentcut")


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
