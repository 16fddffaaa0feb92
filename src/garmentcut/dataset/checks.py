"""Why a pair is refused or suspect: what the pixels of a photo and its cutout tell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.dataset.alignment import Alignment, align_far, align_near
from garmentcut.dataset.faults import Fault, fault_of
from garmentcut.photo.photo import Photo, to_8_bit
from garmentcut.photo.resize import resize_alpha, resize_rgb
from garmentcut.photo.truth import CutoutFile

_Alpha = NDArray[np.float32]

_SAME_ASPECT = 0.005  # relative
_FULL_SHARE = 0.995  # of the frame
_BORDER_SHARE = 0.9  # of the frame's border, if the background is what is cut out
_SMALL_SHARE = 0.001  # of the frame; the real garments of a studio fill 0.03 to 0.19
_CUT_OFF_SHARE = 0.3  # of the outline of the garment's box
_OPAQUE = 0.99  # rim pixels may have been cleaned of background
_SAME_LEVELS = 2  # rounding, on the way through another depth or premultiplied alpha
_RETOUCHED_SHARE = 0.001  # of the garment's pixels may differ without a closer look
_GRADED_LEVELS = 6.0  # mean difference of patches: in them JPEG's errors cancel out, another colour does not
_PATCHES_HW = 24, 16  # of the garment's box
# Measured on 169 real pairs: the same photo re-saved, graded or 25 % darker is at least 0.79 like its cutout, another
# photo at most 0.51 near by, and 99 of 100 at most 0.75 at the best of all shifts.
_LIKE_NEAR, _LIKE_FAR = 0.65, 0.93
# A shift is believed if it divides the unlikeness by this much; where there is none, none divides it by over 1.05.
_SHIFT_GAIN, _FAR_GAIN = 1.2, 2.0
_UNLIKE_FLOOR = 1e-4


@dataclass(frozen=True, eq=False)
class Checked:
    """What the checks found.

    Attributes:
        faults: in the order in which they were found; the first that refuses is the last.
        alpha: `(H, W)` at the photo's size; None: refused.
        box_xyxy: of `alpha >= 0.5`, right and bottom exclusive; zeros if refused.
    """

    faults: tuple[Fault, ...] = ()
    alpha: _Alpha | None = None
    box_xyxy: tuple[int, int, int, int] = (0, 0, 0, 0)


def check_pair(photo: Photo, cutout: CutoutFile, *, mend: bool = False) -> Checked:
    """Find what is wrong with a photo and its cutout.

    Args:
        photo: the original.
        cutout: the retoucher's file.
        mend: resample a cutout of another size, if its proportions are the photo's.
    """
    faults = check_size(photo.size_hw, _size_of(cutout), mend=mend)
    if not _refuses(faults):
        alpha = resize_alpha(cutout.alpha, photo.size_hw)
        faults += check_alpha(alpha)
    if not _refuses(faults):
        faults += check_colors(photo, cutout, alpha)
    return Checked(faults) if _refuses(faults) else Checked(faults, alpha, box_of(alpha))


def check_size(photo_hw: tuple[int, int], cutout_hw: tuple[int, int], *, mend: bool) -> tuple[Fault, ...]:
    """Whether the cutout has the photo's size, or at least its proportions (to 0.5 %)."""
    if photo_hw == cutout_hw:
        return ()
    sizes = f"{_size(cutout_hw)} pixels, the photo {_size(photo_hw)}"
    aspects = (photo_hw[1] / photo_hw[0]) / (cutout_hw[1] / cutout_hw[0])
    if abs(aspects - 1) > _SAME_ASPECT:
        turned = ", perhaps turned by 90 degrees" if photo_hw == cutout_hw[::-1] else ""
        return (fault_of("size", f"the cutout has {sizes}, of other proportions{turned}; export it uncropped"),)
    if not mend:
        text = f"the cutout has {sizes}: export it at that size, or use --mend to have it resampled"
        return (fault_of("size", text),)
    return (fault_of("resampled", f"the cutout has {sizes}: resampled to that size"),)


def check_alpha(alpha: _Alpha) -> tuple[Fault, ...]:
    """Whether an alpha `(H, W)` in [0, 1] can be a garment's."""
    mask = alpha >= 0.5
    share = float(mask.mean())
    if not share:
        return (fault_of("empty", f"nothing is cut out: the largest alpha is {alpha.max():.2f}; cut it out again"),)
    if share >= _FULL_SHARE:
        return (fault_of("full", f"nothing is cut away: {share:.1%} is opaque; cut it out again"),)
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    if border.mean() >= _BORDER_SHARE:
        return (fault_of("inverted", f"{border.mean():.0%} of the border is opaque; invert the mask"),)
    faults = []
    if share < _SMALL_SHARE:
        faults.append(fault_of("small", f"only {share:.3%} of the photo is cut out"))
    left, top, right, bottom = box_of(alpha)
    if (cut := border.sum() / (2 * (right - left + bottom - top))) > _CUT_OFF_SHARE:
        faults.append(fault_of("cut_off", f"{cut:.0%} of the garment's outline is the photo's border"))
    return tuple(faults)


