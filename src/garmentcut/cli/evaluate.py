"""Commands that measure models on known cutouts: `garmentcut evaluate` scores models, `audit` finds wrong cutouts.

`garmentcut calibrate` finds out on a studio's own photos how far a model's cutouts can be trusted, for its card.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from garmentcut.cli import shell as cli
from garmentcut.errors import counted

if TYPE_CHECKING:
    from garmentcut.dataset.manifest import Manifest
    from garmentcut.evaluation.audit import Audit
    from garmentcut.evaluation.edge import EdgeFit
    from garmentcut.evaluation.pictures import Gallery
    from garmentcut.evaluation.predict import Trial
    from garmentcut.evaluation.scores import PhotoScore
    from garmentcut.evaluation.uncertainty import Calibration, Experience, Guarantee
    from garmentcut.model.card import Acceptance, Threshold

Found = TypeVar("Found")

_LISTED = 20
_STOPPED = "stopped; nothing was written"
_NO_FILE = "run the same command with --out FILE to write it to a model file"


def _progress(trials: "Sequence[Trial]") -> AbstractContextManager[Callable[[str, str], None]]:
    return cli.progress_bar(sum(len(trial.pairs) for trial in trials), "photos")


@cli.command(cli.JUDGE, stopped=_STOPPED)
@cli.options("""
    MODEL: Model file, run folder, or folder of runs fold0, fold1 ...; 'default' is the embedded model.
    --against MODEL: Another model, run or folder of folds to compare with, photo by photo.
    --seen: Continue although the model was trained on these photos; the output says so in red.
Files to write:
    --out -o FOLDER: Folder for scores.jsonl, scores.csv and totals.json. By default they are not written.
    --report FILE: HTML page to write: charts, worst photos, every photo.
    --worst NUMBER 0..1000: How many of the worst photos the page shows.
""")
def evaluate(
    model: str,
    dataset: Path,
    split: list[str] | None = None,
    out: Path | None = None,
    report: Path | None = None,
    worst: int = 40,
    against: str | None = None,
    seen: bool = False,
    as_json: bool = False,
) -> int:
    """Cut a dataset's photos and compare them with the retouchers' cutouts.

    A model file is tried on all usable pairs; a run folder on the photos that its training held out; a folder of folds,
    or a run whose folds were exported, on all photos, each with the model that had not seen it. A model that was
    trained on one of the photos, or on others of the same garment, is refused. --against gives the difference from
    another model with its interval. docs/evaluation.md explains every metric. Exit code 0: all fine, 1: some pairs
    could not be read, 2: misuse.

    Example: garmentcut evaluate default dataset/ --report page.html
    """
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.evaluation.pictures import Gallery, draw_choices
    from garmentcut.evaluation.predict import plan_trials, refuse_seen
    from garmentcut.evaluation.report import NUM_CHANGES, Against, comparison_text, render_report, totals_text
    from garmentcut.evaluation.scores import compare_scores, seen_sentence, total_scores, write_scores
    from garmentcut.photo.files import write_atomic
    from garmentcut.prediction.cutter import model_path

    cli.require_writable(report, out)
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
        write_atomic(out / "totals.json", (json.dumps(asdict(totals), indent=1) + "\n").encode())
    if report is not None:
        words = ", ".join([dataset.resolve().name, *splits])
        compared = None
        if comparison is not None:  # pictures of the largest gains and losses
            changed = [*comparison.gains(NUM_CHANGES), *comparison.losses(NUM_CHANGES)]
            compared = Against(comparison, draw_choices(ours, theirs, manifest, {one.name for one, _ in changed}))
        page = render_report(totals, scores, gallery.worst_photos, dataset=words, against=compared)
        write_atomic(report, page.encode("utf-8", "backslashreplace"))
    again = cli.shown("garmentcut", "evaluate", model, dataset, "--report", "page.html")
    cli.show(
        asdict(totals) | ({"against": comparison.as_dict()} if comparison else {}),
        lambda: totals_text(totals, scores) + (f"\n\n{comparison_text(comparison)}" if comparison else ""),
        as_json=as_json,
        next_step=f"open {report}" if report else f"{again} to see the worst photos",
    )
    if totals.num_seen:
        warning = f"{seen_sentence(totals)} This says nothing about new ones."
        cli.say(typer.style(warning, fg="red", bold=True), err=True)
    return cli.SOME_FAILED if totals.num_failed else cli.OK


def _score(trials: "Sequence[Trial]", manifest: "Manifest", gallery: "Gallery") -> "list[PhotoScore]":
    from garmentcut.evaluation.scores import evaluate as evaluate_trials

    scores = []
    with _progress(trials) as advance:
        for score in evaluate_trials(trials, manifest, on_photo=gallery):
            scores.append(score)
            advance(score.name, score.reason if score.status == "failed" else "")
    return scores


@cli.command(cli.JUDGE, stopped=_STOPPED)
@cli.options("""
    --model RUNS: Folder of runs fold0, fold1 ..., or a run folder: its exported folds, else its held-out photos.
    --seen: Continue although the model was trained on these cutouts.
    --mark NAME=VERDICT: Store a verdict: wrong, right, unsure, or nothing to remove it. May be given several times.
    --verdicts FILE: Store the verdicts in a file that the page saved.
