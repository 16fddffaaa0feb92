"""`garmentcut cut --watch`: cuts photos as they arrive in folders, once they are complete, until it is stopped."""

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from garmentcut.errors import ConfigError, FolderError, SourceError
from garmentcut.naming import VIEWS
from garmentcut.observe.monitor import Monitor, log_event
from garmentcut.photo.files import NotLookedAt, read_photo_bytes
from garmentcut.photo.read import decode_photo
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Row
from garmentcut.prediction.sources import Folder, Skipped, Source, garment_of, subject_of

_MOST_AT_ONCE = 32  # photos between two scans, so that new ones do not wait long
_SCAN_SHARE = 10  # scans take at most a tenth of the time, however slow the share
_LONGEST_PAUSE_S = 60.0
_FOUND_PER_BEAT = 1000
_FEWEST_ROWS = 1000  # rows appended before the results are tidied


class FoundFile(NamedTuple):
    """A photo that a scan found; its path is text, because there may be 100,000."""

    folder: Folder
    path: str
    num_bytes: int
    mtime_ns: int  # by the file server's clock, so it is never compared with this machine's


def watched_folders(inputs: Iterable[Path], out_dir: Path) -> list[Folder]:
    """The folders to watch; SourceError: one does not exist, is not a folder, or is the output folder."""
    roots = list(dict.fromkeys(Path(os.path.realpath(path)) for path in inputs))
    for root in roots:
        if not os.path.isdir(root):  # noqa: PTH112 - never raises
            raise SourceError(f"{root}: --watch needs a folder that is there; make it, or mount it")
        if root == out_dir.resolve():
            raise SourceError(f"{root}: the output folder must not be the photos' folder; choose another --out")
    return [Folder(root, PurePosixPath(root.name if len(roots) > 1 else "")) for root in roots]


def scan_folders(
    folders: Iterable[Folder],
    out_dir: Path,
    *,
    unreadable: list[OSError],
    on_skip: Callable[[Skipped], None] = lambda _skipped: None,
) -> Iterator[FoundFile]:
    """Find every photo in the folders, each once."""
    folders = list(folders)
    roots = {folder.root for folder in folders}
    for folder in folders:
        for path in folder.walk(out_dir, on_error=unreadable.append, on_skip=on_skip):
            if len(roots) > 1 and next(parent for parent in Path(path).parents if parent in roots) != folder.root:
                continue  # in a folder inside this one, which yields it itself
            try:
                status = os.stat(path)  # noqa: PTH116 - 100,000 Path objects would take half the time
            except OSError:
                continue  # gone again, or a broken link
            yield FoundFile(folder, path, status.st_size, status.st_mtime_ns)


@dataclass
class Arrival:
    """A photo that arrived or changed and is not finished."""

    source: Source  # path and place
    file: FoundFile  # as the last scan found it
    since: float  # when it was first seen like this, in seconds of the watch's clock
    confirmed: float  # when it was last seen like this
    tries: int = 0  # how often it could not be read
    next_try: float = 0.0  # earliest time of the next try
    failed: Row | None = None  # the row of the last try


