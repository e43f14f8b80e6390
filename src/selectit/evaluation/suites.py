"""Protocols: what of each benchmark is asked, and how. Where nothing is said, lm-eval's own task definition decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from selectit.errors import SettingsError, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How one task is asked. None = as the task definition says."""

    task: str
    shots: int | None = None
    items: int | None = None
    """Of each part (subject, language, sub-task), drawn with `seed`; None = all."""
    seed: int = 42
    max_new_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    samples: int = 1
    """Answers to each item: HumanEval's n."""
    temperature: float = 0.0
    """0 = greedy."""
    top_p: float = 1.0
    k: int = 1
    """HumanEval: of pass@k."""

    def plain(self) -> dict[str, Any]:
        """The protocol as JSON can say it."""
        return asdict(self)

    def limited(self, limit: int | None) -> Protocol:
        """With at most `limit` items of each part."""
        if limit is None:
            return self
        return replace(self, items=limit if self.items is None else min(limit, self.items))


_CODE_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""New code at the top level: as of openai/human-eval's paper (Chen et al. 2021, section 2.1)."""


_WHOLE = (
    Protocol(task="mmlu", shots=5),
    Protocol(task="bbh", shots=3),
    Protocol(task="gsm8k", shots=8),
    Protocol(task="tydiqa", shots=1),
    Protocol(task="humaneval", samples=20, temperature=0.8, top_p=0.95, k=10, max_new_tokens=512, stop=_CODE_STOPS),
    Protocol(task="alpacaeval", max_new_tokens=1024),
    Protocol(task="wmt22", max_new_tokens=256, stop=("\n",)),
)
_PAPER = (
    Protocol(task="mmlu", shots=5),
    Protocol(task="bbh", shots=3, items=40),
    Protocol(task="gsm8k", shots=8, items=200, max_new_tokens=512, stop=("\n",)),
    Protocol(task="tydiqa", shots=1, items=100, max_new_tokens=50, stop=("\n",)),
    Protocol(task="humaneval", samples=20, temperature=0.8, top_p=0.95, k=10, max_new_tokens=512, stop=_CODE_STOPS),
    Protocol(task="alpacaeval", max_new_tokens=1024),
)
_QUICK = (
    Protocol(task="mmlu", shots=5, items=1),
    Protocol(task="gsm8k", shots=8, items=4, max_new_tokens=128, stop=("\n",)),
)
SUITES: dict[str, tuple[Protocol, ...]] = {
    "paper": _PAPER,  # SelectIT's, of its fork of allenai/open-instruct: docs/evaluation.md says where lm-eval differs
    "full": _WHOLE,
    "quick": _QUICK,
    "translation": tuple(protocol for protocol in _WHOLE if protocol.task == "wmt22"),
}


def choose_protocols(suite: str | None, tasks: Sequence[str], *, heldout: bool) -> tuple[Protocol, ...]:
    """The protocols of a suite and of single tasks; without either 'quick', or with held-out data none.

    A task that the suite has keeps the suite's protocol, and the suite's other tasks are left out.
    Raises SettingsError for an unknown suite or a task named twice.
    """
    if suite is not None and suite not in SUITES:
        raise SettingsError(f"there is no suite {suite!r}", nearest(suite, SUITES))
    if len(set(tasks)) != len(tasks):
        raise SettingsError(f"a task is named twice: {', '.join(tasks)}", "Name each task once.")
    if tasks:
        known = {protocol.task: protocol for protocol in (*_WHOLE, *SUITES.get(suite or "", ()))}
        return tuple(_of_task(name, known) for name in tasks)
    if suite is None:
        return () if heldout else SUITES["quick"]
    return SUITES[suite]


def _of_task(name: str, known: dict[str, Protocol]) -> Protocol:
    """The protocol of a task: its own, its benchmark's where it is a part of one, or lm-eval's alone."""
    if name in known:
        return known[name]
    benchmark = known.get(name.partition("_")[0])
    return Protocol(task=name) if benchmark is None else replace(benchmark, task=name)
