"""Measures of whole sets against the values of their published code, and by hand."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.numerics.diversity import cluster_entropy, distinct_share, novel_sum, squared_mmd, vendi_score

RIVALS = Path(__file__).parents[1] / "golden" / "rivals"


def load(name):
    return json.loads((RIVALS / f"{name}.json").read_text())


def test_vendi_score_of_the_published_code():
    golden = load("vendi")
    vectors = np.array(golden["inputs"]["embeddings"])
    assert vendi_score(vectors) == pytest.approx(golden["outputs"]["score_X"], rel=1e-9)
    assert vendi_score(np.concatenate([vectors[:7]] * 2)) == pytest.approx(golden["outputs"]["rows_twice"], rel=1e-9)
    assert vendi_score(np.eye(4)) == pytest.approx(4)
    assert vendi_score(np.ones((1, 3))) == pytest.approx(1)


@pytest.mark.parametrize(
    ("outputs", "reference"),
    [
        ("reference_contains_the_rows", lambda rows, inputs: [*rows, *inputs["reference_extra_rows"]]),
        ("reference_is_the_set_itself", lambda rows, inputs: rows),
        ("reference_is_another_set", lambda rows, inputs: inputs["other_reference"]),
        ("rows_with_copies_reference_itself", None),
    ],
)
def test_novel_sum_of_the_published_code(outputs, reference):
    golden = load("novelsum")["novelsum"]
    rows = golden["inputs"]["embeddings"]
    if reference is None:
        rows = rows[: len(rows) // 2] + rows[: len(rows) // 4]
        others = rows
    else:
        others = reference(rows, golden["inputs"])
    checked = 0
    for key, value in golden["outputs"][outputs].items():
        if found := re.fullmatch(r"neighbor_(\d+)_density_(\S+)_distance_(\S+)", key):
            got = novel_sum(np.array(rows), np.array(others), int(found[1]), float(found[2]), float(found[3]))
            assert got == pytest.approx(value, rel=1e-6), key
            checked += 1
    assert checked == 18


def test_mmd_of_the_published_code():
    golden = load("mmd")
    sets = {"A": "A", "shifted": "B_shifted", "same_distribution": "C_same_distribution", "itself": "A"}
    checked = 0
    for each in golden["outputs"]:
        if each["bias"]:
            continue
        a, b = (np.array(golden["inputs"][sets[name]]) for name in ("A", each["pair"]))
        assert squared_mmd(a, b, each["rbf_sigma"]).value == pytest.approx(each["square_own"], abs=1e-9)
        checked += 1
    assert checked == 9


def test_the_interval_of_mmd_holds_the_value_of_many_rows():
    rng = np.random.default_rng(0)
    target = rng.normal(1, 1, (60, 2))
    true = squared_mmd(rng.normal(0, 1, (3000, 2)), target).value
    found = [squared_mmd(rng.normal(0, 1, (80, 2)), target) for _ in range(200)]
    inside = sum(each.low < true < each.high for each in found)
    assert 180 <= inside <= 198, inside


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_the_entropy_of_clusters_is_1_where_they_are_even_and_0_in_one(labels):
    label = np.array(labels)
    assert 0 <= cluster_entropy(label, 5) <= 1
    assert cluster_entropy(np.arange(50) % 5, 5) == pytest.approx(1)
    assert cluster_entropy(np.zeros_like(label), 5) == 0


def test_distinct_runs_do_not_reach_over_texts():
    assert distinct_share([["a", "b"], ["c", "a", "b"]], 2) == 2 / 3
    assert distinct_share([["a", "b"], ["c", "a", "b"]], 1) == 3 / 5
    assert math.isnan(distinct_share([["a"], []], 2))