Files to write:
    --out -o FOLDER: Folder for index.html and suspects.jsonl.
    --worst NUMBER 1..1000: How many suspects the page shows.
""")
def audit(
    dataset: Path,
    model: Path | None = None,
    split: list[str] | None = None,
    seen: bool = False,
    mark: list[str] | None = None,
    verdicts: Path | None = None,
    out: Path | None = None,
    worst: int = 40,
    as_json: bool = False,
) -> int:
    """Find wrong cutouts: too narrow on one side, without their hem, shifted, or of another photo.

    Each cutout is compared with the prediction of a model that has never seen it, and with the photo's own edges and
    colours; differences count less where the model is unsure. OUT/index.html shows the most suspect first; a person
    decides. Verdicts are kept in the dataset's manifest: `train` leaves out wrong cutouts (data.wrong_weight),
    `evaluate` reports with and without them. Exit code 0: all checked, 1: some pairs could not be read, 2: misuse.

    Example: garmentcut audit dataset/ --model runs/ours -o page/
    """
    if mark or verdicts is not None:
        if model is not None:
            cli.fail("store verdicts first, then audit: use --mark and --verdicts without --model")
        return _store(dataset, mark or [], verdicts, as_json=as_json)
    if model is None:
        cli.fail("nothing to do: give --model RUNS to audit, --mark or --verdicts to store verdicts")
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.evaluation.audit import PAGE_NAME, draw_suspects, render_page, row_of, write_suspects
    from garmentcut.evaluation.audit import audit as audit_pairs
    from garmentcut.evaluation.predict import plan_trials
    from garmentcut.photo.files import write_atomic
    from garmentcut.prediction.cutter import model_path

    cli.require_writable(None, out)
    manifest = read_manifest(dataset)
    trials = plan_trials(model_path(model), manifest, splits=split or [])
    with _progress(trials) as advance:
        found = audit_pairs(trials, manifest, use_seen=seen, on_photo=advance)
    next_step = f"{cli.shown('garmentcut', 'audit', dataset, '--model', model, '--out', 'page')} to see them"
    if out is not None:
        write_suspects(found, out)
        pictures = draw_suspects(trials, manifest, found.suspects[:worst])
        words = ", ".join(dict.fromkeys(trial.card.label for trial in trials))
        text = render_page(found, pictures, dataset=manifest.folder, models=words)
        write_atomic(out / PAGE_NAME, text.encode("utf-8", "backslashreplace"))
        keep = cli.shown("garmentcut", "audit", dataset)
        next_step = f"open {out / PAGE_NAME}; {keep} --verdicts FILE stores verdicts"
    rows = [row_of(suspect, found.pairs[suspect.name]) for suspect in found.suspects]
    content = {"suspects": rows, "failed": found.failures, "uses_doubt": found.uses_doubt, "warning": found.warning}
    cli.show(content, lambda: _audit_text(found, out), as_json=as_json, next_step=next_step)
    return cli.SOME_FAILED if found.failures else cli.OK


def _store(dataset: Path, marks: list[str], path: Path | None, *, as_json: bool) -> int:
    from garmentcut.evaluation.audit import keep_verdicts, parse_mark, read_verdicts

    verdicts = {**(read_verdicts(path) if path else {}), **dict(map(parse_mark, marks))}
    manifest = keep_verdicts(dataset, verdicts)
    counts = Counter(pair.verdict for pair in manifest.usable if pair.verdict)
    words = ", ".join(f"{num} {verdict}" for verdict, num in sorted(counts.items())) or "no verdicts"
    text = f"{dataset}: {words}, of {len(manifest.usable)} cutouts"
    train = cli.shown("garmentcut", "train", "default", "--data", dataset, "--out", "runs/first")
    cli.show(dict(counts), lambda: text, as_json=as_json, next_step=f"{train} to train without the wrong ones")
    return cli.OK


def _audit_text(found: "Audit", out: Path | None) -> str:
    lines = [f"{counted(len(found.suspects), 'cutout')}, most suspect first", *filter(None, [found.warning])]
    for place, suspect in enumerate(found.suspects[:_LISTED], 1):
        verdict = found.pairs[suspect.name].verdict
        clue = suspect.clues[0].text if suspect.clues else "nothing"
        lines.append(f"{place:3} {suspect.score:5.1f} {suspect.name}: {clue}{f' [{verdict}]' if verdict else ''}")
    lines += [f"failed: {name}: {reason}" for name, reason in found.failures.items()]
    lines.append(f"page: {out / 'index.html'}" if out else "no page: give a folder with --out")
    return "\n".join(lines)


@cli.command(cli.JUDGE, stopped=_STOPPED)
@cli.options("""
    MODEL: Model file, run folder, or folder of runs fold0, fold1 ...; 'default' is the embedded model.
    --risk SHARE: Share of the accepted garments that may fall short.
    --quality DICE: Surface Dice at 2 px below which a photo falls short.
    --confidence SHARE: Probability that the guarantee holds.
    --seen: Also use photos that the model was trained on; the card then says so.
    --edge: Fit only the edge: threshold, steepness and choke of these cutouts.
    --foreign NUMBER: How many photos from elsewhere to make, half drawn, half composites, so that doubt learns from
        more than the studio; 0: none.
