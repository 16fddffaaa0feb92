"""The command line: each command parses, calls one function and prints; the only place that prints or exits."""

from garmentcut.cli import cut, data, evaluate, review, train  # noqa: F401 each registers its commands
from garmentcut.cli.shell import app, main

__all__ = ["app", "main"]
