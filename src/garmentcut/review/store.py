"""Reads a batch for the review's routes, stores decisions with versions and a log, and rewrites the cut pictures."""

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from sqlalchemy import case, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from garmentcut.dataset.corrections import DECISIONS_FOLDER, LOCK_NAME, Decision, read_decision, write_decision
from garmentcut.errors import DatabaseError, LockTakenError, OutputError, PhotoError, ReviewError
from garmentcut.naming import VIEWS
from garmentcut.photo.files import LOCK_NAME as CUT_LOCK_NAME
from garmentcut.photo.files import FolderLock, StagedFile, may_be_held, sha256_of, write_atomic
from garmentcut.photo.photo import Cutout, to_alpha
from garmentcut.photo.spec import Sighting, Specification, shared_scales, sight_garment
from garmentcut.photo.write import png_bytes
from garmentcut.prediction.locate import split_garments
from garmentcut.prediction.results import RESULTS_NAME, may_replace
from garmentcut.prediction.sources import Source, garment_of, subject_of
from garmentcut.prediction.steps import files_of
from garmentcut.review.database import (
    ActionRow,
    BatchRow,
    Database,
    PhotoRow,
    QueueQuery,
    count_states,
    find_neighbours,
    find_page,
    overview_of,
    statistics_of,
    utc_of,
)
from garmentcut.review.media import AlphaFiles, EdgeChange, ReviewPhoto, measure_change, read_gray
from garmentcut.review.photos import (
    Feed,
    Item,
    item_of,
    last_action,
    log_action,
    printable,
    row_of,
    subject_of_photo,
    take_rows,
)

_LOCK_TIMEOUT_S = 120
_MOST_CHANGES = 500
_AT_WORK_S = 30  # a running `cut` writes a row every few seconds
# A garment's views in the order in which they are photographed.
_BY_VIEW = case({view: number for number, view in enumerate(VIEWS)}, value=PhotoRow.view, else_=len(VIEWS))
ActionKind = Literal["accept", "reject", "reopen", "revert"]


def wanted_alpha(photo: PhotoRow) -> str:
    """SHA-256 of the alpha that the outputs should hold; empty: the prediction. If undecided, as they are now."""
    return {"accepted": "", "corrected": photo.alpha_sha256}.get(photo.state, photo.delivered_sha256)


def _delivered_subject(photo: PhotoRow) -> ReviewPhoto:
    return replace(subject_of_photo(photo), alpha_sha256=photo.delivered_sha256)


@dataclass(frozen=True)
class Basis:
    """What a write is based on."""

    photo_id: int  # the photo
    version: int  # version of the photo that the person saw
    who: str = ""  # the person; empty: not given
    seconds: float = 0.0  # time spent working since the last write


