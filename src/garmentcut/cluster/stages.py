"""The stages of a cluster run (`garmentcut cut --ray`), which `cluster.run` hands to Ray: read, cut, write.

A row of the data set is one garment's photos, pickled. Stages pass each other encoded files rather than pixels, which
would take ten times as many bytes. A worker cuts in a folder of its own, as a folder run does, so it always gives the
same result.
"""

import hashlib
import os
import pickle
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from garmentcut.cluster.ledger import LedgerRow, announce, finish
from garmentcut.cluster.storage import Storage, StoredPhoto, is_url, open_storage
from garmentcut.config import Config
from garmentcut.errors import OutputError, PhotoError, code_of
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.spec import Specification
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter, Plan
from garmentcut.prediction.results import Row, heat_path
from garmentcut.prediction.sources import Named

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMN = "group"
_REQUESTS_AT_A_TIME = 8
_SCRATCH = "garmentcut-worker-"


@dataclass(frozen=True)
class Job:
    """A photo to cut, and what each stage has made of it."""

    photo: StoredPhoto  # where it is, and how its listing showed it
    garment: str  # what all photos of its garment share
    named: Named  # its place and outputs below the target
    written: Mapping[str, tuple[str, ...]]  # files ever written for it, with their hashes
    earlier: Row | None = None  # the row of the last run that cut it, or tried to
    is_renamed: bool = False  # another photo of its name was cut before
    taken: tuple[str, ...] = ()  # its outputs that stand in the target already: looked at before they are replaced
    code: str = ""  # why it cannot be read, or is not even begun; a key of `garmentcut.errors.FAILURES`
    refused: str = ""  # the same in words; empty: nothing is against it
    content: bytes = b""  # the photo's file, once it is read
    row: Row | None = None  # once it is cut: its row, should all files find their place
    files: Mapping[str, bytes] = field(default_factory=dict)  # contents of its files, by name

    def failed(self, assignment: "Assignment", code: str, reason: str) -> Row:
        """The row that says that it could not be cut."""
        return Row(
            self.photo.input,
            self.named.place,
            status="failed",
            code=code,
            reason=reason,
            model=assignment.label,
            options=assignment.options,
            input_bytes=self.photo.num_bytes,
            input_mtime_ns=self.photo.mtime_ns,
            written=dict(self.written),
        )


@dataclass(frozen=True)
class Assignment:
    """What every worker of a run must know."""

    target: str  # URL of the output folder
    run: int  # number of the run
    label: str  # of the model
    options: str  # fingerprint of model and output options
    config: Config  # output options and limits, and the worker's own threads
    specification: Specification | None = None  # a customer's, which then decides the files
    overwrite: bool = False  # replace files that garmentcut did not write


def packed(rows: list[Any]) -> "pa.Table":
    """Anything as a column of pickles, a row each."""
    import pyarrow as pa

    return pa.table({_COLUMN: pa.array([pickle.dumps(row, protocol=5) for row in rows], pa.large_binary())})


def unpacked(batch: "pa.Table") -> list[Any]:
    """The rows that `packed` was given."""
    return [pickle.loads(each.as_buffer()) for each in batch[_COLUMN]]


def read_batch(batch: "pa.Table", assignment: Assignment) -> "pa.Table":
    """Stage 1, a task: jobs get their photos' files; several at a time, for it waits more than it works."""
    groups: list[tuple[Job, ...]] = unpacked(batch)
    with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
        loaded = pool.map(lambda job: load_photo(job, assignment), [job for group in groups for job in group])
        return packed([tuple(next(loaded) for _ in group) for group in groups])


class CutBatch:
    """Stage 2, an actor that holds the model: files of photos to files of cutouts."""

    def __init__(self, model: bytes | None, assignment: Assignment) -> None:
        """Load the model, once in the worker's life; None: the embedded one, else the content of its file."""
        self._assignment = assignment
        self._scratch = _scratch_folder()
        weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        path = None
        if model is not None:
            path = self._scratch / "model.onnx"
            path.write_bytes(model)
        self._cutter = Cutter.load(path, config=assignment.config.runtime, cut=assignment.config.cut)

    def __call__(self, batch: "pa.Table") -> "pa.Table":
        """Cut a batch of garments."""
        groups: list[tuple[Job, ...]] = unpacked(batch)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            made = _cut_photos([job for group in groups for job in group], self._cutter, self._assignment, Path(folder))
        return packed([tuple(made[job.photo.input] for job in group) for group in groups])


def write_batch(batch: "pa.Table", assignment: Assignment) -> "pa.Table":
    """Stage 3, a task: announce the files of cutouts, put them into the target, then their rows; gives the rows.

    Raises:
        OSError: the rows cannot be written: the work is done again.
    """
    target = open_storage(assignment.target)
    made = [_checked(job, target, assignment) for group in unpacked(batch) for job in group]
    coming = [LedgerRow(job.row, job.photo.etag) for job in made if job.files and job.row]
    announced = announce(target, assignment.run, coming) if coming else ""
    with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
        rows = list(pool.map(lambda job: _put_files(job, target, assignment), made))
    entries = [LedgerRow(row, job.photo.etag) for row, job in zip(rows, made, strict=True)]
    finish(target, assignment.run, entries, announced)
    return packed(rows)


