"""A worker of a cluster run (`garmentcut cut --ray`): a process that holds the model and cuts batches of photos.

It cuts in a folder of its own with the steps of a folder run, so that results are the same; `cluster.run` calls it.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from garmentcut.cluster.ledger import announce, finish
from garmentcut.cluster.storage import open_storage, read_photo
from garmentcut.config import Config
from garmentcut.errors import OutputError
from garmentcut.photo.spec import Specification
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter, Plan
from garmentcut.prediction.results import Row, failed_row, heat_path
from garmentcut.prediction.sources import Named

_REQUESTS_AT_A_TIME = 8
_SCRATCH = "garmentcut-worker-"


@dataclass(frozen=True)
class Job:
    """A photo to cut."""

    row: Row  # what is known of it; skipped if `failed`. After cutting, the row to write once its files are put
    outputs: tuple[str, ...] = ()  # its files below the target
    garment: str = ""  # key that all photos of its garment share
    earlier: Row | None = None  # the row of the last run that cut it or tried to
    taken: tuple[str, ...] = ()  # its outputs that exist in the target, which are checked before they are replaced
    files: Mapping[str, bytes] = field(default_factory=dict)  # contents of its files, by name, once it is cut


@dataclass(frozen=True)
class Assignment:
    """What all workers of a run must know."""

    target: str  # URL of the output folder
    run: int  # number of the run
    config: Config  # output options and limits, and the worker's own threads
    specification: Specification | None = None  # a customer's; if given, it decides the files
    overwrite: bool = False  # replace files that garmentcut did not write


class Worker:
    """Cuts batches of photos, several in parallel threads, so that one is read or written while another is cut."""

    def __init__(self, model: bytes | None, assignment: Assignment, num_cutting: int = 1) -> None:
        """Load the model, once in the worker's life: the content of its file, or None for the embedded one.

        `num_cutting` batches are cut at a time, in addition to those that are read or written.
        """
        self._assignment, self._target = assignment, open_storage(assignment.target)
        self._cutting = threading.Semaphore(num_cutting)
        self._scratch = _scratch_folder()
        weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        path = None
        if model is not None:
            path = self._scratch / "model.onnx"
            path.write_bytes(model)
        self._cutter = Cutter.load(path, config=assignment.config.runtime, cut=assignment.config.cut)

    def cut(self, jobs: Sequence[Job]) -> list[Row]:
        """Fetch and cut photos, announce their files, put the files and then the rows into the target; return the rows.

        Raises:
            OSError: the rows cannot be written, so that the work must be done again.
        """
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch, ThreadPoolExecutor(_REQUESTS_AT_A_TIME) as pool:
            # Under its own name, because some formats contain it.
            paths = [Path(scratch, str(n), PurePosixPath(job.row.input).name) for n, job in enumerate(jobs)]
            fetched = dict(zip(paths, pool.map(self._fetched, jobs, paths), strict=True))
            with self._cutting:
                made = self._cut_here(fetched, Path(scratch, "out"))
            made = list(pool.map(self._checked, made))
            coming = [job.row for job in made if job.files]
            announced = announce(self._target, self._assignment.run, coming) if coming else ""
            rows = list(pool.map(self._put, made))
        if rows:
            finish(self._target, self._assignment.run, rows, announced)
        return rows

    def _fetched(self, job: Job, path: Path) -> Job:
        """Write the photo's file to the path; returns the job, with a failed row if that is not possible."""
        try:
            if job.row.ok:
                path.parent.mkdir()
                path.write_bytes(read_photo(job.row, self._assignment.config.read))
        except Exception as error:  # noqa: BLE001 - a failure of one photo must not stop the others
            return replace(job, row=failed_row(job.row, error))
        return job

    def _cut_here(self, jobs: Mapping[Path, Job], out_dir: Path) -> list[Job]:
        """A folder run over the jobs' files, with those of a garment in succession."""
        assignment, fetched = self._assignment, {path: job for path, job in jobs.items() if job.row.ok}
        plan = Plan(
            {path: Named(job.row.place, job.outputs) for path, job in fetched.items()},
            done=(),
            garments={str(path): job.garment for path, job in fetched.items()} if assignment.specification else {},
            renamed=frozenset(path for path, job in fetched.items() if "another_photo" in job.row.flags),
        )
        with FolderCutter(
            self._cutter, out_dir, config=assignment.config, specification=assignment.specification
        ) as run:
            rows = run.journal.rows
            known = ((str(path), job.earlier) for path, job in fetched.items() if job.earlier)
            rows.update({path: replace(row, input=path) for path, row in known})
            list(run.cut(plan))
            # Only now, because a row may change when other views of the garment are cut.
            return [_with_files(job, rows[str(path)], out_dir) if job.row.ok else job for path, job in jobs.items()]

    def _checked(self, job: Job) -> Job:
        """The job; failed if a file that garmentcut did not write has the name of one of its outputs."""
        ours = job.earlier.written if job.earlier else {}
        try:
            # Outputs of several garments in one photo are known only now, and may exist from an earlier try.
            names = (name for name in job.row.outputs if name in job.taken or name not in job.outputs)
            for name in () if self._assignment.overwrite else names:
                with suppress(FileNotFoundError):  # removed since it was listed
                    found = hashlib.sha256(self._target.read(name)).hexdigest()
                    if found not in (*ours.get(name, ()), *job.row.written[name]):
                        where = f"{self._target.url_of(name)} exists already and is not as garmentcut wrote it"
                        raise OutputError(f"{where}; move it or use --overwrite", code="output_exists")
        except (OutputError, OSError) as error:
            row = failed_row(replace(job.row, written=dict(ours)), error, os_error="not_written")
            return replace(job, row=row, files={})
        return job

    def _put(self, job: Job) -> Row:
        try:
            for name, content in job.files.items():
                self._target.put(name, content)
        except OSError as error:
            return failed_row(job.row, OutputError(f"cannot be written: {error.strerror or error}", code="not_written"))
        return job.row


def _with_files(job: Job, row: Row, out_dir: Path) -> Job:
    """The job with the folder run's files, and its row with the photo's real location."""
    known, files = job.row, {name: (out_dir / name).read_bytes() for name in row.outputs}
    heat = heat_path(out_dir, row.place)
    if files and heat.exists():  # stored with the batch's metadata, not as an output
        files[heat.relative_to(out_dir).as_posix()] = heat.read_bytes()
    row = replace(row, input=known.input, input_mtime_ns=known.input_mtime_ns, input_etag=known.input_etag)
    return replace(job, row=row, files=files)


def _scratch_folder() -> Path:
    """A temporary folder for this process; folders that killed workers left on this machine are removed."""
    if Path("/proc/self").exists():
        for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
            if not Path("/proc", left.name.removeprefix(_SCRATCH).partition("-")[0]).exists():
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))
