"""Photos that a person corrected: from then on `cut` delivers that alpha, whatever is asked for and by which model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from garmentcut.config import ReadConfig
from garmentcut.dataset.decisions import DECISIONS_FOLDER, LOCK_NAME, Decision, decision_on
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.layer_mask import to_alpha
from garmentcut.photo.photo import Photo, PhotoError
from garmentcut.photo.raster import read_png
from garmentcut.photo.reading import damage_named
from garmentcut.prediction.results import Row, sha256_of

CORRECTED = "corrected"


class DecidedMeanwhileError(RuntimeError):
    """A person decided on a photo while it was cut: it must be finished again."""


def decision_for(out_dir: Path, row: Row) -> Decision | None:
    """What a person decided on a row's photo, or on the one that it has replaced; None: nobody has."""
    if not (out_dir / DECISIONS_FOLDER).is_dir():
        return None
    return decision_on(out_dir, row.place, row.input, row.input_sha256)


def is_of(decision: Decision, row: Row) -> bool:
    """True unless the photo was exchanged since: then only the outputs made for the decision are ours still."""
    return decision.input_sha256 == row.input_sha256


def with_written(out_dir: Path, row: Row, decision: Decision | None) -> Row:
    """The row, with what the review wrote for it, which may be replaced too; what lies there now comes last."""
    if decision is None:
        return row
    written = dict(row.written)
    for name, hashes in decision.written.items():
        known = (*written.get(name, ()), *hashes)
        found = sha256_of(out_dir / name) if (out_dir / name).is_file() else ""
        written[name] = (*known, found) if found in known else known
    return replace(row, written=written)


def corrected_cutout(
    out_dir: Path, row: Row, photo: Photo, decision: Decision | None, *, limits: ReadConfig
) -> Cutout | None:
    """The photo with its corrected alpha; None: nobody corrected it.

    Args:
        out_dir: of the batch.
        row: the photo's.
        photo: as read.
        decision: of `decision_for`.
        limits: bytes and pixels accepted.

    Raises:
        PhotoError: the corrected alpha is gone or damaged.
    """
    if decision is None or decision.state != CORRECTED or not decision.alpha or not is_of(decision, row):
        return None
    try:
        data = read_photo_bytes(out_dir / decision.alpha, limits)
        with damage_named():
            alpha = to_alpha(read_png(data, limits).pixels)
    except PhotoError as error:
        raise PhotoError(f"its correction: {error}; open it in garmentcut review and correct it again") from error
    if alpha.shape != photo.size_hw:
        raise PhotoError(f"its correction {decision.alpha} has another size; correct it again in garmentcut review")
    return Cutout.of(photo, alpha)


@contextmanager
def held_for_review(out_dir: Path, row: Row, decision: Decision | None) -> Iterator[None]:
    """Keep the review from exchanging a photo's files meanwhile.

    Raises:
        DecidedMeanwhileError: what a person decided is no longer what the files were made of.
    """
    if not (out_dir / DECISIONS_FOLDER).is_dir():
        yield
        return
    with FileLock(out_dir / LOCK_NAME):
        if decision_for(out_dir, row) != decision:
            raise DecidedMeanwhileError
        yield
