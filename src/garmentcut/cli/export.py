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
    is written if they differ by more than 0.001.

    Example: garmentcut export runs/mine --out mine.onnx
    """
    words = {"name": name, "training_data": training_data, "licence": licence}
    given = {key: value for key, value in words.items() if value is not None}
    content = _exported(run / "best.safetensors" if run.is_dir() else run, given)

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
    typer.echo(f"alpha differs from the trained network's by {card.parity} at most")


def _exported(weights: Path, words: dict[str, str]) -> bytes:
    try:
        from garmentcut.export.card import ExportError, card_of_network
        from garmentcut.export.onnx import export_network
        from garmentcut.model.checkpoint import CheckpointError, load_network
    except ModuleNotFoundError as error:
        fail(f"export needs {error.name}, which is not installed; install garmentcut[train]", MISUSE)
    try:
        network, spec = load_network(weights)
    except CheckpointError as error:
        fail(str(error), MISUSE)
    try:
        return export_network(network, card_of_network(network, spec, **words))
    except ExportError as error:
        fail(str(error), SOME_FAILED)