Files to write:
    --into FILE: Model file that the result is for; 'default' is the embedded model. The default is MODEL, if it is a
        single model.
    --out -o FILE: Model file to write; it may be MODEL itself. By default none is written.
""")
def calibrate(
    model: str,
    dataset: Path,
    risk: float = 0.05,
    quality: float = 0.8,
    confidence: float = 0.9,
    split: list[str] | None = None,
    seen: bool = False,
    edge: bool = False,
    foreign: int = 240,
    into: Path | None = None,
    out: Path | None = None,
    as_json: bool = False,
) -> int:
    """Learn how much to doubt a model's cutouts, and which of them nobody needs to check.

    The model cuts photos that it has not seen and whose cutouts are known. If you can, give a run whose folds were
    exported, or a folder of fold runs, and with --into the model that was trained on everything. The command learns
    doubt, and finds a threshold such that, with CONFIDENCE, at most RISK of the accepted garments fall below QUALITY,
    or says why there is none. Exit code 1: nothing can be guaranteed.

    With --edge it learns where this studio's retouchers put the edge: do this first.

    Example: garmentcut calibrate runs/ours dataset/ --into ours.onnx -o ours.onnx
    """
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.evaluation.edge import Edge, fit_edge, sample_of
    from garmentcut.evaluation.predict import refuse_seen
    from garmentcut.evaluation.uncertainty import Guarantee
    from garmentcut.model.card import UNKNOWN, read_model, with_card
    from garmentcut.photo.files import write_atomic
    from garmentcut.prediction.cutter import model_path

    if not (0 < risk < 1 and 0 < confidence < 1 and 0 < quality <= 1):
        cli.fail("--risk and --confidence must lie between 0 and 1, --quality above 0 and at most 1")
    tried, receiver = model_path(model), model_path(into) if into is not None else None
    if out is not None:
        receiver = receiver or _single(tried)
        if receiver is None:
            cli.fail(f"{tried} holds several models: name the one that gets the result with --into")
        if out.resolve() == model_path().resolve():
            cli.fail("the embedded model cannot be overwritten; choose another --out")
    cli.require_writable(out)
    manifest, splits = read_manifest(dataset), split or []
    trials = _plan(tried, manifest, splits, None if edge else receiver)
    if edge:
        if not seen:
            refuse_seen(trials, manifest, because="where it puts the edge as their retouchers did")
        fit = fit_edge(_measured(trials, manifest, sample_of), Edge.of(trials[0].card))
        content = asdict(fit) | {"better": fit.is_better}
        text, changes, code = _edge_text(fit), asdict(fit.edge) if fit.is_better else {}, cli.OK
    else:
        names = [manifest.folder.resolve().name, *splits]
        # What a run held out may still have been known to the weights that it started from.
        held_out = tried.is_dir() and not splits and not any(UNKNOWN in trial.card.trained_on for trial in trials)
        about: dict[str, Any] = {"data": ", ".join(names), "use_seen": seen, "held_out": held_out}
        found = _calibrate(trials, manifest, Guarantee(risk, quality, confidence), foreign, about)
        code = cli.OK if found.threshold.max_doubt is not None else cli.SOME_FAILED
        content, changes = _calibration_dict(found), {"doubt": found.doubt, "acceptance": found.acceptance}
        text = _calibration_text(found.acceptance, content)
    if out is not None and receiver is not None:
        model_file, card = read_model(receiver)
        write_atomic(out, with_card(model_file, replace(card, **changes)))
    cut = cli.shown("garmentcut", "cut", "photos", "--out", "cutouts", "--model", out)
    text += f"\nwritten: {out}" if out else "\nnothing was written: give a file with --out"
    cli.show(content, lambda: text, as_json=as_json, next_step=f"{cut} to cut with it" if out else _NO_FILE)
    return code


def _single(tried: Path) -> Path | None:
    from garmentcut.evaluation.predict import MODEL_NAME

    path = tried / MODEL_NAME if tried.is_dir() else tried
    return path if path.is_file() or path is tried else None


def _calibrate(
    trials: "Sequence[Trial]", manifest: "Manifest", guarantee: "Guarantee", num_foreign: int, about: dict[str, Any]
) -> "Calibration":
    """Calibrate on the trials' photos and on generated ones; `about` are further arguments of `calibrate`."""
    from garmentcut.evaluation.predict import trials_elsewhere
    from garmentcut.evaluation.uncertainty import calibrate as calibrate_on
    from garmentcut.evaluation.uncertainty import experience_of

    def elsewhere() -> "list[Experience]":
        with TemporaryDirectory() as folder:
            return _measured(trials_elsewhere(trials, manifest, Path(folder), num_foreign), manifest, experience_of)

    experiences = _measured(trials, manifest, experience_of)
    return calibrate_on(experiences, guarantee, elsewhere=elsewhere if num_foreign else list, **about)


