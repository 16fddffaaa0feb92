"""What `garmentcut train` offers before a training: a learning-rate range test, and a page of example augmentations.

The range test is a short training with an increasing rate: Smith, "Cyclical learning rates for training neural
networks", WACV 2017 (arXiv 2015), section 3.3.
"""

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from lightning.fabric import Fabric
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve1d
from scipy.signal.windows import triang
from torch.optim import Optimizer

from garmentcut.dataset.augment import augmentation_page
from garmentcut.errors import TrainingError
from garmentcut.evaluation.report import new_axes, svg_of
from garmentcut.photo.files import write_atomic
from garmentcut.recipe import stage_recipe
from garmentcut.training.loop import augmented, build_parts, explain_failures, open_feed, open_samples, take_step
from garmentcut.training.run import RANGE_CURVE_NAME, RANGE_POINTS_NAME, Run

_NUM_STEPS = 100
_NUM_EXAMPLES = 6
_JPEG_QUALITY = 92
_DIVERGED = 4.0  # the loss has diverged if it exceeds the lowest one by this factor
_MEMORY = 0.8  # decay of the running mean that is compared, so that one bad batch does not count
_LEAST_POINTS = 5
_HEADROOM = 1.15  # the plot ends at this factor of the initial loss; higher losses are cut off


def try_rates(run: Run, fabric: Fabric) -> float | None:
    """Plot loss over learning rate to `range_test.svg` in the run's folder, with its points in `range_test.jsonl`.

    The run's recipe and photos are used as in the training, on one device; the run itself is not changed. Returns the
    rate at which the loss falls fastest; None if it never falls.

    Raises:
        TrainingError: the loss diverged after fewer than two steps, memory is full, and so on.
    """
    run = _single(run)
    recipe = run.recipe
    with explain_failures(run, fabric):
        parts = build_parts(recipe, fabric)
        feed = open_feed(open_samples(run)[0], recipe, range(_NUM_STEPS), fabric=fabric)

        def step() -> float:
            number, batch = next(feed)
            photos, targets = augmented(batch, recipe, number, fabric=fabric)
            return float(take_step(parts, photos, targets, recipe, fabric=fabric)[1].total.detach())

        points = range_test(step, parts.optimizer, num_steps=_NUM_STEPS)
        if len(points) < 2:
            raise TrainingError("the loss is not finite from the start; check the recipe's [loss] and [network]")
        suggested = suggested_lr(points)
        write_atomic(run.folder / RANGE_CURVE_NAME, curve_svg(points, suggested).encode())
        lines = "".join(json.dumps(asdict(point)) + "\n" for point in points)
        write_atomic(run.folder / RANGE_POINTS_NAME, lines.encode())
    return suggested


def draw_augmentations(run: Run, path: Path) -> None:
    """Write a page, .jpg or .png, that shows what each augmentation of the recipe does to some training photos.

    The run is not changed, and its folder is not created.

    Raises:
        TrainingError: the page cannot be written.
        PhotoError: a photo cannot be read; the message names the file.
    """
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}.get(path.suffix.lower())
    if kind is None:
        raise TrainingError(f"{path}: a page is a .jpg or a .png, not {path.suffix or 'a file without suffix'}")
    run = _single(run)
    samples = open_samples(run)[0]
    chosen = [samples[index] for index in range(0, len(samples), -(-len(samples) // _NUM_EXAMPLES))]
    page = augmentation_page(chosen, run.recipe.augment, run.recipe.training.seed)
    content = io.BytesIO()
    try:
        Image.fromarray(page).save(content, kind, quality=_JPEG_QUALITY)
        write_atomic(path, content.getvalue())
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror or error}; fix that, or choose another file") from error


def _single(run: Run) -> Run:
    """The run itself or, with stages, that of the segment stage, which is trained longest."""
    return replace(run, recipe=stage_recipe(run.recipe, "segment")) if run.recipe.stages.refine else run


@dataclass(frozen=True)
class RangePoint:
    """One step: its learning rate, and the loss before it."""

    lr: float
    loss: float


def range_test(
    step: Callable[[], float], optimizer: Optimizer, *, low: float = 1e-6, high: float = 1.0, num_steps: int
) -> list[RangePoint]:
    """Train with a rate that grows exponentially from step to step until the loss diverges.

    The test stops when the loss is not finite or its running mean exceeds four times the lowest one. `step` must take
    one optimizer step on the next batch and return its loss. Returns one point per step, all finite; fewer than
    `num_steps` if the loss diverged.
    """
    points: list[RangePoint] = []
    lowest = mean = math.inf
    for lr in np.geomspace(low, high, num_steps).tolist():
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        loss = step()
        if not math.isfinite(loss):
            break
        points.append(RangePoint(lr, loss))
        mean = loss if math.isinf(mean) else _MEMORY * mean + (1 - _MEMORY) * loss
        lowest = min(lowest, mean)
        if mean > _DIVERGED * lowest:
            break
    return points


def suggested_lr(points: Sequence[RangePoint]) -> float | None:
    """The rate at which the smoothed loss falls fastest per decade, below the rate where it is lowest.

    This is a good `optimizer.lr`. For a cyclical schedule it is a good peak, and a tenth of it a good minimum. None if
    the loss never falls, or there are fewer than 5 points.
    """
    if len(points) < _LEAST_POINTS:
        return None
    losses = smoothed_losses(points)
    slopes = np.gradient(losses, np.log10([point.lr for point in points]))
    falling = slopes[: int(losses.argmin()) + 1]
    steepest = int(falling.argmin())
    return points[steepest].lr if falling[steepest] < 0 else None


def smoothed_losses(points: Sequence[RangePoint]) -> NDArray[np.float64]:
    """The losses `(N,)`, each averaged with its neighbours on both sides within a twentieth of the points.

    On both sides, because a running mean would lag behind and suggest a rate that is too high.
    """
    window = triang(2 * math.ceil(len(points) / 20) + 1)
    losses = np.array([point.loss for point in points])
    return np.asarray(convolve1d(losses, window / window.sum(), mode="nearest"))


def curve_svg(points: Sequence[RangePoint], suggested: float | None) -> str:
    """Plot loss over learning rate as an SVG document: each step in grey, smoothed in blue. Needs at least 2 points.

    A dashed line marks `suggested`; None: no line.
    """
    rates, losses, smooth = [point.lr for point in points], [point.loss for point in points], smoothed_losses(points)
    high = float(smooth[: int(smooth.argmin()) + 1].max()) * _HEADROOM or 1.0
    axes = new_axes(7.2, 4.2)
    axes.set(xscale="log", xlim=(rates[0], rates[-1]), ylim=(0, high), xlabel="learning rate", ylabel="loss")
    # The frame clips the curve; coordinates are bounded because some viewers fail on huge numbers.
    for values, color, width in ((losses, "#999", 1.0), (smooth, "#1f6fb4", 2.5)):
        axes.plot(rates, np.minimum(values, 3 * high), color=color, linewidth=width)
    if suggested is not None:
        axes.axvline(suggested, color="#c0392b", linestyle="--")
        axes.set_title(f"suggested {suggested:.2g}", color="#c0392b")
    return svg_of(axes).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
