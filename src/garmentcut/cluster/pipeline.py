"""The stages as a Ray data set: Ray places them, repeats what was killed, and holds the fast ones back."""

import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from garmentcut.cluster.errors import ClusterError
from garmentcut.cluster.plan import Job, batches_of
from garmentcut.cluster.stages import Assignment, CutBatch, packed, read_batch, unpacked, write_batch
from garmentcut.config import Config, RuntimeConfig
from garmentcut.prediction.results import Row

LOCAL = "local"
"""Address of a cluster of this machine alone, started for the run."""

_OBJECT_STORE_BYTES = 512_000_000  # of a cluster of this machine: some hundred photos' files
_CHAPTER = 2_000  # batches handed to Ray at a time: what it keeps of each in the driver's memory stays bounded
_IDLE_MS = 600_000
_TRIES = 8  # of a batch whose worker is killed
_TOLERATED = 0.02  # of a chapter's batches may fail wholly: their photos are tried again, one garment at a time
_CPU_OF_CUTTING, _CPU_OF_WAITING = 0.8, 0.05  # of a core: reading and writing wait more than they work
_WORKERS_A_READER = 4  # on CPUs; a GPU is as fast as one of them and one that writes (benchmarks/scale_plan.py)


@dataclass(frozen=True)
class Crew:
    """Who does the work.

    Attributes:
        num: processes that hold the model.
        threads: of each, on a CPU.
        on_gpu: each has a GPU.
        batch: photos given to one at a time: what is done again if it is killed.
    """

    num: int
    threads: int
    on_gpu: bool
    batch: int

    def runtime(self, config: RuntimeConfig) -> RuntimeConfig:
        """What one of them runs the network with."""
        return replace(config, threads=self.threads, streams=config.streams or (2 if self.on_gpu else 1))


@contextmanager
def connected(address: str, *, workers: int = 0) -> Iterator[None]:
    """A cluster to work on, until the end of the context.

    Args:
        address: `local`, `auto`, `host:port` or `ray://host:port`.
        workers: as asked for; a cluster of this machine gets room for them.

    Raises:
        ClusterError: it cannot be reached or started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as a folder run's; Ray's own 15 starves beside other work
    # Ray ends a process that is idle for a second where there are more of them than cores, and those that cut hold them
    # all: a new one to read, and one to write, for every batch took as long as cutting it.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", str(_IDLE_MS))
    import ray

    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        cores = max(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, workers)
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    else:
        options |= {"address": address}
    try:
        ray.init(**options)
    except Exception as error:
        raise ClusterError(f"--ray {address}: {str(error).partition(chr(10))[0]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def muster(config: Config) -> Crew:
    """Who can work on the cluster that is connected.

    Args:
        config: workers, threads of each, backend.

    Raises:
        ClusterError: it has no room for them.
    """
    import ray

    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    runtime, workers, batch = config.runtime, config.cluster.workers, config.cluster.batch
    gpus = int(has.get("GPU", 0)) if runtime.backend != "openvino" else 0
    threads = runtime.threads or 1
    if gpus:
        return Crew(workers or gpus, runtime.threads, on_gpu=True, batch=batch or 16)
    room = int(has.get("CPU", 0) // threads)
    if workers > room or not room:
        raise ClusterError(
            f"the cluster has {has.get('CPU', 0):g} cores: no room for {workers or 1} x {threads} threads"
        )
    return Crew(workers or room, threads, on_gpu=False, batch=batch or 4)


def work_off(
    groups: Sequence[tuple[Job, ...]], model: bytes | None, assignment: Assignment, crew: Crew
) -> Iterator[Row]:
    """Cut groups of photos on the cluster; yields each photo's row once it is written.

    A photo whose worker dies every time has no row in the end; it is not yielded.

    Raises:
        ClusterError: nothing works, or no more than by chance.
    """
    config = assignment.wish.config
    told = replace(config, runtime=crew.runtime(config.runtime))
    assignment = replace(assignment, wish=replace(assignment.wish, config=told))
    batches = list(batches_of(groups, crew.batch))
    for first in range(0, len(batches), _CHAPTER):
        yield from _chapter(batches[first : first + _CHAPTER], model, assignment, crew)


def _chapter(
    batches: list[tuple[tuple[Job, ...], ...]], model: bytes | None, assignment: Assignment, crew: Crew
) -> Iterator[Row]:
    import ray

    tolerated = max(4, math.ceil(_TOLERATED * len(batches)))
    data: Any = ray.data.from_arrow([packed(list(batch)) for batch in batches])
    _quiet(data.context, tolerated)
    few = ray.data.TaskPoolStrategy(size=math.ceil(crew.num / (1 if crew.on_gpu else _WORKERS_A_READER)))
    told: dict[str, Any] = {"fn_kwargs": {"assignment": assignment}, "batch_format": "pyarrow", "batch_size": None}
    waiting: dict[str, Any] = {**told, "compute": few, "num_cpus": _CPU_OF_WAITING, "max_retries": _TRIES}
    with warnings.catch_warnings():
        # How often a killed task is tried again is asked for in a way that Ray will drop in 2.64: hence the pin.
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        data = data.map_batches(read_batch, **waiting)
        data = data.map_batches(
            CutBatch,
            fn_constructor_kwargs={"model": model, "assignment": assignment},
            batch_format="pyarrow",
            batch_size=None,
            compute=_pool(crew),
            num_cpus=_CPU_OF_CUTTING * max(crew.threads, 1),
            num_gpus=1 if crew.on_gpu else None,
            max_restarts=-1,
            max_task_retries=_TRIES,
        )
        data = data.map_batches(write_batch, **waiting)
    try:
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from unpacked(batch)
    except ray.exceptions.RayError as error:
        raise ClusterError(f"{_cause_of(error)}; run again to go on") from error


def _pool(crew: Crew) -> Any:
    import ray

    if not crew.on_gpu:
        return ray.data.ActorPoolStrategy(size=crew.num, max_tasks_in_flight_per_actor=2)
    # Two batches at a time: while one is read and written, the other keeps the GPU at work.
    return ray.data.ActorPoolStrategy(
        size=crew.num,
        max_tasks_in_flight_per_actor=4,
        max_concurrent_calls_per_actor=2,
        enable_true_multi_threading=True,
    )


def _quiet(context: Any, tolerated: int) -> None:
    context.enable_progress_bars = False
    context.enable_auto_log_stats = False
    context.print_on_execution_start = False
    context.max_errored_blocks = tolerated
    context.execution_options.verbose_progress = False
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # a killed worker is no news: its photos are done again


def _cause_of(error: BaseException) -> str:
    """The innermost reason, on one line: Ray wraps what a worker said in many others."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None and inner is not error:
        error = inner
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
