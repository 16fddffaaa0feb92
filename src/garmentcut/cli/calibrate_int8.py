"""`garmentcut calibrate --int8`: which of a network's convolutions may calculate in 8 bits, on the model's card."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, fail
from garmentcut.cli.calibrate_edge import write_changed_card

if TYPE_CHECKING:
    from garmentcut.evaluation.int8_fit import Int8Fit


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
    fit = _fit(*where)
    if out is not None and receiver is not None:
        write_changed_card(receiver, out, {"int8_ranges": fit.ranges})
    typer.echo(json.dumps(asdict(fit)) if as_json else _as_text(fit, out))
    raise typer.Exit(OK)


def _fit(model: Path, dataset: Path, splits: list[str]) -> "Int8Fit":
    # Imported here: `--help` must not wait for a network runtime.
    try:
        from garmentcut.evaluation.int8_fit import NUM_PHOTOS, Int8FitError, fit_int8, look_at_inputs
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
        inputs = []
        with progress_bar(min(len(trial.pairs), NUM_PHOTOS), "photos") as advance:
            for pair, seen in look_at_inputs(trial, manifest):
                advance(pair.name, seen if isinstance(seen, str) else "")
                inputs += [] if isinstance(seen, str) else seen
        return fit_int8(trial, inputs)
    except (DatasetError, EvaluationError, ModelError, Int8FitError) as error:
        fail(str(error), MISUSE)
    except KeyboardInterrupt:
        fail("stopped; nothing was written", INTERRUPTED)


def _as_text(fit: "Int8Fit", out: Path | None) -> str:
    return "\n".join(
        [
            f"8 bits: {len(fit.ranges)} of {fit.num_convolutions} convolutions",
            f"masks in 8 bits against float32, {fit.num_crops} other crops: mean Dice {fit.dice:.5f}, "
            f"least {fit.least_dice:.5f}",
            f"the network's processor time on this machine: {fit.share_of_time:.2f} of float32's",
            f"written: {out}" if out else "nothing was written: name a file by --out",
        ]
    )
