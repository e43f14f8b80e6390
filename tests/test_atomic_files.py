"""Files and folders are whole or not there, whatever interrupts."""

import os
import socket
import stat
from pathlib import Path

import pytest

from selectit.atomic_files import folder_beside, replacing, replacing_folder


def test_a_file_is_replaced_when_the_block_ends_well(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as file:
        file.write(b"first")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as one, replacing(path) as other:
        one.write(b"one")
        other.write(b"other")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_is_that_of_any_file(tmp_path):
    mask = os.umask(0o022)
    try:
        with replacing(tmp_path / "a.txt"):
            pass
        with replacing_folder(tmp_path / "b"):
            pass
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o755


def test_a_folder_is_replaced_when_the_block_ends_well(tmp_path):
    path = tmp_path / "new" / "a"
    with replacing_folder(path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "x").write_text("1")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), replacing_folder(path) as folder:
        (folder / "y").write_text("half")
        raise KeyboardInterrupt
    assert (path / "deep" / "x").read_text() == "1"
    with replacing_folder(path) as folder:
        (folder / "y").write_text("2")
    assert [each.name for each in path.iterdir()] == ["y"]
    assert list(path.parent.iterdir()) == [path]


def test_only_what_dead_processes_of_this_machine_left_is_removed(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    dead, alive, elsewhere, of_other, users = (
        tmp_path / name
        for name in (
            f".a.{socket.gethostname()}-999999999.0f.tmp",
            f".a.{socket.gethostname()}-{os.getppid()}.0f.tmp",
            ".a.no-such-machine-999999999.0f.tmp",
            f".b.{socket.gethostname()}-999999999.0f.tmp",
            f".{socket.gethostname()}-99999999999999999999.tmp",
        )
    )
    for folder in (dead, alive, elsewhere, of_other, users):
        folder.mkdir()
    link = tmp_path / f".c.{socket.gethostname()}-999999999.0f.tmp"
    link.symlink_to(victim)
    with folder_beside(tmp_path / "a") as beside:
        assert beside.parent == tmp_path
        assert not any(beside.iterdir())
    assert sorted(Path(tmp_path).iterdir()) == sorted([alive, elsewhere, users, victim])


def test_a_folder_is_listed_once(tmp_path, monkeypatch):
    listed = []
    original = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(Path(path)) or original(path))
    for number in range(20):
        with replacing(tmp_path / f"{number}"):
            pass
    assert listed == [tmp_path]
