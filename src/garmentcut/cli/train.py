"""`garmentcut train`: trains a recipe's network on a dataset, shows progress, and continues a stopped run."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from garmentcut.cli.app import (
    INTERRUPTED,
    OK,
    RUNNING,
    TRAIN,
    AcceleratorOption,
    DataOption,
    JsonOption,
    MinutesOption,
    argument,
    command,
    fail,
    flag,
    option,
    out_option,
    say,
    show,
    shown,
)
from garmentcut.errors import counted

if TYPE_CHECKING:
    from garmentcut.training.devices import Devices, launched
    from garmentcut.training.logging import Ended, Evaluated, Event, Planned, StepDone
    from garmentcut.training.run import RANGE_CURVE_NAME, Run, training_splits, without_wrong

Show = Callable[["Run", "Event"], None]


@command(TRAIN, stopped="broken off at once; the same command goes on from what was last saved")
def train(
    recipe: Annotated[str, argument("RECIPE", "Built-in recipe, such as default, or a TOML file: see docs/recipe.md.")],
    data: DataOption,
    out: Annotated[
        str | None, out_option("Folder for the run: weights, journal, samples. The same folder continues it.", "FOLDER")
    ] = None,
    set: Annotated[
        list[str] | None,
        option("One option of the recipe, for example training.steps=2000. May be given several times.", "KEY=VALUE"),
    ] = None,
    fold: Annotated[
        str | None,
        option("Fold to hold out; all is one after another, none is to learn from everything. The default is 0."),
    ] = None,
    validation: Annotated[str | None, option("Split to hold out, instead of a fold.", "NAME")] = None,
    hours: Annotated[
        float | None, option("For a recipe with stages: fit the steps to this time, once.", "HOURS", min=0.05)
    ] = None,
    range_test: Annotated[
        bool, flag("--range-test", "Train nothing: find a learning rate, OUT/range_test.svg.")
    ] = False,
    augmentations: Annotated[
        Path | None, option("Train nothing: draw what the augmentation does on this .jpg or .png.", "FILE")
    ] = None,
    minutes: MinutesOption = None,
    accelerator: AcceleratorOption = "auto",
    devices: Annotated[int, option("GPUs (or processes on a CPU) of each machine.", min=1, panel=RUNNING)] = 1,
    nodes: Annotated[int, option("Machines, started by torchrun or SLURM.", min=1, panel=RUNNING)] = 1,
    as_json: JsonOption = False,
) -> None:
    """Train a network on a dataset.

    OUT/best.safetensors are the best weights, OUT/journal.jsonl and OUT/tensorboard have every step, OUT/samples shows
    photos as they are learned. Ctrl-C saves; the same command goes on where a run was stopped or killed. Exit code 0:
    done, or the minutes are over, 1: it broke off, 2: misuse, 130: interrupted.

    Example: garmentcut train default --data dataset/ -o runs/ours --hours 8
    """
    if out == "" or (out is None and augmentations is None):
        fail("--out is missing or empty: the folder for the run")
    # Imported here: `--help` must not wait for torch.

    runs = _plan((recipe, set or []), (data, fold, validation), Path(out or "."))
    if augmentations is not None:
        from garmentcut.training.trial import draw_augmentations

        draw_augmentations(runs[0], augmentations)
        say(augmentations)
    elif range_test:
        _try_rates(runs[0], Devices(accelerator, devices, nodes), as_json=as_json)
    else:
        _train(runs, Devices(accelerator, devices, nodes), data, limits=(minutes, hours), as_json=as_json)


def _plan(recipe: tuple[str, list[str]], data: tuple[Path, str | None, str | None], out: Path) -> "list[Run]":
    from garmentcut.config import parse_override
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.recipe import load_recipe

    (name, overrides), (folder, fold, validation) = recipe, data
    options, manifest = load_recipe(Path(name), dict(map(parse_override, overrides))), read_manifest(folder)
    splits = training_splits(manifest, fold, validation=validation)
    if options.data.wrong_weight == 0:
        splits = tuple(map(without_wrong, splits))
    if fold != "all":
        return [Run(out, options, manifest, splits[0])]
    return [Run(out / split.name, options, manifest, split) for split in splits]


def _train(
    runs: "list[Run]", devices: "Devices", data: Path, *, limits: tuple[float | None, float | None], as_json: bool
) -> None:
    from garmentcut.training.stages import train_all

    ends: dict[Path, Ended] = {}
    with training_progress([run.folder for run in runs]) as show_event:
        for run, event in train_all(runs, devices, minutes=limits[0], hours=limits[1]):
            show_event(run, event)
            if isinstance(event, Ended):
                ends[run.folder] = event
    if not ends:
        return  # a process of another device: the first one speaks
    rows = [run.summary(ends[run.folder]) for run in runs if run.folder in ends]
    folder = runs[0].folder
    if not all(row["ended"] in _FINISHED for row in rows):
        next_step = "run the same command again to continue"
    elif len(runs) > 1:
        next_step = (
            f"{shown('garmentcut', 'evaluate', folder.parent, data)} to measure them on photos they had not seen"
        )
    else:
        next_step = f"{shown('garmentcut', 'export', folder, '--out', 'model.onnx')} to make a model file"
    show({"runs": rows}, lambda: summary_text(rows), as_json=as_json, next_step=next_step)
    raise typer.Exit(INTERRUPTED if any(end.reason == "interrupted" for end in ends.values()) else OK)


def _try_rates(run: "Run", devices: "Devices", *, as_json: bool) -> None:
    from garmentcut.training.trial import try_rates

    with run.held(), launched(Devices(devices.accelerator), run.recipe.training) as fabric:
        suggested = try_rates(run, fabric)
    curve = str(run.folder / RANGE_CURVE_NAME)
    if suggested is None:
        text, next_step = (
            f"the loss never falls, at no learning rate; see {curve}",
            "look at the recipe's loss and data",
        )
    else:
        text = f"the loss falls fastest at optimizer.lr = {suggested:.2g}; see {curve}"
        next_step = f"train with --set optimizer.lr={suggested:.2g}"
    show({"suggested_lr": suggested, "curve": curve}, lambda: text, as_json=as_json, next_step=next_step)


@contextmanager
def training_progress(folders: Sequence[Path]) -> Iterator[Show]:
    """A function that shows each event it is called with on stderr.

    Args:
        folders: of the runs; where there are several, or a run has stages, each line names its run.
    """
    if not sys.stderr.isatty():
        yield _lines(folders)
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
        yield _bar(progress, folders)


def summary_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The result for people: a line for each run, and the mean over the folds if there are several."""
    lines = [_summary_line(row) for row in rows]
    scores = [row["best"]["mean_dice"] for row in rows if row["best"]]
    if len(rows) > 1 and scores:
        lines.append(f"mean of the best of {len(scores)} runs: Dice {sum(scores) / len(scores):.4f}")
    return "\n".join(lines)


