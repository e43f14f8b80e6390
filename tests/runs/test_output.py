"""What is written and what is left alone: nothing of the user's goes."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

import selectit
from selectit.config.settings import Settings
from selectit.data import write
from selectit.errors import RunError

FILES = {write.ARROW_FILE, "state.json", "dataset_info.json"}


@pytest.fixture
def saved(folder):
    import datasets

    rows = [{"instruction": f"Question {n}?", "output": " ".join(["word"] * (n + 1))} for n in range(10)]
    datasets.Dataset.from_list(rows).save_to_disk("set")
    return "set"


def chosen(saved, keep=3, **more):
    return selectit.select(saved, Settings(run="run", method="length", keep=keep, out="chosen", **more))


def state(path):
    return {entry.name: (entry.stat().st_ino, entry.stat().st_mtime_ns) for entry in Path(path).iterdir()}


def rows_of(path):
    return len(pa.ipc.open_stream((Path(path) / write.ARROW_FILE).read_bytes()).read_all())


def test_equal_data_is_not_touched(saved):
    chosen(saved)
    assert {entry.name for entry in Path("chosen").iterdir()} == FILES
    before = (state("chosen"), Path("chosen").stat().st_ino)
    chosen(saved)
    chosen(saved, force=True)
    assert (state("chosen"), Path("chosen").stat().st_ino) == before
    assert not [entry for entry in Path().iterdir() if entry.name.startswith(".")]


def test_an_equal_file_is_not_touched(data):
    settings = Settings(run="run", method="length", keep=3, out="out.json")
    selectit.select(data, settings)
    before = Path("out.json").stat()
    selectit.select(data, settings)
    after = Path("out.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("keep", [3, 4])
def test_a_folder_with_something_else_in_it_is_refused(saved, force, keep):
    chosen(saved)
    Path("chosen/NOTES.txt").write_text("mine")
    before = state("chosen")
    with pytest.raises(RunError, match=r"chosen has 'NOTES.txt' in it") as error:
        chosen(saved, keep=keep, force=force)
    assert error.value.hint == "Name another folder."
    assert state("chosen") == before


@pytest.mark.parametrize("force", [False, True])
def test_a_data_set_of_somebody_else_is_refused(saved, force):
    import datasets

    datasets.Dataset.from_list([{"instruction": "mine", "output": "mine"}]).save_to_disk("chosen")
    before = state("chosen")
    with pytest.raises(RunError, match="selectit did not write"):
        chosen(saved, force=force)
    assert state("chosen") == before


def test_force_replaces_what_selectit_wrote(saved):
    chosen(saved)
    with pytest.raises(RunError, match="no selection with these settings"):
        chosen(saved, keep=4)
    assert rows_of("chosen") == 3
    chosen(saved, keep=4, force=True)
    assert rows_of("chosen") == 4 and {entry.name for entry in Path("chosen").iterdir()} == FILES


def test_an_empty_folder_and_a_link_to_one_are_taken(saved):
    Path("real").mkdir()
    os.symlink("real", "chosen")
    chosen(saved)
    assert Path("chosen").is_symlink() and rows_of("real") == 3


def test_the_rest_is_held_to_the_same(saved):
    Path("rest").mkdir()
    Path("rest/NOTES.txt").write_text("mine")
    with pytest.raises(RunError, match=r"rest has 'NOTES.txt'"):
        chosen(saved, rest="rest", force=True)
    assert not Path("chosen").exists()
