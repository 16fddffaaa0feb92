"""Choke: move an alpha's edge in or out, by fractions of a pixel too; what is sheer stays as sheer as it was."""

import numpy as np
from numpy.typing import NDArray

Alpha = NDArray[np.float32]


def choke_alpha(alpha: Alpha, choke_px: float) -> Alpha:
    """Move the edge.

    A step of one pixel gives each pixel the lowest alpha around it (the highest, outwards): of four and of eight
    neighbours, half and half, so that slanting edges move as far as straight ones, to a twentieth. A fraction of a step
    is mixed from before and after it, which moves a covered area's edge by just that fraction.

    Args:
        alpha: `(H, W)` float32 in [0, 1].
        choke_px: inwards; below zero outwards.

    Returns:
        The same size; `alpha` itself where nothing is to be moved. What the frame cuts off stays at the frame.
    """
    area = _area_of(alpha, choke_px)
    if choke_px == 0 or area is None:
        return alpha
    moved: Alpha = alpha[area]
    extreme = np.minimum if choke_px > 0 else np.maximum
    whole, part = divmod(abs(choke_px), 1)
    for step in range(int(whole)):
        # Half and half would soften the edge a little more with each step; in turn, they do not.
        moved = (_of_eight if step % 2 else _of_four)(moved, extreme)
    if part:
        beyond = (_of_four(moved, extreme) + _of_eight(moved, extreme)) / np.float32(2)
        moved = (moved + np.float32(part) * (beyond - moved)).astype(np.float32, copy=False)
    choked = alpha.copy()
    choked[area] = moved
    return choked


def _area_of(alpha: Alpha, choke_px: float) -> tuple[slice, slice] | None:
    """What can change: the garment's box, with room to grow; None: nothing is there."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not rows.size:
        return None
    reach = int(abs(choke_px)) + 2
    top, left = max(rows[0] - reach, 0), max(columns[0] - reach, 0)
    return slice(top, rows[-1] + reach + 1), slice(left, columns[-1] + reach + 1)


def _of_four(alpha: Alpha, extreme: np.ufunc) -> Alpha:
    found = alpha.copy()
    for ours, theirs in _NEIGHBOURS:
        extreme(found[ours], alpha[theirs], out=found[ours])
    return found


def _of_eight(alpha: Alpha, extreme: np.ufunc) -> Alpha:
    columns = alpha.copy()
    for ours, theirs in _NEIGHBOURS[:2]:
        extreme(columns[ours], alpha[theirs], out=columns[ours])
    found = columns.copy()
    for ours, theirs in _NEIGHBOURS[2:]:
        extreme(found[ours], columns[theirs], out=found[ours])
    return found


_ALL, _NEXT, _LAST = slice(None), slice(1, None), slice(None, -1)
_NEIGHBOURS = (
    ((_NEXT, _ALL), (_LAST, _ALL)),
    ((_LAST, _ALL), (_NEXT, _ALL)),
    ((_ALL, _NEXT), (_ALL, _LAST)),
    (
        (_ALL, _LAST),
        (_ALL, _NEXT),
    ),
)
