"""`garmentcut evaluate`: how good a model is on photos whose cutouts are known."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, SOME_FAILED, app, fail

if TYPE_CHECKING:
    from garmentcut.dataset.manifest import Manifest
    from garmentcut.evaluation.pictures import Gallery, Picture
    from garmentcut.evaluation.predict import Trial
    from garmentcut.evaluation.scores import Comparison, PhotoScore, Totals


@app.command()
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="Model file, run folder, or folder of runs fold0, fold1 ...; 'default' is the embedded model."
        ),
    ],
    dataset: Annotated[Path, typer.Argument(help="Folder that `garmentcut ingest` made.")],
    split: Annotated[
        list[str] | None,
        typer.Option(help="Only this part of the dataset, for example fold0; may be given several times."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for scores.jsonl, scores.csv and totals.json; without it, none.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="HTML page to write: charts, worst photos, every photo.")] = None,
    worst: Annotated[int, typer.Option(min=0, max=1000, help="How many of the worst photos the page shows.")] = 40,
    against: Annotated[
        str | None,
        typer.Option(
            help="Another model, run or folder of folds: what MODEL gains and loses against it, photo by photo."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the totals as JSON.")] = False,
) -> None:
    """Cut a dataset's photos and compare them with the retouchers' cutouts.

    A model file is tried on all usable pairs; a run folder on the photos its training held out; a folder of folds on
    all photos, each by the model that had not seen it. With --against, the difference from another model is told with
    its interval, and the page shows the largest gains and losses. Every metric is explained in docs/evaluation.md.
    Exit code 0: all fine, 1: some pairs could not be read, 2: misuse.

    Example: garmentcut evaluate default dataset/ --report page.html
    """
    files = Files(out, report, worst)
    found = _evaluate((model, against), dataset, split or [], files)
    from garmentcut.evaluation.report import comparison_text, totals_text

    if as_json:
        compared = {"against": found.comparison.as_dict()} if found.comparison else {}
        typer.echo(json.dumps(found.totals.as_dict() | compared))
    else:
        typer.echo(totals_text(found.totals, found.scores))
        if found.comparison is not None:
            typer.echo(f"\n{comparison_text(found.comparison)}")
    raise typer.Exit(SOME_FAILED if found.totals.num_failed else OK)


class Files(NamedTuple):
    """What is written, if anything."""

    scores: Path | None
    page: Path | None
    num_worst: int


class Found(NamedTuple):
    """What came of an evaluation."""

    totals: "Totals"
    scores: "list[PhotoScore]"
    comparison: "Comparison | None"


def _evaluate(models: tuple[str, str | None], dataset: Path, splits: list[str], files: Files) -> Found:
    # Imported here: `--help` must not wait for a network runtime.
    try:
        from garmentcut.evaluation.pictures import Gallery
        from garmentcut.evaluation.report import Against, write_report
    except ImportError as error:
        fail(f"{error.name} is not installed; install garmentcut[train]", MISUSE)
    from garmentcut.dataset.manifest import DatasetError, read_manifest
    from garmentcut.errors import EvaluationError
    from garmentcut.evaluation.predict import plan_trials
    from garmentcut.evaluation.scores import compare_scores, total_scores
    from garmentcut.model.card import ModelError
    from garmentcut.prediction.cutter import default_model

    gallery, comparison = Gallery(files.num_worst if files.page else 0), None
    try:
        manifest = read_manifest(dataset)
        ours, theirs = (
            plan_trials(default_model() if model == "default" else Path(model), manifest, splits=splits)
            if model is not None
            else ()
            for model in models
        )
        scores = _score(ours, manifest, gallery)
        totals = total_scores(scores)
        if theirs:
            comparison = compare_scores(scores, _score(theirs, manifest, Gallery(0)))
        if files.scores is not None:
            _write(scores, totals, files.scores)
        if files.page is not None:
            words = ", ".join([dataset.resolve().name, *splits])
            against = None
            if comparison is not None:
                against = Against(comparison, _changes(comparison, (ours, theirs), manifest))
            write_report(files.page, totals, scores, gallery.exhibits, dataset=words, against=against)
    except (DatasetError, EvaluationError, ModelError) as error:
        fail(str(error), MISUSE)
    except OSError as error:
        fail(f"{error.filename or files.page or files.scores}: {error.strerror or error}", SOME_FAILED)
    except KeyboardInterrupt:
        fail("stopped; nothing was written", INTERRUPTED)
    return Found(totals, scores, comparison)


def _changes(
    comparison: "Comparison", trials: "tuple[Sequence[Trial], Sequence[Trial]]", manifest: "Manifest"
) -> "dict[str, tuple[Picture, ...]]":
    """Pictures of the largest gains and losses."""
    from garmentcut.evaluation.pictures import draw_choices
    from garmentcut.evaluation.report import NUM_CHANGES

    shown = [*comparison.gains(NUM_CHANGES), *comparison.losses(NUM_CHANGES)]
    return draw_choices(*trials, manifest, {ours.name for ours, _ in shown})


def _write(scores: "list[PhotoScore]", totals: "Totals", folder: Path) -> None:
    from garmentcut.evaluation.scores import write_scores
    from garmentcut.photo.files import write_atomic

    write_scores(scores, folder)
    write_atomic(folder / "totals.json", (json.dumps(totals.as_dict(), indent=1) + "\n").encode())


def _score(trials: "Sequence[Trial]", manifest: "Manifest", gallery: "Gallery") -> "list[PhotoScore]":
    from garmentcut.evaluation.scores import evaluate as evaluate_trials
    from garmentcut.terminal import progress_bar

    scores = []
    with progress_bar(sum(len(trial.pairs) for trial in trials), "photos") as advance:
        for score in evaluate_trials(trials, manifest, look=gallery):
            scores.append(score)
            advance(score.name, score.reason if score.status == "failed" else "")
    return scores
