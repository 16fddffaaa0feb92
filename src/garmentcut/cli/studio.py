"""`garmentcut studio`: synthetic photos with exact alpha."""

from pathlib import Path
from typing import Annotated

import typer

from garmentcut.cli.app import SOME_FAILED, app, fail


@app.command()
def studio(
    out: Annotated[Path, typer.Option(help="Folder for the photos.")],
    cutouts: Annotated[Path | None, typer.Option(help="Folder for their exact cutouts; without it, none.")] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="A garment; may be given several times.")] = None,
    garments: Annotated[int, typer.Option(min=1, help="Without --seed: how many, seeds 0, 1, 2 ...")] = 1,
    height: Annotated[int, typer.Option(min=96, max=12000, help="Height in pixels; the width is two thirds.")] = 1728,
) -> None:
    """Draw synthetic studio photos, three views of each garment, whose alpha is known exactly.

    For demonstrations, tests and pre-training. The same seed draws the same photo.

    Example: garmentcut studio --out photos --cutouts cutouts --garments 10
    """
    from garmentcut.synthetic import write_studio_photos

    seeds = seed or list(range(garments))
    try:
        for path in write_studio_photos(out, seeds, size_hw=(height, height * 2 // 3), cutouts_dir=cutouts):
            typer.echo(path)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror or error}", SOME_FAILED)
