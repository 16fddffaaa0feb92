"""`python -m garmentcut` is `garmentcut`."""

from garmentcut.cli import main

main()
