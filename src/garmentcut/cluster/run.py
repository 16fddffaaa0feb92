"""`garmentcut cut --ray`: plans a run, sends it through the stages as a Ray data set, and joins the results.

Ray places the stages, repeats what was killed, and holds the fast ones back.
"""

import logging
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from garmentcut.cluster.ledger import RESULTS, Lease, Ledger, LedgerRow, finish
from garmentcut.cluster.stages import (
    Assignment,
    CutBatch,
    Job,
    load_photo,
    packed,
    read_batch,
    unpacked,
    write_batch,
)
from garmentcut.cluster.storage import StoredPhoto, is_url, list_photos, open_storage
from garmentcut.config import Config
from garmentcut.errors import ConfigError, LockTakenError, RunError, SourceError
from garmentcut.photo.files import LOCK_NAME, FolderLock
from garmentcut.prediction.folder import FolderCutter, earlier_batch, record_order
from garmentcut.prediction.results import Row, displaced, is_another_at, is_unchanged, tell_apart
from garmentcut.prediction.sources import (
    SKIPPED_NAME,
    Named,
    Skipped,
    Source,
    by_garment,
    garment_of,
    name_files,
    skipped_lines,
)
from garmentcut.prediction.steps import GUILTY
from garmentcut.prediction.verdict import Judge

LOCAL = "local"  # address of a cluster of this machine alone, started for the run
_KILLED = "the process that cut it was killed each time; is the photo too large for a worker's memory?"
_OBJECT_STORE_BYTES = 512_000_000  # of a cluster of this machine: some hundred photos' files
_CHUNK = 2_000  # batches handed to Ray at a time: what it keeps of each in the driver's memory stays bounded
_IDLE_MS = 600_000
_TRIES = 8  # of a batch whose worker is killed
_TOLERATED = 0.02  # of a chunk's batches may fail wholly: their photos are tried again, one garment at a time
_CPU_OF_CUTTING, _CPU_OF_WAITING = 0.8, 0.05  # of a core: reading and writing wait more than they work
_WORKERS_A_READER = 4  # on CPUs; a GPU is as fast as one of them and one that writes (benchmarks/scale_plan.py)

Group = tuple[Job, ...]  # photos of one garment


@dataclass(frozen=True)
class ClusterPlan:
    """What a run will do."""

    groups: tuple[Group, ...]  # photos to cut, those of one garment together
    done: tuple[str, ...]  # inputs of photos cut before with the same model and options

    @property
    def num_todo(self) -> int:
        """Photos to cut."""
        return sum(map(len, self.groups))


@dataclass(frozen=True)
class Workers:
    """Who does the work."""

    num: int  # processes that hold the model
    threads: int  # of each, on a CPU
    on_gpu: bool  # each has a GPU
    batch: int  # photos given to one at a time: what is done again if it is killed


