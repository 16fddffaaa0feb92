"""Finds what is cut out in a retoucher's PSD, for `truth`: the alpha of its layers and of their masks.

A document of cut layers alone is transparent, and its alpha is that of its layers, laid over each other. Mostly,
though, the retoucher keeps the photo, or a plain colour, at the bottom. Then the document as a whole is opaque. Over a
photo, the cutout is the topmost layer or group that is not, with those of which it only retouches a part: what else
lies above the photo is shadow, or retouching of the background. Over a plain colour, all firm layers are garment.

What is damaged raises PhotoError.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import Sample
from garmentcut.photo.path import draw_path, parse_path
from garmentcut.photo.photo import to_alpha
from garmentcut.photo.psd_format import MASK, PAINTED_MASK, TRANSPARENCY, Box, Document, Layer

Alpha = NDArray[np.float32]

_VECTOR_MASKS = (b"vmsk", b"vsms")
_INVERTED, _DISABLED = 1, 4  # flags of a vector mask
_MOST_FEATHER_PX, _WIDE_PX = 1000, 16  # Photoshop's maximum; beyond the second, box filters are quicker
_SWITCHED_OFF = "a switched-off layer mask left out"

_FILLS = (b"SoCo", b"GdFl", b"PtFl")
NO_PIXELS = (*_FILLS, b"TySh", b"tySh")
"""Blocks of layers without pixels of their own: fills, shapes and text."""

_NORMAL = (b"norm", b"pass", b"diss")  # blend modes that cover, not tint
_BACKDROP_SHARE = 0.99  # no garment covers the whole frame
_FIRM = 0.8  # a layer's mean alpha where it is visible: a shadow's is lower, even if its middle is opaque
_PART_SHARE, _STRAY_SHARE = 0.9, 0.05  # a retouched part: most of a cutout's area; how much of it may lie outside
_DAB_SHARE = 0.01  # over a backdrop, an unmasked layer that covers less is a retouched spot


def place(plane: NDArray[Sample], box: Box, size_hw: tuple[int, int], outside: int = 0) -> NDArray[Sample]:
    """Put a plane `(h, w)` or `(h, w, C)`, which fills `box`, into a picture that is `outside` elsewhere, clipped."""
    frame = Box(0, 0, *size_hw)
    if box == frame:
        return plane
    picture, inside = np.full((*size_hw, *plane.shape[2:]), outside, plane.dtype), box.within(frame)
    if 0 not in inside.size_hw:
        _part(picture, inside, frame)[:] = _part(plane, inside, box)
    return picture


def draw_mask(document: Document, layer: Layer, frame: Box | None = None) -> tuple[Alpha | None, tuple[str, ...]]:
    """Draw a layer's masks, multiplied (None: no mask is switched on); also returns notes.

    Density and feather, which Photoshop keeps beside the mask, are applied. A feathered mask is taken as Photoshop drew
    it, if the file holds that; else it is blurred here, by a Gaussian whose standard deviation is the feather. `frame`
    is the part of the picture that is wanted; None: all of it.
    """
    frame = frame or document.frame
    data = layer.record.mask_data
    parameters = data.parameters if data else None
    if data is not None or _vector_mask_of(layer) is not None:
        document.spend(4 * frame.size_hw[0] * frame.size_hw[1])
    is_feathered = bool(parameters and (parameters.user_mask_feather or parameters.vector_mask_feather))
    if is_feathered and frame.within(document.frame) == frame != document.frame:  # what is outside blurs into it
        whole, notes = draw_mask(document, layer)
        return None if whole is None else place(whole, document.frame.seen_from(frame), frame.size_hw), notes
    drawn_by_photoshop = data is not None and data.flags.user_mask_from_render and not data.flags.mask_disabled
    if is_feathered and drawn_by_photoshop and MASK in layer.channels:
        return _draw_channel(document, layer, MASK, frame), ()
    painted, painted_notes = _draw_painted(document, layer, frame)
    vector, vector_notes = _draw_vector(document, layer, frame)
    if parameters and painted is not None:
        painted = _softened(painted, parameters.user_mask_feather, parameters.user_mask_density)
    if parameters and vector is not None:
        vector = _softened(vector, parameters.vector_mask_feather, parameters.vector_mask_density)
    mask = painted if vector is None else vector if painted is None else painted * vector
    return mask, (*painted_notes, *vector_notes)


def _draw_painted(document: Document, layer: Layer, frame: Box) -> tuple[Alpha | None, tuple[str, ...]]:
    data = layer.record.mask_data
    if data is None or MASK not in layer.channels:
        return None, ()
    flags, channel = data.flags, MASK
    if PAINTED_MASK in layer.channels and data.real_flags is not None:
        flags, channel = data.real_flags, PAINTED_MASK
    elif flags.user_mask_from_render and _vector_mask_of(layer):
        return None, ()
    if flags.mask_disabled:
        return None, (_SWITCHED_OFF,)
    return _draw_channel(document, layer, channel, frame), ()


def _draw_channel(document: Document, layer: Layer, channel: int, frame: Box) -> Alpha:
    data = layer.record.mask_data
    assert data is not None  # both callers have checked
    box, outside = Box(data.top, data.left, data.bottom, data.right), data.background_color
    if channel == PAINTED_MASK:
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
    document.spend(4 * document.size_hw[0] * document.size_hw[1])  # the whole picture, however small the frame
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


def _softened(mask: Alpha, feather_px: float | None, density: int | None) -> Alpha:
    """A mask blurred by its feather, then lowered to its density of 0 to 255."""
    if feather_px and 0 < feather_px <= _MOST_FEATHER_PX:
        mask = _blurred(mask, feather_px)
    if density is None or density == 255:
        return mask
    return np.asarray(1 - (1 - mask) * np.float32(density / 255), np.float32)


def _blurred(mask: Alpha, sigma_px: float) -> Alpha:
    """Blur by a Gaussian; a wide one by three box filters, whose time does not grow with it. The border repeats."""
    if sigma_px <= _WIDE_PX:
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), np.float32)
    side = int(np.sqrt(4 * sigma_px**2 + 1)) | 1  # three of this width have the Gaussian's variance
    for _ in range(3):
        mask = np.asarray(cv2.blur(mask, (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)
    return mask


@dataclass(frozen=True, eq=False)
class LayerAlpha:
    """The alpha of a layer, or of several layers laid over each other."""

    alpha: Alpha  # `(H, W)`, of the box; `draw_layers` returns it for the whole picture
    leaves: tuple[Layer, ...]  # the layers with pixels from which it is made
    box: Box  # outside of it alpha is 0
    is_mask: bool = False  # these layers are opaque, and masks cut them out
    is_guess: bool = False  # it is over a backdrop and looks more like retouching than like a cutout
    is_sum: bool = False  # the alpha was made here from several, and may be changed in place
    notes: tuple[str, ...] = ()  # how it was chosen, in words


def draw_layers(document: Document) -> tuple[LayerAlpha | None, tuple[str, ...]]:
    """The alpha of the document's visible layers (None: nothing is cut out), and notes on what was left out.

    Fills, shapes, text and adjustments never count, nor do layers clipped to another. Layers that only tint (their
    blend mode is not normal, their alpha is the same everywhere, or they are faint and of one colour below another cut
    layer, as a painted shadow is) count if nothing else does.
    """
    notes: dict[str, None] = {}
    drawn = _draw_siblings(document, document.layers, notes).cutout()
    if drawn is not None:
        drawn = replace(drawn, alpha=place(drawn.alpha, drawn.box, document.size_hw), box=document.frame)
    return drawn, tuple(notes)


@dataclass(eq=False)
class _Siblings:
    """The layers of one group, sorted while they are drawn from the top down, so that at most five planes are held."""

    frame: Box
    topmost: LayerAlpha | None = None
    firm: LayerAlpha | None = None  # the topmost, and the firm layers below it
    is_plain: bool = False  # the uppermost backdrop is of one colour
    cut: LayerAlpha | None = None
    tint: LayerAlpha | None = None
    backdrop: LayerAlpha | None = None

    def add(self, document: Document, drawn: LayerAlpha, blend_mode: bytes) -> None:
        """Sort in the next lower layer; one without any alpha is dropped."""
        height, width = self.frame.size_hw
        area = float(drawn.alpha.sum(dtype=np.float64))
        share, is_firm = area / (height * width), area >= _FIRM * np.count_nonzero(drawn.alpha)
        is_even = drawn.alpha.min() == drawn.alpha.max() if drawn.box == self.frame else not share
        if share >= _BACKDROP_SHARE and blend_mode in _NORMAL:
            if self.backdrop is None and self.topmost:
                self.is_plain = _has_one_color(document, replace(drawn, leaves=drawn.leaves[:1]))
            self.backdrop = _over(self.backdrop, drawn)
        elif blend_mode not in _NORMAL or is_even or (self.topmost and not is_firm and _has_one_color(document, drawn)):
            self.tint = _over(self.tint, drawn) if share else self.tint
        else:
            if self.topmost is None and (drawn.is_mask or share >= _DAB_SHARE):
                self.topmost = self.firm = drawn = replace(drawn, is_sum=False)  # these and `cut` share its alpha
            elif self.topmost and self.backdrop is None and is_firm and not _has_one_color(document, drawn):
                self.topmost = _over(self.topmost, drawn) if _is_part(self.topmost, drawn) else self.topmost
                self.firm = _over(self.firm, drawn)
            self.cut = _over(self.cut, drawn)

    def all(self) -> LayerAlpha | None:
        """All layers laid over each other, to which a mask on the group applies."""
        if self.cut and self.backdrop:
            return _over(self.cut, self.backdrop)
        return self.backdrop or self.cut or self.tint

    def cutout(self) -> LayerAlpha | None:
        """The cutout, as a guess if need be; None: there is none."""
        if self.backdrop is None:
            found = self.cut or self.tint
            more = len(found.leaves) if found else 0
            notes = [f"the alpha of {more} layers laid over each other"] if more > 1 else []
            notes += [f"{_named(self.tint.leaves)} left out: shadow or tint"] if self.cut and self.tint else []
            return replace(found, notes=(*found.notes, *notes)) if found else None
        below = f"the opaque {_named(self.backdrop.leaves)} left out"
        if self.topmost is None:
            guess = self.cut or self.tint
            return replace(guess, is_guess=True, notes=(*guess.notes, below)) if guess else None
        assert self.cut is not None  # the topmost is one of them
        found = self.firm if self.is_plain and self.firm else self.topmost
        others = [leaf for leaf in self.cut.leaves if leaf not in found.leaves]
        why = "shadow or retouching" if self.is_plain else "the topmost cut layer counts"
        notes = [f"{_named(others)} left out: {why}"] if others else []
        return replace(found, notes=(*found.notes, below, *notes))

    def seen(self) -> LayerAlpha | None:
        """What the group shows to its parent: the cutout if that is sure, else the opaque backdrop."""
        return self.backdrop if self.backdrop and self.topmost is None else self.cutout()


def _draw_siblings(document: Document, layers: Sequence[Layer], notes: dict[str, None]) -> _Siblings:
    siblings = _Siblings(document.frame)
    for layer in reversed(layers):
        drawn = _draw_layer(document, layer, notes)
        if drawn is not None:
            siblings.add(document, drawn, bytes(layer.record.blend_mode.value))
    return siblings


def _draw_layer(document: Document, layer: Layer, notes: dict[str, None]) -> LayerAlpha | None:
    """One layer or group with its masks and opacity; None: it does not count."""
    if not layer.record.flags.visible:
        notes["hidden layers left out"] = None
        return None
    if layer.record.clipping:
        notes["layers clipped to others left out"] = None
        return None
    if any(kind in layer.record.tagged_blocks for kind in NO_PIXELS):
        return _draw_fill(document, layer)
    if layer.children is not None:
        siblings = _draw_siblings(document, layer.children, notes)
        mask, mask_notes = draw_mask(document, layer)
        drawn = siblings.seen() if mask is None else siblings.all()
        mask = mask if mask is None or drawn is None else _part(mask, drawn.box, document.frame)
    else:
        drawn = _draw_pixels(document, layer)
        mask, mask_notes = draw_mask(document, layer, drawn.box) if drawn else (None, ())
    notes.update(dict.fromkeys(mask_notes))
    return _with_mask(drawn, mask, layer.opacity, document.frame) if drawn else None


def _draw_fill(document: Document, layer: Layer) -> LayerAlpha | None:
    """A fill that covers the whole picture, as a backdrop does; None: shapes and text do not count."""
    is_fill = any(kind in layer.record.tagged_blocks for kind in _FILLS) and 0 in layer.box.size_hw
    if not is_fill or _vector_mask_of(layer) or layer.opacity != 1 or layer.record.blend_mode.value not in _NORMAL:
        return None
    document.spend(4 * document.size_hw[0] * document.size_hw[1])
    mask, _ = draw_mask(document, layer)
    drawn = LayerAlpha(np.ones(document.size_hw, np.float32), (layer,), document.frame)
    return drawn if mask is None or mask.min() == 1 else None


def _with_mask(drawn: LayerAlpha, mask: Alpha | None, opacity: float, frame: Box) -> LayerAlpha:
    alpha, is_mask = drawn.alpha, drawn.is_mask
    if mask is not None:
        is_opaque = bool(alpha.min() == 1)
        is_mask = is_mask or (is_opaque and drawn.box == frame)
        alpha = mask if is_opaque else alpha * mask
    if opacity != 1:
        alpha = alpha * np.float32(opacity)
    return replace(drawn, alpha=alpha, is_mask=is_mask, is_sum=drawn.is_sum and alpha is drawn.alpha)


def _draw_pixels(document: Document, layer: Layer) -> LayerAlpha | None:
    """The alpha of the part of a layer that lies in the picture; None: there is no such part."""
    box, inside = layer.box, layer.box.within(document.frame)
    if 0 in inside.size_hw:
        return None
    plane = document.layer_plane(layer, TRANSPARENCY, box)
    if plane is None:
        return LayerAlpha(np.ones(inside.size_hw, np.float32), (layer,), inside)
    return LayerAlpha(to_alpha(_part(plane, inside, box)), (layer,), inside)


def _has_one_color(document: Document, drawn: LayerAlpha) -> bool:
    """True of painted shadows and backdrops and of fills, never of photos."""
    for channel in range(document.num_colors):
        levels = set[int]()
        for layer in drawn.leaves:
            inside, plane = layer.box.within(document.frame), document.layer_plane(layer, channel, layer.box)
            if plane is not None:
                visible = _part(drawn.alpha, inside, drawn.box) > 0
                levels.update(np.unique(_part(plane, inside, layer.box)[visible]).tolist())
        if len(levels) > 1:
            return False
    return True


def _is_part(upper: LayerAlpha, lower: LayerAlpha) -> bool:
    """True if a layer lies on a part of a lower one, as the retouched sleeve of a garment does."""
    area, inside = upper.alpha.sum(dtype=np.float64), upper.box.within(lower.box)
    if 0 in inside.size_hw or area >= _PART_SHARE * lower.alpha.sum(dtype=np.float64):
        return False
    covered = np.minimum(_part(upper.alpha, inside, upper.box), _part(lower.alpha, inside, lower.box))
    return bool(covered.sum(dtype=np.float64) >= (1 - _STRAY_SHARE) * area)


def _part(plane: NDArray[Sample], inside: Box, box: Box) -> NDArray[Sample]:
    """The part of a plane, which fills `box`, that lies in the smaller box `inside`."""
    top, left, bottom, right = inside.seen_from(box)
    return plane[top:bottom, left:right]


def _over(upper: LayerAlpha | None, lower: LayerAlpha) -> LayerAlpha:
    if upper is None:
        return lower
    box = Box(*map(min, upper.box[:2], lower.box[:2]), *map(max, upper.box[2:], lower.box[2:]))
    alpha = upper.alpha
    if box != upper.box or not upper.is_sum:
        alpha = np.zeros(box.size_hw, np.float32)
        _part(alpha, upper.box, box)[:] = upper.alpha
    both = _part(alpha, lower.box, box)
    both[:] = 1 - (1 - both) * (1 - lower.alpha)
    leaves, is_mask = upper.leaves + lower.leaves, upper.is_mask and lower.is_mask
    return LayerAlpha(alpha, leaves, box, is_mask, is_sum=True, notes=upper.notes + lower.notes)


def _named(layers: Iterable[Layer]) -> str:
    names = [repr(layer.name) for layer in layers]
    return ("layer " if len(names) == 1 else "layers ") + ", ".join(names)
