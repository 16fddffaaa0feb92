"""Training windows for the segment and refine stages: each is cut out of a whole photo by one random homography.

Shift, zoom, aspect, rotation, perspective and mirroring are one resampling of the whole scaled photo, so border pixels
are repeated only where the photo itself ends. A refine window has a fourth channel, the map: the alpha that the segment
stage predicts. Colour is varied later, on the device, by `garmentcut.dataset.augment`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.dataset.frame_augment import SampleDraws, draw_homography
from garmentcut.dataset.manifest import Manifest, Pair, read_pair
from garmentcut.dataset.samples import Planes, Samples, framed
from garmentcut.errors import PhotoError
from garmentcut.photo.files import write_atomic
from garmentcut.photo.mask import thin_of
from garmentcut.photo.write import png_bytes
from garmentcut.recipe import AugmentConfig, Recipe, Strength

MAP_REDUCTION = 2  # maps are stored at the segment stage's size: half that of the frame of the refine stage
_EDGE_STEP, _WRONG_STEP = 7, 3  # every 7th edge pixel and every 3rd wrong one can be the middle of a window
_UNSURE = 25  # a map is unsure where it is more levels than this away from 0 and from 255
_CLEARLY_WRONG = 100  # a map is wrong where it misses the target by more levels of 255 than this
_SHARE_WRONG, _SHARE_THIN = 0.35, 0.2  # of the windows, on wrong pixels and on straps, if there are enough
_LEAST_PLACES = 20
_REACH_PX = 12  # how far from a map's edge refine is trained to change it: farther than it may when cutting
_THIN_PX = 11  # parts narrower than this are trained at any distance
_OFF_CENTRE = 0.2  # largest random offset from the middle, as a share of the window's sides

_Levels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Whole:
    """A scaled photo `(h, w, 3)`, its target `(h, w)`, its maps at half the size, all uint8; places for windows."""

    rgb: _Levels
    target: _Levels
    maps: tuple[_Levels, ...]
    edge_xy: NDArray[np.int32]
    wrong_xy: NDArray[np.int32]
    thin_xy: NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        pixels = sum(part.nbytes for part in (self.rgb, self.target, *self.maps))
        return pixels + self.edge_xy.nbytes + self.wrong_xy.nbytes + self.thin_xy.nbytes


class WindowSamples(Samples):
    """Windows of `data.size_hw` from photos that are scaled to `data.frame_height` rows.

    With `data.window = "garment"`, windows are centred on the garment's box. With `"edge"`, they lie on the garment's
    edge, where a map is clearly wrong, or on a strap, and have a fourth channel: a map of the photo. These maps are in
    the folder `maps`, see `map_paths`; None if there are none. With `vary`, windows are drawn at random; otherwise each
    photo always has the same window.
    """

    def __init__(
        self, manifest: Manifest, pairs: Sequence[Pair], recipe: Recipe, *, maps: Path | None, vary: bool
    ) -> None:
        super().__init__(manifest, pairs, recipe.data)
        self.recipe, self.maps, self.vary = recipe, maps, vary
        self.num_channels = 3 if maps is None else 4

    def planes(self, index: int, draw: int = 0) -> Planes:
        """The pixels of one window; another `draw` of the same photo gives another window."""
        whole: _Whole = self._cached(index)
        config = self.recipe.augment if self.vary else AugmentConfig()
        draws = SampleDraws(config, (self.recipe.training.seed, index, draw, int(self.vary)))
        pair, size_hw, rng = self.pairs[index], self.data.size_hw, draws.stream("window")
        x, y = self._centre(whole, pair, rng)
        height, width = size_hw
        warp = _shift((width - 1) / 2, (height - 1) / 2) @ draw_homography(draws, pair.view, size_hw) @ _shift(-x, -y)
        photo = _warped(whole.rgb, warp, size_hw).transpose(2, 0, 1)
        target = _warped(whole.target, warp, size_hw)
        if whole.maps:
            levels = whole.maps[int(rng.integers(len(whole.maps))) if self.vary else 0]
            seen = _warped(levels, warp @ _ENLARGED, size_hw)
            target = reachable_target(target, seen) if self.vary else target
            photo = np.concatenate([photo, corrupted(seen, rng, config.map_corruption)[None]])
        return Planes(np.ascontiguousarray(photo), np.ascontiguousarray(target)[None])

    def _centre(self, whole: _Whole, pair: Pair, rng: np.random.Generator) -> tuple[float, float]:
        if self.data.window == "garment" or not len(whole.edge_xy):
            scale = self.data.frame_height / pair.size_hw[0]
            left, top, right, bottom = (side * scale for side in pair.box_xyxy)
            return (left + right) / 2, (top + bottom) / 2
        drawn, places = rng.random(), whole.edge_xy
        if drawn < _SHARE_WRONG:
            places = whole.wrong_xy if len(whole.wrong_xy) >= _LEAST_PLACES else places
        elif drawn < _SHARE_WRONG + _SHARE_THIN:
            places = whole.thin_xy if len(whole.thin_xy) >= _LEAST_PLACES else places
        x, y = places[int(rng.integers(len(places)))]
        height, width = self.data.size_hw
        return x + rng.uniform(-_OFF_CENTRE, _OFF_CENTRE) * width, y + rng.uniform(-_OFF_CENTRE, _OFF_CENTRE) * height

    def _read(self, pair: Pair) -> _Whole:
        photo, alpha = read_pair(self.manifest, pair)
        rgb, target = framed(photo, alpha, self.data.frame_height)
        if self.maps is None:
            nowhere = np.zeros((0, 2), np.int32)
            return _Whole(rgb, target, (), nowhere, nowhere, nowhere)
        height, width = target.shape
        maps = tuple(read_map(path, (height, width)) for path in map_paths(self.maps, pair.name))
        band = cv2.morphologyEx(target, cv2.MORPH_GRADIENT, _square(4)) > 20
        large = cv2.resize(maps[0], (width, height), interpolation=cv2.INTER_LINEAR)
        # A map that is unsure far from any edge counts as wrong: refine must learn to keep strong prints whole.
        unsure = (large > _UNSURE) & (large < 255 - _UNSURE) & (cv2.dilate(band.view(np.uint8), _square(12)) == 0)
        wrong = (cv2.absdiff(large, target) > _CLEARLY_WRONG) | unsure
        straps = thin_of(target >= 128)
        places = (_some_of(band, _EDGE_STEP), _some_of(wrong, _WRONG_STEP), _some_of(straps, _WRONG_STEP))
        return _Whole(rgb, target, maps, *places)


def reachable_target(target: _Levels, seen: _Levels) -> _Levels:
    """The target for the refine stage, `(H, W)` uint8: as the map `seen` where a small window cannot tell better.

    Errors of the map far from its own edge are kept: a network that learns to overrule the map there, from a few
    hundred pixels, also does so on new photos where the map is right. Straps and other thin parts stay in the target.
    """
    garment, inside = (np.asarray(levels >= 128, np.uint8) for levels in (target, seen))
    thin = garment - cv2.morphologyEx(garment, cv2.MORPH_OPEN, _square(_THIN_PX // 2))
    far = cv2.dilate(inside, _square(_REACH_PX)) == cv2.erode(inside, _square(_REACH_PX))
    return np.where((garment != inside) & far & (cv2.dilate(thin, _square(2)) == 0), seen, target)


def corrupted(levels: _Levels, rng: np.random.Generator, strength: Strength) -> _Levels:
    """A map with random errors, like those that maps have on photos of another studio.

    Of the maps that are changed, half are eroded, dilated or only blurred, a third lose their thin parts, and a quarter
    get a hole or a false positive. `strength` is how often a map is changed, and the largest kernel in pixels.
    """
    if rng.random() >= strength.p or strength.amount < 3:
        return levels
    changed, most = levels, int(strength.amount) // 2
    if rng.random() < 0.5:
        kernel = _square(int(rng.integers(1, max(most // 2, 1) + 1)))
        change = int(rng.integers(3))
        if change < 2:
            changed = _levels((cv2.erode, cv2.dilate)[change](changed, kernel))
        changed = _levels(cv2.GaussianBlur(changed, (0, 0), rng.uniform(1, 5)))
    if rng.random() < 1 / 3:
        kernel = _square(int(rng.integers(min(3, most), most + 1)))
        changed = _levels(cv2.GaussianBlur(cv2.morphologyEx(changed, cv2.MORPH_OPEN, kernel), (0, 0), 2))
    if rng.random() < 0.25:
        height, width = levels.shape
        blob = np.zeros_like(levels)
        centre = int(rng.integers(width)), int(rng.integers(height))
        axes = int(rng.integers(3, most * 3 + 4)), int(rng.integers(3, most * 3 + 4))
        cv2.ellipse(blob, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1)
        blob = _levels(cv2.GaussianBlur(blob, (0, 0), 3))
        changed = np.maximum(changed, blob) if rng.random() < 0.5 else np.minimum(changed, 255 - blob)
    return changed


def _levels(picture: Any) -> _Levels:
    return np.asarray(picture, np.uint8)


def _square(reach: int) -> _Levels:
    return np.ones((2 * reach + 1,) * 2, np.uint8)


def map_paths(folder: Path, name: str) -> tuple[Path, Path]:
    """Paths of a pair's two maps: one as when cutting, one from the mirrored photo at another scale."""
    return folder / f"{name}.png", folder / f"{name}.mirrored.png"


