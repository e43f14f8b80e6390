"""The model card of a tuned model: which rows it was tuned on, how they were chosen, and with what recipe."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from selectit._version import __version__
from selectit.models.packaged import PACKAGED
from selectit.text_tables import write_count


def render_card(facts: Mapping[str, Any], chosen_by: str | None) -> str:
    """The README.md of the tuned model's folder.

    Args:
        facts: what `training.json` holds.
        chosen_by: the selection's config.toml as text; None where every row or a list of rows was used.
    """
    base, rows, recipe = facts["base"]["name"], facts["rows"], dict(facts["recipe"])
    about = {
        "base model": f"{base} (digest {facts['base']['digest'][:16]})",
        "rows": f"{rows['used']:,} of the {rows['source']:,} of {facts['data']}",
        "chosen": _describe_choice(facts),
        "cut to the token limit": f"{rows['truncated']:,} rows",
        "left out": f"{rows['without_loss']:,} rows, whose answer lies beyond the token limit",
        "training": f"{facts['steps']:,} steps, by {facts['by']}: {describe_passes(facts)}",
        "tokens": f"{facts['tokens']:,} read, {facts['loss_tokens']:,} of them with a loss",
        "loss": f"{facts['log'][0]['loss']:.4f} at the first step, {facts['log'][-1]['loss']:.4f} at the last",
        "precision": facts["dtype"],
        "date": facts["date"],
        "made with": f"selectit {__version__}",
    }
    return "\n".join(
        [
            *_front_matter(base),
            f"# {Path(base).name} tuned on {rows['used']:,} rows of {facts['data']}",
            "",
            *(f"- {name}: {text}" for name, text in about.items()),
            "",
            "## Recipe",
            "",
            *_fence(tomli_w.dumps(recipe)),
            *(["", "## How the rows were chosen", "", *_fence(chosen_by)] if chosen_by else []),
            "",
            "## Licence",
            "",
            _licence(base),
            "",
        ]
    )


def describe_passes(facts: Mapping[str, Any]) -> str:
    """How often the rows are read: '3 passes over the rows'; of less than one pass how many of them are."""
    epochs, rows = facts["epochs"], facts["rows"]["used"]
    part = f", so that {round(epochs * rows):,} of them are read" if epochs < 1 else ""
    return f"{epochs:.4g} {'pass' if epochs == 1 else 'passes'} over the rows{part}"


def list_notes(facts: Mapping[str, Any]) -> list[str]:
    """What is said before the training begins."""
    rows, limit = facts["rows"], facts["max_tokens"]
    how = "the same number for every subset" if facts["by"] == "steps" else "a smaller subset makes fewer"
    lines = [
        f"{rows['used']:,} rows, {facts['steps']:,} steps by {facts['by']} ({how}): {describe_passes(facts)}, "
        f"{facts['tokens']:,} tokens, {facts['dtype']}"
    ]
    if rows["truncated"]:
        lines.append(f"{write_count(rows['truncated'], 'row is', 'rows are')} cut to {limit:,} tokens")
    if rows["without_loss"]:
        left_out = write_count(rows["without_loss"], "row is", "rows are")
        lines.append(f"{left_out} left out: no answer lies within {limit:,} tokens")
    return lines


def today() -> str:
    """The date in UTC, as 2026-01-31."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _front_matter(base: str) -> list[str]:
    """What the hub reads."""
    original = PACKAGED[base].original if base in PACKAGED else base
    return ["---", "library_name: transformers", f"base_model: {original}", "tags: [selectit, sft]", "---", ""]


def _describe_choice(facts: Mapping[str, Any]) -> str:
    source = f"source {facts['source'][:16]}"
    if facts["selection"] == "all":
        return f"no: every row ({source})"
    if facts["selection"] is None:
        return f"by a list of row numbers ({source})"
    return f"by the selection {facts['selection']} of {facts['run']} ({source})"


def _fence(toml: str) -> list[str]:
    return ["```toml", *toml.strip().splitlines(), "```"]


def _licence(base: str) -> str:
    known = f"{base} comes under {PACKAGED[base].licence}. " if base in PACKAGED else ""
    return (
        f"{known}The terms of the base model and those of the data both apply to this model; selectit does not know "
        "the data's. Data of the Alpaca family, for example, is CC BY-NC 4.0 by origin."
    )