class Store:
    """Reads and writes one batch. The next server completes what a killed server left undone.

    A decision's file is written before outputs are replaced, and holds their hashes: if the server is killed in
    between, the outputs are still recognised as garmentcut's own.
    """

    def __init__(self, folder: Path, batch_id: str, database: Database, alphas: AlphaFiles) -> None:
        self.folder, self.batch_id, self.database, self.alphas = folder, batch_id, database, alphas
        self._feed, self._turn = Feed(folder), threading.Lock()
        self._photos = select(PhotoRow).where(PhotoRow.batch_id == batch_id)
        (folder / DECISIONS_FOLDER).mkdir(parents=True, exist_ok=True)
        with database.write() as session:
            if session.get(BatchRow, batch_id) is None:
                session.add(BatchRow(id=batch_id, revision=0))

    def refresh(self) -> None:
        """Read what `cut` has written since the last call."""
        if rows := self._feed.rows():
            try:
                with self.database.write() as session:
                    take_rows(session, self._locked_batch(session), rows, self.folder)
            except BaseException:
                self._feed = Feed(self.folder)  # so that the next call reads them again
                raise

    def recover(self) -> None:
        """Complete what an earlier server did not do, because it was killed or failed."""
        with self.database.read() as session:
            photos = session.scalars(self._photos.where(PhotoRow.changed_at.is_not(None)).order_by(PhotoRow.id)).all()
        for photo in photos:
            is_due = wanted_alpha(photo) != photo.delivered_sha256
            is_there = (self.folder / subject_of_photo(photo).alpha_name).exists()  # decoding all would take long
            if not is_there and self._open_if_lost(photo):
                continue
            if is_due or self._recorded_version(photo) != photo.version:
                self.apply(photo.id)

    def _open_if_lost(self, photo: PhotoRow) -> bool:
        """Open a photo again whose corrected alpha was deleted or damaged, so that it can be corrected again."""
        if photo.state == "failed" or not photo.alpha_sha256:
            return False
        try:
            self.alphas.current(subject_of_photo(photo))
            return False
        except ReviewError as error:
            is_missing = isinstance(error.__cause__, FileNotFoundError) and (self.folder / RESULTS_NAME).is_file()
            if isinstance(error.__cause__, OSError) and not is_missing:
                return False  # the folder is away, or its share fails, for a while
            lost = f"its correction is lost, correct it again: {error}"
        with suppress(ReviewError):  # somebody has changed it meanwhile
            self.decide(Basis(photo.id, photo.version), "revert")
            self._mark(photo, lost)
        return True

    def photo(self, session: Session, photo_id: int) -> PhotoRow:
        """A photo of this batch; raises ReviewError if there is none with this id."""
        photo = session.get(PhotoRow, photo_id) if 0 < photo_id < 2**31 else None
        if photo is None or photo.batch_id != self.batch_id:
            raise ReviewError("no such photo in this batch", code="not_found")
        return photo

    def find(self, photo_id: int) -> PhotoRow:
        """As `photo`, for reading only."""
        with self.database.read() as session:
            return self.photo(session, photo_id)

    @property
    def is_running(self) -> bool:
        """Whether `garmentcut cut` seems to be running in the folder; trying its lock could disturb it."""
        try:
            is_recent = time.time() - (self.folder / RESULTS_NAME).stat().st_mtime < _AT_WORK_S
            return is_recent and may_be_held(self.folder / CUT_LOCK_NAME)
        except OSError:
            return False

    def queue(self, query: QueueQuery) -> dict[str, Any]:
        """A page of the queue, as returned by `GET /api/photos`."""
        self.refresh()
        with self.database.read() as session:
            page = find_page(session, self.batch_id, query)
            return {
                "items": [item_of(photo, self.folder) for photo in page.photos],
                "cursor": page.cursor,
                "total": page.total,
                **overview_of(session, self.batch_id),
                "revision": self._revision(session),
                "running": self.is_running,
            }

    def show(self, photo_id: int, query: QueueQuery) -> Item:
        """A photo, its garment's views and its neighbours, as returned by `GET /api/photos/{id}`."""
        self.refresh()
        self._open_if_lost(self.find(photo_id))
        with self.database.read() as session:
            photo = self.photo(session, photo_id)
            views = self._photos.where(PhotoRow.garment == photo.garment).order_by(_BY_VIEW, PhotoRow.key)
            siblings = [item_of(sibling, self.folder) for sibling in session.scalars(views)]
            shown = {"siblings": siblings, "revision": self._revision(session)}
            return item_of(photo, self.folder) | shown | find_neighbours(session, photo, query)

    def changes(self, since: int) -> dict[str, Any]:
        """What was written after a revision, the oldest write first, as returned by `GET /api/changes`."""
        self.refresh()
        with self.database.read() as session:
            revision = self._revision(session)
            found = self._photos.where(PhotoRow.revision > since).order_by(PhotoRow.revision).limit(_MOST_CHANGES + 1)
            photos = session.scalars(found).all()
            has_more, photos = len(photos) > _MOST_CHANGES, photos[:_MOST_CHANGES]
            return {
                "revision": photos[-1].revision if has_more else revision,
                "items": [item_of(photo, self.folder) for photo in photos],
                "counts": count_states(session, self.batch_id),
                "running": self.is_running,
                "more": has_more,
            }

    def statistics(self) -> dict[str, Any]:
        """Statistics of the batch, as returned by `GET /api/statistics`."""
        self.refresh()
        with self.database.read() as session:
            return statistics_of(session, self.batch_id)

    def _revision(self, session: Session) -> int:
        """The batch's revision, which each write increments."""
        return session.scalar(select(BatchRow.revision).where(BatchRow.id == self.batch_id)) or 0

    def actions(self, photo_id: int) -> Sequence[ActionRow]:
        """The actions on a photo, newest first."""
        with self.database.read() as session:
            self.photo(session, photo_id)
            done = select(ActionRow).where(ActionRow.photo_id == photo_id).order_by(ActionRow.id.desc())
            return session.scalars(done).all()

    def decide(self, basis: Basis, kind: ActionKind | Literal["note"], note: str | None = None) -> Item:
        """Accept, reject or reopen a photo, or discard its correction, or only replace its note.

        Raises:
            ReviewError: there is no such photo, it was never cut, or somebody else has changed it.
        """
        with self.database.write() as session:
            photo = self._claimed(session, basis)
            if photo.state == "failed" and kind != "note":
                message = "It was not cut, so there is nothing to decide"
                raise ReviewError(message, code="conflict", item=item_of(photo, self.folder))
            photo.note = photo.note if note is None else note
            if kind == "revert":
                photo.alpha_sha256, photo.edge_share = "", None
            accepted = "corrected" if photo.alpha_sha256 else "accepted"
            photo.state = {"accept": accepted, "reject": "rejected", "note": photo.state}.get(kind, "open")
            log_action(session, photo, kind, seconds=basis.seconds)
        return self._applied(basis.photo_id)

    def save_alpha(self, basis: Basis, png: bytes, *, accept: bool) -> Item:
        """Store a corrected alpha as a draft or, with `accept`, as final; then the batch's files are made again.

        Raises:
            ReviewError: as `decide`; or `png` is not an 8-bit gray PNG of the photo's size, there is no prediction to
                compare it with, or it cannot be written. Nothing is changed then.
        """
        with self.database.read() as session:
            photo = self.photo(session, basis.photo_id)
            self._check_version(session, photo, basis)  # early, before work is wasted on an outdated write
        subject = subject_of_photo(photo)
        if subject.row.size_hw is None or photo.state == "failed":
            raise ReviewError("it was not cut, so there is nothing to correct", code="unfit")
        alpha = read_gray(png, subject.size_hw, what="alpha")
        try:
            predicted = self.alphas.predicted(subject, keep=True)
            content = b"" if np.array_equal(alpha, predicted) else png_bytes(alpha)
            subject = replace(subject, alpha_sha256=hashlib.sha256(content).hexdigest() if content else "")
            if content:  # beside the earlier ones; nothing refers to it yet
                write_atomic(self.folder / subject.alpha_name, content, root=self.folder)
        except OSError as error:
            message = f"cannot be written: {error.strerror or error}; nothing was saved"
            raise ReviewError(message, code="not_stored") from error
        change = measure_change(predicted, alpha) if content else None
        self._commit_alpha(basis, subject, change, accept=accept)
        return self._applied(basis.photo_id)

    def _commit_alpha(self, basis: Basis, subject: ReviewPhoto, change: EdgeChange | None, *, accept: bool) -> None:
        with self.database.write() as session:
            photo = self._claimed(session, basis)
            photo.alpha_sha256 = subject.alpha_sha256
            photo.edge_share = change.edge_share if change else None
            accepted = "corrected" if change else "accepted"
            photo.state = accepted if accept else "open"
            kind = "save" if not accept else "correct" if change else "accept"
            log_action(session, photo, kind, seconds=basis.seconds, pixels_changed=change.pixels if change else None)
        with suppress(OSError):  # files that remain are removed next time
            self.alphas.drop_corrections(subject, keep={photo.alpha_sha256, photo.delivered_sha256} - {""})

    def _applied(self, photo_id: int) -> Item:
        """Update a photo's files after a write that is already stored; returns its item."""
        try:
            self.apply(photo_id)
            return item_of(self.find(photo_id), self.folder)
        except (OSError, DBAPIError, DatabaseError) as error:
            reason = getattr(error, "orig", None) or getattr(error, "strerror", None)
            message = f"it is saved, but what followed failed ({reason or error}); load the page again"
            raise ReviewError(message, code="not_settled") from error

    def _claimed(self, session: Session, basis: Basis) -> PhotoRow:
        """The photo, locked for a change: writers of a batch take turns, by a lock on the batch's row."""
        batch = self._locked_batch(session)
        photo = self.photo(session, basis.photo_id)
        self._check_version(session, photo, basis)
        batch.revision += 1
        photo.revision, photo.version = batch.revision, photo.version + 1
        photo.changed_by, photo.changed_at = basis.who, datetime.now(UTC)
        photo.seconds += basis.seconds
        return photo

    def _check_version(self, session: Session, photo: PhotoRow, basis: Basis) -> None:
        if photo.version != basis.version:
            message = f"{last_action(session, photo)}; look at it as it is now, then decide again"
            raise ReviewError(message, code="conflict", item=item_of(photo, self.folder))

    def _locked_batch(self, session: Session) -> BatchRow:
        # The update comes first: in PostgreSQL it waits for other writers, so that the newest data is read after it.
        session.execute(update(BatchRow).where(BatchRow.id == self.batch_id).values(revision=BatchRow.revision))
        return session.get_one(BatchRow, self.batch_id, populate_existing=True)

    def apply(self, photo_id: int) -> None:
        """Update a photo's files to what was decided; if this fails, the reason is stored in `undelivered`."""
        if (photo := self.find(photo_id)).state == "accepted":
            with suppress(ReviewError, PhotoError, OSError):  # `ingest --with-accepted` names what is missing
                self.alphas.predicted(subject_of_photo(photo), keep=True)
        try:
            # The lock file is for other processes and polled slowly; threads of this process queue before it.
            with self._turn, FolderLock(self.folder / LOCK_NAME, timeout_s=_LOCK_TIMEOUT_S):
                self._apply(self.find(photo_id))
        except LockTakenError:
            self._mark(self.find(photo_id), "another program is at work on the files; accept it again later")
        except OSError as error:  # the lock file cannot be created
            self._mark(self.find(photo_id), f"{self.folder}: {error.strerror or error}")

    def _apply(self, photo: PhotoRow) -> None:
        if photo.state == "failed":
            return  # what was decided on an earlier cutout stays recorded
        wanted, reason = wanted_alpha(photo), ""
        try:
            if wanted == photo.delivered_sha256:
                self._record(photo, {})
            else:
                self._deliver(photo, wanted)
        except (ReviewError, PhotoError, OutputError) as error:
            reason = str(error)
        except OSError as error:  # such as a full disk; the decision is stored, and applied later
            reason = f"{error.filename or self.folder}: {error.strerror or error}"
        self._mark(photo, reason, delivered=None if reason else wanted)

    def _recorded_version(self, photo: PhotoRow) -> int:
        """The version in the decision's file; 0: there is none, -1: it cannot be read."""
        try:
            known = read_decision(self.folder, subject_of_photo(photo).stem)
        except PhotoError:
            return -1
        return known.version if known else 0

    def _deliver(self, photo: PhotoRow, wanted: str) -> None:
        subject = replace(subject_of_photo(photo), alpha_sha256=wanted)
        self.alphas.predicted(subject, keep=True)
        specification = self.alphas.order_of(subject.row).specification
        if specification is None:
            self._exchange(photo, subject, None)
            return
        scales, others = self._scales(photo, subject, specification)
        for other in others:  # the garment's common scale has changed, so all its views are made again
            self._exchange(other, _delivered_subject(other), scales)
        self._exchange(photo, subject, scales)

    def _scales(
        self, photo: PhotoRow, subject: ReviewPhoto, specification: Specification
    ) -> tuple[tuple[float, ...], list[PhotoRow]]:
        """The garment's scale with the wanted alpha, and its other photos if their current scale differs."""
        others = self._scaled_with(photo)
        seen = [self._sight(_delivered_subject(other)) for other in others]
        before = shared_scales(specification, [*seen, self._sight(_delivered_subject(photo))])
        after = shared_scales(specification, [*seen, self._sight(subject)])
        return after, [] if before == after else others

    def _scaled_with(self, photo: PhotoRow) -> list[PhotoRow]:
        """The garment's other photos that were cut with the same specification."""

        def key_of(one: PhotoRow) -> tuple[str, object]:
            row = row_of(one)
            return row.options, garment_of(Source(Path(row.input), PurePosixPath(row.place)))

        with self.database.read() as session:
            cut = session.scalars(self._photos.where(PhotoRow.state != "failed", PhotoRow.id != photo.id)).all()
        key = key_of(photo)
        return [other for other in cut if key_of(other) == key]

    def _sight(self, subject: ReviewPhoto) -> Sighting:
        alpha = self.alphas.current(subject)
        shown = Cutout(np.zeros((*alpha.shape, 3), np.uint8), to_alpha(alpha))
        return sight_garment(shown, subject_of(PurePosixPath(subject.row.place)).view)

    def _exchange(self, photo: PhotoRow, subject: ReviewPhoto, scales: tuple[float, ...] | None) -> None:
        known = read_decision(self.folder, subject.stem)
        # All outputs ever written for this photo, under any name, because `cut` moves them to their verdict's folder.
        ours = {digest for one in (subject.row, known) if one for hashes in one.written.values() for digest in hashes}
        staged, written = list[StagedFile](), dict[str, tuple[str, ...]]()
        try:
            for name, content in zip(subject.row.outputs, self._contents(subject, scales), strict=True):
                path = self.folder / name
                if not may_replace(path, ours):
                    raise OutputError(f"{name} was changed outside of garmentcut; move it away and accept again")
                staged.append(StagedFile(path, content, root=self.folder))
                present = (sha256_of(path),) if path.exists() else ()
                written[name] = (*present, hashlib.sha256(content).hexdigest())
            self._record(photo, written)
            for file in staged:
                file.commit()
        except BaseException:
            for file in staged:
                file.discard()
            raise

    def _contents(self, subject: ReviewPhoto, scales: tuple[float, ...] | None) -> Iterator[bytes]:
        row, order = subject.row, self.alphas.order_of(subject.row)
        alpha = to_alpha(self.alphas.current(subject))
        cutout = Cutout.of(self.alphas.read_photo(row), alpha)
        num = len(row.outputs) // len(order.output.formats) if order.output.each and order.specification is None else 1
        cutouts = [replace(cutout, alpha=part) for part in (split_garments(alpha, num) if num > 1 else [alpha])]
        return (file.content for file in files_of(cutouts, row, order.output, order.specification, scales))

    def _record(self, photo: PhotoRow, written: dict[str, tuple[str, ...]]) -> None:
        subject = subject_of_photo(photo)
        known = read_decision(self.folder, subject.stem)
        prediction = subject.prediction_name if (self.folder / subject.prediction_name).exists() else ""
        decision = Decision(
            input=subject.row.input,
            input_sha256=subject.row.input_sha256,
            place=subject.row.place,
            state=photo.state,
            alpha=subject.alpha_name,
            alpha_sha256=photo.alpha_sha256,
            prediction=prediction,
            written={**(known.written if known else {}), **written},
            seconds=photo.seconds,
            edge_share=photo.edge_share,
            who=photo.changed_by,
            at=utc_of(photo.changed_at).isoformat() if photo.changed_at else "",
            version=photo.version,
            note=photo.note,
            model=subject.row.model,
        )
        if decision != known:
            write_decision(self.folder, subject.stem, decision)

    def _mark(self, photo: PhotoRow, reason: str, *, delivered: str | None = None) -> None:
        reason = printable(reason)  # it may contain a file name that is not valid text
        delivered = photo.delivered_sha256 if delivered is None else delivered
        if (delivered, reason) == (photo.delivered_sha256, photo.undelivered):
            return
        with self.database.write() as session:
            batch, stored = self._locked_batch(session), self.photo(session, photo.id)
            batch.revision += 1
            stored.delivered_sha256, stored.undelivered, stored.revision = delivered, reason, batch.revision
