"""What an experiment found, in sentences: the best choice of each model, and beside what. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selectit.experiments.outcomes import Line, Outcome, group_by_line
from selectit.experiments.report.tables import Column, compare_lines, headline


def verdict_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A sentence or two for each model that was tuned."""
    column = headline(outcomes)
    for model in dict.fromkeys(each.line[0] for each in outcomes):
        own = [each for each in outcomes if each.line[0] == model]
        best = _find_best(own, column)
        if best is not None:
            yield f"{model}: {_name(best)} has the best {column.title}, {_compare(own, best, column)}."
            yield from _doubt(own, best)


def _find_best(outcomes: Sequence[Outcome], column: Column) -> Line | None:
    """The line of a tuned model with the best mean; None without any."""
    known = {line: column.level(some) for line, some in group_by_line(outcomes).items() if some[0].method}
    sign = 1 if column.lower else -1
    means = {line: sign * level.mean for line, level in known.items() if level is not None}
    return min(means, key=lambda line: means[line]) if means else None


def _name(line: Line) -> str:
    return " ".join(filter(None, line[1:]))


def _compare(outcomes: Sequence[Outcome], best: Line, column: Column) -> str:
    """The best level, and those of what it is held against."""
    grouped = group_by_line(outcomes)
    rows = grouped[best][0].rows
    held = {
        "random rows of the same number": [
            line for line, some in grouped.items() if some[0].method == "random" and some[0].rows == rows
        ],
        "all rows": [line for line, some in grouped.items() if some[0].method == "full" and not some[0].data],
        "the model before tuning": [line for line, some in grouped.items() if not some[0].method],
    }
    others = [f"{name} {column.text(grouped[lines[0]])}" for name, lines in held.items() if lines and best not in lines]
    return "; ".join([column.text(grouped[best]), *others])


def _doubt(outcomes: Sequence[Outcome], best: Line) -> Iterator[str]:
    """On how many benchmarks it is surely better than random rows, and that it is the best of several."""
    held = [each for each in outcomes if each.line == best or each.method == "random"]
    found = compare_lines(held, "random").get(best, {})
    lower = {name: score.lower for each in held for name, score in each.scores.items()}
    if found:
        sure = sum(each.high < 0 if lower[name] else each.low > 0 for name, each in found.items())
        yield (
            f"It is surely better than random rows of the same number on {sure} of {len(found)} "
            f"benchmark{'s' if len(found) > 1 else ''}: there the 95 % interval of the difference leaves out 0."
        )
    tuned = {each.line for each in outcomes if each.method}
    if len(tuned) > 1:
        yield f"It is the best of {len(tuned)} by these very figures, and so looks better than it is."
