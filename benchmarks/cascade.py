"""Locate, then cut, against one look at the whole photo.

    python benchmarks/cascade.py compare TARGETS SINGLE CASCADE [PAGE.jpg PHOTOS]
    python benchmarks/cascade.py speed PHOTOS [MODEL]
    python benchmarks/cascade.py camera PHOTO [MODEL]

compare: folders of pictures with the same stems; the alpha of an RGBA file counts, a gray file is one. Prints Dice
(`alpha >= 128`) and surface Dice at 2 px of both by view, on how many photos the cascade is better and on how many
worse, and draws a page of the ten largest differences in both directions.
speed: MODEL is a cascade; its second network by itself at the whole photo, and the cascade at each effort, in turn,
after one turn that is not counted; wall and processor seconds a photo, from the file's bytes to those of an RGBA PNG.
camera: PHOTO enlarged to 24 megapixels, upright and lying, a process each: seconds, cold and warm, and peak memory.
"""

import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.config import CutConfig, OutputConfig, RuntimeConfig
from garmentcut.evaluation.metrics import compare_outlines, dice, surface_dice
from garmentcut.photo.read import decode_photo
from garmentcut.photo.write import encode_cutout
from garmentcut.prediction.cutter import Cutter
from processes import own_peak_bytes

_BETTER = 0.0005  # of Dice: less is no difference to anybody
_WORST = 10
_CAMERA = ((6000, 4000), (4000, 6000))


def alpha_of(path: Path) -> NDArray[np.uint8]:
    """The alpha of an RGBA file, or a gray file, uint8 (H, W)."""
    with Image.open(path) as image:
        return np.asarray(image.getchannel("A") if image.mode in ("RGBA", "LA") else image.convert("L"))


def score(alpha: NDArray[np.uint8], target: NDArray[np.uint8]) -> tuple[float, float]:
    """Dice and surface Dice at 2 px, `alpha >= 128`."""
    ours, theirs = alpha >= 128, target >= 128
    return dice(ours, theirs), surface_dice(compare_outlines(ours, theirs), 2)


def compare(targets: Path, single: Path, cascade: Path, page: Path | None = None, photos: Path | None = None) -> None:
    """Print the table; draw the page."""
    rows: dict[str, list[tuple[str, tuple[float, float], tuple[float, float]]]] = defaultdict(list)
    for path in sorted(cascade.glob("*.png")):
        if not ((targets / path.name).exists() and (single / path.name).exists()):
            continue
        target = alpha_of(targets / path.name)
        row = path.stem, score(alpha_of(single / path.name), target), score(alpha_of(path), target)
        view = path.stem.rpartition("_")[2] if "_" in path.stem else ""
        for group in ("all", view) if view else ("all",):
            rows[group].append(row)
    if not rows:
        sys.exit(f"no picture of {cascade} has its like in {targets} and {single}")
    for group, of_group in rows.items():
        _print_group(group, of_group)
    if page is not None and photos is not None:
        _draw_page(sorted(rows["all"], key=lambda row: row[2][0] - row[1][0]), targets, cascade, page, photos)


def _print_group(group: str, rows: list[tuple[str, tuple[float, float], tuple[float, float]]]) -> None:
    one, two = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    gain = two[:, 0] - one[:, 0]
    print(f"{group}: {len(rows)} photos")
    for name, values in (("one look", one), ("cascade", two)):
        print(
            f"  {name:9} Dice mean {values[:, 0].mean():.4f} median {np.median(values[:, 0]):.4f}"
            f" worst {values[:, 0].min():.4f}  surface Dice 2 px mean {values[:, 1].mean():.4f}"
        )
    print(f"  by more than {_BETTER}: better on {(gain > _BETTER).sum()}, worse on {(gain < -_BETTER).sum()}")
    print(f"  largest loss {gain.min():.4f} ({rows[int(gain.argmin())][0][:13]}), largest gain {gain.max():.4f}")


def _draw_page(rows: list[tuple[str, tuple[float, float], tuple[float, float]]], *folders: Path) -> None:
    from garmentcut.training.validation import SheetRow, sheet_bytes

    targets, cascade, page, photos = folders
    rows_shown = []
    for name, _, (reached, _) in [*rows[:_WORST], *rows[::-1][:_WORST]]:
        [photo] = [path for path in photos.iterdir() if path.stem == name]
        with Image.open(photo) as image:
            rgb = np.asarray(image.convert("RGB"))
        target, ours = (
            np.divide(alpha_of(folder / f"{name}.png"), 255, dtype=np.float32) for folder in (targets, cascade)
        )
        rows_shown.append(SheetRow(name, rgb, target, ours, reached))
    page.write_bytes(sheet_bytes(rows_shown, "ten largest losses, then ten largest gains: cascade against one look"))


def speed(photos: Path, model: Path | None = None) -> None:
    """Print seconds a photo."""
    cascade = Cutter.load(model)
    single = Cutter(replace(cascade.card, first_look=None), cascade.runtime)
    cutters = {"one look": single, **{effort: _with(cascade, effort) for effort in ("fast", "normal", "best")}}
    contents = [path.read_bytes() for path in sorted(photos.iterdir())]
    spent: dict[str, list[tuple[float, float]]] = defaultdict(list)
    # One after the other, as a user would cut: taking turns, they drive each other's compiled shapes out.
    for name, cutter in cutters.items():
        for turn in range(3):
            for content in contents:
                start = time.perf_counter(), time.process_time()
                encode_cutout(cutter(decode_photo(content)).picture, "png", OutputConfig())
                if turn:
                    spent[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    for name, values in spent.items():
        (wall, processor), mean = np.median(np.array(values), axis=0) * 1000, np.mean(values, axis=0)[0] * 1000
        spread = f"mean {mean:4.0f} ms; {processor:4.0f} ms of processor time, {len(values)} photos"
        print(f"{name:9} median {wall:4.0f} ms, {spread}")


def _with(cutter: Cutter, effort: str) -> Cutter:
    return replace(cutter, config=CutConfig(effort=effort))  # type: ignore[arg-type]


def camera(photo: Path, model: Path | None = None) -> None:
    """Cut one photo at 24 megapixels in a process of its own."""
    for size in _CAMERA:
        with Image.open(photo) as image:
            large = image.convert("RGB").resize((round(image.width * size[1] / image.height), size[1]))
            canvas = Image.new("RGB", size, large.getpixel((2, 2)))
            canvas.paste(large, ((size[0] - large.width) // 2, 0))
        path = Path(f"{photo.stem}-{size[0]}x{size[1]}.jpg")
        canvas.save(path, quality=92)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        command = [sys.executable, __file__, "_one", str(path), *([str(model)] if model else [])]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        cold = f"{time.perf_counter() - start:.2f} s cold, {processor:.2f} s of processor time"
        print(f"{size[0]}x{size[1]}: {cold}; {told}")
        path.unlink()


def _one(photo: Path, model: Path | None = None) -> None:
    cutter = Cutter.load(model, config=RuntimeConfig())
    content = photo.read_bytes()
    encode_cutout(cutter(decode_photo(content)).picture, "png", OutputConfig())
    start = time.perf_counter(), time.process_time()
    encode_cutout(cutter(decode_photo(content)).picture, "png", OutputConfig())
    wall, processor = time.perf_counter() - start[0], time.process_time() - start[1]
    peak_mb = own_peak_bytes() / 2**20
    print(f"warm {wall:.2f} s, {processor:.2f} s of processor time, peak {peak_mb:.0f} MB")


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {"compare": compare, "speed": speed, "camera": camera, "_one": _one}
    commands[sys.argv[1]](*map(Path, sys.argv[2:]))
