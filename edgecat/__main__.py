"""`python -m edgecat` is `edgecat`."""

from edgecat.cli import main

main()
