"""Finishes a cut photo: moves its edge for `Cutter`; cleans, trims, shrinks it and lays it on a background.

Edge colours are estimated by blur fusion, in two passes (M. Forte, "Approximate Fast Foreground Colour Estimation",
ICIP 2021). Only edge pixels change, so only they are computed: first with a wide window on a coarse grid, then with a
narrow window on the neighbouring pixels.
"""

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from garmentcut.config import OutputConfig
from garmentcut.errors import OutputError
from garmentcut.naming import keeps_hidden
from garmentcut.photo.color import color_in_profile, srgb_of
from garmentcut.photo.layout import Placement
from garmentcut.photo.mask import HALF_LEVEL, Box, bounding_box, box_sums, dilate, erode, slices_of
from garmentcut.photo.metadata import Resource
from garmentcut.photo.path import MOST_KNOTS, PenPath, path_resources
from garmentcut.photo.photo import Cutout, Metadata, Pixels, resize_alpha, to_8_bit

Alpha = NDArray[np.float32]
Rgb = NDArray[np.uint8]
"""`(H, W, 3)` sRGB."""
Thumbnail = NDArray[np.uint8]
"""`(h, w, 4)` sRGB and alpha, premultiplied: what alpha hides is black."""
_Colors = NDArray[np.float32]  # `(N, 3)` in [0, 1], of edge pixels
_Places = NDArray[np.intp]  # `(N,)`, their rows or columns

_WIDE_PX, _NARROW_PX = 90, 6  # windows measured at a photo height of 1728 px
_REFERENCE_HEIGHT_PX = 1728
_GRID_CELLS = 12  # grid cells in the wide window: its mean needs no more samples
_CHUNK = 65_536  # edge pixels at a time: a sheer garment has a million of them
_EPSILON = 1e-5
_SHARP, _EVEN = Image.Resampling.LANCZOS, Image.Resampling.HAMMING
_SOLID = np.float32(0.5)  # below this alpha the sharp filter's weights are small differences of large numbers
_LEAST_WEIGHT = np.float32(1e-4)
_ROUNDING = 1e-6  # error of quotients
CHECKERBOARD, _LIGHT, _DARK = "checkerboard", 255, 204  # levels of the checkerboard's squares, as in Photoshop
_SEEN = 0.05  # alpha; less is invisible on any background
_MAX_TRIMMED_PIXELS = 100_000_000  # limits the memory that a margin may take


class Preparation:
    """One picture to be written in one or several formats; the work that they share is done once.

    Args:
        cutout: full size, as the cutter made it.
        output: background, trim, margin, path and what happens to hidden pixels.
        name: the photo's name, which layers get.
        marked: False if the customer wants no metadata, not even garmentcut's own mark in a PSD.
    """

    def __init__(self, cutout: Cutout, output: OutputConfig, *, name: str = "", marked: bool = True) -> None:
        self.output, self.name, self.marked = output, name, marked
        self._whole = cutout
        self._paths: dict[str, PenPath] = {}

    @property
    def metadata(self) -> Metadata:
        """What travels with the pixels."""
        return self._whole.metadata

    @cached_property
    def untouched(self) -> Cutout:
        """The photo and its alpha, trimmed if the output says so."""
        return self._trimmed(self._whole)

    @cached_property
    def cleaned(self) -> Cutout:
        """The same with clean edge colours, estimated from the whole photo, and black hidden pixels."""
        return self._trimmed(clean(self._whole))

    def wanted(self, format: str) -> Cutout:
        """`untouched` or `cleaned`, depending on what a format does with hidden pixels."""
        output = self.output
        keeps = keeps_hidden(format, hidden=output.hidden, path=output.path, background=output.background)
        return self.untouched if keeps else self.cleaned

    def flat(self, format: str) -> Pixels:
        """The pixels of a format: `(H, W, 4)` with straight alpha, or `(H, W, 3)` on a background."""
        if self.output.background is None:
            return self.wanted(format).rgba(clean=False)
        return lay_over(self.cleaned, self.output.background)

    def path(self, auto: str = "none") -> PenPath | None:
        """The clipping path; None: none is wanted, or only `auto` asked for one and none can be drawn.

        If the output says `auto`, `auto` is used: the format's own choice, `none` or `editable`.

        Raises:
            OutputError: the output asks for a path, but there is no outline, or it is too ragged.
        """
        kind = auto if self.output.path == "auto" else self.output.path
        if kind == "none":
            return None
        if kind not in self._paths:
            from garmentcut.photo.trace import path_tolerance_px, trace_outline  # loads contourpy

            tolerance_px = path_tolerance_px(kind, self._whole.alpha.shape[0])
            self._paths[kind] = trace_outline(self.untouched.alpha, tolerance_px=tolerance_px)
        num_knots = sum(len(outline.knots) for outline in self._paths[kind].subpaths)
        if 0 < num_knots <= MOST_KNOTS:
            return self._paths[kind]
        if self.output.path == "auto":
            return None
        fault = f"its outline is too ragged for a path ({num_knots} knots)"
        fault = fault if num_knots else "no outline for a path: nothing is half opaque"
        raise OutputError(f"{fault}; use path = 'none'", code="no_path")

    def resources(self) -> list[Resource]:
        """The clipping path as Photoshop's image resources; empty if none was asked for."""
        path = self.path()
        return path_resources(path) if path else []

    def _trimmed(self, cutout: Cutout) -> Cutout:
        if not self.output.trim:
            return cutout
        margin_px = self.output.margin_px
        left, top, right, bottom = cutout.garment_box_xyxy or (0, 0, 0, 0)
        num_pixels = (right - left + 2 * margin_px) * (bottom - top + 2 * margin_px)
        if num_pixels > max(_MAX_TRIMMED_PIXELS, cutout.alpha.size):
            fault = f"a margin of {margin_px} pixels makes {num_pixels / 1e6:.0f} megapixels; use a smaller one"
            raise OutputError(fault, code="does_not_fit")
        try:
            return trim(cutout, margin_px)
        except ValueError as error:
            raise OutputError(str(error), code="nothing_visible") from error


