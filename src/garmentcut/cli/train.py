"""`garmentcut train` trains a recipe's network on a dataset; `garmentcut study` compares trainings in a report.

Both show progress, and continue what was stopped.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from garmentcut.cli import shell as cli
from garmentcut.errors import counted

if TYPE_CHECKING:
    from garmentcut.study.compare import Results
    from garmentcut.study.plan import Study
    from garmentcut.training.devices import Devices
    from garmentcut.training.logging import Event, MapsDone, Planned, StepDone
    from garmentcut.training.run import Run

Show = Callable[["Run", "Event"], None]
_STOPPED = "aborted; the same command continues from the last saved state"
_LINES_A_RUN, _LONG_RUN_STEPS, _LINES_OF_MAPS = 20, 200, 10
_FINISHED = ("all steps", "no gain")
_ENDS = {
    "all steps": "finished",
    "no gain": "finished early, without further gain,",
    "time is up": "stopped, out of time,",
    "interrupted": "interrupted",
}


@cli.command(cli.TRAIN, stopped=_STOPPED)
@cli.options("""
    RECIPE: Built-in recipe, such as default, or a TOML file: see docs/recipe.md.
    --out -o FOLDER: Folder for the run: weights, journal, samples. The same folder continues it.
    --set KEY=VALUE: A key of the recipe, for example training.steps=2000. May be given several times.
    --fold NUMBER: Fold to hold out; all trains one run per fold, none learns from everything. The default is 0.
    --validation NAME: Split to hold out, instead of a fold.
    --hours HOURS 0.05..: For a recipe with stages: fit the steps to this time, once.
    --range-test: Instead of training, find a learning rate and write OUT/range_test.svg.
    --augmentations FILE: Instead of training, write examples of the augmentation to this .jpg or .png.
Running:
    --devices NUMBER 1..: GPUs (or processes on a CPU) per machine.
    --nodes NUMBER 1..: Machines, started by torchrun or SLURM.
