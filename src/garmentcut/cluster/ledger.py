"""What is known of a target: Parquet parts, written as the run goes, joined when it is over.

`results/part-<run>-<photos>.parquet` holds rows whose files are all there. Before files get their names, the same rows
are written as `pending` below `.garmentcut/pending/`: no file stands in the target whose hash is not known. A part's
name follows from its photos, so that work done twice is written once; where two parts tell of one photo, the one of
the later run counts. `results/all-<run>-<drawn>-<number>.parquet` are parts joined.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from garmentcut.cluster.columns import Kept, parquet_bytes, read_parquet
from garmentcut.cluster.storage import LocalStorage, Storage
from garmentcut.prediction.batch import OWN_FOLDER
from garmentcut.prediction.results import Journal, ResultsError, Row

RESULTS = "results"
PENDING = f"{OWN_FOLDER}/pending"
_PART = re.compile(rf"{RESULTS}/part-\d{{6,}}-[0-9a-f]{{16}}\.parquet")
_JOINED = re.compile(rf"{RESULTS}/all-\d{{6,}}-[0-9a-f]{{8}}-\d{{5}}\.parquet")
_ROWS_A_PART = 100_000
_REQUESTS_AT_A_TIME = 32
_HASHES_KEPT = 4


@dataclass
class Ledger:
    """The rows of a target.

    Attributes:
        target: where it is.
        kept: by input.
        parts: names of the files they were read from, that `join` replaces by fewer.
    """

    target: Storage
    kept: dict[str, Kept] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, target: Storage) -> "Ledger":
        """All rows that runs on clusters have written there, and those of folder runs, if it is a folder.

        Raises:
            ResultsError: a file in their place is not ours.
            OSError: the target cannot be read.
        """
        ledger, names = cls(target), sorted(found.name for found in target.walk(RESULTS))
        # Names begin with the run's number: later runs come last.
        ledger._take_files([name for name in names if _JOINED.fullmatch(name)])
        if isinstance(target, LocalStorage):  # knows all that was joined, and what folder runs have done since
            ledger._take(Kept(row) for row in Journal(Path(target.url)).rows.values())
        ledger._take_files([name for name in names if _PART.fullmatch(name)])
        ledger._take_files(sorted(found.name for found in target.walk(PENDING)))
        return ledger

    def join(self, run: int) -> None:
        """Write all rows into few parts, sorted by input, and remove those they came from; nothing is ever missing."""
        rows, drawn = [self.kept[name] for name in sorted(self.kept)], secrets.token_hex(4)
        joined = []
        for first in range(0, len(rows), _ROWS_A_PART):
            joined.append(f"{RESULTS}/all-{run:06d}-{drawn}-{first // _ROWS_A_PART:05d}.parquet")
            self.target.put(joined[-1], parquet_bytes(rows[first : first + _ROWS_A_PART]))
        if isinstance(self.target, LocalStorage):  # for `review`, `sheet` and folder runs
            journal = Journal(Path(self.target.url))
            journal.rows.update({name: kept.row for name, kept in self.kept.items()})
            journal.compact()
        with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
            list(pool.map(lambda name: self.target.delete([name]), self.parts))
        self.parts = joined

    def _take_files(self, names: list[str]) -> None:
        with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
            for name, data in zip(names, pool.map(self._content, names), strict=True):
                try:
                    self._take(read_parquet(data))
                except ValueError as error:
                    where = self.target.url_of(name)
                    raise ResultsError(
                        f"{where} is no part of garmentcut's ({error}); move it or use another --out"
                    ) from error
                self.parts.append(name)

    def _content(self, name: str) -> bytes:
        try:
            return self.target.read(name)
        except FileNotFoundError:  # joined by another run in this moment: that it is there is checked by the lease
            return parquet_bytes([])

    def _take(self, rows: Iterable[Kept]) -> None:
        for new in rows:
            old = self.kept.get(new.row.input)
            self.kept[new.row.input] = new if old is None else _latest(old, new)


def _latest(old: Kept, new: Kept) -> Kept:
    """The later row; one that is only pending leaves nothing behind but the hashes of files that may be there."""
    row, etag = new.row, new.etag or (old.etag if new.row.input_sha256 == old.row.input_sha256 else "")
    if row.status == "pending" and old.row.status != "pending":
        row, etag = (old.row, old.etag) if _all_known(new.row, old.row) else (replace(old.row, status="pending"), "")
    names = dict.fromkeys([*old.row.written, *new.row.written])
    written = {name: _joined(old.row.written.get(name, ()), new.row.written.get(name, ())) for name in names}
    return Kept(replace(row, written=written), etag)


def _all_known(pending: Row, finished: Row) -> bool:
    """The pending row's files are those of the finished one: its end was written, only itself not yet removed."""
    return all(hashes[-1:] == finished.written.get(name, ())[-1:] for name, hashes in pending.written.items())


def _joined(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(each for each in old if each not in new), *new]))[-_HASHES_KEPT:]


@dataclass(frozen=True)
class Entry:
    """The rows of photos that are finished together, on their way into the ledger.

    Attributes:
        target: whose ledger.
        run: number of the run.
        inputs: of all the photos.
    """

    target: Storage
    run: int
    inputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The same whoever does the work, and however often."""
        digest = hashlib.sha256("\n".join(sorted(self.inputs)).encode()).hexdigest()[:16]
        return f"{RESULTS}/part-{self.run:06d}-{digest}.parquet"

    def announce(self, kept: Iterable[Kept]) -> str:
        """Before files get their names: say what will be written. Returns what `finish` wants."""
        name = f"{PENDING}/{self.run:06d}-{secrets.token_hex(8)}.parquet"
        self.target.put(name, parquet_bytes(replace(each, row=replace(each.row, status="pending")) for each in kept))
        return name

    def finish(self, kept: Iterable[Kept], announced: str) -> None:
        """After all files have their names."""
        self.target.put(self.name, parquet_bytes(kept))
        self.target.delete([announced] if announced else [])
