"""The cost of a million photos, the bottlenecks, and whether a simulation of a run agrees with measurements.

    python benchmarks/scale_plan.py plan RESULTS [SECONDS OTHER]    the figures of docs/cluster.md, "What it costs"
    python benchmarks/scale_plan.py check FOLDER...                 simulated against measured
    python benchmarks/scale_plan.py driver                          what the driver needs for its lists

RESULTS is a run's results.jsonl; SECONDS are the processor seconds per photo (`benchmarks/cluster.py`), OTHER the part
of them that is not the network (`benchmarks/cut.py speed`). FOLDERs are those kept by `benchmarks/cluster.py --keep`.

Prices and machines are in the tables below: change them to your own. The simulation models the run's stages and limits,
and draws each photo's seconds from the measured ones; it is a short discrete-event simulation with a heap.
"""

import heapq
import json
import math
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_CONSOLE = Console(width=118)
_PHOTOS = 1_000_000
_HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Machine:
    """A machine to rent.

    Attributes:
        name: name of the machine type.
        vcpus: vCPUs as the provider counts them; each is taken as one core.
        dollars_h: on-demand list price per hour. An assumption.
        gpus_s: seconds per photo on its GPU; 0: it has none. An estimate, see `Assumptions.gpu_share`.
    """

    name: str
    vcpus: int
    dollars_h: float
    gpu_tflops: float = 0.0


# List prices of AWS us-east-1, on demand, as known to the author in 2025; look them up before relying on them.
MACHINES = (
    Machine("c7i.4xlarge, 16 vCPU", 16, 0.714),
    Machine("c7i.4xlarge spot, at 40 %", 16, 0.286),
    Machine("c7a.4xlarge, 16 vCPU", 16, 0.821),
    Machine("g6.4xlarge, 16 vCPU and an L4", 16, 1.323, gpu_tflops=30.3),
    Machine("g5.4xlarge, 16 vCPU and an A10G", 16, 1.624, gpu_tflops=31.2),
)


@dataclass(frozen=True)
class Assumptions:
    """Values that are assumed and not measured here.

    Attributes:
        store_gb_month, put_1000, get_1000, out_gb: dollars of object storage: a gigabyte for a month, a thousand writes
            or lists, a thousand reads, a gigabyte out of the provider's network (within the region it is free).
        put_s, get_s: requests per second that one prefix of a bucket accepts.
        latency_s: of a request, from the same region.
        node_gbit_s: network of a machine of 16 vCPUs, sustained.
        gflop: of the network for a photo of 1152x1728 (docs/model.md).
        gpu_share: share of its float32 peak that a GPU reaches with this network. A guess, not measured.
        look_s, fix_s: seconds that a retoucher needs to check a doubtful cutout, and to fix one.
        fixed: share of the doubtful cutouts that must be fixed.
        day_h: hours that a retoucher works per day.
    """

    store_gb_month: float = 0.023
    put_1000: float = 0.005
    get_1000: float = 0.0004
    out_gb: float = 0.09
    put_s: float = 3500
    get_s: float = 5500
    latency_s: float = 0.03
    node_gbit_s: float = 6.0
    gflop: float = 118
    gpu_share: float = 0.35
    look_s: float = 8
    fix_s: float = 120
    fixed: float = 0.5
    day_h: float = 7


@dataclass(frozen=True)
class Sizes:
    """Measurements of photos.

    Attributes:
        seconds: processor seconds of each photo of a sample.
        photo_mb, cutout_mb: size of a photo's file and of its cutout's, in 10^6 bytes.
        other_s: the part of these seconds that is not the network: decode, frame, clean, encode.
    """

    seconds: tuple[float, ...]
    photo_mb: float
    cutout_mb: float
    other_s: float

    @property
    def mean_s(self) -> float:
        """Mean processor seconds per photo."""
        return sum(self.seconds) / len(self.seconds)


@dataclass(frozen=True)
class Cluster:
    """A cluster in the simulation.

    Attributes:
        workers: processes that cut.
        nodes: machines, whose network connections the workers share.
        batch: photos given to a worker at a time.
        start_s: seconds until the first photo is begun.
        requests: parallel requests of each worker that reads or writes.
    """

    workers: int
    nodes: int = 1
    batch: int = 4
    start_s: float = 20.0
    requests: int = 8