def check_colors(photo: Photo, cutout: CutoutFile, alpha: _Alpha) -> tuple[Fault, ...]:
    """Whether the cutout's colours are the photo's, and in the same place.

    Args:
        photo: the original.
        cutout: its colours are looked at where the garment is opaque, nowhere else.
        alpha: the cutout's, at the photo's size.
    """
    if cutout.rgb is None:
        return (fault_of("unchecked", f"from a {cutout.source}: no colours to compare with the photo's"),)
    inside = _inside(alpha)
    left, top, right, bottom = box_of(inside.astype(np.float32))
    area = slice(top, bottom), slice(left, right)
    colors, original = resize_rgb(to_8_bit(cutout.rgb), photo.size_hw), to_8_bit(photo.rgb)
    differences = original[area].astype(np.int16) - colors[area]
    if (np.abs(differences[inside[area]]).max(axis=1) > _SAME_LEVELS).mean() <= _RETOUCHED_SHARE:
        return ()
    found = _align(original, colors, inside)
    if found.likeness < _LIKE_NEAR:
        text = f"of another photo (likeness {found.likeness:.2f} of 1 at best); pair it with its own"
        return (fault_of("other_photo", f"the colours inside the cutout are {text}"),)
    if _gain(found.unshifted, found.likeness) > _SHIFT_GAIN and found.shift_xy != (0, 0):
        text = f"the cutout is shifted by {_directions(found.shift_xy)} against the photo; move it back"
        return (fault_of("shifted", text),)
    if (mean := _patch_difference(differences, inside[area])) > _GRADED_LEVELS:
        return (fault_of("colors", f"the colours inside differ by {mean:.0f} of 255 levels on average"),)
    return ()


def box_of(alpha: _Alpha) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of `alpha >= 0.5`, right and bottom exclusive; there must be such a pixel."""
    mask = alpha >= 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _inside(alpha: _Alpha) -> NDArray[np.bool_]:
    """The garment's opaque pixels; of a sheer garment, which has few, all its mask."""
    opaque, mask = alpha >= _OPAQUE, alpha >= 0.5
    return opaque if opaque.sum() > mask.sum() / 2 else mask


def _align(photo: NDArray[np.uint8], colors: NDArray[np.uint8], inside: NDArray[np.bool_]) -> Alignment:
    """The place near by, unless one further off is far more like the cutout."""
    near = align_near(photo, colors, inside)
    if near.likeness >= _LIKE_FAR:
        return near
    far = align_far(photo, colors, inside)
    return far if far.likeness >= _LIKE_FAR and _gain(near.likeness, far.likeness) > _FAR_GAIN else near


def _patch_difference(differences: NDArray[np.int16], inside: NDArray[np.bool_]) -> float:
    """Mean over patches and channels of how far off the garment's mean colour is, in levels.

    Args:
        differences: `(h, w, 3)`.
        inside: `(h, w)`.
    """

    def patches(values: NDArray[np.float32]) -> _Alpha:
        image = Image.fromarray(np.ascontiguousarray(values))
        return np.asarray(image.resize(_PATCHES_HW[::-1], Image.Resampling.BOX), np.float32)

    weights = patches(inside.astype(np.float32))
    sums = [patches((differences[..., channel] * inside).astype(np.float32)) for channel in range(3)]
    return float(np.abs(sums).sum() / (3 * weights.sum()))


def _gain(likeness: float, better: float) -> float:
    """By how much the better likeness divides the unlikeness."""
    return (1 - likeness) / (1 - better + _UNLIKE_FLOOR)


def _directions(shift_xy: tuple[int, int]) -> str:
    named = zip(shift_xy, (("right", "left"), ("down", "up")), strict=True)
    return ", ".join(f"{abs(shift)} px {names[shift < 0]}" for shift, names in named if shift)


def _refuses(faults: tuple[Fault, ...]) -> bool:
    return any(fault.severity == "refuses" for fault in faults)


def _size_of(cutout: CutoutFile) -> tuple[int, int]:
    return cutout.alpha.shape[0], cutout.alpha.shape[1]


def _size(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[1]}x{size_hw[0]}"
