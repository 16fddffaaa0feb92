"""Time and memory of `garmentcut cut`, by stage and end to end.

    python benchmarks/cut.py                    stages, throughput, cold start: about 3 minutes on two cores
    python benchmarks/cut.py memory             50 against 1000 photos: about 15 minutes
    python benchmarks/cut.py camera             a 24-megapixel JPEG
    python benchmarks/cut.py runtimes           OpenVINO against ONNX Runtime

Photos are PNG copies of examples/photos (1152x1728). Figures of whole processes are those that the operating system
reports when they end. All are medians; run it on an otherwise idle machine.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from garmentcut import Cutter
from garmentcut.config import Config, RuntimeConfig, load_config
from garmentcut.photo.compose import Preparation
from garmentcut.photo.files import read_photo_bytes, write_atomic
from garmentcut.photo.photo import Photo
from garmentcut.photo.read import decode_photo
from garmentcut.photo.write import encode_prepared
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.runtime import runtime_for
from garmentcut.prediction.sources import find_sources

_EXAMPLES = Path(__file__).parents[1] / "examples" / "photos"
_CONSOLE = Console(width=100)


def make_photos(folder: Path, num_photos: int) -> Path:
    """PNG copies of the example photos; hard links beyond the first six."""
    folder.mkdir(parents=True)
    sources = sorted(_EXAMPLES.glob("*.jpg"))
    for number, source in enumerate(islice(cycle(sources), num_photos)):
        target = folder / f"{number:04}.png"
        if number < len(sources):
            Image.open(source).convert("RGB").save(target, compress_level=1)
        else:
            os.link(folder / f"{number % len(sources):04}.png", target)
    return folder


def stages(cutter: Cutter, photos: Path, work: Path, rounds: int = 5) -> dict[str, float]:
    """Median milliseconds of each stage of one photo, one after the other, warm."""
    times: dict[str, list[float]] = defaultdict(list)
    config = Config()

    def timed(stage: str, step: Callable[..., Any], *args: Any) -> Any:
        start = time.perf_counter()
        result = step(*args)
        times[stage].append((time.perf_counter() - start) * 1000)
        return result

    for path in sorted(photos.glob("*.png"))[:6] * rounds:
        data = timed("read file", read_photo_bytes, path, config.read)
        photo = timed("decode PNG", decode_photo, data)
        frame = timed("frame for the network", cutter.frame, photo)
        prediction = timed("network", cutter.predict, photo, frame)
        cutout = timed("alpha at full size", cutter.finish, photo, prediction)
        content = timed("clean edge, encode RGBA PNG", encode_prepared, Preparation(cutout, config.output), "png")
        timed("write file", write_atomic, work / "out.png", content)
    # The first photos compile and fill caches.
    return {stage: median(values[6:]) for stage, values in times.items()}


def folder_against_network(work: Path, rounds: int = 5, num_photos: int = 12) -> tuple[float, float]:
    """Seconds per photo of a folder run and of its network alone, warm; alternating, because the speed may drift."""
    cutter = Cutter.load(config=runtime_for(RuntimeConfig(), num_photos))
    photos = make_photos(work / "turns", num_photos)
    decoded = [decode_photo(path.read_bytes()) for path in sorted(photos.glob("*.png"))]
    frames = [cutter.frame(photo) for photo in decoded]
    times: list[tuple[float, float]] = []
    for turn in range(rounds + 1):
        with FolderCutter(cutter, work / f"turn{turn}") as folder:
            plan = folder.plan(find_sources([photos], work / f"turn{turn}"))
            start = time.perf_counter()
            assert all(row.ok for row in folder.cut(plan))
        middle = time.perf_counter()
        with ThreadPoolExecutor(cutter.runtime.streams) as pool:
            list(pool.map(cutter.predict, decoded, frames))
        times.append(((middle - start) / num_photos, (time.perf_counter() - middle) / num_photos))
    times = sorted(times[1:], key=lambda pair: pair[1] / pair[0])  # the first round compiles
    return times[len(times) // 2]


def process(*command: str) -> tuple[float, float]:
    """Wall seconds and peak megabytes (10^6) of a command as a whole process."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, command
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - start, usage.ru_maxrss * unit / 1e6


def cut_process(*args: Path) -> tuple[float, float]:
    """`process` for the installed command."""
    return process(sys.executable, "-m", "garmentcut", "cut", *map(str, args[:-1]), "--out", str(args[-1]))