def _summary_line(row: Mapping[str, Any]) -> str:
    how = "was finished before" if row["was_finished"] else _ENDS[row["ended"]]
    stage = f" of {row['stage']}" if row["stage"] else ""
    line = f"{row['run']}: {how} at step {row['step']} of {row['steps']}{stage}, {row['seconds']:.0f} s in all"
    if row["best"]:
        seen = "" if row["held_out"] else ", of photos it was trained on"
        seen += f", {counted(row['met_before'], 'photo')} known to its start" if row.get("met_before") else ""
        line += f"; best mean Dice {row['best']['mean_dice']:.4f} at step {row['best']['step']}{seen}: {row['weights']}"
    return line if row["ended"] in _FINISHED else f"{line}; the same command goes on"


_FINISHED = ("all steps", "no gain")
_ENDS = {
    "all steps": "finished",
    "no gain": "finished early, no gain any more,",
    "time is up": "stopped, the time is up,",
    "interrupted": "interrupted",
}


_LINES_A_RUN, _LONG_RUN_STEPS = 20, 200


def _lines(folders: Sequence[Path]) -> Show:

    last: dict[str, StepDone] = {}

    def show(run: "Run", event: "Event") -> None:
        if isinstance(event, StepDone):
            last["step"] = event
            is_long = event.steps >= _LONG_RUN_STEPS
            if is_long and event.step % (event.steps // _LINES_A_RUN) == 0 and event.step < event.steps:
                say(f"{_name(run, folders)}{_numbers(event)}", err=True)
        elif isinstance(event, Evaluated):
            say(f"{_name(run, folders)}{_numbers(last['step'])}; {_found(event)}", err=True)
        elif isinstance(event, Planned):
            say(_planned(event), err=True)

    return show


def _bar(progress: Any, folders: Sequence[Path]) -> Show:

    best: dict[str, float] = {}
    tasks: dict[str, Any] = {}

    def show(run: "Run", event: "Event") -> None:
        name = _name(run, folders)
        if isinstance(event, StepDone):
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=event.steps, numbers="")
                progress.reset(tasks[name], completed=event.step - 1)  # the rate is this session's
            shown = f"best Dice {best[name]:.4f}, " if name in best else ""
            numbers = f"{shown}loss {event.loss:.4f}, lr {event.lr:.2g}, {event.photos_s:.3g} photos/s"
            progress.update(tasks[name], completed=event.step, numbers=numbers)
        elif isinstance(event, Evaluated):
            best[name] = max(event.mean_dice, best.get(name, 0.0))
            progress.console.print(f"{name}step {event.step}: {_found(event)}", markup=False, highlight=False)
        elif isinstance(event, Planned):
            progress.console.print(_planned(event), markup=False, highlight=False)

    return show


def _name(run: "Run", folders: Sequence[Path]) -> str:
    """Nothing for the only network of the only run."""
    if run.folder in folders:
        return f"{run.split.name}: " if len(folders) > 1 else ""
    above = next((folder for folder in folders if folder in run.folder.parents), run.folder.parent)
    before = f"{above.name}/" if len(folders) > 1 else ""
    return f"{before}{run.folder.relative_to(above).as_posix()}: "


def _planned(event: "Planned") -> str:
    steps = ", ".join(f"{name} {num}" for name, num in event.steps.items())
    hours, minutes = divmod(max(round(event.seconds / 60), 1), 60)
    takes = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    if event.hours is not None and event.seconds > 1.1 * event.hours * 3600:
        steps += "; no network takes fewer, so it is more than --hours"
    return f"all of it will take about {takes} on this machine; steps: {steps}"


def _numbers(done: "StepDone") -> str:
    return f"step {done.step}/{done.steps}: loss {done.loss:.4f}, lr {done.lr:.2g}, {done.photos_s:.3g} photos/s"


def _found(event: "Evaluated") -> str:
    best = ", the best" if event.is_best else ""
    return f"validation Dice {event.mean_dice:.4f} (median {event.median_dice:.4f}), loss {event.loss:.4f}{best}"
