"""What the corrections of the networks' alphas bring on photos that a run's folds have not seen: by colour, of straps.

    garmentcut train default --data DATASET --fold none --out RUN
    garmentcut export RUN --folds --out RUN/model.onnx
    python benchmarks/corrections.py DATASET RUN

Cuts each fold's held-out photos without any correction, with OpenCV's GrabCut, with `agree_with_colors`, also with
`firmer_straps`, as `garmentcut cut` does, and with GrabCut between the two. Prints for each fold and way Dice
(`alpha >= 128`) and surface Dice at 2 px, both also as differences from no correction with 95 % intervals by garment,
thin parts kept and right, and the processor time of the corrections of a photo.

Decision 8 shows a run that was trained with `--set stages.locate.training.steps=480`,
`--set stages.segment.training.steps=1600` and `--set stages.refine.training.steps=1800`.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.dataset.manifest import read_manifest
from garmentcut.evaluation.intervals import Bootstrap, mean
from garmentcut.evaluation.metrics import measure
from garmentcut.evaluation.predict import plan_trials, predict
from garmentcut.photo.mask import agree_with_colors, components, dilate, erode, slices_of, thin_of
from garmentcut.prediction import cutter

Correct = Callable[..., NDArray[np.float32]]


def uncorrected(alpha: NDArray[np.float32], *_: Any, **__: Any) -> Any:
    """The alpha as segment gave it."""
    return alpha


def grab_cut(alpha: NDArray[np.float32], rgb: NDArray[np.uint8], **_: Any) -> Any:
    """Decide unsure patches by OpenCV's GrabCut, in which everything within 0.02 of 0 or 1 is known."""
    patches = unsure_patches(alpha)
    return np.where(patches, graph_cut(alpha, rgb, 3), alpha) if patches.any() else alpha


def colors_and_grab_cut(alpha: NDArray[np.float32], rgb: NDArray[np.uint8], **options: Any) -> Any:
    """As `garmentcut cut`, then GrabCut, 96 pixels around what is still unsure; it leaves straps, which it shortens."""
    agreed = agree_with_colors(alpha, rgb, **options)
    patches = unsure_patches(agreed)
    cut, free = agreed.copy(), patches & ~dilate(thin_of(agreed >= 0.5), 2)
    for box in components(dilate(patches, 96)).boxes_xyxy if patches.any() else ():
        inside = slices_of(tuple(box))
        np.copyto(cut[inside], graph_cut(agreed[inside], rgb[inside], 2), where=free[inside])
    return cut


def unsure_patches(alpha: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where an alpha is near neither 0 nor 1, without lines as narrow as a soft edge."""
    return dilate(erode((alpha > 0.02) & (alpha < 0.98), 2), 3)


def graph_cut(alpha: NDArray[np.float32], rgb: NDArray[np.uint8], rounds: int) -> NDArray[np.float32]:
    """GrabCut's alpha, 0 or 1; the alpha itself where one side has too few pixels for its mixture of five Gaussians."""
    covered = alpha >= 0.5
    if min(np.count_nonzero(covered), np.count_nonzero(~covered)) < 5:
        return alpha
    labels: Any = np.where((alpha > 0.02) & (alpha < 0.98), cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8) + covered
    cv2.setRNGSeed(0)  # the mixtures begin with random clusters
    part, mixtures = np.ascontiguousarray(rgb), (np.zeros((1, 65)), np.zeros((1, 65)))
    labels, *_ = cv2.grabCut(part, labels, (0, 0, 1, 1), *mixtures, rounds, cv2.GC_INIT_WITH_MASK)
    return np.asarray(labels & 1, np.float32)


def timed(correct: Correct, seconds: list[float]) -> Correct:
    """The same; appends how long each call took."""

    def corrected(*args: Any, **options: Any) -> NDArray[np.float32]:
        started = time.thread_time()
        found = correct(*args, **options)
        seconds.append(time.thread_time() - started)
        return found

    return corrected


USED = {"agree_with_colors": agree_with_colors, "firmer_straps": cutter.firmer_straps}
WAYS: dict[str, dict[str, Any]] = {
    "no correction": {"agree_with_colors": uncorrected, "firmer_straps": uncorrected},
    "GrabCut": {"agree_with_colors": grab_cut, "firmer_straps": uncorrected},
    "agree_with_colors": {"firmer_straps": uncorrected},
    "agree_with_colors, firmer_straps": {},
    "agree_with_colors, GrabCut, firmer_straps": {"agree_with_colors": colors_and_grab_cut},
}

if __name__ == "__main__":
    manifest = read_manifest(Path(sys.argv[1]))
    for trial in plan_trials(Path(sys.argv[2]), manifest):
        before: list[Any] = []
        for name, replaced in WAYS.items():
            seconds: list[float] = []
            with ExitStack() as stack:
                for step in ("agree_with_colors", "firmer_straps"):
                    stack.enter_context(patch.object(cutter, step, timed(replaced.get(step, USED[step]), seconds)))
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
