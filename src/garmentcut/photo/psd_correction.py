"""What a retoucher has changed in a document that garmentcut wrote: the layer mask, the clipping path, or nothing.

Both say the same when they are written, and only one of them is corrected as a rule. What was changed counts; of both,
the mask, which is the finer.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from garmentcut.photo.clipping_path import PenPath, draw_path, find_clipping_path
from garmentcut.photo.cutout_source import Colors, Findings, Found, Source
from garmentcut.photo.layer_mask import Alpha, place, to_alpha
from garmentcut.photo.psd import Box, Document
from garmentcut.photo.psd_mark import Mark, checksum_of
from garmentcut.photo.psd_original import MaskedPhoto

_SAME_PX = 1 / 64  # knots; Photoshop's own numbers are finer
_SAME_LEVELS = {8: 1.1 / 255, 16: 4.1 / 65_535}  # by a document's depth; Photoshop rounds 16 bits to 15
_SAME_COVERAGE = np.float32(1 / 255)
_SEAM_PX = 2  # around what a path has changed, where the mask still shows the edge of before
_ALIKE_IOU = 0.99


def find_correction(document: Document, mark: Mark, masked: MaskedPhoto, read_rgb: Callable[[], Colors]) -> Findings:
    """What is cut out of the photo's layer of a document that garmentcut wrote.

    A path that was moved counts where it was moved, the mask, which knows soft and sheer parts, everywhere else.

    Args:
        document: the document.
        mark: garmentcut's.
        masked: the photo's layer and its mask.
        read_rgb: gives the layer's colours.

    Raises:
        PhotoError: an absurdly long path.
    """
    is_painted = not _is_as_written(document, mark, masked.alpha)
    new = _Drawn.of_document(document, masked.layer.box)
    old = _Drawn.of_mark(mark)
    is_moved = new is not None and not new.is_like(old)
    if not is_painted and new is not None and is_moved:
        note = "the clipping path was changed, the layer mask was not: "
        note += "it counts where it was moved, elsewhere the mask" if old else "it counts"
        return Findings([Found("clipping path", new.laid_over(masked.alpha, old), read_rgb, (*masked.notes, note))])
    notes = masked.notes
    if is_painted and new is not None and (iou := _iou(masked.alpha, new.alpha)) < _ALIKE_IOU:
        what = "was changed too, but" if is_moved else "was left as garmentcut wrote it and"
        notes += (f"the clipping path {what} differs from the layer mask (IoU {iou:.3f}): the mask counts",)
    return Findings([Found("layer mask", masked.alpha, read_rgb, notes)], is_unchanged=not is_painted)


def without_unchanged(document: Document, mark: Mark, findings: Findings) -> Findings:
    """Where the mask is gone, what is left without saved channel and clipping path as garmentcut wrote them.

    Where that leaves nothing, all of it, marked as unchanged.

    Raises:
        PhotoError: an absurdly long path.
    """
    unchanged = set[Source]()
    channel, path = _saved_channel(document), _Drawn.of_document(document, document.frame)
    if channel is not None and (mark.mask_sum is None or _sum_of(channel) == mark.mask_sum):
        unchanged.add("saved channel")
    if path is not None and path.is_like(_Drawn.of_mark(mark)):
        unchanged.add("clipping path")
    telling = [place for place in findings.found if place.is_telling and place.source not in unchanged]
    return findings._replace(found=telling or findings.found, is_unchanged=bool(unchanged) and not telling)


class _Drawn:
    """A path, its knots in pixels of the photo, and the area that it encloses, drawn when it is asked for."""

    def __init__(self, path: PenPath, size_hw: tuple[int, int], shown: Callable[[Alpha], Alpha]) -> None:
        self._path, self._size_hw, self._shown = path, size_hw, shown
        self._alpha: Alpha | None = None

    @classmethod
    def of_document(cls, document: Document, frame: Box) -> "_Drawn | None":
        chosen = find_clipping_path(document.resources)
        if chosen is None:
            return None
        seen = document.frame.seen_from(frame)
        return cls(chosen[0], document.size_hw, lambda alpha: place(alpha, seen, frame.size_hw))

    @classmethod
    def of_mark(cls, mark: Mark) -> "_Drawn | None":
        return None if mark.path is None else cls(mark.path, mark.size_hw, lambda alpha: alpha)

    @property
    def alpha(self) -> Alpha:
        if self._alpha is None:
            self._alpha = self._shown(draw_path(self._path, self._size_hw))
        return self._alpha

    def is_like(self, other: "_Drawn | None") -> bool:
        """Whether both have the same knots, on the picture or on the photo, or enclose the same area."""
        if other is None:
            return False
        if self._has_knots_of(other):
            return True
        same_size = self.alpha.shape == other.alpha.shape
        return same_size and not (np.abs(self.alpha - other.alpha) > _SAME_COVERAGE).any()

    def laid_over(self, mask: Alpha, old: "_Drawn | None") -> Alpha:
        """The area, but the mask where the path is what it was."""
        if old is None:
            return self.alpha
        moved = Image.fromarray((np.abs(self.alpha - old.alpha) > _SAME_COVERAGE).astype(np.uint8))
        moved = moved.filter(ImageFilter.MaxFilter(2 * _SEAM_PX + 1))
        return np.where(np.asarray(moved) > 0, self.alpha, mask)

    def _has_knots_of(self, other: "_Drawn") -> bool:
        mine, others = self._path.subpaths, other._path.subpaths
        return len(mine) == len(others) and all(
            one.knots.shape == two.knots.shape
            and one.operation == two.operation
            and np.abs(one.knots * self._size_hw[::-1] - two.knots * other._size_hw[::-1]).max() <= _SAME_PX
            for one, two in zip(mine, others, strict=True)
        )


def _is_as_written(document: Document, mark: Mark, alpha: Alpha) -> bool:
    if mark.mask_sum is not None:
        return checksum_of(np.rint(alpha * np.float32(255)).astype(np.uint8)) == mark.mask_sum
    plane = _saved_channel(document)
    if plane is None or plane.shape != alpha.shape:
        return False
    return float(np.abs(to_alpha(plane) - alpha).max()) <= _SAME_LEVELS[document.depth]


def _saved_channel(document: Document) -> np.ndarray[tuple[int, ...], np.dtype[np.unsignedinteger]] | None:
    first = document.num_colors + document.has_merged_alpha
    return document.merged_plane(first) if first < document.num_channels else None


def _sum_of(plane: np.ndarray[tuple[int, ...], np.dtype[np.unsignedinteger]]) -> int | None:
    return checksum_of(np.rint(to_alpha(plane) * np.float32(255)).astype(np.uint8))


def _iou(one: Alpha, other: Alpha) -> float:
    """Of the masks: a path knows no soft edges, and shall not be blamed for that."""
    mask, other_mask = one >= 0.5, other >= 0.5
    union = int((mask | other_mask).sum())
    return int((mask & other_mask).sum()) / union if union else 1.0
