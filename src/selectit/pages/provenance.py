"""Where a page's numbers come from, so that they can be had again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import tomli_w

from selectit._version import __version__
from selectit.jsonable import plain
from selectit.pages.choice import StoredChoice
from selectit.pages.command import known_options, write_command
from selectit.pages.markup import details, escape, paragraphs
from selectit.pages.ratings import PageRatings
from selectit.runs.annotators import annotators
from selectit.runs.run import Run
from selectit.signals.requests import kinds


def write_provenance(run: Run, choice: StoredChoice, ratings: PageRatings | None) -> str:
    """The section's inner HTML."""
    parts = [paragraphs(_lines(run, choice))]
    options = known_options(choice.summary)
    if options is not None:
        command = escape(write_command(run, options))
        parts.append(f"<h3>The command that chooses these rows again</h3><pre>{command}</pre>")
    parts.append(details("Configuration", f"<pre>{escape(tomli_w.dumps(choice.config).strip())}</pre>"))
    if ratings is not None:
        prompts = "\n\n".join(f"{number}. {each.text}" for number, each in enumerate(ratings.prompts, start=1))
        parts.append(details(f"The {len(ratings.prompts)} rating prompts", f"<pre>{escape(prompts)}</pre>"))
        parts.append(details("Their template", f"<pre>{escape(ratings.prompts[0].template)}</pre>"))
    reading = json.dumps(plain(run.manifest["identity"]), indent=2, ensure_ascii=False)
    parts.append(details("How the data was read", f"<pre>{escape(reading)}</pre>"))
    return "\n".join(parts)


def _lines(run: Run, choice: StoredChoice) -> Iterator[str]:
    manifest = run.manifest
    sha256 = manifest["identity"]["sha256"]
    yield f"Data: {manifest['data']}, {run.rows:,} rows, layout {manifest['layout']}, sha256 {sha256}."
    yield f"Run: {run.path}, selection {choice.name}" + (f", scores {choice.scores}." if choice.scores else ".")
    for signal in kinds():
        for each in annotators(run, signal):
            settings = ", ".join(f"{key} {value}" for key, value in each.manifest["settings"].items())
            yield f"{signal.capitalize()}: {each.name}, digest {each.manifest['digest']}; {settings}."
    yield f"Page written by selectit {__version__}."
