"""results.jsonl of an output folder: one row per photo, also if it was moved or replaced; safe against power cuts."""

import hashlib
import json
import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import AllowInfNan, BeforeValidator, Strict, TypeAdapter

from garmentcut.errors import FAILURES, Note, PhotoError, RunError, SourceError, code_of, counted
from garmentcut.observe.monitor import Monitor
from garmentcut.photo.files import json_of, read_regular_file, sha256_of, write_atomic
from garmentcut.photo.metadata import capture_of_file
from garmentcut.prediction.sources import Source, folded, unsorted_output

OWN_FOLDER = ".garmentcut"
"""A folder in every output folder, for what belongs to the batch and not to the customer."""

RESULTS_NAME = "results.jsonl"
DAMAGED_NAME = ".garmentcut/damaged.jsonl"
"""Below the output folder: damaged lines of results.jsonl."""
FOREIGN = "foreign"
"""Flag of a photo that looks unlike the studio that the model was trained on."""
DOUBT_OVER = 0.1
"""Above this doubt a cutout without a verdict is doubtful: less than 90 % of the outline is expected to be right."""
VIEW_FLAGS = {
    "color_unlike_views": "colour unlike its",
    "length_unlike_views": "length unlike its",
    "components_unlike_views": "other number of parts than its",
}
"""Flags from comparing the views of a garment, and the beginning of their reasons."""
_OLD_KEYS = {"looks": "appearance"}
"""Old names of keys, until November 2026, and their present names."""

_Count = Annotated[int, Strict()]
_Number = Annotated[float, Strict(), AllowInfNan(False)]
_Doubt = Annotated[
    float | None, BeforeValidator(lambda value: value if type(value) in (int, float) and 0 <= value <= 1 else None)
]
Verdict = Literal["", "accept", "review"]
"""Empty: there is no threshold."""
_Verdict = Annotated[Verdict, BeforeValidator(lambda value: value if value in ("accept", "review") else "")]


@dataclass(frozen=True)
class Row:
    """The outcome for one photo."""

    input: str  # absolute path of the photo
    place: str = ""  # place of its outputs below the output folder, without suffix
    outputs: tuple[str, ...] = ()  # files written with these options, relative to the output folder; empty if it failed
    # `pending`: its files were being put in place when the run was killed.
    status: Literal["ok", "failed", "pending"] = "ok"
    code: str = ""  # why it failed, a key of `garmentcut.errors.FAILURES`; empty if it did not, and in old rows
    reason: str = ""  # the same in words
    notes: tuple[str, ...] = ()  # what was changed or left out, and what is worth knowing, in words
    seconds: _Number = 0.0  # of work on this photo, without waiting
    size_hw: tuple[_Count, _Count] | None = None  # of the photo in pixels; None: it could not be read
    model: str = ""  # name and hash of the model
    options: str = ""  # fingerprint of model and output options; the same options give the same result
    # The photo as it was read.
    input_bytes: _Count = 0
    input_mtime_ns: _Count = 0
    input_sha256: str = ""
    taken: str = ""  # when it was taken, by its EXIF, with fractions of a second after a dot; empty: not known
    camera: str = ""  # serial number of the camera, likewise
    # Every file ever written for this photo, with its last two SHA-256, by which it may be replaced.
    written: dict[str, tuple[str, ...]] = field(default_factory=dict)
    doubt: _Doubt = None  # 1 - expected surface Dice at 2 px, in [0, 1]; None: the model cannot tell
    verdict: _Verdict = ""  # `accept`: its doubt is within the guaranteed threshold; `review`: a person should look
    reasons: tuple[str, ...] = ()  # why it is doubtful, in words
    flags: tuple[str, ...] = ()  # codes of reasons and notes, keys of `garmentcut.errors.FLAGS`
    own_doubt: _Doubt = None  # the doubt before the comparison with the garment's other views
    appearance: tuple[_Number, ...] = ()  # for comparison with the garment's other views; see `Judgement.appearance`
    sidecars: tuple[str, ...] = ()  # copies of the photo's sidecar files beside its outputs, also relative
    # An object store's ETag of the photo as it was read; left out of results.jsonl if empty.
    input_etag: str = ""

    @property
    def ok(self) -> bool:
        """Whether the photo was cut."""
        return self.status == "ok"

    @property
    def is_foreign(self) -> bool:
        """Whether the photo looks unlike the studio that the model was trained on."""
        return FOREIGN in self.flags

    @property
    def is_doubtful(self) -> bool:
        """Whether it was cut and a person should look: by its verdict or, without one, if its doubt is over 0.1.

        A foreign photo is always doubtful.
        """
        return self.is_doubtful_over(DOUBT_OVER)

    def is_doubtful_over(self, max_doubt: float) -> bool:
        """`is_doubtful` with another limit than 0.1."""
        if not self.ok or self.is_foreign:
            return self.ok
        return self.verdict == "review" if self.verdict else self.doubt is not None and self.doubt > max_doubt

    def noted(self, notes: Iterable[str]) -> "Row":
        """The row with further notes, and with the flags of those notes."""
        notes = tuple(dict.fromkeys((*self.notes, *notes)))
        flags = (note.flag for note in notes if isinstance(note, Note))
        return replace(self, notes=notes, flags=tuple(dict.fromkeys((*self.flags, *flags))))


