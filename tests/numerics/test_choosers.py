"""Choosers against orders and masses that published code gave, and against their definitions."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from places import GOLDEN
from selectit.errors import SettingsError
from selectit.numerics.choosers import CHOOSERS, TURNS, choose_rows, transport_masses

TARGETED, ROUND_ROBIN = (
    json.loads((GOLDEN / "rivals" / name).read_text()) for name in ("targeted_selection.json", "rds_round_robin.json")
)
MATRICES = arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.sampled_from([0.0, 0.1, 0.5, 0.9, np.nan])
)


def rows(alike, n=99, chooser="round-robin", turns="next", group=None):
    alike = np.array(alike)
    group = np.zeros(len(alike), np.int64) if group is None else np.array(group)
    return choose_rows(alike, n, group, chooser, turns).rows.tolist()


def test_round_robin_and_doubly_greedy_as_published():
    alike, orders = TARGETED["similarity"]["inputs"]["similarity_float64"], TARGETED["similarity"]["outputs"]
    assert rows(alike, 11) == orders["round_robin"]["order"]
    assert rows(alike) == orders["round_robin"]["order_of_all"]
    assert rows(alike, chooser="doubly-greedy") == orders["doubly_greedy"]["order_of_all"]
    ties = TARGETED["similarity_ties"]
    assert rows(ties["inputs"]["similarity_float64"]) == ties["outputs"]["round_robin_all"]


def test_lost_turns_as_published():
    alike = ROUND_ROBIN["selection"]["inputs"]["similarity_float64"]
    assert rows(alike, 9, turns="lost") == ROUND_ROBIN["selection"]["outputs"]["max"]
    assert rows(alike, turns="lost") == ROUND_ROBIN["selection_all_rows"]["outputs"]["max"]
    best_last = ROUND_ROBIN["selection"]["outputs"]["mean_max"]
    assert sorted(rows(alike, 9, "mean")) == sorted(best_last)


def test_turns_of_groups_as_published():
    tasks = [np.array(each) for each in ROUND_ROBIN["several_tasks"]["inputs"]["similarity_by_task_float64"]]
    group = np.repeat(np.arange(len(tasks)), [len(each) for each in tasks])
    found = choose_rows(np.concatenate(tasks), 9, group, "group-round-robin", "lost")
    assert found.rows.tolist() == ROUND_ROBIN["several_tasks"]["outputs"]["max"]
    whole = np.concatenate(tasks)
    for row, target in zip(found.rows, found.targets, strict=True):
        assert whole[target, row] == whole[group == group[target], row].max()


@pytest.mark.parametrize("case", [0, 2])  # the other one leaves the targets' marginal free too
def test_transport_as_published(case):
    alike = np.array(TARGETED["uot"]["inputs"]["similarity_float64"])
    expected = TARGETED["uot"]["outputs"][case]
    found = transport_masses(alike, expected["params"]["eps"], expected["params"]["reg_m2"])
    assert found == pytest.approx(expected["column_sums"], rel=1e-5)
    assert np.argsort(-found, kind="stable").tolist() == expected["order"]


def test_the_specification_s_values():
    alike = [[0.9, 0.8, 0.3, 0.2, 0.1], [0.9, 0.1, 0.7, 0.2, 0.6]]
    assert rows(alike) == [0, 2, 1, 4, 3]
    assert rows(alike, turns="lost") == [0, 1, 2, 4, 3]
    assert rows(alike, chooser="doubly-greedy") == [0, 1, 2, 4, 3]
    assert rows(alike, chooser="mean") == [0, 2, 1, 4, 3]
    masses = transport_masses(np.array([[0.62, 0.60, 0.50, 0.40], [0.61, 0.59, 0.58, 0.10]]))
    assert masses == pytest.approx([0.676431, 0.251321, 0.072240, 0.000007], abs=1e-6)


def test_the_largest_mean_of_a_group():
    """LESS: the mean over the targets of a group, then the largest over the groups."""
    alike = [[0.9, 0.0, 0.5], [0.1, 0.0, 0.5], [0.0, 0.6, 0.1]]
    assert rows(alike, chooser="group-max", group=[0, 0, 1]) == [1, 0, 2]
    assert rows(alike, chooser="mean", group=[0, 0, 1]) == [2, 0, 1]


def test_groups_alternate():
    """With fewer rows than targets each group still has its share, whatever the order of the files."""
    found = choose_rows(np.eye(6), 4, np.array([0, 0, 0, 0, 1, 1]))
    assert found.targets.tolist() == found.rows.tolist() == [0, 4, 1, 5]


@given(MATRICES, st.integers(1, 9), st.sampled_from(TURNS))
def test_round_robin_by_its_definition(alike, n, turns):
    lists = [[row for row in np.argsort(-line, kind="stable").tolist() if not np.isnan(line[row])] for line in alike]
    expected = []
    while any(lists) and len(expected) < n:
        for each in lists:
            while turns == "next" and each and each[0] in expected:
                each.pop(0)
            row = each.pop(0) if each else None
            if row is not None and row not in expected and len(expected) < n:
                expected.append(row)
    assert rows(alike, n, turns=turns) == expected


@given(MATRICES, st.integers(1, 9), st.sampled_from(CHOOSERS))
def test_every_choice_is_of_known_rows(alike, n, chooser):
    found = choose_rows(alike, n, np.arange(len(alike)) % 2, chooser)
    assert len(found.rows) == len(found.targets) == len(set(found.rows.tolist())) <= n
    assert not np.isnan(alike[found.targets, found.rows]).any()


def test_unknown_names():
    with pytest.raises(SettingsError, match="no chooser 'mena'"):
        choose_rows(np.eye(2), 1, np.zeros(2, int), "mena")
    with pytest.raises(SettingsError, match="take turns"):
        choose_rows(np.eye(2), 1, np.zeros(2, int), turns="first")
