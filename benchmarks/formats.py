"""The cost of each output format, and the accuracy of clipping paths.

    python benchmarks/formats.py            (formats at 2 and 24 megapixels, 8 and 16 bits)
    python benchmarks/formats.py psd        (one format of them)
    python benchmarks/formats.py CUTOUTS    (a folder of RGBA cutouts: their paths)
    python benchmarks/formats.py ORIGINALS CUTOUTS  (PSDs of them, corrected and read back, 8 and 16 bits)

Milliseconds are medians of processor time with the photo and its alpha in memory; peak memory is that of a whole
process that holds them and writes one file. Overlap (IoU) is that of the alpha and the rasterised path. Edges are soft
and paths are not, so that no path reaches 1: the overlap of the exact outline at alpha 0.5 is printed next to it.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut import Cutter, Photo, read_photo
from garmentcut.config import Format, OutputConfig
from garmentcut.naming import FORMATS
from garmentcut.photo.compose import Preparation
from garmentcut.photo.path import PenPath, draw_coverage, draw_path
from garmentcut.photo.photo import Cutout
from garmentcut.photo.psd_format import PsdLayer, psd_bytes, resource_span
from garmentcut.photo.read import PHOTO_SUFFIXES
from garmentcut.photo.trace import path_tolerance_px, trace_contours, trace_outline
from garmentcut.photo.truth import CutoutFile, read_cutout
from garmentcut.photo.write import encode_prepared
from processes import own_peak_bytes

_SIZES_HW = {"2 MP": (1728, 1152), "24 MP": (6000, 4000)}
_T = TypeVar("_T")
_EXAMPLE = Path(__file__).parents[1] / "examples" / "photos"


def enlarged(cutout: Cutout, size_hw: tuple[int, int], *, num_bits: int) -> Cutout:
    """An 8-bit cutout at another size and depth, with an edge as sharp as before."""
    height, width = size_hw
    rgb = np.asarray(Image.fromarray(cutout.rgb).resize((width, height), Image.Resampling.BICUBIC))
    alpha = np.asarray(Image.fromarray(cutout.alpha).resize((width, height), Image.Resampling.BICUBIC))
    steep = (alpha - np.float32(0.5)) * np.float32(height / cutout.alpha.shape[0]) + np.float32(0.5)
    deep = rgb if num_bits == 8 else rgb.astype(np.uint16) * 257
    return Cutout(deep, steep.clip(0, 1), dpi=(300, 300))


def cost(step: Callable[[], _T], rounds: int = 5) -> tuple[_T, float]:
    """A step's result and its median milliseconds of processor time; the first run loads what it needs."""
    result, times = step(), []
    for _ in range(rounds):
        start = time.process_time()
        result = step()
        times.append((time.process_time() - start) * 1000)
    return result, median(times)


def report_formats(formats: tuple[Format, ...] = tuple(FORMATS)) -> None:
    """Time and size of formats, peak memory at 24 megapixels; time of paths."""
    example = Cutter.load()(read_photo(sorted(_EXAMPLE.glob("*.jpg"))[0]))
    for name, size_hw in _SIZES_HW.items():
        for num_bits in (8, 16):
            cutout = enlarged(example, size_hw, num_bits=num_bits)
            for format in formats:
                content, milliseconds = cost(partial(encode_afresh, cutout, format))
                peak = f", peak {_peak_megabytes(cutout, format):.0f} MB" if name == "24 MP" else ""
                print(f"{name} {num_bits:2} bit {format:5} {milliseconds:6.0f} ms {len(content) / 1e6:7.2f} MB{peak}")
        for kind in ("editable", "exact"):
            print(f"{name} path {kind}: {cost(partial(trace, cutout, kind))[1]:.0f} ms")


def encode_afresh(cutout: Cutout, format: Format) -> bytes:
    """Encode a new copy, as a cutout cleans its edge only once; without the path, which is measured separately."""
    return encode_prepared(Preparation(replace(cutout), OutputConfig(formats=(format,), path="none")), format)


def trace(cutout: Cutout, kind: str) -> PenPath:
    """A cutout's clipping path."""
    return trace_outline(cutout.alpha, tolerance_px=path_tolerance_px(kind, cutout.alpha.shape[0]))


def report_paths(folder: Path) -> None:
    """Overlap, knots and time of the paths of a folder's cutouts."""
    for kind in ("editable", "exact"):
        rows = np.array([_follow(file, kind) for file in sorted(folder.glob("*.png"))])
        overlaps, lines, nearness, knots, times = rows.T
        print(
            f"{kind}: {len(rows)} cutouts, IoU of path and alpha {_spread(overlaps)}; "
            f"of the line at alpha 0.5 and alpha {_spread(lines)}; of path and line {_spread(nearness)}; "
            f"knots median {median(knots):.0f}, most {max(knots):.0f}; {median(times):.0f} ms, most {max(times):.0f}"
        )


