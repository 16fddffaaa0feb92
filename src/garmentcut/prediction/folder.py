"""`garmentcut cut` on a folder: reading, network and writing of many photos overlap; a stopped run can continue."""

import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from pydantic import TypeAdapter

from garmentcut.config import Config, CutConfig, OutputConfig, ReadConfig, check_kind
from garmentcut.errors import FolderError, LockTakenError, NoBatchError, RunError, SourceError
from garmentcut.observe.monitor import Monitor
from garmentcut.photo import files
from garmentcut.photo.files import LOCK_NAME, FolderLock
from garmentcut.photo.spec import Specification, shared_scales
from garmentcut.prediction import results
from garmentcut.prediction.cutter import Cutter, model_path
from garmentcut.prediction.results import RESULTS_NAME, Journal, Row
from garmentcut.prediction.sources import (
    Named,
    Skipped,
    Source,
    capture_one_folders,
    folded_path,
    garment_of,
    name_each,
    name_files,
    sorted_outputs,
    unsorted_output,
    write_skipped,
)
from garmentcut.prediction.steps import Attempts, Steps, Work
from garmentcut.prediction.verdict import Judge, ViewComparison

BATCH_NAME = f"{results.OWN_FOLDER}/batch.json"
_VERSION = 1
_OF_OUTPUT = frozenset({"color_profile", "nothing_visible", "does_not_fit", "format_limit", "no_path"})
_LATE = "its garment's other photos were cut without it, at their own scale; run again to have all cut at one"


@dataclass(frozen=True)
class Order:
    """The order for one run of `cut`."""

    model: str = ""  # absolute path of the model file; empty: the embedded one
    read: ReadConfig = field(default_factory=ReadConfig)  # bytes, pixels and sides accepted
    output: OutputConfig = field(default_factory=OutputConfig)  # the files, if there is no specification
    specification: Specification | None = None  # a customer's; if there is one, it decides the files
    cut: CutConfig = field(default_factory=CutConfig)  # effort and choke


@dataclass(frozen=True)
class Batch:
    """An output folder of `garmentcut cut`."""

    id: str  # 32 random hexadecimal digits: identifies the batch wherever its folder is moved
    # By the rows' `options`, by which each row of results.jsonl names its order. The last is the newest.
    orders: dict[str, Order]


_BATCH = TypeAdapter(Batch)


def read_batch(out_dir: Path) -> Batch:
    """Read the orders of an output folder's runs; NoBatchError: no `batch.json`. SourceError: it cannot be used."""
    path = out_dir / BATCH_NAME
    try:
        content = files.json_of(files.read_regular_file(path))
        if content["version"] != _VERSION:
            raise SourceError(f"{path}: written by another version of garmentcut; update it")
        return _BATCH.validate_json(json.dumps(content))  # as JSON, so that lists become tuples
    except (FileNotFoundError, NotADirectoryError) as error:
        if not out_dir.is_dir():
            raise NoBatchError(f"{out_dir}: no such folder") from error
        if (out_dir / RESULTS_NAME).is_file():
            fix = "run the same `garmentcut cut` again, which writes it and cuts nothing twice"
            raise NoBatchError(f"{path}: no such file; {fix}") from error
        fix = f"run `garmentcut cut PHOTOS --out {out_dir}` first, or name the folder that it wrote"
        raise NoBatchError(f"{out_dir}: nothing was cut into this folder; {fix}") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except SourceError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        kept = "what people decided is in files of its own and is kept"
        fix = f"put back a copy, or move it away and run cut again: {kept}"
        raise SourceError(f"{path}: damaged ({type(error).__name__}); {fix}") from error


def earlier_batch(out_dir: Path) -> Batch | None:
    """The batch that earlier runs left in an output folder; None: there is no `batch.json`. Raises as `read_batch`."""
    return read_batch(out_dir) if (out_dir / BATCH_NAME).exists() else None


def record_order(out_dir: Path, options: str, order: Order) -> None:
    """Add a run's order, under its rows' `options`, to those of earlier runs, atomically.

    Raises:
        SourceError: the file there cannot be used; it is kept, because a review knows the batch by its id.
        OSError: it cannot be written.
    """
    batch = earlier_batch(out_dir) or Batch(secrets.token_hex(16), {})
    others = {key: known for key, known in batch.orders.items() if key != options}
    now = Batch(batch.id, {**others, options: order})
    if list(now.orders.items()) != list(batch.orders.items()):  # also in another order
        content = {"version": _VERSION, **_BATCH.dump_python(now, mode="json")}
        files.write_atomic(out_dir / BATCH_NAME, json.dumps(content, indent=1).encode(), root=out_dir)