""")
def train(
    recipe: str,
    data: Path,
    out: str | None = None,
    set: list[str] | None = None,
    fold: str | None = None,
    validation: str | None = None,
    hours: float | None = None,
    range_test: bool = False,
    augmentations: Path | None = None,
    minutes: float | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    as_json: bool = False,
) -> int:
    """Train a network on a dataset.

    OUT, or with stages a folder in it for each, gets the best weights (best.safetensors), a log of every step
    (journal.jsonl, tensorboard) and predictions (samples). Ctrl-C saves; the same command continues a run that was
    stopped or killed. Exit code 0: done, or the minutes are over, 1: aborted, 2: misuse, 130: interrupted.

    Example: garmentcut train default --data dataset/ -o runs/ours --hours 8
    """
    if out == "" or (out is None and augmentations is None):
        cli.fail("--out is missing or empty: the folder for the run")
    from garmentcut.config import parse_override
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.recipe import load_recipe
    from garmentcut.training.devices import Devices
    from garmentcut.training.run import Run, training_splits, without_wrong

    options, folder = load_recipe(Path(recipe), dict(map(parse_override, set or []))), Path(out or ".")
    manifest = read_manifest(data)
    splits = training_splits(manifest, fold, validation=validation)
    if options.data.wrong_weight == 0:
        splits = tuple(map(without_wrong, splits))
    runs = [Run(folder / split.name if fold == "all" else folder, options, manifest, split) for split in splits]
    if augmentations is not None:
        from garmentcut.training.trial import draw_augmentations

        draw_augmentations(runs[0], augmentations)
        cli.show({"augmentations": str(augmentations)}, lambda: str(augmentations), as_json=as_json)
        return cli.OK
    machines = Devices(accelerator, devices, nodes)
    if range_test:
        return _try_rates(runs[0], machines, as_json=as_json)
    return _train(runs, machines, data, limits=(minutes, hours), as_json=as_json)


def _train(
    runs: "list[Run]", devices: "Devices", data: Path, *, limits: tuple[float | None, float | None], as_json: bool
) -> int:
    from garmentcut.evaluation.predict import MODEL_NAME
    from garmentcut.training.logging import Ended
    from garmentcut.training.stages import train_all

    ends: dict[Path, Ended] = {}
    with training_progress([run.folder for run in runs]) as show_event:
        for run, event in train_all(runs, devices, minutes=limits[0], hours=limits[1]):
            show_event(run, event)
            if isinstance(event, Ended):
                ends[run.folder] = event
    if not ends:
        return cli.OK  # a process of another device: the first one speaks
    rows = [run.summary(ends[run.folder]) for run in runs if run.folder in ends]
    folder = runs[0].folder
    if not all(row["ended"] in _FINISHED for row in rows):
        next_step = "run the same command again to continue"
    elif len(runs) > 1:
        measure = cli.shown("garmentcut", "evaluate", folder.parent, data)
        export = cli.shown("garmentcut", "export", folder, "--out", folder / MODEL_NAME)
        next_step = f"{export}, and so on for each run; then {measure} to measure them on photos they had not seen"
    else:
        next_step = f"{cli.shown('garmentcut', 'export', folder, '--out', 'model.onnx')} to make a model file"
    cli.show({"runs": rows}, lambda: summary_text(rows), as_json=as_json, next_step=next_step)
    return cli.INTERRUPTED if any(end.reason == "interrupted" for end in ends.values()) else cli.OK


def _try_rates(run: "Run", devices: "Devices", *, as_json: bool) -> int:
    from garmentcut.training.devices import Devices, launched
    from garmentcut.training.run import RANGE_CURVE_NAME
    from garmentcut.training.trial import try_rates

    with run.held(), launched(Devices(devices.accelerator), run.recipe.training) as fabric:
        suggested = try_rates(run, fabric)
    curve = str(run.folder / RANGE_CURVE_NAME)
    if suggested is None:
        text, next_step = "the loss does not fall at any learning rate", "check the recipe's loss and data"
    else:
        text = f"the loss falls fastest at optimizer.lr = {suggested:.2g}"
        next_step = f"train with --set optimizer.lr={suggested:.2g}"
    content = {"suggested_lr": suggested, "curve": curve}
    cli.show(content, lambda: f"{text}; see {curve}", as_json=as_json, next_step=next_step)
    return cli.OK


@contextmanager
def training_progress(folders: Sequence[Path]) -> Iterator[Show]:
    """A function that shows each event it is called with on stderr: with bars on a terminal, else in lines.

    If there are several runs, which have these `folders`, or a run has stages, each line names its run.
    """
    if not sys.stderr.isatty():
        yield _Shown(folders)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[numbers]}")
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield _Shown(folders, progress)


class _Shown:
    def __init__(self, folders: Sequence[Path], progress: Any = None) -> None:
        self._folders, self._progress = folders, progress
        self._tasks: dict[str, Any] = {}
        self._best: dict[str, float] = {}
        self._done = ""  # the line of the last step

    def __call__(self, run: "Run", event: "Event") -> None:
        from garmentcut.training.logging import Evaluated, MapsDone, Planned, StepDone

        if isinstance(event, StepDone):
            self._show_step(_name(run, self._folders), event)
        elif isinstance(event, Evaluated):
            name, best = _name(run, self._folders), ", the best" if event.is_best else ""
            self._best[name] = max(event.mean_dice, self._best.get(name, 0.0))
            where = f"{name}step {event.step}:" if self._progress else f"{self._done};"
            dice = f"validation Dice {event.mean_dice:.4f} (median {event.median_dice:.4f})"
            self._say(f"{where} {dice}, loss {event.loss:.4f}{best}")
        elif isinstance(event, Planned):
            self._say(_planned(event))
        elif isinstance(event, MapsDone):
            self._show_maps(_name(run, self._folders), event)

    def _show_step(self, name: str, event: "StepDone") -> None:
        numbers = f"loss {event.loss:.4f}, lr {event.lr:.2g}, {event.photos_s:.3g} photos/s"
        self._done = f"{name}step {event.step}/{event.steps}: {numbers}"
        if self._progress:
            best = f"best Dice {self._best[name]:.4f}, " if name in self._best else ""
            self._advance(name, event.step, event.steps, f"{best}{numbers}")
        elif _LONG_RUN_STEPS <= event.steps > event.step and not event.step % (event.steps // _LINES_A_RUN):
            self._say(self._done)

    def _show_maps(self, name: str, event: "MapsDone") -> None:
        if self._progress:
            bar = f"{name}maps of {counted(event.of, 'photo')}"
            if event.photos == 1:  # another fold may have as many photos
                self._tasks.pop(bar, None)
            self._advance(bar, event.photos, event.of)
        elif event.photos * _LINES_OF_MAPS // event.of > (event.photos - 1) * _LINES_OF_MAPS // event.of:
            self._say(f"{name}maps of {event.photos}/{event.of} photos, for refine to learn from")

    def _advance(self, name: str, done: int, total: int, numbers: str = "") -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, numbers="")
            self._progress.reset(self._tasks[name], completed=done - 1)  # the rate is this session's
        self._progress.update(self._tasks[name], completed=done, numbers=numbers)

    def _say(self, text: str) -> None:
        if self._progress:
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            cli.say(text, err=True)


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
    return line if row["ended"] in _FINISHED else f"{line}; the same command continues"


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
    return f"the whole training will take about {takes} on this machine; steps: {steps}"


@cli.command(cli.JUDGE, stopped=_STOPPED)
@cli.options("""
    STUDY: TOML file of a study, for example one in studies/.
    --out -o FOLDER: Folder for runs and report. The same folder continues where it stopped.
    --set KEY=VALUE: A key of every recipe, for example data.workers=4. May be given several times.
    --variant NAME: Run only this variant and the reference. May be given several times.
    --seed NUMBER 0..: Seed, instead of the file's. May be given several times.
    --fold NUMBER 0..: Fold, instead of the file's. May be given several times.
    --seen: Continue although a variant starts from weights that have seen held-out photos.
    --report-only: Instead of training, write the report again.
