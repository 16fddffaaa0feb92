"""`garmentcut cut`: photos in, cutouts out."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, SOME_FAILED, app, fail


@app.command()
def cut(
    photos: Annotated[list[str], typer.Argument(help="Photos, or folders of photos (searched with all below).")],
    out: Annotated[str, typer.Option(help="Folder for the cutouts; the photos' tree is mirrored in it.")],
    format: Annotated[
        list[str] | None, typer.Option(help="png (default), mask, webp, tiff, psd or jpeg; may be given several times.")
    ] = None,
    background: Annotated[
        str | None, typer.Option(help="Lay the garment on this colour, for example '#ffffff'; psd: as a layer below.")
    ] = None,
    trim: Annotated[bool | None, typer.Option("--trim", help="Crop to the garment.")] = None,
    margin: Annotated[int | None, typer.Option(help="Pixels kept around the garment; with --trim.")] = None,
    hidden: Annotated[
        str | None,
        typer.Option(help="Hidden pixels: clear, keep (the photo, untouched), or auto (keep for psd and tiff)."),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            help="Clipping path in psd, tiff and jpeg: none, editable or exact; by itself, psd has an editable."
        ),
    ] = None,
    quality: Annotated[int | None, typer.Option(help="Of jpeg, 1 to 100; 95 by itself.")] = None,
    spec: Annotated[Path | None, typer.Option(help="A customer's specification (TOML): decides the files.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model file; without it, the embedded one.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with any of the settings in docs/cli.md.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="One setting, for example runtime.threads=2.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that garmentcut did not write.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Cut the garment out of each photo.

    Photos done before with the same model and options are skipped, so a run that was stopped is started again with the
    same command. OUT/results.jsonl has a row for each photo. Exit code 0: all fine, 1: some photos failed, 2: misuse.

    Example: garmentcut cut photos/ --out cutouts/
    """
    options = {
        "output.formats": tuple(format) if format else None,
        "output.background": background,
        "output.trim": trim,
        "output.margin_px": margin,
        "output.hidden": hidden,
        "output.path": path,
        "output.quality": quality,
    }
    if not all([out, *photos]):
        fail("an empty path, perhaps a variable that is not set; '.' means this folder", MISUSE)
    _cut(
        [Path(photo) for photo in photos],
        Path(out),
        model=model,
        settings=(config, set or [], options),
        spec=spec,
        overwrite=overwrite,
        as_json=as_json,
    )


def _cut(
    photos: list[Path],
    out: Path,
    *,
    model: Path | None,
    settings: Any,
    spec: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    # Imported here: `--help` must not wait for a network runtime.
    from garmentcut.config import ConfigError, OutputConfig, load_config, parse_override
    from garmentcut.model.card import ModelError
    from garmentcut.photo.specification import read_specification
    from garmentcut.prediction.cutter import Cutter
    from garmentcut.prediction.folder import FolderCutter
    from garmentcut.prediction.runtime import runtime_for
    from garmentcut.prediction.sources import SourceError, find_sources
    from garmentcut.prediction.steps import FolderError
    from garmentcut.terminal import Summary, progress_of

    config_path, overrides, options = settings
    try:
        given = {key: value for key, value in options.items() if value is not None}
        config = load_config(config_path, {**dict(map(parse_override, overrides)), **given})
        specification = read_specification(spec) if spec else None
        if specification and (given or config.output != OutputConfig()):
            raise ConfigError("--spec decides the files: leave --format, --background and the other output options out")
        sources = find_sources(photos, out)
        cutter = Cutter.load(model, config=runtime_for(config.runtime, len(sources)))
        wanted: dict[str, Any] = {"config": config, "overwrite": overwrite, "specification": specification}
        with FolderCutter(cutter, out, **wanted) as folder:
            plan = folder.plan(sources)
            summary = Summary(out, folder.journal.path, num_skipped=len(plan.done))
            try:
                with progress_of(len(plan.todo)) as advance:
                    for row in folder.cut(plan):
                        summary.add(row)
                        advance(row)
            finally:  # also of a run that a full disk or Ctrl-C has stopped
                typer.echo(json.dumps(summary.as_dict()) if as_json else summary.as_text())
    except (ConfigError, ModelError, SourceError) as error:
        fail(str(error), MISUSE)
    except FolderError as error:
        fail(str(error), SOME_FAILED)
    except KeyboardInterrupt:
        fail("stopped; run the same command again to go on", INTERRUPTED)
    raise typer.Exit(SOME_FAILED if summary.failures else OK)
