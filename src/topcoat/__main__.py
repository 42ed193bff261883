"""`python -m topcoat`."""

from topcoat.cli.main import main

main()
