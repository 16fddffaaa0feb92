"""The rows of a run of `garmentcut cut --ray` as Parquet files, and the lease that lets one run at a time write.

`results/part-<run>-<photos>.parquet` holds rows whose files are all written. Before files get their final names, the
same rows are written as `pending` below `.garmentcut/pending/`, so that every file in the target has a recorded hash. A
part's name is derived from its photos, so that work done twice is written once; if two parts have the same photo, the
later run wins. `results/all-<run>-<random>-<number>.parquet` are merged parts.
"""

import hashlib
import io
import json
import os
import re
import secrets
import threading
import time
import types
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from garmentcut.cluster.storage import Storage
from garmentcut.errors import LockTakenError, RunError, SourceError
from garmentcut.photo.files import RENEWED_EVERY_S, TAKEN_FOR_DEAD_S, is_running, this_host
from garmentcut.prediction.results import OWN_FOLDER, Journal, Row, row_of

RESULTS, PENDING, RUNS = "results", f"{OWN_FOLDER}/pending", f"{OWN_FOLDER}/runs"
_PART = re.compile(rf"{RESULTS}/part-\d{{6,}}-[0-9a-f]{{16}}\.parquet")
_JOINED = re.compile(rf"{RESULTS}/all-\d{{6,}}-[0-9a-f]{{8}}-\d{{5}}\.parquet")
_ROWS_A_PART = 100_000
_REQUESTS_AT_A_TIME = 32
_MOST_HASHES = 4
_RUNS_BACK = 5  # how many claims of earlier runs are kept


@dataclass
class Ledger:
    """The rows of a target."""

    target: Storage
    rows: dict[str, Row] = field(default_factory=dict)  # by input, which may be a URL
    parts: list[str] = field(default_factory=list)  # names of their files, which `join` merges

    @classmethod
    def read(cls, target: Storage) -> "Ledger":
        """All rows that cluster runs have written to a target and, if it is a folder, those of folder runs.

        Raises:
            SourceError: garmentcut did not write a file in their place.
            OSError: the target cannot be read.
        """
        ledger, names = cls(target), sorted(target.walk(RESULTS))
        # Names begin with the run's number, so that later runs come last.
        ledger._take_files([name for name in names if _JOINED.fullmatch(name)])
        if target.folder is not None:  # results.jsonl has all joined rows, and those of later folder runs
            ledger._take(Journal(target.folder).rows.values())
        ledger._take_files([name for name in names if _PART.fullmatch(name)])
        ledger._take_files(sorted(target.walk(PENDING)))
        return ledger

    def join(self, run: int) -> None:
        """Write all rows to few parts, sorted by input, and only then remove the old parts: no row is ever missing."""
        rows, drawn = [row for _, row in sorted(self.rows.items()) if fits_parquet(row)], secrets.token_hex(4)
        joined = []
        for first in range(0, len(rows), _ROWS_A_PART):
            joined.append(f"{RESULTS}/all-{run:06d}-{drawn}-{first // _ROWS_A_PART:05d}.parquet")
            self.target.put(joined[-1], parquet_bytes(rows[first : first + _ROWS_A_PART]))
        if self.target.folder is not None:  # for `review`, `sheet` and folder runs
            journal = Journal(self.target.folder)
            journal.rows = dict(self.rows)
            journal.compact()
        with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
            list(pool.map(self.target.delete, self.parts))
        self.parts = joined

    def _take_files(self, names: list[str]) -> None:
        def read(name: str) -> bytes:
            try:
                return self.target.read(name)
            except FileNotFoundError:  # being joined by another run, which the lease detects
                return parquet_bytes([])

        with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
            for name, data in zip(names, pool.map(read, names), strict=True):
                try:
                    self._take(read_parquet(data))
                except ValueError as error:
                    what = f"{self.target.url_of(name)} is no part of garmentcut's ({error})"
                    raise SourceError(f"{what}; move it or use another --out") from error
                self.parts.append(name)

    def _take(self, rows: Iterable[Row]) -> None:
        for new in rows:
            old = self.rows.get(new.input)
            self.rows[new.input] = new if old is None else _latest(old, new)


def announce(target: Storage, run: int, rows: Iterable[Row]) -> str:
    """Write the pending rows, before files get their names. Returns the argument `announced` of `finish`."""
    name = f"{PENDING}/{run:06d}-{secrets.token_hex(8)}.parquet"
    target.put(name, parquet_bytes(replace(row, status="pending") for row in rows))
    return name


def finish(target: Storage, run: int, rows: Collection[Row], announced: str = "") -> None:
    """Write the part, after all files have their names; its name does not depend on the worker or the try."""
    digest = hashlib.sha256("\n".join(sorted(row.input for row in rows)).encode()).hexdigest()[:16]
    target.put(f"{RESULTS}/part-{run:06d}-{digest}.parquet", parquet_bytes(rows))
    if announced:
        target.delete(announced)


def fits_parquet(row: Row) -> bool:
    """False if a folder run has cut a photo whose name is not valid Unicode: only results.jsonl can hold its row."""
    return not re.search("[\ud800-\udfff]", json.dumps(asdict(row), ensure_ascii=False))


