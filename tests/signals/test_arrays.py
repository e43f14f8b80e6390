"""Signals of some of the rows."""

import numpy as np
import pytest

import made_up_signals as made
from selectit import methods
from selectit.methods._base import ScoringMethod

ROWWISE = "selectit expected-rating perplexity ifd tshirt reward alpagasus-local length lexical".split()


@pytest.mark.parametrize("name", ROWWISE)
def test_what_is_taken_is_as_if_there_were_no_other_rows(name):
    """In any order, with rows of several answers and one of which nothing is known."""
    contents, method = made.content(), methods.build(name, {})
    rows = np.array([23, 4, 10, 0, 17])
    signals = made.signals(contents, method.needs).take(rows)
    alone = made.signals([contents[row] for row in rows], method.needs)
    if isinstance(method, ScoringMethod):
        assert np.array_equal(method.score(signals), method.score(alone), equal_nan=True)
        assert not np.isnan(method.score(signals)).all()
    else:
        assert method.select(signals, 3).tolist() == method.select(alone, 3).tolist()


@pytest.mark.parametrize("name", ["kcenter", "facility-location", "qdit", "lift", "instag", "mmr", "similarity"])
def test_a_set_of_some_of_the_rows(name):
    contents, method = made.content(), methods.build(name, {})
    rows = np.array([3, 20, 8, 1, 12, 13])
    taken = made.signals(contents, method.needs).take(rows)
    alone = made.signals([contents[row] for row in rows], method.needs)
    assert method.select(taken, 3).tolist() == method.select(alone, 3).tolist()


def test_a_draw_stays_as_it_was():
    signals = made.signals(made.content(), ())
    random, rows = methods.build("random", {}), np.array([9, 2, 5])
    assert random.score(signals.take(rows)).tolist() == random.score(signals)[rows].tolist()
