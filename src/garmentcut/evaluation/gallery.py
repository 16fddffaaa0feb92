"""Keeps pictures of the worst photos while an evaluation runs, and of no others: flat memory however many there are."""

import heapq
import itertools
import threading
from dataclasses import dataclass

from garmentcut.evaluation.matting import Alpha
from garmentcut.evaluation.pictures import Picture, draw_pictures
from garmentcut.evaluation.scores import PhotoScore
from garmentcut.photo.photo import Photo


@dataclass(frozen=True)
class Exhibit:
    """One photo's row and its pictures."""

    score: PhotoScore
    pictures: tuple[Picture, ...]


class Gallery:
    """The `num_worst` photos of lowest Dice (`alpha >= 128`) seen so far; fit to be the `look` of an evaluation.

    May be called from several threads at once.
    """

    def __init__(self, num_worst: int) -> None:
        self.num_worst = num_worst
        self._lock = threading.Lock()
        self._heap: list[tuple[float, int, Exhibit]] = []  # the best of the worst first
        self._turns = itertools.count()

    def __call__(self, score: PhotoScore, photo: Photo, target: Alpha, prediction: Alpha) -> None:
        """Draw the photo's pictures if it is one of the worst so far."""
        if score.measures is None or not self._is_wanted(score.measures.dice):
            return
        exhibit = Exhibit(score, draw_pictures(photo, target, prediction))
        with self._lock:
            heapq.heappush(self._heap, (-score.measures.dice, next(self._turns), exhibit))
            if len(self._heap) > self.num_worst:
                heapq.heappop(self._heap)

    def _is_wanted(self, dice: float) -> bool:
        with self._lock:
            return self.num_worst > 0 and (len(self._heap) < self.num_worst or -dice > self._heap[0][0])

    @property
    def exhibits(self) -> tuple[Exhibit, ...]:
        """Worst first; by name where Dice is the same."""
        kept = sorted(self._heap, key=lambda entry: (-entry[0], entry[2].score.name))
        return tuple(exhibit for _, _, exhibit in kept)
