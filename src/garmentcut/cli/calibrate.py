"""`garmentcut calibrate`: learns on a studio's own photos how far a model's cutouts can be trusted, for its card."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from garmentcut.cli import shell as cli
from garmentcut.cli.evaluate import TriedArgument, model_path
from garmentcut.errors import counted

if TYPE_CHECKING:
    from garmentcut.dataset.manifest import Manifest
    from garmentcut.evaluation.edge import EdgeFit
    from garmentcut.evaluation.predict import Trial
    from garmentcut.evaluation.uncertainty import Calibration, Experience, Guarantee


@cli.command(cli.JUDGE, stopped="stopped; nothing was written")
def calibrate(
    model: TriedArgument,
    dataset: cli.DatasetArgument,
    risk: Annotated[float, cli.option("Share of the accepted garments that may fall short.", "SHARE")] = 0.05,
    quality: Annotated[float, cli.option("Surface Dice at 2 px under which a photo falls short.", "DICE")] = 0.8,
    confidence: Annotated[float, cli.option("Probability that the guarantee holds.", "SHARE")] = 0.9,
    split: cli.SplitOption = None,
    seen: Annotated[
        bool, cli.flag("--seen", "Use photos the model was trained on, too; the card then says so.")
    ] = False,
    edge: Annotated[
        bool, cli.flag("--edge", "Fit only the edge: threshold, steepness and choke of these cutouts.")
    ] = False,
    foreign: Annotated[
        int,
        cli.option(
            "How many photos from elsewhere to make, half drawn, half composites, so that doubt learns more than "
            "the studio; 0: none."
        ),
    ] = 60,
    into: Annotated[
        Path | None,
        cli.option(
            "Model file that the result is for; 'default' is the embedded model. The default is MODEL, if it "
            "is one model.",
            "FILE",
            panel=cli.FILES,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        cli.out_option(
            "Model file to write; the same as MODEL changes it. By default none is written.", "FILE", panel=cli.FILES
        ),
    ] = None,
    as_json: cli.JsonOption = False,
) -> None:
    """Learn how much to doubt a model's cutouts, and which of them nobody needs to check.

    The model cuts photos whose cutouts are known and which it has not seen: best a folder of fold runs, with --into the
    model that was trained on everything. Doubt is learned, and a threshold found such that, with CONFIDENCE, at most
    RISK of the accepted garments fall under QUALITY; or it says why not. Exit code 1: nothing can be guaranteed.

    With --edge it learns where this studio's retouchers put the edge: do that before all else.

    Example: garmentcut calibrate runs/folds dataset/ --into final.onnx -o ours.onnx
    """
    # Imported here: `--help` must not wait for a network runtime.
    from garmentcut.dataset.manifest import read_manifest
    from garmentcut.evaluation.uncertainty import Guarantee
    from garmentcut.model.card import read_model, with_card
    from garmentcut.photo.files import write_atomic

    if not (0 < risk < 1 and 0 < confidence < 1 and 0 < quality <= 1):
        cli.fail("--risk and --confidence must lie between 0 and 1, --quality above 0 and at most 1")
    tried = model_path(model)
    receiver = model_path(into) if into is not None else (_single(tried) if out else None)
    if out is not None:
        _check_out(out, receiver, tried)
    manifest, splits = read_manifest(dataset), split or []
    code, content, text = cli.OK, dict[str, Any](), ""
    if edge:
        fit = _fit_edge(tried, manifest, splits, use_seen=seen)
        content, text, changes = asdict(fit), _edge_text(fit), asdict(fit.edge)
    else:
        _check_kind(tried, manifest, receiver)
        guarantee = Guarantee(risk, quality, confidence)
        found = _calibrate((tried, manifest, splits), guarantee, use_seen=seen, num_foreign=foreign)
        code = cli.OK if found.threshold.max_doubt is not None else cli.SOME_FAILED
        content, text = _as_dict(found), _as_text(found)
        changes = {"doubt": found.doubt, "acceptance": found.acceptance}
    if out is not None and receiver is not None:
        model_file, card = read_model(receiver)
        write_atomic(out, with_card(model_file, replace(card, **changes)))
    cut = cli.shown("garmentcut", "cut", "photos", "--out", "cutouts", "--model", out)
    next_step = f"{cut} to cut with it" if out else "run the same command with --out FILE to write it to a model file"
    written = f"written: {out}" if out else "nothing was written: name a file by --out"
    cli.show(content, lambda: f"{text}\n{written}", as_json=as_json, next_step=next_step)
    raise typer.Exit(code)


def _single(tried: Path) -> Path | None:
    from garmentcut.evaluation.predict import MODEL_NAME

    if not tried.is_dir():
        return tried
    return tried / MODEL_NAME if (tried / MODEL_NAME).is_file() else None


def _check_out(out: Path, receiver: Path | None, tried: Path) -> None:
    from garmentcut.prediction.cutter import default_model

    if receiver is None:
        cli.fail(f"{tried} holds several models: name the one that gets the result by --into")
    if out.resolve() == default_model().resolve():
        cli.fail("the embedded model is not changed; choose another --out")


def _check_kind(model: Path, manifest: "Manifest", receiver: Path | None) -> None:
    """Refuse to write thresholds found with one network into another: they guarantee nothing there."""
    from garmentcut.evaluation.predict import plan_trials
    from garmentcut.evaluation.uncertainty import is_same_kind
    from garmentcut.model.card import read_model

    if receiver is None or receiver == model:
        return
    card = read_model(receiver)[1]
    if not all(is_same_kind(trial.card, card) for trial in plan_trials(model, manifest)):
        cli.fail(f"{card.label} is another network than those of {model}: their errors guarantee nothing for it")


def _calibrate(
    where: "tuple[Path, Manifest, list[str]]", guarantee: "Guarantee", *, use_seen: bool, num_foreign: int
) -> "Calibration":
    from garmentcut.evaluation.predict import trials_elsewhere
    from garmentcut.evaluation.uncertainty import calibrate as calibrate_on

    model, manifest, splits = where
    trials = _plan(model, manifest, splits)
    experiences = _experiences(trials, manifest)
    if num_foreign:
        with TemporaryDirectory() as folder:
            made = _experiences(trials_elsewhere(trials, manifest, Path(folder), num_foreign), manifest)
        experiences += [replace(one, is_foreign=True) for one in made]
    return calibrate_on(
        experiences,
        guarantee,
        data=", ".join([manifest.folder.resolve().name, *splits]),
        held_out=model.is_dir() and not splits,
        use_seen=use_seen,
    )


def _plan(model: Path, manifest: "Manifest", splits: list[str]) -> "tuple[Trial, ...]":
    """Trials without the cutouts that are marked wrong, which are counted on stderr."""
    from garmentcut.evaluation.predict import plan_trials, without_wrong

    trials = plan_trials(model, manifest, splits=splits)
    left = without_wrong(trials)
    if num_wrong := sum(len(trial.pairs) for trial in trials) - sum(len(trial.pairs) for trial in left):
        cli.say(f"garmentcut: left out: {counted(num_wrong, 'cutout')} marked wrong", err=True)
    return left


def _experiences(trials: "Sequence[Trial]", manifest: "Manifest") -> "list[Experience]":
    """What the models make of the photos; those that cannot be read are named and left out."""
    from garmentcut.evaluation.predict import predict
    from garmentcut.evaluation.uncertainty import experience_of

    found = []
    with cli.progress_bar(sum(len(trial.pairs) for trial in trials), "photos") as advance:
        for outcome in predict(trials, manifest, experience_of):
            advance(outcome.pair.name, outcome.reason)
            if outcome.found is not None:
                found.append(outcome.found)
            else:
                cli.say(f"garmentcut: left out: {outcome.pair.name}: {outcome.reason}", err=True)
    return found


def _as_dict(found: "Calibration") -> dict[str, Any]:
    from garmentcut.evaluation.uncertainty import quarters_of

    content = asdict(found.acceptance) | {"rank_correlation": found.doubt.rank_correlation}
    content |= {"left_out": found.num_left_out, "foreign_distance": found.doubt.foreign_distance}
    for name, foreign in (("studio", False), ("foreign", True)):
        judged, photos = found.group(foreign=foreign)
        quarters = [
            {"doubt": round(doubt, 4), "truth": round(truth, 4)} for doubt, truth in quarters_of(judged.doubts, photos)
        ]
        content[name] = {
            "photos": len(photos),
            "refused": sum(one.features is None for one in photos),
            "called_foreign": int(judged.foreign.sum()),
            "quarters": quarters,
        }
    return content


def _as_text(found: "Calibration") -> str:
    from garmentcut.evaluation.uncertainty import quarters_of

    acceptance, lines = found.acceptance, [f"measured on {found.acceptance.data}"]
    if found.num_left_out:
        lines.append(f"{found.num_left_out} more left out: the model was, or may have been, trained on them")
    rank = found.doubt.rank_correlation
    lines.append(f"doubt: rank correlation {'not defined' if rank is None else f'{rank:.2f}'} with the true error")
    for name, foreign in (("studio", False), ("foreign", True)):
        judged, photos = found.group(foreign=foreign)
        if photos:
            pairs = [f"{doubt:.2f} {truth:.2f}" for doubt, truth in quarters_of(judged.doubts, photos)]
            lines.append(
                f"{name}: {judged.foreign.sum()} of {counted(len(photos), 'photo')} called foreign; mean doubt and"
                f" truth of each quarter: {', '.join(pairs)}"
            )
    lines.append(f"guarantee: surface Dice at 2 px of {acceptance.quality:g}, confidence {acceptance.confidence:g}")
    for one in acceptance.thresholds:
        mark = "*" if one.risk == acceptance.risk else " "
        lines.append(f"{mark} risk {one.risk:g}: {_threshold_text(one)}")
    return "\n".join(lines)


def _threshold_text(one: Any) -> str:
    if one.max_doubt is None or one.share_accepted is None:
        return str(one.reason)
    share, low, high = (100 * value for value in one.share_accepted)
    return (
        f"accept doubt up to {one.max_doubt:.3f}: {share:.0f} % [{low:.0f}, {high:.0f}] of the garments,"
        f" {one.num_short} of {one.num_accepted} of them fell short"
    )


def _fit_edge(model: Path, manifest: "Manifest", splits: list[str], *, use_seen: bool) -> "EdgeFit":
    from garmentcut.evaluation.edge import Edge, fit_edge, sample_of
    from garmentcut.evaluation.predict import predict, refuse_seen

    samples, trials = [], _plan(model, manifest, splits)
    if not use_seen:
        refuse_seen(trials, manifest, because="where it puts the edge as their retouchers did")
    with cli.progress_bar(sum(len(trial.pairs) for trial in trials), "photos") as advance:
        for outcome in predict(trials, manifest, sample_of):
            advance(outcome.pair.name, outcome.reason)
            if outcome.found is not None:
                samples.append(outcome.found)
    return fit_edge(samples, Edge.of(trials[0].card))


def _edge_text(fit: "EdgeFit") -> str:
    edge, before, after = fit.edge, fit.before, fit.after
    return "\n".join(
        [
            f"fitted on {counted(fit.num_photos, 'photo')} of {counted(fit.num_garments, 'garment')}",
            f"edge: threshold {edge.edge_bias:g}, steepness {edge.edge_gain:g}, choke {edge.choke_px:g} px",
            f"off by, in pixels: {before.edge_error_px:.3f} before, {after.edge_error_px:.3f} after",
            f"mean Dice, alpha >= 128: {before.dice:.4f} before, {after.dice:.4f} after",
            "after: each half of the garments with the edge of the other half",
        ]
    )
