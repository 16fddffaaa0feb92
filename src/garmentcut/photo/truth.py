"""Reads a retoucher's file, for `ingest`: its alpha from transparency, layers, masks, channels or a clipping path."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError
from garmentcut.photo.color import rgb_of_cmyk, usable_profile
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.mask import mask_iou
from garmentcut.photo.metadata import Resource, split_resources
from garmentcut.photo.path import draw_path, find_clipping_path
from garmentcut.photo.photo import Photo, Pixels, to_8_bit, to_alpha, turn_upright
from garmentcut.photo.psd_format import CMYK, RGB, Box, Document, ImageResource, Layer, read_document
from garmentcut.photo.psd_layers import Alpha, LayerAlpha, draw_layers
from garmentcut.photo.psd_roundtrip import (
    Mark,
    find_correction,
    find_masked_photo,
    layer_rgb,
    read_mark,
    read_original,
    unchanged_places,
)
from garmentcut.photo.read import PHOTO_SUFFIXES, damage_named, read_raster

LAYERED_SUFFIXES = frozenset({".psd", ".psb"})
"""Suffixes of documents that may hold the photo beside the cutout."""

CUTOUT_SUFFIXES = LAYERED_SUFFIXES | frozenset(PHOTO_SUFFIXES)
"""Suffixes looked for in folders; a file's content, not its name, decides how it is read."""

_SAME_IOU = 0.95  # below, two places mean different cutouts

Source = Literal["transparency", "extra channel", "layer mask", "saved channel", "clipping path", "mask image"]


class Colors(NamedTuple):
    """The colours that belong to an alpha."""

    rgb: Pixels | None  # `(H, W, 3)`, upright and straight; None: there are none that can be read
    notes: tuple[str, ...] = ()
    profile: bytes | None = None  # an RGB profile that they are in; None: sRGB, or no usable one


_NEAR = 8 / 255  # how far JPEG moves a mask's black and white
_MOST_SOFT = 0.5  # gray part of a mask over the smaller of its black and white parts; a gray photo has far more
_BORDER_PX = 2
_MOST_CHANNELS = 4  # after the colours that are looked at; each takes four bytes per pixel
_LEAST_BLACK, _BLACK_BORDER = 0.5, 0.99  # least black part of a sheer mask; of its upper and lower border
_READABLE_MODES = (0, 1, RGB, CMYK)  # the first two: bitmap, gray


@dataclass(frozen=True, eq=False)
class CutoutFile:
    """What a cutout file holds."""

    alpha: NDArray[np.float32]  # `(H, W)` float32 in [0, 1], upright, soft as in the file
    # `(H, W, 3)` uint8 or uint16, upright and straight (not premultiplied), in the file's own colour space; what lies
    # where alpha is 0 may be anything. None: a bare mask, or colours that cannot be read.
    rgb: Pixels | None
    source: Source  # where the alpha comes from
    notes: tuple[str, ...] = ()  # how it was chosen and what was left out, in words
    is_unchanged: bool = False  # the alpha is the one that garmentcut itself wrote; nobody has corrected it
    # Returns the untouched photo in a layered document, at the size of `alpha`, or raises PhotoError, which says why
    # there is none. None: the file is no layered document.
    read_original: Callable[[], Photo] | None = None
    profile: bytes | None = None  # ICC profile of an RGB colour space that `rgb` is in; None: sRGB, or no usable one


class AlphaSource(NamedTuple):
    """One place in a file that says what is cut out."""

    source: Source  # the kind of place
    alpha: Alpha  # `(H, W)`, upright
    read_rgb: Callable[[], Colors]  # gives the colours that belong to it
    title: str  # what notes call it
    notes: tuple[str, ...] = ()  # what to know about it

    @property
    def is_telling(self) -> bool:
        """Whether the alpha is not the same everywhere."""
        return bool(self.alpha.min() < self.alpha.max())


def read_cutout(path: str | os.PathLike[str], config: ReadConfig | None = None) -> CutoutFile:
    """Read the alpha of a retoucher's PNG, TIFF, PSD, JPEG or WebP file.

    The first of these places whose alpha is not the same everywhere counts: transparency (of a PSD: of its visible
    layers, see `psd_layers`) or a TIFF's extra channel, layer masks, a saved channel, the clipping path; last, the
    whole picture if it is a mask, white on black. Notes name other places that mean another cutout. In a PSD that
    garmentcut wrote, what was changed since counts (see `psd_roundtrip`).

    Raises:
        PhotoError: as for `read_photo`; also if nothing in the file says what is cut out.
    """
    limits = config or ReadConfig()
    try:
        data = read_photo_bytes(Path(path), limits)
        with damage_named():
            return _read_psd(data, limits) if data.startswith(b"8BPS") else _choose(*_find_in_picture(data, limits))
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}", code=error.code) from error


