"""Sets up devices for the training loop with Lightning Fabric."""

import logging
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning.fabric import Fabric
from torch import Tensor

from garmentcut.errors import TrainingError
from garmentcut.observe.monitor import StopRequest
from garmentcut.recipe import TrainingConfig

_COMPILE_FROM_STEPS = 1500
_REASONS = ("", "time is up", "interrupted")


@dataclass(frozen=True)
class Devices:
    """The devices to train on, of one machine or several."""

    accelerator: str = "auto"  # `cpu`, `cuda`, or `auto`: a GPU if there is one
    num: int = 1  # devices per machine
    nodes: int = 1  # machines; start the same command on each with torchrun or SLURM


def open_fabric(devices: Devices, config: TrainingConfig) -> Fabric:
    """Set up the devices. If there are several, `launch` on the result starts their processes.

    Raises:
        TrainingError: there is no such GPU, the devices cannot share a batch evenly, or the recipe needs a GPU.
    """
    for name in ("lightning.fabric", "lightning.pytorch"):  # the second logs for the first, if it is loaded
        logging.getLogger(name).setLevel(logging.WARNING)  # no start-up messages from each process
    cuda, precision = uses_cuda(devices), config.precision
    if cuda:
        torch.backends.cudnn.benchmark = True  # all photos have one size, so the fastest convolution is searched once
        if precision == "auto" and has_bfloat16(devices):
            precision = "bfloat16"
    elif precision == "bfloat16" and not has_bfloat16(devices):
        raise TrainingError(
            "training.precision = 'bfloat16' is unusably slow on a processor without AMX or AVX-512 BF16; use 'auto'"
        )
    elif config.compile == "on":
        raise TrainingError("training.compile = 'on' gains nothing on a CPU; 'auto' compiles on GPUs only")
    if config.batch % (world_size := devices.num * devices.nodes):
        near = max(round(config.batch / world_size), 1) * world_size
        raise TrainingError(f"training.batch = {config.batch} cannot be shared by {world_size} devices; try {near}")
    return Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=devices.num,
        num_nodes=devices.nodes,
        strategy="ddp" if world_size > 1 else "auto",
        precision="bf16-mixed" if precision == "bfloat16" else "32-true",
    )


def has_bfloat16(devices: Devices) -> bool:
    """True if the devices support bfloat16 in hardware: many GPUs, and processors with AMX or AVX-512 BF16."""
    if uses_cuda(devices):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of torch cannot tell, which counts as no.
    abilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))


@contextmanager
def launched(devices: Devices, config: TrainingConfig) -> Iterator[Fabric]:
    """A context with the devices' processes started; they are released at its end; raises as `open_fabric`."""
    fabric = open_fabric(devices, config)
    fabric.launch()
    try:
        yield fabric
    except BaseException:
        # Otherwise the other processes would wait for this one for ever.
        for process in getattr(fabric.strategy.launcher, "procs", ()):
            process.kill()
        raise
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def compiles(fabric: Fabric, config: TrainingConfig) -> bool:
    """True if the network is to be compiled: only on CUDA, and only if it saves time."""
    if fabric.device.type != "cuda":
        return False
    return config.compile == "on" or (config.compile == "auto" and config.steps >= _COMPILE_FROM_STEPS)


def reduced(fabric: Fabric, own: Tensor, operation: Literal["mean", "sum", "max"]) -> Tensor:
    """Reduce a tensor over all devices; each gets the same result, and `own` is not changed."""
    if fabric.world_size == 1:
        return own
    return cast(Tensor, fabric.all_reduce(own.clone(), reduce_op=operation))


def is_first_process() -> bool:
    """True in the first device's process, and before any processes are started; False in those of other devices."""
    return not any(int(os.environ.get(name, 0)) for name in ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK"))


def machine_in_words(fabric: Fabric) -> str:
    """A description such as `2 x NVIDIA H100 80GB HBM3` or `2 cores, AMD EPYC 7R13`."""
    if fabric.device.type == "cuda":
        return f"{fabric.world_size} x {torch.cuda.get_device_name(fabric.device)}"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    cores = f"{os.cpu_count()} cores, {processor}"
    return cores if fabric.world_size == 1 else f"{fabric.world_size} processes on {cores}"


def uses_cuda(devices: Devices) -> bool:
    """True if the devices are NVIDIA GPUs; raises TrainingError if there is no such GPU."""
    if devices.accelerator not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"--accelerator {devices.accelerator!r} is none of auto, cpu and cuda")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if devices.accelerator == "cpu" or (devices.accelerator == "auto" and not found):
        return False
    if devices.num > found:
        raise TrainingError(
            f"{devices.num} NVIDIA GPUs requested, {found} available; give fewer --devices, or --accelerator cpu"
        )
    return True


def agreed_reason(stop: StopRequest, fabric: Fabric) -> str:
    """Its `reason` in any device's process, so that all stop after the same step."""
    own = torch.tensor(_REASONS.index(stop.reason), device=fabric.device)
    return _REASONS[int(reduced(fabric, own, "max"))]
