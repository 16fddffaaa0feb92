"""`garmentcut evaluate` scores a model against known cutouts; `garmentcut audit` finds wrong cutouts with models."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from garmentcut.cli import shell as cli

if TYPE_CHECKING:
    from garmentcut.dataset.manifest import Manifest
    from garmentcut.evaluation.audit import Audit
    from garmentcut.evaluation.pictures import Gallery, Tile
    from garmentcut.evaluation.predict import Trial
    from garmentcut.evaluation.scores import Comparison, PhotoScore

TriedArgument = Annotated[
    str,
    cli.argument(
        "MODEL", "Model file, run folder, or folder of runs fold0, fold1 ...; 'default' is the embedded model."
    ),
]
_LISTED = 20
_STOPPED = "stopped; nothing was written"


def model_path(text: str | Path) -> Path:
    """The path of a model that was named on the command line; `default` is the embedded model."""
    from garmentcut.prediction.cutter import default_model

    return default_model() if str(text) == "default" else Path(text)


@cli.command(cli.JUDGE, stopped=_STOPPED)
def evaluate(
    model: TriedArgument,
    dataset: cli.DatasetArgument,
    split: cli.SplitOption = None,
    out: Annotated[
        Path | None,
        cli.out_option(
            "Folder for scores.jsonl, scores.csv and totals.json. By default none is written.",
            "FOLDER",
            panel=cli.FILES,
        ),
    ] = None,
    report: Annotated[
        Path | None, cli.option("HTML page to write: charts, worst photos, every photo.", "FILE", panel=cli.FILES)
    ] = None,
    worst: Annotated[
        int, cli.option("How many of the worst photos the page shows.", min=0, max=1000, panel=cli.FILES)
    ] = 40,
    against: Annotated[
        str | None,
        cli.option(
            "Another model, run or folder of folds: what MODEL gains and loses against it, photo by photo.", "MODEL"
        ),
    ] = None,
    seen: Annotated[
        bool, cli.flag("--seen", "Go on although the model was trained on these photos; says so in red.")
    ] = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Cut a dataset's photos and compare them with the retouchers' cutouts.

    A model file is tried on all usable pairs; a run folder on the photos its training held out; a folder of folds on
    all photos, each by the model that had not seen it. A model that was trained on one of the photos, or on others of
    the same garment, is refused. With --against, the difference from another model is given with its interval, and the
    page shows the largest gains and losses. Every metric is explained in docs/evaluation.md. Exit code 0: all fine, 1:
    some pairs could not be read, 2: misuse.

    Example: garmentcut evaluate default dataset/ --report page.html
    """
    # Imported here: `--help` must not wait for a network runtime.
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.evaluation.pictures import Gallery
    from garmentcut.evaluation.predict import plan_trials, refuse_seen
    from garmentcut.evaluation.report import Against, comparison_text, render_report, totals_text
    from garmentcut.evaluation.scores import compare_scores, seen_sentence, total_scores, write_scores
    from garmentcut.photo.files import write_atomic

    gallery, splits, manifest = Gallery(worst if report else 0), split or [], read_manifest(dataset)
    ours = plan_trials(model_path(model), manifest, splits=splits)
    theirs = () if against is None else plan_trials(model_path(against), manifest, splits=splits)
    if not seen:
        refuse_seen((*ours, *theirs), manifest, because="so its scores would be too good")
    scores = _score(ours, manifest, gallery)
    totals = total_scores(scores)
    comparison = compare_scores(scores, _score(theirs, manifest, Gallery(0))) if theirs else None
    if out is not None:
        write_scores(scores, out)
        write_atomic(out / "totals.json", (json.dumps(totals.as_dict(), indent=1) + "\n").encode())
    if report is not None:
        words = ", ".join([dataset.resolve().name, *splits])
        compared = Against(comparison, _changes(comparison, (ours, theirs), manifest)) if comparison else None
        page = render_report(totals, scores, gallery.worst_photos, dataset=words, against=compared)
        write_atomic(report, page.encode("utf-8", "backslashreplace"))
    again = cli.shown("garmentcut", "evaluate", model, dataset, "--report", "page.html")
    cli.show(
        totals.as_dict() | ({"against": comparison.as_dict()} if comparison else {}),
        lambda: totals_text(totals, scores) + (f"\n\n{comparison_text(comparison)}" if comparison else ""),
        as_json=as_json,
        next_step=f"open {report}" if report else f"{again} to see the worst photos",
    )
    if totals.num_seen:
        typer.secho(f"{seen_sentence(totals)} This says nothing about new ones.", fg="red", bold=True, err=True)
    raise typer.Exit(cli.SOME_FAILED if totals.num_failed else cli.OK)


def _changes(
    comparison: "Comparison", trials: "tuple[Sequence[Trial], Sequence[Trial]]", manifest: "Manifest"
) -> "dict[str, tuple[Tile, ...]]":
    """Pictures of the largest gains and losses."""
    from garmentcut.evaluation.pictures import draw_choices
    from garmentcut.evaluation.report import NUM_CHANGES

    changed = [*comparison.gains(NUM_CHANGES), *comparison.losses(NUM_CHANGES)]
    return draw_choices(*trials, manifest, {ours.name for ours, _ in changed})


def _score(trials: "Sequence[Trial]", manifest: "Manifest", gallery: "Gallery") -> "list[PhotoScore]":
    from garmentcut.evaluation.scores import evaluate as evaluate_trials

    scores = []
    with cli.progress_bar(sum(len(trial.pairs) for trial in trials), "photos") as advance:
        for score in evaluate_trials(trials, manifest, on_photo=gallery):
            scores.append(score)
            advance(score.name, score.reason if score.status == "failed" else "")
    return scores


