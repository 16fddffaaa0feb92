"""The journal of a run: JSON Lines for programs, TensorBoard for eyes; no step stands in it twice."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from garmentcut.photo.files import write_atomic
from garmentcut.training.errors import TrainingError

JOURNAL_NAME = "journal.jsonl"


class Journal:
    """Appends rows to `journal.jsonl` and `tensorboard/`; a context that closes both.

    Args:
        run_dir: the run's folder.
        last_step: rows of later steps, which a killed run wrote after its last checkpoint, are dropped.

    Raises:
        TrainingError: the file there is no journal.
    """

    def __init__(self, run_dir: Path, *, last_step: int) -> None:
        self.path = run_dir / JOURNAL_NAME
        kept = [row for row in read_journal(self.path) if row["step"] <= last_step]
        write_atomic(self.path, "".join(map(_line, kept)).encode())
        self._file = self.path.open("a", encoding="utf-8", newline="\n")
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=last_step + 1)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
        self._board.close()

    def append(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Write one row, at once.

        Args:
            kind: `step` or `evaluation`.
            step: counted from 1.
            values: numbers by name.
        """
        self._file.write(_line({"kind": kind, "step": step, **values}))
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Rows of a journal in order; the torn last line of a killed run is passed over.

    Raises:
        TrainingError: a line is no row.
    """
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if isinstance(row, dict) and isinstance(row["step"], int):
            return row
    except (ValueError, KeyError, RecursionError):
        pass
    raise TrainingError(f"{where}, is no row of a training's journal; move the file or choose another --out")


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({key: _shown(value) for key, value in row.items()}, allow_nan=False) + "\n"


def _shown(value: Any) -> Any:
    """Six digits are enough; JSON has no word for what is no finite number."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
