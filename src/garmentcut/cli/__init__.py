"""The command line: each command parses, calls one function and prints; the only place that prints or exits.

Commands import what they need themselves: `--help` must not wait for torch, decoders, network runtimes, web frameworks.
"""

from garmentcut.cli import cut, data, evaluate, review, train  # noqa: F401 each registers its commands
from garmentcut.cli.shell import app, main

__all__ = ["app", "main"]
