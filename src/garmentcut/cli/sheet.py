"""`garmentcut sheet`: a contact sheet of cutouts."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, OK, SOME_FAILED, app, fail

if TYPE_CHECKING:
    from garmentcut.prediction.sheet import ContactSheet, Shown

_MOST_LISTED = 20


@app.command()
def sheet(
    cutouts: Annotated[Path, typer.Argument(help="Folder that `garmentcut cut` writes, or any folder of cutouts.")],
    out: Annotated[
        Path, typer.Option(help="JPEG or PNG file; with several pages _001, _002 ... is put behind its name.")
    ] = Path("sheet.jpg"),
    ground: Annotated[
        list[str] | None,
        typer.Option(
            help="checkerboard, white, a colour such as '#00ff00', or all (default): checkerboard, white and #ff00aa. "
            "May be given several times: each cutout is shown on all, side by side."
        ),
    ] = None,
    columns: Annotated[int, typer.Option(min=0, max=100, help="Cutouts in a line; 0: what fits.")] = 0,
    rows_per_page: Annotated[int, typer.Option(min=1, max=200, help="Lines on a page.")] = 6,
    cell: Annotated[int, typer.Option(min=64, max=4000, help="Height of a picture in pixels.")] = 320,
    whole: Annotated[bool, typer.Option("--whole", help="Show the whole frame, not only the garment.")] = False,
    doubt_over: Annotated[
        float, typer.Option(min=0, max=1, help="Above this doubt a cutout without a verdict is marked.")
    ] = 0.1,
    config: Annotated[Path | None, typer.Option(help="TOML file with any of the settings in docs/cli.md.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="One setting, for example read.max_mb=2000.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Draw a contact sheet of cutouts, with the doubtful marked.

    Views of a garment stand side by side. Orange frames are doubtful cutouts, red ones failed, each with its reason in
    words; a file that cannot be read takes its place with the reason and stops no other. A folder that is still being
    cut shows what is there. Exit code 0: all fine, 1: some failed, 2: misuse.

    Example: garmentcut sheet cutouts/ --out sheet.jpg
    """
    look = {"grounds": ground or ["all"], "columns": columns, "cell_px": cell}
    choices = {"lines_per_page": rows_per_page, "trim": not whole, "doubt_over": doubt_over}
    _sheet(cutouts, out, look=look, choices=choices, settings=(config, set or []), as_json=as_json)


def _sheet(
    cutouts: Path, out: Path, *, look: dict[str, Any], choices: dict[str, Any], settings: Any, as_json: bool
) -> None:
    # Imported here: `--help` must not wait for decoders.
    from garmentcut.config import ConfigError, load_config, parse_override
    from garmentcut.photo.sheet import SheetStyle, named_grounds
    from garmentcut.prediction.sheet import ContactSheet, SheetError, SheetOptions

    shown: list[Any] = []
    try:
        read = load_config(settings[0], dict(map(parse_override, settings[1]))).read
        style = SheetStyle(**{**look, "grounds": named_grounds(look["grounds"])})
        drawing = ContactSheet(cutouts, out, SheetOptions(style, read=read, **choices))
        _draw(drawing, shown)
    except (ConfigError, SheetError) as error:
        fail(str(error), MISUSE)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror or error}", SOME_FAILED)
    except KeyboardInterrupt:
        fail("stopped; the pages before are whole", INTERRUPTED)
    summary = _summary(drawing, shown)
    typer.echo(json.dumps(summary) if as_json else _as_text(summary))
    raise typer.Exit(SOME_FAILED if summary["failed"] else OK)


def _draw(drawing: "ContactSheet", shown: "list[Shown]") -> None:
    from garmentcut.terminal import progress_bar

    with progress_bar(len(drawing.entries), "cutouts") as advance:
        for cutout in drawing.draw():
            shown.append(cutout)
            advance(cutout.name, cutout.reason if cutout.mark == "failed" else "")


def _summary(drawing: "ContactSheet", shown: "list[Shown]") -> dict[str, Any]:
    """For machines: counts, pages, and every marked cutout."""
    counts = Counter(cutout.mark for cutout in shown)
    return {
        "cutouts": len(shown),
        "doubtful": counts["doubtful"],
        "failed": counts["failed"],
        "not_finished": counts["not finished"],
        "pages": [str(page.path) for page in drawing.pages],
        "marked": [
            {"name": cutout.name, "page": str(cutout.page), "mark": cutout.mark, "reason": cutout.reason}
            for cutout in shown
            if cutout.mark
        ],
    }


def _as_text(summary: dict[str, Any]) -> str:
    """For people: one line, then a line for each marked cutout."""
    pages, marked = summary["pages"], summary["marked"]
    parts = [
        f"{summary[key]} {key.replace('_', ' ')}" for key in ("doubtful", "failed", "not_finished") if summary[key]
    ]
    where = f"{len(pages)} pages, {pages[0]} to {pages[-1]}" if len(pages) > 1 else pages[0]
    counts = ", ".join([f"{summary['cutouts']} cutout{'s' * (summary['cutouts'] > 1)}", *parts])
    lines = [f"{counts}: {where}"]
    for cutout in marked[:_MOST_LISTED]:
        place = f" ({Path(cutout['page']).name})" if len(pages) > 1 else ""
        lines.append(": ".join(filter(None, (cutout["mark"], _one_line(cutout["name"]) + place, cutout["reason"]))))
    if len(marked) > _MOST_LISTED:
        lines.append(f"... and {len(marked) - _MOST_LISTED} more, listed with --json")
    return "\n".join(lines)


def _one_line(name: str) -> str:
    return name.replace("\n", "\\n").replace("\r", "\\r")