def report_speed(work: Path) -> None:
    """Stages, throughput and cold start."""
    photos = make_photos(work / "photos", 6)
    cutter = Cutter.load()
    by_stage = stages(cutter, photos, work)
    per_photo, network = folder_against_network(work)
    rest = sum(by_stage.values()) - by_stage["network"]
    helps = median(process(sys.executable, "-m", "garmentcut", "--help")[0] for _ in range(7))
    one = median(cut_process(photos / "0000.png", work / f"one{number}")[0] for number in range(5))
    rows = [(f"  {stage}", f"{value:.1f} ms") for stage, value in by_stage.items()]
    rows += [
        ("all but the network, a photo", f"{rest:.1f} ms"),
        (f"60 photos in 5 turns, a photo, {cutter.runtime.name}", f"{per_photo * 1000:.1f} ms"),
        ("the same photos through the network alone, a photo", f"{network * 1000:.1f} ms"),
        ("share of the network's own throughput", f"{network / per_photo:.3f}"),
        ("garmentcut --help, whole process", f"{helps:.2f} s"),
        ("garmentcut cut one.png, whole process", f"{one:.2f} s"),
    ]
    show("1152x1728 PNG to RGBA PNG, warm, medians", rows)


def report_memory(work: Path) -> None:
    """Peak memory of short and long runs."""
    rows = []
    for num_photos in (50, 1000):
        photos = make_photos(work / f"photos{num_photos}", num_photos)
        seconds, megabytes = cut_process(photos, work / f"out{num_photos}")
        rows.append((f"{num_photos} photos", f"peak {megabytes:.0f} MB, {seconds / num_photos:.2f} s a photo"))
    show("Memory of a folder run, whole process", rows)


def report_camera(work: Path) -> None:
    """A 24-megapixel photo, portrait and landscape."""
    work.mkdir(exist_ok=True)
    rows = []
    for name, size in (("upright 4000x6000", (4000, 6000)), ("lying 6000x4000", (6000, 4000))):
        with Image.open(sorted(_EXAMPLES.glob("*.jpg"))[0]) as image:
            enlarged = image.convert("RGB").resize((4000, 6000), Image.Resampling.BICUBIC)
        framed = enlarged.resize((size[1] * 2 // 3, size[1])) if size[0] > size[1] else enlarged
        canvas = Image.new("RGB", size, framed.getpixel((5, 5)))
        canvas.paste(framed, ((size[0] - framed.width) // 2, 0))
        path = work / f"{name.split()[0]}.jpg"
        canvas.save(path, quality=95)
        seconds, megabytes = cut_process(path, work / f"out_{path.stem}")
        rows.append((f"{name} JPEG, whole cold process", f"{seconds:.2f} s, peak {megabytes:.0f} MB"))
        warm = _warm_seconds(path.read_bytes())
        rows.append((f"{name} JPEG to PNG, warm", f"{warm:.2f} s"))
    show("24 megapixels", rows)


def report_runtimes(work: Path) -> None:
    """The network alone on each backend; onnxruntime comes with the extra `dev`."""
    photos = make_photos(work / "photos", 6)
    rows = []
    for backend in ("openvino", "onnxruntime"):
        cutter = Cutter.load(config=load_config(overrides={"runtime.backend": backend}).runtime)
        milliseconds = stages(cutter, photos, work, rounds=4)["network"]
        rows.append((cutter.runtime.name, f"{milliseconds:.0f} ms"))
    show("The network alone, 1152x1728, warm, median", rows)


def _warm_seconds(data: bytes) -> float:
    cutter, config, times = Cutter.load(), Config(), []
    for _ in range(4):
        start = time.perf_counter()
        photo: Photo = decode_photo(data)
        io.BytesIO(encode_prepared(Preparation(cutter(photo), config.output), "png"))
        times.append(time.perf_counter() - start)
    return median(times[1:])


def show(title: str, rows: list[tuple[str, str]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left", show_header=False)
    for row in rows:
        table.add_row(*row)
    _CONSOLE.print(table)


if __name__ == "__main__":
    reports = {
        "speed": report_speed,
        "memory": report_memory,
        "camera": report_camera,
        "runtimes": report_runtimes,
    }
    for wanted in sys.argv[1:] or ["speed"]:
        with tempfile.TemporaryDirectory() as folder:
            reports[wanted](Path(folder))
