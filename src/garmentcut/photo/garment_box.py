"""The box of a garment's main parts: stray specks of alpha must not move it on a customer's canvas."""

import numpy as np
from numpy.typing import NDArray

_LEAST_SHARE = 0.001  # of all that is covered: 13 by 13 pixels of a studio garment's 160,000
_MOST_BLOCKS = 256  # along the longer side; parts that are nearer than a block or two are one
_HALF_LEVEL = np.float32(0.5 / 255)

_Box = tuple[int, int, int, int]


def box_of_parts(alpha: NDArray[np.float32]) -> _Box | None:
    """Left, top, right, bottom of what an 8-bit alpha shows of the parts that are no specks; None: nothing is shown.

    A part counts from a thousandth of the covered area on: both halves of a bikini do, dust does not.

    Args:
        alpha: `(H, W)` float32 in [0, 1].
    """
    shown = alpha > _HALF_LEVEL
    whole = box_of(shown)
    if whole is None:
        return None
    left, top, right, bottom = whole
    part = alpha[top:bottom, left:right]
    step = -(-max(part.shape) // _MOST_BLOCKS)
    covered = _block_sums(part * shown[top:bottom, left:right], step)
    labels = _labelled(covered > 0)
    areas = np.bincount(labels.ravel(), covered.ravel())
    kept = areas >= _LEAST_SHARE * areas[1:].sum()
    kept[0] = False
    if kept[1:].all() or not kept.any():
        return whole
    blocks = np.repeat(np.repeat(kept[labels], step, axis=0), step, axis=1)[: part.shape[0], : part.shape[1]]
    inner = box_of(shown[top:bottom, left:right] & blocks)
    assert inner is not None  # a kept block has something in it
    return left + inner[0], top + inner[1], left + inner[2], top + inner[3]


def box_of(shown: NDArray[np.bool_]) -> _Box | None:
    """Left, top, right, bottom around what is true, right and bottom exclusive; None: nothing is."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _block_sums(values: NDArray[np.float32], step: int) -> NDArray[np.float64]:
    """Sums over squares of `step` pixels, those at the right and below perhaps smaller."""
    rows, columns = (np.arange(0, length, step) for length in values.shape)
    sums: NDArray[np.float64] = np.add.reduceat(
        np.add.reduceat(values, rows, axis=0, dtype=np.float64), columns, axis=1
    )
    return sums


def _labelled(marked: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Numbers from 1 on for what hangs together, diagonally too; 0 elsewhere.

    Each takes the highest number around it until nothing changes; between rounds numbers jump to what their own places
    have become, so that a snake takes a dozen rounds, not its length.
    """
    labels = np.where(marked, np.arange(1, marked.size + 1).reshape(marked.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        around = [padded[y : y + labels.shape[0], x : x + labels.shape[1]] for y in range(3) for x in range(3)]
        highest = np.where(marked, np.maximum.reduce(around), 0)
        highest = np.append(0, highest.ravel())[highest]
        if (highest == labels).all():
            break
        labels = highest
    return np.unique(np.append(0, labels.ravel()), return_inverse=True)[1][1:].reshape(marked.shape)
