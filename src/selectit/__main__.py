"""`python -m selectit`."""

from selectit.cli.main import main

main()