@dataclass(frozen=True)
class Outcome:
    """The result of a simulated run.

    Attributes:
        wall_s: from the start to the last row.
        busy: shares of the time in which workers read, cut and wrote.
    """

    wall_s: float
    busy: dict[str, float]

    @property
    def bottleneck(self) -> str:
        """The stage that is busy most of the time."""
        return max(self.busy, key=lambda stage: self.busy[stage])


def simulate(cluster: Cluster, sizes: Sizes, num_photos: int, assumed: Assumptions, *, seed: int = 0) -> Outcome:
    """Simulate batches that are read, cut and written; a worker does each with one batch at a time.

    Each worker takes the next batch in order. A worker stops reading while three of its batches are in progress.
    Reading and writing slow down if all workers together need more than the network or the store can deliver.
    """
    draw, stages = random.Random(seed), ("read", "cut", "write")
    free = {stage: [cluster.start_s] * cluster.workers for stage in stages}
    for heap in free.values():
        heapq.heapify(heap)
    busy, begun_cutting, last = dict.fromkeys(stages, 0.0), list[float](), 0.0
    for number in range(math.ceil(num_photos / cluster.batch)):
        photos = min(cluster.batch, num_photos - number * cluster.batch)
        # Reading stops when this many batches wait for workers or are in progress.
        ahead = 3 * cluster.workers
        ready = begun_cutting[number - ahead] if number >= ahead else 0.0
        seconds = {
            "read": _transfer_s(photos, sizes.photo_mb, photos, assumed.get_s, cluster, assumed),
            "cut": sum(draw.choices(sizes.seconds, k=photos)),
            "write": _transfer_s(photos, sizes.cutout_mb, photos + 3, assumed.put_s, cluster, assumed),
        }
        for stage, needed in seconds.items():
            begin = max(ready, heapq.heappop(free[stage]))
            if stage == "cut":
                begun_cutting.append(begin)
            ready = begin + needed
            heapq.heappush(free[stage], ready)
            busy[stage] += needed
        last = max(last, ready)
    return Outcome(last, {stage: total / cluster.workers / last for stage, total in busy.items()})


def _transfer_s(
    photos: int, megabytes: float, requests: int, requests_s: float, cluster: Cluster, assumed: Assumptions
) -> float:
    """Seconds for a batch's requests: their latency, and its share of the network's and the store's throughput."""
    waits = math.ceil(requests / cluster.requests) * assumed.latency_s
    per_node = cluster.workers / cluster.nodes
    wire = photos * megabytes * 8 / 1000 / assumed.node_gbit_s * per_node
    return max(waits, wire, requests / requests_s * cluster.workers)


def read_sizes(results: Path, *, other_s: float, mean_s: float) -> Sizes:
    """Sizes of a run's photos; their seconds are scaled to a separately measured mean, unless that is 0."""
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    rows = [row for row in rows if row["status"] == "ok"]
    files = [results.parent / name for row in rows for name in row["outputs"]]
    taken = [float(row["seconds"]) for row in rows]
    mean = sum(taken) / len(taken)
    scale = mean_s / mean if mean_s else 1.0
    return Sizes(
        tuple(each * scale for each in taken),
        sum(row["input_bytes"] for row in rows) / len(rows) / 1e6,
        sum(file.stat().st_size for file in files) / len(rows) / 1e6,
        other_s,
    )


def gpu_seconds(machine: Machine, assumed: Assumptions) -> float:
    """Estimated, not measured, seconds of the network per photo on a machine's GPU."""
    return assumed.gflop / (machine.gpu_tflops * 1000 * assumed.gpu_share)


def seconds_of(machine: Machine, sizes: Sizes, assumed: Assumptions) -> float:
    """Seconds per photo of a whole machine: of its processors, or of the slower of GPU and processors."""
    if not machine.gpu_tflops:
        return sizes.mean_s / machine.vcpus
    return max(gpu_seconds(machine, assumed), sizes.other_s / machine.vcpus)


