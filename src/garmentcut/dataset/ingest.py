"""`garmentcut ingest`: pairs, checks and splits folders of photos and cutouts into a dataset; can be resumed."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from garmentcut.config import ReadConfig
from garmentcut.dataset.checks import Examination, pair_of
from garmentcut.dataset.corrections import ReviewSource, find_reviewed
from garmentcut.dataset.ledger import ALPHA_FOLDER, PHOTO_FOLDER, IngestLedger, LedgerEntry, files_of, writing
from garmentcut.dataset.manifest import (
    MANIFEST_NAME,
    REFUSING,
    SUSPECT,
    Fault,
    Manifest,
    Pair,
    read_manifest,
    with_verdicts,
    write_manifest,
)
from garmentcut.dataset.pairing import Candidate, find_candidates, sides_of
from garmentcut.dataset.split import Scheme, assign_splits, choose_scheme, mark_duplicates, prove_split
from garmentcut.errors import DatasetError, LockTakenError, PhotoError, counted
from garmentcut.naming import DEFAULT_PATTERN, NamePattern
from garmentcut.observe.monitor import printable
from garmentcut.photo.files import LOCK_NAME, FolderLock, NotLookedAt, map_in_order, remove_staged
from garmentcut.photo.truth import read_cutout

_VERSION = 2  # of the checks, and of reading cutouts; after a change every pair is read again
_MAX_WORKERS = 16
_TRIED = 3  # first pairs, by which swapped folders of photos and cutouts are recognised
_WHOLE = 0.99  # an image with a larger mean alpha is not a cutout
_SHOWN = 20


@dataclass(frozen=True)
class IngestOptions:
    """How to ingest."""

    pattern: str = DEFAULT_PATTERN  # how photos are named; see `garmentcut.naming.NamePattern`
    cutout_pattern: str = ""  # how cutouts are named; empty: like the photos
    scheme: Scheme | None = None  # how to split; None: as the dataset is already, or five folds
    seed: int | None = None  # seed of the split; None: the dataset's, or 0
    resplit: bool = False  # split anew, even if garments move to other splits
    resample: bool = False  # resample cutouts of another size
    accept_unchanged: bool = False  # accept layered documents that garmentcut wrote and nobody changed
    add: bool = False  # keep the pairs of earlier runs that are not in these folders
    review: ReviewSource = field(default_factory=ReviewSource)  # batches whose reviewed photos are added
    workers: int = 0  # threads; 0: one per core of the processor
    read: ReadConfig = field(default_factory=ReadConfig)  # limits on file size, pixels and side lengths


@dataclass(frozen=True)
class IngestPlan:
    """What a run will do."""

    candidates: tuple[Candidate, ...]  # all, sorted by name
    todo: tuple[Candidate, ...]  # those that must be read
    skipped: tuple[tuple[str, str], ...] = ()  # files and folders that were passed over, and why: see `walk_files`


@dataclass(frozen=True)
class IngestResult:
    """What a run produced."""

    manifest: Manifest  # as written
    gone: tuple[str, ...] = ()  # names of earlier rows that are no longer in the manifest
    # Names of pairs that moved to another split, because a look-alike was found or because of `resplit`.
    moved: tuple[str, ...] = ()


class Ingest:
    """Creates or updates a dataset. As a context manager it holds the lock of the dataset's folder.

    >>> with Ingest(Path("originals"), Path("cutouts"), Path("dataset")) as ingest:  # doctest: +SKIP
    ...     plan = ingest.plan()
    ...     for entry in ingest.examine(plan):
    ...         print(entry.pair.name, entry.pair.faults)
    ...     outcome = ingest.finish(ingest.rows(plan))
    """

    def __init__(
        self, originals: Path | None, cutouts: Path | None, out_dir: Path, options: IngestOptions | None = None
    ) -> None:
        """Prepare a run; nothing is written before the context is entered, which creates `out_dir` if it is missing.

        If `originals`, the folder of the photos, is None, all come from `options.review`. If `cutouts`, the folder of
        the retouchers' files, is None, `originals` holds layered documents with the photos inside or beside them.

        Raises:
            DatasetError: a folder is missing or is the dataset's own, or a pattern is wrong.
        """
        self.options = options or IngestOptions()
        self.folder = out_dir.resolve()
        patterns = self.options.pattern, self.options.cutout_pattern or self.options.pattern
        self._sides = () if originals is None else sides_of(originals, cutouts, patterns)
        others = (*(side.root for side in self._sides), *(one.resolve() for one in self.options.review.batches))
        if self.folder in others:
            raise DatasetError(f"{out_dir}: the dataset needs a folder of its own; choose another --out")
        self.earlier = Manifest(self.folder, ())  # as the last run left it; empty if there is none
        self._lock = FolderLock(self.folder / LOCK_NAME)
        self._is_new = False
        parts, read = json.dumps([_VERSION, asdict(self.options.read)]), self.options.read
        fingerprint = hashlib.sha256(parts.encode()).hexdigest()[:16]
        self._passed: dict[str, LedgerEntry] = {}
        accept = self.options.accept_unchanged
        self._examination = Examination(self.folder, fingerprint, self.options.resample, accept, read)

    def __enter__(self) -> "Ingest":
        """Take the folder's lock, read the results of earlier runs and remove what a killed run left incomplete.

        Raises:
            DatasetError: another run is using the folder, its files are damaged or not garmentcut's, it cannot be
                written to, or the dataset is split in another way and `resplit` was not requested.
        """
        try:
            self._is_new = not os.path.lexists(self.folder)
            (self.folder / ALPHA_FOLDER).mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except LockTakenError as error:
            message = f"{self.folder}: another run is at work there; wait or choose another --out"
            raise DatasetError(message, code=error.code) from error
        except OSError as error:
            reason = f"{self.folder} cannot be the dataset's folder: {error.strerror}"
            raise DatasetError(f"{reason}; fix that, or choose another --out") from error
        try:
            if (self.folder / MANIFEST_NAME).exists():
                self.earlier = read_manifest(self.folder)
            own = (Scheme.parse(self.earlier.scheme), self.earlier.seed) if self.earlier.scheme else None
            asked = self.options.scheme, self.options.seed
            self.scheme, self.seed = choose_scheme(*asked, own=own, resplit=self.options.resplit)
            with writing(self.folder):
                self.ledger = IngestLedger(self.folder)
                for folder in (self.folder, self.folder / ALPHA_FOLDER, self.folder / PHOTO_FOLDER):
                    remove_staged(folder)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock; the folder is removed if it is still empty."""
        if self._is_new and self._lock.is_held:
            with suppress(OSError):
                (self.folder / ALPHA_FOLDER).rmdir()  # fails if it holds targets
                if [path.name for path in self.folder.iterdir()] == [LOCK_NAME]:
                    (self.folder / LOCK_NAME).unlink()
                    self.folder.rmdir()
        self._lock.release()

    def plan(self) -> IngestPlan:
        """Find the files, and decide which pairs must be read and which are known from earlier runs.

        Raises:
            DatasetError: one of the two folders cannot be read, or holds no file of a known format.
        """
        skipped: list[tuple[str, str]] = []
        # So that a garment keeps its split, whatever case its name comes in.
        spelt = {pair.garment.casefold(): pair.garment for pair in self.earlier.usable}
        found = find_candidates(*self._sides, spelt, out_dir=self.folder, skipped=skipped) if self._sides else ()
        reviewed = find_reviewed(self.options.review, NamePattern(self.options.pattern), spelt)
        named = {candidate.name: candidate for candidate in (*found, *reviewed)}  # reviewed ones count
        candidates = [named[name] for name in sorted(named)]
        # Unreadable pairs are tried again: a network share that was not mounted may be back.
        retry = {"unreadable", "size" if self.options.resample else "resampled"}
        retry.add("uncorrected" if self.options.accept_unchanged else "accepted")
        todo = []
        for candidate in candidates:
            if candidate.refused:
                continue
            entry = self.ledger.current(candidate, self.folder, self._examination.options, retry=retry)
            if entry is None:
                todo.append(candidate)
            else:
                self.ledger.entries[candidate.name] = entry
        is_all = not self.earlier.pairs or len(todo) == sum(not candidate.refused for candidate in candidates)
        if todo and is_all and all(map(self._is_swapped, todo[:_TRIED])):
            first, second = (side.root for side in self._sides)
            raise DatasetError(f"{first} holds cutouts and {second} their photos: name the photos' folder first")
        return IngestPlan(tuple(candidates), tuple(todo), tuple(skipped))

    def _is_swapped(self, candidate: Candidate) -> bool:
        """True if the photo's file is a cutout and the cutout's file is not."""
        if candidate.photo is None or candidate.cutout is None or candidate.is_alpha:
            return False
        with suppress(PhotoError):
            read_cutout(candidate.cutout, self.options.read)
            return False
        with suppress(PhotoError):
            return 0 < float(read_cutout(candidate.photo, self.options.read).alpha.mean()) < _WHOLE
        return False

    def examine(self, plan: IngestPlan) -> Iterator[LedgerEntry]:
        """Read and check the pairs that the plan lists; yields each pair's entry once it is recorded."""
        workers = self.options.workers or min(os.cpu_count() or 1, _MAX_WORKERS)
        with ThreadPoolExecutor(workers) as pool:
            for entry in map_in_order(pool, self._examination, plan.todo, num_ahead=2 * workers):
                known = self.ledger.entries.get(entry.pair.name)
                if self.options.add and entry.pair.refused and known and not known.pair.refused:
                    self._passed[entry.pair.name] = entry  # not recorded: the usable older entry must stay
                else:
                    with writing(self.ledger.path):
                        self.ledger.append(entry)
                yield entry

    def rows(self, plan: IngestPlan) -> tuple[Pair, ...]:
        """A row for each candidate of an examined plan, with duplicates marked and groups set, but no splits yet."""
        rows, hashes = [], {}
        for candidate in plan.candidates:
            row = pair_of(candidate, self.folder)
            if not row.refused:
                entry = self._passed.get(candidate.name) or self.ledger.entries[candidate.name]
                row = replace(entry.pair, faults=candidate.faults + entry.pair.faults)
                hashes[row.name] = bytes.fromhex(entry.fingerprint)
            rows.append(row)
        if self.options.add:
            rows = self._joined_by_earlier(rows, hashes)
        return mark_duplicates(rows, hashes, known={pair.name for pair in self.earlier.usable})

    def _joined_by_earlier(self, rows: list[Pair], hashes: dict[str, bytes]) -> list[Pair]:
        """Add the rows of earlier runs. If a name is in both, the new row counts, unless only the older is usable."""
        joined = {row.name: row for row in rows}
        found = {str(at) for row in rows for of in (row.photo, row.cutout) for at in (Path(of), *Path(of).parents)}
        for earlier in self.earlier.pairs:
            new, kept = joined.get(earlier.name), self._kept(earlier, found)
            if kept is None or (new is not None and (kept.refused or not new.refused)):
                continue
            if new is not None:
                kept = replace(kept, notes=(*kept.notes, f"a newer cutout was refused: {new.faults[0].text}"))
            joined[kept.name] = kept
            if not kept.refused:
                hashes[kept.name] = bytes.fromhex(self.ledger.entries[kept.name].fingerprint)
        return list(joined.values())

    def _kept(self, earlier: Pair, found: set[str]) -> Pair | None:
        """The row of an earlier run, as its files were found then; None: they are gone, or in a row of now."""
        entry = self.ledger.entries.get(earlier.name)
        if entry is None:  # refused because of its name, so never read
            left = [file for file in (earlier.photo, earlier.cutout) if file not in ("", *found)]
            return earlier if earlier.refused and any(map(os.path.exists, map(self.folder.joinpath, left))) else None
        is_there = entry.has_own_files(self.folder) and os.access(self.folder / entry.pair.photo, os.F_OK)
        named = tuple(fault for fault in earlier.faults if fault.code == "view")
        return replace(entry.pair, faults=named + entry.pair.faults) if is_there else None

    def finish(self, rows: Iterable[Pair]) -> IngestResult:
        """Split the rows, verify the split and write the manifest; then remove files and entries without a row.

        Raises:
            DatasetError: too few garments, or no pair is usable any more; the manifest is unchanged.
            RunError: the disk is full, or the folder cannot be written to; the manifest is unchanged.
        """
        rows = tuple(rows)
        usable = [row for row in rows if not row.refused]
        if self.earlier.usable and not usable:
            had, fix = len(self.earlier.usable), "name the right folders; to empty the dataset, delete its folder"
            raise DatasetError(f"{self.folder}: no pair is usable now, {had} were; it stays as it was; {fix}")
        kept = {} if self.options.resplit else {pair.garment: pair.split for pair in self.earlier.usable}
        try:
            splits = assign_splits(usable, self.scheme, seed=self.seed, kept=kept) if usable else {}
        except DatasetError as error:
            if not self.options.review.batches or self.options.add:
                raise
            way_out = "or add the corrections to a dataset that you have: --out DATASET --add"
            raise DatasetError(f"{error}; {way_out}") from error
        pairs = tuple(row if row.refused else replace(row, split=splits[row.group]) for row in rows)
        prove_split(pairs)
        pairs = with_verdicts(pairs, self.earlier.pairs)
        manifest = Manifest(self.folder, pairs, self.scheme.text, self.seed)
        names = [pair.name for pair in pairs if pair.photo_sha256]  # others were never read
        with writing(self.folder / MANIFEST_NAME):
            write_manifest(manifest)
            self._remove_unneeded(names)
            self.ledger.keep(names)
        now = {pair.name: pair.split for pair in pairs}
        gone = sorted(pair.name for pair in self.earlier.usable if pair.name not in now)
        moved = sorted(old.name for old in self.earlier.usable if now.get(old.name, "") not in (old.split, ""))
        return IngestResult(manifest, tuple(gone), tuple(moved))

    def _remove_unneeded(self, names: Iterable[str]) -> None:
        """Remove targets and photos that runs wrote and no row needs; files that garmentcut did not write stay."""
        entries = self.ledger.entries
        needed = {text for name in names if name in entries for text in files_of(entries[name].pair)}
        for pair in (*self.earlier.usable, *(entry.pair for entry in entries.values())):
            for text in files_of(pair) - needed:
                with suppress(OSError):
                    (self.folder / text).unlink()


