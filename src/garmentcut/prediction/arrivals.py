"""Scans watched folders for photos that came or changed, and holds each until its file is whole."""

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from garmentcut.config import WatchConfig
from garmentcut.errors import SourceError
from garmentcut.naming import VIEWS
from garmentcut.observe.monitor import Monitor, log_event
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Row
from garmentcut.prediction.sources import (
    NotLookedAt,
    Skipped,
    Source,
    folder_below,
    garment_of,
    place_below,
    subject_of,
    walk_photos,
)


class Seen(NamedTuple):
    """A photo as a scan of the folders finds it."""

    source: Source  # path and place
    num_bytes: int  # its size
    mtime_ns: int  # its time by the file server's clock: compared with itself, never with ours


@dataclass
class Arrival:
    """A photo that came or changed and is not finished."""

    seen: Seen  # as the last scan found it
    since: float  # when it was first seen so, in seconds of the watch's clock
    confirmed: float  # when it was last seen so
    tries: int = 0  # how often it could not be read
    next_try: float = 0.0  # not before this
    failed: Row | None = None  # the row of the last try


class Arrivals:
    """Photos on their way to be cut; holds those only, so a folder of 100,000 finished photos costs it nothing.

    A photo is stable when two scans, `debounce_s` or more apart, find the same size and time, and no scan between them
    finds others. One that is stable but cannot be read may still be on its way - a copy that pauses, a share that shows
    the size before the content. It is tried again, each time after twice as long, until `patience_s` are over.
    """

    def __init__(self, timing: WatchConfig) -> None:
        self.timing = timing
        self._by_path: dict[str, Arrival] = {}

    def __len__(self) -> int:
        """How many photos are on their way."""
        return len(self._by_path)

    def __iter__(self) -> Iterator[Arrival]:
        """Photos on their way; some may be removed meanwhile."""
        return iter(list(self._by_path.values()))

    def find(self, path: str) -> Arrival | None:
        """The photo of this path, if it is on its way."""
        return self._by_path.get(path)

    def update(self, found: Iterable[Seen], *, began: float, ended: float) -> None:
        """Take in what a scan of the folders found.

        Args:
            found: all photos that are there and not finished; others are forgotten.
            began: when the scan began, in seconds of the watch's clock.
            ended: when it ended: between the two, nobody knows when each photo was seen.
        """
        earlier, self._by_path = self._by_path, {}
        for seen in found:
            path = str(seen.source.path)
            arrival = earlier.get(path)
            if arrival is None or arrival.seen != seen:
                arrival = Arrival(seen, since=ended, confirmed=ended)
            else:
                arrival.confirmed = max(arrival.confirmed, began)
            self._by_path[path] = arrival

    def is_stable(self, arrival: Arrival) -> bool:
        """Its size and time have stayed the same for `debounce_s`."""
        return arrival.confirmed - arrival.since >= self.timing.debounce_s

    def is_due(self, arrival: Arrival, now: float) -> bool:
        """It is stable, and not put off."""
        return self.is_stable(arrival) and now >= arrival.next_try

    def may_grow(self, arrival: Arrival, now: float) -> bool:
        """If it cannot be read now, its file may still be incomplete."""
        return now - arrival.since < self.timing.patience_s

    def put_off(self, arrival: Arrival, failed: Row, now: float) -> None:
        """It could not be read: try again later, but once more at the end of the patience."""
        pause = max(self.timing.debounce_s, self.timing.poll_s) * 2**arrival.tries
        arrival.tries += 1
        arrival.next_try = min(now + pause, max(now, arrival.since + self.timing.patience_s))
        arrival.failed = failed

    def remove(self, path: str) -> None:
        """It is finished."""
        self._by_path.pop(path, None)


class Folder(NamedTuple):
    """A watched folder."""

    root: Path  # absolute path
    prefix: PurePosixPath  # stands first in its photos' places; empty if only one folder is watched


class FoundFile(NamedTuple):
    """A photo that is there; its path as text, for there may be 100,000."""

    folder: Folder
    path: str
    num_bytes: int
    mtime_ns: int


