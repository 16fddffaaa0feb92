"""One row a photo: what was measured, kept as JSON Lines and as a table for spreadsheets."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from garmentcut.errors import EvaluationError
from garmentcut.evaluation.measures import METRICS, Measures
from garmentcut.photo.files import write_atomic


class ScoresError(EvaluationError):
    """A scores file that cannot be read; the message names the file and the line."""


@dataclass(frozen=True)
class PhotoScore:
    """What one photo's cutout is worth.

    Attributes:
        name: `<garment>_<view>`.
        garment: id that all views of one garment share.
        view: `Front`, `FrontRight`, `Back` or `unknown`.
        split: its part of the dataset, for example `fold0`.
        model: name and hash of the model.
        seen: whether the photo was in the model's training data; None: the model's card does not say.
        status: `ok`: cut and measured; `refused`: the model refused the photo, measured as an empty cutout; `failed`:
            not measured, because the pair could not be read.
        reason: why it was refused or failed; else empty.
        faults: what `ingest` found suspect in the pair: a bad score may be a bad ground truth.
        measures: all metrics; None: failed.
        sweep: Dice at each of `garmentcut.evaluation.thresholds.THRESHOLDS`, convention `alpha >= 128`.
        sweep_any: the same, convention `alpha > 0`.
        verdict: what a person says of the cutout it was compared with: `wrong`, `right`, `unsure`, or nothing.
        seconds: of cutting: framing, network and finishing; reading and measuring not counted.
    """

    name: str
    garment: str
    view: str
    split: str
    model: str = ""
    seen: bool | None = None
    status: Literal["ok", "refused", "failed"] = "ok"
    reason: str = ""
    faults: tuple[str, ...] = field(default=())
    measures: Measures | None = None
    sweep: tuple[float, ...] = field(default=())
    sweep_any: tuple[float, ...] = field(default=())
    seconds: float = 0.0
    verdict: str = ""


def write_scores(scores: Iterable[PhotoScore], folder: Path) -> None:
    """Write `scores.jsonl` (everything) and `scores.csv` (without the sweeps) into a folder, whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    scores = list(scores)
    lines = "".join(json.dumps(asdict(score), ensure_ascii=False) + "\n" for score in scores)
    write_atomic(folder / "scores.jsonl", lines.encode("utf-8", "surrogateescape"))
    write_atomic(folder / "scores.csv", _csv_of(scores).encode("utf-8-sig", "surrogateescape"))  # sig: for Excel


def read_scores(folder: Path) -> list[PhotoScore]:
    """The rows of a folder's `scores.jsonl`.

    Raises:
        ScoresError: missing, or not rows of garmentcut's.
    """
    path = folder / "scores.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ScoresError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    scores = []
    for number, line in enumerate(lines, 1):
        try:
            scores.append(_score_of(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise ScoresError(f"{path}, line {number}, is not a row of garmentcut's; evaluate again") from error
    return scores


def _score_of(row: dict[str, Any]) -> PhotoScore:
    measures = row["measures"]
    return PhotoScore(
        **{
            **row,
            "faults": tuple(row["faults"]),
            "measures": measures and Measures(**measures),
            "sweep": tuple(row["sweep"]),
            "sweep_any": tuple(row["sweep_any"]),
        }
    )


def _csv_of(scores: Iterable[PhotoScore]) -> str:
    left_out = {"measures", "sweep", "sweep_any"}
    columns = [key.name for key in fields(PhotoScore) if key.name not in left_out]
    file = io.StringIO(newline="")
    table = csv.writer(file, lineterminator="\n")
    table.writerow([*columns, *(metric.key for metric in METRICS)])
    for score in scores:
        measured = [getattr(score.measures, metric.key, "") for metric in METRICS]
        cells = [getattr(score, column) for column in columns]
        table.writerow([_cell(value) for value in [*cells, *measured]])
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return "; ".join(value)
    return "" if value is None else value
