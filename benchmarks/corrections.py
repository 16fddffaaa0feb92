"""What the corrections of the networks' alphas bring on photos that a run's folds have not seen: by colour, of straps.

    garmentcut train default --data DATASET --fold none --out RUN
    garmentcut export RUN --folds --out RUN/model.onnx
    python benchmarks/corrections.py DATASET RUN

Cuts each fold's held-out photos without any correction, with `grab_cut` alone, with `agree_with_colors`, then also with
`grab_cut`, `firmer_straps` and `correct_small_parts`, one after the other; all together are what `garmentcut cut` does.
Prints for each fold and way Dice (`alpha >= 128`) and surface Dice at 2 px, both also as differences from no correction
with 95 % intervals by garment, thin parts kept and right, and the processor time of the corrections of a photo.

Decision 8 shows a run that was trained with `--set stages.folds=3`, `--set stages.locate.training.steps=480`,
`--set stages.segment.training.steps=2400` and `--set stages.refine.training.steps=6800`, of which fold networks take
half; its segment stage saw panels only in the last 300 of 1200 steps, and its weights are the mean of those before and
after these.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from garmentcut.dataset.manifest import read_manifest
from garmentcut.evaluation.intervals import Bootstrap, mean
from garmentcut.evaluation.metrics import measure
from garmentcut.evaluation.predict import plan_trials, predict
from garmentcut.prediction import cutter, locate

Correct = Callable[..., NDArray[np.float32]]


def uncorrected(alpha: NDArray[np.float32], *_: Any, **__: Any) -> Any:
    """The alpha as the networks gave it."""
    return alpha


def timed(correct: Correct, seconds: list[float]) -> Correct:
    """The same; appends how long each call took."""

    def corrected(*args: Any, **options: Any) -> NDArray[np.float32]:
        started = time.process_time()
        found = correct(*args, **options)
        seconds.append(time.process_time() - started)
        return found

    return corrected


STEPS = {"agree_with_colors": cutter, "grab_cut": cutter, "firmer_straps": cutter, "correct_small_parts": locate}
WAYS = {
    "no correction": (),
    "grab_cut": ("grab_cut",),
    "agree_with_colors": ("agree_with_colors",),
    "agree_with_colors, grab_cut": ("agree_with_colors", "grab_cut"),
    "agree_with_colors, grab_cut, firmer_straps": ("agree_with_colors", "grab_cut", "firmer_straps"),
    "all": tuple(STEPS),
}

if __name__ == "__main__":
    manifest = read_manifest(Path(sys.argv[1]))
    for trial in plan_trials(Path(sys.argv[2]), manifest):
        before: list[Any] = []
        for name, used in WAYS.items():
            seconds: list[float] = []
            with ExitStack() as stack:
                for step, module in STEPS.items():
                    correct = getattr(module, step) if step in used else uncorrected
                    stack.enter_context(patch.object(module, step, timed(correct, seconds)))
                outcomes = list(predict([trial], manifest, lambda cut: measure(cut.alpha, cut.target)))
            found: list[Any] = [one.found for one in outcomes]
            before = before or found
            drawn, shown = Bootstrap.of([pair.garment for pair in trial.pairs]), []
            for metric in ("dice", "surface_dice_2px"):
                both = zip(found, before, strict=True)
                gains = [getattr(one, metric) - getattr(other, metric) for one, other in both]
                gain = drawn.estimate(gains, {"mean": mean})["mean"]
                shown.append(f"{metric} {np.mean([getattr(one, metric) for one in found]):.4f}")
                shown.append(f"{gain.value:+.4f} [{gain.low or 0:.4f}, {gain.high or 0:.4f}]")
            for part, whole in (("thin_kept_px", "thin_px"), ("thin_right_px", "thin_drawn_px")):
                sums = [sum(getattr(one, key) or 0 for one in found) for key in (part, whole)]
                shown.append(f"{part[:-3]} {sums[0] / max(sums[1], 1):.2f}")
            print(trial.card.name, name, *shown, f"{1000 * np.sum(seconds) / len(found):.0f} ms", flush=True)