def watched_folders(inputs: Iterable[Path], out_dir: Path) -> list[Folder]:
    """The folders to watch.

    Raises:
        SourceError: one does not exist, is no folder, or is the output folder.
    """
    roots = list(dict.fromkeys(Path(os.path.realpath(path)) for path in inputs))
    for root in roots:
        if not os.path.isdir(root):  # noqa: PTH112 - never raises
            raise SourceError(f"{root}: --watch needs a folder that is there; make it, or mount it")
        if root == out_dir.resolve():
            raise SourceError(f"{root}: the output folder must not be the photos' folder; choose another --out")
    return [Folder(root, PurePosixPath(root.name) if len(roots) > 1 else PurePosixPath()) for root in roots]


def scan_folders(
    folders: Iterable[Folder],
    out_dir: Path,
    *,
    unreadable: list[OSError],
    on_skip: Callable[[Skipped], None] = lambda _skipped: None,
) -> Iterator[FoundFile]:
    """Every photo in the folders, each once."""
    folders = list(folders)
    roots = {folder.root for folder in folders}
    for folder in folders:
        for path in walk_photos(folder.root, out_dir, on_error=unreadable.append, on_skip=on_skip):
            if len(roots) > 1 and _nearest(path, roots) != folder.root:
                continue  # a folder inside another one: its photos are its own
            try:
                status = os.stat(path)  # noqa: PTH116 - a Path for each of 100,000 would take half the time
            except OSError:
                continue  # gone again, or a broken link
            yield FoundFile(folder, path, status.st_size, status.st_mtime_ns)


def _nearest(path: str, roots: set[Path]) -> Path | None:
    return next((parent for parent in Path(path).parents if parent in roots), None)


