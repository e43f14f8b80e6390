"""The verdict of a page: what was kept of what, by whom and why, what it cost, and what speaks against it, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from selectit.engines import loading
from selectit.pages.analyses import list_costs
from selectit.pages.choice import StoredChoice
from selectit.pages.markup import details, escape, facts, paragraphs
from selectit.runs.annotators import annotators
from selectit.runs.manifest import reading_lines
from selectit.runs.run import Run
from selectit.selection.cascade_report import read_timing
from selectit.selection.describe import probe_lines, read_probes
from selectit.selection.summary import Summary, summary_lines, target_lines
from selectit.signals.requests import kinds


def write_verdict(run: Run, choice: StoredChoice) -> str:
    """The section's inner HTML."""
    summary, timing = choice.summary, read_timing(run)
    lines = "\n".join(summary_lines(summary, timing))
    return "\n".join(
        [
            f'<p class="lead">{escape(_lead(run, choice))}</p>',
            paragraphs(_warnings(run, choice), "warning"),
            facts(_facts(run, choice, timing)),
            paragraphs(
                line[0].upper() + line[1:] + "."
                for line in (*target_lines(summary), *reading_lines(run.manifest.get("reading")))
            ),
            paragraphs(_probe(run) if _asks(summary) else ()),
            details("The summary in full", f"<pre>{escape(lines)}</pre>"),
        ]
    )


def _lead(run: Run, choice: StoredChoice) -> str:
    summary, filters = choice.summary, choice.summary.filters
    method = "several methods together" if choice.config["method"] == "combine" else str(choice.config["method"])
    kept = f"{summary.kept:,} of {summary.rows:,} rows of {run.manifest['data']} were kept"
    share = f"{kept}, {summary.kept / summary.rows:.1%}"
    if choice.is_cut and summary.cut is not None:
        return f"{share}: those that score {summary.cut:.4g} or more by {method}. Higher is better."
    if filters is not None and filters.diversity:
        return f"{share}: rows unlike each other among the best {filters.pool:,} by {method}."
    if filters is not None and filters.by:
        return f"{share}: the best by {method} of each group, by {filters.by}."
    return f"{share}: a set that {method} chose. It gives no row a score."


def _warnings(run: Run, choice: StoredChoice) -> Iterator[str]:
    made_up = sorted(filter(_is_made_up, _engines(run))) if _asks(choice.summary) else []
    if made_up:
        names = ", ".join(made_up)
        yield f"The numbers are made up by the engine {names}: it tries the program out and judges nothing."
    elif choice.summary.note:
        yield choice.summary.note
    yield from choice.summary.warnings


def _asks(summary: Summary) -> bool:
    """Whether a model answered for it: the run may have answers for other selections alone."""
    return bool(summary.raters or summary.others)


def _engines(run: Run) -> set[str]:
    return {str(each.manifest["settings"]["engine"]) for signal in kinds() for each in annotators(run, signal)}


def _is_made_up(engine: str) -> bool:
    return engine in loading.names() and loading.find(engine).made_up


def _facts(run: Run, choice: StoredChoice, timing: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str, str]]:
    summary, skipped = choice.summary, run.manifest["skipped_rows"]
    yield "rows", f"{summary.rows:,}", f"{skipped:,} more could not be read" if skipped else ""
    yield "kept", f"{summary.kept:,}", f"{summary.kept / summary.rows:.1%}"
    if summary.cut is not None:
        yield "lowest score kept", f"{summary.cut:.4g}", f"the highest is {summary.highest:.4g}"
    yield "method", str(choice.config["method"]), choice.scores.removeprefix(f"{choice.config['method']}-")
    models = [*(each.model for each in summary.raters), *(each.model for each in summary.others)]
    for name in dict.fromkeys(models):
        asked = [f"{each.passes_per_row} ratings a row" for each in summary.raters if each.model == name]
        asked += [each.signal for each in summary.others if each.model == name]
        yield "model", name, ", ".join(asked)
    costs = list_costs(timing) if _asks(summary) else ()
    if costs:
        seconds, answers = sum(each.seconds for each in costs), sum(each.answers for each in costs)
        yield "asking models took", _duration(seconds), f"{answers:,} answers in the whole run"
    if summary.unscored_rows:
        yield "without a score", f"{summary.unscored_rows:,}", "they can not be chosen"
    if summary.length_correlation is not None:
        yield "score and length", f"{summary.length_correlation:+z.2f}", "rank correlation with the words of the answer"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _probe(run: Run) -> Iterator[str]:
    lines = list(probe_lines(read_probes(run)))
    if not lines and annotators(run):
        yield (
            "Whether this model can tell good rows of this data from bad ones was not measured: "
            f"selectit probe --run {run.path} does."
        )
    yield from (line.strip() for line in lines)
