"""Where a Photoshop document says what is cut out of it."""

import numpy as np

from garmentcut.config import ReadConfig
from garmentcut.photo.cutout_source import Colors, Findings, Found, Source, find_in_path, find_mask_image, straight_rgb
from garmentcut.photo.layer_alpha import LayerAlpha, draw_layers
from garmentcut.photo.layer_mask import to_alpha
from garmentcut.photo.photo import Photo, Pixels
from garmentcut.photo.psd import Box, Document, Layer, read_document
from garmentcut.photo.psd_correction import find_correction, without_unchanged
from garmentcut.photo.psd_mark import Mark, read_mark
from garmentcut.photo.psd_original import find_masked_photo, layer_rgb, read_original
from garmentcut.photo.reading import damage_named

_CMYK, _READABLE_MODES = 4, (0, 1, 3, 4)  # bitmap, gray, RGB, CMYK
_ALPHA_NAMES, _ICC_PROFILE, _VERSION_INFO, _XMP = 1006, 1039, 1057, 1060


def find_in_psd(data: bytes, limits: ReadConfig) -> Findings:
    """Everything in a PSD file that says what is cut out: layers and their masks, saved channels, a clipping path.

    Args:
        data: the file's content.
        limits: checked before anything is unpacked.

    Raises:
        PhotoError: as `read_document`; any other exception means damage.
    """
    document = read_document(data, limits)
    mark = read_mark(document.resource(_XMP))

    def original() -> Photo:
        with damage_named():
            return read_original(document, mark)

    findings = _find_in_document(document) if mark is None else _find_by_mark(document, mark)
    return findings._replace(read_original=original)


def _find_by_mark(document: Document, mark: Mark) -> Findings:
    """In a document that garmentcut wrote, what counts is the mask of the photo's layer, wherever that was moved."""
    masked = find_masked_photo(document, mark)
    if masked is not None:
        layer = masked.layer
        return find_correction(document, mark, masked, lambda: _layer_rgb(document, layer, layer.box))
    return without_unchanged(document, mark, _find_in_document(document))


def _find_in_document(document: Document) -> Findings:
    def read_rgb() -> Colors:
        return _merged_rgb(document)

    drawn, hints = draw_layers(document)
    layers = [_of_layers(document, drawn, hints)] if drawn else []
    found = [] if drawn and drawn.is_guess else layers
    found += _saved_channels(document)
    found += find_in_path(document.resources, document.size_hw, read_rgb)
    if drawn and drawn.is_guess:
        found += layers
    if not any(place.is_telling for place in found) and document.mode in _READABLE_MODES[:-1]:
        # The merged picture may be left blank, which says nothing.
        found += [place for place in find_mask_image(_merged_color(document)) if place.is_telling]
    return Findings(found, hints)


def _of_layers(document: Document, drawn: LayerAlpha, hints: tuple[str, ...]) -> Found:
    source: Source = "layer mask" if drawn.is_mask else "transparency"

    def read_rgb() -> Colors:
        if len(drawn.leaves) == 1:
            return _layer_rgb(document, drawn.leaves[0], document.frame)
        rgb, notes = _merged_rgb(document)
        return rgb, ("colours of the merged picture", *notes) if rgb is not None else notes

    guess = (
        ("only small or tinting layers over an opaque one: perhaps retouching, no cutout",) if drawn.is_guess else ()
    )
    return Found(source, drawn.alpha, read_rgb, (*hints, *drawn.notes, *guess), f"the {source} of its layers")


def _saved_channels(document: Document) -> list[Found]:
    """The first saved channel that is not the same everywhere, else the first."""
    first = document.num_colors + document.has_merged_alpha
    numbers = range(first, document.num_channels)
    plain = []
    for number in numbers:
        plane = document.merged_plane(number)
        label = f"the saved channel {_channel_name(document, number - document.num_colors)!r}"
        notes = (f"{label} is one of {len(numbers)}",) if len(numbers) > 1 else ()
        found = Found("saved channel", to_alpha(plane), lambda: _merged_rgb(document), notes, label)
        if plane.min() < plane.max():
            return [found]
        plain.append(found)
    return plain[:1]


def _channel_name(document: Document, place: int) -> str:
    """Resource 1006: names of the planes behind the colours, one after another, each behind its length."""
    names = document.resource(_ALPHA_NAMES) or b""
    start = 0
    for _ in range(place):
        start += 1 + names[start] if start < len(names) else 0
    return names[start + 1 : start + 1 + names[start]].decode("mac_roman") if start < len(names) else f"{place + 1}"


def _merged_rgb(document: Document) -> Colors:
    version = document.resource(_VERSION_INFO) or b""
    if len(version) > 4 and not version[4]:
        return None, ("no colours: the document holds no merged picture",)
    return _rgb_of(document, _merged_color(document))


def _merged_color(document: Document) -> Pixels:
    return np.stack([document.merged_plane(number) for number in range(document.num_colors)], axis=2)


def _layer_rgb(document: Document, layer: Layer, frame: Box) -> Colors:
    rgb = layer_rgb(document, layer, frame)
    return (None, ("no colours: the layer holds none",)) if rgb is None else _rgb_of(document, rgb)


def _rgb_of(document: Document, color: Pixels) -> Colors:
    if document.mode not in _READABLE_MODES:
        return None, ("no colours: neither gray, RGB nor CMYK",)
    profile = document.resource(_ICC_PROFILE)
    if document.mode == _CMYK:
        color = np.iinfo(color.dtype).max - color  # Photoshop holds no ink as white
    return straight_rgb(color, profile, is_cmyk=document.mode == _CMYK)
