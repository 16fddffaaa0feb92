"""The files around a decision, brought into line with the database: the decision itself, and the batch's outputs."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from filelock import FileLock, Timeout
from sqlalchemy import select, update

from garmentcut.dataset.decisions import DECISIONS_FOLDER, LOCK_NAME, Decision, read_decision, write_decision
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.delivery import Sighting, deliver, shared_scales, sight_garment
from garmentcut.photo.encoding import encode_prepared
from garmentcut.photo.files import StagedFile
from garmentcut.photo.layer_mask import to_alpha
from garmentcut.photo.photo import OutputError, PhotoError
from garmentcut.photo.preparation import Preparation
from garmentcut.photo.specification import Specification
from garmentcut.prediction.names import garment_of, subject_of
from garmentcut.prediction.results import may_replace, sha256_of
from garmentcut.prediction.sources import Source
from garmentcut.review.alphas import AlphaFiles, Subject
from garmentcut.review.conflicts import ReviewError
from garmentcut.review.database import Database
from garmentcut.review.items import subject_of_photo, utc_of
from garmentcut.review.tables import BatchRow, PhotoRow

_LOCK_TIMEOUT_S = 120


class Delivery:
    """Writes decisions and makes outputs again; what a killed server left undone is done by the next.

    A decision's file is written before outputs are exchanged, and names their hashes: should the server be killed in
    between, they are known as ours.

    Args:
        folder: of the batch.
        batch_id: its id.
        database: where the photos' states are.
        alphas: where their alphas are.
    """

    def __init__(self, folder: Path, batch_id: str, database: Database, alphas: AlphaFiles) -> None:
        self._folder, self._batch_id, self._database, self._alphas = folder, batch_id, database, alphas
        self._turn = threading.Lock()
        (folder / DECISIONS_FOLDER).mkdir(parents=True, exist_ok=True)

    def settle(self, photo_id: int) -> None:
        """Bring a photo's files into line with what was decided; why they could not be stands in `undelivered`."""
        try:
            # The file's lock is for other processes, which it lets ask only now and then; threads queue before it.
            with self._turn, FileLock(self._folder / LOCK_NAME, timeout=_LOCK_TIMEOUT_S):
                self._settle(self._read(photo_id))
        except Timeout:
            photo = self._read(photo_id)
            self._mark(photo, photo.delivered_sha256, "another program is at work on the files; accept it again later")

    def _read(self, photo_id: int) -> PhotoRow:
        with self._database.read() as session:
            return session.get_one(PhotoRow, photo_id)

    def _settle(self, photo: PhotoRow) -> None:
        wanted, reason = wanted_alpha(photo), ""
        try:
            if wanted == photo.delivered_sha256:
                self._record(photo, {})
            else:
                self._deliver(photo, wanted)
        except (ReviewError, PhotoError, OutputError) as error:
            reason = str(error)
        except OSError as error:  # a full disk, say: the decision stands in the database, and is settled later
            reason = f"{error.filename or self._folder}: {error.strerror or error}"
        self._mark(photo, photo.delivered_sha256 if reason else wanted, reason)

    def settle_all(self) -> None:
        """Do what an earlier server was killed before, or could not do."""
        with self._database.read() as session:
            decided = PhotoRow.batch_id == self._batch_id, PhotoRow.changed_at.is_not(None)
            photos = session.scalars(select(PhotoRow).where(*decided).order_by(PhotoRow.id)).all()
        for photo in photos:
            known = read_decision(self._folder, subject_of_photo(photo).stem)
            is_due = wanted_alpha(photo) != photo.delivered_sha256
            if is_due or known is None or known.version != photo.version:
                self.settle(photo.id)

    def _deliver(self, photo: PhotoRow, wanted: str) -> None:
        subject = replace(subject_of_photo(photo), alpha_sha256=wanted)
        self._alphas.keep_prediction(subject)
        specification = self._alphas.order_of(subject.row).specification
        if specification is None:
            self._exchange(photo, subject, None)
            return
        scales, others = self._scales(photo, subject, specification)
        for other in others:  # the garment's common scale has changed: all of its views are made again
            self._exchange(other, _delivered_subject(other), scales)
        self._exchange(photo, subject, scales)

    def _scales(
        self, photo: PhotoRow, subject: Subject, specification: Specification
    ) -> tuple[tuple[float, ...], list[PhotoRow]]:
        """The garment's scale with the alpha that is wanted, and its other photos, if they have another now."""
        others = self._siblings(photo, subject)
        seen = [self._sight(_delivered_subject(other)) for other in others]
        before = shared_scales(specification, [*seen, self._sight(_delivered_subject(photo))])
        after = shared_scales(specification, [*seen, self._sight(subject)])
        return after, [] if before == after else others

    def _siblings(self, photo: PhotoRow, subject: Subject) -> list[PhotoRow]:
        key = garment_of(Source(Path(subject.row.input), PurePosixPath(subject.row.place)))
        with self._database.read() as session:
            found = session.scalars(
                select(PhotoRow).where(PhotoRow.batch_id == self._batch_id, PhotoRow.state != "failed")
            ).all()
        rows = [(other, subject_of_photo(other).row) for other in found if other.id != photo.id]
        return [
            other
            for other, row in rows
            if row.options == subject.row.options
            and garment_of(Source(Path(row.input), PurePosixPath(row.place))) == key
        ]

    def _sight(self, subject: Subject) -> Sighting:
        alpha = self._alphas.current(subject)
        shown = Cutout(np.zeros((*alpha.shape, 3), np.uint8), to_alpha(alpha))
        return sight_garment(shown, subject_of(PurePosixPath(subject.row.place)).view)

    def _exchange(self, photo: PhotoRow, subject: Subject, scales: tuple[float, ...] | None) -> None:
        """Put new outputs in the place of the old ones."""
        known = read_decision(self._folder, subject.stem)
        # All that was ever written for this photo, under whichever name: `cut` moves outputs to their verdict's folder.
        ours = {digest for one in (subject.row, known) if one for hashes in one.written.values() for digest in hashes}
        staged, written = list[StagedFile](), dict[str, tuple[str, ...]]()
        try:
            for name, content in zip(subject.row.outputs, self._contents(subject, scales), strict=True):
                path = self._folder / name
                if not may_replace(path, ours):
                    raise OutputError(f"{name} was changed outside of garmentcut; move it away and accept again")
                staged.append(StagedFile(path, content))
                present = (sha256_of(path),) if path.exists() else ()
                written[name] = (*present, hashlib.sha256(content).hexdigest())
            self._record(photo, written)
            for file in staged:
                file.commit()
        except BaseException:
            for file in staged:
                file.discard()
            raise

    def _contents(self, subject: Subject, scales: tuple[float, ...] | None) -> Iterator[bytes]:
        row, order = subject.row, self._alphas.order_of(subject.row)
        alpha = to_alpha(self._alphas.current(subject))
        cutout = Cutout.of(self._alphas.read_photo(row), alpha)
        if order.specification is not None:
            named = subject_of(PurePosixPath(row.place))
            for delivery in deliver(cutout, order.specification, subject=named, scales=scales):
                yield delivery.content
            return
        prepared = Preparation(cutout, order.output, name=Path(row.input).stem)
        for format in order.output.formats:
            yield encode_prepared(prepared, format)

    def _record(self, photo: PhotoRow, written: dict[str, tuple[str, ...]]) -> None:
        subject = subject_of_photo(photo)
        known = read_decision(self._folder, subject.stem)
        prediction = subject.prediction_name if (self._folder / subject.prediction_name).exists() else ""
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
        )
        if decision != known:
            write_decision(self._folder, subject.stem, decision)

    def _mark(self, photo: PhotoRow, delivered: str, reason: str) -> None:
        if (delivered, reason) == (photo.delivered_sha256, photo.undelivered):
            return
        with self._database.write() as session:
            changed = update(BatchRow).where(BatchRow.id == self._batch_id).values(revision=BatchRow.revision + 1)
            revision = session.scalar(changed.returning(BatchRow.revision))
            values = {"delivered_sha256": delivered, "undelivered": reason, "revision": revision}
            session.execute(update(PhotoRow).where(PhotoRow.id == photo.id).values(values))


def wanted_alpha(photo: PhotoRow) -> str:
    """SHA-256 of the alpha that the outputs should hold; empty: the prediction. Undecided, they stay as they are."""
    if photo.state in ("accepted", "corrected"):
        return photo.alpha_sha256 if photo.state == "corrected" else ""
    return photo.delivered_sha256


def _delivered_subject(photo: PhotoRow) -> Subject:
    return replace(subject_of_photo(photo), alpha_sha256=photo.delivered_sha256)
