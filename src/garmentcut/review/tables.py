"""The database's tables. Every write bumps the batch's revision and the photo's version, in one transaction."""

from datetime import datetime

from sqlalchemy import DateTime, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 1
STATES = ("open", "accepted", "corrected", "rejected", "failed")
NO_DOUBT, FAILED_DOUBT = -1.0, -2.0
"""What stands for a doubt where none is known, and for that of a photo that failed: to sort by."""


class Table(DeclarativeBase):
    """Of all tables."""


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
    """A photo as it stands.

    Attributes:
        key: its place, or what tells it from another photo at the same place; printable.
        row: its row of results.jsonl, as JSON: the one place for paths, which need not be printable.
        order_doubt: to sort by; `NO_DOUBT` and `FAILED_DOUBT` come last.
        version: counts this photo's writes; every write names the one it is based on.
        revision: the batch's at its last write.
        alpha_sha256: of its corrected alpha's file, draft or final; empty: there is none.
        delivered_sha256: of the alpha that its outputs hold; empty: the prediction.
        undelivered: why the outputs could not be made again; empty: they could, or need not.
        seconds: hands-on, so far.
        edge_share: share of the rim that the corrected alpha moved.
    """

    __tablename__ = "photos"
    __table_args__ = (
        UniqueConstraint("batch_id", "key"),
        Index("photos_by_revision", "batch_id", "revision"),
        Index("photos_by_doubt", "batch_id", "order_doubt", "key"),
        Index("photos_by_garment", "batch_id", "garment"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id"))
    key: Mapped[str] = mapped_column(Text)
    place: Mapped[str] = mapped_column(Text)
    garment: Mapped[str] = mapped_column(Text)
    view: Mapped[str] = mapped_column(String(32))
    row: Mapped[str] = mapped_column(Text)
    doubt: Mapped[float | None] = mapped_column(Float)
    order_doubt: Mapped[float] = mapped_column(Float)
    verdict: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(Integer, default=1)
    revision: Mapped[int] = mapped_column(Integer)
    note: Mapped[str] = mapped_column(Text, default="")
    alpha_sha256: Mapped[str] = mapped_column(String(64), default="")
    delivered_sha256: Mapped[str] = mapped_column(String(64), default="")
    undelivered: Mapped[str] = mapped_column(Text, default="")
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    edge_share: Mapped[float | None] = mapped_column(Float)
    changed_by: Mapped[str] = mapped_column(Text, default="")
    changed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ActionRow(Table):
    """One thing that somebody did; rows are only ever added.

    Attributes:
        kind: accept, reject, reopen, revert, save (a draft), correct, note, or recut (by `garmentcut cut`).
        version: the photo's after it.
        state: the photo's after it.
        alpha_sha256: of the corrected alpha after it; empty: none.
        pixels_changed: of a save or a correction, against the prediction, by more than 8 of 255 levels.
    """

    __tablename__ = "actions"
    __table_args__ = (Index("actions_by_photo", "photo_id", "version"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    photo_id: Mapped[int] = mapped_column(ForeignKey("photos.id"))
    version: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    who: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    note: Mapped[str] = mapped_column(Text, default="")
    alpha_sha256: Mapped[str] = mapped_column(String(64), default="")
    pixels_changed: Mapped[int | None] = mapped_column(Integer)
    edge_share: Mapped[float | None] = mapped_column(Float)
