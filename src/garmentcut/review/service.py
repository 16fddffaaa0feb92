"""A batch that is open in `garmentcut review`: owns its database, store, files and model."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from garmentcut.config import RuntimeConfig
from garmentcut.errors import DatabaseError, ModelError
from garmentcut.photo.files import remove_staged
from garmentcut.photo.photo import Photo
from garmentcut.prediction.folder import Order, read_batch
from garmentcut.review.cutting import CutService, Model
from garmentcut.review.database import Database
from garmentcut.review.guard import Access
from garmentcut.review.media import THUMBNAILS, Alpha8, AlphaFiles, Media, ReviewPhoto
from garmentcut.review.redraw import Canvas, Stroke, redraw
from garmentcut.review.store import Store

DATABASE_NAME = "review.sqlite"
_STAGED_FOR_S = 3600  # older temporary files are no longer being written
_THUMBNAILS_FOR_S = 60 * 86_400  # older ones are removed, and made again on request


@dataclass(frozen=True)
class Settings:
    """How a batch is reviewed."""

    folder: Path  # the batch's folder
    database: str | None = None  # URL; None: SQLite in the folder
    model: Path | None = None  # model file; None: the one that the batch was cut with
    runtime: RuntimeConfig | None = None  # where the network runs


class Service(CutService):
    """One batch under review.

    Raises:
        garmentcut.errors.SourceError: the folder is not a batch.
        garmentcut.errors.DatabaseError: the database cannot be used.
        OSError: the folder cannot be written to.
    """

    def __init__(self, settings: Settings, access: Access) -> None:
        self.folder = settings.folder.resolve()
        batch = read_batch(self.folder)
        newest = list(batch.orders.values())[-1] if batch.orders else Order()
        named = settings.model or (Path(newest.model) if newest.model else None)
        super().__init__(Model(named, settings.runtime, newest.cut), access)
        self.database = Database(settings.database or self.folder / DATABASE_NAME)
        self.alphas = AlphaFiles(self.folder, batch, self.model.cut)
        with self.database.opening():
            self.store = Store(self.folder, batch.id, self.database, self.alphas)
        self.media = Media(self.folder, self.alphas)
        self._last_photo: tuple[str, Photo] | None = None

    def open(self) -> None:
        """Read the results, finish the writes that a killed server left incomplete, and start loading the model."""
        with self.database.opening():
            self.store.refresh()
            self.store.recover()
        super().open()

    def _prepare(self) -> None:
        """Load the model, and remove old thumbnails and temporary files that killed servers left."""
        super()._prepare()
        with suppress(ModelError):
            self.model.tiles()
        with suppress(OSError):
            for folder, _, _ in os.walk(self.folder):
                remove_staged(Path(folder), older_than_s=_STAGED_FOR_S)
            for thumbnail in (self.folder / THUMBNAILS).glob("*.jpg"):
                if time.time() - thumbnail.stat().st_mtime > _THUMBNAILS_FOR_S:
                    thumbnail.unlink()

    def why_not_ready(self) -> str:
        """Why the service is not ready, in words; empty: it is ready."""
        if reason := super().why_not_ready():
            return reason
        if not self.model.is_loaded(with_tiles=True):
            return "the model is being loaded, or cannot be"
        try:
            with self.database.read() as session:
                session.execute(text("SELECT 1"))
        except (SQLAlchemyError, DatabaseError):
            return "the database does not respond"
        return ""

    def close(self) -> None:
        """Close the database."""
        super().close()
        self.database.close()

    def redraw(self, subject: ReviewPhoto, stroke: Stroke) -> Alpha8:
        """Have the model draw the box of a stroke again; raises ReviewError if it cannot, or too many strokes wait."""
        digest, photo = self._last_photo or ("", None)  # strokes on the same photo follow each other
        if photo is None or digest != subject.row.input_sha256:
            photo = self.alphas.read_photo(subject.row)
            self._last_photo = (subject.row.input_sha256, photo)
        canvas = Canvas(photo, self.alphas.predicted(subject), self.alphas.current(subject))
        return redraw(canvas, stroke, self.model.tiles())
