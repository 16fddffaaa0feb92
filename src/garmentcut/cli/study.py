"""`garmentcut study`: runs a study's trainings over seeds and folds, and writes the report that compares them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from garmentcut.cli import shell as cli

if TYPE_CHECKING:
    from garmentcut.study.compare import Results
    from garmentcut.study.plan import Study


@cli.command(cli.JUDGE, stopped="broken off at once; the same command goes on from what was last saved")
def study(
    study: Annotated[Path, cli.argument("STUDY", "TOML file of a study, for example one in studies/.")],
    data: cli.DataOption,
    out: Annotated[
        Path, cli.out_option("Folder for runs and report. The same folder continues where it stopped.", "FOLDER")
    ],
    set: Annotated[
        list[str] | None,
        cli.option("One option of every recipe, for example data.workers=4. May be given several times.", "KEY=VALUE"),
    ] = None,
    variant: Annotated[
        list[str] | None,
        cli.option("Run only this variant and the reference. May be given several times.", "NAME", "--variant"),
    ] = None,
    seed: Annotated[
        list[int] | None, cli.option("Seed, instead of the file's. May be given several times.", min=0)
    ] = None,
    fold: Annotated[
        list[int] | None, cli.option("Fold, instead of the file's. May be given several times.", min=0)
    ] = None,
    seen: Annotated[
        bool, cli.flag("--seen", "Go on although a variant starts from weights that know held-out photos.")
    ] = False,
    report_only: Annotated[bool, cli.flag("--report-only", "Train nothing: write the report again.")] = False,
    minutes: cli.MinutesOption = None,
    accelerator: cli.AcceleratorOption = "auto",
    as_json: cli.JsonOption = False,
) -> None:
    """Compare trainings: run a study's variants over its seeds and folds, score them, and write OUT/report.html.

    After a stop or a kill, the same command goes on. Several processes of it share the runs. A run that
    fails is a row with its reason. Exit code 0: done, or the minutes are over, 1: some runs failed, 2: misuse, 130:
    interrupted.

    Example: garmentcut study studies/smoke.toml --data dataset/ -o studies/smoke
    """
    if not str(out).strip() or out == Path():
        cli.fail("--out is missing or empty: the folder for the study")
    # Imported here: `--help` must not wait for torch.
    from garmentcut.study import report  # with all that it needs, before anything is begun

    choice: dict[str, Any] = {
        "use_seen": seen,
        "variants": tuple(variant or ()),
        "seeds": tuple(seed or ()),
        "folds": tuple(fold or ()),
    }
    results, interrupted = _run(_opened(study, (data, out), (choice, set or [])), accelerator, minutes, report_only)
    typed = cli.shown("garmentcut", *sys.argv[1:])
    page = report.write_report(results, typed)
    next_step = "run the same command again to continue" if interrupted else f"open {page}"
    content = report.as_dict(results, typed)
    cli.show(content, lambda: _as_text(content, results, page), as_json=as_json, next_step=next_step)
    if interrupted == "interrupted":
        raise typer.Exit(cli.INTERRUPTED)
    raise typer.Exit(cli.SOME_FAILED if any(run.is_failed for run in results.runs) else cli.OK)


def _opened(path: Path, folders: tuple[Path, Path], choice: Any) -> "Study":
    from garmentcut.config import parse_override
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.dataset.split import prove_split
    from garmentcut.study.plan import Choice, open_study

    (data, out), (parts, overrides) = folders, choice
    manifest = read_manifest(data)
    prove_split(manifest.pairs)
    return open_study(path, manifest, out, Choice(**parts, settings=dict(map(parse_override, overrides))))


def _run(study: "Study", accelerator: str, minutes: float | None, report_only: bool) -> "tuple[Results, str]":
    from garmentcut.study.compare import gather
    from garmentcut.study.plan import Registry
    from garmentcut.study.run import StudySession
    from garmentcut.training.devices import Devices

    study.claim_folder()
    with Registry(study.folder) as registry:
        session = StudySession(study, registry, Devices(accelerator), minutes)
        study.check_recipes(session.chosen)
        for line in () if report_only else session.work():
            cli.say(line, err=True)
        failures = session.permanent_failures
        results = gather(study, registry, chosen=session.chosen, permanent_failures=failures)
    return results, session.interrupted


def _as_text(content: dict[str, Any], results: "Results", page: Path) -> str:
    lines = [f"{content['title']}: {content['headline']}", *(f"  {sentence}" for sentence in content["conclusions"])]
    for run in results.runs:
        if run.outcome != "done":
            lines.append(f"{run.outcome}: {run.key.words}{': ' if run.reason else ''}{run.reason}")
    return "\n".join([*lines, f"page: {page}"])
