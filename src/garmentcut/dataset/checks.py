"""`garmentcut ingest` for one pair: reads photo and cutout, checks them, writes the target; problems become faults.

Whether and where the photo has the cutout's colours is found by comparing both at each shift. Their likeness is the
structural similarity (SSIM; Wang, Bovik, Sheikh and Simoncelli 2004) with the whole garment as one window: 1 for equal
pixels, near 1 for the same photo re-saved or graded, about 0 for another photo. OpenCV's correlations compute it for
all shifts at once, with the garment's mask as weights (after Padfield 2012).
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.dataset.corrections import read_alpha
from garmentcut.dataset.ledger import ALPHA_FOLDER, PHOTO_FOLDER, LedgerEntry, Stamp, path_text, writing
from garmentcut.dataset.manifest import Fault, Pair, fault_of, refuses, target_bytes
from garmentcut.dataset.pairing import Candidate
from garmentcut.dataset.split import fingerprint_of
from garmentcut.errors import PhotoError, RunError
from garmentcut.photo.color import gray_of
from garmentcut.photo.files import read_photo_bytes, sha256_of, write_atomic
from garmentcut.photo.mask import bounding_box, slices_of
from garmentcut.photo.photo import Photo, resize_alpha, resize_rgb, to_8_bit
from garmentcut.photo.read import decode_photo
from garmentcut.photo.truth import CutoutFile, read_cutout
from garmentcut.photo.write import png_bytes

_Floats = NDArray[np.float32]

_NOISE = 8.0  # levels: contrast below this counts for little
_STABLE = 2 * _NOISE**2  # SSIM's constants C1 and C2
_COARSE_PX = 256  # long side of the reduced images in which large shifts are searched
_MAX_STEPS = 4  # of the search for small shifts, a few pixels each
_WINDOW_PX = 1536  # long side of the part that is compared at full size; enough to detect a shift of one pixel
_SAME_ASPECT = 0.005  # relative
_FULL_SHARE = 0.995  # of the frame
_BORDER_SHARE = 0.9  # of the frame's border; if more is opaque, the background was cut out
_TRANSPARENT = 2 / 255  # alpha that may result from rounding
_BACKGROUND_SHARE = 0.5  # of the outline of the inset box
_INSET = 0.02  # of the box's longer side
_SMALL_SHARE = 0.001  # of the frame; a studio's real garments fill 0.03 to 0.19
_CUT_OFF_SHARE = 0.3  # of the outline of the garment's box
_OPAQUE = 0.99  # pixels of lower alpha, at the edge, may have been cleaned of background colour
_SAME_LEVELS = 2  # differences due to rounding, by another bit depth or premultiplied alpha
_RETOUCHED_SHARE = 0.001  # if fewer of the garment's pixels differ, nothing else is checked
_GRADED_LEVELS = 6.0  # mean difference of patches, in which JPEG's errors cancel out, but not another colour
_PATCHES_HW = 24, 16  # rows and columns of patches in the garment's box
# Measured on 169 real pairs: the likeness of a cutout to its photo, re-saved, graded or 25 % darker, is at least 0.79.
# To another photo it is at most 0.51 at small shifts, and at the best of all shifts at most 0.75 for 99 of 100.
_LIKE_NEAR, _LIKE_FAR = 0.65, 0.93
# A shift counts if it divides the unlikeness, 1 - likeness, by this much. Without a real shift, none exceeds 1.05.
_SHIFT_GAIN, _FAR_GAIN = 1.2, 2.0
_UNLIKE_FLOOR = 1e-4
_UNCORRECTED = "mask and path are as garmentcut wrote them"


@dataclass(frozen=True)
class Alignment:
    """The shift at which a cutout is most like its photo."""

    shift_xy: tuple[int, int]  # how many pixels the cutout is too far right and too far down
    likeness: float  # at this shift, at most 1
    unshifted: float  # likeness without a shift


def align_far(photo: _Floats, cutout: _Floats, inside: NDArray[np.bool_]) -> Alignment:
    """The best of all shifts that keep the garment in the frame; arguments as in `align`."""
    factor = -(-max(photo.shape) // _COARSE_PX)
    weights = _shrunk(inside.astype(np.float32), factor)
    if not weights.any():  # a few pixels at the border, or a photo narrower than one cell of the reduction
        return align(photo, cutout, inside)
    garment = _shrunk(cutout * inside, factor) / weights.clip(np.float32(1e-6))
    rows, columns = _box_of(weights > 0)
    _, right, down = _best_of(
        _likeness_at_shifts(_shrunk(photo, factor), garment[rows, columns], weights[rows, columns])
    )
    return align(photo, cutout, inside, ((columns.start - right) * factor, (rows.start - down) * factor))


def align(photo: _Floats, cutout: _Floats, inside: NDArray[np.bool_], start_xy: tuple[int, int] = (0, 0)) -> Alignment:
    """The best small shift of a cutout against its photo, both `(H, W)` luma, by hill climbing from `start_xy`.

    `inside`, `(H, W)`, is where the cutout has the garment's colours; it must not be empty.
    """
    reach = -(-max(photo.shape) // _COARSE_PX) + 2
    rows, columns = _box_of(inside)
    area = _middle(rows, _WINDOW_PX), _middle(columns, _WINDOW_PX)
    template, weights = cutout[area], inside[area].astype(np.float32)

    def likeness_about(center_xy: tuple[int, int], reach: int) -> NDArray[np.float64]:
        rows, columns = (
            np.arange(side.start - shift - reach, side.stop - shift + reach).clip(0, length - 1)
            for side, shift, length in zip(area, center_xy[::-1], photo.shape, strict=True)
        )
        return _likeness_at_shifts(photo[np.ix_(rows, columns)], template, weights)

    x, y = start_xy
    for _ in range(_MAX_STEPS):
        likeness, right, down = _best_of(likeness_about((x, y), reach))
        x, y = x + reach - right, y + reach - down
        if max(abs(reach - right), abs(reach - down)) < reach:
            break
    return Alignment((x, y), likeness, float(likeness_about((0, 0), 0)[0, 0]))


def _likeness_at_shifts(photo: _Floats, template: _Floats, weights: _Floats) -> NDArray[np.float64]:
    """SSIM between a template, `(h, w)` levels with weights in [0, 1], and each equally large part of a photo `(H, W)`.

    Returns `(H - h + 1, W - w + 1)`, indexed by top and left of the part.
    """
    total = float(weights.sum())
    mean = float((template * weights).sum()) / total
    centered = (template - np.float32(mean)) * weights
    base = photo.mean()  # subtracted first, because squares of small numbers are more exact
    moved = photo - base

    def correlate(values: _Floats, kernel: _Floats) -> NDArray[np.float64]:
        return np.asarray(cv2.matchTemplate(values, kernel, cv2.TM_CCORR), np.float64) / total

    shared = correlate(moved, centered)
    part_mean = correlate(moved, weights)
    part_variance = np.maximum(correlate(moved * moved, weights) - part_mean**2, 0)
    part_mean = part_mean + base
    variance = float((centered * (template - np.float32(mean))).sum()) / total
    light = (2 * mean * part_mean + _STABLE) / (mean**2 + part_mean**2 + _STABLE)
    return np.asarray(light * (2 * shared + _STABLE) / (variance + part_variance + _STABLE))


def _best_of(likeness: NDArray[np.float64]) -> tuple[float, int, int]:
    row, column = np.unravel_index(likeness.argmax(), likeness.shape)
    return float(likeness[row, column]), int(column), int(row)


def _shrunk(values: _Floats, factor: int) -> _Floats:
    """Means of squares of `factor` x `factor` pixels; what is left over at the right and the bottom is dropped."""
    height, width = (length // factor for length in values.shape)
    whole = np.ascontiguousarray(values[: height * factor, : width * factor], np.float32)
    if not whole.size:
        return whole
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))


def _box_of(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    return slices_of(bounding_box(mask) or (0, 0, 0, 0))


def _middle(side: slice, longest: int) -> slice:
    over = max(side.stop - side.start - longest, 0)
    return slice(side.start + over // 2, side.stop - (over + 1) // 2)


def check_pair(photo: Photo, cutout: CutoutFile, *, resample: bool = False) -> tuple[tuple[Fault, ...], _Floats | None]:
    """Find faults of a photo and its cutout; `resample` accepts cutouts of another size but the same proportions.

    Returns the faults, up to the first that refuses the pair; the alpha `(H, W)` at the photo's size, None if refused.
    """
    faults = check_size(photo.size_hw, (cutout.alpha.shape[0], cutout.alpha.shape[1]), resample=resample)
    if not refuses(faults):
        alpha = resize_alpha(cutout.alpha, photo.size_hw)
        faults += check_alpha(alpha)
    if not refuses(faults):
        faults += check_colors(photo, cutout, alpha)
    return faults, None if refuses(faults) else alpha


def check_size(photo_hw: tuple[int, int], cutout_hw: tuple[int, int], *, resample: bool) -> tuple[Fault, ...]:
    """Check that the cutout has the photo's size or, with `resample`, its proportions (to 0.5 %)."""
    if photo_hw == cutout_hw:
        return ()
    sizes = "{1}x{0} pixels, the photo {3}x{2}".format(*cutout_hw, *photo_hw)
    aspects = (photo_hw[1] / photo_hw[0]) / (cutout_hw[1] / cutout_hw[0])
    if abs(aspects - 1) > _SAME_ASPECT:
        turned = ", perhaps turned by 90 degrees" if photo_hw == cutout_hw[::-1] else ""
        return (fault_of("size", f"the cutout has {sizes}, of other proportions{turned}; export it uncropped"),)
    if resample:
        return (fault_of("resampled", f"the cutout has {sizes}: resampled to that size"),)
    text = f"the cutout has {sizes}: export it at that size, or use --resample to have it resampled"
    return (fault_of("size", text),)


