"""`python -m selectit`."""

from __future__ import annotations

from selectit.cli.main import main

main()