def show_costs(sizes: Sizes, assumed: Assumptions) -> None:
    """Print hours, dollars and machines needed for a million photos in one night, by type of machine."""
    table = Table(title=f"{_PHOTOS:,} photos", title_justify="left")
    for name in ("machine", "photos/s", "machine-hours", "core- or GPU-hours", "dollars", "machines for 10 h"):
        table.add_column(name, justify="left" if name == "machine" else "right")
    for machine in MACHINES:
        each = seconds_of(machine, sizes, assumed)
        hours = _PHOTOS * each / 3600
        unit = f"{hours:,.0f} GPU*" if machine.gpu_tflops else f"{hours * machine.vcpus:,.0f} core"
        row = [machine.name, f"{1 / each:.1f}", f"{hours:,.0f}", unit, f"{hours * machine.dollars_h:,.0f}"]
        table.add_row(*row, f"{hours / 10:,.1f}")
    _CONSOLE.print(table)
    requests = _PHOTOS / 1000 * assumed.get_1000 + (_PHOTOS + 3 * _PHOTOS / 4) / 1000 * assumed.put_1000
    volume = _PHOTOS * (sizes.photo_mb + sizes.cutout_mb) / 1000
    lines = [
        f"a photo: {sizes.mean_s:.2f} processor s, of these {sizes.other_s:.2f} not the network;"
        f" {sizes.photo_mb:.2f} MB in, {sizes.cutout_mb:.2f} MB out",
        f"photos {_PHOTOS * sizes.photo_mb / 1000:,.0f} GB, cutouts {_PHOTOS * sizes.cutout_mb / 1000:,.0f} GB:"
        f" {volume * assumed.store_gb_month:,.0f} dollars a month",
        f"requests: {requests:,.1f} dollars; cutouts out of the provider's network:"
        f" {_PHOTOS * sizes.cutout_mb / 1000 * assumed.out_gb:,.0f} dollars",
    ]
    _CONSOLE.print("\n".join(lines))


