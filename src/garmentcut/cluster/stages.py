"""The three stages of a cluster run, each a function of a batch that Ray calls on its workers: read, cut, write.

A row of the data set is one garment's photos, pickled: between stages travel the photos' and cutouts' files as they
are, not their pixels, which are ten times as many bytes. Cutting is a folder run in a folder of the worker's own, so it
can give nothing else than a folder run.
"""

import hashlib
import os
import pickle
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
from garmentcut.prediction.names import Named
from garmentcut.prediction.results import Row
from garmentcut.prediction.verdict import heat_path

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMN = "group"
_REQUESTS_AT_A_TIME = 8
_SCRATCH = "garmentcut-worker-"


@dataclass(frozen=True)
class Job:
    """A photo to cut.

    Attributes:
        photo: where it is, and how its listing showed it.
        garment: what all photos of its garment share.
        named: its place and outputs below the target.
        written: files ever written for it, with their hashes.
        taken: its outputs that stand in the target already: looked at before they are replaced.
        refused: why it is not even begun; empty: nothing is against it.
    """

    photo: StoredPhoto
    garment: str
    named: Named
    written: Mapping[str, tuple[str, ...]]
    taken: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Loaded:
    """A photo's file in memory; without it, `code` and `reason` say why."""

    job: Job
    content: bytes = b""
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Made:
    """What became of a photo: its row, should all files find their place, and the files' contents by name."""

    job: Job
    row: Row
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Assignment:
    """What every worker of a run must know.

    Attributes:
        target: URL of the output folder.
        run: number of the run.
        label: of the model.
        options: fingerprint of model and output options.
        config: output options and limits, and the worker's own threads.
        specification: a customer's, which then decides the files.
        overwrite: replace files that garmentcut did not write.
    """

    target: str
    run: int
    label: str
    options: str
    config: Config
    specification: Specification | None = None
    overwrite: bool = False


def packed(rows: list[Any]) -> "pa.Table":
    """Anything as a column of pickles, a row each."""
    import pyarrow as pa

    return pa.table({_COLUMN: pa.array([pickle.dumps(row, protocol=5) for row in rows], pa.large_binary())})


def unpacked(batch: "pa.Table") -> list[Any]:
    """The rows that `packed` was given."""
    return [pickle.loads(each.as_buffer()) for each in batch[_COLUMN]]


def read_batch(batch: "pa.Table", assignment: Assignment) -> "pa.Table":
    """Stage 1, a task: jobs to files in memory; several photos at a time, for it waits more than it works."""
    groups: list[tuple[Job, ...]] = unpacked(batch)
    with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
        loaded = pool.map(lambda job: _load(job, assignment), [job for group in groups for job in group])
        return packed([tuple(next(loaded) for _ in group) for group in groups])


class CutBatch:
    """Stage 2, an actor that holds the model: files of photos to files of cutouts."""

    def __init__(self, model: bytes | None, assignment: Assignment) -> None:
        """Load the model, once in the worker's life.

        Args:
            model: content of its file; None: the embedded one.
            assignment: see there.
        """
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
        groups: list[tuple[Loaded, ...]] = unpacked(batch)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            photos = [loaded for group in groups for loaded in group]
            made = _cut_photos(photos, self._cutter, self._assignment, Path(folder))
        return packed([tuple(made[loaded.job.photo.input] for loaded in group) for group in groups])


def write_batch(batch: "pa.Table", assignment: Assignment) -> "pa.Table":
    """Stage 3, a task: announce the files of cutouts, put them into the target, then their rows; gives the rows.

    Raises:
        OSError: the rows cannot be written: the work is done again.
    """
    target = open_storage(assignment.target)
    made = [_checked(each, target, assignment) for group in unpacked(batch) for each in group]
    coming = [LedgerRow(each.row, each.job.photo.etag) for each in made if each.files]
    announced = announce(target, assignment.run, coming) if coming else ""
    with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
        rows = list(pool.map(lambda each: _put_files(each, target, assignment), made))
    entries = [LedgerRow(row, each.job.photo.etag) for row, each in zip(rows, made, strict=True)]
    finish(target, assignment.run, entries, announced)
    return packed(rows)


def failed_row(job: Job, assignment: Assignment, code: str, reason: str) -> Row:
    """The row of a photo that could not be cut."""
    return Row(
        job.photo.input,
        job.named.place,
        status="failed",
        code=code,
        reason=reason,
        model=assignment.label,
        options=assignment.options,
        input_bytes=job.photo.num_bytes,
        input_mtime_ns=job.photo.mtime_ns,
        written=dict(job.written),
    )