class Journal:
    """The rows of an output folder; the last row of a photo counts.

    A photo's row is appended as `pending` before its outputs get their names, and as `ok` after that, so a killed run
    leaves photos without `ok`, which are cut again, and no file of unknown hash. `compact` leaves one row per photo.

    Raises:
        SourceError: garmentcut did not write the folder's `results.jsonl`.
    """

    def __init__(self, out_dir: Path, *, check: Callable[[], None] = lambda: None) -> None:
        """Read the rows; `check` is called before each write, and raises if the folder has been replaced."""
        self.path, self.check = out_dir / RESULTS_NAME, check
        self._aside = out_dir / DAMAGED_NAME
        self._lock = threading.Lock()
        self.read()

    def read(self) -> None:
        """Reread the rows."""
        data = read_regular_file(self.path) if self.path.exists() else b""
        lines = data.split(b"\n")
        found = list(map(read_row, lines))
        self.rows = {row.input: row for row in found if row is not None}
        # Until `compact` sets them aside. A killed run may leave half a line after the last complete one.
        self.damaged = [line for line, row in zip(lines[:-1], found[:-1], strict=True) if row is None]
        if self.damaged and not self.rows and not self._aside.parent.is_dir():
            raise SourceError(f"{self.path}, line 1, is not a garmentcut row; move it or choose another --out")

    def is_ours(self, path: Path, hashes: Iterable[str]) -> bool:
        """True if a file may be replaced: it does not exist, or `hashes` or a damaged line contain its hash."""
        if may_replace(path, hashes):
            return True
        if not self._aside.exists():
            return False
        return sha256_of(path) in re.findall(r"[0-9a-f]{64}", read_regular_file(self._aside).decode("latin-1"))

    def append(self, row: Row) -> None:
        """Append a row to the file at once, as a whole line in one write."""
        line = _line(row)
        with self._lock:
            self.check()
            self.rows[row.input] = row
            with self.path.open("ab") as file:
                try:
                    self.check()  # again, because the folder may have been replaced before the file was opened
                except RunError:
                    if not file.tell():
                        self.path.unlink(missing_ok=True)
                    raise
                file.write(line)
                if row.status == "pending":
                    file.flush()
                    os.fsync(file.fileno())  # its files are about to get their names

    def compact(self) -> None:
        """Rewrite the file atomically, with one row per photo, sorted by input; remove it if there are no rows.

        Damaged lines are moved to `DAMAGED_NAME` first.
        """
        with self._lock:
            self.check()
            if self.damaged:
                earlier = read_regular_file(self._aside) if self._aside.exists() else b""
                aside = earlier + b"".join(line + b"\n" for line in self.damaged)
                write_atomic(self._aside, aside, root=self.path.parent)
                self.damaged = []
            if not self.rows:
                self.path.unlink(missing_ok=True)
                return
            rows = sorted(self.rows.values(), key=lambda row: row.input)
            write_atomic(self.path, b"".join(_line(row) for row in rows), root=self.path.parent)

    def adopt(self, row: Row, new_input: str, *, is_renamed: bool) -> None:
        """Let a photo that was moved or renamed keep its row."""
        flags = (*(flag for flag in row.flags if flag != "moved"), *["moved"] * is_renamed)
        with self._lock:
            self.rows.pop(row.input)
            self.rows[new_input] = replace(row, input=new_input, flags=flags)

    def forget(self, inputs: Iterable[str]) -> None:
        """Drop rows, such as those of files that are not photos; the file changes when it is compacted."""
        with self._lock:
            for input in inputs:
                self.rows.pop(input, None)

    def displace(self, row: Row) -> None:
        """Keep the row of a photo that another one has replaced, under another key."""
        self.append(displaced(row))
        self.forget([row.input])


def failed_row(row: Row, error: Exception, *, os_error: str = "unreadable") -> Row:
    """The row of a photo that could not be cut; `os_error` as for `code_of`."""
    reason = "not enough memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        reason = f"{error.filename}: {error.strerror}"
    return replace(row, status="failed", code=code_of(error, os_error=os_error), reason=reason, outputs=(), sidecars=())


