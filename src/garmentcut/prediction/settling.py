"""Photos that come into a watched folder: when is each one there, whole?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from garmentcut.config import WatchConfig
from garmentcut.prediction.results import Row
from garmentcut.prediction.sources import Source


class Seen(NamedTuple):
    """A photo as a look at the folders finds it.

    Attributes:
        source: path and place.
        num_bytes: its size.
        mtime_ns: its time, by the clock of the machine that keeps the file: compared with itself, never with ours.
    """

    source: Source
    num_bytes: int
    mtime_ns: int


@dataclass
class Arrival:
    """A photo that came or changed and is not finished.

    Attributes:
        seen: as the last look found it.
        since: when it was first seen so, in seconds of the watch's clock.
        confirmed: when it was last seen so.
        tries: how often it could not be read.
        next_try: not before this.
        failed: the row of the last try.
    """

    seen: Seen
    since: float
    confirmed: float
    tries: int = 0
    next_try: float = 0.0
    failed: Row | None = None


class Arrivals:
    """Photos on their way to be cut; holds those only, so a folder of 100,000 finished photos costs it nothing.

    A photo is settled when two looks, `settle_s` or more apart, find the same size and time, and none between them
    another. One that then cannot be read may still be on its way - a copy that pauses, a share that shows the size
    before the content - and is put off again and again, each time twice as long, until `patience_s` are over.
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

    def look(self, found: Iterable[Seen], *, began: float, ended: float) -> None:
        """Take in what a look at the folders found.

        Args:
            found: all photos that are there and not finished; others are forgotten.
            began: when the look began, in seconds of the watch's clock.
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

    def is_settled(self, arrival: Arrival) -> bool:
        """It has stayed the same for long enough."""
        return arrival.confirmed - arrival.since >= self.timing.settle_s

    def is_due(self, arrival: Arrival, now: float) -> bool:
        """It is settled, and not put off."""
        return self.is_settled(arrival) and now >= arrival.next_try

    def may_grow(self, arrival: Arrival, now: float) -> bool:
        """If it cannot be read now, it may still be on its way."""
        return now - arrival.since < self.timing.patience_s

    def put_off(self, arrival: Arrival, failed: Row, now: float) -> None:
        """It could not be read: try again later, but once more at the end of the patience."""
        pause = max(self.timing.settle_s, self.timing.poll_s) * 2**arrival.tries
        arrival.tries += 1
        arrival.next_try = min(now + pause, max(now, arrival.since + self.timing.patience_s))
        arrival.failed = failed

    def remove(self, path: str) -> None:
        """It is finished."""
        self._by_path.pop(path, None)