def _choose(places: list[AlphaSource], hints: tuple[str, ...], *, is_unchanged: bool = False) -> CutoutFile:
    """Choose one of the places in a file, the surest of which is first; the error quotes `hints` if there are none."""
    if not places:
        why = f" ({'; '.join(hints)})" if hints else ""
        fix = "save the cutout as PNG or PSD with transparency, or with a clipping path"
        raise PhotoError(f"has no transparency, mask, saved channel or clipping path{why}; {fix}")
    telling = [place for place in places if place.is_telling]
    used = (telling or places)[0]
    colors = used.read_rgb()
    notes = [*used.notes, *colors.notes]
    notes += [f"{place.title} is the same everywhere" for place in places if telling and not place.is_telling]
    for other in telling[1:]:
        if (iou := mask_iou(used.alpha >= 0.5, other.alpha >= 0.5)) < _SAME_IOU:
            notes.append(f"{other.title} means another cutout (IoU {iou:.2f}) and is left out")
    rgb = None if colors.rgb is None else np.ascontiguousarray(colors.rgb)
    alpha = np.ascontiguousarray(used.alpha)
    return CutoutFile(alpha, rgb, used.source, tuple(notes), is_unchanged, profile=colors.profile)


def _find_in_picture(data: bytes, limits: ReadConfig) -> tuple[list[AlphaSource], tuple[str, ...]]:
    """All places in a PNG, JPEG, TIFF or WebP file that say what is cut out, and hints."""
    stored = read_raster(data, limits, all_channels=True)
    hints = ("its Photoshop layers are not read from TIFF",) if stored.has_layers else ()

    def read_rgb() -> Colors:
        colors = _straight_rgb(stored.color, stored.profile, is_cmyk=stored.is_cmyk)
        return colors if colors.rgb is None else colors._replace(rgb=turn_upright(colors.rgb, stored.orientation))

    found, num_channels = list[AlphaSource](), stored.extra.shape[2]
    if num_channels > _MOST_CHANNELS:
        hints = (*hints, f"{num_channels - _MOST_CHANNELS} further channels left out")
    for place in sorted(range(num_channels), key=lambda place: place != stored.alpha)[:_MOST_CHANNELS]:
        source: Source = "transparency" if place == stored.alpha else "extra channel"
        plane = turn_upright(stored.extra[..., place], stored.orientation)
        found.append(AlphaSource(source, to_alpha(plane), read_rgb, f"the {source}"))
    found += _find_in_path(split_resources(stored.resources), stored.color.shape[:2], read_rgb, stored.orientation)
    if not stored.is_cmyk and not any(place.is_telling for place in found):
        found += _find_mask_image(turn_upright(stored.color, stored.orientation))
    return found, hints


def _find_in_path(
    resources: Sequence[Resource], size_hw: tuple[int, ...], read_rgb: Callable[[], Colors], orientation: int = 1
) -> list[AlphaSource]:
    """The clipping path among a file's image resources, if there is one; `size_hw` is the picture's as stored."""
    chosen = find_clipping_path(resources)
    if chosen is None:
        return []
    path, notes = chosen
    alpha = turn_upright(draw_path(path, (size_hw[0], size_hw[1])), orientation)
    return [AlphaSource("clipping path", alpha, read_rgb, f"the clipping path {path.name!r}", notes)]


def _find_mask_image(color: NDArray[Any]) -> list[AlphaSource]:
    """The picture itself, `(H, W, C)` and upright, if it is a mask: gray, and nearly all of it black or white."""
    sample = color[::16, ::16]
    if not (sample == sample[..., :1]).all() or not (color == color[..., :1]).all():
        return []
    alpha = to_alpha(color[..., 0])
    black, white = float((alpha <= _NEAR).mean()), float((alpha >= 1 - _NEAR).mean())
    border = np.concatenate([alpha[:_BORDER_PX].ravel(), alpha[-_BORDER_PX:].ravel()])
    # The mask of a sheer garment has little white, but is black all around, which no photo is.
    is_sheer = black >= _LEAST_BLACK and float((border <= _NEAR).mean()) >= _BLACK_BORDER
    if 1 - black - white > _MOST_SOFT * min(black, white) and not is_sheer:
        return []
    notes = ("the mask's border is white: it may be inverted",) if border.mean() > 0.5 and black else ()
    return [AlphaSource("mask image", alpha, lambda: Colors(None), "the mask image", notes)]


def _straight_rgb(color: Pixels, profile: bytes | None, *, is_cmyk: bool = False) -> Colors:
    """Colours as stored, except that gray becomes RGB, and CMYK is converted to 8-bit sRGB by its profile."""
    if not is_cmyk:
        rgb = np.repeat(color, 3, axis=2) if color.shape[2] == 1 else color
        return Colors(np.ascontiguousarray(rgb, rgb.dtype.newbyteorder("=")), profile=usable_profile(profile)[0])
    if usable_profile(profile, b"CMYK")[0] is None:  # with approximate colours, it would seem to be another photo's
        return Colors(None, ("CMYK colours without a usable profile left out",))
    converted = rgb_of_cmyk(to_8_bit(color), profile)
    return Colors(converted.rgb, converted.notes)


