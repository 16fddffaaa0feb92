"""Cut photos whose cutouts are known and look at each result; nothing stops at one bad file.

`garmentcut evaluate` measures; calibration and audit learn from what is seen here. Give it a folder of fold runs, and
each photo is cut by the one model that has not seen its garment.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from garmentcut.config import RuntimeConfig
from garmentcut.dataset.bounded import map_in_order
from garmentcut.dataset.manifest import Manifest, Pair, read_pair
from garmentcut.evaluation.evaluate import is_seen
from garmentcut.evaluation.matting import Alpha
from garmentcut.evaluation.trials import Trial
from garmentcut.model.card import ModelCard
from garmentcut.photo.photo import Photo, PhotoError
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.doubt import Observation, observe_looks
from garmentcut.prediction.runtime import runtime_for

_Found = TypeVar("_Found")


@dataclass(frozen=True, eq=False)
class Prediction:
    """One photo, its target and what the model made of it.

    Attributes:
        pair: the row of the manifest.
        card: of the model.
        photo: the photo.
        target: `(H, W)` float32 in [0, 1], the retoucher's alpha.
        alpha: likewise, the model's; nothing where it refused the photo.
        observation: what the cutout shows of its quality; None: nothing was cut out.
    """

    pair: Pair
    card: ModelCard
    photo: Photo
    target: Alpha
    alpha: Alpha
    observation: Observation | None

    @property
    def seen(self) -> bool | None:
        """Whether the photo was in the model's training data; None: its card lists none."""
        return is_seen(self.card, self.pair)


@dataclass(frozen=True)
class Outcome(Generic[_Found]):
    """What came of one pair: `found`, or why it failed."""

    pair: Pair
    found: _Found | None
    reason: str = ""


def look_at(
    trials: Sequence[Trial],
    manifest: Manifest,
    look: Callable[[Prediction], _Found],
    *,
    config: RuntimeConfig | None = None,
) -> Iterator[Outcome[_Found]]:
    """Cut each trial's photos and let `look` keep of each what it needs.

    No more than a handful of photos is in memory at a time.

    Args:
        trials: what `garmentcut.evaluation.trials.plan_trials` gave.
        manifest: the dataset.
        look: called from several threads.
        config: backend and threads.

    Yields:
        An outcome for each pair, in the order of the trials.

    Raises:
        garmentcut.model.card.ModelError: a model cannot be loaded.
    """
    for trial in trials:
        cutter = Cutter.load(trial.model, config=runtime_for(config or RuntimeConfig(), len(trial.pairs)))
        workers = min(cutter.runtime.streams + 1, os.cpu_count() or 1)

        def outcome_of(pair: Pair, cutter: Cutter = cutter) -> Outcome[_Found]:
            try:
                return Outcome(pair, look(predict(cutter, manifest, pair)))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one pair must not stop the others
                short = "not enough memory" if isinstance(error, MemoryError) else str(error)
                return Outcome(pair, None, short or type(error).__name__)

        with ThreadPoolExecutor(workers) as pool:
            yield from map_in_order(pool, outcome_of, trial.pairs, num_ahead=workers)


def predict(cutter: Cutter, manifest: Manifest, pair: Pair) -> Prediction:
    """Read, cut and look at one pair.

    Raises:
        PhotoError: its files cannot be read.
    """
    photo, target = read_pair(manifest, pair)
    alpha, observation = np.zeros(photo.size_hw, np.float32), None
    try:
        frame = cutter.frame(photo)
        looks = cutter.look(photo, frame)
        alpha = cutter.finish(photo, frame, looks).alpha
        observation = observe_looks(looks)
    except PhotoError:  # refused: an empty cutout
        pass
    return Prediction(pair, cutter.card, photo, target, alpha, observation)
