"""`Photo` and `Cutout`, their metadata, and conversions of pixels to other depths, orientations and sizes."""

import functools
import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.config import ReadConfig, load_config
from garmentcut.errors import ConfigError, PhotoError
from garmentcut.photo.files import write_atomic
from garmentcut.photo.mask import HALF_LEVEL, Box, Sample, bounding_box, dilate, erode, garment_box

Pixels = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16, full range."""

_BAND_ROWS = 64
# Bytes of memory for each pixel, beside the decoded ones; measured by cutting photos of 16 megapixels.
_WORK_BYTES, _DEEP_WORK_BYTES = 34, 46
_PHOTO_SHARE, _NO_LIMIT = 0.7, 1 << 62
# Contrast within 3 pixels over contrast within 5: 1 at a hard edge, 1/2 on an even ramp.
_SOFT_RATIO, _HARD_RATIO = 0.8, 0.95
_REACH_PX = 4  # pixels of the small alpha around a tile, for a window of 5 and interpolation
_TILE_PX = 192  # pixels of the large alpha; most tiles have no edge in them and cost nothing


@dataclass(frozen=True)
class Metadata:
    """Metadata carried from a photo to its output files; None: the photo has none."""

    profile: bytes | None = None  # ICC profile of an RGB colour space; None: sRGB
    dpi: tuple[float, float] | None = None  # horizontal and vertical pixels per inch
    exif: bytes | None = None  # TIFF-structured (without the `Exif` marker), orientation 1
    xmp: bytes | None = None  # a UTF-8 packet, orientation 1
    iptc: bytes | None = None  # records of IPTC's Information Interchange Model


NO_METADATA = Metadata()


@dataclass(frozen=True, eq=False)
class Photo:
    """One studio photo.

    Attributes:
        rgb: `(H, W, 3)`, uint8 or uint16 (full range), upright, in the colour space of `profile`.
        notes: what the reader had to change, in words.
        profile, dpi, exif, xmp, iptc: as in `Metadata`.
    """

    rgb: Pixels
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()
    xmp: bytes | None = None
    iptc: bytes | None = None

    def __repr__(self) -> str:
        return f"<Photo {self.size_hw[1]}x{self.size_hw[0]} {self.rgb.dtype}>"

    def __post_init__(self) -> None:
        _check_rgb(self.rgb)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def metadata(self) -> Metadata:
        """All metadata that is carried with the pixels."""
        return Metadata(self.profile, self.dpi, self.exif, self.xmp, self.iptc)


@dataclass(frozen=True, eq=False)
class Cutout:
    """A garment cut out of a photo.

    Attributes:
        rgb: `(H, W, 3)` uint8 or uint16, upright, in the colour space of `profile`.
        alpha: `(H, W)` float32 in [0, 1], the garment's coverage of each pixel.
        profile, dpi, exif, xmp, iptc: as in `Metadata`.
        is_clean: edge colours are the garment's own and hidden pixels are black; it must not be cleaned again.
        is_whole: it has the photo's own frame: neither trimmed nor laid on another canvas.
        doubt: 1 - expected surface Dice at 2 px, in [0, 1]; None: it was not judged, or the model cannot tell.
        reasons: why it is doubtful, in words.
        flags: codes of the reasons, keys of `garmentcut.errors.FLAGS`: `foreign` first, if the photo looks unlike the
            studio that the model was trained on.
    """

    rgb: Pixels
    alpha: NDArray[np.float32]
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    is_clean: bool = False
    is_whole: bool = True
    iptc: bytes | None = None
    doubt: float | None = None
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def __repr__(self) -> str:
        height, width = self.alpha.shape
        doubt = "" if self.doubt is None else f", doubt {self.doubt:.3f}"
        return f"<Cutout {width}x{height} {self.rgb.dtype}, garment at {self.garment_box_xyxy}{doubt}>"

    def __post_init__(self) -> None:
        _check_rgb(self.rgb)
        if self.alpha.dtype != np.float32 or self.alpha.shape != self.rgb.shape[:2]:
            raise ValueError(f"alpha must be float32 {self.rgb.shape[:2]}, not {self.alpha.dtype} {self.alpha.shape}")
        if not 0 <= self.alpha.min() <= self.alpha.max() <= 1:  # also refuses NaN
            raise ValueError(f"alpha must be in [0, 1], not in [{self.alpha.min()}, {self.alpha.max()}]")

    @classmethod
    def of(cls, photo: Photo, alpha: NDArray[np.float32]) -> "Cutout":
        """Combine a photo and its alpha; the photo's metadata is kept."""
        return cls(photo.rgb, alpha, photo.profile, photo.dpi, photo.exif, photo.xmp, iptc=photo.iptc)

    @property
    def metadata(self) -> Metadata:
        """All metadata that is carried with the pixels."""
        return Metadata(self.profile, self.dpi, self.exif, self.xmp, self.iptc)

    @property
    def box_xyxy(self) -> Box | None:
        """The box of what is visible at 8 bits: left, top, right, bottom, right and bottom exclusive; None: nothing."""
        return bounding_box(self.alpha > HALF_LEVEL)

    @cached_property
    def garment_box_xyxy(self) -> Box | None:
        """The same without specks: the box by which a garment is sized, placed and trimmed."""
        return garment_box(self.alpha)

    def rounded_alpha(self, *, out: Pixels | None = None) -> Pixels:
        """Alpha as full-range integers at the photo's depth, `(H, W)`, written into `out` if it is given."""
        rounded: Pixels = np.empty(self.alpha.shape, self.rgb.dtype) if out is None else out
        top = np.float32(np.iinfo(rounded.dtype).max)
        for start in range(0, len(rounded), _BAND_ROWS):  # in bands: the floats take four times the memory
            rounded[start : start + _BAND_ROWS] = np.rint(self.alpha[start : start + _BAND_ROWS] * top)
        return rounded

    def rgba(self, *, clean: bool = True) -> Pixels:
        """`(H, W, 4)` of the photo's depth, straight (not premultiplied) alpha.

        With `clean` the background's colour is removed from edge pixels and hidden ones are black, as in a file;
        without it these are the photo's own pixels, unchanged.
        """
        rgb = self.cleaned.rgb if clean else self.rgb
        rgba = np.empty((*self.alpha.shape, 4), rgb.dtype)
        for channel in range(3):  # four times as fast as all at once: numpy is slow on axes of three
            rgba[..., channel] = rgb[..., channel]
        self.rounded_alpha(out=rgba[..., 3])
        return rgba

    def to_pil(self) -> Image.Image:
        """A PIL image, RGBA, 8 bits, cleaned, with the photo's colour profile and resolution."""
        image = Image.fromarray(to_8_bit(self.rgba()))
        image.info |= {"icc_profile": self.profile} if self.profile else {}
        image.info |= {"dpi": self.dpi} if self.dpi else {}
        return image

    @cached_property
    def cleaned(self) -> "Cutout":
        """This cutout without the background's colour in edge pixels, and with black hidden pixels; computed once."""
        from garmentcut.photo.compose import clean

        return clean(self)

    def trimmed(self, margin_px: int = 0) -> "Cutout":
        """Crop to the garment, with a margin; beyond the photo the margin is transparent black.

        Raises:
            ValueError: everything is transparent, or `margin_px` is negative.
        """
        from garmentcut.photo.compose import trim

        return trim(self, margin_px)

    def over(self, color: str | None) -> Pixels:
        """The cutout on a plain background, `(H, W, 3)` of the photo's depth.

        `color` is `#rrggbb` in sRGB, or a colour's name in CSS, converted to the photo's profile; None: its white.

        Raises:
            garmentcut.errors.ConfigError: there is no such colour.
            PhotoError: the colour cannot be converted to the profile.
        """
        from garmentcut.photo.compose import lay_over

        return lay_over(self, load_config(overrides={"output.background": color}).output.background)

    def save(self, file: str | os.PathLike[str], /, *, format: str | None = None, **output: Any) -> None:
        """Write the cutout to a file, completely or not at all.

        `format` is `png`, `mask`, `webp`, `tiff`, `psd` or `jpeg`; if None, the file's suffix gives it: `.png`,
        `.webp`, `.tif`, `.psd`, `.jpg`. A PSD's layer is named after the file. `output` are other fields of
        `garmentcut.config.OutputConfig`: `background`, `trim`, `margin_px`, `hidden`, `path`, `quality`.

        Raises:
            garmentcut.errors.ConfigError: an unknown format or field, or ones that contradict each other or the suffix.
            garmentcut.errors.OutputError: the format cannot hold it, or there is nothing to trim to.
            OSError: the file cannot be written; nothing is left half written.
        """
        from garmentcut.photo.write import format_for

        path = Path(file)
        write_atomic(path, self._encoded(format_for(path, format), output, name=path.stem))

    def to_bytes(self, format: str = "png", **output: Any) -> bytes:
        """The content of a file, encoded; `format`, other fields and errors as for `save`."""
        return self._encoded(format, output)

    def _encoded(self, format: str, output: dict[str, Any], *, name: str = "") -> bytes:
        from garmentcut.photo.compose import Preparation
        from garmentcut.photo.write import encode_prepared

        for key, fix in (("formats", "has one format: use format"), ("each", "holds one cutout: cut a folder")):
            if output.get(key, False) is not False:
                raise ConfigError(f"one file {fix}, not {key}")
        settings = {f"output.{key}": value for key, value in output.items()}
        config = load_config(overrides={"output.formats": (format,), **settings})
        if output.get("quality") is not None and not {"jpeg", "webp"}.intersection(config.output.formats):
            raise ConfigError(f"quality is for jpeg and webp, not {config.output.formats[0]}: leave it out")
        return encode_prepared(Preparation(self, config.output, name=name), config.output.formats[0])


