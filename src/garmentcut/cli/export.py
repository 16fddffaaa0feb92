"""`garmentcut export`: a trained network as a model file."""

import json
from pathlib import Path
from typing import Annotated

import typer

from garmentcut.cli.app import MISUSE, SOME_FAILED, app, fail


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training (its best.safetensors), or a .safetensors file.")],
    out: Annotated[Path, typer.Option(help="Model file to write, for example model.onnx.")],
    name: Annotated[str | None, typer.Option(help="Name on the card; without it, the training's.")] = None,
    training_data: Annotated[str | None, typer.Option(help="On the card: what it was trained on, in words.")] = None,
    licence: Annotated[str | None, typer.Option(help="On the card: licence of the weights.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Turn a trained network into a model file that `garmentcut cut --model` takes.

    The file takes photos of any size and carries its card. Its alphas are compared with the trained network's; nothing
    is written if they differ by more than 0.001. Of a cascade, both looks go into the one file.

    Example: garmentcut export runs/mine --out mine.onnx
    """
    words = {"name": name, "training_data": training_data, "licence": licence}
    given = {key: value for key, value in words.items() if value is not None}
    content = _exported(run, given)

    from dataclasses import asdict

    from garmentcut.model.card import card_of
    from garmentcut.photo.files import write_atomic

    try:
        write_atomic(out, content)
    except OSError as error:
        fail(f"{out}: {error.strerror or error}; make room or write elsewhere", SOME_FAILED)
    card = card_of(content)
    if as_json:
        typer.echo(json.dumps(asdict(card)))
        return
    height, width = card.working_size_hw
    typer.echo(f"{out}: {card.label}, {len(content) / 1e6:.1f} MB, for photos of about {width}x{height} pixels")
    if card.first_look is not None:
        height, width = card.first_look.size_hw
        typer.echo(
            f"first look at {width}x{height} pixels; weights are packed: the second's 16 bits each, the first's 8"
        )
    typer.echo(f"alpha differs from the trained network's by {card.parity} at most")


def _exported(run: Path, words: dict[str, str]) -> bytes:
    try:
        from garmentcut.export.card import ExportError
        from garmentcut.export.run_folder import export_folder
        from garmentcut.model.checkpoint import CheckpointError
    except ModuleNotFoundError as error:
        fail(f"export needs {error.name}, which is not installed; install garmentcut[train]", MISUSE)
    try:
        return export_folder(run, words)
    except CheckpointError as error:
        fail(str(error), MISUSE)
    except ExportError as error:
        fail(str(error), SOME_FAILED)
