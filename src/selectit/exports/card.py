"""The card of an exported data set: where its rows come from and how they were chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomli_w

from selectit._version import __version__
from selectit.runs.annotators import annotators
from selectit.runs.run import Run, open_run
from selectit.signals.requests import kinds

DATE = "- exported: "
"""How the one line begins that may differ between equal exports."""


_SIZES = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"), (10_000_000, "10M"))


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a card says beside what the run knows."""

    target: str
    selection: str
    """'' = all rows."""
    config: Mapping[str, Any]
    """The selection's settings."""
    chosen: int
    cut: float | None
    rows: int
    """What was written: the chosen rows without those left out."""
    skipped: Sequence[str]
    left_behind: Sequence[str]
    licence: str | None
    best_first: bool
    """Whether the rows are in the order of the choice, not of the source."""
    data_file: str
    date: str


def render_card(run: Run, facts: Provenance) -> str:
    """The text of README.md: metadata as the hub and `datasets` read it, then the provenance."""
    return "\n".join([*_head(facts), *_body(run, facts)]) + "\n"


def _head(facts: Provenance) -> Iterator[str]:
    """YAML. Texts are written as JSON, which YAML reads."""
    yield "---"
    if facts.licence is not None:
        known = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", facts.licence)
        yield f"license: {facts.licence}" if known else "license: other"
        if not known:
            yield f"license_name: {json.dumps(facts.licence, ensure_ascii=False)}"
    yield "task_categories: [text-generation]"
    yield f"size_categories: [{_size(facts.rows)}]"
    yield "tags: [selectit, instruction-tuning]"
    yield "configs:"
    yield "- config_name: default"
    yield "  data_files:"
    yield "  - split: train"
    yield f"    path: {facts.data_file}"
    yield "---"


def _size(rows: int) -> str:
    lower = ""
    for limit, name in _SIZES:
        if rows < limit:
            return f"{lower}<n<{name}" if lower else f"n<{name}"
        lower = name
    return "10M<n<100M" if rows < 100_000_000 else "n>100M"


def _body(run: Run, facts: Provenance) -> Iterator[str]:
    manifest = run.manifest
    identity = manifest["identity"]
    yield f"\n# {facts.rows:,} rows of {manifest['data']}, for {facts.target}\n"
    yield f"- source: {manifest['data']}, {run.rows:,} rows, layout {manifest['layout']}"
    yield f"- its fingerprint: sha256 {identity['sha256']}"
    read = [f"{key} {identity[key]}" for key in ("limit", "map", "turns", "bad_rows") if identity[key] is not None]
    yield f"- read with: {', '.join(read)}"
    yield f"- its licence: {facts.licence or 'as the source has it; not stated here'}"
    yield from _choice(run, facts)
    yield f"- rows here: {facts.rows:,}, " + ("best first" if facts.best_first else "in the order of the source")
    yield from (f"- left out: {line}" for line in facts.skipped)
    if facts.left_behind:
        yield f"- fields of the source that are not here: {', '.join(facts.left_behind)}"
    yield f"- made by: selectit {__version__}"
    yield f"{DATE}{facts.date}"
    if facts.selection:
        yield f"\n## Settings of the choice\n\n```toml\n{tomli_w.dumps(facts.config).strip()}\n```"


def _choice(run: Run, facts: Provenance) -> Iterator[str]:
    if not facts.selection:
        yield "- chosen: all rows"
        return
    config = facts.config
    yield f"- chosen: {facts.chosen:,} rows, the selection {facts.selection}"
    yield f"- method: {config['method']}"
    yield f"- budget: {config['budget']}"
    yield f"- cut: {'none, the method chooses a set' if facts.cut is None else f'scores of {facts.cut:.6g} and above'}"
    every = list(_settings(run, config))
    named = {("ratings", name) for each in every for name in each.get("models", ())}
    named |= {(signal, each[signal]) for each in every for signal in kinds() if signal in each}
    runs = [run, *(open_run(run.path / each["cascade"]["run"]) for each in every if "cascade" in each)]
    used = {
        (signal, annotator.path.name): annotator
        for each in runs
        for signal in kinds()
        for annotator in annotators(each, signal)
    }
    used = {key: annotator for key, annotator in used.items() if key in named}
    yield from _filter_lines(config.get("filters", {}))
    if "cascade" in config:
        yield (
            f"- cascade: {config['cascade']['went_on']:,} of {run.rows:,} rows went on after a first rating, and were "
            "rated fully"
        )
    for (signal, _), annotator in used.items():
        engine = annotator.manifest["settings"]["engine"]
        yield f"- model: {annotator.name} ({signal}), engine {engine}, digest {annotator.manifest['digest']}"
    if not used:
        yield "- model: none"
    for fingerprint in sorted({each["prompts"] for each in every if "prompts" in each}):
        yield f"- prompts: fingerprint {fingerprint}"


def _filter_lines(config: Mapping[str, Any]) -> Iterator[str]:
    """What was left out before the choice, what groups gave, and what chose among the best."""
    if "decontaminate" in config:
        yield f"- left out: what shares a question with {', '.join(config['decontaminate'])}"
    if "dedup" in config:
        limit = f", threshold {config['dedup_threshold']:g}" if "dedup_threshold" in config else ""
        yield f"- left out: duplicates ({config['dedup']}{limit})"
    if "by" in config:
        shares = config["shares"] if isinstance(config["shares"], str) else "given"
        yield f"- groups: by {config['by']}, shares {shares}"
    if "diversity" in config:
        yield f"- diversity: {config['diversity']['method']} among the best ({config['pool']})"


def _settings(run: Run, config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The settings, those of the methods that were combined, and those of the scores that a method read."""
    yield config
    yield config.get("filters", {}).get("encoder", {})
    if "diversity" in config.get("filters", {}):
        yield from _settings(run, config["filters"]["diversity"])
    if "cascade" in config:
        yield config["cascade"]["first"]
    for part in config.get("parts", ()):
        yield from _settings(run, part)
    for name in config.get("scores", {}).values():
        yield from _settings(run, run.read_toml(run.path / "scores" / f"{name}.toml"))
