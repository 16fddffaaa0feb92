"""`garmentcut calibrate --int8`: which of a network's convolutions may calculate in 8 bits, on the model's card."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, fail
from garmentcut.cli.calibrate_edge import write_changed_card

if TYPE_CHECKING:
    from garmentcut.evaluation.int8_fit import Int8Fit, Seen


def calibrate_int8(
    where: tuple[Path, Path, list[str]], receiver: Path | None, *, out: Path | None, as_json: bool
) -> NoReturn:
    """Find the convolutions, write them to a model file if one is named, print what was found, and exit.

    Args:
        where: model file, dataset, splits.
        receiver: that model file, if anything is to be written.
        out: model file to write.
        as_json: print JSON.
    """
    if receiver is not None and receiver.parent != where[0] and receiver != where[0]:
        fail("--int8 is measured on the model itself: name that one, without --into", MISUSE)
    fit, first = _fit(*where)
    if out is not None and receiver is not None:
        write_changed_card(receiver, out, _changes(receiver, fit, first))
    told = {**asdict(fit), "first_look": asdict(first) if first is not None else None}
    typer.echo(json.dumps(told) if as_json else _as_text(fit, first, out))
    raise typer.Exit(OK)


def _changes(receiver: Path, fit: "Int8Fit", first: "Int8Fit | None") -> dict[str, Any]:
    from garmentcut.model.card import read_model

    look = read_model(receiver)[1].first_look
    if look is None:
        return {"int8_ranges": fit.ranges}
    return {"int8_ranges": fit.ranges, "first_look": replace(look, int8_ranges=first.ranges if first else {})}


def _fit(model: Path, dataset: Path, splits: list[str]) -> "tuple[Int8Fit, Int8Fit | None]":
    """Of the network that draws the alpha, and of a first look: None where there is none, or it must stay as it is."""
    # Imported here: `--help` must not wait for a network runtime.
    try:
        from garmentcut.evaluation.int8_fit import NUM_PHOTOS, Int8FitError, look_at_inputs
        from garmentcut.evaluation.trials import EvaluationError, plan_trials
    except ImportError as error:
        fail(f"{error.name} is not installed; run: pip install 'garmentcut[train]'", MISUSE)
    from garmentcut.dataset.manifest import DatasetError, read_manifest
    from garmentcut.model.card import ModelError
    from garmentcut.terminal import progress_bar

    try:
        manifest = read_manifest(dataset)
        trial, *others = plan_trials(model, manifest, splits=splits)
        if others:
            fail(f"{model} holds several models; 8 bits are fitted to one: name its file", MISUSE)
        seen_of = []
        with progress_bar(min(len(trial.pairs), NUM_PHOTOS), "photos") as advance:
            for pair, seen in look_at_inputs(trial, manifest):
                advance(pair.name, seen if isinstance(seen, str) else "")
                seen_of += [] if isinstance(seen, str) else [seen]
        return _fit_both(trial.model, seen_of)
    except (DatasetError, EvaluationError, ModelError, Int8FitError) as error:
        fail(str(error), MISUSE)
    except KeyboardInterrupt:
        fail("stopped; nothing was written", INTERRUPTED)


def _fit_both(model: Path, seen_of: "list[Seen]") -> "tuple[Int8Fit, Int8Fit | None]":
    from garmentcut.evaluation.int8_fit import FIRST_LOOK, Int8FitError, fit_int8
    from garmentcut.model.card import first_network_of, read_model

    content, card = read_model(model)
    fit = fit_int8(content, card, [pixels for seen in seen_of for pixels in seen.inputs])
    first_card, first_content = card.first_card, first_network_of(content, card)
    if first_card is None or first_content is None:
        return fit, None
    inputs = [pixels for seen in seen_of for pixels in seen.first]
    try:
        return fit, fit_int8(first_content, first_card, inputs, limits=FIRST_LOOK)
    except Int8FitError:
        return fit, None


def _as_text(fit: "Int8Fit", first: "Int8Fit | None", out: Path | None) -> str:
    lines = _lines_of(fit)
    if first is not None:
        lines += [f"first look: {line}" for line in _lines_of(first)]
    return "\n".join([*lines, f"written: {out}" if out else "nothing was written: name a file by --out"])


def _lines_of(fit: "Int8Fit") -> list[str]:
    return [
        f"8 bits: {len(fit.ranges)} of {fit.num_convolutions} convolutions",
        f"masks in 8 bits against float32, {fit.num_crops} other crops: mean Dice {fit.dice:.5f}, "
        f"least {fit.least_dice:.5f}",
        f"the network's processor time on this machine: {fit.share_of_time:.2f} of float32's",
    ]
