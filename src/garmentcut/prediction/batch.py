"""What an output folder holds besides results and cutouts: orders, people's decisions, heat maps, photos under way."""

import base64
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from garmentcut.config import CutConfig, OutputConfig, ReadConfig
from garmentcut.dataset.corrections import DECISIONS_FOLDER, LOCK_NAME, Decision, decision_on
from garmentcut.errors import NoBatchError, PhotoError, RunError, SourceError
from garmentcut.photo.files import json_of, read_photo_bytes, read_regular_file, sha256_of, write_atomic
from garmentcut.photo.layout import GarmentSection, Length
from garmentcut.photo.lock import FolderLock
from garmentcut.photo.photo import Cutout, Photo, to_alpha
from garmentcut.photo.read import read_gray_png
from garmentcut.photo.spec import Output, Sections, Specification
from garmentcut.prediction.results import RESULTS_NAME, Row

OWN_FOLDER = ".garmentcut"
"""Lies in every output folder: what belongs to the batch and not to its customer."""
BATCH_NAME = f"{OWN_FOLDER}/batch.json"
_VERSION = 1


@dataclass(frozen=True)
class Order:
    """What one run of `cut` was asked for."""

    model: str = ""  # absolute path of the model file; empty: the embedded one
    read: ReadConfig = field(default_factory=ReadConfig)  # bytes, pixels and sides accepted
    output: OutputConfig = field(default_factory=OutputConfig)  # the files, where there is no specification
    specification: Specification | None = None  # a customer's; decides the files where there is one
    cut: CutConfig = field(default_factory=CutConfig)  # effort and choke


@dataclass(frozen=True)
class Batch:
    """An output folder of `garmentcut cut`."""

    id: str  # 32 hexadecimal digits, drawn once: the same batch wherever its folder is moved
    # By the rows' `options`: each row of results.jsonl says which one it was cut to. The last is the newest.
    orders: dict[str, Order]


def read_batch(out_dir: Path) -> Batch:
    """What the runs in an output folder were asked for.

    Raises:
        NoBatchError: there is no `batch.json`.
        SourceError: it is damaged, or not one of ours.
    """
    path = out_dir / BATCH_NAME
    try:
        content = json_of(read_regular_file(path))
        if content["version"] != _VERSION:
            raise SourceError(f"{path}: of another version of garmentcut; update it")
        return Batch(str(content["id"]), {key: _order_of(order) for key, order in content["orders"].items()})
    except (FileNotFoundError, NotADirectoryError) as error:
        if not out_dir.is_dir():
            raise NoBatchError(f"{out_dir}: no such folder") from error
        if (out_dir / RESULTS_NAME).is_file():
            fix = "run the same `garmentcut cut` again: it writes it, and cuts nothing twice"
            raise NoBatchError(f"{path}: no such file; {fix}") from error
        fix = f"run `garmentcut cut PHOTOS --out {out_dir}` first, or name the folder that it wrote"
        raise NoBatchError(f"{out_dir}: nothing was cut into this folder; {fix}") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, SourceError):
            raise
        fix = (
            "put back a copy, or move it away and run cut again: what people decided is in files of its own and is kept"
        )
        raise SourceError(f"{path}: damaged ({type(error).__name__}); {fix}") from error


def check_batch(out_dir: Path) -> None:
    """Check that a run could record its order; see `record_order`.

    Raises:
        SourceError: there is a `batch.json` that cannot be used.
    """
    with suppress(NoBatchError):
        read_batch(out_dir)


def record_order(out_dir: Path, options: str, order: Order) -> None:
    """Record what a run is asked for, by its rows' `options`, beside the orders of earlier runs, atomically.

    Raises:
        SourceError: what is there cannot be used: it is left as it is, for by its id a review knows the batch.
        OSError: it cannot be written.
    """
    try:
        batch = read_batch(out_dir)
    except NoBatchError:
        batch = Batch(secrets.token_hex(16), {})
    others = {key: known for key, known in batch.orders.items() if key != options}
    if list(batch.orders.items()) == [*others.items(), (options, order)]:
        return
    orders = {key: _plain(asdict(known)) for key, known in {**others, options: order}.items()}
    content = {"version": _VERSION, "id": batch.id, "orders": orders}
    write_atomic(out_dir / BATCH_NAME, json.dumps(content, indent=1).encode(), root=out_dir)