class ClusterCutter:
    """Cuts photos of a folder or an object store into another, on a Ray cluster; a context that holds the target.

    >>> with ClusterCutter(FolderCutter(cutter, Path()), "s3://bucket/cut") as run:  # doctest: +SKIP
    ...     plan = run.plan(["s3://bucket/photos"])
    ...     with run.ready_for(plan, "auto") as workers:
    ...         for row in run.cut(plan, workers):
    ...             print(row.input, row.ok, row.reason)
    """

    def __init__(self, folder: FolderCutter, out: str) -> None:
        """Prepare a run; nothing is written before the context is entered.

        Args:
            folder: a folder run with the wanted options, not entered. What such a run has cut is not cut again, and the
                other way round. Its model is sent to the workers, unless it is the embedded one, which they have.
            out: path or URL of the target.

        Raises:
            ConfigError: the options do not fit a cluster.
        """
        if folder.config.folder.by_verdict:
            raise ConfigError("folder.by_verdict sorts folders; with --ray, go by the rows' verdict instead")
        self.target, self._order, self._judge = open_storage(out), folder.order, folder.judge
        label, specification = folder.cutter.card.label, folder.specification
        self._assignment = Assignment(
            self.target.url, 0, label, folder.options, folder.config, specification, folder.overwrite
        )
        self._stack = ExitStack()
        self.skipped: list[Skipped] = []  # that `plan` passed over

    @property
    def results(self) -> str:
        """Where the rows are."""
        return self.target.url_of(RESULTS)

    def __enter__(self) -> "ClusterCutter":
        """Become the target's only run and read what is known of it.

        Raises:
            SourceError: another run is at work there, its results are not ours, or it cannot be written.
        """
        with ExitStack() as stack:
            try:
                if (folder := self.target.folder) is not None:  # keep folder runs out, mark it as one of cutouts
                    folder.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(FolderLock(folder / LOCK_NAME, timeout_s=0.0))
                    earlier_batch(folder)  # refuses one that cannot be used
                self._lease = stack.enter_context(Lease(self.target))
                self._assignment = replace(self._assignment, run=self._lease.number)
                self._ledger = Ledger.read(self.target)
            except (OSError, SourceError, LockTakenError) as error:
                reason = getattr(error, "strerror", None) or error
                fix = "; wait or choose another --out" if isinstance(error, LockTakenError) else ""
                raise SourceError(f"{self.target.url} cannot be the output folder: {reason}{fix}") from error
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Let go."""
        self._stack.close()

    def plan(self, inputs: Sequence[str]) -> ClusterPlan:
        """List the photos, name their outputs, tell those done before from those to do.

        Raises:
            SourceError: an input does not exist, or there is no photo.
            ConfigError: the specification would give two files the same name.
        """
        photos = list_photos(inputs, self.target, skipped=self.skipped)
        if self.skipped:
            self.target.put(SKIPPED_NAME, skipped_lines(self.skipped))
        else:
            self.target.delete([SKIPPED_NAME])
        known = set(self._ledger.rows)
        plan = plan_run(photos, self._ledger, self._assignment, self._judge)
        if known - self._ledger.rows.keys():  # rows of photos in whose place others stand are kept under other names
            self._ledger.join(self._lease.number)
        return plan

    @contextmanager
    def ready_for(self, plan: ClusterPlan, address: str) -> Iterator[Workers]:
        """The cluster, and who works there; nothing is connected or started where nothing is to do.

        Raises:
            RunError: it cannot be reached, or has no room.
        """
        if not plan.num_todo:
            yield Workers(0, 0, on_gpu=False, batch=1)
            return
        with connected(address, self._assignment.config) as workers:
            yield workers

    def cut(self, plan: ClusterPlan, workers: Workers) -> Iterator[Row]:
        """Cut what the plan holds; yields each photo's row once its files and the row are written.

        Raises:
            RunError: nothing works any more, or another run has taken the target.
        """
        assignment = self._assignment
        if self.target.folder is not None:
            record_order(self.target.folder, assignment.options, self._order)
        content = Path(self._order.model).read_bytes() if self._order.model else None
        left = {job.photo.input: job for group in plan.groups for job in group}
        groups = list(plan.groups)
        for team in (workers, replace(workers, batch=1)):
            for row in run_batches(groups, content, assignment, team) if groups else ():
                self._lease.check()
                if left.pop(row.input, None) is not None:
                    yield row
            # Those whose workers died: once more, each for itself, unless a garment's photos have one scale.
            groups = [group for group in plan.groups if any(job.photo.input in left for job in group)]
            if assignment.specification is None:
                groups = [(job,) for job in left.values()]
        alone = {group[0].photo.input for group in groups if len(group) == 1}
        died = {name for name, job in left.items() if job.earlier and job.earlier.code == "worker_killed"}
        codes = {name: ("kills_run", GUILTY) if name in died & alone else ("worker_killed", _KILLED) for name in left}
        if rows := [job.failed(assignment, *codes[name]) for name, job in left.items()]:
            finish(self.target, assignment.run, map(LedgerRow, rows))
            yield from rows
        self._lease.check()
        try:
            self._ledger = Ledger.read(self.target)
            self._ledger.join(self._lease.number)
        except (OSError, SourceError) as error:
            raise RunError(f"the rows are written, but could not be joined: {error}; run again") from error


def plan_run(photos: Sequence[StoredPhoto], ledger: Ledger, assignment: Assignment, judge: Judge) -> ClusterPlan:
    """Name the outputs of what `list_photos` found, and tell photos done before from those to do.

    Raises:
        ConfigError: the specification would give two files the same name.
        OSError: the target cannot be listed.
    """
    target, known = ledger.target, ledger.rows
    present = {found.name for found in target.walk()}
    # Inputs go by their path here, in which the `//` of a URL is one `/`.
    owned = {target.url_of(name) for entry in known.values() for name in entry.row.written}
    inputs, specification = {photo.input.casefold() for photo in photos}, assignment.specification
    by_path = {Path(photo.input): photo for photo in photos if not photo.refused and photo.input not in owned}
    found, renamed = _tell_apart(by_path, ledger, assignment)
    sources = by_garment(found)
    rows = {str(Path(entry.row.input)): entry.row for entry in known.values()}
    places = {path: row.place for path, row in rows.items()}
    owners = {name: path for path, row in rows.items() for name in row.written}
    names = name_files(sources, assignment.config.output, specification, places=places, owners=owners)
    jobs = []
    for source in sources:
        named, earlier = names[source.path], rows.get(str(source.path))
        job = Job(by_path[source.path], garment_of(source), named, earlier.written if earlier else {}, earlier)
        taken = tuple(name for name in named.outputs if name in present)
        job = replace(job, is_renamed=source.path in renamed, taken=taken)
        if itself := next((url for url in map(target.url_of, named.outputs) if url.casefold() in inputs), ""):
            reason = f"{itself} is itself one of the photos; choose another --out"
            job = replace(job, code="output_is_photo", refused=reason)
        elif earlier and earlier.code == "kills_run" and not assignment.overwrite:
            is_same = _is_unchanged(job.photo, known[job.photo.input])
            job = replace(job, code="kills_run", refused=earlier.reason) if is_same else job
        jobs.append(job)
    refused = [photo for photo in photos if photo.refused]
    jobs += [Job(each, each.input, Named("", ()), {}, code="bad_name", refused=each.refused) for each in refused]
    groups, done = list[Group](), list[str]()
    for _, group in groupby(jobs, key=lambda job: job.garment):
        of_garment = tuple(group)
        to_do = tuple(job for job in of_garment if not _is_done(job, known.get(job.photo.input), assignment, judge))
        if to_do and specification is not None:
            to_do = of_garment  # photos of a garment have one scale: one of them new, and all are cut
        done += [job.photo.input for job in of_garment if job not in to_do]
        groups += [to_do] if to_do else []
    return ClusterPlan(tuple(groups), tuple(done))


def _tell_apart(
    by_path: dict[Path, StoredPhoto], ledger: Ledger, assignment: Assignment
) -> tuple[list[Source], frozenset[Path]]:
    """See `tell_apart`; the rows of photos in whose place others stand get names of their own in the ledger."""

    def part(row: Row) -> None:
        entry, new = ledger.rows.pop(row.input), displaced(row)
        ledger.rows[new.input] = replace(entry, row=new)

    def is_another(row: Row, path: Path) -> bool:
        if _is_unchanged(by_path[path], ledger.rows[row.input]):
            return False
        job = Job(by_path[path], "", Named("", ()), {})
        return is_another_at(row, lambda: load_photo(job, assignment).content)

    rows = {str(Path(entry.row.input)): entry.row for entry in ledger.rows.values()}
    return tell_apart([Source(path, photo.place) for path, photo in by_path.items()], rows, is_another, part)


def _is_done(job: Job, entry: LedgerRow | None, assignment: Assignment, judge: Judge) -> bool:
    """True if a photo was cut with these options, has not changed since, and its outputs are there."""
    if entry is None or not (row := entry.row).ok or row.options != assignment.options:
        return False
    has_verdict = row.verdict == judge.verdict_of(row.doubt, row.flags)
    return has_verdict and row.outputs == job.named.outputs == job.taken and _is_unchanged(job.photo, entry)


def _is_unchanged(photo: StoredPhoto, entry: LedgerRow) -> bool:
    row = entry.row
    if photo.etag and entry.etag:
        return photo.num_bytes == row.input_bytes and photo.etag == entry.etag
    if (photo.num_bytes, photo.mtime_ns) == (row.input_bytes, row.input_mtime_ns):
        return True
    return not is_url(photo.input) and is_unchanged(row, Path(photo.input))


def batches_of(groups: Iterable[Group], num_photos: int) -> Iterator[tuple[Group, ...]]:
    """Groups joined to batches of so many photos, or a few more: a garment is never torn apart."""
    batch: list[Group] = []
    for group in groups:
        batch.append(group)
        if sum(map(len, batch)) >= num_photos:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)


@contextmanager
def connected(address: str, config: Config) -> Iterator[Workers]:
    """A cluster to work on, `local`, `auto`, `host:port` or `ray://host:port`, and who can work there.

    One of this machine gets room for the workers that are asked for.

    Raises:
        RunError: it cannot be reached or started, or has no room for the workers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics are sent
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as a folder run's; Ray's own 15 starves beside other work
    # Ray ends a process that is idle for a second where there are more of them than cores, and those that cut hold them
    # all: a new one to read, and one to write, for every batch took as long as cutting it.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", str(_IDLE_MS))
    import ray

    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        cores = max(own, config.cluster.workers)
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    else:
        options |= {"address": address}
    try:
        ray.init(**options)
    except Exception as error:
        raise RunError(f"--ray {address}: {str(error).partition(chr(10))[0]}") from error
    try:
        yield _workers_of(ray.cluster_resources(), config)  # type: ignore[no-untyped-call]
    finally:
        ray.shutdown()


