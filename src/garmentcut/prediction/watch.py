"""`garmentcut cut --watch`: cuts photos as they come into folders, until it is stopped."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from garmentcut.errors import ConfigError, FolderError, SourceError
from garmentcut.observe.monitor import Monitor, log_event
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.read import decode_photo
from garmentcut.prediction.arrivals import Arrival, Folder, GarmentViews, Intake
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Row
from garmentcut.prediction.sources import Source, garment_of

_MOST_AT_ONCE = 32  # photos between two scans: what came meanwhile is not kept waiting long
_LONGEST_PAUSE_S = 60.0
_FEWEST_ROWS = 1000  # appended before the results are tidied


class Stop(Protocol):
    """What ends a watch: a `threading.Event`."""

    def is_set(self) -> bool:
        """True once the watch is to end."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait for so many seconds, or until it is set."""
        ...


class Watch:
    """Cuts what comes into folders; its whole state is in results.jsonl, so it may be killed at any time.

    A photo is cut when it is stable (see `Arrivals`) and has no row with the same size, time and options. A file that
    was replaced is cut again. Outputs that somebody removed are not made again; rows and outputs of photos that
    somebody removed stay.

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
        stop: Stop,
        monitor: Monitor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a watch."""
        self._folder, self._stop, self._clock = folder, stop, clock
        self._monitor = monitor or Monitor()
        self._timing = folder.config.watch
        self._intake = Intake(folder, folders, monitor=self._monitor, clock=clock)
        self._garments = GarmentViews(folder.journal.rows.values()) if folder.specification else None
        self._pause_s, self._num_appended = 0.0, 0

    def rows(self) -> Iterator[Row]:
        """Rows of photos as they are finished; ends when `stop` is set."""
        self._monitor.health.add_check("output folder", self._folder.problem)
        try:
            while not self._stop.is_set():
                if lost := self._folder.problem():
                    self._wait_for_output(lost)
                    self._monitor.problem("output")
                if self._clock() >= self._intake.next_scan:
                    for row in self._intake.scan():
                        self._append(row)
                        yield row
                yield from self._try_again()
                due = self._due()
                yield from self._cut(due)
                self._report_queue(0)
                if not due and not self._stop.is_set():
                    self._tidy()
                    self._stop.wait(max(0.0, self._intake.next_scan - self._clock()))
        finally:
            self._monitor.health.add_check("output folder", str)  # it is not held any more

    def _due(self) -> list[Source]:
        """Photos that can be cut now, the first to come first, garments whole, not too many at once."""
        now, due, arrivals = self._clock(), list[Source](), self._intake.arrivals
        groups: Iterable[list[Source]]
        if self._garments:
            groups = self._garments.due(arrivals, now)
        else:
            waiting = sorted(arrivals, key=lambda arrival: arrival.since)
            groups = ([arrival.seen.source] for arrival in waiting if arrivals.is_due(arrival, now))
        for group in groups:
            due += group
            if len(due) >= _MOST_AT_ONCE:
                break
        return due

    def _cut(self, due: list[Source]) -> Iterator[Row]:
        """Cut photos; if the disk is full or the share is gone, wait."""
        if not due:
            return
        try:
            yield from self._cut_planned(due)
            self._pause_s = 0.0
            self._monitor.problem("output")
        except ConfigError as error:
            yield from self._refuse(due, error)
        except (FolderError, OSError) as error:
            self._take_back(due)
            self._wait_for_output(_reason_of(error))

    def _cut_planned(self, due: list[Source]) -> Iterator[Row]:
        now, arrivals = self._clock(), self._intake.arrivals
        came = {str(source.path): arrivals.find(str(source.path)) for source in due}
        may_grow = {path for path, arrival in came.items() if arrival and arrivals.may_grow(arrival, now)}

        def is_held(row: Row) -> bool:  # it could not be read, and may still be on its way
            return not row.ok and row.size_hw is None and row.code != "kills_run" and row.input in may_grow

        plan = self._folder.plan(due)
        self._pass_over(due, {row.input: row for row in plan.done}, {str(path) for path in plan.todo})
        cutting = self._folder.cut(plan, monitor=self._monitor, is_stopping=self._stop.is_set, hold_back=is_held)
        for number, row in enumerate(cutting, 1):
            self._monitor.health.beat()
            self._num_appended += 2
            arrival = came.get(row.input)
            if arrival and is_held(row):
                self._put_off(arrival, row)
            else:
                yield self._finish(row, arrival)
            self._report_queue(len(plan.todo) - number)

    def _pass_over(self, due: list[Source], done: dict[str, Row], todo: set[str]) -> None:
        """Finish photos that need no cut: touched but unchanged, or files that garmentcut itself wrote."""
        for path in {str(source.path) for source in due} - todo:
            if (arrival := self._intake.arrivals.find(path)) and path in done:
                self._append(replace(done[path], input_mtime_ns=arrival.seen.mtime_ns))
                self._intake.finish(path)
            elif arrival:
                self._intake.pass_over(path)

    def _finish(self, row: Row, arrival: Arrival | None) -> Row:
        if arrival and not row.ok and not row.input_sha256:
            # Never read, so its row does not say what the file was like: it would be tried for ever.
            row = replace(row, input_bytes=arrival.seen.num_bytes, input_mtime_ns=arrival.seen.mtime_ns)
        if self._folder.journal.rows.get(row.input) is not row:
            self._append(row)
        self._intake.finish(row.input)
        if self._garments:
            self._garments.add(row)
        return row

    def _put_off(self, arrival: Arrival, row: Row) -> None:
        now = self._clock()
        self._intake.arrivals.put_off(arrival, row, now)
        wait_s = round(arrival.next_try - now, 1)
        log_event("not whole yet", level=logging.DEBUG, input=row.input, reason=row.reason, again_in_s=wait_s)

    def _try_again(self) -> Iterator[Row]:
        """Try photos again that could not be read; yields the rows of those whose patience is over."""
        now, arrivals = self._clock(), self._intake.arrivals
        for arrival in arrivals:
            if arrival.failed is None or now < arrival.next_try or self._stop.is_set():
                continue
            if self._is_readable(arrival.seen.source.path):
                arrival.failed = None
            elif arrivals.may_grow(arrival, now):
                self._put_off(arrival, arrival.failed)
            else:
                yield self._finish(arrival.failed, arrival)

    def _is_readable(self, path: Path) -> bool:
        self._monitor.health.beat()
        limits, attempts = self._folder.config.read, self._folder.attempts
        attempts.begin(path)
        try:
            decode_photo(read_photo_bytes(path, limits), limits=limits)
        except Exception:  # noqa: BLE001 - whatever it is, the first try's row has it in words
            return False
        finally:
            attempts.end(path)
        return True

    def _refuse(self, due: list[Source], error: ConfigError) -> Iterator[Row]:
        """The specification gives two of these photos one name: cut each garment by itself; those that clash fail."""
        groups: dict[str, list[Source]] = {}
        for source in due:
            groups.setdefault(garment_of(source), []).append(source)
        if len(groups) > 1:
            for group in groups.values():
                yield from self._cut(group)
            return
        for source in due:
            if arrival := self._intake.arrivals.find(str(source.path)):
                row = Row(str(source.path), str(source.place), status="failed", code="name_taken", reason=str(error))
                model = self._folder.cutter.card.label
                yield self._finish(replace(row, options=self._folder.options, model=model), arrival)

    def _take_back(self, due: list[Source]) -> None:
        """Mark photos that failed only because nothing could be written, so that they are cut again."""
        rows = self._folder.journal.rows
        for path in {str(source.path) for source in due}:
            if self._intake.arrivals.find(path) and path in rows and rows[path].status == "failed":
                rows[path] = replace(rows[path], status="pending", code="", reason="")

    def _wait_for_output(self, reason: str) -> None:
        """Wait until the results can be written again; what was not finished stays due."""
        while not self._stop.is_set():
            self._monitor.problem("output", f"{self._folder.out_dir}: {reason}; waiting until it can be written")
            self._pause_s = min(max(self._timing.poll_s, 2 * self._pause_s), _LONGEST_PAUSE_S)
            self._stop.wait(self._pause_s)
            self._monitor.health.beat()
            try:
                self._folder.reopen()
                self._folder.journal.compact()  # also completes a line that was cut off
                return
            except (OSError, FolderError, SourceError) as error:
                reason = _reason_of(error)

    def _append(self, row: Row) -> None:
        self._num_appended += 1
        try:
            self._folder.journal.append(row)
        except (OSError, FolderError) as error:
            self._wait_for_output(_reason_of(error))  # which writes this row too

    def _tidy(self) -> None:
        """One row a photo again, before the results outgrow their disk."""
        journal = self._folder.journal
        if self._num_appended <= max(_FEWEST_ROWS, len(journal.rows)):
            return
        self._num_appended = 0
        try:
            journal.compact()
        except (OSError, FolderError) as error:
            self._wait_for_output(_reason_of(error))

    def _report_queue(self, num_cutting: int) -> None:
        arrivals = self._intake.arrivals
        stable = sum(map(arrivals.is_stable, arrivals))
        put_off = sum(arrival.failed is not None for arrival in arrivals)
        self._monitor.queue(
            debouncing=len(arrivals) - stable, ready=stable - put_off, retrying=put_off, cutting=num_cutting
        )


def _reason_of(error: BaseException) -> str:
    error = error.__cause__ or error
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
