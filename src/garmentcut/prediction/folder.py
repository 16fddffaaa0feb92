"""Cut many photos: decode, network and encode overlap; safe to kill, cheap to start again."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path

from filelock import FileLock, Timeout

from garmentcut.config import Config, CutConfig
from garmentcut.observe.monitor import Monitor
from garmentcut.photo.delivery import shared_scales
from garmentcut.photo.encoding import output_suffix
from garmentcut.photo.files import LOCK_NAME, remove_staged
from garmentcut.photo.specification import Specification
from garmentcut.prediction.batch import Order, record_order
from garmentcut.prediction.consistency_rows import ViewComparison
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.delivery import by_garment, garment_of, name_deliveries
from garmentcut.prediction.pipeline import Plan, in_order, jobs_of
from garmentcut.prediction.results import Journal, ResultsError, Row, fails_again, fingerprint, is_done, sha256_of
from garmentcut.prediction.sources import Named, Source, SourceError, name_outputs
from garmentcut.prediction.steps import FolderError, Steps, Work, folded_path
from garmentcut.prediction.verdict import Judge
from garmentcut.prediction.verdict_files import sorted_outputs, unsorted_output

_LATE = "its garment's other photos were cut without it, at their own scale; run again to have all cut at one"


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
        model: Path | None = None,
    ) -> None:
        """Prepare a run; nothing is written before the context is entered.

        Args:
            cutter: a loaded model.
            out_dir: made if it is missing.
            config: limits, output options, threads.
            overwrite: replace files that garmentcut did not write, or that were changed since it wrote them.
            specification: a customer's, which then decides the files instead of `config.output`.
            model: the cutter's file, for the record; None: the embedded one.

        Raises:
            garmentcut.config.ConfigError: the model cannot promise `folder.accept_risk`; says why.
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
        if card.choke_px or cutter.config != CutConfig():
            self.options = fingerprint(self.options, card.choke_px, asdict(cutter.config))
        if self.config.runtime.int8 and card.int8_ranges:
            self.options = fingerprint(self.options, "int8", card.int8_ranges)
        if card.doubt is not None:  # another doubt, other verdicts
            self.options = fingerprint(self.options, asdict(card.doubt))
        self.judge = Judge.of(card, self.config.folder.accept_risk, cut=cutter.config)
        named = str(model.resolve()) if model else ""
        self._order = Order(named, self.config.read, self.config.output, specification, cutter.config)
        self._owner = fingerprint(str(self.out_dir))
        self._lock = FileLock(self.out_dir / LOCK_NAME, timeout=0)
        self._tidied: set[Path] = set()
        self._folded: dict[str, str] = {}  # following links is slow, and a watch plans every few seconds

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
        sources = [source for source in sources if self._name_below(source.path) not in owners]
        names = self._names_of(sources, {unsorted_output(name): path for name, path in owners.items()})
        done = {path: row for path in names if (row := self._done_row(path, names[path].outputs))}
        garments = {str(source.path): garment_of(source) for source in sources} if self.specification else {}
        # Photos of a garment have one scale: one of them new, and all are cut; but not for one that only fails again.
        rows = self.journal.rows
        hopeless = {path for path in names if fails_again(rows.get(str(path)), path, options=self.options)}
        hopeless = set() if self.overwrite else hopeless
        to_cut = {garments.get(str(path)) for path in names if path not in done and path not in hopeless}
        done = {path: row for path, row in done.items() if not garments or garments[str(path)] not in to_cut}
        todo = {path: named for path, named in names.items() if path not in done}
        for folder in {
            (self.out_dir / name).parent for named in todo.values() for name in named.outputs
        } - self._tidied:
            remove_staged(folder, self._owner)
            self._tidied.add(folder)
        originals = {str(path) for path in names} | self.journal.rows.keys()
        self._folded |= {path: folded_path(Path(path)) for path in originals - self._folded.keys()}
        return Plan(todo, tuple(done.values()), frozenset(self._folded.values()), garments)

    def _name_below(self, path: Path) -> str | None:
        """A path as outputs are named; None if it does not lie in the output folder."""
        return path.relative_to(self.out_dir).as_posix() if path.is_relative_to(self.out_dir) else None

    def _names_of(self, sources: list[Source], owners: dict[str, str]) -> dict[Path, Named]:
        if self.specification is not None:
            return name_deliveries(by_garment(sources), self.specification, owners=owners)
        suffixes = [output_suffix(format) for format in self.config.output.formats]
        return name_outputs(sources, suffixes, places=self.journal.places(), owners=owners)

    def _adopt_moved(self, sources: Iterable[Source]) -> None:
        """A photo at the place of one that is gone, with the same content, is that photo, moved or renamed."""
        wanted = {str(source.place) for source in sources if str(source.path) not in self.journal.rows}
        at_place = [row for row in self.journal.rows.values() if row.place in wanted]
        gone = {row.place: row for row in at_place if not Path(row.input).exists()}
        for source in sources:
            row = gone.get(str(source.place))
            if row is None or str(source.path) in self.journal.rows:
                continue
            with suppress(OSError):
                if source.path.stat().st_size == row.input_bytes and sha256_of(source.path) == row.input_sha256:
                    self.journal.adopt(row.input, str(source.path))

    def _possible(self, named: Named) -> set[str]:
        """All names that a photo's outputs may get."""
        verdicts = ("", "accept", "review") if self.config.folder.by_verdict else ("",)
        return {name for verdict in verdicts for name in sorted_outputs(named.outputs, verdict)}

    def _done_row(self, path: Path, outputs: tuple[str, ...]) -> Row | None:
        row = self.journal.rows.get(str(path))
        if row is not None and row.verdict != self.judge.verdict_of(row.doubt):
            return None
        if row is not None and self.config.folder.by_verdict:
            outputs = sorted_outputs(outputs, row.verdict)
        return row if is_done(row, path, self.out_dir, options=self.options, outputs=outputs) else None

    def cut(
        self,
        plan: Plan,
        *,
        monitor: Monitor | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
        hold_back: Callable[[Row], bool] = lambda _row: False,
    ) -> Iterator[Row]:
        """Cut what the plan holds; yields each photo's row once its files are written.

        Args:
            plan: what to do.
            monitor: told how long each step takes.
            is_stopping: once it is true no further photo is begun; those under way are finished.
            hold_back: asked for each row that says `failed`; true: it is yielded, but not recorded.

        Raises:
            garmentcut.prediction.steps.FolderError: the disk is full.
        """
        monitor = monitor or Monitor()
        folder = self.config.folder
        # Between its looks a photo is located, cropped and cleaned: meanwhile the network takes the next one.
        lookers = self.cutter.runtime.streams + (self.cutter.first is not None)
        self.record_order()
        steps = Steps(
            self.cutter,
            self.journal,
            self.out_dir,
            self.config,
            self.overwrite,
            plan.originals,
            self._owner,
            self.specification,
            hold_back,
            self.judge,
        )
        views = ViewComparison(self.judge, self.journal, self.config.folder.by_verdict)
        jobs = jobs_of(plan, self.options, is_stopping)
        with (
            ThreadPoolExecutor(folder.readers) as readers,
            ThreadPoolExecutor(lookers) as network,
            ThreadPoolExecutor(folder.writers) as writers,
        ):
            loaded = in_order(
                readers, monitor.timed("read", steps.load), jobs, num_ahead=folder.readers + folder.in_flight - 1
            )
            predicted = in_order(
                network, monitor.timed("network", steps.predict), ((work,) for work in loaded), num_ahead=lookers
            )
            if self.specification is not None:
                predicted = self._scaled(predicted, plan.garments, steps=steps, writers=writers)
            finishing = ((work,) for work in predicted)
            finish = monitor.timed("write", steps.finish)
            rows = in_order(writers, finish, finishing, num_ahead=folder.writers + folder.in_flight - 1)
            yield from views.follow(rows, ((path, named.place) for path, named in plan.todo.items()))

    def record_order(self) -> None:
        """Write down what this run is asked for, so that a review knows the batch before its first photo is cut.

        Raises:
            garmentcut.prediction.steps.FolderError: it cannot be written.
        """
        try:
            record_order(self.out_dir, self.options, self._order)
        except OSError as error:
            raise FolderError(f"{self.out_dir} cannot be written: {error.strerror}; mend it and run again") from error

    def _scaled(
        self, works: Iterable[Work], garments: dict[str, str], *, steps: Steps, writers: ThreadPoolExecutor
    ) -> Generator[Work, None, None]:
        """The same works, those of a garment held back until its common scale is known."""
        assert self.specification is not None
        num_photos = Counter(garments.values())
        sighted = in_order(
            writers,
            lambda work: work if num_photos[garments[work.row.input]] == 1 else steps.sight(work),
            ((work,) for work in works),
            num_ahead=self.config.folder.writers,
        )
        for _, group in groupby(sighted, key=lambda work: garments[work.row.input]):
            waiting = list(group)
            if len(waiting) < num_photos[garments[waiting[0].row.input]]:
                waiting = [_put_off(work) if work.sighting is not None else work for work in waiting]
            sightings = [work.sighting for work in waiting if work.sighting is not None]
            scales = shared_scales(self.specification, sightings) if sightings else None
            yield from (replace(work, scales=scales) for work in waiting)


def _put_off(work: Work) -> Work:
    """A photo that failed before and now could be cut; without options its row has its garment cut anew next time."""
    return Work(replace(work.row, status="failed", reason=_LATE, options="", outputs=()), work.outputs)
