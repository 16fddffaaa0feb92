"""The command line: each command parses, calls one function and prints; the only place that prints or exits."""

import io
import sys

from garmentcut.cli import (  # noqa: F401 each registers its command
    audit,
    calibrate,
    card,
    cut,
    evaluate,
    export,
    ingest,
    review,
    sheet,
    studio,
    study,
    train,
)
from garmentcut.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the `garmentcut` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold what the terminal cannot show
    app()
