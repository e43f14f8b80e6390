"""`selectit expand`: new rows made of a data set's rows, by a generator."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import cloup

from selectit.cli.options import COMMON, data_argument, options, refuse_mixed, split_names, to_settings
from selectit.cli.printing import print_json, say
from selectit.config.groups import PlaceOptions, SourceOptions
from selectit.data.memory import Data
from selectit.text_tables import write_count

if TYPE_CHECKING:
    from selectit.expansion.expand import Expanded


_NAMED = 10


@cloup.command("expand")
@data_argument
@cloup.option_group(
    "The new rows",
    cloup.option(
        "--model", multiple=True, metavar="NAME", help="Writes: a packaged name, hub id, folder, or served name."
    ),
    cloup.option("--out", metavar="FILE", help="The data with the new rows [<name>.expanded.<ext> in this folder]."),
    cloup.option(
        "--styles",
        default="depth,breadth,reasoning",
        metavar="A,B,…",
        help="Kinds of new rows [depth,breadth,reasoning].",
    ),
    cloup.option("--sample", type=int, metavar="N", help="Rows to rewrite, drawn [all]."),
    cloup.option("--sample-seed", type=int, default=0, metavar="N", help="Of the drawing [0]."),
    cloup.option(
        "--max-new-tokens", type=int, default=512, metavar="N", help="Of an instruction, or a response [512]."
    ),
    cloup.option(
        "--unit-size", type=int, metavar="N", help="Rows in one unit; what is finished is kept by units [32]."
    ),
)
@options(
    PlaceOptions, SourceOptions, "bad_rows", "max_tokens", "engine", "dtype", "base_url", "concurrency", "device_map",
    "trust_remote_code", "accept_terms", "force", *COMMON,
)  # fmt: skip
def command(
    data: Data | None,
    styles: str,
    sample: int | None,
    sample_seed: int,
    max_new_tokens: int,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Have a model rewrite the rows of DATA and answer what it wrote, and add these rows to the data.

    Each row gets a new one a style: depth (more demanding), breadth (another subject of the same field), reasoning
    (worked out in several steps). That takes two generated texts a new row. Choose from the result:
    selectit select FILE --method lift.
    """
    chosen = to_settings(given)
    if as_json:
        refuse_mixed(data, chosen)
    from selectit.cli.progress import notes
    from selectit.expansion.expand import expand

    names = split_names(styles)
    with notes(quiet) as progress:
        done = expand(data, chosen, names, sample, sample_seed, max_new_tokens, progress)
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        say("\n".join(_lines(done)), err=str(done.out) == "-")  # the rows have standard output


def _lines(done: Expanded) -> list[str]:
    of_style = ", ".join(f"{count:,} {style}" for style, count in done.added.items())
    lines = [f"added     {sum(done.added.values()):,} to {done.rows:,} rows ({of_style})"]
    why: dict[str, list[int]] = defaultdict(list)
    for each in done.not_made:
        why[f"{each.style}, {each.step}: {each.why}"].append(each.row)
    if why:
        lines.append(f"not made  {len(done.not_made):,} of {done.rewritten * len(done.added):,}")
        lines += [f"          {reason}: {_rows(rows)}" for reason, rows in why.items()]
    lines += [f"not asked {write_count(count, 'row')}: {reason}" for reason, count in done.left_alone.items()]
    lines.append(f"generator {done.seconds:,.0f} s")
    return [*lines, f"run       {done.run}", f"expanded  {done.out}"]


def _rows(rows: list[int]) -> str:
    more = f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:_NAMED]))}{more}"