def _workers_of(resources: dict[str, float], config: Config) -> Workers:
    runtime, workers, batch = config.runtime, config.cluster.workers, config.cluster.batch
    gpus = int(resources.get("GPU", 0)) if runtime.backend != "openvino" else 0
    if gpus:
        return Workers(workers or gpus, runtime.threads, on_gpu=True, batch=batch or 16)
    threads, cores = runtime.threads or 1, resources.get("CPU", 0)
    room = int(cores // threads)
    if workers > room or not room:
        raise RunError(f"the cluster has {cores:g} cores: no room for {workers or 1} x {threads} threads")
    return Workers(workers or room, threads, on_gpu=False, batch=batch or 4)


def run_batches(
    groups: Sequence[Group], model: bytes | None, assignment: Assignment, workers: Workers
) -> Iterator[Row]:
    """Cut groups of photos on the cluster; yields each photo's row once it is written.

    A photo whose worker dies every time has no row in the end; it is not yielded.

    Raises:
        RunError: nothing works, or no more than by chance.
    """
    runtime = assignment.config.runtime
    runtime = replace(runtime, threads=workers.threads, streams=runtime.streams or (2 if workers.on_gpu else 1))
    assignment = replace(assignment, config=replace(assignment.config, runtime=runtime))
    batches = list(batches_of(groups, workers.batch))
    for first in range(0, len(batches), _CHUNK):
        yield from _run_chunk(batches[first : first + _CHUNK], model, assignment, workers)


def _run_chunk(
    batches: list[tuple[Group, ...]], model: bytes | None, assignment: Assignment, workers: Workers
) -> Iterator[Row]:
    import ray

    data: Any = ray.data.from_arrow([packed(list(batch)) for batch in batches])
    context = data.context
    context.enable_progress_bars = context.enable_auto_log_stats = context.print_on_execution_start = False
    context.execution_options.verbose_progress = context.execution_options.preserve_order = False
    context.max_errored_blocks = max(4, math.ceil(_TOLERATED * len(batches)))
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # a killed worker is no news: its photos are done again
    whole: dict[str, Any] = {"batch_format": "pyarrow", "batch_size": None}
    waiting: dict[str, Any] = {
        **whole,
        "fn_kwargs": {"assignment": assignment},
        "compute": ray.data.TaskPoolStrategy(math.ceil(workers.num / (1 if workers.on_gpu else _WORKERS_A_READER))),
        "num_cpus": _CPU_OF_WAITING,
        "max_retries": _TRIES,
    }
    # On a GPU two batches at a time: while one is read and written, the other keeps the GPU at work.
    twice: dict[str, Any] = {"max_concurrent_calls_per_actor": 2, "enable_true_multi_threading": True}
    pool = ray.data.ActorPoolStrategy(
        size=workers.num,
        max_tasks_in_flight_per_actor=4 if workers.on_gpu else 2,
        **(twice if workers.on_gpu else {}),
    )
    with warnings.catch_warnings():
        # How often a killed task is tried again is asked for in a way that Ray will drop in 2.64: hence the pin.
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        data = data.map_batches(read_batch, **waiting)
        data = data.map_batches(
            CutBatch,
            **whole,
            fn_constructor_kwargs={"model": model, "assignment": assignment},
            compute=pool,
            num_cpus=_CPU_OF_CUTTING * max(workers.threads, 1),
            num_gpus=1 if workers.on_gpu else None,
            max_restarts=-1,
            max_task_retries=_TRIES,
        )
        data = data.map_batches(write_batch, **waiting)
    try:
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from unpacked(batch)
    except ray.exceptions.RayError as error:
        raise RunError(f"{_cause_of(error)}; run again to go on") from error


def _cause_of(error: BaseException) -> str:
    """The innermost reason, on one line: Ray wraps what a worker said in many others."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None and inner is not error:
        error = inner
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
