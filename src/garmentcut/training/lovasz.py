"""Lovasz hinge: a convex surrogate of 1 - IoU that sees the photo as a whole."""

import torch
from torch import Tensor


def lovasz_hinge(logits: Tensor, target: Tensor) -> Tensor:
    """The Lovasz extension of the Jaccard loss at the hinge errors; per photo, then the mean.

    errors = max(0, 1 - logit * sign), sign = +1 where target >= 0.5, else -1; sorted, the largest first, each counts
    as much as it would cost in 1 - IoU if it and all larger ones were wrong (Berman, Rannen Triki, Blaschko, "The
    Lovasz-Softmax loss", CVPR 2018, algorithm 1). Defined for masks only: a soft target is cut at
    0.5. A photo without garment costs its largest error.

    Args:
        logits: `(N, 1, H, W)` float.
        target: `(N, 1, H, W)` float in [0, 1].

    Returns:
        Scalar at least 0; 0 once each pixel is right by a margin of 1.
    """
    photos = zip(logits.flatten(1), target.flatten(1) >= 0.5, strict=True)
    # Photo after photo, since the sort's temporaries for two million pixels are 100 MB.
    return torch.stack([_photo_hinge(photo, garment) for photo, garment in photos]).mean()


def _photo_hinge(logits: Tensor, garment: Tensor) -> Tensor:
    errors = torch.where(garment, 1 - logits, 1 + logits)
    # Stable, so that equal errors keep their order and a resumed training its bits.
    errors, order = errors.sort(descending=True, stable=True)
    return errors.relu() @ _jaccard_steps(garment[order]).to(errors.dtype)


@torch.no_grad()
def _jaccard_steps(garment: Tensor) -> Tensor:
    """How much 1 - IoU grows with each further wrong pixel: `(P,)`, positive, with sum 1.

    Written as fractions of whole numbers: the differences of neighbouring 1 - IoU, equal on paper, lose all but a digit
    in float32 on two million pixels.
    """
    seen = garment.cumsum(0, dtype=torch.int64)
    missed = seen[-1] - seen  # intersection left
    union = seen[-1] + torch.arange(1, len(garment) + 1, device=garment.device) - seen
    # A garment pixel shrinks the intersection by one; any other grows the union by one, from nothing at first if empty.
    outside = torch.where(union > 1, missed / (union * (union - 1)).clamp(min=1), 1)
    return torch.where(garment, 1 / union, outside)
