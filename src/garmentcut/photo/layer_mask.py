"""A layer's masks: painted ones and vector masks, as an alpha of the whole picture."""

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.clipping_path import draw_path, parse_path
from garmentcut.photo.photo import Pixels, Sample
from garmentcut.photo.psd import Box, Document, Layer

Alpha = NDArray[np.float32]

# With a vector mask too, the first channel may hold what Photoshop drew of both; the second then is the painted one.
_MASK, _PAINTED_MASK = -2, -3
_VECTOR_MASKS = (b"vmsk", b"vsms")
_INVERTED, _DISABLED = 1, 4  # flags of a vector mask
_SWITCHED_OFF = "a switched-off layer mask left out"


def to_alpha(plane: Pixels) -> Alpha:
    """Full-range integers to float32 in [0, 1]. Any shape."""
    alpha: Alpha = np.divide(plane, np.iinfo(plane.dtype).max, dtype=np.float32)
    return alpha


def place(plane: NDArray[Sample], box: Box, size_hw: tuple[int, int], outside: int = 0) -> NDArray[Sample]:
    """A plane `(h, w)` or `(h, w, C)` in its place in the picture, cut off at its borders; `outside` is the rest."""
    height, width = size_hw
    if box == (0, 0, height, width):
        return plane
    picture = np.full((*size_hw, *plane.shape[2:]), outside, plane.dtype)
    part = plane[max(-box.top, 0) : max(height - box.top, 0), max(-box.left, 0) : max(width - box.left, 0)]
    if part.size:
        top, left = max(box.top, 0), max(box.left, 0)
        picture[top : top + part.shape[0], left : left + part.shape[1]] = part
    return picture


def draw_mask(document: Document, layer: Layer, frame: Box | None = None) -> tuple[Alpha | None, tuple[str, ...]]:
    """A layer's masks together, None where no mask is switched on; and notes.

    Density counts. A feathered mask is as Photoshop drew it where the file holds that, else taken without its feather.

    Args:
        document: the layer's.
        layer: a layer or a group.
        frame: the part of the plane that is wanted; None: the picture.

    Raises:
        PhotoError: a damaged mask.
    """
    frame = frame or document.frame
    data = layer.record.mask_data
    parameters = data.parameters if data else None
    is_feathered = bool(parameters and (parameters.user_mask_feather or parameters.vector_mask_feather))
    drawn_by_photoshop = data is not None and data.flags.user_mask_from_render and not data.flags.mask_disabled
    if is_feathered and drawn_by_photoshop and _MASK in layer.channels:
        return _draw_channel(document, layer, _MASK, frame), ()
    painted, painted_notes = _draw_painted(document, layer, frame)
    vector, vector_notes = _draw_vector(document, layer, frame)
    if parameters and painted is not None:
        _weaken(painted, parameters.user_mask_density)
    if parameters and vector is not None:
        _weaken(vector, parameters.vector_mask_density)
    mask = painted if vector is None else vector if painted is None else painted * vector
    feather_notes = ("the feather of a layer mask left out",) if is_feathered and mask is not None else ()
    return mask, (*painted_notes, *vector_notes, *feather_notes)


def _draw_painted(document: Document, layer: Layer, frame: Box) -> tuple[Alpha | None, tuple[str, ...]]:
    data = layer.record.mask_data
    if data is None or _MASK not in layer.channels:
        return None, ()
    flags, channel = data.flags, _MASK
    if _PAINTED_MASK in layer.channels and data.real_flags is not None:
        flags, channel = data.real_flags, _PAINTED_MASK
    elif flags.user_mask_from_render and _vector_mask_of(layer):
        return None, ()
    if flags.mask_disabled:
        return None, (_SWITCHED_OFF,)
    return _draw_channel(document, layer, channel, frame), ()


def _draw_channel(document: Document, layer: Layer, channel: int, frame: Box) -> Alpha:
    data = layer.record.mask_data
    assert data is not None  # both callers looked
    box, outside = Box(data.top, data.left, data.bottom, data.right), data.background_color
    if channel == _PAINTED_MASK:
        box = Box(*(side or 0 for side in (data.real_top, data.real_left, data.real_bottom, data.real_right)))
        outside = data.real_background_color or 0
    plane = document.layer_plane(layer, channel, box)
    if plane is None:
        return np.full(frame.size_hw, outside / 255, np.float32)
    outside = outside * int(np.iinfo(plane.dtype).max) // 255
    return to_alpha(place(plane, box.seen_from(frame), frame.size_hw, outside))


def _draw_vector(document: Document, layer: Layer, frame: Box) -> tuple[Alpha | None, tuple[str, ...]]:
    data = _vector_mask_of(layer)
    if data is None:
        return None, ()
    flags = int.from_bytes(data[4:8])
    if flags & _DISABLED:
        return None, (_SWITCHED_OFF,)
    alpha = draw_path(parse_path(data[8:]), document.size_hw)
    alpha = 1 - alpha if flags & _INVERTED else alpha
    return place(alpha, document.frame.seen_from(frame), frame.size_hw), ()


def _vector_mask_of(layer: Layer) -> bytes | None:
    """Version, flags and path records; None: no vector mask."""
    blocks = layer.record.tagged_blocks
    for key in _VECTOR_MASKS:
        if key in blocks:
            data = blocks[key].data
            return data if isinstance(data, bytes) else bytes(data.tobytes())
    return None


def _weaken(mask: Alpha, density: int | None) -> None:
    """Lower a mask's density, 0 to 255, in place."""
    if density is not None and density < 255:
        np.subtract(1, (1 - mask) * np.float32(density / 255), out=mask)
