"""Data sets of pairs made from a run's rows, each with a run directory of its own inside that run.

So they are rated, asked about, stored and resumed like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selectit.config import Settings
from selectit.run import Run, create, replacing


def run_of_pairs(folder: Path, pairs: Sequence[Mapping[str, Any]]) -> Run:
    """The run of these pairs: written where it is not there.

    It is `folder`/run; where that has other pairs (of other data, or made otherwise), that of a folder beside it whose
    name ends in a digest of these.

    Args:
        folder: inside a run.
        pairs: one or more, with 'prompt' and 'completion', and what else should be known of each.
    """
    text = ("\n".join(json.dumps(pair) for pair in pairs) + "\n").encode()
    path = folder / "rows.jsonl"
    if path.is_file() and path.read_bytes() != text:
        path = folder.with_name(f"{folder.name}-{hashlib.sha256(text).hexdigest()[:8]}") / "rows.jsonl"
    if not path.is_file():
        with replacing(path) as file:
            file.write(text)
    return create(path, Settings(run=str(path.parent / "run"), format="prompt-completion"))
