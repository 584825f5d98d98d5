"""`python -m ulmfit` is the `ulmfit` command."""

from ulmfit.cli import main

main()
