"""`garmentcut cut --ray`: plans a run, passes batches to workers that Ray places and restarts, joins the results."""

import logging
import math
import os
import re
import socket
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from typing import Any, NamedTuple

from garmentcut.cluster.ledger import RESULTS, Lease, Ledger, finish, fits_parquet
from garmentcut.cluster.storage import is_url, list_photos, open_storage, read_photo
from garmentcut.cluster.worker import Assignment, Job, Worker
from garmentcut.config import Config
from garmentcut.errors import ConfigError, LockTakenError, PhotoError, RunError, SourceError
from garmentcut.photo.files import LOCK_NAME, FolderLock
from garmentcut.prediction.folder import FolderCutter, earlier_batch, record_order
from garmentcut.prediction.results import Row, displaced, failed_row, is_another_at, is_unchanged, tell_apart
from garmentcut.prediction.sources import SKIPPED_NAME, Skipped, Source, by_garment, garment_of, skipped_lines
from garmentcut.prediction.steps import GUILTY

LOCAL = "local"  # address of a cluster on this machine only, which is started for the run
_KILLED = "the process that cut it was killed each time; is the photo too large for a worker's memory?"
_HOST_PORT = re.compile(r"(?:ray://)?\[?(?P<host>[^/]+?)\]?:(?P<port>\d+)")
_ANSWERS_S = 10.0  # a running head accepts a connection at once
_OBJECT_STORE_BYTES = 512_000_000  # on a local cluster, for the model, batches and rows
_TRIES = 8  # of a batch whose worker is killed
_TOLERATED = 0.02  # share of batches that may fail; their photos are tried again, one garment at a time

Group = tuple[Job, ...]  # photos of one garment


class ClusterPlan(NamedTuple):
    """What a run will do."""

    groups: tuple[Group, ...]  # photos to cut, those of one garment together
    done: tuple[Row, ...]  # rows of photos cut before with the same model and options


@dataclass(frozen=True)
class Workers:
    """The workers of a run."""

    num: int  # processes that hold the model
    threads: int  # of each, on a CPU
    on_gpu: bool  # each has a GPU
    batch: int  # photos given to a worker at a time; all are done again if it is killed


class ClusterCutter:
    """Cuts photos from a folder or an object store to another on a Ray cluster; a context that holds the lease.

    Attributes:
        target: where the cutouts are written.
        results: where the rows are written.
        skipped: what `plan` skipped.
        assignment: what all workers must know.
    """

    def __init__(self, folder: FolderCutter, out: str) -> None:
        """Prepare a run to the target `out`, a path or URL; nothing is written before the context is entered.

        `folder` is a folder run with the wanted options, not entered. What one of both has cut is not cut again by the
        other. Its model is sent to the workers, unless it is the embedded one, which they have.

        Raises:
            ConfigError: the options do not fit a cluster.
        """
        if folder.config.folder.by_verdict:
            raise ConfigError("folder.by_verdict does not work with --ray; use the rows' verdict instead")
        self._folder, self.target = folder, open_storage(out)
        self.results = self.target.url_of(RESULTS)
        self.skipped: list[Skipped] = []
        self._stack = ExitStack()

    def __enter__(self) -> "ClusterCutter":
        """Become the target's only run and read its results.

        Raises:
            SourceError: another run is using the target, its results are not garmentcut's, or it cannot be written to.
        """
        with ExitStack() as stack:
            try:
                if (folder := self.target.folder) is not None:  # keep folder runs out, mark as cutouts
                    folder.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(FolderLock(folder / LOCK_NAME, timeout_s=0.0))
                    earlier_batch(folder)  # raises if the folder cannot be used
                self._lease = stack.enter_context(Lease(self.target))
                self._ledger = Ledger.read(self.target)
            except (OSError, SourceError, LockTakenError) as error:
                reason = getattr(error, "strerror", None) or error
                fix = "; wait or choose another --out" if isinstance(error, LockTakenError) else ""
                message = f"{self.target.url} cannot be the output folder: {reason}{fix}"
                raise SourceError(message, code=getattr(error, "code", "")) from error
            self._stack = stack.pop_all()
        options = self._folder.config, self._folder.specification, self._folder.overwrite
        self.assignment = Assignment(self.target.url, self._lease.number, *options)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def plan(self, inputs: Sequence[str]) -> ClusterPlan:
        """List the photos, name their outputs, and separate photos done before from those to do."""
        photos = list_photos(inputs, self.target, skipped=self.skipped)
        if self.skipped:
            self.target.put(SKIPPED_NAME, skipped_lines(self.skipped))
        else:
            self.target.delete(SKIPPED_NAME)
        known = set(self._ledger.rows)
        plan = plan_run(photos, self._ledger, self._folder)
        if known - self._ledger.rows.keys():  # rows of photos that were replaced by others are kept under other names
            self._ledger.join(self._lease.number)
        return plan

    def cut(self, plan: ClusterPlan, workers: Workers | None) -> Iterator[Row]:
        """Cut the photos of a plan; yields each photo's row once its files and the row are written.

        `workers` may be None if there is nothing to do.

        Raises:
            RunError: too many batches fail, or another run has taken the target.
        """
        if self.target.folder is not None:
            record_order(self.target.folder, self._folder.options, self._folder.order)
        model = Path(self._folder.order.model).read_bytes() if self._folder.order.model else None
        left, groups = {job.row.input: job for group in plan.groups for job in group}, list(plan.groups)
        errors: dict[str, Exception] = {}  # why a photo's last batch failed, unless its worker was killed
        for team in (workers, replace(workers, batch=1)) if workers else ():
            for row in run_batches(groups, model, self.assignment, team, errors) if groups else ():
                self._lease.check()
                if left.pop(row.input, None) is not None:
                    yield row
            # Photos of failed batches are tried once more, each alone unless a garment's photos share a scale.
            groups = [group for group in plan.groups if any(job.row.input in left for job in group)]
            if self._folder.specification is None:
                groups = [(job,) for job in left.values()]
        alone = {group[0].row.input for group in groups if len(group) == 1}
        rows = []
        for name, job in left.items():
            has_killed = name in alone and job.earlier is not None and job.earlier.code == "worker_killed"
            code, reason = ("kills_run", GUILTY) if has_killed else ("worker_killed", _KILLED)
            rows.append(failed_row(job.row, errors.get(name, PhotoError(reason, code=code)), os_error="not_written"))
        if rows:
            finish(self.target, self._lease.number, rows)
            yield from rows
        self._lease.check()
        try:
            self._ledger = Ledger.read(self.target)
            self._ledger.join(self._lease.number)
        except (OSError, SourceError) as error:
            raise RunError(f"the rows are written, but could not be joined: {error}; run again") from error


