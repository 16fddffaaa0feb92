"""The views of a garment compared within a run: odd ones get more doubt, a reason, and perhaps another verdict."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from garmentcut.dataset.pair import VIEWS
from garmentcut.prediction.consistency import find_odd_views, is_of_views, raised
from garmentcut.prediction.delivery import garment_of, subject_of
from garmentcut.prediction.results import Journal, Row
from garmentcut.prediction.sources import Source
from garmentcut.prediction.steps import FolderError
from garmentcut.prediction.verdict import Judge
from garmentcut.prediction.verdict_files import move_outputs, sorted_outputs, unsorted_output


@dataclass
class ViewComparison:
    """Compares the views of each garment once all of its photos are cut; rows of earlier runs count too.

    Attributes:
        judge: whose verdict follows from the raised doubt.
        journal: where rows are, and where changed ones are recorded.
        by_verdict: outputs lie in the verdicts' folders: a new verdict moves them.
    """

    judge: Judge
    journal: Journal
    by_verdict: bool = False
    _views: dict[str, dict[str, Row]] = field(default_factory=lambda: defaultdict(dict))

    def follow(self, rows: Iterable[Row], todo: Iterable[tuple[Path, str]]) -> Iterator[Row]:
        """The same rows, those of a garment held back until its last one.

        Args:
            rows: of a run, as they are finished.
            todo: path and place of each photo of the run.

        Raises:
            garmentcut.prediction.steps.FolderError: as `rows`.
        """
        if self.judge.card.doubt is None:
            yield from rows
            return
        left = Counter(_garment(str(path), place) for path, place in todo)
        for row in self.journal.rows.values():
            self._note(row)
        waiting: dict[str, list[Row]] = defaultdict(list)
        try:
            for row in rows:
                garment = _garment(row.input, row.place)
                self._note(row)
                waiting[garment].append(row)
                left[garment] -= 1
                if left[garment] <= 0:
                    yield from self._compared(garment, waiting.pop(garment))
        except FolderError:  # what was finished is told before
            yield from (row for group in waiting.values() for row in group)
            raise
        yield from (row for group in waiting.values() for row in group)

    def _note(self, row: Row) -> None:
        view = subject_of(PurePosixPath(row.place)).view
        if view in VIEWS and row.ok and row.looks:
            self._views[_garment(row.input, row.place)][view] = row

    def _compared(self, garment: str, mine: list[Row]) -> Iterator[Row]:
        """Rows of this run as they are now; those of earlier runs are recorded where they change."""
        views = self._views.pop(garment, {})
        odd = find_odd_views({view: row.looks for view, row in views.items()})
        changed = {}
        for view, row in views.items():
            new = self._judged(row, odd[view].reasons if view in odd else ())
            if new != row:
                self.journal.append(new)
                changed[row.input] = new
        yield from (changed.get(row.input, row) for row in mine)

    def _judged(self, row: Row, reasons: tuple[str, ...]) -> Row:
        if row.own_doubt is None:
            return row
        doubt = raised(row.own_doubt) if reasons else row.own_doubt
        verdict = self.judge.verdict_of(doubt)
        own = tuple(reason for reason in row.reasons if not is_of_views(reason))
        new = replace(row, doubt=doubt, verdict=verdict, reasons=(*reasons, *own))
        return self._moved(row, new) if self.by_verdict and verdict != row.verdict else new

    def _moved(self, row: Row, new: Row) -> Row:
        """The new row, its outputs in the folder of its verdict."""
        names = sorted_outputs(map(unsorted_output, row.outputs), new.verdict)
        hashes = {name: row.written.get(old, ()) for old, name in zip(row.outputs, names, strict=True)}
        new = replace(new, written={**row.written, **hashes})
        # Killed now, the photo is cut again, and may replace the files under either name.
        self.journal.append(replace(new, status="pending"))
        return replace(new, outputs=move_outputs(self.journal.path.parent, new))


def _garment(path: str, place: str) -> str:
    return garment_of(Source(Path(path), PurePosixPath(place)))
