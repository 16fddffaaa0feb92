"""Watches a command and its descendant processes, and what each uses, in Linux' /proc; for other benchmarks."""

import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def own_peak_bytes() -> int:
    """Peak memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux the other value includes the parent's peak
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def process_table() -> Iterator[tuple[int, int, float, int, str]]:
    """Process id, parent, processor seconds so far, its own resident bytes, command line."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                pages = int((folder / "statm").read_text().split()[1])
                shared = int((folder / "statm").read_text().split()[2])
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (OSError, IndexError):
                continue
            used = sum(int(each) for each in stat[11:13]) / _TICKS
            yield int(folder.name), int(stat[1]), used, (pages - shared) * _PAGE, command


@dataclass
class Family:
    """A process and its descendants, sampled every half second.

    Attributes:
        seconds: latest processor seconds of each process, by id.
        peaks: memory of all of them together, in bytes, by seconds since the start.
    """

    root: int
    seconds: dict[int, float] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)
    members: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def look(self, at: float) -> None:
        """Record the current state."""
        table = list(process_table())
        ids, grown = {self.root}, True
        while grown:
            more = {each[0] for each in table if each[1] in ids} - ids
            ids |= more
            grown = bool(more)
        ids |= {each[0] for each in table if "/ray/" in each[4] or each[4].startswith("ray::")} & set(
            self.members
        ) | ids
        present = [each for each in table if each[0] in ids]
        self.members = {each[0]: each[4] for each in present}
        self.names |= {pid: name for pid, name in self.members.items() if name and "IDLE" not in name}
        self.seconds |= {each[0]: each[2] for each in present}
        self.memory.append((at, sum(each[3] for each in present)))

    @property
    def processor_s(self) -> float:
        """Processor seconds of all processes, including those that have ended."""
        return sum(self.seconds.values())

    def by_kind(self, seconds: dict[int, float]) -> dict[str, float]:
        """The given seconds added up over workers, the command itself, and Ray's own processes."""
        kinds = {"ray::Worker": "cut", "garmentcut": "command"}
        sums: defaultdict[str, float] = defaultdict(float)
        for pid, used in seconds.items():
            name = self.names.get(pid, "")
            sums[next((kind for word, kind in kinds.items() if word in name and "/ray/" not in name), "Ray")] += used
        return dict(sums)


@contextmanager
def watched(process: "subprocess.Popen[bytes]", every_s: float = 0.5) -> Iterator[Family]:
    """A context in which a process and its descendants are watched."""
    family, over, began = Family(process.pid), threading.Event(), time.perf_counter()

    def watch() -> None:
        while not over.wait(every_s):
            family.look(time.perf_counter() - began)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield family
    finally:
        over.set()
        thread.join()


def start(*args: object, **environment: str) -> "subprocess.Popen[bytes]":
    """Start a garmentcut command."""
    return subprocess.Popen(
        [sys.executable, "-m", "garmentcut", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **environment},
    )
