"""All that the routes share: the batch, its store, its pictures, its model; opened and closed with the server."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool

from garmentcut.config import CutConfig, OutputConfig, ReadConfig, RuntimeConfig
from garmentcut.model.card import ModelError, read_model
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.files import remove_staged
from garmentcut.photo.photo import OutputError, Photo, PhotoError
from garmentcut.photo.read import decode_photo, format_of
from garmentcut.photo.write import encode_cutout
from garmentcut.prediction.batch import Order, read_batch
from garmentcut.prediction.cutter import Cutter, default_model
from garmentcut.prediction.results import RESULTS_NAME
from garmentcut.prediction.runtime import load_runtime
from garmentcut.review.alphas import Alpha8, AlphaFiles, Subject
from garmentcut.review.database import Database, PhotoRow
from garmentcut.review.errors import NotAPhotoError, QueueFullError, TooLargeError, UnfitError
from garmentcut.review.guard import Access
from garmentcut.review.media import THUMBNAILS, Media
from garmentcut.review.photos import Item, item_of
from garmentcut.review.queries import (
    NO_VERDICT,
    Page,
    QueueQuery,
    count_by,
    count_doubted,
    count_states,
    find_neighbours,
    find_page,
)
from garmentcut.review.redraw import Canvas, Stroke, Tiles, redraw
from garmentcut.review.store import Store

MAX_PHOTO_BYTES = 100_000_000
MAX_WAITING, MAX_UPLOADS = 8, 64
"""Photos that wait or are cut, and bodies that are on their way."""
MAX_BYTES = 800_000_000
"""Of all bodies together, on their way or waiting."""
_UNJUDGED_S = 1.0  # a body that has just begun is not slow yet
_FULL = "too many photos wait to be cut; send it again later"
_LIMITS = ReadConfig(max_mb=MAX_PHOTO_BYTES // 1_000_000, max_megapixels=80.0)
Wanted = Literal["png", "mask", "psd"]
DATABASE_NAME = "review.sqlite"
_MOST_CHANGES = 500
_STAGED_FOR_S = 3600  # a file that is being written is younger
_THUMBNAILS_FOR_S = 60 * 86_400  # older ones are made again when somebody asks
_AT_WORK_S = 30  # one photo after another: a row every few seconds


class Model:
    """Loads a model file on first use.

    Args:
        path: an ONNX file with a card; None: the embedded one.
        config: backend and threads.
        cut: effort and choke.
    """

    def __init__(
        self, path: Path | None = None, config: RuntimeConfig | None = None, cut: CutConfig | None = None
    ) -> None:
        self._path, self._config, self._cut = path, config, cut
        self._cutter: Cutter | None = None
        self._tiles: Tiles | None = None
        self._loading = threading.Lock()
        self._running = threading.Lock()

    def tiles(self) -> Tiles:
        """The model for the smart brush.

        Raises:
            garmentcut.model.card.ModelError: it cannot be loaded.
        """
        with self._loading:
            if self._tiles is None:
                self._tiles = load_tiles(self._path, self._config)
            return self._tiles

    @property
    def is_loaded(self) -> bool:
        """It need not be waited for."""
        return self._cutter is not None and self._tiles is not None

    def cutter(self) -> Cutter:
        """The loaded model.

        Raises:
            garmentcut.model.card.ModelError: it cannot be loaded.
        """
        with self._loading:
            if self._cutter is None:
                self._cutter = Cutter.load(self._path, config=self._config, cut=self._cut)
            return self._cutter

    def cut(self, photo: Photo) -> Cutout:
        """Cut one photo; calls wait for each other, so that the memory of one is enough.

        Raises:
            garmentcut.photo.photo.PhotoError: no garment was found.
        """
        cutter = self.cutter()
        with self._running:
            return cutter(photo)


def load_tiles(path: Path | None, config: RuntimeConfig | None) -> Tiles:
    """A model file's network for tiles.

    Raises:
        garmentcut.model.card.ModelError: it cannot be used.
    """
    content, card = read_model(path if path is not None else default_model())
    tiles = Tiles(card, load_runtime(content, card, config))
    tiles.warm_up()
    return tiles


class CutQueue:
    """Cuts photos in the order in which their bodies are complete: one that trickles in keeps no other waiting.

    Args:
        model: cuts them.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._uploads: dict[asyncio.Timeout, tuple[float, bytearray]] = {}  # when each began, and what has come of it
        self._num_waiting = 0
        self._num_bytes = 0
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def upload(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A body, once it is complete; its memory counts until the end of the context.

        Args:
            parts: of the body, as they come.

        Raises:
            QueueFullError: too many wait, or come at a time and this one is the slowest of them.
        """
        self._check_room()
        content = bytearray()
        try:
            async with asyncio.timeout(None) as patience:
                self._uploads[patience] = asyncio.get_running_loop().time(), content
                self._give_up_slowest()
                async for part in parts:
                    content += part
                    self._num_bytes += len(part)
                    if self._num_bytes > MAX_BYTES:
                        raise QueueFullError(_FULL)
        except TimeoutError as error:
            raise QueueFullError("too many photos come at a time, and this one is slow; send it again later") from error
        else:
            self._uploads.pop(patience, None)
            yield bytes(content)
        finally:
            self._uploads.pop(patience, None)
            self._num_bytes -= len(content)

    async def cut(self, data: bytes, wanted: Wanted, name: str) -> bytes:
        """Cut one photo.

        Args:
            data: a photo file's content.
            wanted: format of the answer.
            name: of the photo, for the layer of a psd.

        Raises:
            QueueFullError: too many wait.
            NotAPhotoError: it cannot be read.
            TooLargeError: it has too many pixels.
            UnfitError: there is no garment in it.
        """
        self._check_room()
        self._num_waiting += 1
        try:
            async with self._turn:
                return await run_in_threadpool(self._cut, data, wanted, name)
        finally:
            self._num_waiting -= 1

    def _check_room(self) -> None:
        if self._num_waiting >= MAX_WAITING:
            raise QueueFullError(_FULL)

    def _give_up_slowest(self) -> None:
        if len(self._uploads) <= MAX_UPLOADS:
            return
        now = asyncio.get_running_loop().time()
        rates = {
            patience: len(content) / (now - began)
            for patience, (began, content) in self._uploads.items()
            if now - began > _UNJUDGED_S
        }
        slowest = min(rates, key=rates.__getitem__, default=list(self._uploads)[-1])
        slowest.reschedule(now)
        del self._uploads[slowest]

    def _cut(self, data: bytes, wanted: Wanted, name: str) -> bytes:
        photo = _decoded(data)
        try:
            return encode_cutout(self._model.cut(photo).picture, wanted, OutputConfig(formats=(wanted,)), name=name)
        except (PhotoError, OutputError) as error:
            raise UnfitError(str(error)) from error


def _decoded(data: bytes) -> Photo:
    try:
        format_of(data)
        return decode_photo(data, limits=_LIMITS)
    except PhotoError as error:
        if error.code == "too_large":  # its words name options, which a caller here cannot change
            most = f"{_LIMITS.max_megapixels:g} megapixels and {_LIMITS.max_side_px} pixels a side"
            raise TooLargeError(f"too large a photo: at most {most} are accepted here") from error
        raise NotAPhotoError(f"not a photo that can be read here: {error}") from error


@dataclass(frozen=True)
class Settings:
    """How a batch is reviewed.

    Attributes:
        folder: the batch's.
        database: URL; None: SQLite in the folder.
        model: file; None: the one that the batch was cut with.
        runtime: where the network runs.
    """

    folder: Path
    database: str | None = None
    model: Path | None = None
    runtime: RuntimeConfig | None = None


class Service:
    """One batch under review.

    Raises:
        garmentcut.prediction.batch.BatchError: the folder is no batch.
        garmentcut.review.database.DatabaseError: the database cannot be used.
        OSError: the folder cannot be written.
    """

    def __init__(self, settings: Settings, access: Access) -> None:
        self.folder, self.access = settings.folder.resolve(), access
        batch = read_batch(self.folder)
        newest = list(batch.orders.values())[-1] if batch.orders else Order()
        named = settings.model or (Path(newest.model) if newest.model else None)
        self.model = Model(named, settings.runtime, newest.cut)
        self.database = Database(settings.database or self.folder / DATABASE_NAME)
        self.alphas = AlphaFiles(self.folder, batch, self.model.cut)
        self.store = Store(self.folder, batch.id, self.database, self.alphas)
        self.media = Media(self.folder, self.alphas)
        self.cut_queue = CutQueue(self.model)
        self._is_closing = threading.Event()
        self._last_photo: tuple[str, Photo] | None = None

    def open(self) -> None:
        """Take in what is there, finish what an earlier server was killed in, and load the model meanwhile."""
        threading.Thread(target=self._prepare, name="prepare", daemon=True).start()
        self.store.refresh()
        self.store.recover()

    def _prepare(self) -> None:
        """Load the model, and clear what killed servers left staged and thumbnails that have not been made lately."""
        with suppress(ModelError):  # whoever needs it is told
            self.model.cutter()
            self.model.tiles()
        with suppress(OSError):
            for folder, _, _ in os.walk(self.folder):
                remove_staged(Path(folder), older_than_s=_STAGED_FOR_S)
            for thumbnail in (self.folder / THUMBNAILS).glob("*.jpg"):
                if time.time() - thumbnail.stat().st_mtime > _THUMBNAILS_FOR_S:
                    thumbnail.unlink()

    def why_not_ready(self) -> str:
        """In words; empty: it is."""
        if self._is_closing.is_set():
            return "closing"
        return "" if self.model.is_loaded else "the model is being loaded, or cannot be"

    def close(self) -> None:
        """Let the database go."""
        self._is_closing.set()
        self.database.close()

    @property
    def is_running(self) -> bool:
        """`garmentcut cut` seems to be at work in the folder; to try its lock could get in its way."""
        try:
            return time.time() - (self.folder / RESULTS_NAME).stat().st_mtime < _AT_WORK_S
        except OSError:
            return False

    def queue(self, query: QueueQuery) -> dict[str, Any]:
        """A page of the queue, as `GET /api/photos` answers."""
        self.store.refresh()
        with self.database.read() as session:
            page: Page = find_page(session, self.store.batch_id, query)
            views, verdicts = (
                count_by(session, self.store.batch_id, column) for column in (PhotoRow.view, PhotoRow.verdict)
            )
            known = count_doubted(session, self.store.batch_id)
            return {
                "items": self._items(page.photos),
                "cursor": page.cursor,
                "total": page.total,
                "counts": count_states(session, self.store.batch_id),
                "revision": self.store.revision(session),
                "facets": {
                    "view": views,
                    "verdict": {verdict or NO_VERDICT: number for verdict, number in verdicts.items()},
                    "doubt": {"known": known, "none": sum(verdicts.values()) - known},
                },
                "running": self.is_running,
            }

    def photo(self, photo_id: int, query: QueueQuery) -> Item:
        """A photo, its garment's views and its neighbours, as `GET /api/photos/{id}` answers."""
        self.store.refresh()
        with self.database.read() as session:
            photo = self.store.photo(session, photo_id)
            around = find_neighbours(session, photo, query)
            return item_of(photo, self.folder) | {
                "siblings": self._items(self.store.siblings(session, photo)),
                "previous": around.previous,
                "next": around.next,
                "position": around.position,
                "total": around.total,
            }

    def changes(self, since: int) -> dict[str, Any]:
        """What was written after a revision, as `GET /api/changes` answers."""
        self.store.refresh()
        with self.database.read() as session:
            revision = self.store.revision(session)
            photos = self.store.changes(session, since, limit=_MOST_CHANGES + 1)
            has_more, photos = len(photos) > _MOST_CHANGES, photos[:_MOST_CHANGES]
            return {
                "revision": photos[-1].revision if has_more else revision,
                "items": self._items(photos),
                "counts": count_states(session, self.store.batch_id),
                "running": self.is_running,
                "more": has_more,
            }

    def redraw(self, subject: Subject, stroke: Stroke) -> Alpha8:
        """Let the model draw the box of a stroke again.

        Raises:
            NotFoundError: the photo or its prediction is gone.
            BusyError: too many strokes wait.
        """
        canvas = Canvas(self._photo_of(subject), self.alphas.predicted(subject), self.alphas.current(subject))
        return redraw(canvas, stroke, self.model.tiles())

    def _photo_of(self, subject: Subject) -> Photo:
        """The photo; one stroke follows another on the same one, so that the last is kept."""
        digest, photo = self._last_photo or ("", None)
        if photo is None or digest != subject.row.input_sha256:
            photo = self.alphas.read_photo(subject.row)
            self._last_photo = (subject.row.input_sha256, photo)
        return photo

    def _items(self, photos: Any) -> list[Item]:
        return [item_of(photo, self.folder) for photo in photos]