def _follow(file: Path, kind: str) -> tuple[float, ...]:
    """Overlaps of path and alpha, of outline and alpha, of path and outline; knots; milliseconds."""
    with Image.open(file) as image:
        rgba = np.asarray(image.convert("RGBA"))
    cutout = Cutout(rgba[..., :3], rgba[..., 3].astype(np.float32) / np.float32(255))
    path, milliseconds = cost(partial(trace, cutout, kind), rounds=1)
    lines = [line.view(np.float64).reshape(-1, 2) for line in trace_contours(cutout.alpha)]
    drawn, line = draw_path(path, cutout.alpha.shape), draw_coverage(lines, cutout.alpha.shape)
    overlaps = (_overlap(drawn, cutout.alpha), _overlap(line, cutout.alpha), _overlap(drawn, line))
    return *overlaps, sum(len(outline.knots) for outline in path.subpaths), milliseconds


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


def _spread(overlaps: NDArray[np.float64]) -> str:
    return f"mean {overlaps.mean():.5f}, least {overlaps.min():.5f}, >= 0.998: {(overlaps >= 0.998).sum()}"


def report_round_trips(originals: Path, cutouts: Path) -> None:
    """Write, paint and read back PSDs; print the differences and the times."""
    photos = {path.stem: path for path in originals.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES}
    files = [file for file in sorted(cutouts.glob("*.png")) if file.stem in photos]
    for num_bits in (8, 16):
        trips = [_round_trip(read_photo(photos[file.stem]), read_cutout(file).alpha, num_bits) for file in files]
        photo_levels, mask_levels, unchanged, writing, reading = zip(*trips, strict=True)
        print(
            f"{num_bits} bit: {len(trips)} PSDs; photos differ by at most {max(photo_levels)} levels, painted masks by "
            f"{max(mask_levels)}; untouched ones known {sum(unchanged)}; "
            f"written in {median(writing):.0f} ms, most {max(writing):.0f}, with path; read in {median(reading):.0f} ms"
        )


def _round_trip(photo: Photo, alpha: NDArray[np.float32], num_bits: int) -> tuple[int, int, bool, float, float]:
    """Level differences of photo and painted mask, whether an unchanged PSD is recognised, and milliseconds."""
    rgb = photo.rgb if num_bits == 8 else photo.rgb.astype(np.uint16) * 257
    cutout, output = Cutout(rgb, alpha, photo.profile), OutputConfig(formats=("psd",))
    content, writing = cost(lambda: encode_prepared(Preparation(replace(cutout), output), "psd"), rounds=1)
    stroke = alpha.copy()
    stroke[600:700, 300:500] = np.linspace(0, 1, 200, dtype=np.float32)
    mask = replace(cutout, alpha=stroke).rounded_alpha()
    planes = [*np.moveaxis(rgb, -1, 0), cutout.rounded_alpha()]  # the saved channel is unchanged
    painted = psd_bytes([PsdLayer("Retouched", rgb, mask)], planes, [])
    with tempfile.NamedTemporaryFile(suffix=".psd") as file:
        Path(file.name).write_bytes(content)
        is_unchanged = read_cutout(file.name).is_unchanged
        Path(file.name).write_bytes(_with_mark_of(content, painted))
        found, reading = cost(lambda: _read_back(file.name), rounds=1)
    original, read = found
    top = np.iinfo(rgb.dtype).max
    masks = [np.rint(levels.astype(np.float64) * top).astype(int) for levels in (read.alpha, stroke)]
    assert not read.is_unchanged
    photos = int(np.abs(original.rgb.astype(int) - rgb).max())
    return photos, int(np.abs(masks[0] - masks[1]).max()), is_unchanged, writing, reading


def _read_back(name: str) -> tuple[Photo, CutoutFile]:
    cutout = read_cutout(name)
    assert cutout.read_original is not None
    return cutout.read_original(), cutout


def _with_mark_of(written: bytes, painted: bytes) -> bytes:
    """A painted document with the image resources of the one that was written, as Photoshop saves it."""
    (start, end), (other_start, other_end) = resource_span(painted), resource_span(written)
    return painted[:start] + written[other_start:other_end] + painted[end:]


def _peak_megabytes(cutout: Cutout, format: Format) -> float:
    """Peak memory of a process that reads a cutout from raw arrays on disk and encodes it."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/rgb.npy", cutout.rgb)
        np.save(f"{folder}/alpha.npy", cutout.alpha)
        done = subprocess.run([sys.executable, __file__, folder, format], capture_output=True, check=True, text=True)
    return float(done.stdout)


def _report_own_peak(folder: str, format: Format) -> None:
    cutout = Cutout(np.load(f"{folder}/rgb.npy"), np.load(f"{folder}/alpha.npy"), dpi=(300, 300))
    encode_prepared(Preparation(cutout, OutputConfig(formats=(format,))), format)
    print(own_peak_bytes() / 1e6)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, format] if format in FORMATS:
            _report_own_peak(folder, format)
        case [originals, cutouts]:
            report_round_trips(Path(originals), Path(cutouts))
        case [format] if format in FORMATS:
            report_formats((format,))
        case [folder]:
            report_paths(Path(folder))
        case _:
            report_formats()
