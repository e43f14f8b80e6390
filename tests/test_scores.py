"""The methods on arrays give what a run stores; wrong shapes and values are refused."""

import json

import numpy as np
import pytest

import selectit
from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.progress import Silent
from selectit.runs.run import open_run
from selectit.selection.collect import load_signals
from selectit.selection.resolve import resolve

scores = selectit.scores
LOGPROBS = np.log(np.random.default_rng(0).dirichlet(np.ones(5), (6, 3)))
VECTORS = np.random.default_rng(1).normal(size=(12, 4)).astype("f4")
LOSSES = {
    "ifd": lambda x: scores.ifd((x.given[0], x.start), (x.alone[0], x.start)),
    "perplexity": lambda x: scores.perplexity((x.given[0], x.start)),
    "el2n": lambda x: scores.el2n((x.given[0], x.start), (x.squares, x.start)),
    "rsr": lambda x: scores.rsr((x.given[0], x.start), (x.rank, x.start)),
    "uncertainty": lambda x: scores.entropy((x.entropy, x.start)),
    "uncertainty:measure=least-margin": lambda x: scores.margin(
        (x.largest, x.start), (x.second, x.start), measure="least-margin"
    ),
}
CHOICES = {
    "facility-location": lambda vectors, words: scores.facility_location(vectors, 4),
    "dpp:quality=length": lambda vectors, words: scores.dpp(vectors, 4, quality=words),
    "similarity:quality=length": lambda vectors, words: scores.similarity(vectors, 4, words),
}


@pytest.fixture
def data(folder):
    """Twelve rows all unlike each other, one without a response."""
    rows = [{"instruction": f"Question {n}?", "output": "word " * (1 + n * 7 % 11)} for n in range(11)]
    (folder / "data.json").write_text(json.dumps([*rows, {"instruction": "Say nothing.", "output": ""}]))
    return folder / "data.json"


def collect(data, **more):
    """What `select` did with the fake engine, and the signals that it read."""
    models = {} if more.pop("no_model", False) else {"model": ("a",)}
    settings = Settings(**{"engine": "fake", "run": "r", "keep": 4, **models, **more})
    selected = selectit.select(data, settings)
    plan = resolve(settings, open_run("r"), asks=False)
    return selected, load_signals(open_run("r"), plan.parts[0], plan.prompts, None, Silent()).signals


def assert_stored(found, **more):
    """The run stores these scores."""
    stored = selectit.score("r", Settings(**more)).score
    assert np.isfinite(stored).any() and found.dtype == np.float64
    np.testing.assert_allclose(found, stored, rtol=1e-12, atol=0)


@pytest.mark.parametrize("profile", ["paper", "official"])
@pytest.mark.parametrize("level", ["token", "sentence"])
def test_ratings_of_one_model(data, level, profile):
    _, signals = collect(data, level=level, profile=profile)
    k = 5 if profile == "official" else None
    found = scores.selectit(signals.ratings.logprob[:, 0], level=level, profile=profile, k=k)
    assert_stored(found, level=level, profile=profile)


def test_ratings_of_several_models(data):
    _, signals = collect(data, model=("a", "b"), weights=(7.0, 13.0), alpha=0.4)
    found = scores.selectit(signals.ratings.logprob, alpha=0.4, parameters=(0.7, 1.3))
    assert_stored(found, model=("a", "b"), weights=(7.0, 13.0), alpha=0.4)


def test_other_readings_of_ratings(data):
    _, signals = collect(data)
    logprob = signals.ratings.logprob[:, 0]
    assert_stored(scores.expected_rating(logprob), method="expected-rating")
    assert_stored(scores.log_odds(logprob, upper=1), method="log-odds", param={"upper": "1"})


@pytest.mark.parametrize("method", LOSSES)
def test_losses_of_tokens(data, method):
    name, _, measure = method.partition(":measure=")
    param = {"param": {"measure": measure}} if measure else {}
    _, signals = collect(data, method=name, **param)
    assert_stored(LOSSES[method](signals.losses), method=name, **param)


def test_a_list_of_rows_is_values_with_offsets():
    rows = [[1.0, 2.0, 0.5], [], [3.0]]
    alone = [[2.0, 2.5, 1.5], [], [4.0]]
    found = scores.ifd(rows, alone)
    assert found.tolist() == pytest.approx([0.583333, np.nan, 0.75], abs=1e-6, nan_ok=True)  # 3.5/6; none; 3/4
    flat = scores.ifd(([1, 2, 0.5, 3], [0, 3, 3, 4]), ([2, 2.5, 1.5, 4], [0, 3, 3, 4]))
    np.testing.assert_array_equal(flat, found)


