"""Clean the second look's alpha by the first's: specks that the first knows nothing of, holes where it saw cloth."""

import numpy as np
from numpy.typing import NDArray

from garmentcut.prediction.parts import parts_of

_CLOTH = 0.9  # of the first look's alpha: lace and gaps in it stay below
_NOTHING = 0.1
_LARGEST_HOLE = 2.5e-3  # of the garment: a brass button, a buckle; a larger one is a gap until told otherwise
_LARGEST_SPECK = 5e-3
_LEAST_COMPACT = 0.25  # of the square around it: a strap, too thin for the first look, is long and fills none
_RIM_LEVEL = 0.1  # the soft rim of a speck or hole goes with it


def clean(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill small holes in sure cloth; take small specks off where there is surely none.

    Args:
        fine: `(H, W)` float32 in [0, 1], the second look's alpha.
        coarse: the same size: the first look's alpha, enlarged.

    Returns:
        A cleaned copy, or `fine` itself if it was clean.
    """
    garment_px = float(np.count_nonzero(fine >= 0.5))
    hole_px, speck_px = _LARGEST_HOLE * garment_px, _LARGEST_SPECK * garment_px
    fill = _within(fine < 0.5, coarse >= _CLOTH, fine < 1 - _RIM_LEVEL, most_px=hole_px)
    drop = _within(fine >= 0.5, coarse <= _NOTHING, fine > _RIM_LEVEL, most_px=speck_px, least_compact=_LEAST_COMPACT)
    if fill is None and drop is None:
        return fine
    cleaned = fine.copy()
    if fill is not None:
        cleaned[fill] = 1
    if drop is not None:
        cleaned[drop] = 0
    return cleaned


def _within(
    wrong: NDArray[np.bool_],
    sure: NDArray[np.bool_],
    reach: NDArray[np.bool_],
    *,
    most_px: float,
    least_compact: float = 0.0,
) -> NDArray[np.bool_] | None:
    """Parts of `wrong` wholly within `sure` and not too large, with what of `reach` hangs on to them; None: none."""
    candidates = wrong & sure
    if not candidates.any():
        return None
    # What is wrong beside the sure area would cut a part in two: grown by a pixel, each shows whether it goes on there.
    parts = parts_of(reach & sure)
    beyond = parts.counts_of(_grown(reach & ~sure)) > 0
    boxes = parts.boxes_xyxy
    compact = parts.areas >= least_compact * (boxes[:, 2:] - boxes[:, :2]).max(axis=1) ** 2
    chosen = (parts.counts_of(candidates) > 0) & ~beyond & (parts.areas <= most_px) & compact
    return parts.mask_of(chosen) if chosen.any() else None


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask and its pixels' neighbours."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    wide = grown.copy()
    wide[:, 1:] |= grown[:, :-1]
    wide[:, :-1] |= grown[:, 1:]
    return wide
