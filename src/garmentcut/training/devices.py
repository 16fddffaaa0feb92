"""Where a training runs: one processor, one GPU, or several GPUs and machines, by Lightning Fabric."""

import logging
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from lightning.fabric import Fabric
from torch import Tensor

from garmentcut.recipe import TrainingConfig
from garmentcut.training.errors import TrainingError

_COMPILE_FROM_STEPS = 1500


@dataclass(frozen=True)
class Devices:
    """What to use of one machine or several.

    Attributes:
        accelerator: `cpu`, `cuda`, or `auto`: a GPU where there is one.
        num: devices of each machine.
        nodes: machines; start the same command on each by torchrun or SLURM.
    """

    accelerator: str = "auto"
    num: int = 1
    nodes: int = 1


def open_fabric(devices: Devices, config: TrainingConfig) -> Fabric:
    """Make ready the devices; `launch` on the result then starts the other processes, where there are to be several.

    Raises:
        TrainingError: no such GPU, a batch that the devices cannot share evenly, or the recipe asks a CPU for what only
            GPUs do well.
    """
    for name in ("lightning.fabric", "lightning.pytorch"):  # the second speaks for the first, if it is loaded
        logging.getLogger(name).setLevel(logging.WARNING)  # they greet, from every process
    cuda = _uses_cuda(devices)
    if cuda:
        torch.backends.cudnn.benchmark = True  # all photos have one size: the fastest convolution is sought once
    else:
        _refuse_gpu_options(config)
    if config.batch % (world_size := devices.num * devices.nodes):
        near = max(round(config.batch / world_size), 1) * world_size
        raise TrainingError(f"training.batch = {config.batch} cannot be shared by {world_size} devices; near is {near}")
    return Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=devices.num,
        num_nodes=devices.nodes,
        strategy="ddp" if world_size > 1 else "auto",
        precision="bf16-mixed" if cuda and _takes_bfloat16(config) else "32-true",
    )


def compiles(fabric: Fabric, config: TrainingConfig) -> bool:
    """True if the network is to be compiled: on CUDA only, and where it pays."""
    if fabric.device.type != "cuda":
        return False
    return config.compile == "on" or (config.compile == "auto" and config.steps >= _COMPILE_FROM_STEPS)


def reduced(fabric: Fabric, own: Tensor, operation: Literal["mean", "sum", "max"]) -> Tensor:
    """Each device's tensor made one, the same on all; `own` stays as it was."""
    if fabric.world_size == 1:
        return own
    return cast(Tensor, fabric.all_reduce(own.clone(), reduce_op=operation))


def is_first_process() -> bool:
    """False in the processes that were started for the second device and on; true before any were started."""
    return not any(int(os.environ.get(name, 0)) for name in ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK"))


def machine_in_words(fabric: Fabric) -> str:
    """Such as `2 x NVIDIA H100 80GB HBM3` or `2 cores, AMD EPYC 7R13`."""
    if fabric.device.type == "cuda":
        return f"{fabric.world_size} x {torch.cuda.get_device_name(fabric.device)}"
    cores = f"{os.cpu_count()} cores, {_processor()}"
    return cores if fabric.world_size == 1 else f"{fabric.world_size} processes on {cores}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _uses_cuda(devices: Devices) -> bool:
    if devices.accelerator not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"--accelerator {devices.accelerator!r} is none of auto, cpu and cuda")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if devices.accelerator == "cpu" or (devices.accelerator == "auto" and not found):
        return False
    if devices.num > found:
        raise TrainingError(
            f"{devices.num} NVIDIA GPUs are asked for, {found} can be used; give fewer --devices, or --accelerator cpu"
        )
    return True


def _takes_bfloat16(config: TrainingConfig) -> bool:
    if config.precision == "auto":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return config.precision == "bfloat16"


def _refuse_gpu_options(config: TrainingConfig) -> None:
    if config.precision == "bfloat16":
        raise TrainingError("training.precision = 'bfloat16' is unusably slow on a CPU; 'auto' takes it on GPUs only")
    if config.compile == "on":
        raise TrainingError("training.compile = 'on' gains nothing on a CPU; 'auto' compiles on GPUs only")