def write_map(path: Path, alpha: NDArray[np.float32]) -> None:
    """Store a map of a whole photo, `(h, w)` float32 in [0, 1], as 8-bit PNG."""
    write_atomic(path, png_bytes(np.rint(alpha * 255).astype(np.uint8)))


def read_map(path: Path, frame_hw: tuple[int, int]) -> _Levels:
    """Read the map of a photo that is scaled to `frame_hw`: uint8, half that size.

    Raises:
        PhotoError: the file is missing or damaged; the message names it.
    """
    try:
        levels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error) as error:
        raise PhotoError(f"{path}: {error}; delete the run's maps, and train again") from error
    if levels is None:
        raise PhotoError(f"{path}: damaged; delete the run's maps, and train again")
    half_hw = -(-frame_hw[0] // MAP_REDUCTION), -(-frame_hw[1] // MAP_REDUCTION)
    return _levels(cv2.resize(levels, half_hw[::-1], interpolation=cv2.INTER_LINEAR))


# From coordinates in a map to coordinates in the photo; the centres of pixels are whole numbers in both.
_CENTRE = (MAP_REDUCTION - 1) / 2
_ENLARGED = np.array([[MAP_REDUCTION, 0, _CENTRE], [0, MAP_REDUCTION, _CENTRE], [0, 0, 1]])


def _some_of(mask: NDArray[np.bool_], step: int) -> NDArray[np.int32]:
    """Every `step`-th place where a mask is true, `(N, 2)`, x before y."""
    return np.argwhere(mask)[::step, ::-1].astype(np.int32)


def _warped(levels: _Levels, warp: NDArray[np.float64], size_hw: tuple[int, int]) -> _Levels:
    enlarges = abs(np.linalg.det(warp[:2, :2])) > 1
    flags = cv2.INTER_CUBIC if enlarges and levels.ndim == 3 else cv2.INTER_LINEAR
    return _levels(cv2.warpPerspective(levels, warp, size_hw[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _shift(x: float, y: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])