def check_alpha(alpha: _Floats) -> tuple[Fault, ...]:
    """Check that an alpha `(H, W)` in [0, 1] can be that of a garment."""
    mask = alpha >= 0.5
    share = float(mask.mean())
    if not share:
        return (fault_of("empty", f"nothing is cut out: the largest alpha is {alpha.max():.2f}; cut it out again"),)
    if share >= _FULL_SHARE:
        return (fault_of("full", f"nothing is cut away: {share:.1%} is opaque; cut it out again"),)
    border = _border_of(mask)
    if border.mean() >= _BORDER_SHARE:
        return (fault_of("inverted", f"{border.mean():.0%} of the border is opaque; invert the mask"),)
    if (partial := _background_share(alpha)) > _BACKGROUND_SHARE:
        text = f"the background is not transparent: alpha is {partial:.0%} of the way round neither 0 nor garment"
        return (fault_of("background", f"{text}; give the mask its full density and save it again"),)
    faults = []
    if share < _SMALL_SHARE:
        faults.append(fault_of("small", f"only {share:.3%} of the photo is cut out"))
    left, top, right, bottom = bounding_box(mask) or (0, 0, 0, 0)
    if (cut := border.sum() / (2 * (right - left + bottom - top))) > _CUT_OFF_SHARE:
        faults.append(fault_of("cut_off", f"{cut:.0%} of the garment's outline is the photo's border"))
    return tuple(faults)


