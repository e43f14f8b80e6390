"""What every method keeps to, whoever wrote it: each file of selectit.methods is tested unasked."""

import dataclasses
import re
import tomllib
from importlib.util import find_spec

import numpy as np
import pytest
import tomli_w

import made_up_signals as made
from selectit import methods
from selectit.methods._base import ScoringMethod
from selectit.methods._tuning import TuningScoringMethod, TuningSetMethod, TuningTargetMethod, tunes
from selectit.selection.choose import Budget, parse_keep
from selectit.selection.spec import to_toml_parameters
from selectit.signals.requests import Field, kinds

SECTIONS = ("Source", "Needs", "Direction", "Cost", "Differs", "Licence", "Checked")
CHOSEN = "chosen.jsonl"
"""A data set of some of the rows, which each test finds in its folder."""

# What is tested besides a method's defaults, which are tested of every method that has no entry here.
VARIANTS = {
    "fixed": [{"file": CHOSEN}],
    "forgetting": [{}, {"rounds": 2, "least": 0.2}],
    "ifd-pre": [{}, {"clusters": 3, "each": 2, "template": "alpaca"}],
    "mods": [{"quality": -1.0}, {"quality": -1.5, "necessity": 1.0, "seeds": 0.25, "seed": 1}],
    "mods-selfnll": [{}, {"seeds": 0.25, "good": 0.8, "needed": 0.7, "seed": 1}],
    "random": [{}, {"balance": "source"}, {"exclude": CHOSEN}, {"balance": "source", "exclude": CHOSEN}],
    "length": [{}, {"unit": "tokens"}, {"unit": "chars", "field": "both", "order": "shortest"}],
    "selectit": [{}, {"level": "token"}, {"profile": "official"}, {"level": "model", "weights": (2.0,)}],
    "perplexity": [{}, {"policy": "high", "span": "whole"}, {"policy": "middle", "span": "instruction"}],
    "uncertainty": [
        {"measure": measure} for measure in ("entropy", "least-confidence", "margin", "least-margin")
    ],
    "tshirt": [{}, {"ratio": 0.75, "copies": 3}],
    "grape": [{}, {"by": "source"}],
    "rsr": [{}, {"clip": 2}],
    "alpagasus-local": [{}, {"dimension": "helpfulness", "parser": "strict", "threshold": 3.0, "seed": 2}],
    "deita": [{"complexity": "instag-complexity:min-count=1", "quality": "expected-rating"}],
    "dsir": [
        {},
        {"groups": "turns"},
        {"length": "sum", "noise": True, "seed": 3},
        {"text": "response", "buckets": 50, "smoothing": 0.5},
    ],
    "delta-loss": [{"share": 0.5}, {"order": "least", "template": "plain"}],
    "diverse-evol": [{}, {"rounds": 2, "epochs": 0.5, "seed": 3}],
    "dpp": [{}, {"kernel": "cosine", "jitter": 0.01}, {"quality": "reward", "beta": 0.5}],
    "facility-location": [
        {},
        {"neighbours": 3},
        {"similarity": "rbf"},
        {"similarity": "submodlib-euclidean", "text": "instruction"},
    ],
    "field": [{"name": "numbers.score"}],
    "instag": [{"min_count": 2}],
    "instag-complexity": [{"min_count": 1}],
    "instruction-mining": [
        {},
        {"rule": "v2", "indicators": ("reward", "knn:k=1", "length", "random")},
        {"rule": "own", "indicators": ("reward",), "coefficients": (0.5, -0.1)},
    ],
    "kmeans": [{}, {"clusters": 2, "restarts": 3, "seed": 4}],
    "knn": [{}, {"k": 1, "text": "response"}],
    "knn-target": [{}, {"text": "response", "chooser": "transport"}, {"turns": "lost"}],
    "lexical": [{"index": index} for index in ("ttr", "distinct-1", "distinct-2", "distinct-3", "mtld", "flesch")],
    "ltd": [{"clusters": 3}, {"clusters": 3, "target": CHOSEN}],
    "lift": [{"share": 0.5}, {"quality": "length", "length": "length:unit=chars", "components": 3, "share": 0.5}],
    "mmr": [{}, {"quality": "random:seed=1", "balance": 0.2, "text": "instruction"}],
    "similarity": [{}, {"quality": "length", "limit": 0.5, "text": "response"}],
    "novelselect": [{}, {"quality": "random:seed=1", "alpha": 2.0, "beta": 0.0, "k": 3}],
    "semdedup": [{}, {"score": "reward", "eps": 0.5}],
    "superfiltering-d": [{"share": 0.9}, {"share": 0.9, "score": "reward", "similarity": "submodlib-euclidean"}],
    "qdit": [{}, {"neighbours": 3}, {"quality": "random:seed=1", "alpha": 0.2, "similarity": "rbf", "text": "both"}],
    "rds": [
        {},
        {"space": "encoder", "chooser": "group-round-robin"},
        {"text": "instruction", "whiten": 4, "chooser": "mean"},
        {"chooser": "group-max"},
        {"chooser": "doubly-greedy", "turns": "lost"},
    ],
    "less": [
        {},
        {"chooser": "round-robin", "warmup": 0.5, "epochs": 0.5, "optimizer": "sgd"},
        {"warmup": 0.0, "dimensions": 4, "template": "plain", "rank": 2, "layers": 0, "seed": 1},
    ],
    "gist": [{}, {"warmup": 0.0}, {"directions": 2, "chooser": "group-round-robin", "turns": "lost"}],
    "grand": [{}, {"rank": 4}, {"rank": 4, "layers": 0, "seed": 2}],
    "tagcos": [{"clusters": 3, "share": 0.3}, {"clusters": 2, "epochs": 1.0, "dimensions": 8, "template": "alpaca"}],
    "target-loss": [{}, {"examples": 3, "template": "plain", "seed": 2}],
}  # fmt: skip
WITHOUT_EXTRA = pytest.mark.skipif(find_spec("sklearn") is None, reason="the extra 'methods' is not installed")
CLUSTER = ("kmeans", "ltd", "ifd-pre", "tagcos")
CASES = [
    pytest.param(name, given, marks=[WITHOUT_EXTRA] if name in CLUSTER or "neighbours" in given else [])
    for name in methods.names()
    for given in VARIANTS.get(name, [{}])
]


