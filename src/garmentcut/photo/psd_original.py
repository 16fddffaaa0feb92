"""The photo that a Photoshop document holds beside its cutout: a layer without holes, as large as the photo."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from garmentcut.photo.color import usable_profile
from garmentcut.photo.layer_alpha import NO_PIXELS
from garmentcut.photo.layer_mask import Alpha, draw_mask, place
from garmentcut.photo.photo import Photo, PhotoError, Pixels
from garmentcut.photo.psd import Box, Document, Layer
from garmentcut.photo.psd_mark import Mark, checksum_of

_RGB, _PROFILE, _TRANSPARENCY = 3, 1039, -1


class MaskedPhoto(NamedTuple):
    """The photo's layer with what masks leave of it.

    Attributes:
        layer: the photo's.
        alpha: `(H, W)` of the layer, wherever on the picture it lies.
        notes: on its masks.
    """

    layer: Layer
    alpha: Alpha
    notes: tuple[str, ...] = ()


def find_masked_photo(document: Document, mark: Mark) -> MaskedPhoto | None:
    """In a document of garmentcut's, the topmost visible layer of the photo's size with a mask; None: there is none.

    Masks of groups around the layer count too.

    Raises:
        PhotoError: a damaged layer.
    """
    for layer, groups in reversed(document.leaves):
        if layer.box.size_hw != mark.size_hw or not all(part.record.flags.visible for part in (layer, *groups)):
            continue
        drawn = [draw_mask(document, part, layer.box) for part in (layer, *groups)]
        masks = [mask for mask, _ in drawn if mask is not None]
        if masks and _is_opaque(document, layer):
            alpha = masks[0]
            for mask in masks[1:]:
                alpha = alpha * mask
            return MaskedPhoto(layer, alpha, tuple(note for _, notes in drawn for note in notes))
    return None


def read_original(document: Document, mark: Mark | None) -> Photo:
    """The untouched photo.

    Of garmentcut's own documents, the layer of the photo's size, wherever it was moved; of several, the one that is as
    it was written, else the lowest with a mask, else the lowest. Of other documents, the lowest layer that covers the
    picture without a hole.

    Args:
        document: any.
        mark: garmentcut's, if it has one.

    Raises:
        PhotoError: the document does not hold it; says why.
    """
    if document.mode != _RGB:
        raise PhotoError("its document is not in RGB, so no photo is taken out of it")
    if mark is not None and not mark.is_whole:
        raise PhotoError(
            "its document holds the photo trimmed, laid on another canvas or with its hidden pixels cleared"
        )
    candidates = list(_candidates(document, mark))
    if not candidates:
        raise PhotoError(_reason_for_none(document, mark))
    layer, rgb = candidates[0]
    notes = [f"out of the layer {layer.name!r}"]
    if mark is not None and mark.photo_sum is not None:
        for same, levels in candidates:
            if checksum_of(levels) == mark.photo_sum:
                return _photo_of(document, levels, (f"out of the layer {same.name!r}, as garmentcut wrote it",))
        notes.append("not as garmentcut wrote it: retouched, perhaps")
    return _photo_of(document, rgb, tuple(notes))


def layer_rgb(document: Document, layer: Layer, frame: Box) -> Pixels | None:
    """A layer's colours `(h, w, C)` within a frame, black outside the layer; None: the layer holds none."""
    planes = [document.layer_plane(layer, number, layer.box) for number in range(document.num_colors)]
    present = [plane for plane in planes if plane is not None]
    if len(present) < len(planes):
        return None
    return place(np.stack(present, axis=2), layer.box.seen_from(frame), frame.size_hw)


def _candidates(document: Document, mark: Mark | None) -> Iterator[tuple[Layer, Pixels]]:
    """Layers that may be the photo, the likeliest first; unpacked one at a time."""
    leaves = [leaf for leaf in document.leaves if _may_be_photo(document, leaf[0], mark)]
    if mark is not None:
        leaves.sort(key=lambda leaf: not any(part.record.mask_data for part in (leaf[0], *leaf[1])))
    for layer, _ in leaves:
        rgb = layer_rgb(document, layer, document.frame if mark is None else layer.box)
        if rgb is not None and (rgb != rgb[:1, :1]).any():  # a plain sheet is a background
            yield layer, rgb


def _may_be_photo(document: Document, layer: Layer, mark: Mark | None) -> bool:
    if any(kind in layer.record.tagged_blocks for kind in NO_PIXELS):
        return False
    box, (height, width) = layer.box, document.size_hw
    if mark is None:
        fits = box.top <= 0 and box.left <= 0 and box.bottom >= height and box.right >= width
    else:
        fits = box.size_hw == mark.size_hw
    return fits and _is_opaque(document, layer)


def _is_opaque(document: Document, layer: Layer) -> bool:
    plane = document.layer_plane(layer, _TRANSPARENCY, layer.box)
    return plane is None or bool(plane.min() == np.iinfo(plane.dtype).max)


def _reason_for_none(document: Document, mark: Mark | None) -> str:
    if mark is None:
        return "its document holds no layer that covers the picture without a hole"
    unlike = replace(mark, size_hw=document.size_hw)
    if document.size_hw != mark.size_hw and any(_may_be_photo(document, leaf, unlike) for leaf, _ in document.leaves):
        sizes = ["x".join(map(str, size_hw[::-1])) for size_hw in (mark.size_hw, document.size_hw)]
        return f"its document was cropped or scaled from {sizes[0]} to {sizes[1]} pixels"
    return "its document no longer holds the whole photo: its layer was erased in, scaled or removed"


def _photo_of(document: Document, rgb: Pixels, notes: tuple[str, ...]) -> Photo:
    profile, profile_notes = usable_profile(document.resource(_PROFILE))
    return Photo(np.ascontiguousarray(rgb), profile, notes=(*notes, *profile_notes))