@cli.command(cli.JUDGE, stopped=_STOPPED)
def audit(
    dataset: cli.DatasetArgument,
    model: Annotated[
        Path | None,
        cli.option("Folder of runs fold0, fold1 ..., or a run folder, whose held-out photos are audited.", "RUNS"),
    ] = None,
    split: cli.SplitOption = None,
    seen: Annotated[bool, cli.flag("--seen", "Continue although the model was trained on these cutouts.")] = False,
    mark: Annotated[
        list[str] | None,
        cli.option(
            "Store a verdict: wrong, right, unsure, or nothing to take it back. May be given several times.",
            "NAME=VERDICT",
        ),
    ] = None,
    verdicts: Annotated[Path | None, cli.option("Store the verdicts of a file that the page saved.", "FILE")] = None,
    out: Annotated[
        Path | None, cli.out_option("Folder for index.html and suspects.jsonl.", "FOLDER", panel=cli.FILES)
    ] = None,
    worst: Annotated[int, cli.option("How many suspects the page shows.", min=1, max=1000, panel=cli.FILES)] = 40,
    as_json: cli.JsonOption = False,
) -> None:
    """Find cutouts that are wrong: too thin at a side, without their hem, shifted, of another photo.

    Each cutout is compared with what a model that has never seen it makes of the photo, and with the photo's own edges
    and colours; where the model doubts itself, less is made of it. OUT/index.html shows the most suspect first; a
    person decides. Verdicts are kept in the dataset's manifest: `train` leaves out what is wrong (data.wrong_weight),
    `evaluate` reports with and without it. Exit code 0: all looked at, 1: some pairs could not be read, 2: misuse.

    Example: garmentcut audit dataset/ --model runs/folds -o page/
    """
    if mark or verdicts is not None:
        if model is not None:
            cli.fail("store verdicts first, then audit: give --mark and --verdicts without --model")
        _store(dataset, mark or [], verdicts, as_json=as_json)
        raise typer.Exit(cli.OK)
    if model is None:
        cli.fail("nothing to do: give --model RUNS to audit, --mark or --verdicts to store verdicts")
    found = _audit(model_path(model), dataset, split or [], (out, worst), use_seen=seen)
    if out is None:
        again = cli.shown("garmentcut", "audit", dataset, "--model", model, "--out", "page")
        next_step = f"{again} to see them"
    else:
        next_step = (
            f"open {out / 'index.html'}; {cli.shown('garmentcut', 'audit', dataset)} --verdicts FILE keeps verdicts"
        )
    cli.show(_suspects(found), lambda: _as_text(found, out), as_json=as_json, next_step=next_step)
    raise typer.Exit(cli.SOME_FAILED if found.failures else cli.OK)


def _store(dataset: Path, marks: list[str], path: Path | None, *, as_json: bool) -> None:
    from garmentcut.evaluation.audit import keep_verdicts, parse_mark, read_verdicts

    verdicts = {**(read_verdicts(path) if path else {}), **dict(map(parse_mark, marks))}
    manifest = keep_verdicts(dataset, verdicts)
    counts = Counter(pair.verdict for pair in manifest.usable if pair.verdict)
    words = ", ".join(f"{num} {verdict}" for verdict, num in sorted(counts.items())) or "no verdicts"
    text = f"{dataset}: {words}, of {len(manifest.usable)} cutouts"
    train = cli.shown("garmentcut", "train", "default", "--data", dataset, "--out", "runs/first")
    cli.show(dict(counts), lambda: text, as_json=as_json, next_step=f"{train} to train without the wrong ones")


def _audit(model: Path, dataset: Path, splits: list[str], page: tuple[Path | None, int], *, use_seen: bool) -> "Audit":
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.evaluation.audit import PAGE_NAME, draw_suspects, render_page, write_suspects
    from garmentcut.evaluation.audit import audit as audit_pairs
    from garmentcut.evaluation.predict import plan_trials
    from garmentcut.photo.files import write_atomic

    (out, worst), manifest = page, read_manifest(dataset)
    trials = plan_trials(model, manifest, splits=splits)
    with cli.progress_bar(sum(len(trial.pairs) for trial in trials), "photos") as advance:
        found = audit_pairs(trials, manifest, use_seen=use_seen, on_photo=advance)
    if out is not None:
        write_suspects(found, out)
        pictures = draw_suspects(trials, manifest, found.suspects[:worst])
        words = ", ".join(dict.fromkeys(trial.card.label for trial in trials))
        text = render_page(found, pictures, dataset=manifest.folder, models=words)
        write_atomic(out / PAGE_NAME, text.encode("utf-8", "backslashreplace"))
    return found


def _suspects(found: "Audit") -> dict[str, Any]:
    from garmentcut.evaluation.audit import row_of

    suspects = [row_of(suspect, found.pairs[suspect.name]) for suspect in found.suspects]
    return {"suspects": suspects, "failed": found.failures, "uses_doubt": found.uses_doubt}


def _as_text(found: "Audit", out: Path | None) -> str:
    from garmentcut.errors import counted

    lines = [f"{counted(len(found.suspects), 'cutout')}, most suspect first"]
    for place, suspect in enumerate(found.suspects[:_LISTED], 1):
        verdict = found.pairs[suspect.name].verdict
        clue = suspect.clues[0].text if suspect.clues else "nothing"
        lines.append(f"{place:3} {suspect.score:5.1f} {suspect.name}: {clue}{f' [{verdict}]' if verdict else ''}")
    lines += [f"failed: {name}: {reason}" for name, reason in found.failures.items()]
    lines.append(f"page: {out / 'index.html'}" if out else "no page: name a folder by --out")
    return "\n".join(lines)