def parquet_bytes(rows: Iterable[Row]) -> bytes:
    """Rows as one Parquet file, a column for each field."""
    schema = pa.schema([(name, _arrow_type(hint)) for name, hint in get_type_hints(Row).items()])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(map(asdict, rows)), schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def read_parquet(data: bytes) -> Iterator[Row]:
    """The rows of a Parquet file that `parquet_bytes` made; unknown columns of other versions are ignored.

    Raises:
        ValueError: `parquet_bytes` did not make it.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error
    for content in table.to_pylist(maps_as_pydicts="strict"):
        if (row := row_of(content)) is None:
            raise ValueError("a row that is not garmentcut's")
        yield row


def _arrow_type(hint: Any) -> pa.DataType:
    origin, inner = get_origin(hint), [_arrow_type(each) for each in get_args(hint)]
    if origin is types.UnionType:  # of one type and None
        return inner[0]
    if origin is tuple:
        return pa.list_(inner[0])
    if origin is dict:
        return pa.map_(*inner)
    return {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}.get(hint, pa.string())


def _latest(old: Row, new: Row) -> Row:
    """The later row; of a row that is only pending, just the hashes of files that may have been written count."""
    known, own, row = old.written, new.written, new
    if not new.input_etag and new.input_sha256 == old.input_sha256:  # an old row of results.jsonl
        row = replace(row, input_etag=old.input_etag)
    if new.status == "pending" and old.status != "pending":
        # The pending row has the finished row's files: the work is done, and only its removal is missing.
        is_over = all(hashes[-1:] == known.get(name, ())[-1:] for name, hashes in own.items())
        row = old if is_over else replace(old, status="pending")
    written = dict(known)
    for name, hashes in own.items():
        earlier = (one for one in known.get(name, ()) if one not in hashes)
        written[name] = tuple(dict.fromkeys([*earlier, *hashes]))[-_MOST_HASHES:]
    return replace(row, written=written)


@dataclass(frozen=True)
class Claim:
    """The contents of a run's object."""

    token: str  # random, chosen by the driver
    host: str  # name of the driver's machine, with the id of its boot
    pid: int  # the driver's process there
    renewed: float  # seconds since 1970, by the driver's clock
    ended: bool = False  # the run has released the target

    @property
    def is_live(self) -> bool:
        """True if its driver may still be running."""
        if self.ended or time.time() - self.renewed > TAKEN_FOR_DEAD_S:
            return False
        return self.host != this_host() or is_running(self.pid)


class Lease:
    """A run's right to write to a target; a context manager.

    Run `n` is the one that created `.garmentcut/runs/00000n.json`, which a store allows only once, and renews it. A run
    that has not renewed it for two minutes, or whose process on this machine is gone, is dead, and run `n + 1` may
    begin. A run that was only suspended finds object `n + 1` and stops. Clocks of machines may differ by a minute.
    """

    def __init__(self, target: Storage, *, renewed_every_s: float = RENEWED_EVERY_S) -> None:
        self._target, self._every_s = target, renewed_every_s
        self._claim = Claim(secrets.token_hex(8), this_host(), os.getpid(), time.time())
        self._over = threading.Event()
        self._lost = ""
        self._heart = threading.Thread(target=self._renew_for_ever, daemon=True)
        self.number = 0  # number of this run, from 1

    def __enter__(self) -> "Lease":
        self.number = self._next_number()
        if not self._target.create(_claim_name(self.number), json.dumps(asdict(self._claim)).encode()):
            holder = self._read_claim(self.number)
            if holder is None or holder.token != self._claim.token:  # otherwise only the response was lost
                message = f"{self._target.url}: another run has begun there just now; wait for it"
                raise SourceError(message, code=LockTakenError.code)
        for number in range(max(self.number - 2 * _RUNS_BACK, 1), self.number - _RUNS_BACK):
            self._target.delete(_claim_name(number))
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._heart.join()
        if not self._lost:
            with suppress(OSError):  # without this, the run counts as dead after two minutes
                self._renew(ended=True)

    def check(self) -> None:
        """Raises: RunError: another run has taken the target."""
        if self._lost:
            raise RunError(self._lost)

    def _next_number(self) -> int:
        numbers = [int(Path(name).stem) for name in self._target.walk(RUNS) if name.endswith(".json")]
        last = max(numbers, default=0)
        if last and (claim := self._read_claim(last)) is not None and claim.is_live:
            machine = "this machine" if claim.host == this_host() else claim.host.partition("/")[0]
            what = f"{self._target.url}: another run is at work there (process {claim.pid} on {machine})"
            killed = f"If it was killed, it is taken for dead after {TAKEN_FOR_DEAD_S:.0f} s"
            raise SourceError(f"{what}; wait, or choose another --out. {killed}", code=LockTakenError.code)
        return last + 1

    def _read_claim(self, number: int) -> Claim | None:
        try:
            return Claim(**json.loads(self._target.read(_claim_name(number))))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):  # it is just being written to a folder, or could not be
            began = self._target.folder and (self._target.folder / _claim_name(number)).stat().st_mtime
            return Claim("", "a machine unknown", 0, began or 0.0)

    def _renew(self, *, ended: bool = False) -> None:
        self._claim = replace(self._claim, renewed=time.time(), ended=ended)
        self._target.put(_claim_name(self.number), json.dumps(asdict(self._claim)).encode())

    def _renew_for_ever(self) -> None:
        failing_since = None
        while not self._over.wait(self._every_s):
            try:
                if self._read_claim(self.number + 1) is not None:
                    self._lost = f"{self._target.url}: another run has taken it over; let it finish"
                    return
                self._renew()
                failing_since = None
            except Exception as error:  # noqa: BLE001 - the store may be back before the run counts as dead
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > TAKEN_FOR_DEAD_S:
                    self._lost = f"{self._target.url} can no longer be reached: {error}; run again to continue"
                    return


def _claim_name(number: int) -> str:
    return f"{RUNS}/{number:06d}.json"