def fails_again(row: Row | None, path: Path, *, options: str) -> bool:
    """True if a photo was refused for its content, with these options, and has not changed since."""
    if row is None or row.status != "failed" or row.options != options:
        return False
    return row.code in FAILURES and FAILURES[row.code].is_permanent and is_unchanged(row, path)


def is_unchanged(row: Row, path: Path) -> bool:
    """True if the file is still the photo that its row describes."""
    try:
        status = path.stat()
        if status.st_size != row.input_bytes:
            return False
        # Copying a folder changes times but not contents, so contents are compared only if the time differs.
        return status.st_mtime_ns == row.input_mtime_ns or sha256_of(path) == row.input_sha256
    except OSError:
        return False


def is_another_photo(row: Row, taken: str, camera: str) -> bool | None:
    """Whether EXIF shows that a photo is not the one of a row; None: EXIF does not tell."""
    known = [(one, other) for one, other in ((row.taken, taken), (row.camera, camera)) if one and other]
    return any(one != other for one, other in known) if known else None


def displaced(row: Row) -> Row:
    """The row of a photo that another one has replaced, under its path and the start of its hash."""
    note = Note("another photo has taken its place", "displaced")
    return replace(row, input=f"{row.input}#{row.input_sha256[:8]}").noted([note])


def adopt_moved(sources: Iterable[Source], journal: Journal, has_file: Callable[[str], bool]) -> None:
    """Give the rows of missing photos to photos without a row that have the same content: they were moved or renamed.

    If more than case or Unicode normalisation of the name changed, the photo is flagged `moved`: its files keep their
    names, and a person's decision on it stays valid. Once the output folder has none of them, it counts as a new photo.
    """
    rows = journal.rows
    moved = [row for row in rows.values() if "moved" in row.flags and row.outputs]
    journal.forget(row.input for row in moved if not any(map(has_file, row.outputs)))
    sizes: dict[int, list[Source]] = defaultdict(list)
    for source in sources:
        if str(source.path) not in rows:
            with suppress(OSError):
                sizes[source.path.stat().st_size].append(source)
    names = dict[Path, frozenset[str]]()
    gone: dict[str, list[Row]] = defaultdict(list)
    for row in rows.values() if sizes else ():
        if row.place and row.input_bytes in sizes and not _exists_by_name(row.input, names):
            gone[row.input_sha256].append(row)
    for source in (source for group in sizes.values() for source in group) if gone else ():
        with suppress(OSError):
            place = folded(str(source.place))
            same = gone.get(sha256_of(source.path), [])
            if same:
                same.sort(key=lambda row: _is_placed(row, place))
                journal.adopt(row := same.pop(), str(source.path), is_renamed=not _is_placed(row, place))


def _is_placed(row: Row, place: str) -> bool:
    """True if a photo's place, folded, is the row's, or would be if no other photo had the same name."""
    own = PurePosixPath(row.place).with_name(Path(row.input).stem)
    return place == folded(row.place) or ("moved" not in row.flags and place == folded(str(own)))


def tell_apart(
    sources: list[Source],
    rows: Mapping[str, Row],
    is_another: Callable[[Row, Path], bool],
    displace: Callable[[Row], None],
) -> tuple[list[Source], frozenset[Path]]:
    """Give photos that have replaced another one of the same name a place of their own.

    Two cameras, or one whose counter was reset, may give two photos the same name; EXIF shows which is which.
    `is_another` tells whether a path now holds another photo than the one of its row (see `is_another_at`); `displace`
    is called with the row of each photo that another one has replaced. Returns all sources and the renamed paths.
    """
    found = (re.fullmatch(r"(.+)#[0-9a-f]{8}", path, re.DOTALL) for path in rows if path[-9:-8] == "#")
    parted = {match[1] for match in found if match}
    renamed: set[Path] = set()
    placed: list[Source] = []
    for source in sources:
        row = rows.get(str(source.path))
        if row is not None and is_another(row, source.path):
            displace(row)
            row, parted = None, parted | {str(source.path)}
        if row is not None and not {"another_photo", "moved"}.isdisjoint(row.flags):
            source = replace(source, place=PurePosixPath(row.place))
            renamed |= {source.path} if "another_photo" in row.flags else set()
        elif row is None and str(source.path) in parted:
            taken = {folded(str(one.place)) for one in (*sources, *placed)}
            taken |= {folded(row.place) for row in rows.values()}
            places = (source.place.with_name(f"{source.place.name}_{number}") for number in count(2))
            source = replace(source, place=next(place for place in places if folded(str(place)) not in taken))
            renamed.add(source.path)
        placed.append(source)
    return placed, frozenset(renamed)


def is_another_at(row: Row, read: Callable[[], bytes]) -> bool:
    """True if EXIF shows that a changed file holds another photo than the one of its row."""
    if not (row.taken or row.camera) or not row.written:
        return False
    try:
        return bool(is_another_photo(row, *capture_of_file(read())))
    except (PhotoError, OSError):  # reading it will give the reason
        return False


