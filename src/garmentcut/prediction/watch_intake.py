"""What comes into watched folders: looked for, told from what is finished, remembered until it is."""

import logging
from collections.abc import Callable, Iterator

from garmentcut.observe.log import log_event
from garmentcut.observe.monitor import Monitor
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.settling import Arrivals, Seen
from garmentcut.prediction.sources import place_below
from garmentcut.prediction.watch_look import Folder, Found, look_into

_LOOKS_SHARE = 10  # a look takes at most a tenth of the time, however slow the share
_LONGEST_PAUSE_S = 60.0
_FOUND_PER_BEAT = 1000


class Intake:
    """Looks into the folders and keeps what is to be cut.

    Attributes:
        arrivals: photos that came or changed and are not finished.
        next_look: when the next look is due, in seconds of the clock.
    """

    def __init__(
        self, folder: FolderCutter, folders: list[Folder], *, monitor: Monitor, clock: Callable[[], float]
    ) -> None:
        """Begin with what the results tell of.

        Args:
            folder: entered; its journal says what is finished.
            folders: what to look into.
            monitor: told how long a look takes, and of folders that cannot be read.
            clock: seconds, of any origin.
        """
        self._folder, self._folders, self._monitor, self._clock = folder, folders, monitor, clock
        self.arrivals = Arrivals(folder.config.watch)
        self.next_look = clock()
        rows = folder.journal.rows.values()
        # What could not even be read may be readable now: tried once more when a watch begins.
        self._unread = {row.input for row in rows if row.status == "failed" and not row.input_sha256}
        self._passed_over: set[str] = set()
        self._unreadable: set[str] = set()

    def look(self) -> None:
        """Find what came, changed or went."""
        began, unreadable = self._clock(), list[OSError]()
        found = list(self._new_photos(unreadable))
        ended = self._clock()
        self.arrivals.look(found, began=began, ended=ended)
        pause = min(_LOOKS_SHARE * (ended - began), _LONGEST_PAUSE_S)
        self.next_look = ended + max(self._folder.config.watch.poll_s, pause)
        self._tell_unreadable({str(error.filename): error.strerror or str(error) for error in unreadable})

    def finish(self, path: str) -> None:
        """A photo needs no more work."""
        self._unread.discard(path)
        self.arrivals.remove(path)

    def pass_over(self, path: str) -> None:
        """A file that is no photo of ours to cut: never look at it again."""
        self._passed_over.add(path)
        self.finish(path)

    def _new_photos(self, unreadable: list[OSError]) -> Iterator[Seen]:
        began, number = self._clock(), 0
        for number, found in enumerate(look_into(self._folders, self._folder.out_dir, unreadable=unreadable), 1):
            if number % _FOUND_PER_BEAT == 0:
                self._monitor.health.beat()
            if not self._is_new(found):
                continue
            earlier = self.arrivals.find(found.path)
            where = found.folder
            source = earlier.seen.source if earlier else place_below(where.root, found.path, where.prefix)
            yield Seen(source, found.num_bytes, found.mtime_ns)
        self._monitor.look(self._clock() - began, number)

    def _is_new(self, found: Found) -> bool:
        row = self._folder.journal.rows.get(found.path)
        if row is None or row.status == "pending" or row.options != self._folder.options:
            return found.path not in self._passed_over
        same = row.input_bytes == found.num_bytes and row.input_mtime_ns == found.mtime_ns
        is_judged = not row.ok or row.verdict == self._folder.judge.verdict_of(row.doubt)
        return not (same and is_judged) or found.path in self._unread

    def _tell_unreadable(self, unreadable: dict[str, str]) -> None:
        roots = {str(folder.root) for folder in self._folders}
        lost = [f"{path}: {reason}" for path, reason in unreadable.items() if path in roots]
        self._monitor.trouble("input", "; ".join(lost))
        for path in unreadable.keys() - roots - self._unreadable:  # told once: it may be meant to be so
            log_event("folder not readable", level=logging.WARNING, folder=path, reason=unreadable[path])
        self._unreadable = set(unreadable)