def clean(cutout: Cutout) -> Cutout:
    """Remove the background's colour from edge pixels and make hidden pixels black.

    Edge and hidden pixels are those of the alpha as it will be written: a pixel that rounds to opaque keeps the photo's
    colour, one that rounds to transparent becomes black.
    """
    if cutout.is_clean:
        return cutout
    written = cutout.rounded_alpha()
    rgb = np.zeros_like(cutout.rgb)
    if box := bounding_box(written > 0):
        # The garment and the background that it is compared with: a third of a studio photo.
        area = slices_of(box, round(_window_px(len(written))) + 1)
        near = written[area]
        alpha: Alpha = np.divide(near, np.iinfo(near.dtype).max, dtype=np.float32)
        garment = clean_edge_color(cutout.rgb[area], alpha, full_height_px=len(written))
        for channel in range(3):
            np.multiply(garment[..., channel], near > 0, out=rgb[area][..., channel])
    return replace(cutout, rgb=rgb, is_clean=True)


def trim(cutout: Cutout, margin_px: int = 0) -> Cutout:
    """See `Cutout.trimmed`. Specks are ignored, because one that nobody sees would leave most of the picture empty."""
    if not isinstance(margin_px, int | np.integer) or margin_px < 0:
        raise ValueError(f"margin_px is {margin_px}; use a whole number of pixels, 0 or more")
    if cutout.garment_box_xyxy is None:
        raise ValueError("nothing to trim to")
    height, width = cutout.alpha.shape
    left, top, right, bottom = np.add(cutout.garment_box_xyxy, (-margin_px, -margin_px, margin_px, margin_px))
    inside = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    pad = (max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0))
    rgb, alpha = np.pad(cutout.rgb[inside], (*pad, (0, 0))), np.pad(cutout.alpha[inside], pad)
    return replace(cutout, rgb=rgb, alpha=alpha, is_whole=False)


def lay_over(cutout: Cutout, color: str | None) -> Pixels:
    """Lay a cutout, usually a cleaned one, on a plain background; see `Cutout.over`."""
    scale = int(np.iinfo(cutout.rgb.dtype).max) // 255
    background = np.array(color_in_profile(color, cutout.profile) if color else (255, 255, 255)) * scale
    flat = np.empty_like(cutout.rgb)
    for channel in range(3):  # numpy is slow on axes of three
        flat[..., channel] = background[channel]
    inside = slices_of(bounding_box(cutout.alpha > 0) or (0, 0, 0, 0))
    alpha, garment, ground = cutout.alpha[inside], cutout.rgb[inside], flat[inside]
    for channel in range(3):
        np.copyto(ground[..., channel], garment[..., channel], where=alpha > 0)
    edge = np.nonzero((alpha > 0) & (alpha < 1))
    share = alpha[edge][:, None]
    ground[edge] = np.rint(share * garment[edge] + (1 - share) * background.astype(np.float32))
    return flat


