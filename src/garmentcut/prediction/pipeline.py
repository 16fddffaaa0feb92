"""What a folder run is made of: its plan, and steps that overlap without losing their order."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from garmentcut.dataset.bounded import map_in_order
from garmentcut.prediction.results import Row
from garmentcut.prediction.sources import Named

_T = TypeVar("_T")


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        todo: photos to cut, with their output names.
        done: rows of photos cut before with the same model and options.
        originals: `folded_path` of every photo of this and earlier runs.
        garments: under a specification, of each photo what all photos of its garment share; they follow each other.
    """

    todo: dict[Path, Named]
    done: tuple[Row, ...]
    originals: frozenset[str]
    garments: dict[str, str] = field(default_factory=dict)


def jobs_of(plan: Plan, options: str, is_stopping: Callable[[], bool]) -> Iterator[tuple[Path, Named, str]]:
    """What the first step needs of each photo; none any more once a stop is wished for and a garment is complete."""
    last = None
    for path, named in plan.todo.items():
        garment = plan.garments.get(str(path))
        if is_stopping() and (garment is None or garment != last):  # half a garment would have another scale
            return
        last = garment
        yield path, named, options


def in_order(
    pool: ThreadPoolExecutor, step: Callable[..., _T], jobs: Iterable[tuple[object, ...]], *, num_ahead: int
) -> Generator[_T, None, None]:
    """Results of `step(*job)` in order, with `num_ahead` of them under way while jobs are drawn."""
    yield from map_in_order(pool, lambda job: step(*job), jobs, num_ahead=num_ahead)
