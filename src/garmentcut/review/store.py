"""What people do, stored: each write names the version it is based on, and is logged."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from garmentcut.dataset.pair import VIEWS
from garmentcut.review.alphas import AlphaFiles, Subject
from garmentcut.review.conflicts import ConflictError, NotFoundError, UnfitError
from garmentcut.review.database import Database
from garmentcut.review.delivery import Delivery
from garmentcut.review.edge_change import EdgeChange, measure_change
from garmentcut.review.feed import Feed
from garmentcut.review.gray_png import read_gray, write_gray
from garmentcut.review.intake import take_rows
from garmentcut.review.items import Item, item_of, last_action, subject_of_photo
from garmentcut.review.tables import ActionRow, BatchRow, PhotoRow

ActionKind = Literal["accept", "reject", "reopen", "revert"]


@dataclass(frozen=True)
class Basis:
    """What a write is based on.

    Attributes:
        photo_id: the photo.
        version: of it, as the writer saw it.
        who: acts; empty: not said.
        seconds: hands-on since the last write.
    """

    photo_id: int
    version: int
    who: str = ""
    seconds: float = 0.0


class Store:
    """Reads and writes one batch.

    Args:
        folder: of the batch.
        batch_id: its id.
        database: where states are kept.
        alphas: where alphas are kept.
    """

    def __init__(self, folder: Path, batch_id: str, database: Database, alphas: AlphaFiles) -> None:
        self.folder, self.batch_id, self.database, self.alphas = folder, batch_id, database, alphas
        self._delivery = Delivery(folder, batch_id, database, alphas)
        self._feed = Feed(folder)
        with database.write() as session:
            if session.get(BatchRow, batch_id) is None:
                session.add(BatchRow(id=batch_id, revision=0))

    def refresh(self) -> None:
        """Take in what `cut` has written since the last call."""
        if rows := self._feed.rows():
            with self.database.write() as session:
                take_rows(session, self._locked_batch(session), rows)

    def recover(self) -> None:
        """Finish what an earlier server was killed in."""
        self._delivery.settle_all()

    def photo(self, session: Session, photo_id: int) -> PhotoRow:
        """A photo of this batch.

        Raises:
            NotFoundError: there is none of this number.
        """
        photo = session.get(PhotoRow, photo_id) if 0 < photo_id < 2**31 else None
        if photo is None or photo.batch_id != self.batch_id:
            raise NotFoundError("no such photo in this batch")
        return photo

    def find(self, photo_id: int) -> PhotoRow:
        """A photo of this batch, to be read only.

        Raises:
            NotFoundError: there is none of this number.
        """
        with self.database.read() as session:
            return self.photo(session, photo_id)

    def item(self, photo_id: int) -> Item:
        """A photo's item."""
        return item_of(self.find(photo_id), self.folder)

    def revision(self, session: Session) -> int:
        """Of the batch: one higher with each write."""
        return session.scalar(select(BatchRow.revision).where(BatchRow.id == self.batch_id)) or 0

    def changes(self, session: Session, since: int, *, limit: int) -> Sequence[PhotoRow]:
        """Photos written after a revision, the oldest write first."""
        newer = PhotoRow.batch_id == self.batch_id, PhotoRow.revision > since
        return session.scalars(select(PhotoRow).where(*newer).order_by(PhotoRow.revision).limit(limit)).all()

    def siblings(self, session: Session, photo: PhotoRow) -> list[PhotoRow]:
        """All views of a photo's garment, itself too, as they are photographed."""
        alike = PhotoRow.batch_id == self.batch_id, PhotoRow.garment == photo.garment
        found = session.scalars(select(PhotoRow).where(*alike)).all()
        return sorted(found, key=lambda one: (VIEWS.index(one.view) if one.view in VIEWS else len(VIEWS), one.key))

    def actions(self, photo_id: int) -> Sequence[ActionRow]:
        """What was done to a photo, newest first."""
        with self.database.read() as session:
            self.photo(session, photo_id)
            done = select(ActionRow).where(ActionRow.photo_id == photo_id).order_by(ActionRow.id.desc())
            return session.scalars(done).all()

    def decide(self, basis: Basis, kind: ActionKind, note: str | None = None) -> Item:
        """Accept, reject, open again, or give a correction up.

        Raises:
            NotFoundError: there is no such photo.
            ConflictError: somebody was faster, or the photo was never cut.
        """
        with self.database.write() as session:
            photo = self._claimed(session, basis)
            if photo.state == "failed":
                raise ConflictError("It was not cut, so there is nothing to decide", item_of(photo, self.folder))
            photo.note = photo.note if note is None else note
            if kind == "revert":
                photo.alpha_sha256, photo.edge_share = "", None
            accepted = "corrected" if photo.alpha_sha256 else "accepted"
            photo.state = {"accept": accepted, "reject": "rejected"}.get(kind, "open")
            self._log(session, photo, basis, kind=kind)
        return self._settled(basis.photo_id)

    def write_note(self, basis: Basis, note: str) -> Item:
        """Replace a photo's note; raises as `decide`."""
        with self.database.write() as session:
            photo = self._claimed(session, basis)
            photo.note = note
            self._log(session, photo, basis, kind="note")
        return self._settled(basis.photo_id)

    def save_alpha(self, basis: Basis, png: bytes, *, accept: bool) -> Item:
        """Keep a corrected alpha: as a draft, or accepted, and then the batch's files are made again.

        Args:
            basis: what it is based on.
            png: 8-bit gray PNG of the photo's size.
            accept: it is final.

        Raises:
            NotFoundError, ConflictError: as `decide`; or there is no prediction to compare it with.
            UnfitError: not such a PNG.
            OSError: it cannot be written; nothing has changed.
        """
        photo = self._early_check(basis)
        subject = subject_of_photo(photo)
        if subject.row.size_hw is None or photo.state == "failed":
            raise UnfitError("it was not cut, so there is nothing to correct")
        alpha = read_gray(png, subject.size_hw, what="alpha")
        predicted = self.alphas.keep_prediction(subject)
        content = b"" if np.array_equal(alpha, predicted) else write_gray(alpha)
        subject = replace(subject, alpha_sha256=hashlib.sha256(content).hexdigest() if content else "")
        if content:
            self.alphas.write_correction(subject, content)
        change = measure_change(predicted, alpha) if content else None
        self._commit_alpha(basis, subject, change, accept=accept)
        return self._settled(basis.photo_id)

    def _commit_alpha(self, basis: Basis, subject: Subject, change: EdgeChange | None, *, accept: bool) -> None:
        with self.database.write() as session:
            photo = self._claimed(session, basis)
            photo.alpha_sha256 = subject.alpha_sha256
            photo.edge_share = change.edge_share if change else None
            accepted = "corrected" if change else "accepted"
            photo.state = accepted if accept else "open"
            kind = "save" if not accept else "correct" if change else "accept"
            self._log(session, photo, basis, kind=kind, pixels=change.pixels if change else None)
        in_use = frozenset({photo.alpha_sha256, photo.delivered_sha256} - {""})
        self.alphas.drop_corrections(subject, keep=in_use)

    def _settled(self, photo_id: int) -> Item:
        self._delivery.settle(photo_id)
        return self.item(photo_id)

    def _early_check(self, basis: Basis) -> PhotoRow:
        """Refuse a stale write before any work is put into it."""
        with self.database.read() as session:
            photo = self.photo(session, basis.photo_id)
            self._check_version(session, photo, basis)
            return photo

    def _claimed(self, session: Session, basis: Basis) -> PhotoRow:
        """The photo, ready to be changed: writers of a batch take turns at its row."""
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
            raise ConflictError(message, item_of(photo, self.folder))

    def _locked_batch(self, session: Session) -> BatchRow:
        # An update first: in PostgreSQL it waits for another writer, and what is read after it is the newest.
        session.execute(update(BatchRow).where(BatchRow.id == self.batch_id).values(revision=BatchRow.revision))
        return session.get_one(BatchRow, self.batch_id, populate_existing=True)

    def _log(self, session: Session, photo: PhotoRow, basis: Basis, *, kind: str, pixels: int | None = None) -> None:
        session.add(
            ActionRow(
                photo_id=photo.id,
                version=photo.version,
                at=photo.changed_at,
                who=basis.who,
                kind=kind,
                state=photo.state,
                seconds=basis.seconds,
                note=photo.note,
                alpha_sha256=photo.alpha_sha256,
                pixels_changed=pixels,
                edge_share=photo.edge_share,
            )
        )
