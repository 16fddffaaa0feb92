"""`garmentcut card`: what a model says of itself."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from garmentcut.cli.app import MISUSE, app, fail


@app.command()
def card(
    model: Annotated[Path | None, typer.Argument(help="Model file; without it, the embedded one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show a model's card: what it is, what it learned from, how good it is.

    Example: garmentcut card
    """
    from dataclasses import asdict

    from garmentcut.model.card import ModelError, read_model
    from garmentcut.prediction.cutter import default_model

    try:
        content = asdict(read_model(model or default_model())[1])
    except ModelError as error:
        fail(str(error), MISUSE)
    if as_json:
        typer.echo(json.dumps(content))
        return
    hashes = content["trained_on"]
    content["trained_on"] = (
        f"{len(hashes)} photos, their hashes in --json" if hashes else "photos that it does not list"
    )
    del content["trained_prints"]
    content["parity"] = "not measured" if content["parity"] is None else content["parity"]
    content["doubt"] = _doubt_text(content["doubt"])
    content["acceptance"] = _acceptance_text(content["acceptance"])
    for key, value in content.items():
        for entry in value if key == "scores" else [value]:
            shown = ", ".join(f"{k} {v}" for k, v in entry.items()) if isinstance(entry, dict) else entry
            typer.echo(f"{key.rstrip('s') if key == 'scores' else key}: {shown}")


def _doubt_text(doubt: dict[str, Any] | None) -> str:
    if doubt is None:
        return "none: garmentcut calibrate teaches it"
    rank = doubt["rank_correlation"]
    return f"learned from {doubt['data']}; rank correlation {'not known' if rank is None else rank}"


def _acceptance_text(acceptance: dict[str, Any] | None) -> str:
    if acceptance is None:
        return "none"
    found = next(one for one in acceptance["thresholds"] if one["risk"] == acceptance["risk"])
    promise = f"risk {acceptance['risk']:g} of falling under {acceptance['quality']:g}"
    if found["max_doubt"] is None:
        return f"{promise}: {found['reason']}"
    return f"{promise}, confidence {acceptance['confidence']:g}: doubt up to {found['max_doubt']:.3f}"
