"""The Typer application, and what every command does alike: exit codes and the last words of a failure."""

from typing import Annotated, NoReturn

import typer

from garmentcut import __version__

app = typer.Typer(
    name="garmentcut",
    help="Cut garments out of studio photos of dressed mannequins.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

OK, SOME_FAILED, MISUSE, INTERRUPTED = 0, 1, 2, 130


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit(OK)
    if context.invoked_subcommand is None:
        raise typer.Exit(MISUSE)


def fail(message: str, code: int) -> NoReturn:
    """Say why on stderr and leave with the code."""
    typer.echo(f"garmentcut: {message}", err=True)
    raise typer.Exit(code)