def load_photo(job: Job, assignment: Assignment) -> Job:
    """With the photo's file, or why it cannot be had."""
    limits, photo = assignment.config.read, job.photo
    if job.refused:
        return job
    try:
        if not is_url(photo.input):
            return replace(job, content=read_photo_bytes(Path(photo.input), limits))
        if photo.num_bytes > limits.max_mb * 1_000_000:
            reason = f"{photo.num_bytes / 1e6:.0f} MB: over read.max_mb = {limits.max_mb}; raise it if meant"
            return replace(job, code="too_large", refused=reason)
        if content := open_storage(photo.input).read(""):
            return replace(job, content=content)
        return replace(job, code="empty", refused="empty file; copy it again")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one photo must not stop the others
        reason = "no such file; it is gone since it was listed" if isinstance(error, FileNotFoundError) else str(error)
        return replace(job, code=code_of(error), refused=reason or type(error).__name__)


def _cut_photos(jobs: list[Job], cutter: Cutter, assignment: Assignment, folder: Path) -> dict[str, Job]:
    """A folder run over photos that are in memory, those of a garment one behind the other; by input."""
    made, by_path = dict[str, Job](), dict[Path, Job]()
    for number, job in enumerate(jobs):
        try:
            if job.refused:
                raise PhotoError(job.refused, code=job.code)
            # Under its own name, which goes into some formats.
            path = folder / str(number) / PurePosixPath(job.photo.input).name
            path.parent.mkdir()
            path.write_bytes(job.content)
            by_path[path] = job
        except (PhotoError, OSError) as error:
            made[job.photo.input] = replace(job, content=b"", row=job.failed(assignment, code_of(error), str(error)))
    specification, out_dir = assignment.specification, folder / "out"
    garments = {str(path): job.garment for path, job in by_path.items()} if specification is not None else {}
    renamed = frozenset(path for path, job in by_path.items() if job.is_renamed)
    plan = Plan({path: job.named for path, job in by_path.items()}, (), frozenset(), garments, renamed)
    with FolderCutter(cutter, out_dir, config=assignment.config, specification=specification) as run:
        earlier = {str(path): job.earlier for path, job in by_path.items() if job.earlier}
        run.journal.rows.update((path, replace(row, input=path)) for path, row in earlier.items())
        for _ in run.cut(plan):
            pass
        for path, job in by_path.items():  # a row may have changed when the garment's other views were seen
            made[job.photo.input] = _with_files(job, run.journal.rows[str(path)], out_dir)
    return made


def _with_files(job: Job, row: Row, out_dir: Path) -> Job:
    """The job with the folder run's files, and its row with the photo's real place."""
    files = {name: (out_dir / name).read_bytes() for name in row.outputs}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    # Until the new file has its name the old one stands there, and is ours too.
    written = {**job.written, **{name: (*job.written.get(name, ())[-1:], new) for name, new in hashes.items()}}
    heat = heat_path(out_dir, row.place)
    if files and heat.exists():  # beside the batch's other notes: no output
        files[heat.relative_to(out_dir).as_posix()] = heat.read_bytes()
    row = replace(row, input=job.photo.input, input_mtime_ns=job.photo.mtime_ns, written=written)
    return replace(job, content=b"", row=row, files=files)


def _checked(job: Job, target: Storage, assignment: Assignment) -> Job:
    """The same, or failed: a file that garmentcut did not write stands where one of its own should go."""
    try:
        for name in () if assignment.overwrite else (name for name in job.files if name in job.taken):
            if hashlib.sha256(target.read(name)).hexdigest() not in job.written.get(name, ()):
                where = f"{target.url_of(name)} is there already and not as garmentcut wrote it"
                raise OutputError(f"{where}; move it or use --overwrite", code="output_exists")
    except FileNotFoundError:  # removed since it was listed
        return job
    except (OutputError, OSError) as error:
        code = code_of(error, os_error="not_written")
        return replace(job, row=job.failed(assignment, code, str(error)), files={})
    return job


def _put_files(job: Job, target: Storage, assignment: Assignment) -> Row:
    assert job.row is not None  # every job has been through `CutBatch`
    try:
        for name, content in job.files.items():
            target.put(name, content)
    except OSError as error:
        failed = job.failed(assignment, "not_written", f"cannot be written: {error.strerror or error}")
        return replace(failed, written=job.row.written)
    return job.row


def _scratch_folder() -> Path:
    """A folder of this process's own; those that killed workers left on this machine are removed."""
    if Path("/proc/self").exists():
        for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
            if not Path("/proc", left.name.removeprefix(_SCRATCH).partition("-")[0]).exists():
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))