def plan_run(photos: Sequence[Row], ledger: Ledger, folder: FolderCutter) -> ClusterPlan:
    """Name the outputs of the photos from `list_photos`, and separate photos done before from those to do.

    Raises:
        ConfigError: the specification would give two files the same name.
        OSError: the target cannot be listed.
    """
    target = ledger.target
    present = set(target.walk())
    inputs = {photo.input.casefold() for photo in photos}
    # Photos are identified by paths here, in which the `//` of a URL becomes one `/`.
    ours = {target.url_of(name) for row in ledger.rows.values() for name in row.written}
    by_path = {Path(photo.input): photo for photo in photos if photo.ok and photo.input not in ours}
    rows = {str(Path(row.input)): row for row in ledger.rows.values() if row.code != "bad_name" and fits_parquet(row)}

    def is_same(row: Row, path: Path) -> bool:
        """True if a listed photo is still the one that a row describes."""
        photo = by_path[path]
        if photo.input_etag and row.input_etag:
            return (photo.input_bytes, photo.input_etag) == (row.input_bytes, row.input_etag)
        has_same_stamp = (photo.input_bytes, photo.input_mtime_ns) == (row.input_bytes, row.input_mtime_ns)
        return has_same_stamp or (not is_url(photo.input) and is_unchanged(row, Path(photo.input)))

    def is_another(row: Row, path: Path) -> bool:
        return not is_same(row, path) and is_another_at(row, lambda: read_photo(by_path[path], folder.config.read))

    def displace(row: Row) -> None:
        del ledger.rows[row.input], rows[str(Path(row.input))]
        moved = displaced(row)
        ledger.rows[moved.input] = rows[str(Path(moved.input))] = moved

    found = [Source(path, PurePosixPath(photo.place)) for path, photo in by_path.items()]
    found, renamed = tell_apart(found, rows, is_another, displace)
    plan = folder.planned(by_garment(found), rows, has_file=present.__contains__, is_unchanged=is_same)
    label, groups = folder.cutter.card.label, defaultdict[str, list[Job]](list)
    garments = {source.path: garment_of(source) for source in found}
    for path, (place, outputs) in plan.todo.items():
        earlier = rows.get(str(path))
        flags = ("another_photo",) if path in renamed else ()
        row = replace(by_path[path], place=place, model=label, options=folder.options, flags=flags)
        row = replace(row, written=dict(earlier.written) if earlier else {})
        if itself := next((url for url in map(target.url_of, outputs) if url.casefold() in inputs), ""):
            reason = f"{itself} is itself one of the photos; choose another --out"
            row = failed_row(row, PhotoError(reason, code="output_is_photo"))
        elif not folder.overwrite and earlier and earlier.code == "kills_run" and is_same(earlier, path):
            row = failed_row(row, PhotoError(GUILTY, code="kills_run"))
        taken = tuple(name for name in outputs if name in present)
        groups[garments[path]].append(Job(row, outputs, garments[path], earlier, taken))
    for photo in photos:
        if not photo.ok:
            groups[photo.input].append(Job(replace(photo, model=label, options=folder.options)))
    return ClusterPlan(tuple(map(tuple, groups.values())), plan.done)


