"""Parameters, arithmetic and speed of every network, as a Markdown table.

    python benchmarks/networks.py                          parameters and GFLOP: a minute
    python benchmarks/networks.py cutnet fcn               only these
    python benchmarks/networks.py --seconds linknet34      and seconds a photo on this machine: up to minutes each

One photo of 1152x1728, larger where a network's sides must be. GFLOP: torch's count over convolutions and products of
matrices, a multiplication and an addition counted as two; nothing else is counted. Seconds: float32 on OpenVINO with
weights drawn at random, median of three after one to warm up; run it on an otherwise idle machine.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import openvino
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from garmentcut.model.networks import build_network

_SIZE_HW = (1728, 1152)

# Every network of the documentation, its default options first.
_VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("cutnet", {}),
    ("simple", {}),
    ("unet", {"size": 128}),
    ("unet", {"size": 256}),
    ("unet", {"size": 512}),
    ("unet", {"size": 1024}),
    ("unet_paper", {}),
    ("deeplab_largefov", {}),
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


def size_for(network: nn.Module) -> tuple[int, int]:
    """Height and width in pixels: the studio's, rounded up to what the network takes."""
    multiple: Any = network.multiple_of
    height, width = (-(-side // multiple) * multiple for side in _SIZE_HW)
    return height, width


def gflop(network: nn.Module) -> float:
    """10^9 floating-point operations of one photo; the network is on the meta device, so nothing is computed."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.eval()(torch.empty(1, 3, *size_for(network), device="meta"))
    return counter.get_total_flops() / 1e9


def seconds(network: nn.Module) -> float:
    """Seconds of one photo on this machine's processor."""
    photo = torch.rand(1, 3, *size_for(network))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(network.eval(), (photo[:, :, :384, :256],), path, dynamic_shapes=_FREE_SIDES, verbose=False)
        hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        model = openvino.Core().compile_model(path, "CPU", hints)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        model(np.asarray(photo))
        times.append(time.perf_counter() - start)
    return median(times[1:])


_FREE_SIDES = ({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)


def row(name: str, options: dict[str, Any], timed: bool) -> str:
    """One line of the table."""
    with torch.device("meta"):
        network = build_network(name, **options)
    height, width = size_for(network)
    words = ", ".join([name, *(f"{key} {value}" for key, value in options.items())])
    size = "" if (height, width) == _SIZE_HW else f" (at {width}x{height})"
    count = sum(parameter.numel() for parameter in network.parameters())
    cells = [words, f"{count:,}", f"{gflop(network):,.0f}{size}"]
    if timed:
        cells.append(f"{seconds(build_network(name, **options)):.2f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; all by default")
    parser.add_argument("--seconds", action="store_true", help="measure them too")
    arguments = parser.parse_args()
    titles = ["network", "parameters", "GFLOP at 1152x1728", *["seconds"] * arguments.seconds]
    print(f"| {' | '.join(titles)} |\n| --- |{' ---: |' * (len(titles) - 1)}")
    for name, options in _VARIANTS:
        if not arguments.names or name in arguments.names:
            print(row(name, options, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
