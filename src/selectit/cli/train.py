"""`selectit train`: a model tuned on a selection."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import cloup

from selectit.cli.options import Parameter, join_selection, options
from selectit.cli.printing import print_json, say
from selectit.cli.progress import duration

if TYPE_CHECKING:
    from selectit.training.train import Trained


@cloup.command("train")
@click.argument("run", metavar="RUN[:NAME]")
@click.option("--selection", metavar="NAME", help="The same as RUN:NAME; all: every row [the only one].")
@click.option("--model", metavar="NAME", help="Base model: packaged name, hub id or folder [smollm2].")
@click.option(
    "--recipe",
    metavar="NAME",
    help="paper, paper-mistral, paper-lora, brief, brief-lora, small, or a TOML file [paper].",
)
@click.option("--recipe-param", type=Parameter(), multiple=True, help="Another value in the recipe; repeatable.")
@click.option("--seed", type=int, metavar="N", help="The recipe's seed [0].")
@click.option("--out", metavar="DIR", help="Folder of the tuned model [RUN/train/<its settings>].")
@click.option("--checkpoint-minutes", type=float, default=5.0, metavar="N", help="Between checkpoints [5].")
@click.option("--keep-checkpoints", type=int, default=0, metavar="N", help="Of an adapter, for --method less [0].")
@options("trust_remote_code", "accept_terms", "json", "quiet")
def command(
    run: str,
    selection: str | None,
    model: str | None,
    recipe: str | None,
    recipe_param: tuple[tuple[str, str], ...],
    seed: int | None,
    out: str | None,
    checkpoint_minutes: float,
    keep_checkpoints: int,
    trust_remote_code: bool | None,
    accept_terms: bool | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Tune a model on the selection NAME of a run, or on its only one, with the loss on the answers alone.

    Typed again after an interruption, the command goes on from the last checkpoint; a finished training is left as it
    is. Needs the extra train.
    """
    from selectit.cli.progress import notes
    from selectit.config.settings import DEFAULT_MODEL
    from selectit.runs.selections import split_selection
    from selectit.training import recipes
    from selectit.training.train import train

    changes = dict(recipe_param) | ({} if seed is None else {"seed": seed})
    chosen = recipes.change(recipes.load(recipe or recipes.DEFAULT), changes)
    path, name = split_selection(join_selection(run, selection))
    with notes(quiet) as progress:
        trained = train(
            path,
            name,
            model or DEFAULT_MODEL,
            chosen,
            out,
            accept_terms=bool(accept_terms),
            trust_remote_code=bool(trust_remote_code),
            checkpoint_seconds=60 * checkpoint_minutes,
            keep_checkpoints=keep_checkpoints,
            progress=progress,
        )
    if as_json:
        print_json(dataclasses.asdict(trained))
    else:
        say("\n".join(_lines(trained)))


def _lines(trained: Trained) -> Iterator[str]:
    how = "equal steps" if trained.by == "steps" else "epochs"
    rate = trained.tokens / max(trained.seconds, 1e-9)
    yield f"tuned on  {trained.rows:,} rows, {trained.steps:,} steps (by {how}), {trained.tokens:,} tokens"
    if trained.truncated or trained.without_loss:
        yield f"          {trained.truncated:,} rows cut, {trained.without_loss:,} left out: no answer within the limit"
    yield f"took      {duration(trained.seconds)}, {rate:,.0f} tokens/s"
    yield f"loss      {trained.loss:.4f} nats a token in the last step"
    yield f"model     {trained.path}" + ("" if trained.fresh else " (it was finished before: nothing was done)")