@pytest.mark.parametrize("method", CHOICES)
def test_choices_are_those_of_a_run(data, method):
    name, _, quality = method.partition(":quality=")
    param = {"param": {"quality": quality}} if quality else {}
    selected, signals = collect(data, no_model=True, encoder="e", method=name, **param)
    words = signals.rows.response_words.astype(float)
    assert CHOICES[method](signals.embeddings.vectors, words).tolist() == selected.selection.rows.tolist()


def test_a_draw_goes_with_the_vectors():
    order = np.random.default_rng(2).permutation(12)
    for choose in (scores.kcenter, scores.kmeans):
        chosen = choose(VECTORS, 5, seed=3)
        assert len(set(chosen.tolist())) == 5 and chosen.dtype == np.int64
        np.testing.assert_array_equal(order[choose(VECTORS[order], 5, seed=3)], chosen)


def test_rows_without_numbers_have_no_score_and_are_not_chosen():
    holes, points = LOGPROBS.copy(), VECTORS.copy()
    holes[2, 1, 0], points[3, 0] = np.nan, np.nan
    assert np.flatnonzero(np.isnan(scores.selectit(holes))).tolist() == [2]
    assert np.isnan(scores.selectit(holes, min_prompts=2)).sum() == 0
    assert sorted(scores.kcenter(points, 12)) == [row for row in range(12) if row != 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scores.selectit(LOGPROBS[0]), r"logprobs has the shape \(3, 5\)"),
        (lambda: scores.selectit(LOGPROBS[..., :1]), r"two labels at least"),
        (lambda: scores.selectit(np.exp(LOGPROBS)), "natural logs"),
        (lambda: scores.selectit([["a"]]), "no array of numbers"),
        (lambda: scores.selectit(LOGPROBS, k=4), "k is 4, and logprobs has 3 prompts"),
        (lambda: scores.selectit(LOGPROBS, level="words"), "no level 'words'"),
        (lambda: scores.selectit(np.stack([LOGPROBS] * 2, 1)), "there are 2 models"),
        (lambda: scores.selectit(np.stack([LOGPROBS] * 2, 1), parameters=(1,)), "parameters has the shape"),
        (lambda: scores.expected_rating(np.stack([LOGPROBS] * 2, 1)), "reads one model"),
        (lambda: scores.selectit(np.stack([LOGPROBS] * 2, 1), level="sentence", parameters=(1, 2)), "reads one model"),
        (lambda: scores.selectit(LOGPROBS, parameters=(1,)), "the level 'sentence' has no weights"),
        (lambda: scores.selectit(LOGPROBS, profile="official", k=1), "divides by k - 1"),
        (lambda: scores.selectit(LOGPROBS, profile="official", min_prompts=1), "wants every rating"),
        (lambda: scores.selectit(LOGPROBS[..., :2], profile="official"), "2 labels for prompts and ratings alike"),
        (lambda: scores.selectit(np.stack([LOGPROBS] * 2, 1), profile="official"), "exactly three models"),
        (lambda: scores.ifd([[1.0]], [[1.0, 2.0]]), "different numbers of tokens"),
        (lambda: scores.perplexity([[-1.0, -2.0]]), "given has -2"),
        (lambda: scores.perplexity([1.0, 2.0]), "given is no list of rows"),
        (lambda: scores.perplexity(([1.0, 2.0], [0, 1])), "offsets of given do not fit its 2 values"),
        (lambda: scores.perplexity(([1.0], [1.0], [1.0])), "a tuple of 3"),
        (lambda: scores.perplexity(([1.0], [0.0, 1.0])), "offsets of"),
        (lambda: scores.kcenter(VECTORS[0], 1), r"vectors has the shape \(4,\)"),
        (lambda: scores.kcenter(VECTORS, 13), "budget is 13 of 12 rows"),
        (lambda: scores.similarity(VECTORS, 3, np.ones(3)), r"quality has the shape \(3,\)"),
    ],
)
def test_what_can_not_be_is_refused(call, message):
    with pytest.raises(SettingsError, match=message) as refused:
        call()
    assert "--" not in str(refused.value)  # of the command's options Python knows nothing