def check_colors(photo: Photo, cutout: CutoutFile, alpha: _Floats) -> tuple[Fault, ...]:
    """Check that the cutout, where its alpha `(H, W)` at the photo's size is opaque, has the photo's colours there."""
    if cutout.rgb is None:
        return (fault_of("unchecked", f"alpha from: {cutout.source}; no colours to compare with the photo's"),)
    opaque, mask = alpha >= _OPAQUE, alpha >= 0.5
    inside = opaque if opaque.sum() > mask.sum() / 2 else mask  # of a sheer garment few pixels are opaque
    area = _box_of(inside)
    colors, original = resize_rgb(to_8_bit(cutout.rgb), photo.size_hw), to_8_bit(photo.rgb)
    differences = original[area].astype(np.int16) - colors[area]
    if (np.abs(differences[inside[area]]).max(axis=1) > _SAME_LEVELS).mean() <= _RETOUCHED_SHARE:
        return ()
    found = _align(original, colors, inside)
    if found.likeness < _LIKE_NEAR:
        text = f"of another photo (likeness {found.likeness:.2f} of 1 at best); pair it with its own"
        return (fault_of("other_photo", f"the colours inside the cutout are {text}"),)
    if _gain(found.unshifted, found.likeness) > _SHIFT_GAIN and found.shift_xy != (0, 0):
        named = zip(found.shift_xy, (("right", "left"), ("down", "up")), strict=True)
        shifts = ", ".join(f"{abs(shift)} px {names[shift < 0]}" for shift, names in named if shift)
        return (fault_of("shifted", f"the cutout is shifted by {shifts} against the photo; move it back"),)
    if (mean := _patch_difference(differences, inside[area])) > _GRADED_LEVELS:
        return (fault_of("colors", f"the colours inside differ by {mean:.0f} of 255 levels on average"),)
    return ()


