"""`garmentcut ingest`: originals and cutouts in, a data set out."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, SOME_FAILED, app, fail

_Originals = Annotated[
    Path | None,
    typer.Argument(help="Folder of the photos (searched with all below); not with --from-review alone."),
]
_Cutouts = Annotated[
    Path | None,
    typer.Argument(help="Folder of the retouchers' cutouts (likewise). Without it, the PSDs in the first folder."),
]
_Pattern = Annotated[str, typer.Option(help="How files are named; * stands for anything, / for a folder.")]
_Parts = Annotated[
    str | None, typer.Option(help="Split into train, validation and test instead, for example 70/15/15.")
]
_Mend = Annotated[
    bool, typer.Option("--mend", help="Resample cutouts that have the photo's proportions, but not its size.")
]
_Add = Annotated[bool, typer.Option("--add", help="Keep the pairs of earlier runs that are not in these folders.")]
_AcceptUnchanged = Annotated[
    bool,
    typer.Option("--accept-unchanged", help="Take PSDs that garmentcut wrote and nobody changed for right."),
]
_FromReview = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of cutouts that garmentcut review was used on: its corrections; may be given often."),
]
_WithAccepted = Annotated[
    bool, typer.Option("--with-accepted", help="With --from-review: cutouts accepted as they were, too.")
]


@app.command()
def ingest(
    out: Annotated[str, typer.Option(help="The data set's folder.")],
    originals: _Originals = None,
    cutouts: _Cutouts = None,
    pattern: _Pattern = "<garment>_<view>",
    cutout_pattern: Annotated[str, typer.Option(help="How cutouts are named, if not as photos.")] = "",
    folds: Annotated[int | None, typer.Option(help="Split into this many folds by garment; 5 where not said.")] = None,
    parts: _Parts = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the split; 0 where not said.")] = None,
    resplit: Annotated[bool, typer.Option("--resplit", help="Split anew, though garments change sides.")] = False,
    mend: _Mend = False,
    add: _Add = False,
    accept_unchanged: _AcceptUnchanged = False,
    from_review: _FromReview = None,
    with_accepted: _WithAccepted = False,
    workers: Annotated[int, typer.Option(min=0, max=256, help="Threads; 0: as many as cores.")] = 0,
    config: Annotated[Path | None, typer.Option(help="TOML file with any of the settings in docs/cli.md.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="One setting, for example read.max_mb=2000.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make a data set of originals and cutouts: paired by name, checked, split by garment.

    A cutout is a PNG, WebP or TIFF with alpha, a PSD, a file with a clipping path, or a mask, white on black. A PSD
    without an original is looked into for the photo; so one folder is enough for PSDs that garmentcut wrote and a
    retoucher corrected, or that lie beside their photos. Pairs read before that have not changed are not read again,
    so a run that was stopped is started again with the same command; garments keep their split when others are added.
    OUT/manifest.jsonl has a row for each pair, refused ones too. Exit code 0: all fine, 1: some pairs were refused, 2:
    misuse.

    Example: garmentcut ingest originals/ cutouts/ --out dataset/

    Example: garmentcut ingest corrected/ --out dataset/ --add

    Example: garmentcut ingest --from-review cutouts/ --out dataset/ --add
    """
    if not out:
        fail("an empty --out, perhaps a variable that is not set; '.' means this folder", MISUSE)
    if originals is None and not from_review:
        fail("no originals: name their folder, or a batch with --from-review", MISUSE)
    if folds is not None and parts is not None:
        fail("--folds and --parts: give one of them", MISUSE)
    choices = {"pattern": pattern, "cutout_pattern": cutout_pattern, "seed": seed, "resplit": resplit, "mend": mend}
    choices |= {"accept_unchanged": accept_unchanged, "add": add, "workers": workers}
    review, settings = (tuple(from_review or ()), with_accepted), (config, set or [])
    folders = originals, cutouts, Path(out)
    _ingest(*folders, review=review, split=(folds, parts), settings=settings, choices=choices, as_json=as_json)


def _ingest(
    originals: Path | None,
    cutouts: Path | None,
    out: Path,
    *,
    review: tuple[tuple[Path, ...], bool],
    split: Any,
    settings: Any,
    choices: dict[str, Any],
    as_json: bool,
) -> None:
    # Imported here: `--help` must not wait for decoders.
    from garmentcut.config import ConfigError, load_config, parse_override
    from garmentcut.dataset.corrections import ReviewSource
    from garmentcut.dataset.ingest import Ingest, IngestOptions, IngestSummary
    from garmentcut.dataset.ledger import WriteError
    from garmentcut.dataset.manifest import DatasetError
    from garmentcut.dataset.split import Scheme
    from garmentcut.terminal import progress_bar

    folds, parts = split
    try:
        read = load_config(settings[0], dict(map(parse_override, settings[1]))).read
        scheme = Scheme.of_parts(parts) if parts else Scheme.of_folds(folds) if folds is not None else None
        options = IngestOptions(**choices, scheme=scheme, read=read, review=ReviewSource(*review))
        with Ingest(originals, cutouts, out, options) as work:
            plan = work.plan()
            summary = IngestSummary(work.folder, num_read=len(plan.todo), num_junk=len(plan.junk))
            with progress_bar(len(plan.todo), "pairs") as advance:
                for entry in work.examine(plan):
                    advance(entry.pair.name, next((f.text for f in entry.pair.faults if entry.pair.refused), ""))
            summary.rows = work.rows(plan)
            try:
                summary.outcome = work.finish(summary.rows)
            finally:  # also where there are too few garments: perhaps because most pairs were refused
                typer.echo(json.dumps(summary.as_dict()) if as_json else summary.as_text())
    except WriteError as error:
        fail(str(error), SOME_FAILED)
    except (ConfigError, DatasetError) as error:
        fail(str(error), MISUSE)
    except KeyboardInterrupt:
        fail("stopped; run the same command again to go on", INTERRUPTED)
    raise typer.Exit(SOME_FAILED if summary.refused else OK)
