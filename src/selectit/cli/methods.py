"""`selectit methods`: what there is to select with."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import cloup

from selectit.cli.options import options
from selectit.cli.printing import print_json, say
from selectit.config.options import flag

if TYPE_CHECKING:
    from selectit.methods._about import About


@cloup.command("methods")
@click.argument("name", required=False)
@options("json")
def command(name: str | None, as_json: bool) -> None:
    """List the methods by name; with NAME say what that one does, needs and costs, and its parameters."""
    if name is not None:
        from selectit.methods._about import describe

        about = describe(name)
        if as_json:
            print_json(dataclasses.asdict(about))
        else:
            say("\n\n".join(_blocks(about)))
        return
    from selectit.methods import list_methods

    listed = list_methods()
    if as_json:
        print_json(listed)
    else:
        width = max(map(len, listed))
        say("\n".join(f"{name:{width}}  {what}" for name, what in listed.items()))


def _blocks(about: About) -> Iterator[str]:
    from selectit.selection.spec import list_flags

    yield from (_wrap(paragraph) for paragraph in about.description)
    if about.sections:
        yield "\n".join(_wrap(f"{section + ':':<11}{text}", 11) for section, text in about.sections.items())
    if about.parameters:
        yield "Parameters [defaults]:"
    own = list_flags(about.name)
    for each in about.parameters:
        typed = flag(each.name) if each.name in own else f"--param {each.name}="
        yield f"{typed} [{each.default}]\n{_wrap(f'    {each.about}', 4)}".rstrip()


def _wrap(text: str, indent: int = 0) -> str:
    width = min(shutil.get_terminal_size().columns, 120)
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