def choke_alpha(alpha: Alpha, choke_px: float) -> Alpha:
    """Move the edge inwards, or outwards if `choke_px` is negative; parts at the frame stay at the frame.

    A step of one pixel gives each pixel the lowest alpha around it (outwards: the highest). Steps alternate between
    four and eight neighbours, so that slanting edges move as far as straight ones, to within 5 %. A fraction of a step
    is a blend of the alpha before and after it, which moves the edge of a covered area by exactly that fraction.
    Returns `(H, W)` float32 in [0, 1]; `alpha` itself if there is nothing to move.
    """
    box = bounding_box(alpha > 0)
    if choke_px == 0 or box is None:
        return alpha
    area = slices_of(box, int(abs(choke_px)) + 2)  # room to grow
    moved: Alpha = alpha[area]
    step_once = erode if choke_px > 0 else dilate
    whole, part = divmod(abs(choke_px), 1)
    for step in range(int(whole)):
        # The mean of both would soften the edge a little more with each step; alternating does not.
        moved = step_once(moved, neighbours=8 if step % 2 else 4)
    if part:
        beyond = (step_once(moved, neighbours=4) + step_once(moved, neighbours=8)) / np.float32(2)
        moved = (moved + np.float32(part) * (beyond - moved)).astype(np.float32, copy=False)
    choked = alpha.copy()
    choked[area] = moved
    return choked


