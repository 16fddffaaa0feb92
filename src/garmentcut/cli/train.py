"""`garmentcut train`: a recipe and a data set in, a network out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, SOME_FAILED, app, fail

if TYPE_CHECKING:
    from garmentcut.training.devices import Devices
    from garmentcut.training.run import Run


@app.command()
def train(
    recipe: Annotated[
        Path,
        typer.Argument(
            help="TOML file with any of the keys in docs/recipe.md, or the name of a built-in recipe: cutnet."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Folder that `garmentcut ingest` made.")],
    out: Annotated[
        str | None, typer.Option(help="Folder for the run: weights, journal, samples. The same one resumes it.")
    ] = None,
    set: Annotated[list[str] | None, typer.Option(help="One knob, for example training.steps=2000.")] = None,
    fold: Annotated[
        str | None,
        typer.Option(help="Fold to hold out, 0 where not said; all: one after another; none: learn from everything."),
    ] = None,
    validation: Annotated[str | None, typer.Option(help="Split to hold out, instead of a fold.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after these; the same command goes on.")] = None,
    accelerator: Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="GPUs (or processes on a CPU) of each machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; started by torchrun or SLURM.")] = 1,
    range_test: Annotated[
        bool, typer.Option("--range-test", help="Train nothing: find a learning rate, OUT/range_test.svg.")
    ] = False,
    augmentations: Annotated[
        Path | None, typer.Option(help="Train nothing: draw what the augmentation does on this .jpg or .png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Train a network on a data set.

    OUT/best.safetensors are the best weights, OUT/journal.jsonl and OUT/tensorboard have every step, OUT/samples shows
    photos as they are learned. Ctrl-C saves; the same command goes on where a run was stopped or killed. Exit code 0:
    done, or the minutes are over, 1: it broke off, 2: misuse, 130: interrupted.

    Example: garmentcut train recipes/cutnet.toml --data dataset/ --out runs/first
    """
    if out == "" or (out is None and augmentations is None):
        fail("--out is missing or empty: the folder for the run", MISUSE)
    _train(
        (recipe, set or []),
        (data, fold, validation),
        Path(out or "."),
        devices=(accelerator, devices, nodes),
        minutes=minutes,
        instead=(range_test, augmentations),
        as_json=as_json,
    )


def _train(recipe: Any, data: Any, out: Path, *, devices: Any, minutes: Any, instead: Any, as_json: bool) -> None:
    # Imported here: `--help` must not wait for torch.
    try:
        from garmentcut.errors import TrainingError, TrainingStopped
        from garmentcut.training.devices import Devices
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed; run: pip install 'garmentcut[train]'", MISUSE)
    from garmentcut.config import ConfigError
    from garmentcut.dataset.manifest import DatasetError
    from garmentcut.model.checkpoint import CheckpointError
    from garmentcut.model.networks import NetworkError
    from garmentcut.model.start import StartError
    from garmentcut.photo.photo import PhotoError

    range_test, page = instead
    try:
        runs = _plan(recipe, data, out)
        if page is not None:
            _draw(runs[0], page)
        elif range_test:
            _try_rates(runs[0], Devices(*devices), as_json=as_json)
        else:
            _train_runs(runs, Devices(*devices), minutes=minutes, as_json=as_json)
    except (TrainingStopped, PhotoError) as error:
        fail(str(error), SOME_FAILED)
    except (ConfigError, DatasetError, TrainingError, NetworkError, StartError, CheckpointError) as error:
        fail(str(error), MISUSE)
    except KeyboardInterrupt:
        fail("broken off at once; the same command goes on from what was last saved", INTERRUPTED)


def _plan(recipe: Any, data: Any, out: Path) -> "list[Run]":
    from garmentcut.config import parse_override
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.recipe import load_recipe
    from garmentcut.training.divisions import divide_all, without_wrong
    from garmentcut.training.run import Run

    (path, overrides), (folder, fold, validation) = recipe, data
    knobs, manifest = load_recipe(path, dict(map(parse_override, overrides))), read_manifest(folder)
    divisions = divide_all(manifest, fold, validation=validation)
    if knobs.data.wrong_weight == 0:
        divisions = tuple(map(without_wrong, divisions))
    if fold != "all":
        return [Run(out, knobs, manifest, divisions[0])]
    return [Run(out / division.name, knobs, manifest, division) for division in divisions]


def _train_runs(runs: "list[Run]", devices: "Devices", *, minutes: float | None, as_json: bool) -> None:
    from garmentcut.cli.training_progress import summary_text, training_progress
    from garmentcut.training.cascade import train_all
    from garmentcut.training.logging import Ended

    ends: dict[Path, Ended] = {}
    with training_progress(len(runs)) as show:
        for run, event in train_all(runs, devices, minutes=minutes):
            show(run, event)
            if isinstance(event, Ended):
                ends[run.folder] = event
    if not ends:
        return  # a process of another device: the first one speaks
    rows = [run.summary(ends[run.folder]) for run in runs if run.folder in ends]
    typer.echo(json.dumps({"runs": rows}) if as_json else summary_text(rows))
    raise typer.Exit(INTERRUPTED if any(end.reason == "interrupted" for end in ends.values()) else OK)


def _try_rates(run: "Run", devices: "Devices", *, as_json: bool) -> None:
    from garmentcut.training.devices import Devices, launched
    from garmentcut.training.run import RANGE_CURVE_NAME
    from garmentcut.training.trial import try_rates

    with run.held(), launched(Devices(devices.accelerator), run.recipe.training) as fabric:
        suggested = try_rates(run, fabric)
    curve = str(run.folder / RANGE_CURVE_NAME)
    if as_json:
        typer.echo(json.dumps({"suggested_lr": suggested, "curve": curve}))
    elif suggested is None:
        typer.echo(f"the loss never falls, at no learning rate; see {curve}")
    else:
        typer.echo(f"the loss falls fastest at optimizer.lr = {suggested:.2g}; see {curve}")


def _draw(run: "Run", page: Path) -> None:
    from garmentcut.training.trial import draw_augmentations

    draw_augmentations(run, page)
    typer.echo(page)
