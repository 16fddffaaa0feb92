"""`garmentcut review` opens the review page, `serve` cuts photos sent over HTTP, `sheet` draws contact sheets."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from garmentcut.cli import shell as cli
from garmentcut.errors import counted
from garmentcut.observe.monitor import printable

if TYPE_CHECKING:
    from garmentcut.prediction.sheet import Cell, ContactSheet

_LEAST_TOKEN_CHARS = 12
_MOST_LISTED = 20


@cli.command(cli.CUT)
@cli.options("""
    CUTOUTS: Folder that `garmentcut cut` has written, or is writing.
    --database URL: postgresql://user:password@host/name. The default is CUTOUTS/review.sqlite.
    --token TOKEN: Token that clients must send. By default one is generated when needed.
    --open/--no-open: Open the page in the browser.
    --model FILE: Model file; 'default' is the embedded model. The default is the one that the folder was cut with.
    --photoshop: Instead of starting a server, write CUTOUTS/photoshop.jsx, which opens the doubtful PSDs in Photoshop.
""")
def review(
    cutouts: Path,
    host: str = "127.0.0.1",
    port: int = 8321,
    database: str | None = None,
    token: str | None = None,
    open: bool = True,
    model: Path | None = None,
    photoshop: bool = False,
    config: Path | None = None,
    set: list[str] | None = None,
) -> int:
    """Review a folder's doubtful cutouts in the browser: correct or accept them.

    Every action is saved at once; corrected cutouts replace the first ones in CUTOUTS, to which `garmentcut cut` may
    still be writing. `garmentcut ingest --from-review CUTOUTS` turns the corrections into training pairs. Ctrl-C ends
    the server; nothing is lost. Exit code 0: ended, 2: misuse.

    Example: garmentcut review cutouts/

    Example: garmentcut review cutouts/ --photoshop
    """
    if photoshop:
        _write_photoshop_script(cutouts)
        return cli.OK
    from garmentcut.review.app import bind, serve
    from garmentcut.review.service import Settings

    _check_token(token)
    settings = Settings(cutouts, database, model, cli.load_settings(config, set).runtime)
    try:
        with bind(host, port) as listening:
            serve(settings, listening, token=token, say=cli.say, open_browser=open)
    except OSError as error:
        cli.fail(f"{error.filename or cutouts}: {error.strerror or error}")
    except KeyboardInterrupt:  # handed on once the server has ended
        pass
    ingest = cli.shown("garmentcut", "ingest", "--from-review", cutouts, "--out", "dataset", "--add")
    cli.say(f"next: {ingest} to turn the corrections into training pairs", err=True)
    return cli.OK


def _write_photoshop_script(cutouts: Path) -> None:
    from garmentcut.review.photoshop import CORRECTED_FOLDER, write_photoshop_script

    ingest = cli.shown("garmentcut", "ingest", cutouts / CORRECTED_FOLDER, "--out", "dataset", "--add")
    path, num_psds = write_photoshop_script(cutouts, ingest)
    cli.say(f"{cli.shown(path)}: opens {counted(num_psds, 'doubtful PSD')}")
    cli.say("next: in Photoshop, open this file with File > Scripts > Browse; repeat it for each PSD", err=True)
    cli.say(f"then: {ingest} to turn the corrections into training pairs", err=True)


@cli.command(cli.CUT)
@cli.options("""
    --token TEXT: Token that callers must send. By default one is generated when needed.
""")
def serve(
    host: str = "127.0.0.1",
    port: int = 8321,
    token: str | None = None,
    model: Path | None = None,
    config: Path | None = None,
    set: list[str] | None = None,
) -> None:
    """Cut photos that other programs send over HTTP, also through the interfaces of remove.bg and rembg.

    POST a photo to /cut, or point a client of remove.bg to /v1.0/removebg or one of rembg to /api/remove: only its
    address changes, and its key is the token. Ctrl-C ends it after the requests in progress. Exit code 0: ended, 2:
    misuse.

    Example: garmentcut serve --port 8000
    """
    from garmentcut.review.app import bind, serve_cuts
    from garmentcut.review.cutting import Model

    _check_token(token)
    settings = cli.load_settings(config, set)
    try:
        with bind(host, port) as listening:
            cli.say("next: send a photo: curl --data-binary @photo.jpg FIRST_ADDRESS --output cutout.png", err=True)
            serve_cuts(Model(model, settings.runtime, settings.cut), listening, token=token, say=cli.say)
    except KeyboardInterrupt:  # handed on once the server has ended
        pass


def _check_token(token: str | None) -> None:
    if token is not None and len(token) < _LEAST_TOKEN_CHARS:
        cli.fail(f"--token: use at least {_LEAST_TOKEN_CHARS} characters, so that it cannot be guessed")
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        cli.fail("--token: use ASCII letters, digits and symbols, no spaces: clients encode others differently")


@cli.command(cli.CUT, stopped="stopped; the pages written so far are complete")
@cli.options("""
    CUTOUTS: Folder that `garmentcut cut` writes, or any folder of cutouts.
    --out -o FILE: JPEG or PNG file to write; several pages get the suffixes _001, _002 ... in their names.
    --doubt-over DOUBT 0..1: Mark cutouts without a verdict above this doubt.
