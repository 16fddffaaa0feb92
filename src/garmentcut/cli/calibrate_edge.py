"""`garmentcut calibrate --edge`: where a studio's retouchers put the edge, on the model's card."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, SOME_FAILED, fail

if TYPE_CHECKING:
    from garmentcut.evaluation.edge import EdgeFit


def calibrate_edge(
    where: tuple[Path, Path, list[str]], receiver: Path | None, *, out: Path | None, as_json: bool
) -> NoReturn:
    """Fit the edge, write it to a model file if one is named, print it, and exit.

    Args:
        where: model or models, dataset, splits.
        receiver: model file that the result is for.
        out: model file to write.
        as_json: print JSON.
    """
    fit = _fit(where)
    if out is not None and receiver is not None:
        write_changed_card(receiver, out, asdict(fit.edge))
    typer.echo(json.dumps(asdict(fit)) if as_json else _as_text(fit, out))
    raise typer.Exit(OK)


def write_changed_card(model: Path, out: Path, changes: dict[str, Any]) -> None:
    """Write a model file that differs in some fields of its card."""
    from garmentcut.model.card import ModelError, read_model, with_card
    from garmentcut.photo.files import write_atomic

    try:
        content, card = read_model(model)
        write_atomic(out, with_card(content, replace(card, **changes)))
    except ModelError as error:
        fail(str(error), MISUSE)
    except OSError as error:
        fail(f"{out}: {error.strerror or error}", SOME_FAILED)


def _fit(where: tuple[Path, Path, list[str]]) -> "EdgeFit":
    # Imported here: `--help` must not wait for a network runtime.
    try:
        from garmentcut.errors import EvaluationError
        from garmentcut.evaluation.edge import Edge, fit_edge, sample_of
        from garmentcut.evaluation.predict import plan_trials, predict
    except ImportError as error:
        fail(f"{error.name} is not installed; run: pip install 'garmentcut[train]'", MISUSE)
    from garmentcut.dataset.manifest import DatasetError, read_manifest
    from garmentcut.model.card import ModelError
    from garmentcut.terminal import progress_bar

    model, dataset, splits = where
    samples = []
    try:
        manifest = read_manifest(dataset)
        trials = plan_trials(model, manifest, splits=splits)
        with progress_bar(sum(len(trial.pairs) for trial in trials), "photos") as advance:
            for outcome in predict(trials, manifest, sample_of):
                advance(outcome.pair.name, outcome.reason)
                if outcome.found is not None:
                    samples.append(outcome.found)
        return fit_edge(samples, Edge.of(trials[0].card))
    except (DatasetError, EvaluationError, ModelError) as error:
        fail(str(error), MISUSE)
    except KeyboardInterrupt:
        fail("stopped; nothing was written", INTERRUPTED)


def _as_text(fit: "EdgeFit", out: Path | None) -> str:
    edge, before, after = fit.edge, fit.before, fit.after
    return "\n".join(
        [
            f"fitted on {fit.num_photos} photos of {fit.num_garments} garments",
            f"edge: threshold {edge.edge_bias:g}, steepness {edge.edge_gain:g}, choke {edge.choke_px:g} px",
            f"off by, in pixels: {before.rim_error_px:.3f} before, {after.rim_error_px:.3f} after",
            f"mean Dice, alpha >= 128: {before.dice:.4f} before, {after.dice:.4f} after",
            "after: each half of the garments with the edge of the other half",
            f"written: {out}" if out else "nothing was written: name a file by --out",
        ]
    )
