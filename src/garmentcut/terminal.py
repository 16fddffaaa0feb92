"""What `cut`, `evaluate` and other commands show of many photos: a progress bar, and at its end a summary."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from garmentcut.errors import counted
from garmentcut.observe.log import printable
from garmentcut.prediction.results import Row, foreign_warning
from garmentcut.prediction.sources import NotLookedAt

_SHOWN_FAILURES = 20


@dataclass
class Summary:
    """Counts of a run, and its failures by name."""

    # Where cutouts and rows are; paths or URLs.
    out_dir: Path | str
    results: Path | str
    # Photos done before, cut and failed.
    num_skipped: int = 0
    num_cut: int = 0
    num_failed: int = 0
    # Failures and notes named at most; None: all. The counts are of all.
    most_named: int | None = None
    has_pace: bool = True  # seconds a photo mean something: the run did nothing else
    # Rows to be named.
    failures: list[Row] = field(default_factory=list)
    noted: list[Row] = field(default_factory=list)
    # Verdicts, those of photos done before included.
    num_accepted: int = 0
    num_to_review: int = 0
    num_doubtful: int = 0
    num_foreign: int = 0
    doubtful: list[Row] = field(default_factory=list)
    num_replaced: int = 0  # photos that took the place of others of the same name
    num_moved: int = 0  # photos done before that have another name now than their files
    num_gone: int = 0  # cutouts that were written and went with the output folder
    num_damaged: int = 0  # lines of the results that were set aside
    not_looked_at: NotLookedAt = field(default_factory=NotLookedAt)  # what was passed over among the photos
    started: float = field(default_factory=time.perf_counter)

    def add(self, row: Row) -> None:
        """Count one photo."""
        if row.ok:
            self.num_cut += 1
        else:
            self.num_failed += 1
        if not row.ok and (self.most_named is None or len(self.failures) < self.most_named):
            self.failures.append(row)
        if row.notes and (self.most_named is None or len(self.noted) < self.most_named):
            self.noted.append(row)
        self.num_replaced += "replaced" in row.flags
        self.count_verdict(row)

    def count_verdict(self, row: Row) -> None:
        """Count the verdict of one photo; of those that were cut in an earlier run too."""
        self.num_accepted += row.ok and row.verdict == "accept"
        self.num_to_review += row.ok and row.verdict == "review"
        self.num_doubtful += row.is_doubtful
        self.num_foreign += row.ok and row.is_foreign
        if row.is_doubtful and (self.most_named is None or len(self.doubtful) < self.most_named):
            self.doubtful.append(row)

    @property
    def foreign_warning(self) -> str:
        """See `garmentcut.prediction.results.foreign_warning`."""
        return foreign_warning(self.num_foreign, self.num_cut + self.num_skipped, self.out_dir)

    @property
    def num_photos(self) -> int:
        """All photos of the run."""
        return self.num_cut + self.num_skipped + self.num_failed

    def as_dict(self) -> dict[str, Any]:
        """For machines: counts, seconds of the whole run, failures with their reasons."""
        return {
            "photos": self.num_photos,
            "cut": self.num_cut,
            "skipped": self.num_skipped,
            "failed": self.num_failed,
            "doubtful": self.num_doubtful,
            "foreign": self.num_foreign,
            "not_looked_at": self.not_looked_at.num_files,
            "accepted": self.num_accepted,
            "review": self.num_to_review,
            "seconds": round(time.perf_counter() - self.started, 3),
            "out": str(self.out_dir),
            "results": str(self.results),
            "failures": [{"input": row.input, "code": row.code, "reason": row.reason} for row in self.failures],
            "notes": [{"input": row.input, "notes": list(row.notes)} for row in self.noted],
            "doubts": [_doubt_of(row) for row in self.doubtful],
            "not_looked_at_kinds": self.not_looked_at.kinds,
            "junk": self.not_looked_at.num_junk,
            "replaced": self.num_replaced,
            "moved": self.num_moved,
            "gone": self.num_gone,
            "damaged_lines": self.num_damaged,
        }

    def as_text(self) -> str:
        """For people: one line, then a line for each failure and each note."""
        counts = self.as_dict()
        parts = [f"{counts['cut']} cut"]
        parts += [
            f"{counts[key]} {text}"
            for key, text in (("skipped", "done before"), ("failed", "failed"), ("doubtful", "doubtful"))
            if counts[key]
        ]
        if self.num_accepted or self.num_to_review:
            parts.append(f"{self.num_accepted} accepted, {self.num_to_review} to review")
        rate = f", {counts['seconds'] / self.num_cut:.2f} s a photo" if self.num_cut and self.has_pace else ""
        lines = [f"{counted(counts['photos'], 'photo')}: {', '.join(parts)}{rate}; rows in {self.results}"]
        lines += filter(None, [self.foreign_warning])
        lines += self._named("failed", [(row, row.reason) for row in self.failures], self.num_failed)
        lines += self._named("doubtful", [(row, _why(row)) for row in self.doubtful], self.num_doubtful)
        lines += [f"note: {row.input}: {'; '.join(row.notes)}" for row in self.noted[:_SHOWN_FAILURES]]
        return "\n".join(map(printable, [*lines, *self._others()]))

    def _named(self, what: str, rows: list[tuple[Row, str]], number: int) -> list[str]:
        lines = [f"{what}: {row.input}: {why}" for row, why in rows[:_SHOWN_FAILURES]]
        return lines + [f"... and {number - len(lines)} more, listed in {self.results}"] * (number > len(lines))

    def _others(self) -> Iterator[str]:
        """What happened to the folders rather than to a photo."""
        own = f"{self.out_dir}/.garmentcut"
        if self.num_gone:
            yield f"{counted(self.num_gone, 'photo')} of these went with the output folder: cut before, files gone"
        if self.num_replaced:
            was = "photo was" if self.num_replaced == 1 else "photos were"
            yield f"{self.num_replaced} {was} replaced by a new one of the same name"
        if self.num_moved:
            was = "photo was moved since it was" if self.num_moved == 1 else "photos were moved since they were"
            yield f"{self.num_moved} {was} cut; the files keep their names, unless you remove them and run again"
        if text := self.not_looked_at.as_text():
            yield f"{text}; listed in {own}/skipped.jsonl"
        if number := self.not_looked_at.num_junk:
            yield f"{number} hidden or left by operating systems (Thumbs.db, ._x.jpg and the like): passed over"
        if self.num_damaged:
            was = "line of results.jsonl was" if self.num_damaged == 1 else "lines of results.jsonl were"
            yield f"{self.num_damaged} damaged {was} set aside in {own}/damaged.jsonl"


def _why(row: Row) -> str:
    doubt = "" if row.doubt is None else f"doubt {row.doubt:.2f}"
    return "; ".join(filter(None, (*row.reasons, doubt)))


def _doubt_of(row: Row) -> dict[str, Any]:
    return {"input": row.input, "doubt": row.doubt, "flags": list(row.flags), "reasons": list(row.reasons)}


@contextmanager
def progress_of(num_photos: int) -> Iterator[Callable[[Row], None]]:
    """A bar over the rows of a folder run; see `progress_bar`."""
    with progress_bar(num_photos, "photos") as advance:
        yield lambda row: advance(row.input, row.reason if not row.ok else "")


@contextmanager
def progress_bar(total: int, unit: str) -> Iterator[Callable[[str, str], None]]:
    """A bar with rate and time left on stderr; silent where stderr is no terminal or nothing is to do.

    Args:
        total: steps to do.
        unit: what they are, in the plural.

    Yields:
        To be called after each step, with its name or path, and why it failed; empty: it did not.
    """
    if not total or not sys.stderr.isatty():
        yield lambda _name, _failure: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}"),
    )
    started = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, rate="", name="")

        def advance(name: str, failure: str) -> None:
            progress.advance(task)
            rate = progress.tasks[0].completed / (time.perf_counter() - started)
            progress.update(task, rate=f"{rate:.2f} {unit}/s", name=printable(Path(name).name[-40:]))
            if failure:
                progress.console.print(printable(f"failed: {name}: {failure}"), markup=False, highlight=False)

        yield advance