class Arrivals:
    """Scans the watched folders and holds the photos that are not yet cut; 100,000 finished ones take no memory.

    A photo is stable when scans at least `debounce_s` apart find the same size and time, and no scan between them finds
    others. A stable photo that cannot be read may still be arriving: a copy may pause, and a share may show the size
    before the content. It is tried again, each time after twice the pause, until `patience_s` have passed.

    Under a specification a garment is cut when all its views are there, or when none has arrived for `garment_s`; if a
    view arrives later, all photos of the garment are cut again, so that they share a scale.

    Attributes:
        waiting: photos that arrived or changed and are not finished, by path.
        next_scan: when the next scan is due, in seconds of the clock.
    """

    def __init__(
        self, folder: FolderCutter, folders: list[Folder], *, monitor: Monitor, clock: Callable[[], float]
    ) -> None:
        """Start from the rows of `folder`, which has been entered; `clock` returns seconds from any origin."""
        self._folder, self._folders, self._monitor, self._clock = folder, folders, monitor, clock
        self._timing = folder.config.watch
        self.waiting: dict[str, Arrival] = {}
        self.next_scan = clock()
        rows = folder.journal.rows.values()
        # What could not even be read is tried once more when a watch begins or, without permission, once there is one.
        self._unread = {row.input for row in rows if row.status == "failed" and not row.input_sha256}
        self._passed_over: set[str] = set()
        self._unreadable = {path for path in self._unread if os.path.isdir(path)}  # noqa: PTH112 - never raises
        self._skipped: set[Skipped] = set()
        self._finished: dict[str, dict[Path, Source]] = defaultdict(dict)  # photos of each garment
        for row in rows:
            self._join_garment(row)

    def scan(self) -> list[Row]:
        """Find what arrived, changed or vanished; returns rows for unreadable folders, each once."""
        began, number, unreadable, skipped = self._clock(), 0, list[OSError](), set[Skipped]()
        scanned = scan_folders(self._folders, self._folder.out_dir, unreadable=unreadable, on_skip=skipped.add)
        found = []
        for number, file in enumerate(scanned, 1):
            if number % _FOUND_PER_BEAT == 0:
                self._monitor.health.beat()
            if self._is_new(file):
                found.append(file)
        ended = self._clock()  # when each photo was seen between `began` and `ended` is not known
        self._monitor.scan(ended - began, number)
        earlier, self.waiting = self.waiting, {}
        for file in found:
            arrival = earlier.get(file.path)
            if arrival is None or arrival.file != file:
                source = arrival.source if arrival else file.folder.photo_at(file.path)
                arrival = Arrival(source, file, since=ended, confirmed=ended)
            arrival.confirmed = max(arrival.confirmed, began)
            self.waiting[file.path] = arrival
        self.next_scan = ended + max(self._timing.poll_s, min(_SCAN_SHARE * (ended - began), _LONGEST_PAUSE_S))
        rows = self._report_unreadable({str(error.filename): error.strerror or str(error) for error in unreadable})
        self._report_skipped(skipped)
        return rows

    def due(self) -> list[Source]:
        """Photos that can be cut now, in order of arrival, garments complete, not too many at once."""
        now, due, groups = self._clock(), list[Source](), defaultdict[str, list[Arrival]](list)
        for arrival in sorted(self.waiting.values(), key=lambda arrival: arrival.since):
            groups[self._group_of(arrival.source)].append(arrival)
        for key, views in groups.items():
            if len(due) >= _MOST_AT_ONCE:
                break
            if all(self.is_stable(view) and now >= view.next_try for view in views):
                sources = {view.source.path: view.source for view in views}
                for path, source in self._finished.get(key, {}).items():
                    if path not in sources and os.path.exists(path):  # noqa: PTH110 - never raises
                        sources[path] = source
                is_alone = key == str(views[0].source.path)
                is_late = now - views[-1].since >= self._timing.garment_s
                if is_alone or is_late or {subject_of(one.place).view for one in sources.values()} >= set(VIEWS):
                    due += sources.values()
        return due

    def is_stable(self, arrival: Arrival) -> bool:
        """Whether its size and time have stayed the same for `debounce_s`."""
        return arrival.confirmed - arrival.since >= self._timing.debounce_s

    def may_grow(self, arrival: Arrival) -> bool:
        """Whether its file may still be incomplete if it cannot be read now."""
        return self._clock() - arrival.since < self._timing.patience_s

    def put_off(self, arrival: Arrival, failed: Row) -> None:
        """Try a photo that could not be read again later, the last time when `patience_s` are over."""
        now, pause = self._clock(), max(self._timing.debounce_s, self._timing.poll_s) * 2**arrival.tries
        arrival.tries += 1
        arrival.next_try = min(now + pause, max(now, arrival.since + self._timing.patience_s))
        arrival.failed = failed
        wait_s = round(arrival.next_try - now, 1)
        log_event("not whole yet", level=logging.DEBUG, input=failed.input, reason=failed.reason, again_in_s=wait_s)

    def finish(self, row: Row) -> None:
        """Record that a photo needs no more work."""
        is_denied = row.code == "unreadable" and not os.access(row.input, os.R_OK)
        (self._unread.add if is_denied else self._unread.discard)(row.input)
        self.waiting.pop(row.input, None)
        self._join_garment(row)

    def pass_over(self, path: str) -> None:
        """Ignore a file from now on, because it is not a photo to cut."""
        self._passed_over.add(path)
        self._unread.discard(path)
        self.waiting.pop(path, None)

    def _group_of(self, source: Source) -> str:
        """A key that photos that are cut together share; the photo's own path if it stands alone."""
        return garment_of(source) if self._folder.specification else str(source.path)

    def _join_garment(self, row: Row) -> None:
        source = Source(Path(row.input), PurePosixPath(row.place))
        if (group := self._group_of(source)) != row.input:
            self._finished[group][source.path] = source

    def _is_new(self, found: FoundFile) -> bool:
        row = self._folder.journal.rows.get(found.path)
        if row is None or row.status == "pending" or row.options != self._folder.options:
            return found.path not in self._passed_over
        same = row.input_bytes == found.num_bytes and row.input_mtime_ns == found.mtime_ns
        is_due_again = found.path in self._unread and os.access(found.path, os.R_OK)
        return not same or is_due_again or (row.ok and not self._folder.is_cut(row))

    def _report_unreadable(self, unreadable: dict[str, str]) -> list[Row]:
        roots = {str(folder.root) for folder in self._folders}
        lost = [f"{path}: {reason}" for path, reason in unreadable.items() if path in roots]
        self._monitor.problem("input", "; ".join(lost))
        rows = []
        for path in sorted(unreadable.keys() - roots - self._unreadable):  # logged only once, as it may be intended
            log_event("folder not readable", level=logging.WARNING, folder=path, reason=unreadable[path])
            where = next(folder for folder in self._folders if Path(path).is_relative_to(folder.root))
            reason = f"cannot be read: {unreadable[path]}"
            rows.append(self._folder.refused_row(where.folder_at(path), "unreadable", reason))
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


