"""Methods on gradients: published values and known answers."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import made_up_signals as made
from places import GOLDEN
from selectit.errors import DataError, SettingsError
from selectit.methods.gist import Gist
from selectit.methods.grand import Grand
from selectit.methods.less import Less
from selectit.numerics.influence import join_checkpoints
from selectit.signals.arrays import Gradients, Signals, Target

LESS = json.loads((GOLDEN / "rivals/less.json").read_text())


def signals(rates=(1.0,), row=None, **parts):
    """Rows with (I, C, …) parts of their gradients."""
    count, places = np.shape(next(iter(parts.values())))[:2]
    row = np.arange(count) if row is None else np.array(row)
    empty = np.zeros((count, places, 0))
    whole = {"norm": np.ones((count, places)), "projected": empty, "inner": empty, **parts}
    found = {name: np.asarray(each, np.float16 if name == "projected" else np.float32) for name, each in whole.items()}
    return Signals(made.rows(int(row.max()) + 1), {"gradients": Gradients(row, **found, rates=np.array(rates))})


def towards(rows, examples, group=None):
    group = np.zeros(len(examples.rows), np.int64) if group is None else np.array(group)
    names = tuple(f"group {each}" for each in range(group.max() + 1))
    return dataclasses.replace(rows, stored_target=Target(examples, group, names))


def test_the_scores_and_the_order_of_the_published_less():
    case = LESS["influence"]
    rates = case["inputs"]["learning_rates"]
    files = case["inputs"]["train_gradients_float32_by_file_and_checkpoint"]
    rows = np.concatenate([np.array(each).transpose(1, 0, 2) for each in files.values()])
    examples = np.array(case["inputs"]["validation_gradients_float32_by_checkpoint"]).transpose(1, 0, 2)
    group = np.repeat(np.arange(9), 2)
    vectors, theirs = (
        join_checkpoints(list(np.array(each, np.float32).transpose(1, 0, 2)), np.array(rates))
        for each in (rows, examples)
    )
    means = (vectors @ theirs.T).reshape(len(rows), 9, 2).mean(axis=2)
    expected = np.concatenate([case["outputs"]["scores_by_file_float32"][name] for name in files])
    np.testing.assert_allclose(means.max(axis=1), expected, atol=4e-6)  # its inputs are rounded units
    found = Less().choose(towards(signals(rates, projected=rows), signals(rates, projected=examples), group), 7)
    places = [(name, row) for name in files for row in range(len(files[name][0]))]
    assert [list(places[row]) for row in found.rows] == case["outputs"]["selected_file_and_row_in_order"]
    best = case["outputs"]["best_subtask_by_row_all_files_float64"]
    assert means.argmax(axis=1).tolist() == best


@pytest.mark.parametrize(("rates", "best"), [((1.0,), [0, 1]), ((3.0, 1.0), [0, 1]), ((1.0, 3.0), [1, 0])])
def test_less_weighs_checkpoints_by_their_learning_rates(rates, best):
    """Row 0 is right at the first checkpoint, row 1 at the second; the third has no gradient."""
    rows = [[[1, 0], [0, 1]], [[0, 1], [5, 0]], [[np.nan, 0], [1, 0]]]
    rows, example = (np.array(each)[:, : len(rates)] for each in (rows, [[[2, 0], [2, 0]]]))
    found = Less().choose(towards(signals(rates, projected=rows), signals(rates, projected=example)), 3)
    assert found.rows.tolist() == best


def test_an_example_without_a_gradient_is_an_error():
    with pytest.raises(DataError, match="example 1 of the target has no vector"):
        Less().choose(towards(signals(projected=[[[1, 0]]]), signals(projected=[[[1, 0]], [[np.nan, 0]]])), 1)


def gist(rows, examples, group=None, **parameters):
    """The choice among rows with these whole gradients."""
    rows, examples = np.array(rows, float), np.array(examples, float)
    inner = signals(inner=(rows @ examples.T)[:, None]), signals(inner=(examples @ examples.T)[:, None])
    return Gist(**parameters).choose(towards(*inner, group), len(rows)).rows.tolist()


def test_gist_as_specified():
    """With both directions the cosines are .306 and .496, or .306 and .141; with one, -1 and 1."""
    examples = [[3, 0, 0], [0, 1, 0]]
    assert gist([[-0.1, 9, 0], [1, 5, 0]], examples) == [1, 0]
    assert gist([[-0.1, 9, 0], [1, -2, 0]], examples) == [0, 1]
    assert gist([[-0.1, 9, 0], [1, -2, 0]], examples, directions=1) == [1, 0]
    assert gist([[1, 0.1, 50], [1, 5, 0]], [[1, 0, 0], [3, 0, 0]]) == [0, 1]  # one direction: a draw


def test_gist_takes_the_group_that_fits_best():
    rows, examples = [[1, 1, 0], [0, 0, 1], [1, 0, 0]], [[5, 0, 0], [0, 5, 0], [0, 0, 1]]
    assert gist(rows, examples, [0, 0, 1]) == [0, 1, 2]
    assert gist(rows, examples, [0, 0, 1], chooser="round-robin") == [0, 1, 2]
    assert gist([[0, 0, 0.0], [1, 1, 0]], examples[:2]) == [1, 0]  # a zero gradient is like none


def test_the_warm_up_of_less_is_on_rows_that_may_be_chosen():
    """A quarter of the 12 allowed rows, with a checkpoint an epoch; steps of the rows, gradients of the examples."""
    rows = Signals(made.rows(24))
    allowed = np.arange(12, 24)
    steps = Less(warmup=0.25, epochs=3, seed=5).steps(towards(rows, Signals(made.rows(2))), allowed)
    first = next(steps)
    assert len(first.model.rows) == 3 and set(first.model.rows.tolist()) <= set(allowed.tolist())
    assert (first.model.checkpoints, first.request.adam, first.of_target, first.passes) == (3, True, False, 3)
    own = signals(projected=[[[1, 0]]] * 24).gradients
    second = steps.send(own)
    assert second.model is first.model
    assert (second.request.adam, second.of_target, second.passes) == (False, True, 0)
    with pytest.raises(StopIteration) as end:
        steps.send(signals(projected=[[[1, 0]]] * 2).gradients)
    assert end.value.value.gradients is own and len(end.value.value.target.signals.gradients.row) == 2


def test_less_needs_no_steps_where_nothing_is_tuned():
    assert Less(warmup=0).outline(100, 10) == () == Gist(warmup=0).outline(100, 10)
    assert [each.adam for each in Less(warmup=0).needs] == [False]  # a fresh adapter has no moments
    assert Less().needs == ()


def test_grand_is_the_mean_over_checkpoints():
    assert Grand().score(signals((2.0, 1.0), norm=[[3.0, 1.0], [5.0, 0.0]])).tolist() == [2, 2.5]


def test_grand_reads_the_checkpoints_of_several_trainings(folder):
    for name in ("one", "two"):
        (folder / name).mkdir()
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / name / file).write_text(name)
    (request,) = Grand(checkpoints=("one", "two")).needs
    assert [Path(each.path).name for each in request.checkpoints] == ["one", "two"]
    assert not request.whole and request.passes == 2


def test_grand_is_the_length_and_of_several_responses_their_mean():
    found = Grand().score(signals(norm=[[3.0], [1.0], [np.nan], [2.0]], row=[0, 0, 1, 2]))
    assert found[[0, 2]].tolist() == [2, 2] and np.isnan(found[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Less(rank=0), "rank is 0"),
        (lambda: Less(layers=-1), "layers is -1"),
        (lambda: Less(optimizer="adm"), "there is no optimizer 'adm'"),
        (lambda: Less(dimensions=0), "dimensions is 0"),
        (lambda: Less(warmup=1.5), "warmup is 1.5"),
        (lambda: Gist(epochs=0), "epochs is 0"),
        (lambda: Gist(directions=0), "directions is 0"),
        (lambda: Gist(chooser="best"), "there is no chooser 'best'"),
        (lambda: Grand(rank=-1), "rank is -1"),
        (lambda: Grand(layers=-1), "layers is -1"),
        (lambda: Grand(template="x"), "there is no template 'x'"),
    ],
)
def test_parameters_that_can_not_be(make, message):
    with pytest.raises(SettingsError, match=message):
        make()