@pytest.fixture
def contents(folder):
    rows = made.content()
    made.write(CHOSEN, [rows[row] for row in (7, 2, 11, 5)])
    return rows


def signals_for(method, contents):
    """What the method needs of the contents, and of the examples of a target where it chooses towards one."""
    signals = made.signals(contents, method.needs)
    target = made.target(method.needs) if method.towards_target else None
    signals = dataclasses.replace(signals, stored_target=target)
    if isinstance(method, TuningTargetMethod):
        return made.follow(method.steps(signals, np.arange(len(contents))), contents)[0]
    return made.follow(method.steps(signals), contents)[0] if isinstance(method, TuningScoringMethod) else signals


def select(method, signals, contents, budget):
    """What a method that chooses a set chooses."""
    if isinstance(method, TuningSetMethod):
        return made.follow(method.steps(signals, budget), contents)[0]
    return method.select(signals, budget)


def outcome(method, contents, order=None):
    """Scores, or chosen rows, of the contents in an order of their own; told in the numbers of the given order."""
    order = np.arange(len(contents)) if order is None else order
    ordered = [contents[row] for row in order]
    signals = signals_for(method, ordered)
    if isinstance(method, ScoringMethod):
        scores = method.score(signals)
        assert scores.dtype == np.float64 and scores.shape == (len(contents),)
        back = np.empty_like(scores)
        back[order] = scores
        return back
    keep = method.keep
    budget = 6 if keep is None else Budget(**parse_keep(keep)).count(len(contents))
    rows = np.asarray(select(method, signals, ordered, budget))
    assert np.issubdtype(rows.dtype, np.integer) and len(np.unique(rows)) == len(rows) <= budget
    return order[rows]


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_same_again(name, given, contents):
    first = outcome(methods.build(name, given), contents)
    assert len(first), "nothing was chosen: the made-up signals say nothing to this method"
    assert np.array_equal(first, outcome(methods.build(name, given), contents), equal_nan=True)


@pytest.mark.parametrize("name", methods.names())
def test_no_parameter_has_a_signals_name(name):
    """A selection's settings hold both the parameters and, by its signal, who was asked."""
    assert not {field.name for field in dataclasses.fields(methods.lookup(name))} & kinds().keys()


@pytest.mark.parametrize(("name", "given"), CASES)
def test_a_smaller_budget_takes_the_first_rows(name, given, contents):
    method = methods.build(name, given)
    if isinstance(method, ScoringMethod) or not method.nested:
        return
    signals = signals_for(method, contents)
    every = list(method.select(signals, len(contents)))
    for budget in (1, 4, 11):
        assert list(method.select(signals, budget)) == every[:budget]


