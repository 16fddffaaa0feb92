"""`garmentcut card`: what a model says of itself."""

import json
from pathlib import Path
from typing import Annotated

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
    content["parity"] = "not measured" if content["parity"] is None else content["parity"]
    for key, value in content.items():
        for entry in value if key == "scores" else [value]:
            shown = ", ".join(f"{k} {v}" for k, v in entry.items()) if isinstance(entry, dict) else entry
            typer.echo(f"{key.rstrip('s') if key == 'scores' else key}: {shown}")
