"""`selectit methods`: what there is to select with."""

from __future__ import annotations

import cloup

from selectit.cli.options import options
from selectit.cli.printing import print_json, say


@cloup.command("methods")
@options("json")
def command(as_json: bool) -> None:
    """List the methods by name."""
    from selectit.methods import list_methods

    listed = list_methods()
    if as_json:
        print_json(listed)
    else:
        width = max(map(len, listed))
        say("\n".join(f"{name:{width}}  {what}" for name, what in listed.items()))
