"""Runs `garmentcut` for `python -m garmentcut`."""

from garmentcut.cli import main

main()
