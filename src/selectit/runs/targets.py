"""The examples of a target as a data set inside a run, so that they are asked about, stored and resumed like any."""

from __future__ import annotations

import json
from collections.abc import Sequence

from selectit.data.examples import Example
from selectit.jsonable import digest_of
from selectit.runs.run import Run
from selectit.runs.source import create_pairs_run, pair_records


def digest_target(examples: Sequence[Example]) -> str:
    """16 digits over the examples and their groups."""
    return digest_of([[each.instruction, each.response, each.input, each.group] for each in examples])[:16]


def open_target_run(run: Run, examples: Sequence[Example]) -> Run:
    """The run of the examples inside a run, targets/<digest>/run: written where it is not there.

    Groups are no part of it, so that grouped otherwise they need not be asked about again.
    """
    pairs = pair_records(examples)
    text = "\n".join(json.dumps(pair) for pair in pairs)
    return create_pairs_run(run.path / "targets" / digest_of([text])[:16], pairs)
