"""`selectit show`: what a run knows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import cloup

from selectit.cli.options import join_selection, options
from selectit.cli.printing import print_json, say
from selectit.text_tables import write_count


@cloup.command("show")
@click.argument("run", metavar="[RUN[:NAME]]", required=False)
@click.option("--row", type=int, metavar="N", help="Everything known of row N (from 0).")
@options("selection", "json")
def command(run: str | None, row: int | None, selection: str | None, as_json: bool) -> None:
    """Show the run directory RUN, or one of its rows with its ratings and scores; without RUN list the runs here.

    With :NAME of its selections only that one.
    """
    from selectit.runs.selections import split_selection
    from selectit.selection.describe import list_runs, show

    if run is None:
        if row is not None or selection is not None:
            raise click.UsageError(f"--{'selection' if row is None else 'row'} is of a run: name its directory.")
        runs = list_runs()
        if as_json:
            print_json(runs)
        else:
            say("\n".join(map(_overview_line, runs)))
        return
    path, name = split_selection(join_selection(run, selection))
    known = show(path, row)
    if name is not None:
        known["selections"] = {name: _selection(known, path, name)}
    if as_json:
        print_json(known)
    else:
        say("\n".join(_run_lines(known) if row is None else _row_lines(known)))


def _selection(known: dict[str, Any], path: Path, name: str) -> Any:
    """What is known of one of the selections. Raises RunError."""
    from selectit.errors import RunError, nearest

    if name not in known["selections"]:
        names = list(known["selections"])
        raise RunError(f"{path} has no selection {name!r}", nearest(name, names) if names else "It has none.")
    return known["selections"][name]


def _overview_line(known: dict[str, Any]) -> str:
    if "error" in known:
        return f"{known['run']}: {known['error']}"
    chosen = f"; {', '.join(known['selections'])}" if known["selections"] else ""
    return f"{known['run']}: {write_count(known['rows'], 'row')} of {known['data']}, {_source_line(known)}{chosen}"


def _source_line(known: dict[str, Any]) -> str:
    """How the data was read, in flags."""
    from selectit.config.options import flag

    return ", ".join(f"{flag(key)} {value}" for key, value in known["source"].items())


def _run_lines(known: dict[str, Any]) -> Iterator[str]:
    from selectit.runs.manifest import reading_lines
    from selectit.selection.describe import probe_lines
    from selectit.selection.summary import from_plain, left_out_lines, summary_lines

    if known["note"]:
        yield f"note: {known['note']}"
    yield f"{known['run']}: {write_count(known['rows'], 'row')} of {known['data']}"
    yield _source_line(known)
    yield from reading_lines(known["reading"])
    yield from left_out_lines(**known["left_out"])
    for annotator in known["raters"]:
        details = ", ".join(f"{key} {value}" for key, value in annotator["settings"].items())
        yield f"rated by {annotator['model']}: {annotator['parameters']:,} parameters, {details}"
        for prompt, units in annotator["prompts"].items():
            yield f"  {units}: {prompt}"
    for model in known["signals"]:
        details = ", ".join(f"{key} {value}" for key, value in model["settings"].items())
        yield f"{model['signal']} by {model['model']}: {model['parameters']:,} parameters, {details}"
        for request in model["works"]:
            about = ", ".join(f"{key} {_short(value)}" for key, value in request["about"].items())
            yield f"  {request['units']}" + (f": {about}" if about else "")
    for name in known["scores"]:
        yield f"scores {name}"
    said = {"note": "", "left_out_rows": 0, "left_out": [], "reading": None}  # once, above
    for name, plain in known["selections"].items():
        yield f"selection {name}"
        for line in summary_lines(from_plain({**plain, **said}), known["timing"]):
            yield f"  {line}"
        yield from _histogram(known["run"], name)
    yield from probe_lines(known["probes"])
    yield from (f"{folder}: no results yet" for folder in known["unfinished_probes"])


def _histogram(run: str, name: str) -> Iterator[str]:
    """The scores of a selection, as wide as the terminal; nothing of a chosen set, which has none.

    Of a selection that is no longer whole, what is wrong with it: the rest of the run is shown all the same.
    """
    from selectit.pages.analyses import build_histogram
    from selectit.pages.terminal import LINES, histogram_lines
    from selectit.runs.run import open_run
    from selectit.runs.stored import load_selection
    from selectit.runs.sums import DamagedError

    try:
        of = load_selection(open_run(run), name)
    except DamagedError as error:
        yield from (f"  {line}" for line in str(error).splitlines())
        return
    if of.scores:
        width = shutil.get_terminal_size().columns - 2
        yield from (f"  {line}" for line in histogram_lines(build_histogram(of.score, of.rows, LINES), width))


def _row_lines(known: dict[str, Any]) -> list[str]:
    lines = [f"row {known['row']}"]
    words = {"unrated": "assistant, not to be learned and not rated"}
    lines += [f"{words.get(turn['role'], turn['role'])}: {turn['text']}" for turn in known["turns"]]
    if known["left_out"]:
        lines.append(f"left out, since it is not text: {', '.join(known['left_out'])}")
    for rating in known["ratings"]:
        chances = "  ".join(f"{label} {value:.3f}" for label, value in rating["probabilities"].items())
        notes = "".join(f"  ({note})" for note in rating["flags"])
        lines.append(f"{rating['model']}, {rating['prompt']!r}")
        lines.append(
            f"  error: {rating['error']}" if rating["error"] else f"  {chances}  mass {rating['mass']:.3f}{notes}"
        )
    lines += [_answer_line(answer) for answer in known["signals"]]
    lines += [f"no answers yet: {part}" for part in known["missing"]]
    for name, parts in known["scores"].items():
        figures = [f"{key} {value:.4g}" for key, value in parts.items() if value is not None]
        if parts["score"] is None:
            figures.insert(0, "no score")
        lines.append(f"{name}: {', '.join(figures)}")
    lines += [f"selection {name}: {why}" for name, why in known["selections"].items()]
    return lines


def _answer_line(answer: dict[str, Any]) -> str:
    """What a model answered beside ratings."""
    from selectit.signals.requests import kinds

    said = f"error: {answer['error']}" if answer["error"] else kinds()[answer["signal"]].tell(answer)
    return f"{answer['model']}, {answer['signal']}: {said}"


def _short(value: object) -> str:
    """A setting on a line: the beginning of a long text."""
    return repr(value[:37] + "..." if isinstance(value, str) and len(value) > 40 else value)
