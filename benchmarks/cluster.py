"""`garmentcut cut --ray` against the plain folder run: wall and processor seconds, memory.

    python benchmarks/cluster.py [--photos 300] [--workers 0 1 2] [--keep FOLDER]

Photos are drawn (`garmentcut studio`, 192x288 and other sizes); the network scales them to its own height, so that each
costs as much as a studio's photo. Needs the extras `cluster` and `dev`, and Linux, whose /proc reports what each
process has used; processor seconds can be compared even on a shared machine.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from garmentcut.synthetic import draw_studio_photo
from processes import Family, start, watched
from watch import RED

_CONSOLE = Console(width=110)
_HEIGHTS = (288, 432, 576)
_SETTLED = 8  # number of photos after which the speed of a run is steady


def draw_photos(folder: Path, num: int, *, broken: int = 0, red: bool = False) -> None:
    """Draw distinct photos of three sizes; some files are truncated."""
    folder.mkdir(parents=True)
    fabric: dict[str, Any] = {"fabric_rgb": RED, "print_name": "plain"} if red else {}
    sizes = [(height, height * 2 // 3) for height in _HEIGHTS]
    shots = [draw_studio_photo(seed, size_hw=size_hw, **fabric) for seed in range(6) for size_hw in sizes]
    for number, shot in enumerate(islice(cycle(shots), num)):
        pixels = shot.rgb.copy()
        pixels[0, 0] = np.frombuffer(number.to_bytes(3, "big"), np.uint8)  # make each photo unique
        path = folder / f"{number:04}.png"
        Image.fromarray(pixels).save(path, compress_level=1)
    for number in np.linspace(1, num - 1, broken).astype(int) if broken else ():
        path = folder / f"{number:04}.png"
        path.write_bytes(path.read_bytes()[: 40 + number])


@dataclass(frozen=True)
class Moment:
    """What a run has used until a number of photos were done.

    Attributes:
        num: number of photos done.
        wall_s: wall seconds since the start.
        seconds: processor seconds of each of its processes.
    """

    num: int
    wall_s: float
    seconds: dict[int, float]


def measure(*args: object, num_done: Callable[[], int]) -> dict[str, Any]:
    """Run a command; returns wall and processor seconds, seconds to the first photo, and memory.

    `steady` covers the time between the first and the last photos, without start and end.
    """
    began, first, halves, moments = time.perf_counter(), 0.0, dict[str, float](), list[Moment]()
    process = start(*args, "--json")
    with watched(process) as family:
        while process.poll() is None:
            wall, num = time.perf_counter() - began, num_done()
            first = first or (wall if num else 0.0)
            if num >= _SETTLED and (not moments or num > moments[-1].num):
                moments.append(Moment(num, wall, dict(family.seconds)))
            time.sleep(0.2)
    assert process.stdout is not None and process.stderr is not None
    output, errors = process.stdout.read().decode(), process.stderr.read().decode()
    if process.returncode not in (0, 1):
        sys.exit(errors)
    wall = time.perf_counter() - began
    for name, low, high in (("early", 0.3, 0.5), ("late", 0.8, 1.0)):
        halves[name] = max((size for at, size in family.memory if low * wall <= at <= high * wall), default=0) / 1e6
    summary = json.loads(output.strip().splitlines()[-1])
    return {
        "wall_s": wall,
        "first_s": first,
        "processor_s": family.processor_s,
        "cut": summary["cut"],
        "steady": steady(moments, family),
        **halves,
    }


def steady(moments: list[Moment], family: Family) -> dict[str, Any]:
    """Wall and processor seconds per photo between the first and last moment; the latter also by kind of process."""
    begin, end = moments[0], moments[-1]
    num = end.num - begin.num
    used = {pid: (total - begin.seconds.get(pid, 0.0)) / num for pid, total in end.seconds.items()}
    return {
        "num": num,
        "wall_s": (end.wall_s - begin.wall_s) / num,
        "processor_s": sum(used.values()),
        "by_kind": family.by_kind(used),
    }


def report_speed(work: Path, num: int, workers: list[int]) -> None:
    """Cut the same photos with Ray, once for each number of workers; 0 stands for the folder run.

    `measured.json`, next to the rows, is for `benchmarks/scale_plan.py check`.
    """
    if not (work / "photos").exists():
        draw_photos(work / "photos", num)
    for count in workers:
        name = f"Ray, {count} worker{'s' * (count > 1)}" if count else "folder run"
        options: list[object] = ["--ray", "--set", f"cluster.workers={count}"] if count else []
        out = work / f"cut {name}"
        found = measure(
            "cut",
            work / "photos",
            "--out",
            out,
            *options,
            num_done=lambda out=out: sum(1 for _ in out.glob("*.png")),  # type: ignore[misc]
        )
        (out / "measured.json").write_text(json.dumps({"workers": count, **found}))
        each = found["steady"]
        shown = ", ".join(f"{kind} {used:.3f}" for kind, used in each["by_kind"].items())
        lines = [
            f"{name}: {found['cut']} cut, {found['wall_s']:.0f} s wall, {found['processor_s']:.0f} processor s",
            f"  a photo, over {each['num']}, without start and end: {each['processor_s']:.3f} processor s ({shown}),"
            f" {each['wall_s']:.3f} s wall",
            f"  first photo after {found['first_s']:.1f} s",
            f"  memory: {found['early']:.0f} MB early, {found['late']:.0f} MB late",
        ]
        _CONSOLE.print("\n".join(lines))


if __name__ == "__main__":
    random.seed(0)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="0: the folder run")
    parser.add_argument("--keep", type=Path, help="folder for photos and results, which is kept")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report_speed(chosen.keep or Path(folder), chosen.photos, chosen.workers)
