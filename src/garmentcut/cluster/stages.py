"""The stages of a run on a cluster, each a function of a batch: read, cut, write.

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
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from garmentcut.cluster.columns import Kept
from garmentcut.cluster.ledger import Entry
from garmentcut.cluster.plan import Job, Wish
from garmentcut.cluster.storage import Storage, open_storage
from garmentcut.errors import OutputError, PhotoError, code_of
from garmentcut.photo.files import read_photo_bytes
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter, Plan
from garmentcut.prediction.results import Row
from garmentcut.prediction.verdict import heat_path

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN = "group"
_REQUESTS_AT_A_TIME = 8
_SCRATCH = "garmentcut-worker-"


@dataclass(frozen=True)
class Loaded:
    """A photo's file in memory; without it, `code` and `reason` say why."""

    job: Job
    content: bytes = b""
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Made:
    """What became of a photo, before its files are put in place.

    Attributes:
        job: the photo.
        row: its row, should all files find their place.
        files: contents by name.
        heat: where it is doubtful, by name; kept beside the batch's other notes, no output.
    """

    job: Job
    row: Row
    files: Mapping[str, bytes]
    heat: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """What every worker of a run is told.

    Attributes:
        target: URL of the output folder.
        run: number of the run.
        label: of the model.
        wish: what files are wanted; its config has the worker's own threads.
    """

    target: str
    run: int
    label: str
    wish: Wish


def packed(rows: list[Any]) -> "pa.Table":
    """Anything as a column of pickles, a row each."""
    import pyarrow as pa

    return pa.table({COLUMN: pa.array([pickle.dumps(row, protocol=5) for row in rows], pa.large_binary())})


def unpacked(batch: "pa.Table") -> list[Any]:
    """The rows that `packed` was given."""
    return [pickle.loads(each.as_buffer()) for each in batch[COLUMN]]


def read_batch(batch: "pa.Table", assignment: Assignment) -> "pa.Table":
    """Stage 1, a task: jobs to files in memory; several photos at a time, for it waits more than it works."""
    groups: list[tuple[Job, ...]] = unpacked(batch)
    with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
        loaded = iter(
            list(pool.map(lambda job: load_photo(job, assignment), [job for group in groups for job in group]))
        )
    return packed([tuple(next(loaded) for _ in group) for group in groups])


def load_photo(job: Job, assignment: Assignment) -> Loaded:
    """A photo's file, or why it cannot be had."""
    limits, photo = assignment.wish.config.read, job.photo
    if job.refused:
        return Loaded(job, code="bad_name", reason=job.refused)
    try:
        if photo.is_local:
            return Loaded(job, read_photo_bytes(Path(photo.input), limits))
        if photo.num_bytes > limits.max_mb * 1_000_000:
            raise PhotoError(
                f"{photo.num_bytes / 1e6:.0f} MB: over read.max_mb = {limits.max_mb}; raise it if meant",
                code="too_large",
            )
        content = open_storage(photo.input).read("")
        return Loaded(job, content) if content else Loaded(job, code="empty", reason="empty file; copy it again")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one photo must not stop the others
        reason = "no such file; it is gone since it was listed" if isinstance(error, FileNotFoundError) else str(error)
        return Loaded(job, code=code_of(error), reason=reason or type(error).__name__)


class CutBatch:
    """Stage 2, an actor that holds the model: files of photos to files of cutouts."""

    def __init__(self, model: bytes | None, assignment: Assignment) -> None:
        """Load the model, once in the worker's life.

        Args:
            model: content of its file; None: the embedded one.
            assignment: see there.
        """
        self._assignment, config = assignment, assignment.wish.config
        self._scratch = _scratch_folder()
        weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        path = self._scratch / "model.onnx" if model is not None else None
        if path is not None and model is not None:
            path.write_bytes(model)
        self._cutter = Cutter.load(path, config=config.runtime, cut=config.cut)

    def __call__(self, batch: "pa.Table") -> "pa.Table":
        """Cut a batch of garments."""
        groups: list[tuple[Loaded, ...]] = unpacked(batch)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            made = cut_photos(
                [loaded for group in groups for loaded in group], self._cutter, self._assignment, Path(folder)
            )
        return packed([tuple(made[loaded.job.photo.input] for loaded in group) for group in groups])


