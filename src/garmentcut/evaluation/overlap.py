"""Overlap of two masks: Dice, IoU, pixel accuracy. Pure functions; one photo at a time."""

import numpy as np

from garmentcut.evaluation.masks import Mask, check_masks


def dice(prediction: Mask, target: Mask) -> float:
    """Dice coefficient, 2 |P and G| / (|P| + |G|); in [0, 1], higher is better.

    Args:
        prediction: `(H, W)` bool.
        target: the same size.

    Returns:
        1 if both are empty, 0 if only one is.

    Raises:
        ValueError: not two bool masks of one size; so do all functions here.

    Source: Dice, "Measures of the amount of ecologic association between species", 1945.
    """
    check_masks(prediction, target)
    total = np.count_nonzero(prediction) + np.count_nonzero(target)
    return float(2 * np.count_nonzero(prediction & target) / total) if total else 1.0


def iou(prediction: Mask, target: Mask) -> float:
    """Intersection over union (Jaccard), |P and G| / |P or G|; in [0, 1], higher is better.

    It says the same as Dice on another scale: IoU = Dice / (2 - Dice).

    Returns:
        1 if both are empty, 0 if only one is.

    Source: Jaccard, "The distribution of the flora in the alpine zone", 1912.
    """
    check_masks(prediction, target)
    union = np.count_nonzero(prediction | target)
    return float(np.count_nonzero(prediction & target) / union) if union else 1.0


def pixel_accuracy(prediction: Mask, target: Mask) -> float:
    """Share of the frame's pixels on which both agree, background included; in [0, 1], higher is better.

    A garment fills 8 % of a studio photo: an empty mask already has 0.92.
    """
    check_masks(prediction, target)
    return float(1 - np.count_nonzero(prediction ^ target) / target.size)