Files to write:
    --ground NAME: checkerboard, white, a colour such as '#00ff00', or all (checkerboard, white and #ff00aa). The
        default is all. May be given several times: each cutout is shown on all of them, side by side.
    --columns NUMBER 0..100: Cutouts per row; 0 is as many as fit.
    --rows-per-page NUMBER 1..200: Rows per page.
    --cell PIXELS 64..4000: Height of each cutout in pixels.
    --whole: Show the whole frame, not only the garment.
""")
def sheet(
    cutouts: Path,
    out: Path = Path("sheet.jpg"),
    ground: list[str] | None = None,
    columns: int = 0,
    rows_per_page: int = 6,
    cell: int = 320,
    whole: bool = False,
    doubt_over: float = 0.1,
    config: Path | None = None,
    set: list[str] | None = None,
    as_json: bool = False,
) -> int:
    """Draw a contact sheet of cutouts and mark the doubtful ones.

    Views of a garment are side by side. Orange frames mark doubtful cutouts, red ones failed cutouts, each with its
    reason; a file that cannot be read is shown with its reason and does not stop the others. If the folder is still
    being cut, the sheet shows the cutouts so far. Exit code 0: all fine, 1: some failed, 2: misuse.

    Example: garmentcut sheet cutouts/ -o sheet.jpg
    """
    from garmentcut.prediction.sheet import ContactSheet, SheetOptions, named_grounds

    options = SheetOptions(
        grounds=named_grounds(ground or ["all"]),
        columns=columns,
        cell_px=cell,
        lines_per_page=rows_per_page,
        trim=not whole,
        doubt_over=doubt_over,
        read=cli.load_settings(config, set).read,
    )
    drawing, drawn = ContactSheet(cutouts, out, options), []
    with cli.progress_bar(len(drawing.cells), "cutouts") as advance:
        for cutout in drawing.draw():
            drawn.append(cutout)
            advance(cutout.name, cutout.reason if cutout.mark == "failed" else "")
    summary = _summary(drawing, drawn)
    review = f"{cli.shown('garmentcut', 'review', cutouts)} to correct the doubtful ones"
    next_step = review if summary["doubtful"] else f"open {cli.shown(drawing.pages[0])}"
    cli.show(summary, lambda: _as_text(summary), as_json=as_json, next_step=next_step)
    return cli.SOME_FAILED if summary["failed"] else cli.OK


def _summary(drawing: "ContactSheet", drawn: "Sequence[Cell]") -> dict[str, Any]:
    """The summary for machines: counts, pages, and each marked cutout."""
    counts = Counter(cutout.mark for cutout in drawn)
    return {
        "cutouts": len(drawn) - counts["failed"] - counts["not finished"],
        "doubtful": counts["doubtful"],
        "failed": counts["failed"],
        "not_finished": counts["not finished"],
        "pages": [str(page) for page in drawing.pages],
        "marked": [
            {"name": cutout.name, "page": str(cutout.page), "mark": cutout.mark, "reason": cutout.reason}
            for cutout in drawn
            if cutout.mark
        ],
    }


def _as_text(summary: dict[str, Any]) -> str:
    """The summary for people: one line, then a line for each marked cutout."""
    pages, marked = summary["pages"], summary["marked"]
    others = {key.replace("_", " "): summary[key] for key in ("failed", "not_finished") if summary[key]}
    shown = counted(summary["cutouts"], "cutout")
    doubtful = f" ({summary['doubtful']} doubtful)" if summary["doubtful"] else ""
    counts = ", ".join([shown + doubtful, *(f"{number} {mark}" for mark, number in others.items())])
    where = f"{len(pages)} pages, {pages[0]} to {pages[-1]}" if len(pages) > 1 else pages[0]
    lines = [f"{counts}: {where}"]
    for cutout in marked[:_MOST_LISTED]:
        place = f" ({Path(cutout['page']).name})" if len(pages) > 1 else ""
        lines.append(": ".join(filter(None, (cutout["mark"], printable(cutout["name"]) + place, cutout["reason"]))))
    if len(marked) > _MOST_LISTED:
        lines.append(f"... and {len(marked) - _MOST_LISTED} more, listed with --json")
    return "\n".join(lines)
