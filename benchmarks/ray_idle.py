"""The cost of Ray itself during `cut --ray`, measured with workers that sleep instead of cutting.

    python benchmarks/ray_idle.py [WORKERS [SECONDS]]

Prints processor time of the driver and of each of Ray's processes, in cores, which does not depend on what workers do.
They sleep 4.4 s per batch of four photos, the time for cutting them. Needs the extra `cluster`, and Linux.
"""

import os
import sys
import threading
import time
from typing import Any

from rich.console import Console

from garmentcut.cluster import run
from garmentcut.cluster.run import Workers, connected, run_batches
from garmentcut.cluster.worker import Assignment
from garmentcut.config import Config, load_config
from processes import Family

_CONSOLE = Console(width=110)
_BATCH, _BATCH_S = 4, 4.4


class Sleeper:
    """A worker that sleeps."""

    def __init__(self, *_arguments: Any) -> None:
        self._cutting = threading.Lock()

    def cut(self, batch: Any) -> Any:
        """The batch, after a pause."""
        with self._cutting:
            time.sleep(_BATCH_S * bool(batch))
        return batch


def main(workers: int, seconds: float) -> None:
    """Run, and print how much each process has used."""
    setattr(run, "Worker", Sleeper)  # noqa: B010
    num_batches = round(seconds / _BATCH_S * workers) + 2 * workers
    groups: Any = [(f"{number}",) for number in range(num_batches * _BATCH)]
    family, assignment = Family(os.getpid()), Assignment("/nowhere", 1, Config())
    begin: dict[int, float] = {}
    team = Workers(workers, 1, on_gpu=False, batch=_BATCH)
    with connected("local", load_config(overrides={"cluster.workers": workers})):
        for number, _ in enumerate(run_batches(groups, None, assignment, team, {}), 1):
            if number == _BATCH * workers:  # all workers have begun
                family.look(0.0)
                begin, began = dict(family.seconds), time.perf_counter()
        wall_s = time.perf_counter() - began
        family.look(wall_s)
    used = {pid: (total - begin.get(pid, 0.0)) / wall_s for pid, total in family.seconds.items()}
    _CONSOLE.print(f"{workers} workers, {wall_s:.0f} s: {sum(used.values()):.3f} of a core in all")
    for pid in sorted(used, key=lambda pid: -used[pid]):
        if used[pid] >= 0.001:
            name = family.names.get(pid, "ray::IDLE").split(" --")[0]
            _CONSOLE.print(f"  {used[pid]:.3f}  {name.rpartition('/')[2] if '/' in name else name}")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["1"])[0]), float((sys.argv[2:] or ["60"])[0]))