def batches_of(groups: Iterable[Group], num_photos: int) -> Iterator[Group]:
    """Groups joined to batches of `num_photos` photos or a few more; a garment is never divided."""
    batch: list[Job] = []
    for group in groups:
        batch += group
        if len(batch) >= num_photos:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)


@contextmanager
def connected(address: str, config: Config) -> Iterator[Workers]:
    """Connect to a cluster, `local`, `auto`, `host:port` or `ray://host:port`; yields the workers that fit on it.

    A local cluster is started with room for the requested workers.

    Raises:
        RunError: it cannot be reached or started, has no room for the workers, or the connection is lost later.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # do not send usage statistics
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's default of 15 starves on a busy machine
    import ray

    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        cores = max(own, config.cluster.workers)
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    else:
        options |= {"address": address}
    try:
        if place := _HOST_PORT.fullmatch(address):  # checked first, because Ray itself tries for minutes
            socket.create_connection((place["host"], int(place["port"])), _ANSWERS_S).close()
        ray.init(**options)
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        if address == "auto" and isinstance(error, ConnectionError):
            reason = "no Ray cluster runs on this machine; start one with `ray start --head`, or leave auto out"
        raise RunError(f"--ray {address}: {reason}") from error
    try:
        yield _workers_of(ray.cluster_resources(), config)  # type: ignore[no-untyped-call]
    except ConnectionError as error:
        if type(error) is not ConnectionError:  # Ray's own if `ray://` is lost; storage raises subclasses
            raise
        why = str(error).partition("\n")[0]
        raise RunError(f"--ray {address}: the connection is lost ({why}); run again to continue") from error
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
    groups: Sequence[Group], model: bytes | None, assignment: Assignment, workers: Workers, errors: dict[str, Exception]
) -> Iterator[Row]:
    """Cut groups of photos on the cluster; yields each photo's row once it is written.

    A photo whose batch fails, or whose worker dies at each try, gets no row and is not yielded. `errors` gets the
    exception that its batch failed with, by the photo's input; there is none if the worker died.

    Raises:
        RunError: too many batches fail.
        ConnectionError: the connection to the cluster is lost; `connected` turns this into RunError.
    """
    import ray

    # On a GPU two batches are cut at a time: while one is decoded and encoded, the other keeps the GPU busy.
    num_cutting = 2 if workers.on_gpu else 1
    runtime = assignment.config.runtime
    runtime = replace(runtime, threads=workers.threads, streams=runtime.streams or num_cutting)
    assignment = replace(assignment, config=replace(assignment.config, runtime=runtime))
    batches = deque(batches_of(groups, workers.batch))
    num_workers = min(workers.num, len(batches))
    # Meanwhile one more is read and one written. Photos that are tried alone must not die because of others.
    num_ahead = min(num_cutting + 2, math.ceil(len(batches) / num_workers)) if workers.batch > 1 else 1
    most_failed = num_ahead * max(4, math.ceil(_TOLERATED * len(batches)))  # a dying worker loses all its batches
    kind: Any = ray.remote(Worker).options(
        num_cpus=max(workers.threads, 1),
        num_gpus=1 if workers.on_gpu else None,
        max_concurrency=num_cutting + 2,
        max_restarts=-1,
        max_task_retries=_TRIES,
    )
    finished: SimpleQueue[tuple[Any, Group, Any]] = SimpleQueue()

    def begin(worker: Any, batch: Group) -> None:
        future = worker.cut.remote(batch).future()
        future.add_done_callback(lambda future: finished.put((worker, batch, future)))

    content, num_under_way, num_failed = model and ray.put(model), 0, 0  # Ray warns about None in its store
    for _ in range(num_workers):
        begin(kind.remote(content, assignment, num_cutting), ())  # empty: done once the worker is ready
    while batches or num_under_way:
        worker, batch, future = finished.get()
        num_under_way -= bool(batch)
        rows: list[Row] = []
        try:
            rows = future.result()
        except ray.exceptions.RayError as error:
            num_failed += 1
            if not batch or num_failed > most_failed:
                raise RunError(f"{_cause_of(error)}; run again to continue") from error
            for job in batch:
                errors.pop(job.row.input, None)
                if isinstance(error, ray.exceptions.RayTaskError):
                    errors[job.row.input] = error.cause
        for _ in range(min(1 if batch else num_ahead, len(batches))):
            begin(worker, batches.popleft())
            num_under_way += 1
        yield from rows


def _cause_of(error: BaseException) -> str:
    """The innermost reason on one line; Ray wraps a worker's exception in several others."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None and inner is not error:
        error = inner
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