@dataclass(frozen=True)
class Plan:
    """What a run is to do."""

    todo: dict[Path, Named]  # photos to cut, with their output names
    done: tuple[Row, ...]  # rows of photos cut before with the same model and options
    originals: frozenset[str] = frozenset()  # `folded_path` of every photo of this and earlier runs: never written to
    # Under a specification: each photo's garment. The photos of a garment follow each other.
    garments: dict[str, str] = field(default_factory=dict)
    # Photos that get a name of their own, because another photo of the same name was cut before.
    renamed: frozenset[Path] = frozenset()


class FolderCutter:
    """Cuts many photos into one output folder; a context manager that holds the folder's lock.

    >>> sources = find_sources([Path("photos")], out_dir)  # doctest: +SKIP
    >>> with FolderCutter(cutter, out_dir) as folder:  # doctest: +SKIP
    ...     for row in folder.cut(folder.plan(sources)):
    ...         print(row.input, row.ok, row.reason, row.seconds)

    Attributes:
        options: fingerprint of everything that decides the pixels that are written.
        order: what was asked for, as `batch.json` records it.
        owner: marks this folder's staged files.
        num_damaged: number of damaged lines in the results when the folder was entered; they were set aside.
    """

    def __init__(
        self,
        cutter: Cutter,
        out_dir: str | os.PathLike[str],
        *,
        config: Config | None = None,
        overwrite: bool = False,
        specification: Specification | None = None,
        model: str | os.PathLike[str] | None = None,
    ) -> None:
        """Prepare a run; nothing is written before the context is entered, which also makes a missing `out_dir`.

        With `overwrite`, files that garmentcut did not write, or that were changed since, are replaced. A customer's
        `specification` decides the files instead of `config.output`. `model` is the cutter's file, for the record; None
        or `default`: the embedded one.

        Raises:
            garmentcut.errors.ConfigError: the model cannot guarantee `folder.accept_risk`; the message says why.
        """
        for given, kind in ((cutter, Cutter), (config, Config), (specification, Specification)):
            check_kind(given, kind)
        self.cutter = cutter
        self.out_dir = Path(out_dir).resolve()
        self.config = config or Config()
        self.overwrite = overwrite
        self.specification = specification
        card = cutter.card
        # Only what decides the pixels that are written, not how many threads write them.
        wanted = specification.fingerprint if specification else asdict(self.config.output)
        if isinstance(wanted, dict) and not wanted["each"]:
            del wanted["each"]  # as in earlier versions, so that their folders need not be cut again
        self.options = results.fingerprint(card.sha256, card.edge_bias, card.edge_gain, wanted)
        if card.choke_px or cutter.config != CutConfig():
            self.options = results.fingerprint(self.options, card.choke_px, asdict(cutter.config))
        if card.doubt is not None:  # another doubt model gives other verdicts
            self.options = results.fingerprint(self.options, asdict(card.doubt))
        self.judge = Judge.of(card, self.config.folder.accept_risk, cut=cutter.config)
        path = model_path(model or "default").resolve()
        named = "" if path == model_path().resolve() else str(path)
        self.order = Order(named, self.config.read, self.config.output, specification, cutter.config)
        self.owner = results.fingerprint(str(self.out_dir))
        self._lock = FolderLock(self.out_dir / LOCK_NAME)
        self.num_damaged = 0
        self._tidied: set[Path] = set()
        self._folded: dict[str, str] = {}  # cached: following links is slow, and a watch plans every few seconds

    def __enter__(self) -> "FolderCutter":
        """Take the folder's lock, read its results and clear what a killed run left.

        Raises:
            SourceError: another run is at work there, its results or `batch.json` cannot be used, or it cannot be
                written.
        """
        try:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self.journal = Journal(self.out_dir, check=self.check)
            self.num_damaged = len(self.journal.damaged)
            self.journal.compact()
            earlier_batch(self.out_dir)  # raises if it cannot be used, before anything is cut
            self.attempts = Attempts(self.out_dir, check=self.check)
            ViewComparison(self.judge, self.journal, self.config.folder.by_verdict).catch_up(self.is_cut)
        except LockTakenError as error:
            raise SourceError(f"{error}; wait or choose another --out", code=error.code) from error
        except (SourceError, OSError) as error:
            self._lock.release()
            if isinstance(error, SourceError):
                raise
            reason = "not a folder" if isinstance(error, FileExistsError) else error.strerror
            file = error.filename or self.out_dir
            raise SourceError(f"{file}: {reason}; fix that, or choose another --out") from error
        return self

    def __exit__(self, *_: object) -> None:
        """Leave one row for each photo in the results, and release the lock."""
        try:
            # If the disk is full or the folder lost, the rows stay as they were, only not tidied.
            with suppress(OSError, FolderError):
                self.journal.compact()
            self.attempts.close()
        finally:
            self._lock.release()

    @property
    def note(self) -> str:
        """One sentence on how the folder is locked, if users should know it; otherwise empty."""
        return self._lock.note

    def num_gone(self) -> int:
        """Number of photos that were cut but whose files are gone, if the folder was taken away; otherwise 0."""
        outputs = [row.outputs for row in self.journal.rows.values() if row.ok] if self.problem() else []
        return sum(not all(map(self._has_file, names)) for names in outputs)

    def _has_file(self, name: str) -> bool:
        return os.path.isfile(self.out_dir / name)  # noqa: PTH113 - never raises

    def check(self) -> None:
        """Raise FolderError if the output folder was removed, replaced or unmounted, or another run has taken it."""
        if problem := self.problem():
            raise FolderError(f"{self.out_dir}: {problem}; put it back and run again") from RunError(problem)

    def problem(self) -> str:
        """What happened to the output folder, in words; empty: it is still the one that was entered."""
        return self._lock.problem()

    def reopen(self) -> None:
        """Take the output folder again if it was lost and is back, and reread its results.

        Raises:
            FolderError: it is not back, or another run is at work there.
            OSError: it cannot be read or written.
        """
        if not self.problem():
            return
        if not self._lock.path.is_file():  # perhaps an empty mount point: only the marker shows that this is the folder
            self.check()
        self._lock.release()
        try:
            self._lock.acquire()
        except LockTakenError as error:
            raise FolderError(str(error)) from error
        self.attempts.close()
        self.attempts = Attempts(self.out_dir, check=self.check)
        self.journal.read()

    def plan(self, sources: Iterable[Source], *, makes_again: bool = True) -> Plan:
        """Name the outputs, and separate photos that were cut before from those still to cut.

        Files that runs wrote into this folder are skipped. `makes_again`: photos whose files are gone are cut again.

        Raises:
            garmentcut.errors.ConfigError: the specification would give two files the same name.
            TypeError: paths, say, and not what `find_sources` has found.
        """
        if not hasattr(self, "journal"):
            raise FolderError("the folder is not open: use `with FolderCutter(...) as folder:`")
        self.check()
        out, rows = self.out_dir, self.journal.rows
        unread = [row.input for row in rows.values() if row.code == "unreadable"]
        # Folders that can be read now. Not with Path's methods, which raise if a folder may not be entered.
        self.journal.forget(path for path in unread if os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK))  # noqa: PTH112
        ours = {name for row in rows.values() for name in row.written}
        for source in (sources := list(sources)):
            check_kind(source, Source)
        below = {one.path: one.path.relative_to(out).as_posix() for one in sources if one.path.is_relative_to(out)}
        sources = [source for source in sources if below.get(source.path) not in ours]
        has_file = self._has_file if makes_again else lambda _name: True
        results.adopt_moved(sources, self.journal, has_file)
        sources, renamed = results.tell_apart(sources, rows, self._is_another, self.journal.displace)
        known = () if self.overwrite else ((source.path, rows.get(str(source.path))) for source in sources)
        plan = self.planned(
            sources,
            rows,
            has_file=has_file,
            is_unchanged=results.is_unchanged,
            failed_for_good={path for path, row in known if results.fails_again(row, path, options=self.options)},
        )
        written_to = {(out / name).parent for named in plan.todo.values() for name in named.outputs}
        for folder in written_to - self._tidied:
            with suppress(OSError):  # writing to it will give the reason
                for one in (folder, *capture_one_folders(folder)):
                    files.remove_staged(one, self.owner)
            self._tidied.add(folder)
        originals = {str(source.path) for source in sources} | rows.keys()
        self._folded |= {path: folded_path(Path(path)) for path in originals - self._folded.keys()}
        return replace(plan, originals=frozenset(self._folded.values()), renamed=renamed)

    def planned(
        self,
        sources: Collection[Source],
        rows: Mapping[str, Row],
        *,
        has_file: Callable[[str], bool],
        is_unchanged: Callable[[Row, Path], bool],
        failed_for_good: Collection[Path] = (),
    ) -> Plan:
        """The plan for photos that `tell_apart` has separated, wherever these and the output folder are stored.

        `has_file` says whether the output folder has a file, `is_unchanged` whether a file is still the photo that its
        row describes. Photos in `failed_for_good` need not be tried again, so no garment is cut again because of them.
        """
        names = name_files(
            sources,
            self.config.output,
            self.specification,
            places={path: row.place for path, row in rows.items()},
            owners={unsorted_output(name, row.place): path for path, row in rows.items() for name in row.written},
        )
        done = {
            path: row
            for path, named in names.items()
            if (row := rows.get(str(path))) is not None
            and self._is_current(row, named.outputs)
            and all(map(has_file, row.outputs))
            and is_unchanged(row, path)
        }
        garments = {str(source.path): garment_of(source) for source in sources} if self.specification else {}
        # Photos of a garment share a scale, so if one is new, all are cut; but not for one that would only fail again.
        to_cut = {garments.get(str(path)) for path in names if path not in done and path not in failed_for_good}
        done = {path: row for path, row in done.items() if not garments or garments[str(path)] not in to_cut}
        todo = {path: named for path, named in names.items() if path not in done}
        return Plan(todo, tuple(done.values()), garments=garments)

    def _is_another(self, row: Row, path: Path) -> bool:
        read = partial(files.read_photo_bytes, path, self.config.read)
        return not results.is_unchanged(row, path) and results.is_another_at(row, read)

    def is_cut(self, row: Row) -> bool:
        """True if a photo was cut with these options, and would get the same verdict again."""
        return row.ok and row.options == self.options and row.verdict == self.judge.verdict_of(row.doubt, row.flags)

    def _is_current(self, row: Row, outputs: tuple[str, ...]) -> bool:
        """True if a photo was cut with these options and output names."""
        if not self.is_cut(row):
            return False
        if self.config.folder.by_verdict:
            outputs = sorted_outputs(outputs, row.verdict)
        if self.config.output.each and (num := len(row.outputs) // max(len(outputs), 1)) > 1:
            outputs = name_each(outputs, self.config.output.formats, num)
        return row.outputs == outputs

    def cut(
        self,
        plan: Plan,
        *,
        monitor: Monitor | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
        hold_back: Callable[[Row], bool] = lambda _row: False,
    ) -> Generator[Row, None, None]:
        """Cut the photos of a plan; yields each photo's row once its files are written.

        Once `is_stopping` returns true, no further photo is begun; those in progress are finished. `hold_back` is
        called with each row that says `failed`; if it returns true, the row is yielded but not recorded.

        Raises:
            garmentcut.errors.FolderError: the disk is full, or the output folder was taken away.
        """
        self.record_order()
        steps = Steps(self, plan, hold_back)
        views = ViewComparison(self.judge, self.journal, self.config.folder.by_verdict)
        parts = (
            self._cut_part(part, steps, monitor or Monitor(), is_stopping, is_alone=is_alone)
            for part, is_alone in self._parts_of(plan)
        )
        rows = (row for part in parts for row in part)
        with self._written():
            yield from views.follow(rows, ((path, named.place) for path, named in plan.todo.items()))
        self.check()

    def _parts_of(self, plan: Plan) -> Iterator[tuple[Plan, bool]]:
        """First all photos that no run has died on, then the others, one garment at a time."""
        keys = {path: plan.garments.get(str(path), str(path)) for path in plan.todo}
        suspected = dict.fromkeys(keys[path] for path in plan.todo if self.attempts.find(path).is_suspect)
        parts: dict[str, dict[Path, Named]] = {"": {}, **{key: {} for key in suspected}}
        for path, named in plan.todo.items():
            parts[keys[path] if keys[path] in suspected else ""][path] = named
        for key, todo in parts.items():
            yield replace(plan, todo=todo), key != ""

    def _cut_part(
        self, plan: Plan, steps: Steps, monitor: Monitor, is_stopping: Callable[[], bool], *, is_alone: bool
    ) -> Iterator[Row]:
        """Yield the rows of a plan's photos, with many in progress or, if `is_alone`, one at a time."""
        folder = self.config.folder
        # Between the stages a photo is cropped, tiled and cleaned; meanwhile the networks can work on the next one.
        num_predicting = self.cutter.runtime.streams + (self.cutter.stages is not None)
        ahead = (0, 0, 0) if is_alone else (folder.readers, num_predicting, folder.writers)
        jobs = _jobs_of(plan, is_stopping)
        with (
            ThreadPoolExecutor(folder.readers) as readers,
            ThreadPoolExecutor(num_predicting) as network,
            ThreadPoolExecutor(folder.writers) as writers,
        ):
            load, in_flight = monitor.timed("read", steps.load), 0 if is_alone else folder.in_flight - 1
            loaded = files.map_in_order(readers, lambda job: load(*job), jobs, num_ahead=ahead[0] + in_flight)
            predicted = files.map_in_order(network, monitor.timed("network", steps.predict), loaded, num_ahead=ahead[1])
            if self.specification is not None:
                predicted = self._scaled(predicted, steps, writers, num_ahead=ahead[2])
            finish = monitor.timed("write", steps.finish)
            yield from files.map_in_order(writers, finish, predicted, num_ahead=ahead[2] + in_flight)

    def refused_row(self, source: Source, code: str, reason: str) -> Row:
        """The row of a photo that is refused without being read; `code` and `reason` as in `Row`."""
        row = Row(str(source.path), str(source.place), status="failed", code=code, reason=reason)
        return replace(row, model=self.cutter.card.label, options=self.options)

    def record_order(self) -> None:
        """Record this run's order, so that a review knows the batch before its first photo is cut.

        Raises:
            garmentcut.errors.FolderError: it cannot be written.
        """
        with self._written():
            record_order(self.out_dir, self.options, self.order)

    def record_skipped(self, skipped: Iterable[Skipped]) -> None:
        """Record what `find_sources` skipped; raises as `record_order`."""
        with self._written():
            write_skipped(self.out_dir, skipped)

    @contextmanager
    def _written(self) -> Iterator[None]:
        self.check()
        try:
            yield
        except OSError as error:
            raise FolderError(f"{self.out_dir} cannot be written: {error.strerror}; fix that and run again") from error

    def _scaled(
        self, works: Iterable[Work], steps: Steps, writers: ThreadPoolExecutor, *, num_ahead: int
    ) -> Generator[Work, None, None]:
        """Yield the same works; those of a garment are held back until its common scale is known."""
        assert self.specification is not None
        garments = steps.plan.garments
        num_photos = Counter(garments.values())

        def sight(work: Work) -> Work:
            return work if num_photos[garments[work.row.input]] == 1 else steps.sight(work)

        sighted = files.map_in_order(writers, sight, works, num_ahead=num_ahead)
        for _, group in groupby(sighted, key=lambda work: garments[work.row.input]):
            waiting = list(group)
            if len(waiting) < num_photos[garments[waiting[0].row.input]]:
                waiting = [self._put_off(work) if work.sighting is not None else work for work in waiting]
            sightings = [work.sighting for work in waiting if work.sighting is not None]
            scales = shared_scales(self.specification, sightings) if sightings else None
            yield from (replace(work, scales=scales) for work in waiting)

    def _put_off(self, work: Work) -> Work:
        """A work for a photo that failed before, and is now sighted without its garment's other photos.

        If its output failed, it would fail again. If it could not be read or held no garment, it might work now: a row
        without options makes the next run cut the whole garment again.
        """
        row, earlier = work.row, self.journal.rows.get(work.row.input)
        known = (row.options, row.input_sha256)
        if earlier and earlier.code in _OF_OUTPUT and (earlier.options, earlier.input_sha256) == known:
            return Work(earlier, work.outputs)
        failed = replace(row, status="failed", code="late_view", reason=_LATE, options="", outputs=())
        return Work(failed, work.outputs)


def _jobs_of(plan: Plan, is_stopping: Callable[[], bool]) -> Iterator[tuple[Path, Named]]:
    """The jobs of the first step, one for each photo; after a stop, they end once the current garment is complete."""
    last = None
    for path, named in plan.todo.items():
        garment = plan.garments.get(str(path))
        if is_stopping() and (garment is None or garment != last):  # half a garment would get another scale
            return
        last = garment
        yield path, named
