"""`garmentcut calibrate`: teach a model how far its own cutouts can be trusted, on a studio's own photos."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from garmentcut.cli.app import MISUSE, OK, SOME_FAILED, app, fail
from garmentcut.cli.calibrate_edge import calibrate_edge, write_changed_card
from garmentcut.cli.experiences import gather, telling_failures

if TYPE_CHECKING:
    from garmentcut.dataset.manifest import Manifest
    from garmentcut.evaluation.uncertainty import Calibration


@app.command()
def calibrate(
    model: Annotated[
        str, typer.Argument(help="Model file, run folder, or folder of runs fold0, fold1 ...; 'default': the embedded.")
    ],
    dataset: Annotated[Path, typer.Argument(help="Folder that `garmentcut ingest` made.")],
    risk: Annotated[float, typer.Option(help="Share of the accepted garments that may fall short.")] = 0.05,
    quality: Annotated[float, typer.Option(help="Surface Dice at 2 px under which a photo falls short.")] = 0.95,
    confidence: Annotated[float, typer.Option(help="Probability that the promise holds.")] = 0.9,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this part of the dataset; may be given several times.")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(help="Model file that the result is for ('default': the embedded); else MODEL, if it is one."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Model file to write; the same as MODEL changes it. Without it, none.")
    ] = None,
    seen: Annotated[
        bool, typer.Option("--seen", help="Use photos the model was trained on too; the card then says so.")
    ] = False,
    edge: Annotated[
        bool, typer.Option("--edge", help="Fit nothing but the edge: threshold, steepness and choke of these cutouts.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Learn how much to doubt a model's cutouts, and which of them need no second look.

    The model cuts photos whose cutouts are known and which it has not seen: best a folder of fold runs, with --into the
    model that was trained on everything. Doubt is learned, and a threshold found such that, with CONFIDENCE, at most
    RISK of the accepted garments fall under QUALITY; or it says why not. Exit code 1: nothing promised.

    With --edge it learns where this studio's retouchers put the edge: do that before all else.

    Example: garmentcut calibrate runs/folds dataset/ --into final.onnx --out ours.onnx
    """
    from garmentcut.prediction.cutter import default_model

    tried = default_model() if model == "default" else Path(model)
    into = default_model() if into is not None and str(into) == "default" else into
    receiver = into or (_single(tried) if out else None)
    if out is not None:
        _check_out(out, receiver, tried)
    where = tried, dataset, split or []
    if edge:
        calibrate_edge(where, receiver, out=out, as_json=as_json)
    found = _calibrate(where, _promised(risk, quality, confidence), receiver, use_seen=seen)
    if out is not None and receiver is not None:
        write_changed_card(receiver, out, {"doubt": found.doubt, "acceptance": found.acceptance})
    typer.echo(json.dumps(_as_dict(found)) if as_json else _as_text(found, out))
    raise typer.Exit(OK if found.threshold.max_doubt is not None else SOME_FAILED)


def _promised(risk: float, quality: float, confidence: float) -> tuple[float, float, float]:
    if not (0 < risk < 1 and 0 < confidence < 1 and 0 < quality <= 1):
        fail("--risk and --confidence lie between 0 and 1, --quality above 0 and up to 1", MISUSE)
    return risk, quality, confidence


def _check_out(out: Path, receiver: Path | None, tried: Path) -> None:
    from garmentcut.prediction.cutter import default_model

    if receiver is None:
        fail(f"{tried} holds several models: name the one that gets the result by --into", MISUSE)
    if out.resolve() == default_model().resolve():
        fail("the embedded model is not changed; choose another --out", MISUSE)


def _single(tried: Path) -> Path | None:
    from garmentcut.evaluation.predict import MODEL_NAME

    if not tried.is_dir():
        return tried
    return tried / MODEL_NAME if (tried / MODEL_NAME).is_file() else None


def _calibrate(
    where: tuple[Path, Path, list[str]],
    wanted: tuple[float, float, float],
    receiver: Path | None,
    *,
    use_seen: bool,
) -> "Calibration":
    model, dataset, splits = where
    with telling_failures():
        # Imported here: `--help` must not wait for a network runtime.
        from garmentcut.dataset.manifest import read_manifest
        from garmentcut.evaluation.uncertainty import Promise
        from garmentcut.evaluation.uncertainty import calibrate as calibrate_on

        manifest = read_manifest(dataset)
        if receiver is not None and receiver != model:
            _check_kind(model, manifest, receiver)
        risk, quality, confidence = wanted
        return calibrate_on(
            gather(model, manifest, splits),
            Promise(risk, quality, confidence),
            data=", ".join([dataset.resolve().name, *splits]),
            held_out=model.is_dir() and not splits,
            use_seen=use_seen,
        )


def _check_kind(model: Path, manifest: "Manifest", receiver: Path) -> None:
    """Errors of one network promise nothing of another's."""
    from garmentcut.evaluation.predict import plan_trials
    from garmentcut.evaluation.uncertainty import is_same_kind
    from garmentcut.model.card import read_model

    card = read_model(receiver)[1]
    if not all(is_same_kind(trial.card, card) for trial in plan_trials(model, manifest)):
        fail(
            f"{card.label} is another network than those of {model}: their errors promise nothing for it",
            MISUSE,
        )


def _as_dict(found: "Calibration") -> dict[str, Any]:
    correlation = found.doubt.rank_correlation
    return {**asdict(found.acceptance), "rank_correlation": correlation, "left_out": found.num_left_out}


def _as_text(found: "Calibration", out: Path | None) -> str:
    acceptance, lines = found.acceptance, [f"measured on {found.acceptance.data}"]
    if found.num_left_out:
        lines.append(f"{found.num_left_out} more left out: the model was, or may have been, trained on them")
    rank = found.doubt.rank_correlation
    lines.append(f"doubt: rank correlation {'not defined' if rank is None else f'{rank:.2f}'} with what it should be")
    lines.append(f"promise: surface Dice at 2 px of {acceptance.quality:g}, confidence {acceptance.confidence:g}")
    for one in acceptance.thresholds:
        mark = "*" if one.risk == acceptance.risk else " "
        lines.append(f"{mark} risk {one.risk:g}: {_threshold_text(one)}")
    lines.append(f"written: {out}" if out else "nothing was written: name a file by --out")
    return "\n".join(lines)


def _threshold_text(one: Any) -> str:
    if one.max_doubt is None or one.share_accepted is None:
        return str(one.reason)
    share, low, high = (100 * value for value in one.share_accepted)
    return (
        f"accept doubt up to {one.max_doubt:.3f}: {share:.0f} % [{low:.0f}, {high:.0f}] of the garments,"
        f" {one.num_short} of {one.num_accepted} of them fell short"
    )