def clean_edge_color(rgb: Pixels, alpha: Alpha, *, full_height_px: int | None = None) -> Pixels:
    """Estimate the garment's own colour where background shows through.

    `rgb` `(H, W, 3)` may be part of a photo; the windows scale with the height of the whole, `full_height_px`. The
    result is `rgb`, changed only where `0 < alpha < 1`. Composited with `alpha` over a new background, it shows no
    trace of the old one.
    """
    # np.nonzero on two dimensions would take longer than all that follows.
    edge_y, edge_x = np.divmod(np.flatnonzero((alpha > 0) & (alpha < 1)), alpha.shape[1])
    cleaned = rgb.copy()
    if not edge_y.size:
        return cleaned
    top = float(np.iinfo(rgb.dtype).max)
    observed = (rgb[edge_y, edge_x] / top).astype(np.float32)
    edge_alpha = alpha[edge_y, edge_x, None]
    height_px = full_height_px or rgb.shape[0]
    garment, behind = _wide_means(rgb, alpha, edge_y, edge_x, window_px=_window_px(height_px))
    first = _fuse(observed, edge_alpha, garment, behind)
    # The narrow window sees opaque pixels as photographed and edge pixels as first estimated.
    cleaned[edge_y, edge_x] = np.rint(first * top)
    spacing = max(round(height_px / _REFERENCE_HEIGHT_PX), 1)
    second = np.empty_like(first)
    for start in range(0, edge_y.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        garment, least, most = _narrow_colors(cleaned, alpha, edge_y[part], edge_x[part], spacing_px=spacing)
        fused = _fuse(observed[part], edge_alpha[part], garment / np.float32(top), behind[part])
        # Where alpha is a pixel off, too much background is subtracted, which would leave a line darker or lighter than
        # anything near it. Clipping to the colours of opaque neighbours prevents that.
        second[part] = np.where(least <= most, fused.clip(least / top, most / top), fused)
    cleaned[edge_y, edge_x] = np.rint(second * top)
    return cleaned


def _window_px(height_px: int) -> float:
    return max(_WIDE_PX * height_px / _REFERENCE_HEIGHT_PX, _GRID_CELLS)


def _fuse(observed: _Colors, alpha: Alpha, garment: _Colors, behind: _Colors) -> _Colors:
    """Forte 2021, equation 4: correct the mean garment colour by the residual of the compositing equation."""
    unexplained = observed - alpha * garment - (1 - alpha) * behind
    return np.asarray((garment + alpha * unexplained).clip(0, 1))


def _wide_means(
    rgb: Pixels, alpha: Alpha, edge_y: _Places, edge_x: _Places, *, window_px: float
) -> tuple[_Colors, _Colors]:
    """Mean garment colour and mean background colour `(N, 3)` around each edge pixel, sampled on a coarse grid."""
    step = max(round(window_px / _GRID_CELLS), 1)
    margin = round(window_px)
    top, left = max(edge_y.min() - margin, 0), max(edge_x.min() - margin, 0)
    area = slice(top, edge_y.max() + margin + 1, step), slice(left, edge_x.max() + margin + 1, step)
    weight = alpha[area][..., None].astype(np.float64)
    color = rgb[area] / float(np.iinfo(rgb.dtype).max)
    row, column = (edge_y - top) // step, (edge_x - left) // step
    reach = _GRID_CELLS // 2
    means = []
    for part in (weight, 1 - weight):
        sums = box_sums(np.concatenate([color * part, part], axis=2), reach)[row, column]
        means.append((sums[:, :3] / (sums[:, 3:] + _EPSILON)).astype(np.float32))
    return means[0], means[1]


def _narrow_colors(
    color: Pixels, alpha: Alpha, y: _Places, x: _Places, *, spacing_px: int
) -> tuple[_Colors, Pixels, Pixels]:
    """Statistics, each `(N, 3)`, of the colours in a square of samples around each of N places, in the photo's levels.

    Returns the mean, weighted by `alpha`; and the minimum and maximum of each channel over opaque samples. If no sample
    is opaque, the minimum is above the maximum.
    """
    height, width = alpha.shape
    total = np.zeros((y.size, 3), np.float32)
    weight = np.full((y.size, 1), _EPSILON, np.float32)
    most = np.zeros((y.size, 3), color.dtype)
    least = np.full_like(most, np.iinfo(color.dtype).max)
    flat_alpha, flat_color = alpha.reshape(-1, 1), color.reshape(-1, 3)
    offsets = spacing_px * np.arange(-_NARROW_PX // 2, _NARROW_PX // 2)
    columns = [np.clip(x + dx, 0, width - 1) for dx in offsets]
    for dy in offsets:
        row = np.clip(y + dy, 0, height - 1) * width
        for column in columns:
            place = row + column
            share, near = flat_alpha.take(place, axis=0), flat_color.take(place, axis=0)
            total += share * near
            weight += share
            is_opaque = share == 1
            np.minimum(least, near, out=least, where=is_opaque)
            np.maximum(most, near, out=most, where=is_opaque)
    return total / weight, least, most


def lay_on_canvas(cutout: Cutout, placement: Placement) -> Cutout:
    """Resize a picture so that the garment's box exactly fills the wanted box of a new canvas.

    Specks outside the garment's box are left out.

    Colours are resampled by a Lanczos filter, weighted by alpha, so that no background reaches the edge. Alpha is
    reduced by a Hamming filter, which does not overshoot: Lanczos would put a faint ghost line around the garment. At
    scale 1 every pixel is unchanged.

    Args:
        cutout: must have a visible pixel. If it is clean, hidden pixels are black on the canvas. Else it goes to a
            format for retouchers, so the whole photo is resampled, hidden pixels included.
        placement: the canvas.

    Returns:
        The canvas, transparent around the garment.
    """
    left, top, right, bottom = placement.box_xyxy
    box = cutout.garment_box_xyxy
    if box is None:
        raise ValueError("nothing is visible")
    alpha = np.zeros(placement.canvas_hw, np.float32)
    alpha[top:bottom, left:right] = _resample_alpha(cutout.alpha, box, (bottom - top, right - left))
    # Beyond the photo: white, if the photo's hidden pixels are kept; else black, like all hidden pixels.
    paper = 0 if cutout.is_clean else np.iinfo(cutout.rgb.dtype).max
    rgb = np.full((*placement.canvas_hw, 3), paper, cutout.rgb.dtype)
    if cutout.is_clean:
        visible = alpha[top:bottom, left:right] > HALF_LEVEL
        rgb[top:bottom, left:right] = _resample_colors(cutout, box, visible)
    else:
        _lay_photo(cutout.rgb, box, placement, rgb)
    return replace(cutout, rgb=rgb, alpha=alpha, is_whole=False)


def _resample_alpha(alpha: Alpha, box: Box, size_hw: tuple[int, int]) -> Alpha:
    part = alpha[box[1] : box[3], box[0] : box[2]]
    if size_hw > part.shape:
        return resize_alpha(part, size_hw)
    return _resized(alpha, box, size_hw, _EVEN).clip(0, 1)


def _resample_colors(cutout: Cutout, box: Box, visible: NDArray[np.bool_]) -> Pixels:
    """The colours of a box at another size, black where nothing is visible."""
    size_hw = visible.shape[0], visible.shape[1]
    part = cutout.rgb[box[1] : box[3], box[0] : box[2]]
    if part.shape[:2] == size_hw:
        return part
    sharp = _resized(cutout.alpha, box, size_hw, _SHARP)
    even = np.maximum(_resized(cutout.alpha, box, size_hw, _EVEN), _LEAST_WEIGHT)
    solid, top = sharp >= _SOLID, np.float32(np.iinfo(part.dtype).max)
    rgb = np.empty((*size_hw, 3), part.dtype)
    for channel in range(3):
        weighted = cutout.rgb[..., channel] * cutout.alpha
        color = _resized(weighted, box, size_hw, _EVEN) / even
        np.divide(_resized(weighted, box, size_hw, _SHARP), sharp, out=color, where=solid)
        rgb[..., channel] = np.rint(color.clip(0, top)) * visible
    return rgb


def _lay_photo(rgb: Pixels, box: Box, placement: Placement, canvas: Pixels) -> None:
    """Draw the photo on the canvas, in place, so that its `box` lies on the placement's box."""
    left, top, right, bottom = placement.box_xyxy
    rows, (above, below) = _overlap((box[1], box[3]), (top, bottom), len(rgb), len(canvas))
    columns, (before, behind) = _overlap((box[0], box[2]), (left, right), rgb.shape[1], canvas.shape[1])
    area, most = canvas[rows, columns], np.float32(np.iinfo(rgb.dtype).max)
    for channel in range(3):
        plane = np.ascontiguousarray(rgb[..., channel], np.float32)
        wanted = _resized(plane, (before, above, behind, below), (area.shape[0], area.shape[1]), _SHARP)
        area[..., channel] = np.rint(wanted.clip(0, most))


def _overlap(
    box: tuple[int, int], wanted: tuple[int, int], photo_px: int, canvas_px: int
) -> tuple[slice, tuple[float, float]]:
    """Along one axis: the canvas pixels that the photo covers whole, and the range of the photo that fills them."""
    scale = (wanted[1] - wanted[0]) / (box[1] - box[0])
    origin = wanted[0] - box[0] * scale
    start = max(math.ceil(origin - _ROUNDING), 0)
    end = min(math.floor(origin + photo_px * scale + _ROUNDING), canvas_px)
    return slice(start, end), (max((start - origin) / scale, 0.0), min((end - origin) / scale, float(photo_px)))


def _resized(
    plane: Alpha, box: tuple[float, float, float, float], size_hw: tuple[int, int], resampling: Image.Resampling
) -> Alpha:
    """Resize a box of a plane; pixels outside the box, but within the filter's reach, contribute too."""
    if (box[3] - box[1], box[2] - box[0]) == size_hw and all(side == round(side) for side in box):
        left, top, right, bottom = map(int, box)
        return plane[top:bottom, left:right]
    return np.asarray(Image.fromarray(plane).resize(size_hw[::-1], resampling, box=box), np.float32)


def shrink_cutout(cutout: Cutout, size_hw: tuple[int, int], *, trim: bool = True) -> Thumbnail:
    """Shrink a cutout to fit into `size_hw`; a small one is not enlarged.

    Pixels are weighted by alpha, so that hidden colours do not bleed into the edge; the filter does not overshoot, so
    that the edge gets no halo. With `trim` only the box of what is visible is shown, specks included; if nothing is
    visible, the whole frame. Raises PhotoError if its colour profile cannot be applied.
    """
    box = (bounding_box(cutout.alpha > _SEEN) if trim else None) or (0, 0, *cutout.alpha.shape[::-1])
    alpha: NDArray[np.uint8] = np.rint(cutout.alpha[slices_of(box)] * np.float32(255)).astype(np.uint8)
    rgb = srgb_of(to_8_bit(cutout.rgb[slices_of(box)]), cutout.profile)
    image = Image.fromarray(np.dstack([rgb, alpha])).convert("RGBa")
    image.thumbnail(size_hw[::-1], Image.Resampling.HAMMING, reducing_gap=3.0)
    return np.array(image)


def draw_ground(ground: str, size_hw: tuple[int, int], *, square_px: int = 8) -> Rgb:
    """A background for thumbnails: `checkerboard`, with squares of `square_px`, or a colour `#rrggbb`."""
    if ground != CHECKERBOARD:
        return np.full((*size_hw, 3), ImageColor.getrgb(ground), np.uint8)
    is_dark = (np.indices(size_hw) // square_px).sum(axis=0) % 2 == 1
    return np.where(is_dark[..., None], np.uint8(_DARK), np.full(3, _LIGHT, np.uint8))


def lay_on_ground(thumbnail: Thumbnail, ground: Rgb) -> Rgb:
    """Lay a thumbnail in the middle of a ground, which is at least as large."""
    height, width = thumbnail.shape[:2]
    top, left = (ground.shape[0] - height) // 2, (ground.shape[1] - width) // 2
    laid = ground.copy()
    place = laid[top : top + height, left : left + width]
    shown_through = (place * (255 - thumbnail[..., 3:].astype(np.uint16)) + 127) // 255
    place[:] = np.minimum(shown_through + thumbnail[..., :3], 255)
    return laid
