"""Compares the views of a garment after a folder run cut them: one whose colour or length fits no other is odd."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from garmentcut.dataset.manifest import VIEWS
from garmentcut.errors import FolderError, Note
from garmentcut.prediction.names import garment_of, subject_of
from garmentcut.prediction.results import FOREIGN, VIEW_FLAGS, Journal, Row
from garmentcut.prediction.sources import Source
from garmentcut.prediction.verdict import Judge, move_outputs, sorted_outputs, unsorted_output

COLOR_LIMIT = 28.0
"""Distance of two views' mean colours (Y at half weight, Cb, Cr; levels of 255) that light and folds do not explain."""

LENGTH_LIMIT = 0.22
"""Difference of two views' heights, over the larger: dip hems and tails make less."""

RAISE = 0.5
"""Of an odd view's certainty, what its oddness takes."""

_Y, _CB, _CR, _HEIGHT, _COMPONENTS = 0, 1, 2, 7, 10  # places in a judgement's `appearance`


@dataclass(frozen=True)
class Odd:
    """Why a view is odd: codes and words, strongest first."""

    flags: tuple[str, ...]
    reasons: tuple[str, ...]


def find_odd_views(appearance: Mapping[str, tuple[float, ...]]) -> dict[str, Odd]:
    """The views of one garment that do not fit the others.

    Among three views or more, one that differs from all others is odd. With two views, or where all differ, nobody can
    know which one is wrong: all that differ are odd.

    Args:
        appearance: of each view, what `Judgement.appearance` holds.

    Returns:
        View to what is odd about it; views that fit are not in it.
    """
    known = {view: values for view, values in appearance.items() if len(values) > _COMPONENTS}
    if len(known) < 2:
        return {}
    found: dict[str, dict[str, str]] = {}
    for differs, (flag, words) in zip(
        (_color_differs, _length_differs, _components_differ), VIEW_FLAGS.items(), strict=True
    ):
        pairs = {(a, b) for a in known for b in known if a != b and differs(known[a], known[b])}
        for view in known:
            others = [other for other in known if other != view and (view, other) in pairs]
            if others and (len(others) == len(known) - 1):
                found.setdefault(view, {})[flag] = f"{words} {' and '.join(sorted(others))}"
    return {view: Odd(tuple(remarks), tuple(remarks.values())) for view, remarks in found.items()}


def raised(doubt: float) -> float:
    """The doubt of an odd view."""
    return round(doubt + RAISE * (1 - doubt), 4)


def _color_differs(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    apart = np.array([(one[_Y] - other[_Y]) / 2, one[_CB] - other[_CB], one[_CR] - other[_CR]])
    return float(np.sqrt((apart**2).sum())) > COLOR_LIMIT


def _length_differs(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return abs(one[_HEIGHT] - other[_HEIGHT]) > LENGTH_LIMIT * max(one[_HEIGHT], other[_HEIGHT])


def _components_differ(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[_COMPONENTS] != other[_COMPONENTS]


@dataclass
class ViewComparison:
    """Compares the views of each garment once all of its photos are cut; rows of earlier runs count too."""

    judge: Judge  # whose verdict follows from the raised doubt
    journal: Journal  # where rows are, and where changed ones are recorded
    by_verdict: bool = False  # outputs lie in the verdicts' folders: a new verdict moves them
    _views: dict[str, dict[str, Row]] = field(default_factory=lambda: defaultdict(dict))

    def follow(self, rows: Iterable[Row], todo: Iterable[tuple[Path, str]]) -> Iterator[Row]:
        """Pass the rows on; those of a garment are held back until its last one.

        Args:
            rows: of a run, as they are finished.
            todo: path and place of each photo of the run.

        Raises:
            garmentcut.errors.FolderError: as `rows`.
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
        except FolderError:  # what was finished is reported first
            yield from (row for group in waiting.values() for row in group)
            raise
        yield from (row for group in waiting.values() for row in group)

    def _note(self, row: Row) -> None:
        view = subject_of(PurePosixPath(row.place)).view
        if view in VIEWS and row.ok and row.appearance:
            self._views[_garment(row.input, row.place)][view] = row

    def _compared(self, garment: str, mine: list[Row]) -> Iterator[Row]:
        """Rows of this run as they are now; those of earlier runs are recorded where they change."""
        views = self._views.pop(garment, {})
        odd = find_odd_views({view: row.appearance for view, row in views.items()})
        changed = {}
        for view, row in views.items():
            new = self._judged(row, odd.get(view, Odd((), ())))
            if new != row:
                self.journal.append(new)
                changed[row.input] = new
        yield from (changed.get(row.input, row) for row in mine)

    def _judged(self, row: Row, odd: Odd) -> Row:
        if row.own_doubt is None:
            return row
        doubt = raised(row.own_doubt) if odd.flags else row.own_doubt
        verdict = self.judge.verdict_of(doubt, row.flags)
        first = int(row.flags[:1] == (FOREIGN,))
        # What an earlier comparison found stands in front, behind that the photo is foreign.
        rest = first + sum(flag in VIEW_FLAGS for flag in row.flags)
        flags = (*row.flags[:first], *odd.flags, *row.flags[rest:])
        reasons = (*row.reasons[:first], *odd.reasons, *row.reasons[rest:])
        new = replace(row, doubt=doubt, verdict=verdict, reasons=reasons, flags=flags)
        return self._moved(row, new) if self.by_verdict and verdict != row.verdict else new

    def _moved(self, row: Row, new: Row) -> Row:
        """The new row, its outputs in the folder of its verdict."""
        earlier = (*row.outputs, *row.sidecars)
        names = sorted_outputs(map(unsorted_output, earlier), new.verdict)
        hashes = {name: row.written.get(old, ()) for old, name in zip(earlier, names, strict=True)}
        new = replace(new, written={**row.written, **hashes})
        # Killed now, the photo is cut again, and may replace the files under either name.
        self.journal.append(replace(new, status="pending"))
        try:
            return move_outputs(self.journal.path.parent, new)
        except OSError as error:  # the files stand where they stood; the next run finds them misplaced and cuts again
            return new.noted([Note(f"not moved by its verdict: {error.strerror or error}", "not_moved")])


def _garment(path: str, place: str) -> str:
    return garment_of(Source(Path(path), PurePosixPath(place)))