@pytest.mark.parametrize(("name", "given"), CASES)
def test_rows_may_change_places(name, given, contents):
    method = methods.build(name, given)
    order = np.random.default_rng(1).permutation(len(contents))
    before, after = outcome(method, contents), outcome(method, contents, order)
    if name == "full":
        before, after = np.sort(before), np.sort(after)
    assert after == pytest.approx(before, nan_ok=True, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_what_is_not_known_has_no_score(name, given, contents):
    """The last row is empty and no model said anything of it."""
    method = methods.build(name, given)
    last = len(contents) - 1
    found = outcome(method, contents)
    if all(need in ("tokens", "texts") or isinstance(need, Field) for need in method.needs):
        return  # what needs no model may well have an opinion of an empty response
    if isinstance(method, ScoringMethod):
        assert np.isnan(found[last])
        assert not np.isnan(found[:last]).all()
    else:
        assert last not in found


@pytest.mark.parametrize(("name", "given"), CASES)
def test_a_row_alone(name, given, contents):
    """One row is no special case; nor is one of which nothing is known."""
    method = methods.build(name, given)
    if {"file", "exclude", "target"} & set(given):
        return  # the list names rows that are not there
    for alone in ([contents[1]], [contents[-1]]):
        signals = signals_for(method, alone)
        if isinstance(method, ScoringMethod):
            assert method.score(signals).shape == (1,)
        else:
            assert len(select(method, signals, alone, 1)) <= 1


@pytest.mark.parametrize(("name", "given"), CASES)
def test_parts_are_columns(name, given, contents):
    method = methods.build(name, given)
    if not hasattr(method, "parts"):
        return
    for key, values in method.parts(signals_for(method, contents)).items():
        assert np.asarray(values).shape == (len(contents),), key
        assert np.asarray(values).dtype.kind in "fiu", key


@pytest.mark.parametrize(("name", "given"), CASES)
def test_parameters_come_back_from_text_and_toml(name, given, contents):
    method = methods.build(name, given)
    values = {field.name: getattr(method, field.name) for field in dataclasses.fields(method) if field.init}
    texts = {key: as_text(value) for key, value in values.items() if value is not None}
    assert methods.build(name, texts) == method
    assert methods.build(name, tomllib.loads(tomli_w.dumps(to_toml_parameters(method)))) == method


def as_text(value):
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_label_is_fit_for_a_file_and_tells_variants_apart(name, given, contents):
    label = methods.build(name, given).label
    assert re.fullmatch(r"[\w.+-]{1,80}", label), label
    labels = [methods.build(name, each).label for each in VARIANTS.get(name, [{}])]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_outline_foresees_the_passes(name, given, contents):
    """As many passes, with the same requests, of models tuned on at most as many rows."""
    method = methods.build(name, given)
    if not tunes(method):
        return
    signals = made.signals(contents, method.needs)
    if isinstance(method, TuningTargetMethod):
        steps = method.steps(dataclasses.replace(signals, stored_target=made.target(())), np.arange(len(contents)))
    else:
        steps = method.steps(signals) if isinstance(method, TuningScoringMethod) else method.steps(signals, 6)
    _, passes = made.follow(steps, contents)
    outlined = method.outline(len(contents), 6)
    assert [each.request for each in outlined] == [each.request for each in passes]
    for most, each in zip(outlined, passes, strict=True):
        assert (each.pairs is None) == (most.pairs is None)
        assert each.pairs is None or 0 < len(each.pairs.rows) <= len(most.pairs.rows)
        if each.model is None:
            assert most.model is None
            continue
        assert 0 < len(each.model.rows) == len(np.unique(each.model.rows)) <= len(most.model.rows)
        assert (each.model.recipe, each.model.epochs) == (most.model.recipe, most.model.epochs)
        assert (each.model.checkpoints, each.of_target) == (most.model.checkpoints, most.of_target)
        assert (each.model.start is None) == (most.model.start is None)


@pytest.mark.parametrize("name", methods.names())
def test_the_docstring_has_its_sections(name):
    text = methods.lookup(name).__doc__
    places = [text.find(f"\n\n    {section}: ") for section in SECTIONS]
    assert -1 not in places, dict(zip(SECTIONS, places, strict=True))
    assert places == sorted(places)
    assert methods.summary(methods.lookup(name)).endswith(".")
