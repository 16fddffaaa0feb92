"""Cut many photos: decode, network and encode overlap; safe to kill, cheap to start again."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from garmentcut.config import Config
from garmentcut.photo.delivery import shared_scales
from garmentcut.photo.encoding import output_suffix
from garmentcut.photo.files import remove_staged
from garmentcut.photo.specification import Specification
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.delivery import by_garment, garment_of, name_deliveries
from garmentcut.prediction.results import Journal, ResultsError, Row, fingerprint, is_done, sha256_of
from garmentcut.prediction.sources import LOCK_NAME, Named, Source, SourceError, name_outputs
from garmentcut.prediction.steps import Steps, Work, folded_path

_T = TypeVar("_T")


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        todo: photos to cut, with their output names.
        done: rows of photos cut before with the same model and options.
        originals: `folded_path` of every photo of this and earlier runs.
        garments: under a specification, of each photo what all photos of its garment share; they follow each other.
    """

    todo: dict[Path, Named]
    done: tuple[Row, ...]
    originals: frozenset[str]
    garments: dict[str, str] = field(default_factory=dict)


class FolderCutter:
    """Cuts many photos into one output folder; used as a context, it holds the folder's lock.

    >>> sources = find_sources([Path("photos")], out_dir)  # doctest: +SKIP
    >>> with FolderCutter(cutter, out_dir) as folder:  # doctest: +SKIP
    ...     for row in folder.cut(folder.plan(sources)):
    ...         print(row.input, row.ok, row.reason, row.seconds)
    """

    def __init__(
        self,
        cutter: Cutter,
        out_dir: Path,
        *,
        config: Config | None = None,
        overwrite: bool = False,
        specification: Specification | None = None,
    ) -> None:
        """Prepare a run; nothing is written before the context is entered.

        Args:
            cutter: a loaded model.
            out_dir: made if it is missing.
            config: limits, output options, threads.
            overwrite: replace files that garmentcut did not write, or that were changed since it wrote them.
            specification: a customer's, which then decides the files instead of `config.output`.
        """
        self.cutter = cutter
        self.out_dir = out_dir.resolve()
        self.config = config or Config()
        self.overwrite = overwrite
        self.specification = specification
        card = cutter.card
        # What decides the pixels that are written; not how many threads write them.
        wanted = specification.fingerprint if specification else asdict(self.config.output)
        self.options = fingerprint(card.sha256, card.edge_bias, card.edge_gain, wanted)
        self._owner = fingerprint(str(self.out_dir))
        self._lock = FileLock(self.out_dir / LOCK_NAME, timeout=0)

    def __enter__(self) -> "FolderCutter":
        """Take the folder's lock, read its results and clear what a killed run left.

        Raises:
            SourceError: another run is at work there, its results are not ours, or it cannot be written.
        """
        try:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self.journal = Journal(self.out_dir)
            self.journal.compact()
        except Timeout as error:
            raise SourceError(f"{self.out_dir}: another run is at work there; wait or choose another --out") from error
        except (OSError, ResultsError) as error:
            self._lock.release()
            reason = error.strerror if isinstance(error, OSError) else error
            raise SourceError(f"{self.out_dir} cannot be the output folder: {reason}") from error
        return self

    def __exit__(self, *_: object) -> None:
        """Leave one row a photo and give the lock back."""
        try:
            with suppress(OSError):  # a full disk: the rows are all there, only not tidied
                self.journal.compact()
        finally:
            self._lock.release()

    def plan(self, sources: Iterable[Source]) -> Plan:
        """Name the outputs and tell photos done before from those to do.

        Args:
            sources: what `find_sources` found; files that this folder's runs wrote are passed over.

        Raises:
            garmentcut.config.ConfigError: the specification would give two files the same name.
        """
        sources = list(sources)
        self._adopt_moved(sources)
        owners = self.journal.owners()
        written = {self.out_dir / name for name in owners}
        sources = [source for source in sources if source.path not in written]
        names = self._names_of(sources, owners)
        done = {path: row for path in names if (row := self._done_row(path, names[path].outputs))}
        garments = {str(source.path): garment_of(source) for source in sources} if self.specification else {}
        # Photos of a garment have one scale: one of them new, and all are cut.
        to_cut = {garments.get(str(path)) for path in names if path not in done}
        done = {path: row for path, row in done.items() if not garments or garments[str(path)] not in to_cut}
        todo = {path: named for path, named in names.items() if path not in done}
        for folder in {(self.out_dir / name).parent for named in todo.values() for name in named.outputs}:
            remove_staged(folder, self._owner)
        originals = frozenset(map(folded_path, [*names, *map(Path, self.journal.rows)]))
        return Plan(todo, tuple(done.values()), originals, garments)

    def _names_of(self, sources: list[Source], owners: dict[str, str]) -> dict[Path, Named]:
        if self.specification is not None:
            return name_deliveries(by_garment(sources), self.specification, owners=owners)
        suffixes = [output_suffix(format) for format in self.config.output.formats]
        return name_outputs(sources, suffixes, places=self.journal.places(), owners=owners)

    def _adopt_moved(self, sources: Iterable[Source]) -> None:
        """A photo at the place of one that is gone, with the same content, is that photo, moved or renamed."""
        gone = {row.place: row for row in self.journal.rows.values() if not Path(row.input).exists()}
        for source in sources:
            row = gone.get(str(source.place))
            if row is None or str(source.path) in self.journal.rows:
                continue
            with suppress(OSError):
                if source.path.stat().st_size == row.input_bytes and sha256_of(source.path) == row.input_sha256:
                    self.journal.adopt(row.input, str(source.path))

    def _done_row(self, path: Path, outputs: tuple[str, ...]) -> Row | None:
        row = self.journal.rows.get(str(path))
        return row if is_done(row, path, self.out_dir, options=self.options, outputs=outputs) else None

    def cut(self, plan: Plan) -> Iterator[Row]:
        """Cut what the plan holds; yields each photo's row once its files are written.

        Raises:
            garmentcut.prediction.steps.FolderError: the disk is full.
        """
        folder, streams = self.config.folder, self.cutter.runtime.streams
        steps = Steps(
            self.cutter,
            self.journal,
            self.out_dir,
            self.config,
            self.overwrite,
            plan.originals,
            self._owner,
            self.specification,
        )
        jobs = ((path, named, self.options) for path, named in plan.todo.items())
        with (
            ThreadPoolExecutor(folder.readers) as readers,
            ThreadPoolExecutor(streams) as network,
            ThreadPoolExecutor(folder.writers) as writers,
        ):
            loaded = _in_order(readers, steps.load, jobs, num_ahead=folder.readers + folder.in_flight - 1)
            predicted = _in_order(network, steps.predict, ((work,) for work in loaded), num_ahead=streams)
            if self.specification is not None:
                predicted = self._scaled(predicted, plan.garments, steps=steps, writers=writers)
            finishing = ((work,) for work in predicted)
            yield from _in_order(writers, steps.finish, finishing, num_ahead=folder.writers + folder.in_flight - 1)

    def _scaled(
        self, works: Iterable[Work], garments: dict[str, str], *, steps: Steps, writers: ThreadPoolExecutor
    ) -> Generator[Work, None, None]:
        """The same works, those of a garment held back until its common scale is known."""
        assert self.specification is not None
        num_photos = Counter(garments.values())
        sighted = _in_order(
            writers,
            lambda work: work if num_photos[garments[work.row.input]] == 1 else steps.sight(work),
            ((work,) for work in works),
            num_ahead=self.config.folder.writers,
        )
        for _, group in groupby(sighted, key=lambda work: garments[work.row.input]):
            waiting = list(group)
            sightings = [work.sighting for work in waiting if work.sighting is not None]
            scales = shared_scales(self.specification, sightings) if sightings else None
            yield from (replace(work, scales=scales) for work in waiting)


def _in_order(
    pool: ThreadPoolExecutor, step: Callable[..., _T], jobs: Iterable[tuple[object, ...]], *, num_ahead: int
) -> Generator[_T, None, None]:
    """Results of `step(*job)` in order, with `num_ahead` of them under way while jobs are drawn."""
    waiting: deque[Future[_T]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(step, *job))
            if len(waiting) > num_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