def _plan(model: Path, manifest: "Manifest", splits: list[str], receiver: Path | None) -> "tuple[Trial, ...]":
    """Trials without the cutouts that are marked wrong, which are counted on stderr.

    Thresholds guarantee nothing for another network than theirs, so a `receiver` of another kind is refused.
    """
    from garmentcut.evaluation.predict import plan_trials, without_wrong
    from garmentcut.evaluation.uncertainty import is_same_kind
    from garmentcut.model.card import read_model

    trials, card = plan_trials(model, manifest, splits=splits), receiver and read_model(receiver)[1]
    if card and not all(is_same_kind(trial.card, card) for trial in trials):
        cli.fail(f"{card.label} is a different network from those of {model}: their errors guarantee nothing for it")
    left = without_wrong(trials)
    if num_wrong := sum(len(trial.pairs) for trial in trials) - sum(len(trial.pairs) for trial in left):
        cli.say(f"garmentcut: left out: {counted(num_wrong, 'cutout')} marked wrong", err=True)
    return left


def _measured(trials: "Sequence[Trial]", manifest: "Manifest", measure: "Callable[..., Found]") -> "list[Found]":
    """The models' experiences with the photos; photos that cannot be read are named and left out."""
    from garmentcut.evaluation.predict import predict

    found = []
    with _progress(trials) as advance:
        for outcome in predict(trials, manifest, measure):
            advance(outcome.pair.name, outcome.reason)
            if outcome.found is not None:
                found.append(outcome.found)
            else:
                cli.say(f"garmentcut: left out: {outcome.pair.name}: {outcome.reason}", err=True)
    return found


