"""`garmentcut review`: the review page of a batch, in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from garmentcut.cli.app import MISUSE, OK, app, fail

_LEAST_TOKEN_CHARS = 12


@app.command()
def review(
    cutouts: Annotated[Path, typer.Argument(help="Folder that `garmentcut cut` writes, or has written.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than this machine's own, a token is demanded.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 8321,
    database: Annotated[
        str | None, typer.Option(help="postgresql://user:password@host/name; without it, CUTOUTS/review.sqlite.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="What readers must bring; without it, one is drawn where it is needed.")
    ] = None,
    open: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    model: Annotated[
        Path | None, typer.Option(help="Model file; without it, the one that the batch was cut with.")
    ] = None,
    set: Annotated[list[str] | None, typer.Option(help="One setting, for example runtime.threads=2.")] = None,
) -> None:
    """Clear the doubtful photos of a batch in the browser: look, correct, accept.

    Every action is stored at once; corrected cutouts take the place of the first ones in CUTOUTS, which `garmentcut
    cut` may still be writing. `garmentcut ingest --from-review CUTOUTS` makes training pairs of the corrections. Ctrl-C
    ends it; nothing is lost. Exit code 0: ended, 2: misuse.

    Example: garmentcut review cutouts/
    """
    # Imported here: `--help` must not wait for a web framework.
    try:
        from garmentcut.review.app import ServerError, bind, serve
        from garmentcut.review.service import Settings
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed; run: pip install 'garmentcut[web]'", MISUSE)
    from garmentcut.config import ConfigError, load_config, parse_override
    from garmentcut.prediction.batch import BatchError
    from garmentcut.review.database import DatabaseError

    if token is not None and len(token) < _LEAST_TOKEN_CHARS:
        fail(f"--token: at least {_LEAST_TOKEN_CHARS} characters, or it is guessed", MISUSE)
    try:
        runtime = load_config(None, dict(map(parse_override, set or []))).runtime
        settings = Settings(cutouts, database, model, runtime)
        with bind(host, port) as listening:
            serve(settings, listening, token=token, say=typer.echo, open_browser=open)
    except (BatchError, ConfigError, DatabaseError, ServerError) as error:
        fail(str(error), MISUSE)
    except OSError as error:
        fail(f"{error.filename or cutouts}: {error.strerror or error}", MISUSE)
    except KeyboardInterrupt:  # handed on once the server has ended
        pass
    raise typer.Exit(OK)
