"""SelectIT's arithmetic against the published code's output, the specification's values, and its own properties."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from selectit.errors import SettingsError
from selectit.methods.selectit import SelectIT, token_scores
from selectit.numerics.label_probs import sentence_scores
from selectit.numerics.segments import mean_by_row
from selectit.selection.choose import Budget, select_top
from selectit.signals.arrays import Ratings, Signals
from selectit.signals.rows import Rows

ONE_HOT_5, ONE_HOT_1 = [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]

# (probabilities, paper, official): methods.md, chapter 9.
TOKEN = [
    ([0.05, 0.10, 0.50, 0.25, 0.10], 1.125, 0.248118),
    (ONE_HOT_5, 5.0, 1.278810),
    (ONE_HOT_1, 1.0, 0.255762),
    ([0.2, 0.2, 0.2, 0.2, 0.2], 0.0, 0.0),
    ([0.001, 0.002, 0.003, 0.004, 0.010], 1.875, 0.415133),
    ([0.40, 0.40, 0.10, 0.05, 0.05], 0.25, 0.051191),
]
SENTENCE = [
    [0.05, 0.10, 0.50, 0.25, 0.10],
    [0.1, 0.1, 0.2, 0.4, 0.2],
    [0, 0.1, 0.2, 0.3, 0.4],
    [0.2, 0.2, 0.3, 0.2, 0.1],
    [0.05, 0.05, 0.2, 0.6, 0.1],
]


def log(probabilities):
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities, dtype=np.float64)).astype(np.float32)


def signals(logprob, parameters=(1,), row=None):
    logprob = np.asarray(logprob, dtype=np.float32)
    items, models, prompts, _ = logprob.shape
    row = np.arange(items) if row is None else np.asarray(row)
    n = int(row.max()) + 1
    rows = Rows(np.zeros(n, "V16"), np.zeros(n, np.int64), np.ones(n, np.int64))
    names = tuple(f"m{m}" for m in range(models))
    zeros = np.zeros((items, models, prompts))
    ratings = Ratings(logprob, row, zeros.astype(np.uint8), zeros.astype(np.int32), np.array(parameters), names)
    return Signals(rows, {"ratings": ratings})


@pytest.mark.parametrize(("probabilities", "paper", "official"), TOKEN)
def test_token_scores_of_the_specification(probabilities, paper, official):
    assert token_scores(log(probabilities), "paper") == pytest.approx(paper, abs=1e-6)
    assert token_scores(log(probabilities), "official", 5) == pytest.approx(official, abs=1e-6)


def test_sentence_scores_of_the_specification():
    paper = token_scores(log(SENTENCE), "paper")
    assert paper == pytest.approx([1.125, 1.0, 1.25, 0.375, 2.0], abs=1e-6)
    assert sentence_scores(paper, 0.2, 5) == pytest.approx(1.041513, abs=1e-6)
    official = token_scores(log(SENTENCE), "official", 5)
    assert official == pytest.approx([0.248118, 0.213858, 0.261595, 0.077222, 0.457407], abs=1e-6)
    assert sentence_scores(official, 0.2, 5) == pytest.approx(0.245651, abs=1e-6)


def test_the_figure_of_the_repository_uses_alpha_1():
    tokens = np.array([1.95 - 0.23, 1.95 + 0.23])
    assert sentence_scores(tokens, 1.0, 2) == pytest.approx(1.585, abs=1e-3)
    assert sentence_scores(tokens, 0.2, 2) == pytest.approx(1.864, abs=1e-3)


def test_model_weights_of_the_specification():
    # Scores of 1.59, 2.13 and 1.89 need probabilities that give them: rating 3, P'max from the closed form.
    def giving(score):
        top_probability = (score / 3 * 4 + 1) / 5
        rest = (1 - top_probability) / 4
        return log([rest, rest, top_probability, rest, rest])

    three = np.stack([giving(s) for s in (1.59, 2.13, 1.89)])[None, :, None, :]
    by_parameters = SelectIT(level="model", k=1).score(signals(three, parameters=(7, 13, 70)))
    assert by_parameters == pytest.approx([1.901333], abs=1e-5)
    given_weights = SelectIT(level="model", k=1, weights=(7, 13, 70)).score(signals(three, parameters=(1, 1, 1)))
    assert given_weights == pytest.approx([1.901333], abs=1e-5)


@pytest.mark.parametrize("model", ["smollm2", "gemma"])
@pytest.mark.parametrize("level", ["token", "sentence"])
def test_published_scores_and_choice(golden, model, level):
    stored = golden[model][level]
    probabilities = np.array(stored["probs"])
    logprob = log(probabilities)[:, None, None] if level == "token" else log(probabilities)[:, None]
    method = SelectIT(level=level, profile="official", k=5, alpha=0.2)
    scores = method.score(signals(logprob))
    assert np.abs(scores - stored["scores"]).max() < 1e-5
    kept = select_top(scores, Budget(rows=len(stored["selected"])), ties=method.ties)
    assert kept.rows.tolist() == stored["selected"]


def test_published_model_level(golden):
    stored = golden["model_smollm2_gemma_smollm2"]
    three = np.stack([log(golden[name]["sentence"]["probs"]) for name in ("smollm2", "gemma", "smollm2")], axis=1)
    method = SelectIT(level="model", profile="official")
    scores = method.score(signals(three, parameters=(1, 2, 3)))
    assert np.abs(scores - stored["scores"]).max() < 1e-5
    kept = select_top(scores, Budget(rows=len(stored["selected"])), ties=method.ties)
    assert kept.rows.tolist() == stored["selected"]


def test_official_k_below_5_reads_the_first_labels_only():
    # methods.md 3.4, row 4: the gap over the first k labels, divided by k - 1, the rating over all five.
    probabilities = np.array([0.05, 0.10, 0.50, 0.25, 0.10])
    second = np.exp(probabilities) / np.exp(probabilities).sum()
    by_hand = 3 * np.abs(second[:3] - second.max()).sum() / 2
    assert token_scores(log(probabilities), "official", 3) == pytest.approx(by_hand, abs=1e-6)


def test_official_ties_take_the_larger_row_and_paper_the_smaller():
    same = np.zeros((4, 1, 1, 5), np.float32)
    for profile, first in (("paper", 0), ("official", 3)):
        method = SelectIT(level="token", profile=profile)
        assert select_top(method.score(signals(same)), Budget(rows=1), ties=method.ties).rows.tolist() == [first]


def test_levels_read_what_they_say():
    rng = np.random.default_rng(1)
    logprob = np.log(rng.random((6, 1, 5, 5)))
    tokens = token_scores(logprob[:, 0])
    assert SelectIT(level="token").score(signals(logprob)) == pytest.approx(tokens[:, 0], abs=1e-5)
    assert SelectIT(level="sentence", k=3).score(signals(logprob[:, :, :3])) == pytest.approx(
        tokens[:, :3].mean(1) / (1 + 0.2 * tokens[:, :3].std(1)), abs=1e-5
    )
    two = np.log(rng.random((6, 2, 5, 5)))
    expected = token_scores(two[:, :, 0]) @ [0.25, 0.75]
    assert SelectIT(level="model-token").score(signals(two, parameters=(1, 3))) == pytest.approx(expected, abs=1e-5)


def test_a_missing_rating_is_no_score_unless_allowed():
    rng = np.random.default_rng(2)
    logprob = np.log(rng.random((3, 1, 5, 5)))
    logprob[1, 0, 4] = np.nan
    strict = SelectIT().score(signals(logprob))
    assert np.isnan(strict).tolist() == [False, True, False]
    lenient = SelectIT(min_prompts=4).score(signals(logprob))
    tokens = token_scores(logprob[1, 0, :4])
    assert lenient[1] == pytest.approx(tokens.mean() / (1 + 0.2 * tokens.std()), abs=1e-5)
    assert lenient[0] == pytest.approx(strict[0])
    assert np.isnan(token_scores(np.full(5, -np.inf)))


def test_a_row_is_the_mean_of_its_items():
    assert mean_by_row(np.array([1.0, 3.0, 5.0, np.nan]), np.array([0, 0, 1, 2]), 4) == pytest.approx(
        [2, 5, np.nan, np.nan], nan_ok=True
    )


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"level": "sentense"}, "'sentence'"),
        ({"profile": "papr"}, "'paper'"),
        ({"k": 0}, "k is 0"),
        ({"alpha": -0.1}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"min_prompts": 6}, "min-prompts"),
        ({"weights": (1.0, 0.0)}, "weights"),
        ({"profile": "official", "k": 1}, "k - 1"),
        ({"profile": "official", "weights": (1.0,)}, "fixed weights"),
    ],
)
def test_wrong_parameters_are_refused(parameters, says):
    with pytest.raises(SettingsError, match=says):
        SelectIT(**parameters)


@pytest.mark.parametrize(
    ("parameters", "models", "says"),
    [
        ({"level": "sentence"}, 2, "reads one model"),
        ({"level": "model", "profile": "official"}, 2, "exactly three"),
        ({"level": "model", "weights": (1.0,)}, 2, "1 weights for 2 models"),
        ({"profile": "official", "k": 7}, 1, "5 labels"),
    ],
)
def test_settings_that_do_not_fit_the_ratings_are_refused(parameters, models, says):
    with pytest.raises(SettingsError, match=says):
        SelectIT(**parameters).score(signals(np.zeros((2, models, 7, 5)), parameters=(1,) * models))


probabilities = st.lists(st.floats(1e-6, 1), min_size=2, max_size=9)


@given(probabilities)
def test_paper_score_is_equation_3_written_out(values):
    normal = np.array(values) / sum(values)
    best = int(np.argmax(np.log(values)))  # of two that differ in the last bit the logarithms may not
    written_out = (best + 1) * np.abs(normal - normal[best]).sum() / (len(values) - 1)
    assert token_scores(np.log(values)) == pytest.approx(written_out, abs=1e-9)
    assert -1e-9 <= token_scores(np.log(values)) <= len(values) + 1e-9


@given(probabilities, st.floats(-20, 20))
def test_only_the_ratio_of_the_labels_counts(values, shift):
    # Of two that are nearer to each other than that, the rounding of the sum decides which is the best.
    assume((np.diff(np.unique(np.log(values))) > 1e-9).all())
    for profile in ("paper", "official"):
        assert token_scores(np.log(values) + shift, profile, 2) == pytest.approx(
            token_scores(np.log(values), profile, 2), abs=1e-9
        )


@given(st.lists(st.floats(0, 5), min_size=1, max_size=9), st.floats(0, 10), st.floats(0, 10))
def test_disagreement_costs_more_with_a_larger_alpha(tokens, alpha, more):
    scores = np.array(tokens)
    low, high = (float(sentence_scores(scores, a, len(tokens))) for a in (alpha + more, alpha))
    assert low <= high + 1e-9
    assert float(sentence_scores(scores, 0.0, len(tokens))) == pytest.approx(scores.mean())


@given(st.permutations(range(8)))
def test_scores_follow_their_rows(order):
    logprob = np.log(np.random.default_rng(3).random((8, 1, 5, 5)))
    assert SelectIT().score(signals(logprob[list(order)])) == pytest.approx(
        SelectIT().score(signals(logprob))[list(order)]
    )