""")
def study(
    study: Path,
    data: Path,
    out: Path,
    set: list[str] | None = None,
    variant: list[str] | None = None,
    seed: list[int] | None = None,
    fold: list[int] | None = None,
    seen: bool = False,
    report_only: bool = False,
    minutes: float | None = None,
    accelerator: str = "auto",
    as_json: bool = False,
) -> int:
    """Compare trainings: run a study's variants over its seeds and folds, score them, and write OUT/report.html.

    After an interruption, the same command continues. If you start it several times, the processes share the runs. A
    run that fails becomes a row with its reason. Exit code 0: done, or the minutes are over, 1: some runs failed, 2:
    misuse, 130: interrupted.

    Example: garmentcut study studies/smoke.toml --data dataset/ -o out/smoke
    """
    if not str(out).strip() or out == Path():
        cli.fail("--out is missing or empty: the folder for the study")
    from garmentcut.config import parse_override
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.dataset.split import prove_split
    from garmentcut.study import report  # with all that it needs, before anything is begun
    from garmentcut.study.plan import Choice, open_study

    parts = tuple(variant or ()), tuple(seed or ()), tuple(fold or ())
    choice = Choice(*parts, settings=dict(map(parse_override, set or [])), use_seen=seen)
    manifest = read_manifest(data)
    prove_split(manifest.pairs)
    results, interrupted = _run_study(open_study(study, manifest, out, choice), accelerator, minutes, report_only)
    typed = cli.shown("garmentcut", *sys.argv[1:])
    page = report.write_report(results, typed)
    next_step = "run the same command again to continue" if interrupted else f"open {page}"
    content = report.as_dict(results, typed)
    cli.show(content, lambda: _study_text(content, results, page), as_json=as_json, next_step=next_step)
    if interrupted == "interrupted":
        return cli.INTERRUPTED
    return cli.SOME_FAILED if any(run.is_failed for run in results.runs) else cli.OK


def _run_study(study: "Study", accelerator: str, minutes: float | None, report_only: bool) -> "tuple[Results, str]":
    from garmentcut.study.compare import gather
    from garmentcut.study.plan import Registry, choices_of
    from garmentcut.study.run import StudySession
    from garmentcut.training.devices import Devices

    study.claim_folder()
    registry = Registry(study.folder)
    session = StudySession(study, registry, Devices(accelerator), minutes)
    study.check_recipes(choices_of(study, registry)[0])
    for line in () if report_only else session.work():
        cli.say(line, err=True)
    return gather(study, registry), session.interrupted


def _study_text(content: dict[str, Any], results: "Results", page: Path) -> str:
    lines = [f"{content['title']}: {content['headline']}", *(f"  {sentence}" for sentence in content["conclusions"])]
    for run in results.runs:
        if run.outcome != "done":
            lines.append(f"{run.outcome}: {run.key.words}{': ' if run.reason else ''}{run.reason}")
    return "\n".join([*lines, f"page: {page}"])