def _calibration_dict(found: "Calibration") -> dict[str, Any]:
    from garmentcut.evaluation.uncertainty import quarters_of

    content = asdict(found.acceptance) | {"rank_correlation": found.doubt.rank_correlation}
    content |= {"left_out": found.num_left_out, "foreign_distance": found.doubt.foreign_distance}
    for name in ("studio", "foreign"):
        judged, photos = found.group(foreign=name == "foreign")
        quarters = quarters_of(judged.doubts, photos)
        content[name] = {
            "photos": len(photos),
            "refused": sum(one.features is None for one in photos),
            "called_foreign": int(judged.foreign.sum()),
            "quarters": [{"doubt": round(doubt, 4), "truth": round(truth, 4)} for doubt, truth in quarters],
        }
    return content


def _calibration_text(acceptance: "Acceptance", content: dict[str, Any]) -> str:
    lines, rank = [f"measured on {content['data']}"], content["rank_correlation"]
    if content["left_out"]:
        lines.append(f"{content['left_out']} more left out: the model was, or may have been, trained on them")
    lines.append(f"doubt: rank correlation {'not defined' if rank is None else f'{rank:.2f}'} with the true error")
    for name in ("studio", "foreign"):
        if num := content[name]["photos"]:
            pairs = ", ".join(f"{one['doubt']:.2f} {one['truth']:.2f}" for one in content[name]["quarters"])
            called = f"{content[name]['called_foreign']} of {counted(num, 'photo')} called foreign"
            lines.append(f"{name}: {called}; mean doubt and truth of each quarter: {pairs}")
    lines.append(f"guarantee: surface Dice at 2 px of {content['quality']:g}, confidence {content['confidence']:g}")
    for one in acceptance.thresholds:
        mark = "*" if one.risk == acceptance.risk else " "
        lines.append(f"{mark} risk {one.risk:g}: {_threshold_text(one)}")
    return "\n".join(lines)


def _threshold_text(one: "Threshold") -> str:
    if one.max_doubt is None or one.share_accepted is None:
        return one.reason
    share, low, high = (100 * value for value in one.share_accepted)
    accepted = f"{share:.0f} % [{low:.0f}, {high:.0f}] of the garments"
    short = f"{one.num_short} of {one.num_accepted} of them fell short"
    return f"accept doubt up to {one.max_doubt:.3f}: {accepted}, {short}"


def _edge_text(fit: "EdgeFit") -> str:
    edge, before, after = fit.edge, fit.before, fit.after
    own = "" if fit.is_better else ", the model's own, because a fitted one is no better on other garments"
    return (
        f"fitted on {counted(fit.num_photos, 'photo')} of {counted(fit.num_garments, 'garment')}\n"
        f"edge: threshold {edge.edge_bias:g}, steepness {edge.edge_gain:g}, choke {edge.choke_px:g} px{own}\n"
        f"off by, in pixels: {before.edge_error_px:.3f} with the model's own edge, {after.edge_error_px:.3f} fitted\n"
        f"mean Dice, alpha >= 128: {before.dice:.4f} with its own, {after.dice:.4f} fitted\n"
        "fitted: each half of the garments with the edge of the other half"
    )
