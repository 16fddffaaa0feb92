"""Parameters, arithmetic, speed and accuracy of every network, as a Markdown table.

    python benchmarks/networks.py                          print the table: a minute
    python benchmarks/networks.py cutnet fcn               only these
    python benchmarks/networks.py --seconds linknet34      measure them on this machine first: up to minutes each
    python benchmarks/networks.py --scores out/networks    take the Dice of studies/networks.toml first
    python benchmarks/networks.py --docs docs/networks.md  put the table into that page

Measurements and scores are stored in benchmarks/networks.json, so that the next table includes them.

One photo of 1152x1728, padded if a network needs other sides. GFLOP: torch's count for convolutions and matrix products
only; a multiplication with an addition counts as two. Seconds: garmentcut's OpenVINO runtime in float32 on two threads
with random weights; the median of three after a warm-up, or of fewer if they take more than a minute. Processor
seconds: of both threads together, which other work on the machine affects less. Memory: the peak of a process that does
nothing else.
"""

import argparse
import importlib
import inspect
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from garmentcut.config import RuntimeConfig
from garmentcut.export.onnx import INPUT, OUTPUT, card_of_network
from garmentcut.model.card import ModelCard
from garmentcut.model.checkpoint import NetworkSpec
from garmentcut.model.networks import NETWORKS, build_network
from garmentcut.photo.files import write_atomic
from garmentcut.prediction.runtime import load_runtime
from processes import own_peak_bytes

_SIZE_HW = (1728, 1152)
_KEPT = Path(__file__).with_suffix(".json")
_BEGIN, _END = "<!-- table: benchmarks/networks.py -->", "<!-- end of table -->"
_NUM_TIMED, _ENOUGH_S = 3, 60

# All networks of the documentation, each with its default options first.
_VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("cutnet", {}),
    ("simple", {}),
    ("unet", {"size": 128}),
    ("unet", {"size": 256}),
    ("unet", {"size": 512}),
    ("unet", {"size": 1024}),
    ("unet_paper", {}),
    ("deeplab_largefov", {"head": "upsample"}),
    ("deeplab_largefov", {"head": "plain"}),
    ("fcn", {"variant": "8s"}),
    ("fcn", {"variant": "16s"}),
    ("fcn", {"variant": "32s"}),
    ("segnet", {}),
    ("ternausnet", {"depth": 11}),
    ("ternausnet", {"depth": 16}),
    ("ternausnet", {"depth": 16, "upsampling": "bilinear"}),
    ("linknet34", {}),
    ("tiramisu", {"depth": 56}),
    ("tiramisu", {"depth": 67}),
    ("tiramisu", {"depth": 103}),
    ("pspnet", {"depth": 50}),
    ("pspnet", {"depth": 101}),
    ("deeplab_plus", {"encoder": "resnet50"}),
    ("deeplab_plus", {"encoder": "resnet50", "output_stride": 8}),
    ("deeplab_plus", {"encoder": "resnet101"}),
    ("deeplab_plus", {"encoder": "xception65"}),
)

Facts = dict[str, dict[str, Any]]


def title(name: str, options: dict[str, Any]) -> str:
    """A network's name in the table, and its key in networks.json."""
    return ", ".join([name, *(f"{key} {value}" for key, value in options.items())])


