"""`garmentcut study`: arms compared over seeds and folds, and no more concluded than the intervals allow."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, SOME_FAILED, app, fail

if TYPE_CHECKING:
    from garmentcut.study.plan import Study
    from garmentcut.study.report import Report
    from garmentcut.study.work import Sitting


@app.command()
def study(
    study: Annotated[Path, typer.Argument(help="TOML file of a study, for example one in studies/.")],
    data: Annotated[Path, typer.Option(help="Folder that `garmentcut ingest` made.")],
    out: Annotated[Path, typer.Option(help="Folder for runs and report. The same one goes on where it stopped.")],
    set: Annotated[list[str] | None, typer.Option(help="One knob of every recipe, for example data.workers=4.")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm and the reference; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Instead of the file's; may be repeated.")] = None,
    fold: Annotated[list[int] | None, typer.Option(min=0, help="Instead of the file's; may be repeated.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after these; the same command goes on.")] = None,
    accelerator: Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu or cuda.")] = "auto",
    report_only: Annotated[bool, typer.Option("--report-only", help="Train nothing: write the report anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Compare trainings: run a study's arms over its seeds and folds, score them, and write OUT/report.html.

    Killed or stopped, the same command goes on. Started several times at once, the processes share the runs. A run that
    fails is a row with its reason. Exit code 0: done, or the minutes are over, 1: some runs failed, 2: misuse, 130:
    interrupted.

    Example: garmentcut study studies/smoke.toml --data dataset/ --out studies/smoke
    """
    if not str(out).strip() or out == Path():
        fail("--out is missing or empty: the folder for the study", MISUSE)
    choice = {"arms": tuple(arm or ()), "seeds": tuple(seed or ()), "folds": tuple(fold or ())}
    _study(study, (data, out), (choice, set or []), work=(accelerator, minutes, report_only), as_json=as_json)


def _study(path: Path, folders: tuple[Path, Path], choice: Any, *, work: Any, as_json: bool) -> None:
    # Imported here: `--help` must not wait for torch.
    try:
        from garmentcut.errors import TrainingError
        from garmentcut.study import report as _report  # noqa: F401 with all that it needs, before anything is begun
        from garmentcut.study.declaration import StudyError
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed; run: pip install 'garmentcut[train]'", MISUSE)
    from garmentcut.config import ConfigError
    from garmentcut.dataset.manifest import DatasetError

    try:
        report, interrupted = _run(_opened(path, folders, choice), *work)
    except (StudyError, ConfigError, DatasetError, TrainingError) as error:
        fail(str(error), MISUSE)
    except OSError as error:
        fail(f"{error.filename or folders[1]}: {error.strerror or error}", SOME_FAILED)
    except KeyboardInterrupt:
        fail("broken off at once; the same command goes on from what was last saved", INTERRUPTED)
    _print(report, as_json=as_json)
    if interrupted == "interrupted":
        raise typer.Exit(INTERRUPTED)
    failed = [
        run for run in report.results.runs if run.outcome == "failed" or (run.reason and run.outcome == "not run")
    ]
    raise typer.Exit(SOME_FAILED if failed else OK)


def _opened(path: Path, folders: tuple[Path, Path], choice: Any) -> "Study":
    from garmentcut.config import parse_override
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.dataset.split import prove_split
    from garmentcut.study.plan import Choice, open_study

    (data, out), (parts, overrides) = folders, choice
    manifest = read_manifest(data)
    prove_split(manifest.pairs)
    return open_study(path, manifest, out, Choice(**parts, settings=dict(map(parse_override, overrides))))


def _run(study: "Study", accelerator: str, minutes: float | None, report_only: bool) -> "tuple[Report, str]":
    from garmentcut.study.kept import check_recipes, claim_folder
    from garmentcut.study.ledger import Ledger
    from garmentcut.study.report import make_report, write_report
    from garmentcut.study.results import gather
    from garmentcut.study.work import Sitting
    from garmentcut.training.devices import Devices

    claim_folder(study)
    with Ledger(study.folder) as ledger:
        sitting = Sitting(study, ledger, Devices(accelerator), minutes)
        check_recipes(study, sitting.chosen)
        if not report_only:
            _work(sitting)
        results = gather(study, ledger, chosen=sitting.chosen, hopeless=sitting.hopeless)
    report = make_report(results, shlex.join(["garmentcut", *sys.argv[1:]]))
    write_report(report)
    return report, sitting.interrupted


def _work(sitting: "Sitting") -> None:
    from garmentcut.study.jobs import Began, Finished, Looked

    for told in sitting.work():
        if isinstance(told, Began):
            _say(f"{told.job}: begins")
        elif isinstance(told, Looked):
            _say(f"{told.job}: step {told.step}/{told.steps}, Dice {told.mean_dice:.4f}")
        elif isinstance(told, Finished):
            dice = "" if told.mean_dice is None else f", Dice {told.mean_dice:.4f}"
            _say(f"{told.job}: {told.outcome}{dice}{': ' if told.reason else ''}{told.reason}")
        else:
            _say("all that is left is under way in other processes; waiting for them")


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _print(report: "Report", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
        return
    typer.echo(f"{report.results.study.file.title}: {report.headline}")
    for sentence in report.conclusions:
        typer.echo(f"  {sentence}")
    for run in report.results.runs:
        if run.outcome != "done":
            typer.echo(f"{run.outcome}: {run.cell.words}{': ' if run.reason else ''}{run.reason}")
    typer.echo(f"page: {report.results.study.folder / 'report.html'}")
