"""Folders of originals and cutouts become a data set: paired, checked, split; safe to kill, cheap to start again."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from garmentcut.config import ReadConfig
from garmentcut.dataset.bounded import map_in_order
from garmentcut.dataset.examination import Examination, pair_of, write_error
from garmentcut.dataset.ledger import Entry
from garmentcut.dataset.likeness import mark_duplicates
from garmentcut.dataset.manifest import Manifest, Pair
from garmentcut.dataset.naming import DEFAULT_PATTERN, PairingError
from garmentcut.dataset.pairing import Candidate, find_candidates, sides_of
from garmentcut.dataset.split import Scheme, assign_splits, choose_scheme, prove_split
from garmentcut.dataset.store import Store

_VERSION = 1  # of the checks: another one reads every pair again
_MAX_WORKERS = 16


@dataclass(frozen=True)
class IngestOptions:
    """How to ingest.

    Attributes:
        pattern: how photos are named; see `garmentcut.dataset.naming.NamePattern`.
        cutout_pattern: how cutouts are named; empty: as photos.
        scheme: how to split; None: as the data set is, or five folds.
        seed: of the split; None: the data set's, or 0.
        resplit: split anew, though garments change sides.
        mend: resample cutouts of another size.
        workers: threads; 0: as many as the processor has cores.
        read: bytes, pixels and sides accepted.
    """

    pattern: str = DEFAULT_PATTERN
    cutout_pattern: str = ""
    scheme: Scheme | None = None
    seed: int | None = None
    resplit: bool = False
    mend: bool = False
    workers: int = 0
    read: ReadConfig = field(default_factory=ReadConfig)


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        candidates: all, sorted by name.
        todo: those that must be read.
    """

    candidates: tuple[Candidate, ...]
    todo: tuple[Candidate, ...]


@dataclass(frozen=True)
class Outcome:
    """What a run made.

    Attributes:
        manifest: as written.
        gone: names of rows that had been there and whose files are no longer.
        moved: names of pairs that changed their split, because look-alikes of theirs were found or by `resplit`.
    """

    manifest: Manifest
    gone: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()


class Ingest:
    """Makes, or brings up to date, a data set; used as a context, it holds the folder's lock.

    >>> with Ingest(Path("originals"), Path("cutouts"), Path("dataset")) as ingest:  # doctest: +SKIP
    ...     plan = ingest.plan()
    ...     for entry in ingest.examine(plan):
    ...         print(entry.pair.name, entry.pair.faults)
    ...     outcome = ingest.finish(ingest.rows(plan))
    """

    def __init__(self, originals: Path, cutouts: Path, out_dir: Path, options: IngestOptions | None = None) -> None:
        """Prepare a run; nothing is written before the context is entered.

        Args:
            originals: folder of the photos.
            cutouts: folder of the retouchers' files.
            out_dir: the data set's folder, made if it is missing.
            options: see there.

        Raises:
            PairingError: a folder is missing, or is the data set's, or a pattern is wrong.
        """
        self.options = options or IngestOptions()
        self.folder = out_dir.resolve()
        self._sides = sides_of(
            originals, cutouts, (self.options.pattern, self.options.cutout_pattern or self.options.pattern)
        )
        if self.folder in (side.root for side in self._sides):
            raise PairingError(f"{out_dir}: the data set needs a folder of its own; choose another --out")
        self._store = Store(self.folder)
        parts = json.dumps([_VERSION, asdict(self.options.read)])
        fingerprint = hashlib.sha256(parts.encode()).hexdigest()[:16]
        self._examination = Examination(self.folder, fingerprint, self.options.mend, self.options.read)

    def __enter__(self) -> "Ingest":
        """Take the folder's lock and read what earlier runs left.

        Raises:
            DatasetError: see `garmentcut.dataset.store.Store.open`.
            SplitError: the data set is split in another way, and `resplit` was not asked for.
        """
        self._store.open()
        try:
            options, earlier = self.options, self._store.earlier
            own = (Scheme.parse(earlier.scheme), earlier.seed) if earlier.scheme else None
            self.scheme, self.seed = choose_scheme(options.scheme, options.seed, own=own, resplit=options.resplit)
        except BaseException:
            self._store.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back."""
        self._store.close()

    def plan(self) -> Plan:
        """Find the files, and tell pairs that were read before from those to read.

        Raises:
            PairingError: a folder cannot be read, or has no file to read in it.
        """
        candidates = find_candidates(*self._sides, out_dir=self.folder)
        # A share that was not mounted may be back.
        retry = {"unreadable", "size" if self.options.mend else "resampled"}
        todo = []
        for candidate in candidates:
            if candidate.refused:
                continue
            entry = self._store.ledger.current(candidate, self.folder, self._examination.options, retry=retry)
            if entry is None:
                todo.append(candidate)
            else:
                self._store.ledger.entries[candidate.name] = entry
        return Plan(tuple(candidates), tuple(todo))

    def examine(self, plan: Plan) -> Iterator[Entry]:
        """Read and check what the plan holds; yields each pair's entry once it is recorded.

        Raises:
            WriteError: the disk is full, or the folder cannot be written.
        """
        workers = self.options.workers or min(os.cpu_count() or 1, _MAX_WORKERS)
        with ThreadPoolExecutor(workers) as pool:
            for entry in map_in_order(pool, self._examination, plan.todo, num_ahead=2 * workers):
                try:
                    self._store.ledger.append(entry)
                except OSError as error:
                    raise write_error(self._store.ledger.path, error) from error
                yield entry

    def rows(self, plan: Plan) -> tuple[Pair, ...]:
        """A row for each candidate of an examined plan: duplicates found, look-alikes grouped, not split yet."""
        rows, prints = [], {}
        for candidate in plan.candidates:
            row = pair_of(candidate, self.folder)
            if not row.refused:
                entry = self._store.ledger.entries[candidate.name]
                row = replace(entry.pair, faults=candidate.faults + entry.pair.faults)
                prints[row.name] = bytes.fromhex(entry.fingerprint)
            rows.append(row)
        return mark_duplicates(rows, prints, known={pair.name for pair in self._store.earlier.usable})

    def finish(self, rows: Iterable[Pair]) -> Outcome:
        """Split the rows, prove the split and write the manifest; then drop what belongs to no row any more.

        Raises:
            SplitError: too few garments; the manifest stays as it was.
            WriteError: the disk is full, or the folder cannot be written; likewise.
        """
        rows = tuple(rows)
        usable = [row for row in rows if not row.refused]
        kept = {} if self.options.resplit else {pair.garment: pair.split for pair in self._store.earlier.usable}
        splits = assign_splits(usable, self.scheme, seed=self.seed, kept=kept) if usable else {}
        pairs = tuple(row if row.refused else replace(row, split=splits[row.group]) for row in rows)
        prove_split(pairs)
        manifest = Manifest(self.folder, pairs, self.scheme.text, self.seed)
        self._store.save(manifest)
        return _outcome(self._store.earlier, manifest)


def _outcome(earlier: Manifest, manifest: Manifest) -> Outcome:
    now = {pair.name: pair for pair in manifest.pairs}
    gone = (pair.name for pair in earlier.pairs if pair.name not in now)
    before = {pair.name: pair.split for pair in earlier.usable}
    moved = (name for name, split in before.items() if name in now and now[name].split not in (split, ""))
    return Outcome(manifest, tuple(sorted(gone)), tuple(sorted(moved)))
