"""What a person sees of a training: a bar, or a line an evaluation where nobody looks; and a summary."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from garmentcut.training.logging import Evaluated, Event
    from garmentcut.training.run import Run

Show = Callable[["Run", "Event"], None]


@contextmanager
def training_progress(num_runs: int) -> Iterator[Show]:
    """A function to be told each event, which it shows on stderr.

    Args:
        num_runs: more than one: each line names its run.
    """
    if not sys.stderr.isatty():
        yield _lines(num_runs)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield _bar(progress, num_runs)


def summary_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """For people: a line a run, and the mean over the folds if there are several."""
    lines = [_summary_line(row) for row in rows]
    scores = [row["best"]["mean_dice"] for row in rows if row["best"]]
    if len(rows) > 1 and scores:
        lines.append(f"mean of the best of {len(scores)} runs: Dice {sum(scores) / len(scores):.4f}")
    return "\n".join(lines)


def _summary_line(row: Mapping[str, Any]) -> str:
    how = "was finished before" if row["was_finished"] else _ENDS[row["ended"]]
    line = f"{row['run']}: {how} at step {row['step']} of {row['steps']}, {row['seconds']:.0f} s in all"
    if row["best"]:
        seen = "" if row["held_out"] else ", of photos it was trained on"
        line += f"; best mean Dice {row['best']['mean_dice']:.4f} at step {row['best']['step']}{seen}: {row['weights']}"
    return line if row["ended"] in _FINISHED else f"{line}; the same command goes on"


_FINISHED = ("all steps", "no gain")
_ENDS = {
    "all steps": "finished",
    "no gain": "finished early, no gain any more,",
    "time is up": "stopped, the time is up,",
    "interrupted": "interrupted",
}


def _lines(num_runs: int) -> Show:
    from garmentcut.training.logging import Evaluated, StepDone

    last: dict[str, StepDone] = {}

    def show(run: "Run", event: "Event") -> None:
        if isinstance(event, StepDone):
            last["step"] = event
        elif isinstance(event, Evaluated):
            done = last["step"]
            numbers = f"loss {done.loss:.4f}, lr {done.lr:.2g}, {done.photos_s:.3g} photos/s"
            typer.echo(f"{_name(run, num_runs)}step {done.step}/{done.steps}: {numbers}; {_found(event)}", err=True)

    return show


def _bar(progress: Any, num_runs: int) -> Show:
    from garmentcut.training.logging import Evaluated, StepDone

    best: dict[str, float] = {}
    tasks: dict[str, Any] = {}

    def show(run: "Run", event: "Event") -> None:
        name = run.division.name
        if isinstance(event, StepDone):
            if name not in tasks:
                tasks[name] = progress.add_task(name if num_runs > 1 else "", total=event.steps, numbers="")
                progress.reset(tasks[name], completed=event.step - 1)  # the rate is this session's
            shown = f"best Dice {best[name]:.4f}, " if name in best else ""
            numbers = f"{shown}loss {event.loss:.4f}, lr {event.lr:.2g}, {event.photos_s:.3g} photos/s"
            progress.update(tasks[name], completed=event.step, numbers=numbers)
        elif isinstance(event, Evaluated):
            best[name] = max(event.mean_dice, best.get(name, 0.0))
            text = f"{_name(run, num_runs)}step {event.step}: {_found(event)}"
            progress.console.print(text, markup=False, highlight=False)

    return show


def _name(run: "Run", num_runs: int) -> str:
    return f"{run.division.name}, " if num_runs > 1 else ""


def _found(event: "Evaluated") -> str:
    best = ", the best" if event.is_best else ""
    return f"validation Dice {event.mean_dice:.4f} (median {event.median_dice:.4f}), loss {event.loss:.4f}{best}"
