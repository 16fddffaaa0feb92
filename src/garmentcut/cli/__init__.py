"""The command line: each command parses, calls one function and prints. No other package prints or exits.

Commands import what they need inside their functions, so that `--help` does not wait for torch, decoders or servers.
"""

from garmentcut.cli import cut, data, evaluate, review, train  # noqa: F401 - each registers its commands
from garmentcut.cli.shell import app, main

__all__ = ["app", "main"]