def _plain(value: Any) -> Any:
    """The same as JSON can hold it; lengths as they are written in a specification, bytes as base64."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Length):
        return f"{value.amount} %" if value.is_share else f"{value.amount:.0f} px"
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _order_of(content: dict[str, Any]) -> Order:
    specification = content["specification"]
    return Order(
        model=str(content["model"]),
        read=_parsed(ReadConfig, content["read"]),
        output=_parsed(OutputConfig, content["output"]),
        specification=Specification(tuple(map(_output_of, specification["outputs"]))) if specification else None,
        cut=_parsed(CutConfig, content.get("cut", {})),
    )


def _output_of(content: dict[str, Any]) -> Output:
    profile = content["profile"]
    return Output(
        sections=_parsed(Sections, content["sections"]),
        by_view={view: _parsed(GarmentSection, section) for view, section in content["by_view"].items()},
        profile=None if profile is None else base64.b64decode(profile),
        encoding=_parsed(OutputConfig, content["encoding"]),
    )


def _parsed(kind: type[Any], content: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_json(json.dumps(content))  # JSON: a list there is a tuple here
    except ValidationError as error:
        raise SourceError(f"{kind.__name__}: {error.errors()[0]['msg']}") from error


CORRECTED = "corrected"


def decision_for(out_dir: Path, row: Row) -> Decision | None:
    """What a person decided on a row's photo, or on the photo that it replaced; None: nothing was decided."""
    if not (out_dir / DECISIONS_FOLDER).is_dir():
        return None
    return decision_on(out_dir, row.place, row.input, row.input_sha256)


def is_of(decision: Decision, row: Row) -> bool:
    """True unless the photo was exchanged after the decision: then only outputs made for the decision are ours."""
    return decision.input_sha256 == row.input_sha256


def with_written(out_dir: Path, row: Row, decision: Decision | None) -> Row:
    """The row with the files that the review wrote for it, which may be replaced too; the newest come last."""
    if decision is None:
        return row
    written = dict(row.written)
    for name, hashes in decision.written.items():
        known = (*written.get(name, ()), *hashes)
        found = sha256_of(out_dir / name) if (out_dir / name).is_file() else ""
        written[name] = (*known, found) if found in known else known
    return replace(row, written=written)


def corrected_cutout(
    out_dir: Path, row: Row, photo: Photo, decision: Decision | None, *, limits: ReadConfig
) -> Cutout | None:
    """The photo with its corrected alpha; None: nobody corrected it. `decision` is that of `decision_for`.

    Raises:
        PhotoError: the corrected alpha is gone or damaged.
    """
    if decision is None or decision.state != CORRECTED or not decision.alpha or not is_of(decision, row):
        return None
    try:
        data = read_photo_bytes(out_dir / decision.alpha, limits)
        alpha = to_alpha(read_gray_png(data, limits))
    except PhotoError as error:
        raise PhotoError(
            f"its correction: {error}; open it in garmentcut review and correct it again", code="bad_correction"
        ) from error
    if alpha.shape != photo.size_hw:
        raise PhotoError(
            f"its correction {decision.alpha} has another size; correct it again in garmentcut review",
            code="bad_correction",
        )
    return Cutout.of(photo, alpha)


@contextmanager
def held_for_review(out_dir: Path, row: Row, decision: Decision | None) -> Iterator[None]:
    """Keep the review from exchanging a photo's files while the context lasts.

    Raises:
        RunError: what a person decided is no longer what the files were made of.
    """
    if not (out_dir / DECISIONS_FOLDER).is_dir():
        yield
        return
    with FolderLock(out_dir / LOCK_NAME):
        if decision_for(out_dir, row) != decision:
            raise RunError
        yield


def heat_path(out_dir: Path, place: str) -> Path:
    """Where the heat map of a photo lies; `place` as in its row."""
    return out_dir.joinpath(OWN_FOLDER, "heat", *PurePosixPath(f"{place}.png").parts)


def write_heat(out_dir: Path, place: str, heat: bytes | None) -> None:
    """Write a photo's heat map, or remove that of an earlier run.

    Raises:
        OSError: it cannot be written.
    """
    path = heat_path(out_dir, place)
    if heat is not None:
        write_atomic(path, heat, root=out_dir)
    else:
        path.unlink(missing_ok=True)


ATTEMPTS_NAME = ".garmentcut/attempts.jsonl"
"""Below the output folder; gone when a run ends by itself and no photo is suspected."""

_MOST_LINES = 3000  # before the file is written anew
_DEATHS_WHILE_READING, _DEATHS = 2, 3


