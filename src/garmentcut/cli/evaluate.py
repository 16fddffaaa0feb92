"""`garmentcut evaluate`: how good a model is on photos whose cutouts are known."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, SOME_FAILED, app, fail

if TYPE_CHECKING:
    from garmentcut.dataset.manifest import Manifest
    from garmentcut.evaluation.gallery import Gallery
    from garmentcut.evaluation.scores import PhotoScore
    from garmentcut.evaluation.totals import Totals
    from garmentcut.evaluation.trials import Trial


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
    as_json: Annotated[bool, typer.Option("--json", help="Print the totals as JSON.")] = False,
) -> None:
    """Cut a dataset's photos and compare them with the retouchers' cutouts.

    A model file is tried on all usable pairs; a run folder on the photos its training held out; a folder of folds on
    all photos, each by the model that had not seen it. Every metric is explained in docs/evaluation.md. Exit code 0:
    all fine, 1: some pairs could not be read, 2: misuse.

    Example: garmentcut evaluate default dataset/ --report page.html
    """
    files = Files(out, report, worst)
    totals, scores = _evaluate(None if model == "default" else Path(model), dataset, split or [], files)
    from garmentcut.evaluation.table import totals_text

    typer.echo(json.dumps(totals.as_dict()) if as_json else totals_text(totals, scores))
    raise typer.Exit(SOME_FAILED if totals.num_failed else OK)


class Files(NamedTuple):
    """What is written, if anything."""

    scores: Path | None
    page: Path | None
    num_worst: int


def _evaluate(model: Path | None, dataset: Path, splits: list[str], files: Files) -> "tuple[Totals, list[PhotoScore]]":
    # Imported here: `--help` must not wait for a network runtime.
    try:
        from garmentcut.evaluation.gallery import Gallery
        from garmentcut.evaluation.report import write_report
    except ImportError as error:
        fail(f"{error.name} is not installed; install garmentcut[train]", MISUSE)
    from garmentcut.dataset.manifest import DatasetError, read_manifest
    from garmentcut.evaluation.totals import total_scores
    from garmentcut.evaluation.trials import EvaluationError, plan_trials
    from garmentcut.model.card import ModelError
    from garmentcut.prediction.cutter import default_model

    gallery = Gallery(files.num_worst if files.page else 0)
    try:
        manifest = read_manifest(dataset)
        trials = plan_trials(model or default_model(), manifest, splits=splits)
        scores = _score(trials, manifest, gallery)
        totals = total_scores(scores)
        if files.scores is not None:
            _write(scores, totals, files.scores)
        if files.page is not None:
            words = ", ".join([dataset.resolve().name, *splits])
            write_report(files.page, totals, scores, gallery.exhibits, dataset=words)
    except (DatasetError, EvaluationError, ModelError) as error:
        fail(str(error), MISUSE)
    except OSError as error:
        fail(f"{error.filename or files.page or files.scores}: {error.strerror or error}", SOME_FAILED)
    except KeyboardInterrupt:
        fail("stopped; nothing was written", INTERRUPTED)
    return totals, scores


def _write(scores: "list[PhotoScore]", totals: "Totals", folder: Path) -> None:
    from garmentcut.evaluation.scores import write_scores
    from garmentcut.photo.files import write_atomic

    write_scores(scores, folder)
    write_atomic(folder / "totals.json", (json.dumps(totals.as_dict(), indent=1) + "\n").encode())


def _score(trials: "Sequence[Trial]", manifest: "Manifest", gallery: "Gallery") -> "list[PhotoScore]":
    from garmentcut.evaluation.evaluate import evaluate as evaluate_trials
    from garmentcut.terminal import progress_bar

    scores = []
    with progress_bar(sum(len(trial.pairs) for trial in trials), "photos") as advance:
        for score in evaluate_trials(trials, manifest, look=gallery):
            scores.append(score)
            advance(score.name, score.reason if score.status == "failed" else "")
    return scores