class Watch:
    """Cuts what arrives in folders; its whole state is in results.jsonl, so it may be killed at any time.

    A photo is cut when it is stable (see `Arrivals`) and has no row with the same size, time and options. A file that
    was replaced is cut again. Outputs that somebody removed are not made again; rows and outputs of photos that
    somebody removed are kept.

    >>> with FolderCutter(cutter, out_dir) as folder:  # doctest: +SKIP
    ...     watch = Watch(folder, watched_folders([Path("tether")], out_dir), stop=threading.Event())
    ...     for row in watch.rows():
    ...         print(row.input, row.ok)
    """

    def __init__(
        self,
        folder: FolderCutter,
        folders: list[Folder],
        *,
        stop: threading.Event,
        monitor: Monitor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._stop, self._clock = folder, stop, clock
        self._monitor = monitor or Monitor()
        self._arrivals = Arrivals(folder, folders, monitor=self._monitor, clock=clock)
        self._pause_s, self._num_appended = 0.0, 0

    def rows(self) -> Iterator[Row]:
        """Yield the rows of photos as they are finished, until `stop` is set."""
        self._monitor.health.add_check("output folder", self._folder.problem)
        try:
            while not self._stop.is_set():
                if self._folder.problem():
                    self._wait_for_output()
                    self._monitor.problem("output")
                if self._clock() >= self._arrivals.next_scan:
                    for row in self._arrivals.scan():
                        self._append(row)
                        yield row
                yield from self._try_again()
                due = self._arrivals.due()
                yield from self._cut(due)
                self._report_queue(0)
                if not due and not self._stop.is_set():
                    self._tidy()
                    self._stop.wait(max(0.0, self._arrivals.next_scan - self._clock()))
        finally:
            self._monitor.health.add_check("output folder", str)  # the folder is no longer held

    def _cut(self, due: list[Source]) -> Iterator[Row]:
        """Cut photos; wait if the disk is full or the share is gone."""
        if not due:
            return
        try:
            yield from self._cut_planned(due)
            self._pause_s = 0.0
            self._monitor.problem("output")
        except ConfigError as error:
            yield from self._refuse(due, error)
        except (FolderError, OSError) as error:
            self._mark_pending(due)
            self._wait_for_output(error)

    def _cut_planned(self, due: list[Source]) -> Iterator[Row]:
        came = {str(source.path): self._arrivals.waiting.get(str(source.path)) for source in due}
        may_grow = {path for path, arrival in came.items() if arrival and self._arrivals.may_grow(arrival)}

        def is_held(row: Row) -> bool:  # it could not be read, and may still be arriving
            return not row.ok and row.size_hw is None and row.code != "kills_run" and row.input in may_grow

        plan = self._folder.plan(due, makes_again=False)
        done = {row.input: row for row in plan.done}
        for path, arrival in came.items():
            if arrival and path in done:  # touched, but unchanged
                self._finish(replace(done[path], input_mtime_ns=arrival.file.mtime_ns), arrival)
            elif arrival and Path(path) not in plan.todo:  # garmentcut itself wrote it
                self._arrivals.pass_over(path)
        cutting = self._folder.cut(plan, monitor=self._monitor, is_stopping=self._stop.is_set, hold_back=is_held)
        for number, row in enumerate(cutting, 1):
            self._monitor.health.beat()
            self._num_appended += 2
            arrival = came.get(row.input)
            if arrival and is_held(row):
                self._arrivals.put_off(arrival, row)
            else:
                yield self._finish(row, arrival)
            self._report_queue(len(plan.todo) - number)

    def _finish(self, row: Row, arrival: Arrival | None) -> Row:
        if arrival and not row.ok and not row.input_sha256:
            # Never read, so without these its row would not match the file, and it would be tried for ever.
            row = replace(row, input_bytes=arrival.file.num_bytes, input_mtime_ns=arrival.file.mtime_ns)
        if self._folder.journal.rows.get(row.input) is not row:
            self._append(row)
        self._arrivals.finish(row)
        return row

    def _try_again(self) -> Iterator[Row]:
        """Try photos again that could not be read; yields the rows of those whose `patience_s` are over."""
        for arrival in list(self._arrivals.waiting.values()):
            if arrival.failed is None or self._clock() < arrival.next_try or self._stop.is_set():
                continue
            if self._is_readable(arrival.source.path):
                arrival.failed = None
            elif self._arrivals.may_grow(arrival):
                self._arrivals.put_off(arrival, arrival.failed)
            else:
                yield self._finish(arrival.failed, arrival)

    def _is_readable(self, path: Path) -> bool:
        self._monitor.health.beat()
        limits, attempts = self._folder.config.read, self._folder.attempts
        attempts.begin(path)
        try:
            decode_photo(read_photo_bytes(path, limits), limits=limits)
        except Exception:  # noqa: BLE001 - the first try's row already says why
            return False
        finally:
            attempts.end(path)
        return True

    def _refuse(self, due: list[Source], error: ConfigError) -> Iterator[Row]:
        """Two photos would get the same name: cut each garment by itself, so that only those that clash fail."""
        groups: dict[str, list[Source]] = defaultdict(list)
        for source in due:
            groups[garment_of(source)].append(source)
        if len(groups) > 1:
            for group in groups.values():
                yield from self._cut(group)
            return
        for source in due:
            if arrival := self._arrivals.waiting.get(str(source.path)):
                yield self._finish(self._folder.refused_row(source, "name_taken", str(error)), arrival)

    def _mark_pending(self, due: list[Source]) -> None:
        """Mark photos that failed because nothing could be written as pending, so that they are cut again."""
        rows = self._folder.journal.rows
        for path in {str(source.path) for source in due} & self._arrivals.waiting.keys() & rows.keys():
            if rows[path].status == "failed":
                rows[path] = replace(rows[path], status="pending", code="", reason="")

    def _wait_for_output(self, error: Exception | None = None) -> None:
        """Wait until the results can be written again; unfinished photos stay due."""
        out = self._folder.out_dir
        while not self._stop.is_set():
            cause = (error.__cause__ or error) if error else self._folder.problem()
            reason = (isinstance(cause, OSError) and cause.strerror) or str(cause).removeprefix(f"{out}: ")
            self._monitor.problem("output", f"{out}: {reason}; waiting until it can be written")
            self._pause_s = min(max(self._folder.config.watch.poll_s, 2 * self._pause_s), _LONGEST_PAUSE_S)
            self._stop.wait(self._pause_s)
            self._monitor.health.beat()
            try:
                self._folder.reopen()
                self._folder.journal.compact()  # also repairs a line that was cut off
                return
            except (OSError, FolderError, SourceError) as again:
                error = again

    def _append(self, row: Row) -> None:
        self._num_appended += 1
        self._record(lambda: self._folder.journal.append(row))

    def _record(self, write: Callable[[], object]) -> None:
        try:
            write()
        except (OSError, FolderError) as error:
            self._wait_for_output(error)  # this writes all rows too

    def _tidy(self) -> None:
        """Compact the results to one row per photo, before they fill the disk."""
        journal = self._folder.journal
        if self._num_appended > max(_FEWEST_ROWS, len(journal.rows)):
            self._num_appended = 0
            self._record(journal.compact)

    def _report_queue(self, num_cutting: int) -> None:
        waiting = self._arrivals.waiting.values()
        stable = sum(map(self._arrivals.is_stable, waiting))
        put_off = sum(arrival.failed is not None for arrival in waiting)
        self._monitor.queue(
            debouncing=len(waiting) - stable, ready=stable - put_off, retrying=put_off, cutting=num_cutting
        )
