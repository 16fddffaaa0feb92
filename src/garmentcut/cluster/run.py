"""A run on a cluster, from the lease to the joined results."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from garmentcut.cluster.columns import Kept
from garmentcut.cluster.errors import ClusterError
from garmentcut.cluster.lease import Lease
from garmentcut.cluster.ledger import RESULTS, Entry, Ledger
from garmentcut.cluster.listing import list_photos
from garmentcut.cluster.pipeline import Crew, connected, muster, work_off
from garmentcut.cluster.plan import Job, Plan, Wish, plan_run
from garmentcut.cluster.stages import Assignment, failed_row
from garmentcut.cluster.storage import LocalStorage, open_storage
from garmentcut.config import Config, ConfigError
from garmentcut.errors import SourceError
from garmentcut.photo.files import LOCK_NAME
from garmentcut.photo.lock import FolderLock, LockTakenError
from garmentcut.photo.spec import Specification
from garmentcut.prediction.batch import Order, record_order
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import ResultsError, Row

_KILLED = "the process that cut it was killed each time; is the photo too large for a worker's memory?"


@dataclass(frozen=True)
class Model:
    """The model of a run.

    Attributes:
        path: its file; None: the embedded one, which every worker has.
        cutter: loaded in this process, to see that it can be.
    """

    path: Path | None
    cutter: Cutter

    @property
    def content(self) -> bytes | None:
        """To be sent to the workers."""
        return None if self.path is None else self.path.read_bytes()


class ClusterCutter:
    """Cuts photos of a folder or an object store into another, on a Ray cluster; a context that holds the target.

    >>> with ClusterCutter(model, "s3://bucket/cut", config=config) as run:  # doctest: +SKIP
    ...     plan = run.plan(["s3://bucket/photos"])
    ...     with run.ready_for(plan, "auto") as crew:
    ...         for row in run.cut(plan, crew):
    ...             print(row.input, row.ok, row.reason)
    """

    def __init__(
        self,
        model: Model,
        out: str,
        *,
        config: Config,
        overwrite: bool = False,
        specification: Specification | None = None,
    ) -> None:
        """Prepare a run; nothing is written before the context is entered.

        Args:
            model: the model.
            out: path or URL of the target.
            config: limits, output options, threads of a worker.
            overwrite: replace files that garmentcut did not write, or that were changed since.
            specification: a customer's, which then decides the files.

        Raises:
            ConfigError: the options do not fit a cluster, or the model cannot promise what is asked.
        """
        if config.folder.by_verdict:
            raise ConfigError("folder.by_verdict sorts folders; with --ray, go by the rows' verdict instead")
        self._model, self.target = model, open_storage(out)
        # The folder run's own fingerprint: what it has done is not done again, and the other way round.
        folder = FolderCutter(model.cutter, Path(), config=config, specification=specification)
        self._wish = Wish(config, specification, folder.options, folder.judge, overwrite)
        self._stack = ExitStack()

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
                if isinstance(self.target, LocalStorage):
                    stack.enter_context(_locked(Path(self.target.url)))
                self._lease = stack.enter_context(Lease(self.target))
                self._ledger = Ledger.read(self.target)
            except (OSError, ResultsError) as error:
                reason = getattr(error, "strerror", None) or error
                raise SourceError(f"{self.target.url} cannot be the output folder: {reason}") from error
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Let go."""
        self._stack.close()

    def plan(self, inputs: Sequence[str]) -> Plan:
        """List the photos, name their outputs, tell those done before from those to do.

        Raises:
            SourceError: an input does not exist, or there is no photo.
            ConfigError: the specification would give two files the same name.
        """
        return plan_run(list_photos(inputs, self.target), self._ledger, self._wish)

    @contextmanager
    def ready_for(self, plan: Plan, address: str) -> Iterator[Crew]:
        """The cluster, and who works there; nothing is connected or started where nothing is to do.

        Raises:
            ClusterError: it cannot be reached, or has no room.
        """
        if not plan.num_todo:
            yield Crew(0, 0, on_gpu=False, batch=1)
            return
        with connected(address, workers=self._wish.config.cluster.workers):
            yield muster(self._wish.config)

    def cut(self, plan: Plan, crew: Crew) -> Iterator[Row]:
        """Cut what the plan holds; yields each photo's row once its files and the row are written.

        Raises:
            ClusterError: nothing works any more, or another run has taken the target.
        """
        if isinstance(self.target, LocalStorage):
            named = str(self._model.path.resolve()) if self._model.path else ""
            config = self._wish.config
            order = Order(named, config.read, config.output, self._wish.specification, self._model.cutter.config)
            record_order(Path(self.target.url), self._wish.options, order)
        left = {job.photo.input: job for group in plan.groups for job in group}
        # Those whose workers died: once more, each garment for itself.
        for crew_now in (crew, Crew(**{**asdict(crew), "batch": 1})):
            groups = [group for group in plan.groups if any(job.photo.input in left for job in group)]
            for row in work_off(groups, self._model.content, self._assignment, crew_now) if groups else ():
                self._lease.check()
                if left.pop(row.input, None) is not None:
                    yield row
        yield from self._give_up(list(left.values()))
        self._join()

    @property
    def _assignment(self) -> Assignment:
        return Assignment(self.target.url, self._lease.number, self._model.cutter.card.label, self._wish)

    def _give_up(self, jobs: list[Job]) -> Iterator[Row]:
        if jobs:
            rows = [failed_row(job, self._assignment, "worker_killed", _KILLED) for job in jobs]
            entry = Entry(self.target, self._lease.number, tuple(row.input for row in rows))
            entry.finish([Kept(row) for row in rows], "")
            yield from rows

    def _join(self) -> None:
        self._lease.check()
        try:
            self._ledger = Ledger.read(self.target)
            self._ledger.join(self._lease.number)
        except (OSError, ResultsError) as error:
            raise ClusterError(f"the rows are written, but could not be joined: {error}; run again") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep folder runs out, and mark the folder as one of cutouts."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder / LOCK_NAME)
    try:
        lock.acquire()
    except LockTakenError as error:
        raise SourceError(f"{error}; wait or choose another --out") from error
    try:
        yield
    finally:
        lock.release()