def _exists_by_name(path: str, names: dict[Path, frozenset[str]]) -> bool:
    """True if a file exists under exactly this name, not only one that its file system considers the same.

    `names` caches the names in each folder.
    """
    folder, name = Path(path).parent, Path(path).name
    if not os.path.exists(path):  # noqa: PTH110 - never raises
        return False
    if folder not in names:
        try:
            names[folder] = frozenset(os.listdir(folder))  # noqa: PTH208 - names are enough
        except OSError:
            return True
    return name in names[folder]


def may_replace(path: Path, hashes: Iterable[str]) -> bool:
    """True if there is no such file, or it is byte for byte as it was written; False once somebody has changed it."""
    return not path.exists() or sha256_of(path) in hashes


def remove_misplaced(out_dir: Path, row: Row) -> None:
    """Remove what an earlier run wrote for this photo under another verdict, unless somebody has changed it."""
    wanted = (*row.outputs, *row.sidecars)
    names = {unsorted_output(name) for name in wanted}
    for name, hashes in row.written.items():
        if name in wanted or unsorted_output(name) not in names:
            continue
        path = out_dir / name
        if path.is_file() and may_replace(path, hashes):
            path.unlink(missing_ok=True)


def fingerprint(*parts: Any) -> str:
    """Short hash of anything JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _line(row: Row) -> bytes:
    content = {key: value for key, value in asdict(row).items() if value or key != "input_etag"}
    # surrogateescape: a file name that is not valid UTF-8 is still a file name.
    return (json.dumps(content, ensure_ascii=True) + "\n").encode()


_ROW = TypeAdapter(Row)


def read_row(line: bytes) -> Row | None:
    """Parse a line of results.jsonl; None if it is not a row. Keys of other versions are ignored."""
    try:
        return row_of(json_of(line))
    except ValueError:
        return None


def row_of(content: Any) -> Row | None:
    """Make a row from a line's parsed content; None if it is not a row."""
    try:
        content = {_OLD_KEYS.get(key, key): value for key, value in content.items()}
        row = _ROW.validate_python(content)
    except (AttributeError, ValueError):  # not a row: a list, a number, other types
        return None
    if "flags" not in content:  # an old row, in which only the comparison of views had a fixed wording
        found = (flag for reason in row.reasons for flag, words in VIEW_FLAGS.items() if reason.startswith(words))
        row = replace(row, flags=tuple(found))
    return row if all(_is_below(name) for name in (row.place, *row.outputs, *row.sidecars, *row.written)) else None


def _is_below(name: str) -> bool:
    """True if a name leads nowhere outside the output folder."""
    # On other systems `S:M` is a folder's name like any other.
    kinds = (PurePosixPath, PureWindowsPath) if os.name == "nt" else (PurePosixPath,)
    return not any(kind(name).anchor or ".." in kind(name).parts for kind in kinds)


def foreign_warning(num_foreign: int, num_cut: int, out_dir: Path | str = "") -> str:
    """A warning about the foreign photos of a batch; empty: there are none.

    `out_dir` is the batch's output folder; leave it out if the user is looking at the batch already.
    """
    if not num_foreign:
        return ""
    how = f": garmentcut review {out_dir}" if out_dir else ""
    looks, these = ("looks", "this cutout") if num_foreign == 1 else ("look", "these cutouts")
    return (
        f"{num_foreign} of {counted(num_cut, 'photo')} {looks} unlike the studio this model learned from. Do not use"
        f" {these} unchecked{how}. With 150 photos and cutouts of your own you can train a model for your studio:"
        " garmentcut train --help."
    )


def report_row(monitor: Monitor, row: Row) -> None:
    """Count a finished photo and log its line."""
    monitor.photo(
        row.input,
        code=row.code if row.ok else row.code or "internal",
        reason=row.reason or None,
        doubt=row.doubt,
        is_foreign=row.is_foreign,
        verdict=row.verdict or None,
        flags=list(row.flags) or None,
        outputs=list(row.outputs) or None,
        notes=list(row.notes) or None,
        seconds=row.seconds,
        size_hw=row.size_hw,
        input_bytes=row.input_bytes,
    )


def heat_path(out_dir: Path, place: str) -> Path:
    """The path of a photo's heat map; `place` as in its row."""
    return out_dir.joinpath(OWN_FOLDER, "heat", *PurePosixPath(f"{place}.png").parts)


def write_heat(out_dir: Path, place: str, heat: bytes | None) -> None:
    """Write a photo's heat map, or remove that of an earlier run."""
    path = heat_path(out_dir, place)
    if heat is not None:
        write_atomic(path, heat, root=out_dir)
    else:
        path.unlink(missing_ok=True)