class GarmentViews:
    """Knows which photos of each garment are finished, and when those that came make a garment complete.

    A garment is cut when all its views are there, or when none came for `garment_s`; when a view comes later, all
    photos of the garment are cut again, so that all have one scale.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        """Start from the rows in the results."""
        self._finished: dict[str, dict[str, str]] = defaultdict(dict)  # garment -> input -> place
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """A photo is finished."""
        garment = garment_of(_source_of(row.input, row.place))
        if garment != row.input:  # one without a view stands alone
            self._finished[garment][row.input] = row.place

    def due(self, arrivals: Arrivals, now: float) -> Iterator[list[Source]]:
        """For each garment that can be cut now, its photos: those that came, and those finished before that exist."""
        came: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            came[garment_of(arrival.seen.source)].append(arrival)
        for garment, views in came.items():
            if not all(arrivals.is_due(view, now) for view in views):
                continue
            sources = {str(view.seen.source.path): view.seen.source for view in views}
            for path, place in self._finished.get(garment, {}).items():
                if path not in sources and os.path.exists(path):  # noqa: PTH110 - never raises
                    sources[path] = _source_of(path, place)
            last = max(view.since for view in views)
            stands_alone = garment in sources
            if stands_alone or _is_complete(sources.values()) or now - last >= arrivals.timing.garment_s:
                yield list(sources.values())


def _is_complete(sources: Iterable[Source]) -> bool:
    return {subject_of(source.place).view for source in sources} >= set(VIEWS)


def _source_of(path: str, place: str) -> Source:
    return Source(Path(path), PurePosixPath(place))


_SCAN_SHARE = 10  # a scan takes at most a tenth of the time, however slow the share
_LONGEST_PAUSE_S = 60.0
_FOUND_PER_BEAT = 1000


class Intake:
    """Scans the watched folders and keeps what is to be cut.

    Attributes:
        arrivals: photos that came or changed and are not finished.
        next_scan: when the next scan is due, in seconds of the clock.
    """

    def __init__(
        self, folder: FolderCutter, folders: list[Folder], *, monitor: Monitor, clock: Callable[[], float]
    ) -> None:
        """Start from the rows in the results.

        Args:
            folder: entered; its journal says what is finished.
            folders: what to scan.
            monitor: gets how long a scan takes, and which folders cannot be read.
            clock: seconds, of any origin.
        """
        self._folder, self._folders, self._monitor, self._clock = folder, folders, monitor, clock
        self.arrivals = Arrivals(folder.config.watch)
        self.next_scan = clock()
        rows = folder.journal.rows.values()
        # What could not even be read may be readable now: tried once more when a watch begins.
        self._unread = {row.input for row in rows if row.status == "failed" and not row.input_sha256}
        self._passed_over: set[str] = set()
        self._unreadable = {path for path in self._unread if os.path.isdir(path)}  # noqa: PTH112 - never raises
        self._skipped: set[Skipped] = set()

    def scan(self) -> list[Row]:
        """Find what came, changed or went; returns rows of folders found unreadable: each once, like photos."""
        began, unreadable, skipped = self._clock(), list[OSError](), set[Skipped]()
        found = list(self._new_photos(unreadable, skipped))
        ended = self._clock()
        self.arrivals.update(found, began=began, ended=ended)
        pause = min(_SCAN_SHARE * (ended - began), _LONGEST_PAUSE_S)
        self.next_scan = ended + max(self._folder.config.watch.poll_s, pause)
        rows = self._report_unreadable({str(error.filename): error.strerror or str(error) for error in unreadable})
        self._report_skipped(skipped)
        return rows

    def finish(self, path: str) -> None:
        """A photo needs no more work."""
        self._unread.discard(path)
        self.arrivals.remove(path)

    def pass_over(self, path: str) -> None:
        """Leave a file alone from now on: it is no photo to cut."""
        self._passed_over.add(path)
        self.finish(path)

    def _new_photos(self, unreadable: list[OSError], skipped: set[Skipped]) -> Iterator[Seen]:
        began, number = self._clock(), 0
        scanned = scan_folders(self._folders, self._folder.out_dir, unreadable=unreadable, on_skip=skipped.add)
        for number, found in enumerate(scanned, 1):
            if number % _FOUND_PER_BEAT == 0:
                self._monitor.health.beat()
            if not self._is_new(found):
                continue
            earlier = self.arrivals.find(found.path)
            where = found.folder
            source = earlier.seen.source if earlier else place_below(where.root, found.path, where.prefix)
            yield Seen(source, found.num_bytes, found.mtime_ns)
        self._monitor.scan(self._clock() - began, number)

    def _is_new(self, found: FoundFile) -> bool:
        row = self._folder.journal.rows.get(found.path)
        if row is None or row.status == "pending" or row.options != self._folder.options:
            return found.path not in self._passed_over
        same = row.input_bytes == found.num_bytes and row.input_mtime_ns == found.mtime_ns
        is_judged = not row.ok or row.verdict == self._folder.judge.verdict_of(row.doubt, row.flags)
        return not (same and is_judged) or found.path in self._unread

    def _report_unreadable(self, unreadable: dict[str, str]) -> list[Row]:
        roots = {str(folder.root) for folder in self._folders}
        lost = [f"{path}: {reason}" for path, reason in unreadable.items() if path in roots]
        self._monitor.problem("input", "; ".join(lost))
        options, model, rows = self._folder.options, self._folder.cutter.card.label, list[Row]()
        for path in sorted(unreadable.keys() - roots - self._unreadable):  # logged once: it may be meant to be so
            log_event("folder not readable", level=logging.WARNING, folder=path, reason=unreadable[path])
            reason = f"cannot be read: {unreadable[path]}"
            where = next(folder for folder in self._folders if Path(path).is_relative_to(folder.root))
            place = str(folder_below(where.root, path, where.prefix).place)
            row = Row(path, place, status="failed", code="unreadable", reason=reason, model=model, options=options)
            rows.append(row)
        self._folder.journal.forget(self._unreadable - unreadable.keys())
        self._unreadable = set(unreadable)
        return rows

    def _report_skipped(self, skipped: set[Skipped]) -> None:
        if skipped == self._skipped:
            return
        self._skipped = skipped
        self._folder.record_skipped(skipped)
        if kinds := NotLookedAt(skipped).kinds:
            log_event("not looked at", level=logging.WARNING, **{"files": sum(kinds.values()), "kinds": kinds})