def size_for(network: nn.Module) -> tuple[int, int]:
    """Height and width in pixels: the studio's, rounded up to multiples that the network accepts."""
    multiple: Any = network.multiple_of
    height, width = (-(-side // multiple) * multiple for side in _SIZE_HW)
    return height, width


def gflop(network: nn.Module) -> float:
    """10^9 floating-point operations of one photo; the network is on the meta device, so nothing is computed."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.eval()(torch.empty(1, 3, *size_for(network), device="meta"))
    return counter.get_total_flops() / 1e9


def measure(name: str, options: dict[str, Any]) -> dict[str, float]:
    """Seconds and memory of one photo on this machine's processor; empty if it does not fit into its memory."""
    network = build_network(name, **options).eval()
    card = card_of_network(network, NetworkSpec(name, options, _SIZE_HW, "alpha"))
    free, multiple = torch.export.Dim.DYNAMIC, card.multiple_of
    example = torch.zeros(1, 3, *(-(-side // multiple) * multiple for side in (192, 128)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({2: free, 3: free},),
            external_data=False,
            verbose=False,
        )
        size_hw = size_for(network)
        del network
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                return pool.submit(timed, path, card, size_hw).result()
            except BrokenProcessPool:
                return {}


def timed(path: Path, card: ModelCard, size_hw: tuple[int, int]) -> dict[str, float]:
    """The measurements of `measure`, made in a separate process, so that its memory is that of the runtime."""
    runtime = load_runtime(path.read_bytes(), card, RuntimeConfig(backend="openvino", threads=2))
    photo = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
    runtime(photo)
    walls, processors = list[float](), list[float]()
    while len(processors) < _NUM_TIMED and sum(processors) < _ENOUGH_S:
        wall, processor = time.perf_counter(), time.process_time()
        runtime(photo)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return {"seconds": median(walls), "processor_seconds": median(processors), "peak_mb": own_peak_bytes() / 2**20}


def dice_of_study(folder: Path) -> Facts:
    """Mean Dice of each network in a study's results.json, by title."""
    content = json.loads((folder / "results.json").read_text())
    arms = {}
    for arm in content["arms"]:
        settings = arm["settings"]
        key = whole(settings["network.name"], settings.get("network.options", {}))
        if arm["num_done"] == arm["num_runs"]:
            arms[key] = {"dice": arm["mean"], "num_photos": arm["num_photos"], "data": content["facts"]["data"]}
    known = {whole(name, options): title(name, options) for name, options in _VARIANTS}
    return {known[key]: facts for key, facts in arms.items() if key in known}


def whole(name: str, options: dict[str, Any]) -> str:
    """A text with a network and all its options, including defaults, which identifies it."""
    module, _, kind = NETWORKS[name].partition(":")
    known = inspect.signature(getattr(importlib.import_module(f"garmentcut.model.{module}"), kind)).parameters
    return title(name, {key: options.get(key, parameter.default) for key, parameter in known.items()})


def row(name: str, options: dict[str, Any], facts: dict[str, Any]) -> str:
    """One line of the table."""
    with torch.device("meta"):
        network = build_network(name, **options)
    height, width = size_for(network)
    size = "" if (height, width) == _SIZE_HW else f" (at {width}x{height})"
    count = sum(parameter.numel() for parameter in network.parameters())
    cells = [title(name, options), f"{count:,}", f"{gflop(network):,.0f}{size}"]
    cells += [f"{facts[key]:.2f}" if key in facts else "-" for key in ("seconds", "processor_seconds")]
    cells.append(f"{facts['peak_mb'] / 1000:.1f}" if "peak_mb" in facts else "-")
    return f"| {' | '.join(cells)} |"


def table(chosen: list[tuple[str, dict[str, Any]]], kept: Facts) -> str:
    """The table in Markdown, with a column of Dice if scores of a study are stored."""
    titles = ["network", "parameters", "GFLOP", "seconds", "processor seconds", "peak GB"]
    facts = [kept.get(title(name, options), {}) for name, options in chosen]
    dices = [f" {one['dice']:.4f} ({one['num_photos']} photos) |" if "dice" in one else " - |" for one in facts]
    titles += ["mean Dice"] if (has_dice := any("dice" in one for one in facts)) else []
    lines = [f"| {' | '.join(titles)} |", f"| --- |{' ---: |' * (len(titles) - 1)}"]
    lines += [
        row(name, options, one) + (dice if has_dice else "")
        for (name, options), one, dice in zip(chosen, facts, dices, strict=True)
    ]
    return "\n".join(lines) + "\n"


def put_into(page: Path, content: str) -> None:
    """Replace the text between the marks."""
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise SystemExit(f"{page} lacks the lines {_BEGIN} and {_END}")
    write_atomic(page, f"{before}{begin}\n\n{content}\n{end}{after}".encode())


def main() -> None:
    """Measure the requested networks, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; all by default")
    parser.add_argument("--seconds", action="store_true", help="measure seconds and memory first")
    parser.add_argument("--scores", type=Path, metavar="DIR", help="folder of a study of the networks")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the table there")
    given = parser.parse_args()
    kept: Facts = json.loads(_KEPT.read_text()) if _KEPT.is_file() else {}
    chosen = [variant for variant in _VARIANTS if not given.names or variant[0] in given.names]
    found = dice_of_study(given.scores) if given.scores else {}
    for name, options in chosen if given.seconds else ():
        key = title(name, options)
        found[key] = {**found.get(key, {}), **measure(name, options)}
        print(f"{key}: {found[key] or 'does not fit into memory'}", flush=True)
        keep(kept, found)
    keep(kept, found)
    content = table(list(_VARIANTS) if given.docs else chosen, kept)
    print(content, end="")
    if given.docs:
        put_into(given.docs, content)


def keep(kept: Facts, found: Facts) -> None:
    """Store measurements; called after each network, because the next one may run out of memory."""
    for key, facts in found.items():
        kept[key] = {**kept.get(key, {}), **facts}
    if found:
        write_atomic(_KEPT, (json.dumps(kept, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