def _check_rgb(rgb: Pixels) -> None:
    if not isinstance(rgb, np.ndarray):
        raise TypeError(f"rgb must be an array, not {type(rgb).__name__}; read_photo makes a Photo of a file")
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype not in (np.uint8, np.uint16) or not rgb.size:
        swapped = "" if rgb.dtype.isnative else "; make it native by rgb.astype(np.uint16)"
        raise ValueError(f"rgb must be (H, W, 3) uint8 or uint16, not {rgb.shape} {rgb.dtype}{swapped}")


def to_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Round full-range uint16 to uint8; uint8 passes through uncopied. Any shape."""
    if pixels.dtype == np.uint8:
        return pixels.view(np.uint8)
    flat: Any = np.ascontiguousarray(pixels, np.uint16).reshape(1, -1)
    # Exact for all 65536 values.
    return np.asarray(cv2.convertScaleAbs(flat, alpha=1 / 257), np.uint8).reshape(pixels.shape)


def to_alpha(plane: Pixels) -> NDArray[np.float32]:
    """Full-range integers to float32 in [0, 1]. Any shape."""
    alpha: NDArray[np.float32] = np.divide(plane, np.iinfo(plane.dtype).max, dtype=np.float32)
    return alpha


def turn_upright(pixels: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """Turn `(H, W)` or `(H, W, C)` upright, as a view; an `orientation` (TIFF 6.0, tag 274) out of range means 1."""
    turned = pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else pixels
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return turned[::-1] if orientation in (3, 4, 7, 8) else turned


def resize_rgb(rgb: NDArray[np.uint8], size_hw: tuple[int, int], *, reducing_gap: float = 3.0) -> NDArray[np.uint8]:
    """Resize `(H, W, 3)` with an antialiased cubic filter.

    If it shrinks by more than twice `reducing_gap`, it is first reduced by a whole factor, by averaging. This is
    several times as fast and, from a gap of 3, looks the same (Pillow's documentation).
    """
    if rgb.shape[:2] == size_hw:
        return rgb
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return np.array(image.resize(size_hw[::-1], Image.Resampling.BICUBIC, reducing_gap=reducing_gap))


def resize_alpha(alpha: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Resize an alpha `(H, W)`; when enlarged, hard edges stay one pixel wide, soft and sheer parts stay soft.

    A cubic filter alone widens an edge by the factor of the enlargement. So the edge is steepened by that factor about
    the middle of the levels on its two sides, and clipped to them: a sheer garment gets a crisp edge too, and its
    plateau of 0.4 stays 0.4. Ramps that already spread over several pixels of the small alpha are not steepened.
    """
    if alpha.shape == size_hw:
        return alpha
    steps = size_hw[0] / alpha.shape[0], size_hw[1] / alpha.shape[1]
    if max(steps) <= 1:
        small = Image.fromarray(np.ascontiguousarray(alpha)).resize(size_hw[::-1], Image.Resampling.BOX)
        return np.asarray(small, np.float32).clip(0, 1)
    large = np.empty(size_hw, np.float32)
    for start_y, start_x in itertools.product(range(0, size_hw[0], _TILE_PX), range(0, size_hw[1], _TILE_PX)):
        tile = large[start_y : start_y + _TILE_PX, start_x : start_x + _TILE_PX]
        top, left = max(int(start_y / steps[0]) - _REACH_PX, 0), max(int(start_x / steps[1]) - _REACH_PX, 0)
        bottom, right = (start_y + tile.shape[0]) / steps[0], (start_x + tile.shape[1]) / steps[1]
        part = alpha[top : int(bottom) + 1 + _REACH_PX, left : int(right) + 1 + _REACH_PX]
        if part.min() == part.max():
            tile[:] = part[0, 0]
            continue
        box = start_x / steps[1] - left, start_y / steps[0] - top, right - left, bottom - top
        inside = np.minimum(box, 2 * part.shape[::-1])  # a quotient may be rounded to just outside the small picture
        tile[:] = _enlarge(part, inside, (tile.shape[0], tile.shape[1]), max(steps))
    return large


def _enlarge(
    alpha: NDArray[np.float32], box_xyxy: NDArray[np.float64], size_hw: tuple[int, int], scale: float
) -> NDArray[np.float32]:
    """Resize a box of `alpha`, given in fractions of pixels, and steepen its hard edges by `scale`."""

    def resample(values: NDArray[np.float32], resampling: Image.Resampling) -> NDArray[np.float32]:
        image = Image.fromarray(np.ascontiguousarray(values))
        return np.array(image.resize(size_hw[::-1], resampling, box=tuple(box_xyxy)), np.float32)

    near_low, near_high = erode(alpha), dilate(alpha)  # within 3 pixels, then within 5
    low, high = erode(near_low), dilate(near_high)
    ratio = dilate(near_high - near_low) / np.maximum(high - low, np.float32(1e-6))
    hardness = ((ratio - _SOFT_RATIO) / (_HARD_RATIO - _SOFT_RATIO)).clip(0, 1)
    low, high, hardness = (resample(values, Image.Resampling.BILINEAR) for values in (low, high, hardness))
    middle = (low + high) / 2
    soft = resample(alpha, Image.Resampling.BICUBIC) - middle
    return (soft * (1 + hardness * np.float32(scale - 1)) + middle).clip(low, high)


def check_size(
    width_px: int, height_px: int, limits: ReadConfig, *, channels: int = 3, bits: int = 8, num_bytes: int = 0
) -> None:
    """Refuse a picture that is too large by what its header declares, before anything is decoded.

    `channels` and `bits` (per channel) are those of the decoded pixels. `num_bytes` is the file's size, also in memory.

    Raises:
        PhotoError: a side or the number of pixels is zero or over the limit, or it would take too much memory.
    """
    if width_px <= 0 or height_px <= 0:
        raise PhotoError(f"its header says {width_px}x{height_px} pixels; export it again", code="damaged")
    size = f"{width_px}x{height_px} pixels"
    if max(width_px, height_px) > limits.max_side_px:
        fault = f"a side is over read.max_side_px = {limits.max_side_px}"
        raise PhotoError(f"{size}: {fault}; raise the limit if intended", code="too_large")
    if width_px * height_px > limits.max_megapixels * 1e6:
        fault = f"over read.max_megapixels = {limits.max_megapixels:g}"
        raise PhotoError(f"{size}: {fault}; raise the limit if intended", code="too_large")
    work_bytes = _DEEP_WORK_BYTES if bits > 8 else _WORK_BYTES
    needed = num_bytes + width_px * height_px * (channels * -(-bits // 8) + work_bytes)  # with a tenth to spare
    if needed > (limit := memory_limit(limits)):
        fault = f"take about {needed / 1e9:.1f} GB of memory, and one photo may take {limit / 1e9:.1f}"
        fix = "make it smaller, or give it more memory (read.max_memory_mb)"
        raise PhotoError(f"{size} of {channels} channels and {bits} bits {fault}; {fix}", code="no_memory")


def memory_limit(limits: ReadConfig) -> int:
    """Bytes of memory that one photo may take: the setting, else 70 % of what this process may take."""
    return limits.max_memory_mb * 1_000_000 if limits.max_memory_mb else int(_PHOTO_SHARE * _process_memory())


@functools.lru_cache(maxsize=1)
def _process_memory() -> int:
    """The machine's memory in bytes, or the limit of its container or service if that is lower."""
    found = [_NO_LIMIT]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ImportError):  # Windows
        import resource

        found += [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit != resource.RLIM_INFINITY]
    return min(found + list(_cgroup_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))))


def _cgroup_limits(membership: Path, root: Path) -> Iterator[int]:
    """Memory limits, in bytes, of this process's control group and its parents, of version 1 and 2."""
    try:
        lines = membership.read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, place = line.split(":", 2) if line.count(":") >= 2 else ("", "none", "")
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        names = ("memory.limit_in_bytes",) if controllers else ("memory.max", "memory.high")
        inner = PurePosixPath(place.lstrip("/"))
        for folder in (inner, *inner.parents):
            for name in names:
                try:
                    text = (top / folder / name).read_text().strip()
                except (OSError, ValueError):
                    continue
                if text.isdigit():
                    yield int(text)
