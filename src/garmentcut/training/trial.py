"""Before a training: which learning rates a recipe can bear, and what its augmentation does to photos."""

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from lightning.fabric import Fabric
from PIL import Image

from garmentcut.dataset.augment import augmentation_page
from garmentcut.photo.files import write_atomic
from garmentcut.training.devices import machine_in_words
from garmentcut.training.errors import TrainingError, failures_explained
from garmentcut.training.feed import augmented, open_feed, open_samples
from garmentcut.training.losses import total_loss
from garmentcut.training.parts import build_parts, shorten_gradient
from garmentcut.training.range_curve import curve_svg
from garmentcut.training.range_test import range_test, suggested_lr
from garmentcut.training.run import RANGE_CURVE_NAME, RANGE_POINTS_NAME, Run

_NUM_STEPS = 100
_NUM_EXAMPLES = 6
_JPEG_QUALITY = 92


def try_rates(run: Run, fabric: Fabric) -> float | None:
    """Draw the loss over a climbing learning rate: `range_test.svg` in the run's folder, its points beside it.

    Args:
        run: its recipe and photos are used as in the training; nothing of it is changed.
        fabric: one device.

    Returns:
        The rate at which the loss falls fastest; None if it never falls.

    Raises:
        TrainingError: fewer than two steps before the loss diverged, memory is full, and so on.
    """
    recipe = run.recipe
    with failures_explained(recipe, run.state_path, machine_in_words(fabric)):
        parts = build_parts(recipe, fabric)
        feed = open_feed(open_samples(run)[0], recipe, range(_NUM_STEPS), fabric=fabric)

        def step() -> float:
            number, batch = next(feed)
            photos, targets = augmented(batch, recipe, number, fabric=fabric)
            loss = total_loss(parts.module(photos), targets, recipe.loss)
            fabric.backward(loss.total)
            shorten_gradient(parts, recipe.optimizer.clip_norm)
            parts.optimizer.step()
            parts.optimizer.zero_grad()
            return float(loss.total.detach())

        points = range_test(step, parts.network, parts.plain_optimizer, num_steps=_NUM_STEPS)
        if len(points) < 2:
            raise TrainingError(
                "the loss is no number from the first steps on; look at the recipe's [loss] and [network]"
            )
        suggested = suggested_lr(points)
        write_atomic(run.folder / RANGE_CURVE_NAME, curve_svg(points, suggested).encode())
        lines = "".join(json.dumps(asdict(point)) + "\n" for point in points)
        write_atomic(run.folder / RANGE_POINTS_NAME, lines.encode())
    return suggested


def draw_augmentations(run: Run, path: Path) -> None:
    """Write a page that shows what each augmentation of the recipe does to some training photos.

    Args:
        run: nothing of it is changed, its folder is not made.
        path: a .jpg or .png.

    Raises:
        TrainingError: the page cannot be written.
        PhotoError: a photo cannot be read; names the file.
    """
    samples = open_samples(run)[0]
    chosen = [samples[index] for index in range(0, len(samples), -(-len(samples) // _NUM_EXAMPLES))]
    page = augmentation_page(chosen, run.recipe.augment, run.recipe.training.seed)
    try:
        write_atomic(path, _encoded(page, path.suffix))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _encoded(page: np.ndarray, suffix: str) -> bytes:
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}.get(suffix.lower())
    if kind is None:
        raise ValueError(f"a page is a .jpg or a .png, not {suffix or 'a file without suffix'}")
    content = io.BytesIO()
    Image.fromarray(page).save(content, kind, quality=_JPEG_QUALITY)
    return content.getvalue()
