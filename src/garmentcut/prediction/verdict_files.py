"""Where a verdict shows on disk: outputs in a folder of their own, the heat map beside the batch's other notes."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from garmentcut.photo.files import write_atomic
from garmentcut.prediction.batch import OWN_FOLDER
from garmentcut.prediction.results import Row, may_replace

VERDICT_FOLDERS: Mapping[str, str] = {"accept": "accepted", "review": "review"}
"""Where outputs go, if they are sorted by verdict; without one they stay where they are."""


def sorted_outputs(outputs: Iterable[str], verdict: str) -> tuple[str, ...]:
    """Output names in the verdict's folder."""
    folder = VERDICT_FOLDERS.get(verdict)
    return tuple(f"{folder}/{name}" if folder else name for name in outputs)


def unsorted_output(name: str) -> str:
    """An output's name without the verdict's folder."""
    first, _, rest = name.partition("/")
    return rest if rest and first in VERDICT_FOLDERS.values() else name


def heat_path(out_dir: Path, place: str) -> Path:
    """Where the heat map of a photo is kept; `place` as in its row."""
    return out_dir.joinpath(OWN_FOLDER, "heat", *PurePosixPath(f"{place}.png").parts)


def keep_heat(out_dir: Path, place: str, heat: bytes | None) -> None:
    """Write a photo's heat map, or remove that of an earlier run.

    Raises:
        OSError: it cannot be written.
    """
    path = heat_path(out_dir, place)
    if heat is not None:
        write_atomic(path, heat)
    else:
        path.unlink(missing_ok=True)


def remove_misplaced(out_dir: Path, row: Row) -> None:
    """Remove what an earlier run wrote for this photo under another verdict, unless somebody has worked on it."""
    names = {unsorted_output(name) for name in row.outputs}
    for name, hashes in row.written.items():
        if name in row.outputs or unsorted_output(name) not in names:
            continue
        path = out_dir / name
        if path.is_file() and may_replace(path, hashes):
            path.unlink(missing_ok=True)


def move_outputs(out_dir: Path, row: Row) -> tuple[str, ...]:
    """Move a photo's outputs to its verdict's folder; where somebody has worked on one, or stands in the way, none.

    Returns:
        Their names now.

    Raises:
        OSError: a file cannot be moved.
    """
    wanted = sorted_outputs(map(unsorted_output, row.outputs), row.verdict)
    for old, new in zip(row.outputs, wanted, strict=True):
        if not may_replace(out_dir / old, row.written.get(old, ())):
            return row.outputs
        if not may_replace(out_dir / new, row.written.get(new, ())):
            return row.outputs
    for old, new in zip(row.outputs, wanted, strict=True):
        (out_dir / new).parent.mkdir(parents=True, exist_ok=True)
        (out_dir / old).replace(out_dir / new)
    return wanted
