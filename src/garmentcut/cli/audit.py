"""`garmentcut audit`: which of a dataset's cutouts are wrong, and what people say of them."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, SOME_FAILED, app, fail

if TYPE_CHECKING:
    from garmentcut.dataset.manifest import Manifest
    from garmentcut.evaluation.audit import Audit

_LISTED = 20


@app.command()
def audit(
    dataset: Annotated[Path, typer.Argument(help="Folder that `garmentcut ingest` made.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder of runs fold0, fold1 ...; or a run folder: its held-out photos.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for index.html and suspects.jsonl.")] = None,
    worst: Annotated[int, typer.Option(min=1, max=1000, help="How many suspects the page shows.")] = 40,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this part of the dataset; may be given several times.")
    ] = None,
    seen: Annotated[
        bool, typer.Option("--seen", help="Go on although the model was trained on these cutouts.")
    ] = False,
    mark: Annotated[
        list[str] | None,
        typer.Option(help="Keep a verdict: NAME=wrong, right or unsure; NAME= takes it back; several times."),
    ] = None,
    verdicts: Annotated[Path | None, typer.Option(help="Keep the verdicts of a file that the page saved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Find cutouts that are wrong: too thin at a side, without their hem, shifted, of another photo.

    Each cutout is compared with what a model that has never seen it makes of the photo, and with the photo's own edges
    and colours; where the model doubts itself, less is made of it. OUT/index.html shows the most suspect first; a
    person decides. Verdicts are kept in the dataset's manifest: `train` leaves out what is wrong (data.wrong_weight),
    `evaluate` reports with and without it. Exit code 0: all looked at, 1: some pairs could not be read, 2: misuse.

    Example: garmentcut audit dataset/ --model runs/folds --out page/
    """
    if mark or verdicts is not None:
        if model is not None:
            fail("keep verdicts first, then audit: --mark and --verdicts stand without --model", MISUSE)
        _keep(dataset, mark or [], verdicts, as_json=as_json)
    if model is None:
        fail("nothing to do: --model RUNS to audit, --mark or --verdicts to keep verdicts", MISUSE)
    found = _audit((model, dataset, split or []), out, worst, use_seen=seen)
    typer.echo(json.dumps(_rows(found)) if as_json else _as_text(found, out))
    raise typer.Exit(SOME_FAILED if found.failures else OK)


def _keep(dataset: Path, marks: list[str], path: Path | None, *, as_json: bool) -> None:
    from garmentcut.dataset.manifest import DatasetError
    from garmentcut.evaluation.audit import VerdictError, keep_verdicts, parse_mark, read_verdicts

    try:
        told = {**(read_verdicts(path) if path else {}), **dict(map(parse_mark, marks))}
        manifest = keep_verdicts(dataset, told)
    except (VerdictError, DatasetError) as error:
        fail(str(error), MISUSE)
    counts = Counter(pair.verdict for pair in manifest.usable if pair.verdict)
    words = ", ".join(f"{num} {verdict}" for verdict, num in sorted(counts.items())) or "no verdicts"
    typer.echo(json.dumps(dict(counts)) if as_json else f"{dataset}: {words}, of {len(manifest.usable)} cutouts")
    raise typer.Exit(OK)


def _audit(where: tuple[Path, Path, list[str]], out: Path | None, worst: int, *, use_seen: bool) -> "Audit":
    # Imported here: `--help` must not wait for a network runtime.
    try:
        from garmentcut.errors import EvaluationError
        from garmentcut.evaluation.audit import audit as audit_pairs
        from garmentcut.evaluation.audit import write_suspects
        from garmentcut.evaluation.predict import plan_trials
    except ImportError as error:
        fail(f"{error.name} is not installed; run: pip install 'garmentcut[train]'", MISUSE)
    from garmentcut.dataset.manifest import DatasetError, read_manifest
    from garmentcut.model.card import ModelError
    from garmentcut.terminal import progress_bar

    model, dataset, splits = where
    try:
        manifest = read_manifest(dataset)
        trials = plan_trials(model, manifest, splits=splits)
        with progress_bar(sum(len(trial.pairs) for trial in trials), "photos") as advance:
            found = audit_pairs(trials, manifest, use_seen=use_seen, told=advance)
        if out is not None:
            write_suspects(found, out)
            _write_page(found, (trials, manifest), out, worst=worst)
    except (DatasetError, EvaluationError, ModelError) as error:
        fail(str(error), MISUSE)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror or error}", SOME_FAILED)
    except KeyboardInterrupt:
        fail("stopped; nothing was written", INTERRUPTED)
    return found


def _write_page(found: "Audit", work: "tuple[Any, Manifest]", out: Path, *, worst: int) -> None:
    from garmentcut.evaluation.audit import draw_suspects, write_page

    trials, manifest = work
    pictures = draw_suspects(trials, manifest, found.suspects[:worst])
    words = ", ".join(dict.fromkeys(trial.card.label for trial in trials))
    write_page(out, found, pictures, dataset=manifest.folder, models=words)


def _rows(found: "Audit") -> dict[str, Any]:
    from garmentcut.evaluation.audit import row_of

    suspects = [row_of(suspect, found.pairs[suspect.name]) for suspect in found.suspects]
    return {"suspects": suspects, "failed": found.failures, "uses_doubt": found.uses_doubt}


def _as_text(found: "Audit", out: Path | None) -> str:
    lines = [f"{len(found.suspects)} cutouts, most suspect first"]
    for place, suspect in enumerate(found.suspects[:_LISTED], 1):
        verdict = found.pairs[suspect.name].verdict
        clue = suspect.clues[0].text if suspect.clues else "nothing"
        lines.append(f"{place:3} {suspect.score:5.1f} {suspect.name}: {clue}{f' [{verdict}]' if verdict else ''}")
    lines += [f"failed: {name}: {reason}" for name, reason in found.failures.items()]
    lines.append(f"page: {out / 'index.html'}" if out else "no page: name a folder by --out")
    return "\n".join(lines)
