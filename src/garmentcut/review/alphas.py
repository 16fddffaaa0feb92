"""A photo's alphas as files of the batch: the model's, kept for ever, and the corrected one."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.photo.files import read_photo_bytes, write_atomic
from garmentcut.photo.photo import Photo, PhotoError
from garmentcut.photo.photoshop import read_cutout
from garmentcut.photo.reading import decode_photo
from garmentcut.prediction.batch import Batch, BatchError, Order, read_batch
from garmentcut.prediction.results import Row, fingerprint, sha256_of
from garmentcut.review.conflicts import NotFoundError
from garmentcut.review.edge_change import Alpha8
from garmentcut.review.gray_png import read_gray, write_gray
from garmentcut.review.model import Model

_TELLING_SUFFIXES = ("_mask.png", ".png", ".tif", ".webp")  # outputs that hold the whole alpha; the fastest first
_REFERRED_WITHIN_S = 600  # a younger one may belong to a write under way, perhaps in another server


@dataclass(frozen=True)
class Subject:
    """A photo of the batch, and where what belongs to it lies.

    Attributes:
        row: of results.jsonl.
        stem: below the batch's folder, without suffix; see `garmentcut.dataset.decisions.decision_stem`.
        alpha_sha256: of the corrected alpha; empty: there is none.
        holds_prediction: the batch's outputs are the model's, not made again of a correction.
    """

    row: Row
    stem: str
    alpha_sha256: str = ""
    holds_prediction: bool = True

    @property
    def alpha_name(self) -> str:
        """File of the corrected alpha; named after its content, so that it never changes."""
        return f"{self.stem}.{self.alpha_sha256[:16]}.alpha.png" if self.alpha_sha256 else ""

    @property
    def prediction_name(self) -> str:
        """File of the model's alpha; named after photo and model."""
        return f"{self.stem}.{fingerprint(self.row.input_sha256, self.row.model)}.predicted.png"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Of the photo.

        Raises:
            NotFoundError: it could not be read.
        """
        if self.row.size_hw is None or not self.row.ok:
            raise NotFoundError(f"there is no alpha: {self.row.reason or 'not cut'}")
        return self.row.size_hw[0], self.row.size_hw[1]


class AlphaFiles:
    """Reads and writes them.

    Args:
        folder: of the batch.
        batch: what it was cut to.
        model: makes a prediction again where no output holds it.
    """

    def __init__(self, folder: Path, batch: Batch, model: Model) -> None:
        self._folder, self._batch, self._model = folder, batch, model
        self._predicting = threading.Lock()

    def order_of(self, row: Row) -> Order:
        """What the row's run was asked for.

        Raises:
            NotFoundError: nobody wrote it down.
        """
        if (order := self._order_of(row)) is None:
            raise NotFoundError("cut by an older garmentcut; run the same garmentcut cut again")
        return order

    def limits_of(self, row: Row) -> ReadConfig:
        """What the row's run accepted; where that is not known, what is accepted by itself."""
        order = self._order_of(row)
        return order.read if order else ReadConfig()

    def read_photo(self, row: Row) -> Photo:
        """The photo as it was cut.

        Raises:
            NotFoundError: gone, changed since, or no longer readable.
        """
        limits = self.limits_of(row)
        try:
            data = read_photo_bytes(Path(row.input), limits)
            if row.input_sha256 and hashlib.sha256(data).hexdigest() != row.input_sha256:
                raise NotFoundError("the photo has changed since it was cut; run garmentcut cut again")
            return decode_photo(data, limits=limits)
        except PhotoError as error:
            raise NotFoundError(f"the photo: {error}") from error

    def current(self, subject: Subject) -> Alpha8:
        """The corrected alpha, or where there is none the prediction.

        Raises:
            NotFoundError: there is none, or it is gone.
        """
        if not subject.alpha_sha256:
            return self.predicted(subject)
        try:
            data = (self._folder / subject.alpha_name).read_bytes()
        except OSError as error:
            raise NotFoundError(f"{subject.alpha_name}: {error.strerror}") from error
        return read_gray(data, subject.size_hw, what="corrected alpha")

    def predicted(self, subject: Subject) -> Alpha8:
        """The model's alpha: as kept, out of an output that nobody has touched, or made again.

        Raises:
            NotFoundError: the photo was not cut, or is gone.
        """
        size_hw = subject.size_hw
        with suppress(OSError, ValueError):
            return read_gray((self._folder / subject.prediction_name).read_bytes(), size_hw, what="prediction")
        if subject.holds_prediction and (alpha := self._out_of_output(subject)) is not None:
            return alpha
        with self._predicting:
            alpha = self._made_again(subject.row)
            write_atomic(self._folder / subject.prediction_name, write_gray(alpha))
        return alpha

    def keep_prediction(self, subject: Subject) -> Alpha8:
        """The model's alpha, and see that it outlives the outputs.

        Raises:
            NotFoundError: as `predicted`.
            OSError: it cannot be written.
        """
        alpha, path = self.predicted(subject), self._folder / subject.prediction_name
        if not path.exists():
            write_atomic(path, write_gray(alpha))
        return alpha

    def write_correction(self, subject: Subject, content: bytes) -> None:
        """Put a corrected alpha beside the first; nobody refers to it yet.

        Raises:
            OSError: it cannot be written.
        """
        path = self._folder / subject.alpha_name
        if not path.exists():
            write_atomic(path, content)

    def drop_corrections(self, subject: Subject, *, keep: frozenset[str]) -> None:
        """Remove corrected alphas of a photo that nothing refers to any more, but for the youngest.

        Args:
            subject: the photo.
            keep: SHA-256 of those that something refers to.
        """
        kept, stem, now = {digest[:16] for digest in keep}, self._folder / subject.stem, time.time()
        for path in stem.parent.iterdir():
            name = path.name.removesuffix(".alpha.png")
            if name == path.name or name[:-17] != stem.name or name[-16:] in kept:
                continue
            with suppress(OSError):
                if now - path.stat().st_mtime > _REFERRED_WITHIN_S:
                    path.unlink()

    def _order_of(self, row: Row) -> Order | None:
        if row.options not in self._batch.orders:  # another run of cut has come since
            with suppress(BatchError):
                self._batch = read_batch(self._folder)
        return self._batch.orders.get(row.options)

    def _out_of_output(self, subject: Subject) -> Alpha8 | None:
        row, order = subject.row, self._order_of(subject.row)
        if order is None or order.specification is not None or order.output.trim:
            return None
        for path in self._telling_outputs(row, is_flat=order.output.background is not None):
            alpha = read_cutout(path, order.read).alpha
            if alpha.shape == subject.size_hw:
                return _to_levels(alpha)
        return None

    def _telling_outputs(self, row: Row, *, is_flat: bool) -> Iterator[Path]:
        """Outputs that hold the whole alpha and that nobody has touched; masks do even where cutouts are flat."""
        stem = PurePosixPath(row.place).name
        for suffix in _TELLING_SUFFIXES[:1] if is_flat else _TELLING_SUFFIXES:
            for name in row.outputs:
                path = self._folder / name
                if path.name == f"{stem}{suffix}" and path.is_file() and sha256_of(path) in row.written.get(name, ()):
                    yield path

    def _made_again(self, row: Row) -> Alpha8:
        photo = self.read_photo(row)
        try:
            alpha = self._model.cut(photo).alpha
        except PhotoError as error:
            raise NotFoundError(str(error)) from error
        return _to_levels(alpha)


def _to_levels(alpha: NDArray[np.float32]) -> Alpha8:
    rounded: Alpha8 = np.rint(alpha * np.float32(255)).astype(np.uint8)
    return rounded
