"""A probe as text: a table for each method, model and prompt set, one verdict each, and what to try."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selectit.numerics.statistics import Estimate
from selectit.probing.defects import MEANINGS
from selectit.probing.measure import DETECTS, JUDGES, Probed
from selectit.probing.pairs import CHOSEN, PairStats
from selectit.probing.probe import Probe
from selectit.probing.rows import BAD, GOOD, LEAST_PAIRS
from selectit.probing.verdicts import DETECTED
from selectit.selection.summary import SMALL_MASS
from selectit.text_tables import table_lines


def probe_lines(probe: Probe) -> Iterator[str]:
    """The probe, line by line."""
    yield _what(probe)
    for result in probe.results:
        yield ""
        yield from result_lines(result)
    if len(probe.results) > 1:
        yield ""
        yield from _overview(probe.results)
    yield ""
    yield from _advice(probe)


def result_lines(result: Probed) -> Iterator[str]:
    """One method with one model and prompt set."""
    yield f"{name_result(result)}: {result.verdict}"
    figures = [f"spread of the scores {result.spread:.3g}"]
    if result.mass is not None:
        figures.append(f"mean mass on the labels {result.mass:.3f}")
    if result.agreement is not None:
        figures.append(f"rank correlation between prompts {result.agreement:+z.2f}")
    if result.length_correlation is not None:
        figures.append(f"with length {result.length_correlation:+z.2f}")
    if result.seconds_per_row is not None:
        figures.append(f"{result.seconds_per_row:.2g} s a row")
    if result.unscored:
        figures.append(f"{result.unscored:,} rows without a score, taken as the lowest")
    yield "  " + "; ".join(figures)
    if result.auroc is not None and result.p is not None:
        yield f"  AUROC {_interval(result.auroc)}, p {result.p:.2g}"
    if result.pairs is not None and result.over_length is not None:
        yield f"  {_pair_figures(result.pairs)}; against length {result.over_length.text(2)}"
    if result.kinds:
        rows = [
            (
                "  " + each.kind,
                f"{each.pairs:,}",
                _interval(each.auroc),
                _interval(each.wins),
                f"{each.p:.2g}",
                each.verdict + (" (no score)" if each.missing > 0.5 else ""),
            )
            for each in result.kinds
        ]
        yield from table_lines(("  defect", "pairs", "AUROC (95 %)", "pairs won (95 %)", "p", "verdict"), rows)


def name_result(result: Probed) -> str:
    """The method with its model and prompts, and what is not the default."""
    asked = f" by {result.model}" if result.model else ""
    prompts = f", prompts {result.prompts}" if result.prompts else ""
    return f"{result.method}{asked}{prompts}" + (f" ({result.differs})" if result.differs else "")


def _pair_figures(stats: PairStats) -> str:
    """Pairs won, the test, and what of them are ties or have no score."""
    text = f"pairs won {_interval(stats.wins)}, p {stats.p:.2g}; ties {stats.ties:,}"
    return text + (f"; pairs with an answer without a score {stats.missing:,}" if stats.missing else "")


def _what(probe: Probe) -> str:
    if probe.length is not None:
        return _pairs_line(probe, probe.length)
    if probe.labelled:
        return (
            f"{probe.counts.get(GOOD, 0):,} rows of {probe.data} with {probe.labelled}, and "
            f"{probe.counts.get(BAD, 0):,} without (seed {probe.seed})"
        )
    missing = [f"{kind} ({MEANINGS[kind]})" for kind, count in probe.counts.items() if not count]
    partly = [f"{kind} {probe.rows - count:,}" for kind, count in probe.counts.items() if 0 < count < probe.rows]
    text = f"{probe.rows:,} rows of {probe.data} and their planted defects (seed {probe.seed})"
    if missing:
        text += f"\nnot planted, since they fit fewer than {LEAST_PAIRS} of the rows: {'; '.join(missing)}"
    if partly:
        text += f"\nrows in which a kind does not fit: {', '.join(partly)}"
    return text


def _pairs_line(probe: Probe, length: PairStats) -> str:
    pairs = probe.counts[CHOSEN]
    text = f"{pairs:,} preference pairs of {probe.data}, {length.instructions:,} instructions (seed {probe.seed})"
    if probe.left_out:
        text += "\nleft out: " + "; ".join(f"{count:,} pairs: {reason}" for reason, count in probe.left_out.items())
    return f"{text}\nby chance: pairs won 0.50\nby length in words: {_pair_figures(length)}"


def _overview(results: Sequence[Probed]) -> Iterator[str]:
    labelled = results[0].auroc is not None
    planted = bool(results[0].kinds)
    rows = []
    for result in results:
        figure = result.pairs.wins if result.pairs is not None else result.auroc or result.wins
        detected = f"{sum(each.verdict == DETECTED for each in result.kinds)} of {len(result.kinds)}" if planted else ""
        verdict = result.verdict.partition(":")[0]
        rows.append((name_result(result), "-" if figure is None else _interval(figure), detected, verdict))
    figure_name = "AUROC (95 %)" if labelled else "pairs won (95 %)"
    yield from table_lines(("all", figure_name, "kinds detected" if planted else "", "verdict"), rows)


def _advice(probe: Probe) -> Iterator[str]:
    fine = [result for result in probe.results if result.verdict in (DETECTS, JUDGES)]
    if fine and not probe.labelled and probe.length is None:
        yield (
            "Catching planted defects is not yet knowing quality: --labelled compares with your own labels, --pairs "
            "with answers that were preferred to others."
        )
    if fine:
        return
    if any(result.mass is not None and result.mass < SMALL_MASS for result in probe.results):
        yield "Little mass on the labels: the model is not answering the question. Try --chat, or other --prompts."
    yield (
        "What to try: a larger instruction-tuned model (--model), --chat, --prompts yes-no or aspects, and "
        "--methods expected-rating,calibrated,ifd"
    )


def _interval(figure: Estimate) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f}-{figure.high:.2f})"