def _load(job: Job, assignment: Assignment) -> Loaded:
    """A photo's file, or why it cannot be had."""
    limits, photo = assignment.config.read, job.photo
    if job.refused:
        return Loaded(job, code="bad_name" if photo.refused else "output_is_photo", reason=job.refused)
    try:
        if not is_url(photo.input):
            return Loaded(job, read_photo_bytes(Path(photo.input), limits))
        if photo.num_bytes > limits.max_mb * 1_000_000:
            reason = f"{photo.num_bytes / 1e6:.0f} MB: over read.max_mb = {limits.max_mb}; raise it if meant"
            return Loaded(job, code="too_large", reason=reason)
        content = open_storage(photo.input).read("")
        return Loaded(job, content) if content else Loaded(job, code="empty", reason="empty file; copy it again")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one photo must not stop the others
        reason = "no such file; it is gone since it was listed" if isinstance(error, FileNotFoundError) else str(error)
        return Loaded(job, code=code_of(error), reason=reason or type(error).__name__)


def _cut_photos(photos: list[Loaded], cutter: Cutter, assignment: Assignment, folder: Path) -> dict[str, Made]:
    """A folder run over photos that are in memory, those of a garment one behind the other; by input."""
    made, jobs = dict[str, Made](), dict[Path, Job]()
    for number, loaded in enumerate(photos):
        try:
            if loaded.reason:
                raise PhotoError(loaded.reason, code=loaded.code)
            # Under its own name, which goes into some formats.
            path = folder / str(number) / PurePosixPath(loaded.job.photo.input).name
            path.parent.mkdir()
            path.write_bytes(loaded.content)
            jobs[path] = loaded.job
        except (PhotoError, OSError) as error:
            row = failed_row(loaded.job, assignment, code_of(error), str(error))
            made[loaded.job.photo.input] = Made(loaded.job, row, {})
    garments = {str(path): job.garment for path, job in jobs.items()} if assignment.specification is not None else {}
    plan = Plan({path: job.named for path, job in jobs.items()}, (), frozenset(), garments)
    out_dir, specification = folder / "out", assignment.specification
    with FolderCutter(cutter, out_dir, config=assignment.config, specification=specification) as run:
        for _ in run.cut(plan):
            pass
        for path, job in jobs.items():  # a row may have changed when the garment's other views were seen
            made[job.photo.input] = _made_of(run.journal.rows[str(path)], job, out_dir)
    return made


def _made_of(row: Row, job: Job, out_dir: Path) -> Made:
    """The folder run's files and row, with the photo's real place in them."""
    files = {name: (out_dir / name).read_bytes() for name in row.outputs}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    # Until the new file has its name the old one stands there, and is ours too.
    written = {**job.written, **{name: (*job.written.get(name, ())[-1:], new) for name, new in hashes.items()}}
    heat = heat_path(out_dir, row.place)
    if files and heat.exists():  # beside the batch's other notes: no output
        files[heat.relative_to(out_dir).as_posix()] = heat.read_bytes()
    return Made(job, replace(row, input=job.photo.input, input_mtime_ns=job.photo.mtime_ns, written=written), files)


def _checked(made: Made, target: Storage, assignment: Assignment) -> Made:
    """The same, or failed: a file that garmentcut did not write stands where one of its own should go."""
    if assignment.overwrite:
        return made
    try:
        for name in (name for name in made.files if name in made.job.taken):
            if hashlib.sha256(target.read(name)).hexdigest() not in made.job.written.get(name, ()):
                where = f"{target.url_of(name)} is there already and not as garmentcut wrote it"
                raise OutputError(f"{where}; move it or use --overwrite", code="output_exists")
    except FileNotFoundError:  # removed since it was listed
        return made
    except (OutputError, OSError) as error:
        code = code_of(error, os_error="not_written")
        return Made(made.job, failed_row(made.job, assignment, code, str(error)), {})
    return made


def _put_files(made: Made, target: Storage, assignment: Assignment) -> Row:
    try:
        for name, content in made.files.items():
            target.put(name, content)
    except OSError as error:
        failed = failed_row(made.job, assignment, "not_written", f"cannot be written: {error.strerror or error}")
        return replace(failed, written=made.row.written)
    return made.row


def _scratch_folder() -> Path:
    """A folder of this process's own; those that killed workers left on this machine are removed."""
    if Path("/proc/self").exists():
        for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
            if not Path("/proc", left.name.removeprefix(_SCRATCH).partition("-")[0]).exists():
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))