@dataclass
class IngestSummary:
    """Counts of a run, and its faults by name."""

    folder: Path  # the dataset's folder
    num_read: int  # pairs that were read; the others were known from earlier runs
    skipped: tuple[tuple[str, str], ...] = ()  # as in `IngestPlan`
    rows: tuple[Pair, ...] = ()  # all pairs, once they are examined
    outcome: IngestResult | None = None  # None until the manifest is written
    started: float = field(default_factory=time.perf_counter)

    @property
    def num_usable(self) -> int:
        """Number of rows that can be trained on."""
        return len(self.rows) - len(self.refused)

    @property
    def refused(self) -> list[tuple[Pair, Fault]]:
        """Refused rows, each with the fault that it is refused for."""
        return [(row, next(f for f in row.faults if f.severity == "refuses")) for row in self.rows if row.refused]

    @property
    def suspect(self) -> list[tuple[Pair, Fault]]:
        """Rows that are used in spite of a fault; one entry for each fault."""
        return [(row, fault) for row in self.rows if not row.refused for fault in row.faults]

    def as_dict(self) -> dict[str, Any]:
        """The summary for machines: counts, splits by view, names of the pairs with each fault."""
        outcome = self.outcome or IngestResult(Manifest(self.folder, ()))
        return {
            "pairs": len(self.rows),
            "usable": self.num_usable,
            "refused": _counts(self.refused),
            "suspect": _counts(self.suspect),
            "read": self.num_read,
            **NotLookedAt(self.skipped).as_dict(),
            "seconds": round(time.perf_counter() - self.started, 3),
            "scheme": outcome.manifest.scheme,
            "seed": outcome.manifest.seed,
            "splits": _splits(outcome.manifest),
            "out": str(self.folder),
            "manifest": str(self.folder / MANIFEST_NAME) if self.outcome else "",
            "faults": [{"name": row.name, "code": f.code, "text": f.text} for row, f in self.refused + self.suspect],
            "gone": list(outcome.gone),
            "moved": list(outcome.moved),
        }

    def as_text(self) -> str:
        """The summary for people: counts, splits, then a line for each fault."""
        counts = self.as_dict()
        where = f"rows in {counts['manifest']}" if self.outcome else "no manifest written"
        lines = [f"{counted(counts['pairs'], 'pair')}: {counts['usable']} usable, {len(self.refused)} refused; "]
        lines[0] += f"{self.num_read} read in {counts['seconds']:.1f} s; {where}"
        lines += NotLookedAt(self.skipped).lines()
        own = [path for path, code in self.skipped if code == "cutouts"]
        lines += _named(own, "not searched, as garmentcut writes there; to use such a folder, name it itself")
        lines += [f"refused {number}: {REFUSING[code]}" for code, number in counts["refused"].items()]
        lines += [f"suspect {number}: {SUSPECT[code]}" for code, number in counts["suspect"].items()]
        lines += [f"{split}: {_line(views)}" for split, views in counts["splits"].items()]
        lines += _shown(self.refused, "refused") + _shown(self.suspect, "suspect")
        lines += _named(counts["gone"], "no longer there") + _named(counts["moved"], "moved to another split")
        return "\n".join(map(printable, lines))


