"""What `garmentcut cut` can be told."""

from pathlib import Path
from typing import Annotated

import typer

from garmentcut.formats import NAMES

PhotosArgument = Annotated[
    list[str],
    typer.Argument(help="Photos, or folders of photos (searched with all below); with --ray also URLs."),
]
OutOption = Annotated[
    str, typer.Option(help="Folder for the cutouts, with --ray also a URL; the photos' tree is mirrored in it.")
]
FormatOption = Annotated[
    list[str] | None, typer.Option(help=f"One of {NAMES}; may be given several times. Default: png.")
]
BackgroundOption = Annotated[
    str | None, typer.Option(help="Lay the garment on this colour, for example '#ffffff'; psd: as a layer below.")
]
TrimOption = Annotated[bool | None, typer.Option("--trim", help="Crop to the garment; stray specks do not count.")]
MarginOption = Annotated[int | None, typer.Option(help="Pixels kept around the garment; with --trim.")]
HiddenOption = Annotated[
    str | None,
    typer.Option(help="Hidden pixels: clear, keep (the photo, untouched), or auto (keep for psd and tiff)."),
]
PathOption = Annotated[
    str | None,
    typer.Option(help="Clipping path in psd, tiff and jpeg: none, editable or exact; by itself, psd has an editable."),
]
QualityOption = Annotated[int | None, typer.Option(help="Of jpeg, 1 to 100, 95 by itself; makes webp lossy.")]
EffortOption = Annotated[
    str | None, typer.Option(help="fast (one look in small), normal, or best (also mirrored: twice the time).")
]
ChokeOption = Annotated[
    float | None, typer.Option(help="Move the edge inwards by so many pixels, fractions too; below 0 outwards.")
]
SpecOption = Annotated[Path | None, typer.Option(help="A customer's specification (TOML): decides the files.")]
AcceptRiskOption = Annotated[
    float | None, typer.Option(help="Share of the accepted garments that may fall short; a calibrated model's own.")
]
ModelOption = Annotated[Path | None, typer.Option(help="Model file; without it, the embedded one.")]
ConfigOption = Annotated[Path | None, typer.Option(help="TOML file with any of the settings in docs/cli.md.")]
SetOption = Annotated[list[str] | None, typer.Option(help="One setting, for example runtime.threads=2.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that garmentcut did not write.")]
RayOption = Annotated[
    str,
    typer.Option(
        metavar="[ADDRESS]",
        help="Cut on a Ray cluster: auto, HOST:PORT, or alone: one of this machine's cores. See docs/cluster.md.",
    ),
]
AsJsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
WatchOption = Annotated[
    bool, typer.Option("--watch", help="Go on for ever: cut photos as they come into the folders, once they are whole.")
]
