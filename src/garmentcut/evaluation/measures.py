"""All metrics of one photo, measured together, and what a table says of each."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

from garmentcut.evaluation.masks import check_masks, mask_of
from garmentcut.evaluation.matting import Alpha, connectivity_error, gradient_error, mse, rim_of, sad
from garmentcut.evaluation.overlap import dice, iou, pixel_accuracy
from garmentcut.evaluation.surface import assd, boundary_iou, hd95, outline_distances, surface_dice


@dataclass(frozen=True)
class Measures:
    """All metrics of one photo; formulas, units and sources stand with their functions and in `docs/evaluation.md`.

    The prediction's mask is `alpha >= 0.5`, 128 or more in an 8-bit file; so is the target's, but for `dice_any`.
    """

    dice: float
    """Convention `alpha >= 128`."""
    dice_any: float
    """Convention `alpha > 0`: the same predicted mask against every pixel that the retoucher left visible."""
    iou: float
    pixel_accuracy: float
    surface_dice_1px: float
    surface_dice_2px: float
    surface_dice_3px: float
    hd95_px: float
    assd_px: float
    boundary_iou_2px: float
    boundary_iou_5px: float
    rim_sad: float
    rim_mse: float
    rim_gradient: float
    rim_connectivity: float


class Metric(NamedTuple):
    """What a table says of a metric."""

    key: str
    """Field of `Measures`."""
    title: str
    unit: str
    higher_is_better: bool
    decimals: int


METRICS = (
    Metric("dice", "Dice, alpha >= 128", "", True, 4),
    Metric("dice_any", "Dice, alpha > 0", "", True, 4),
    Metric("iou", "IoU", "", True, 4),
    Metric("pixel_accuracy", "pixel accuracy", "", True, 4),
    Metric("surface_dice_1px", "surface Dice, 1 px", "", True, 4),
    Metric("surface_dice_2px", "surface Dice, 2 px", "", True, 4),
    Metric("surface_dice_3px", "surface Dice, 3 px", "", True, 4),
    Metric("hd95_px", "HD95", "px", False, 2),
    Metric("assd_px", "ASSD", "px", False, 2),
    Metric("boundary_iou_2px", "boundary IoU, 2 px", "", True, 4),
    Metric("boundary_iou_5px", "boundary IoU, 5 px", "", True, 4),
    Metric("rim_sad", "rim SAD", "1000 px", False, 3),
    Metric("rim_mse", "rim MSE", "", False, 4),
    Metric("rim_gradient", "rim gradient error", "1000", False, 3),
    Metric("rim_connectivity", "rim connectivity error", "1000 px", False, 3),
)
"""In the order of tables."""


def measure(prediction: Alpha, target: Alpha) -> Measures:
    """Compare a predicted alpha with the retoucher's.

    Args:
        prediction: `(H, W)` float32 in [0, 1].
        target: the same size.

    Raises:
        ValueError: sizes differ.
    """
    ours, theirs = mask_of(prediction), mask_of(target)
    check_masks(ours, theirs)
    distances, rim = outline_distances(ours, theirs), rim_of(target)
    return Measures(
        dice=dice(ours, theirs),
        dice_any=dice(ours, target > 0),
        iou=iou(ours, theirs),
        pixel_accuracy=pixel_accuracy(ours, theirs),
        surface_dice_1px=surface_dice(distances, 1),
        surface_dice_2px=surface_dice(distances, 2),
        surface_dice_3px=surface_dice(distances, 3),
        hd95_px=hd95(distances),
        assd_px=assd(distances),
        boundary_iou_2px=boundary_iou(ours, theirs, 2),
        boundary_iou_5px=boundary_iou(ours, theirs, 5),
        rim_sad=sad(prediction, target, rim),
        rim_mse=mse(prediction, target, rim),
        rim_gradient=gradient_error(prediction, target, rim),
        rim_connectivity=connectivity_error(prediction, target, rim),
    )


def values_of(measures: Measures) -> dict[str, float]:
    """The metrics by key, in the order of tables."""
    return asdict(measures)