def _read_psd(data: bytes, limits: ReadConfig) -> CutoutFile:
    document = read_document(data, limits)
    mark = read_mark(document.resource(ImageResource.XMP))

    def original() -> Photo:
        with damage_named():
            return read_original(document, mark)

    found = _choose(*_find_in_document(document)) if mark is None else _choose_by_mark(document, mark)
    return replace(found, read_original=original)


def _choose_by_mark(document: Document, mark: Mark) -> CutoutFile:
    """In a document that garmentcut wrote, choose the mask of the photo's layer, wherever that was moved."""
    masked = find_masked_photo(document, mark)
    if masked is not None:
        layer = masked.layer
        source, alpha, notes, is_unchanged = find_correction(document, mark, masked)
        found = AlphaSource(source, alpha, lambda: _layer_rgb(document, layer, layer.box), f"the {source}", notes)
        return _choose([found], (), is_unchanged=is_unchanged)
    # The mask is gone: use what is left, except a saved channel or clipping path that is as garmentcut wrote it.
    (places, hints), unchanged = _find_in_document(document), unchanged_places(document, mark)
    telling = [place for place in places if place.is_telling and place.source not in unchanged]
    return _choose(telling or places, hints, is_unchanged=bool(unchanged) and not telling)


def _find_in_document(document: Document) -> tuple[list[AlphaSource], tuple[str, ...]]:
    """All places in a PSD file that say what is cut out: layers and their masks, saved channels, a clipping path."""
    drawn, hints = draw_layers(document)
    found = _saved_channels(document)
    found += _find_in_path(document.resources, document.size_hw, lambda: _merged_rgb(document))
    if drawn:
        found.insert(len(found) if drawn.is_guess else 0, _of_layers(document, drawn, hints))
    if not any(place.is_telling for place in found) and document.mode in _READABLE_MODES[:-1]:
        # The merged picture may be blank, which means nothing.
        found += [place for place in _find_mask_image(_merged_color(document)) if place.is_telling]
    return found, hints


def _of_layers(document: Document, drawn: LayerAlpha, hints: tuple[str, ...]) -> AlphaSource:
    source: Source = "layer mask" if drawn.is_mask else "transparency"

    def read_rgb() -> Colors:
        if len(drawn.leaves) == 1:
            return _layer_rgb(document, drawn.leaves[0], document.frame)
        merged = _merged_rgb(document)
        what = ("colours of the merged image",) if merged.rgb is not None else ()
        return merged._replace(notes=(*what, *merged.notes))

    notes = (*hints, *drawn.notes)
    if drawn.is_guess:
        notes += ("only small or tinting layers over an opaque one: perhaps retouching, no cutout",)
    return AlphaSource(source, drawn.alpha, read_rgb, f"the {source} of its layers", notes)


def _saved_channels(document: Document) -> list[AlphaSource]:
    """The first saved channel that is not the same everywhere, else the first."""
    numbers = range(document.num_colors + document.has_merged_alpha, document.num_channels)
    plain = list[AlphaSource]()
    for number in numbers:
        plane = document.merged_plane(number)
        label = f"the saved channel {_channel_name(document, number - document.num_colors)!r}"
        notes = (f"{label} is one of {len(numbers)}",) if len(numbers) > 1 else ()
        found = AlphaSource("saved channel", to_alpha(plane), lambda: _merged_rgb(document), label, notes)
        if plane.min() < plane.max():
            return [found]
        plain = plain or [found]  # only one, because each holds a plane
    return plain


def _channel_name(document: Document, place: int) -> str:
    """A saved channel's name. Resource 1006 holds Pascal strings, one for each plane after the colours."""
    names = document.resource(ImageResource.ALPHA_NAMES) or b""
    start = 0
    for _ in range(place):
        start += 1 + names[start] if start < len(names) else 0
    return names[start + 1 : start + 1 + names[start]].decode("mac_roman") if start < len(names) else f"{place + 1}"


def _merged_rgb(document: Document) -> Colors:
    version = document.resource(ImageResource.VERSION_INFO) or b""
    if len(version) > 4 and not version[4]:
        return Colors(None, ("no colours: the document holds no merged image",))
    return _rgb_of(document, _merged_color(document))


def _merged_color(document: Document) -> Pixels:
    return np.stack([document.merged_plane(number) for number in range(document.num_colors)], axis=2)


def _layer_rgb(document: Document, layer: Layer, frame: Box) -> Colors:
    rgb = layer_rgb(document, layer, frame)
    return Colors(None, ("no colours: the layer holds none",)) if rgb is None else _rgb_of(document, rgb)


def _rgb_of(document: Document, color: Pixels) -> Colors:
    if document.mode not in _READABLE_MODES:
        return Colors(None, ("no colours: neither gray, RGB nor CMYK",))
    profile = document.resource(ImageResource.ICC_PROFILE)
    if document.mode == CMYK:
        color = np.iinfo(color.dtype).max - color  # Photoshop stores no ink as white (255)
    return _straight_rgb(color, profile, is_cmyk=document.mode == CMYK)