def show_bottlenecks(sizes: Sizes, assumed: Assumptions) -> None:
    """Simulate runs with more and more workers; print where they stop getting faster, and why."""
    gpu = next(machine for machine in MACHINES if machine.gpu_tflops)
    quick = replace(sizes, seconds=(max(gpu_seconds(gpu, assumed), sizes.other_s / 16),))
    large = replace(sizes, photo_mb=25.0, cutout_mb=30.0)
    table = Table(title="simulated: photos a second and busiest stage (share of its time)", title_justify="left")
    for name in ("cluster", "studio photos", "the same, GPU workers*", "25 MB in, 30 MB out, GPU workers*"):
        table.add_column(name)
    for workers in (16, 64, 256, 1024, 4096):
        cells = []
        for kind, on_gpu in (
            (sizes, False),
            (quick, True),
            (replace(quick, photo_mb=large.photo_mb, cutout_mb=large.cutout_mb), True),
        ):
            nodes = workers if on_gpu else max(workers // 16, 1)
            shape = Cluster(workers, nodes=nodes, batch=16 if on_gpu else 4)
            num = min(int(900 * workers / kind.mean_s), _PHOTOS)
            outcome = simulate(shape, kind, num, assumed)
            rate = num / (outcome.wall_s - shape.start_s)
            cells.append(f"{rate:,.0f}, {outcome.bottleneck} {outcome.busy[outcome.bottleneck]:.0%}")
        table.add_row(f"{workers} workers", *cells)
    _CONSOLE.print(table)


def show_review(assumed: Assumptions) -> None:
    """Print the retouchers needed for a night's photos, by the share that is doubtful."""
    doubtful_s = assumed.look_s + assumed.fixed * assumed.fix_s
    table = Table(title="review", title_justify="left")
    for name in (
        "doubtful",
        "all photos an hour and retoucher",
        "retouchers, 30,000 photos a day",
        "days of 100, a million",
    ):
        table.add_column(name, justify="right")
    for share in (0.02, 0.05, 0.1, 0.2, 0.4, 1.0):
        photos_h = 3600 / (share * doubtful_s)
        people = 30_000 / photos_h / assumed.day_h
        days = _PHOTOS / photos_h / assumed.day_h / 100
        table.add_row(f"{share:.0%}", f"{photos_h:,.0f}", f"{people:,.1f}", f"{days:,.1f}")
    _CONSOLE.print(table)
    waits = [f"{share:.0%}: {wait_for_review(share, 20, assumed):.1f} h" for share in (0.1, 0.2, 0.3)]
    _CONSOLE.print(
        f"simulated, 30,000 photos cut overnight, 20 retouchers: last one looked at after {', '.join(waits)} of work"
    )


def wait_for_review(share: float, retouchers: int, assumed: Assumptions, *, seed: int = 0) -> float:
    """Working hours until the last doubtful photo of a night is checked; times per photo are random."""
    draw, free = random.Random(seed), [0.0] * retouchers
    for _ in range(round(30_000 * share)):
        fixing = draw.expovariate(1 / assumed.fix_s) if draw.random() < assumed.fixed else 0.0
        heapq.heappush(free, heapq.heappop(free) + draw.expovariate(1 / assumed.look_s) + fixing)
    return max(free) / 3600


def check(folders: Sequence[Path], assumed: Assumptions) -> None:
    """Compare simulated and measured wall seconds of runs, given the processor seconds per photo of each.

    Rows are used only for the differences between photos. Their absolute times are too long, because a photo waits
    while another one is in the network.
    """
    for folder in folders:
        measured = json.loads((folder / "measured.json").read_text())
        workers, each = measured["workers"], measured["steady"]
        # A worker has one core; a folder run has all cores for one photo at a time in the network.
        mean_s = each["by_kind"]["cut"] if workers else each["processor_s"] / (os.cpu_count() or 1)
        sizes = read_sizes(folder / "results.jsonl", other_s=0.0, mean_s=mean_s)
        near = replace(assumed, latency_s=0.002, node_gbit_s=8.0, put_s=1e9, get_s=1e9)
        batch = 4 if workers else 1
        start_s = max(measured["first_s"] - batch * mean_s, 0.0)  # the first photos include the time for cutting them
        cluster = Cluster(workers or 1, batch=batch, start_s=start_s)
        walls = sorted(simulate(cluster, sizes, len(sizes.seconds), near, seed=seed).wall_s for seed in range(21))
        apart, wall_s = walls[10] / measured["wall_s"] - 1, measured["wall_s"]
        _CONSOLE.print(
            f"{folder.name}: {len(sizes.seconds)} photos, start {start_s:.1f} s, {sizes.mean_s:.2f} s a photo:"
            f" simulated {walls[10]:.0f} s ({walls[0]:.0f} to {walls[-1]:.0f}), measured {wall_s:.0f} s ({apart:+.1%})"
        )


def show_driver(num: int = 100_000) -> None:
    """Print time and memory of the driver for names, rows and Parquet, which grow with the number of photos."""
    from garmentcut.cluster.ledger import Ledger, parquet_bytes, read_parquet
    from garmentcut.cluster.run import plan_run
    from garmentcut.cluster.storage import open_storage
    from garmentcut.prediction.cutter import Cutter
    from garmentcut.prediction.folder import FolderCutter
    from garmentcut.prediction.results import Row

    def drawn(digits: int) -> str:
        return f"{random.getrandbits(4 * digits):0{digits}x}"

    def report(what: str, began: float) -> None:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
        _CONSOLE.print(f"{what}: {time.process_time() - began:.1f} s; the process then holds {resident:.0f} MB")

    folder, began = FolderCutter(Cutter.load(), Path()), time.process_time()
    places = [f"{number // 1000}/{number}_Front" for number in range(num)]
    listed: dict[str, Any] = {"input_bytes": 500_000, "input_mtime_ns": 10**18}
    photos = [Row(f"s3://bucket/photos/{place}.jpg", place, **listed, input_etag=drawn(32)) for place in places]
    report(f"{num:,} photos as listed", began)
    plan = plan_run(photos, Ledger(open_storage("/nowhere/at/all")), folder)
    report(f"planned, {sum(map(len, plan.groups)):,} to do", began)
    rows = [
        replace(photo, outputs=(name,), input_sha256=drawn(64), written={name: (drawn(64),)})
        for photo in photos
        for name in [f"{photo.place}.png"]
    ]
    content = parquet_bytes(rows)
    report(f"rows as {len(content) / 1e6:.1f} MB of Parquet", began)
    again = len(list(read_parquet(content)))
    report(f"{again:,} rows read back", began)


if __name__ == "__main__":
    if sys.argv[1:2] == ["driver"]:
        show_driver()
    elif sys.argv[1:2] == ["check"]:
        check([Path(each) for each in sys.argv[2:]], Assumptions())
    elif sys.argv[1:2] == ["plan"] and len(sys.argv) > 2:
        mean_s, other_s = (float(each) for each in (sys.argv[3:] or ["1.3", "0.08"]))
        measured_sizes = read_sizes(Path(sys.argv[2]), other_s=other_s, mean_s=mean_s)
        show_costs(measured_sizes, Assumptions())
        show_bottlenecks(measured_sizes, Assumptions())
        show_review(Assumptions())
    else:
        sys.exit(__doc__)
