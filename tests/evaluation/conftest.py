"""Masks and alphas to compare, rows of scores, photos that taught something."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from garmentcut.evaluation.metrics import PhotoMetrics
from garmentcut.evaluation.scores import THRESHOLDS, PhotoScore
from garmentcut.evaluation.uncertainty import Experience


@pytest.fixture(scope="session")
def mask_pairs():
    """Random blobs and noise, some at the frame, none empty: 12 pairs of masks of 30x24."""
    rng = np.random.default_rng(7)
    pairs = []
    for trial in range(12):
        field = rng.standard_normal((2, 30, 24))
        if trial % 3:
            field = gaussian_filter(field, (0, 2.5, 2.5))
            field[1] = 0.8 * field[0] + 0.4 * field[1]
        pairs.append(tuple(field > np.quantile(field, 0.6)))
    return pairs


@pytest.fixture(scope="session")
def alpha_pairs():
    """Random soft alphas of 26x22, with flat 0, flat 1 and steps of 1/32 as in real cutouts."""
    rng = np.random.default_rng(8)
    pairs = []
    for trial in range(6):
        field = gaussian_filter(rng.standard_normal((2, 26, 22)), (0, 2.0, 2.0))
        field[1] = field[0] + 0.3 * field[1]
        alphas = np.round(32 * np.clip(0.5 + (2 + trial) * field / field.std(), 0, 1)) / 32
        pairs.append(tuple(alphas.astype(np.float32)))
    return pairs


@pytest.fixture
def make_score():
    """make_score(name, dice, **fields): a row with that Dice and plausible other metrics."""

    def make(name, dice=0.99, **changed):
        garment, _, view = name.partition("_")
        measures = PhotoMetrics(
            dice=dice,
            dice_any=dice - 0.002,
            iou=dice / (2 - dice),
            pixel_accuracy=0.999,
            surface_dice_1px=dice - 0.1,
            surface_dice_2px=dice - 0.05,
            surface_dice_3px=dice - 0.02,
            hd95_px=200 * (1 - dice),
            assd_px=50 * (1 - dice),
            boundary_iou_2px=0.7,
            boundary_iou_5px=0.9,
            edge_sad=1.5,
            edge_mse=0.02,
            edge_gradient=3.0,
            edge_connectivity=1.4,
            effort_px=2000 * (1 - dice),
            effort_places=3,
            thin_px=100,
            thin_kept_px=80,
            thin_drawn_px=90,
            thin_right_px=81,
            holes=2,
            holes_found=1,
            holes_invented=1,
        )
        sweep = tuple(dice - 0.01 * abs(threshold - 0.6) for threshold in THRESHOLDS)
        row = PhotoScore(name, garment, view or "Front", "fold0", "net@01234567", False, measures=measures)
        return replace(row, **{"sweep": sweep, "sweep_any": sweep, "seconds": 0.5, **changed})

    return make


@pytest.fixture
def failed_score():
    return PhotoScore(
        "broken_Back", "broken", "Back", "fold1", "net@01234567", None, "failed", "no such file: <b>x</b>"
    )


@pytest.fixture
def make_experiences():
    """make_experiences(num, noise=0.3): photos of as many garments; their quality follows from `edge_softness`."""

    def make(num, *, noise=0.3):
        rng = np.random.default_rng(3)
        features, appearance = rng.standard_normal((num, 13)), 50 * rng.standard_normal((num, 27))
        score = 1.5 * features[:, 0] - 1.5 + noise * rng.standard_normal(num)
        qualities = 1 - 1 / (1 + np.exp(-score))
        return [
            Experience(
                f"p{number}", f"g{number}", float(qualities[number]), False, features[number], appearance[number]
            )
            for number in range(num)
        ]

    return make
