"""Several methods at once: compared, averaged by rank, united."""

import dataclasses
import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selectit
from selectit import methods
from selectit.cli.main import main
from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.numerics.ranking import chance_jaccard, intersection, jaccard, rank_average, spearman, union
from selectit.selection.compare import MethodOutcome, compare_outcomes, comparison_lines

NAN = float("nan")
FAKE = Settings(engine="fake", model="m", run="run", k=3)


# From ranks and choices: pure


def test_rank_average_by_hand():
    a, b = np.array([10.0, 30, 20, NAN]), np.array([1.0, 2, 3, 9])
    # Ranks among the first three: 1, 3, 2 and 1, 2, 3.
    assert rank_average([a, b], [1, 1]) == pytest.approx([0.5 / 3, 2 / 3, 2 / 3, NAN], nan_ok=True)
    assert rank_average([a, b], [3, 1]) == pytest.approx([0.5 / 3, 2.25 / 3, 1.75 / 3, NAN], nan_ok=True)
    assert rank_average([a, b], [6, 2]) == pytest.approx(rank_average([a, b], [3, 1]), nan_ok=True)
    assert np.isnan(rank_average([np.array([1.0, NAN]), np.array([NAN, 1])], [1, 1])).all()
    tied = np.array([5.0, 5, 1])
    assert rank_average([tied, tied], [1, 1]) == pytest.approx([2 / 3, 2 / 3, 0.5 / 3])


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=20, unique=True))
def test_the_rank_average_with_itself_is_the_order_itself(scores):
    scores = np.array(scores)
    assert spearman(rank_average([scores, scores * 3 + 1], [0.2, 0.8]), scores) == pytest.approx(1)


def test_union_and_intersection_by_hand():
    a, b = np.array([4, 1, 7]), np.array([1, 9, 4, 2])
    assert union([a, b]).tolist() == [4, 1, 9, 7, 2]
    assert intersection([a, b]).tolist() == [1, 4]  # places 1 + 0 and 0 + 2
    assert intersection([a, b, np.array([3])]).tolist() == []
    assert intersection([np.array([2, 1]), np.array([1, 2])]).tolist() == [1, 2]


def test_overlap_and_what_chance_lets_expect():
    assert jaccard(np.array([1, 2, 3]), np.array([3, 4])) == 1 / 4
    assert math.isnan(jaccard(np.array([], int), np.array([], int)))
    assert chance_jaccard(10, 10, 100) == pytest.approx(1 / 19)
    assert chance_jaccard(100, 30, 100) == pytest.approx(0.3)
    rng = np.random.default_rng(0)
    drawn = [jaccard(rng.permutation(200)[:40], rng.permutation(200)[:60]) for _ in range(400)]
    assert np.mean(drawn) == pytest.approx(chance_jaccard(40, 60, 200), abs=0.005)


def test_figures_of_methods_and_pairs():
    words = np.array([1, 2, 3, 4])
    outcomes = [
        MethodOutcome("a", np.array([1.0, 2, 3, NAN]), np.array([2, 1]), 5, 12.5),
        MethodOutcome("b", -words.astype(float), np.array([0, 1]), 0, 0.0),
        MethodOutcome("set", None, np.array([3]), 62, None),
    ]
    found = compare_outcomes(outcomes, words)
    a, b, chosen = found.methods
    assert (a.kept, a.unscored, a.length_correlation, a.mean_words) == (2, 1, pytest.approx(1), 2.5)
    assert (b.length_correlation, b.mean_words) == (pytest.approx(-1), 1.5)
    assert (chosen.length_correlation, chosen.seconds, chosen.mean_words) == (None, None, 4)
    first, second, _ = found.pairs
    assert (first.spearman, first.jaccard, first.chance) == (pytest.approx(-1), 1 / 3, pytest.approx(1 / 3))
    assert (second.a, second.b, second.spearman, second.jaccard) == ("a", "set", None, 0)
    table = list(comparison_lines(found))
    assert len({len(line.split()) for line in table[2:5]}) == 1
    assert any(line.split() == ["a", "set", "-", "0.00", "0.20"] for line in table)


# Names with parameters


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("random", "random", {}),
        ("random:seed=3", "random", {"seed": "3"}),
        ("selectit:alpha=0.4;min-prompts=2", "selectit", {"alpha": "0.4", "min_prompts": "2"}),
        ("./mine.py:Mine", "./mine.py:Mine", {}),
        ("./mine.py:Mine:least=3", "./mine.py:Mine", {"least": "3"}),
        ("fixed:file=a=b.json", "fixed", {"file": "a=b.json"}),
    ],
)
def test_a_method_with_its_parameters(text, name, parameters):
    assert methods.parse_spec(text) == (name, parameters)


def test_what_is_no_parameter():
    with pytest.raises(SettingsError, match="'seed' is not a parameter"):
        methods.parse_spec("random:seed")


# The verb


