"""A sandbox for programs that a model wrote, by bubblewrap: https://github.com/containers/bubblewrap.

What runs in it sees the system's libraries and this Python, read-only, its own processes, and an empty folder in
memory. It has no network, no environment, and nothing of it is left when it ends. The kernel is the machine's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = "/tmp"
"""The one place where a program can write."""


FOLDER_BYTES = 64 << 20

_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")
_NOBODY = "65534"


def command(hidden: Sequence[str] = ()) -> list[str]:
    """What is put before a command so that it runs in the sandbox; `find_fault` says whether that works here.

    Root becomes nobody first, since no limit of processes holds for root; a sandbox around that one, of folders alone,
    lets nobody see a Python that is root's.

    Args:
        hidden: files that can't be read in there.
    """
    bwrap = shutil.which("bwrap") or "bwrap"
    view = _view(bwrap)
    inner = [bwrap, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    inner += ["--size", str(FOLDER_BYTES), "--tmpfs", FOLDER, *view]
    for file in hidden:
        inner += ["--ro-bind", "/dev/null", file]
    inner += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", FOLDER, "--"]
    if os.geteuid() != 0:
        return inner
    outer = [
        bwrap,
        "--die-with-parent",
        "--dir",
        FOLDER,
        *view,
        "--bind",
        "/proc",
        "/proc",
        "--dev-bind",
        "/dev",
        "/dev",
    ]
    return [*outer, "--", "setpriv", "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", "--", *inner]


def find_fault() -> str:
    """Why there is no sandbox here, '' where there is one."""
    if shutil.which("bwrap") is None:
        return "bwrap is not installed"
    try:
        done = subprocess.run(
            [*command(), sys.executable, "-I", "-c", "import json, resource"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={"PATH": os.defpath},
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bwrap can't be run: {error}"
    said = done.stderr.strip().splitlines() or [f"bwrap ended with {done.returncode}"]
    return said[-1] if done.returncode else ""


def _view(bwrap: str) -> list[str]:
    """The system's folders and this Python's, with bwrap itself, read-only under their own names."""
    python = [place for prefix in (sys.prefix, sys.base_prefix) for place in (prefix, os.path.realpath(prefix))]
    options: list[str] = []
    for place in dict.fromkeys([*_SYSTEM, *python, bwrap]):
        if place not in _SYSTEM and place.startswith("/usr/"):
            continue  # there already
        for parent in reversed(Path(place).parents[:-1]):
            options += ["--dir", str(parent)]  # without it bwrap makes parents that root alone can enter
        options += ["--ro-bind-try", place, place]
    return options
