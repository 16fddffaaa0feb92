"""Which photos of a watched folder are cut together: under a specification the views of a garment share a scale."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from garmentcut.dataset.pair import VIEWS
from garmentcut.prediction.delivery import garment_of, subject_of
from garmentcut.prediction.results import Row
from garmentcut.prediction.settling import Arrival, Arrivals
from garmentcut.prediction.sources import Source


class GarmentViews:
    """Knows which photos of each garment were finished, and when those that came make a garment.

    A garment is cut when all its views are there, or when none came for `garment_s`; a view that comes later has the
    garment's other photos cut again, so that all have one scale.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        """Begin with what the results tell of."""
        self._finished: dict[str, dict[str, str]] = defaultdict(dict)  # garment -> input -> place
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """A photo is finished."""
        garment = garment_of(_source_of(row.input, row.place))
        if garment != row.input:  # one without a view stands alone
            self._finished[garment][row.input] = row.place

    def due(self, arrivals: Arrivals, now: float) -> Iterator[list[Source]]:
        """Photos of each garment that can be cut now: those that came, and those finished before that still exist."""
        came: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            came[garment_of(arrival.seen.source)].append(arrival)
        for garment, views in came.items():
            if not all(arrivals.is_due(view, now) for view in views):
                continue
            sources = {str(view.seen.source.path): view.seen.source for view in views}
            for path, place in self._finished.get(garment, {}).items():
                if path not in sources and Path(path).exists():
                    sources[path] = _source_of(path, place)
            last = max(view.since for view in views)
            stands_alone = garment in sources
            if stands_alone or _is_complete(sources.values()) or now - last >= arrivals.timing.garment_s:
                yield list(sources.values())


def _is_complete(sources: Iterable[Source]) -> bool:
    return {subject_of(source.place).view for source in sources} >= set(VIEWS)


def _source_of(path: str, place: str) -> Source:
    return Source(Path(path), PurePosixPath(place))
