"""Try models on photos whose cutouts are known: cut, compare, one row a photo. Nothing stops at one bad file."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from garmentcut.config import RuntimeConfig
from garmentcut.dataset.manifest import Manifest, Pair, read_pair
from garmentcut.evaluation.masks import mask_of
from garmentcut.evaluation.matting import Alpha
from garmentcut.evaluation.measures import measure
from garmentcut.evaluation.scores import PhotoScore
from garmentcut.evaluation.thresholds import dice_at_thresholds
from garmentcut.evaluation.trials import Trial
from garmentcut.model.card import ModelCard
from garmentcut.photo.photo import Photo, PhotoError
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.runtime import runtime_for

Look = Callable[[PhotoScore, Photo, Alpha, Alpha], None]
"""Is shown each measured photo: its row, the photo, the target's alpha, the predicted alpha; from several threads."""


def evaluate(
    trials: Sequence[Trial], manifest: Manifest, *, config: RuntimeConfig | None = None, look: Look | None = None
) -> Iterator[PhotoScore]:
    """Cut each trial's photos at their own size and measure the results.

    While the network works on some photos, another one is read or measured, so all cores are used; no more than a
    handful of photos is in memory at a time.

    Args:
        trials: what `garmentcut.evaluation.trials.plan_trials` gave.
        manifest: the dataset.
        config: backend and threads.
        look: is shown each measured photo, for pictures.

    Yields:
        A row for each pair, in the order of the trials. A photo that the model refuses is measured as an empty cutout.

    Raises:
        garmentcut.model.card.ModelError: a model cannot be loaded.
    """
    for trial in trials:
        settled = runtime_for(config or RuntimeConfig(), len(trial.pairs))
        cutter = Cutter.load(trial.model, config=settled)
        streams = cutter.runtime.streams
        judge = Judge(cutter, manifest, threading.Semaphore(streams), look)
        with ThreadPoolExecutor(streams + 1) as pool:
            waiting: deque[Future[PhotoScore]] = deque()
            try:
                for pair in trial.pairs:
                    waiting.append(pool.submit(judge.score, pair))
                    if len(waiting) > streams + 1:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


@dataclass(frozen=True)
class Judge:
    """Cuts and measures one photo at a time; may be called from several threads at once.

    Attributes:
        cutter: the model, ready to run.
        manifest: the dataset.
        turns: as many threads may be in the network at a time.
        look: see `evaluate`.
    """

    cutter: Cutter
    manifest: Manifest
    turns: threading.Semaphore
    look: Look | None = None

    def score(self, pair: Pair) -> PhotoScore:
        """Read, cut and measure one pair; whatever goes wrong becomes its row's reason."""
        card = self.cutter.card
        row = PhotoScore(pair.name, pair.garment, pair.view, pair.split, card.label, is_seen(card, pair))
        row = replace(row, faults=tuple(fault.text for fault in pair.faults), verdict=pair.verdict)
        try:
            photo, target = read_pair(self.manifest, pair)
            alpha, reason, seconds = self._cut(photo)
            row = replace(
                row,
                status="refused" if reason else "ok",
                reason=reason,
                measures=measure(alpha, target),
                sweep=dice_at_thresholds(alpha, mask_of(target)),
                sweep_any=dice_at_thresholds(alpha, target > 0),
                seconds=round(seconds, 3),
            )
            if self.look is not None:
                self.look(row, photo, target, alpha)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one pair must not stop the others
            reason = "not enough memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
            row = replace(row, status="failed", reason=reason, measures=None, sweep=(), sweep_any=())
        return row

    def _cut(self, photo: Photo) -> tuple[Alpha, str, float]:
        """Alpha at the photo's size, why the model refused (empty: it did not), seconds without waiting."""
        start = time.perf_counter()
        try:
            frame = self.cutter.frame(photo)
            asked = time.perf_counter()
            with self.turns:
                waited = time.perf_counter() - asked
                looks = self.cutter.look(photo, frame)
            cutout = self.cutter.finish(photo, frame, looks)
        except PhotoError as error:
            return np.zeros(photo.size_hw, np.float32), str(error), time.perf_counter() - start
        return cutout.alpha, "", time.perf_counter() - start - waited


def is_seen(card: ModelCard, pair: Pair) -> bool | None:
    """Whether a photo was in the model's training data; None: its card lists none."""
    trained_on = (*card.trained_on, *(card.first_look.trained_on if card.first_look else ()))
    return pair.photo_sha256[:12] in trained_on if trained_on else None
