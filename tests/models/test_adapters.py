"""Which checkpoints of an adapter a folder holds, and what they say."""

import json

import pytest

from selectit.errors import ModelError
from selectit.models.adapters import FILES, TEMPLATE, find_checkpoints


def write(folder, log=None, moments=True):
    folder.mkdir(parents=True)
    for name in FILES if moments else FILES[:2]:
        (folder / name).write_text(f"{folder.name} {name}")
    if log is not None:
        entries = [{"step": step, "learning_rate": rate} for step, rate in log] + [{"step": 99, "eval_loss": 1.0}]
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": entries}))


def test_their_order_and_the_mean_learning_rates_between_them(folder):
    log = [(1, 0.1), (2, 0.3), (3, 0.5), (4, 0.7), (5, 0.9)]
    for step in (10, 4, 2):
        write(folder / f"checkpoint-{step}", log[:step], moments=step > 2)
    (folder / "checkpoint-5").mkdir()  # of a training that was killed while it saved
    found = find_checkpoints(str(folder))
    assert [each.path.rpartition("-")[2] for each in found] == ["2", "4", "10"]
    assert [each.rate for each in found] == pytest.approx([0.2, 0.6, 0.9])
    assert [each.moments for each in found] == [False, True, True]
    assert len({each.digest for each in found}) == 3


def test_the_template_of_its_texts_is_a_part_of_what_it_is(folder):
    write(folder / "adapter")
    found = []
    for template in ("one", "other"):
        (folder / "adapter" / TEMPLATE).write_text(template)
        found += find_checkpoints(str(folder / "adapter"))
    assert found[0] != found[1]


def test_one_alone_needs_no_learning_rate(folder):
    write(folder / "adapter")
    write(folder / "run" / "checkpoint-7")
    assert [each.rate for name in ("adapter", "run") for each in find_checkpoints(str(folder / name))] == [1, 1]
    moved = folder / "elsewhere"
    (folder / "adapter").rename(moved)
    assert find_checkpoints(str(moved))[0].moments


def test_what_holds_none_is_refused(folder):
    with pytest.raises(ModelError, match="there is no folder nowhere"):
        find_checkpoints("nowhere")
    with pytest.raises(ModelError, match="holds no checkpoint of an adapter"):
        find_checkpoints(str(folder))
    for step in (1, 2):
        write(folder / f"checkpoint-{step}", [(1, 0.5)])
    with pytest.raises(ModelError, match="checkpoint-2 has no learning rates"):
        find_checkpoints(str(folder))