def _background_share(alpha: _Floats) -> float:
    """How much of the outline of the visible part's bounding box, slightly inset, is neither clear nor mostly opaque.

    A garment touches its bounding box at few places, and there only with its edge; a background fills the box.
    """
    left, top, right, bottom = bounding_box(alpha > _TRANSPARENT) or (0, 0, 0, 0)
    inset_px = max(round(_INSET * max(right - left, bottom - top)), 1)
    part = alpha[top + inset_px : max(bottom - inset_px, 0), left + inset_px : max(right - inset_px, 0)]
    if not part.size:
        return 0.0
    border = _border_of(part)
    return float(((border > _TRANSPARENT) & (border < 0.5)).mean())


def _border_of(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _align(photo: NDArray[np.uint8], colors: NDArray[np.uint8], inside: NDArray[np.bool_]) -> Alignment:
    """The best small shift, unless a large one is much better."""
    planes = gray_of(photo), gray_of(colors)
    near = align(*planes, inside)
    if near.likeness >= _LIKE_FAR:
        return near
    far = align_far(*planes, inside)
    return far if far.likeness >= _LIKE_FAR and _gain(near.likeness, far.likeness) > _FAR_GAIN else near


def _patch_difference(differences: NDArray[np.int16], inside: NDArray[np.bool_]) -> float:
    """Mean absolute difference of the garment's mean colours, in levels, over patches and channels of `(h, w, 3)`."""
    planes = np.dstack([differences * inside[..., None], inside]).astype(np.float32)
    rows, columns = map(min, _PATCHES_HW, inside.shape)  # the mean is exact only if nothing is enlarged
    patches = cv2.resize(planes, (columns, rows), interpolation=cv2.INTER_AREA)
    return float(np.abs(patches[..., :3]).sum() / (3 * patches[..., 3].sum()))


def _gain(likeness: float, better: float) -> float:
    """The factor by which the better likeness reduces the unlikeness, 1 - likeness."""
    return (1 - likeness) / (1 - better + _UNLIKE_FLOOR)


@dataclass(frozen=True)
class Examination:
    """Examines pairs. Call an instance with one candidate; safe to call from several threads."""

    folder: Path  # absolute path of the dataset's folder
    options: str  # fingerprint of the other options, recorded in each entry
    resample: bool = False  # see `check_pair`
    accept_unchanged: bool = False  # accept documents that garmentcut wrote and nobody changed
    read: ReadConfig = field(default_factory=ReadConfig)  # limits on file size, pixels and side lengths

    def __call__(self, candidate: Candidate) -> LedgerEntry:
        """Read a candidate's photo and cutout, check them and write the target; raises RunError if the disk is full."""
        entry = LedgerEntry(pair_of(candidate, self.folder), self.options, Stamp(0, 0), Stamp(0, 0))
        try:
            return self._examine(candidate, entry)
        except RunError:
            raise
        except Exception as error:  # noqa: BLE001 - a failure of one pair must not stop the others
            reason = "not enough memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
            return _with_faults(entry, (fault_of("unreadable", reason),))

    def _examine(self, candidate: Candidate, entry: LedgerEntry) -> LedgerEntry:
        assert candidate.cutout is not None
        # Taken before reading, so that a file that is replaced meanwhile counts as changed.
        stamps = [Stamp.of(path) for path in (candidate.photo or candidate.cutout, candidate.cutout)]
        cutout = (read_alpha if candidate.is_alpha else read_cutout)(candidate.cutout, self.read)
        found = self._find_photo(candidate, cutout)
        if isinstance(found, Fault):
            return _with_faults(replace(entry, photo=stamps[0], cutout=stamps[1]), (found,))
        photo, digest, content = found
        inside = content is not None
        notes = (*(f"photo: {note}" for note in photo.notes), *(f"cutout: {note}" for note in cutout.notes))
        pair = replace(entry.pair, photo_sha256=digest, cutout_sha256=sha256_of(candidate.cutout), notes=notes)
        path = "" if inside else pair.photo
        pair = replace(pair, photo=path, size_hw=photo.size_hw, source=cutout.source)
        entry = replace(entry, pair=pair, photo=stamps[int(inside)], cutout=stamps[1], inside=inside)
        return self._check(photo, cutout, entry, content, is_alpha=candidate.is_alpha)

    def _find_photo(self, candidate: Candidate, cutout: CutoutFile) -> tuple[Photo, str, bytes | None] | Fault:
        """The photo, its file's SHA-256 and, if it was inside a document, the contents of its file; or a fault."""
        reason = ""
        if candidate.inside and cutout.read_original is not None:
            try:
                photo = cutout.read_original()
            except PhotoError as error:
                reason = str(error)
            else:
                content = png_bytes(photo.rgb, profile=photo.profile, srgb=photo.profile is None)
                return photo, hashlib.sha256(content).hexdigest(), content
        if candidate.photo is not None:
            try:
                data = read_photo_bytes(candidate.photo, self.read)
                return decode_photo(data, limits=self.read), hashlib.sha256(data).hexdigest(), None
            except PhotoError as error:
                raise PhotoError(f"{candidate.photo}: {error}", code=error.code) from error
        missing = candidate.unless_inside[0]
        return fault_of(missing.code, "; ".join(filter(None, (missing.text, reason))))

    def _check(
        self, photo: Photo, cutout: CutoutFile, entry: LedgerEntry, photo_content: bytes | None, *, is_alpha: bool
    ) -> LedgerEntry:
        """Check a pair and write its files; `photo_content` is the file of a photo that was inside a document.

        A bare alpha (`is_alpha`) was painted on this very photo, so it is no fault that it has no colours to compare.
        """
        if cutout.is_unchanged and not self.accept_unchanged:
            text = f"{_UNCORRECTED}: correct it, or use --accept-unchanged if all such documents are right"
            return _with_faults(entry, (fault_of("uncorrected", text),))
        faults, alpha = check_pair(photo, cutout, resample=self.resample)
        accepted = (fault_of("accepted", _UNCORRECTED),) if cutout.is_unchanged else ()
        faults = tuple(fault for fault in faults if not (is_alpha and fault.code == "unchecked"))
        entry = _with_faults(entry, faults + accepted)
        if alpha is None:
            return entry
        if photo_content is not None:
            text = self._write(PHOTO_FOLDER, entry, photo_content)
            entry = replace(entry, pair=replace(entry.pair, photo=text), photo_bytes=len(photo_content))
        content, fingerprint = target_bytes(alpha), fingerprint_of(photo, alpha).hex()
        text = self._write(ALPHA_FOLDER, entry, content)
        pair = replace(entry.pair, alpha=text, box_xyxy=bounding_box(alpha >= 0.5) or (0, 0, 0, 0))
        return replace(entry, pair=pair, alpha_bytes=len(content), fingerprint=fingerprint)

    def _write(self, folder: str, entry: LedgerEntry, content: bytes) -> str:
        text = f"{folder}/{entry.pair.name}.png"
        with writing(self.folder / text):
            write_atomic(self.folder / text, content)
        return text


def pair_of(candidate: Candidate, folder: Path) -> Pair:
    """A candidate's row before its files are read, with the faults of its names."""
    paths = path_text(candidate.photo, folder), path_text(candidate.cutout, folder)
    unread: dict[str, Any] = dict.fromkeys(("alpha", "photo_sha256", "cutout_sha256", "split", "source", "group"), "")
    unread |= {"size_hw": (0, 0), "box_xyxy": (0, 0, 0, 0), "faults": candidate.faults}
    return Pair(candidate.name, candidate.garment, candidate.view, *paths, **unread)


def _with_faults(entry: LedgerEntry, faults: tuple[Fault, ...]) -> LedgerEntry:
    return replace(entry, pair=replace(entry.pair, faults=faults))