def cut_photos(photos: list[Loaded], cutter: Cutter, assignment: Assignment, folder: Path) -> dict[str, Made]:
    """A folder run over photos that are in memory.

    Args:
        photos: those of a garment one behind the other.
        cutter: the model.
        assignment: what is wanted.
        folder: empty, on the worker's disk.

    Returns:
        By input, one for each photo.
    """
    wish, made, jobs = assignment.wish, dict[str, Made](), dict[Path, Job]()
    for number, loaded in enumerate(photos):
        try:
            if loaded.reason:
                raise PhotoError(loaded.reason, code=loaded.code)
            jobs[_laid_down(loaded, folder / str(number))] = loaded.job
        except (PhotoError, OSError) as error:
            made[loaded.job.photo.input] = Made(
                loaded.job, failed_row(loaded.job, assignment, code_of(error), str(error)), {}
            )
    out_dir = folder / "out"
    plan = Plan({path: job.named for path, job in jobs.items()}, (), frozenset(), _garments(jobs, wish))
    with FolderCutter(cutter, out_dir, config=wish.config, specification=wish.specification) as run:
        for _ in run.cut(plan):
            pass
        for path, job in jobs.items():  # a row may have changed when the garment's other views were seen
            made[job.photo.input] = _made_of(run.journal.rows[str(path)], job, out_dir)
    return made


def write_batch(batch: "pa.Table", assignment: Assignment) -> "pa.Table":
    """Stage 3, a task: files of cutouts into the target, then their rows; gives the rows."""
    made = [each for group in unpacked(batch) for each in group]
    return packed([kept.row for kept in put_in_place(made, open_storage(assignment.target), assignment)])


def put_in_place(made: list[Made], target: Storage, assignment: Assignment) -> list[Kept]:
    """Announce the files, write them, write their rows.

    Raises:
        OSError: the rows cannot be written: the work is done again.
    """
    checked = [_checked(each, target, assignment) for each in made]
    entry = Entry(target, assignment.run, tuple(each.job.photo.input for each in checked))
    coming = [Kept(each.row, each.job.photo.etag) for each in checked if each.files]
    announced = entry.announce(coming) if coming else ""
    with ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
        kept = [
            Kept(row, each.job.photo.etag)
            for each, row in zip(
                checked, pool.map(lambda each: _put_files(each, target, assignment), checked), strict=True
            )
        ]
    entry.finish(kept, announced)
    return kept


def failed_row(job: Job, assignment: Assignment, code: str, reason: str) -> Row:
    """The row of a photo that could not be cut."""
    return Row(
        job.photo.input,
        job.named.place,
        status="failed",
        code=code,
        reason=reason,
        model=assignment.label,
        options=assignment.wish.options,
        input_bytes=job.photo.num_bytes,
        input_mtime_ns=job.photo.mtime_ns,
        written=dict(job.written),
    )


def _laid_down(loaded: Loaded, folder: Path) -> Path:
    """The photo's file under its own name, which goes into some formats."""
    folder.mkdir()
    path = folder / PurePosixPath(loaded.job.photo.input).name
    path.write_bytes(loaded.content)
    return path


def _garments(jobs: Mapping[Path, Job], wish: Wish) -> dict[str, str]:
    return {str(path): job.garment for path, job in jobs.items()} if wish.specification is not None else {}


def _made_of(row: Row, job: Job, out_dir: Path) -> Made:
    files = {name: (out_dir / name).read_bytes() for name in row.outputs}
    heat = heat_path(out_dir, row.place)
    heats = {heat.relative_to(out_dir).as_posix(): heat.read_bytes()} if files and heat.exists() else {}
    return Made(job, _own_row(row, job, files), files, heats)


def _own_row(row: Row, job: Job, files: Mapping[str, bytes]) -> Row:
    """The folder run's row, told of the photo where it really is."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    # Until the new file has its name the old one stands there, and is ours too.
    written = {**job.written, **{name: (*job.written.get(name, ())[-1:], new) for name, new in hashes.items()}}
    return replace(row, input=job.photo.input, input_mtime_ns=job.photo.mtime_ns, written=written)


def _checked(made: Made, target: Storage, assignment: Assignment) -> Made:
    """The same, or failed: a file that garmentcut did not write stands where one of its own should go."""
    if assignment.wish.overwrite:
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
        return replace(made, row=failed_row(made.job, assignment, code, str(error)), files={})
    return made


def _put_files(made: Made, target: Storage, assignment: Assignment) -> Row:
    try:
        for name, content in {**made.files, **made.heat}.items():
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