def _counts(found: list[tuple[Pair, Fault]]) -> dict[str, int]:
    return dict(Counter(fault.code for _, fault in found).most_common())


def _splits(manifest: Manifest) -> dict[str, dict[str, int]]:
    """For each split, its numbers of pairs and garments, and of pairs of each view."""
    splits: dict[str, dict[str, int]] = {}
    for name in manifest.splits:
        pairs = manifest.of(name)
        counts = {"pairs": len(pairs), "garments": len({pair.garment for pair in pairs})}
        splits[name] = counts | dict(sorted(Counter(pair.view for pair in pairs).items()))
    return splits


def _line(counts: dict[str, int]) -> str:
    nouns = {"pairs": "pair", "garments": "garment"}
    return ", ".join(counted(n, nouns[what]) if what in nouns else f"{n} {what}" for what, n in counts.items())


def _shown(found: list[tuple[Pair, Fault]], word: str) -> list[str]:
    lines = [f"{word}: {row.name}: {' '.join(fault.text.split())}" for row, fault in found[:_SHOWN]]
    more = len(found) - _SHOWN
    return [*lines, f"... and {more} more, listed in {MANIFEST_NAME}"] if more > 0 else lines


def _named(names: list[str], what: str) -> list[str]:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"note: {what}: {', '.join(names[:_SHOWN])}{more}"] if names else []