def test_comparing_reads_stored_signals(data, no_model, capsys):
    selectit.rate(data, FAKE)
    no_model()
    names = ["selectit:k=3", "selectit:k=3;alpha=0.9", "length", "random:seed=1", "full"]
    found = selectit.compare("run", names, Settings(keep="50%"))
    assert [facts.kept for facts in found.methods] == [6, 6, 6, 6, 12]
    assert [facts.passes_per_row for facts in found.methods] == [3, 3, 0, 0, 0]
    assert found.methods[0].seconds == pytest.approx(found.methods[1].seconds) and found.methods[0].seconds >= 0
    assert found.methods[2].length_correlation == pytest.approx(1)
    assert len(found.pairs) == 10
    scores = [selectit.score("run", Settings(k=3, alpha=alpha)).score for alpha in (0.2, 0.9)]
    assert found.pairs[0].spearman == pytest.approx(spearman(*scores))
    assert found.pairs[-1].jaccard == found.pairs[-1].chance == 0.5  # half of the rows, and all
    capsys.readouterr()
    arguments = ["compare", "--run", "run", "--keep", "50%", "--methods", ",".join(names[:3]), "--methods", "random"]
    main(arguments)
    out = capsys.readouterr().out
    assert "selectit-sentence-paper-k3-a0.9" in out and "by chance" in out
    main([*arguments, "--json"])
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--run", "run"], "two methods or more"),
        (["--run", "run", "--methods", "length"], "two methods or more"),
        (["--methods", "length,random"], "Name the run"),
        (["--run", "run", "--methods", "length,randm"], "'random'"),
        (["--run", "run", "--methods", "length,random:sed=1"], "'seed'"),
        (["--run", "run", "--methods", "length,selectit"], "has no ratings"),
    ],
)
def test_comparisons_that_cant_be(data, capsys, arguments, says):
    selectit.select(data, Settings(run="run", method="length"))
    with pytest.raises(SystemExit) as end:
        main(["compare", *arguments])
    assert end.value.code == 2
    assert says in capsys.readouterr().err


# Combining


def test_combining_by_rank(data):
    both = dataclasses.replace(FAKE, combine="selectit:0.7,random:seed=2:0.3", keep=4)
    selected = selectit.select(data, both)
    assert selected.name == "rank-selectit0.7+random0.3-4rows"
    alone = [
        selectit.score("run", dataclasses.replace(FAKE, **changes)).score
        for changes in ({"k": 3}, {"method": "random", "seed": 2})
    ]
    expected = rank_average(alone, [0.7, 0.3])
    assert selectit.score("run", both).score == pytest.approx(expected)
    assert selected.selection.scores == pytest.approx(np.sort(expected)[::-1][:4])
    config = tomllib.loads(Path(f"run/selections/{selected.name}/config.toml").read_text())
    assert [part["method"] for part in config["parts"]] == ["selectit", "random"]
    assert (config["weights"], config["by"], config["parts"][1]["seed"]) == ([0.7, 0.3], "rank", 2)
    assert selected.summary.raters[0].model == "m"
    again = selectit.select(None, dataclasses.replace(both, combine="selectit:0.7,random:seed=3:0.3", out="b.json"))
    assert again.name != selected.name, "another seed is another selection"
    assert len(selectit.score("run", both).parts) == 2


def test_combining_choices(data):
    longest = selectit.select(data, Settings(run="run", method="length", keep=5)).selection.rows
    drawn = selectit.select(None, Settings(run="run", method="random", keep=5, out="r.json")).selection.rows
    for way, function in (("union", union), ("intersection", intersection)):
        settings = Settings(run="run", combine="length,random", combine_by=way, keep=5, out=f"{way}.json")
        selected = selectit.select(None, settings)
        assert selected.selection.rows.tolist() == function([longest, drawn]).tolist()
        assert selected.name == f"{way}-length+random-5rows"
        assert len(json.loads(selected.out.read_text())) == len(selected.selection.rows)
        for row, why in zip(selected.selection.rows, selected.selection.why, strict=True):
            assert ("length: rank" in why, "random: rank" in why) == (row in longest, row in drawn)
        with pytest.raises(SettingsError, match="chooses a set"):
            selectit.score("run", settings)
    Path("few.json").write_text(json.dumps([int(row) for row in range(12) if row not in longest][:5]))
    with pytest.raises(SettingsError, match="no row is chosen by every method"):
        nothing = Settings(run="run", combine="length,fixed:file=few.json", combine_by="intersection", keep=5)
        selectit.select(None, nothing)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"combine": "length"}, "names one method"),
        ({"combine": "length,randm"}, "'random'"),
        ({"combine": "length,random:0"}, "the weight is 0"),
        ({"combine": "length,random:-1"}, "the weight is -1"),
        ({"combine": "length,random:1e"}, "no weight"),
        ({"combine": "length,full"}, "full chooses a set"),
        ({"combine": "length,random", "alpha": 0.3}, "--alpha belongs to one method"),
        ({"combine": "length,random", "method": "length"}, "--method belongs to one method"),
        ({"combine": "length,random", "param": {"unit": "chars"}}, "--param belongs to one method"),
    ],
)
def test_combinations_that_cant_be(data, changes, says):
    with pytest.raises(SettingsError) as refused:
        selectit.select(data, Settings(run="run", **changes))
    assert says in str(refused.value)
    assert not Path("run").exists()


def test_a_way_of_combining_that_there_is_not():
    with pytest.raises(SettingsError, match="'union'"):
        Settings(combine="length,random", combine_by="unoin")


def test_losses_are_collected_once_and_compared_without_a_model(data, tmp_path_factory, no_model):
    import tiny

    model = tiny.build(tmp_path_factory.mktemp("llama"))
    both = Settings(run="run", combine="ifd,superfiltering,length:unit=words", model=model)
    selectit.rate(data, both)
    no_model()
    names = ["ifd", "el2n", "superfiltering", "length:unit=words"]
    found = selectit.compare("run", names, Settings(keep=3))
    assert [facts.passes_per_row for facts in found.methods] == [2, 2, 2, 0]
    assert all(facts.seconds is not None for facts in found.methods)
    assert [facts.unscored >= 1 for facts in found.methods] == [True, True, True, False]  # one response is empty
    rest = dataclasses.replace(both, keep=2, allow_fewer=True, out="o.json", rest="rest.json")
    selected = selectit.select(None, rest)
    left = {row["selectit"]["row"]: row["selectit"]["why"] for row in json.loads(Path("rest.json").read_text())}
    assert len(left) == 12 - len(selected.selection.rows)
    assert "empty" in left[11], left