@dataclass
class Attempt:
    """What is known of the attempts at one photo."""

    input: str  # path of the photo
    # The photo as it was: another one is not suspected.
    num_bytes: int = 0
    mtime_ns: int = 0
    stage: str = ""  # `read`, `work`, or empty: it is not under way
    # Runs that ended without a word while the photo was being read, or worked on.
    died_reading: int = 0
    died_working: int = 0

    @property
    def is_suspect(self) -> bool:
        """A run died while this photo was under way."""
        return self.died_reading + self.died_working > 0

    @property
    def is_guilty(self) -> bool:
        """So many runs died while it was under way that it is not tried again."""
        return self.died_reading >= _DEATHS_WHILE_READING or self.died_reading + self.died_working >= _DEATHS


class Attempts:
    """The photos under way in an output folder, and those with which runs died.

    A line is written before a photo is read, when it is decoded, and when it is finished. A process that the operating
    system kills, usually for want of memory, cannot say why. So the photos that the last lines leave under way are
    suspected, and tried one at a time after all others. A photo that was being read when two runs died is passed over.

    A file that cannot be written is no reason to stop.
    """

    def __init__(self, out_dir: Path, *, check: Callable[[], None] = lambda: None) -> None:
        """Read what the last run left; the folder's lock is held.

        Args:
            out_dir: the output folder.
            check: called before the file is written anew; raises, if the folder is not the one that was read any more.
        """
        self._out_dir, self._path, self._check = out_dir, out_dir / ATTEMPTS_NAME, check
        self._lock = threading.Lock()
        self._known: dict[str, Attempt] = {}
        self._descriptor = -1
        self._num_lines = 0
        with suppress(OSError):
            self._known = _read(self._path)
        for attempt in self._known.values():
            attempt.died_reading += attempt.stage == "read"
            attempt.died_working += attempt.stage == "work"
            attempt.stage = ""
        if self._known:
            with self._lock:
                self._rewrite()

    def find(self, path: Path) -> Attempt:
        """What is known of a photo as it is now; nothing if the file was changed since."""
        attempt = self._known.get(str(path))
        if attempt is None:
            return Attempt(str(path))
        with suppress(OSError):
            status = path.stat()
            if (status.st_size, status.st_mtime_ns) == (attempt.num_bytes, attempt.mtime_ns):
                return attempt
        return Attempt(str(path))

    def begin(self, path: Path) -> None:
        """The photo is about to be read."""
        attempt = self.find(path)
        with suppress(OSError):
            status = path.stat()
            attempt.num_bytes, attempt.mtime_ns = status.st_size, status.st_mtime_ns
        self._note(attempt, "read")

    def go_on(self, path: Path) -> None:
        """It has been read, and is worked on."""
        self._note(self._known.get(str(path)) or Attempt(str(path)), "work")

    def end(self, path: Path) -> None:
        """It is finished: no run died because of it."""
        with self._lock:
            if (attempt := self._known.pop(str(path), None)) is not None:
                self._write(Attempt(attempt.input))

    def let_go(self, path: Path) -> None:
        """It waits for others, and nothing of it is in memory."""
        with self._lock:
            if (attempt := self._known.get(str(path))) is not None and attempt.stage:
                attempt.stage = ""
                self._write(attempt)

    def close(self) -> None:
        """The run ends by itself: nothing is under way."""
        with self._lock:
            for attempt in self._known.values():
                attempt.stage = ""
            self._known = {path: attempt for path, attempt in self._known.items() if attempt.is_suspect}
            if self._descriptor >= 0:
                self._rewrite()

    def _note(self, attempt: Attempt, stage: str) -> None:
        with self._lock:
            attempt.stage = stage
            self._known[attempt.input] = attempt
            self._write(attempt)

    def _write(self, attempt: Attempt) -> None:
        with suppress(OSError):
            if self._descriptor < 0 or self._num_lines > _MOST_LINES:
                self._rewrite()
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            os.write(self._descriptor, _line(attempt))
            self._num_lines += 1

    def _rewrite(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._num_lines = 0
        with suppress(OSError, RunError):
            self._check()
            if self._known:
                write_atomic(self._path, b"".join(map(_line, self._known.values())), root=self._out_dir)
            else:
                self._path.unlink(missing_ok=True)


def _line(attempt: Attempt) -> bytes:
    return (json.dumps(asdict(attempt)) + "\n").encode()


_ATTEMPT = TypeAdapter(Attempt)


def _read(path: Path) -> dict[str, Attempt]:
    """The last line of each photo that is under way or suspected; lines that are none are passed over."""
    found: dict[str, Attempt] = {}
    if not path.exists():
        return found
    for line in read_regular_file(path).split(b"\n"):
        with suppress(ValueError):
            attempt = _ATTEMPT.validate_python(json_of(line))
            found[attempt.input] = attempt
    return {input: attempt for input, attempt in found.items() if attempt.stage or attempt.is_suspect}
