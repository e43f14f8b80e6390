"""The methods that read losses: the specification's values, their edges, and whole distributions written out."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_up_signals as made
from selectit.data.records import Sample
from selectit.errors import SettingsError
from selectit.methods.el2n import El2n
from selectit.methods.grape import Grape
from selectit.methods.ifd import Ifd
from selectit.methods.perplexity import Perplexity
from selectit.methods.rsr import Rsr
from selectit.methods.superfiltering import Superfiltering
from selectit.methods.tshirt import Tshirt
from selectit.methods.uncertainty import Uncertainty
from selectit.numerics.segments import least, means, means_after_first
from selectit.signals.arrays import Signals
from selectit.signals.loss_templates import ALPACA, CHAT, PLAIN, loss_text

NAN = float("nan")


def of(losses, n=None):
    return Signals(made.rows(int(losses.row.max()) + 1 if n is None else n), stored={"losses": losses})


def scores(method, after, alone):
    return method.score(of(made.token_losses(after, alone))).tolist()


def one_distribution(p, gold):
    """One item of one token with these probabilities."""
    item = dataclasses.replace(
        made.content(1, broken=False)[0].items[0],
        p=np.array([p]), gold=np.array([gold]), alone=np.zeros((31, 1)), noisy=np.zeros((30, 1)),
    )  # fmt: skip
    return of(made.losses([item], [0]))


# The values of methods.md, chapter 9


def test_ifd_of_the_specification():
    assert scores(Ifd(), [[1, 2, 0.5]], [[2, 2.5, 1.5]]) == pytest.approx([0.583333], abs=1e-6)
    assert scores(Superfiltering(), [[1, 2, 0.5]], [[2, 2.5, 1.5]]) == pytest.approx([0.434598], abs=1e-6)


def noisy(after, alone):
    """Losses whose only noisy copies these are: (copies, tokens) of one item a row."""
    clean = made.token_losses([copies[0] for copies in after], [copies[0] for copies in alone])
    stack = [np.concatenate([np.array(item, "f4") for item in each], axis=1) for each in (after, alone)]
    return dataclasses.replace(
        clean, given=np.concatenate([clean.given, stack[0]]), alone=np.concatenate([clean.alone, stack[1]])
    )


def test_s_ifd_of_the_specification():
    losses = noisy([[[1, 2, 0.5, 3]]], [[[2, 2.5, 0.4, 3.1]]])
    selective, difficulty = Tshirt(copies=1)._copies(of(losses))
    assert selective[0] == pytest.approx([0.472367], abs=1e-6)
    assert difficulty[0] == pytest.approx([0.687289], abs=1e-6)


def test_el2n_and_entropy_of_the_specification():
    signals = one_distribution([0.7, 0.2, 0.1], 1)
    assert El2n().score(signals) == pytest.approx([1.067708], abs=1e-6)
    assert Uncertainty().score(signals) == pytest.approx([0.801819], abs=1e-6)


def test_rsr_of_the_specification():
    """Ranks 1, 3, 250 cut at 100 over the surprisals; of a data set the ratio of the means."""
    losses = made.token_losses([[0.1, 1.2, 6.7], [1, 1]], [[0] * 3, [0] * 2], rank=[[1, 3, 250], [2, 2]])
    parts = Rsr().parts(of(losses))
    assert parts["rsr"] == pytest.approx([13, 2]) and Rsr().score(of(losses)) == pytest.approx([-13, -2])
    assert parts["mean_rank"].mean() / parts["surprisal"].mean() == pytest.approx(10)
    assert parts["rsr"].mean() == pytest.approx(7.5)
    assert Rsr(clip=10).parts(of(losses))["rsr"] == pytest.approx([14 / 8, 2])


def test_rsr_pools_the_answers_of_a_row_and_knows_none_of_an_empty_one():
    losses = made.token_losses([[1], [2, 4], [1], []], [[0], [0, 0], [0], []], rank=[[3], [5, 6], [1], []])
    pooled = dataclasses.replace(losses, row=np.array([0, 0, 1, 1]))
    assert Rsr().score(of(pooled, 3)) == pytest.approx([-14 / 7, NAN, NAN], nan_ok=True)


def grouped(method, losses, asked, field=None):
    """The scores of rows with these instructions, and these values of a field."""
    texts = tuple(Sample(row, 0, text, "") for row, text in enumerate(asked))
    return method.score(dataclasses.replace(of(losses), stored_texts=texts, stored_field=field))


def test_grape_of_the_specification():
    """Sums of 6 over 3 tokens and of 9 over 10: the second is likelier per token."""
    losses = made.token_losses([[2] * 3, [0.9] * 10, [3]], [[0] * 3, [0] * 10, [0]])
    scores = grouped(Grape(), losses, ["Say it.", " Say it.\n", "Say more."])
    assert scores == pytest.approx([NAN, 0.406570, np.exp(-3)], nan_ok=True, abs=1e-6)


def test_grape_by_a_field():
    """Of equal ones the first; who has no value, or no losses, is beaten by none."""
    losses = made.token_losses([[1], [1], [], [2], [2]], [[0], [0], [], [0], [0]])
    scores = grouped(Grape(by="id"), losses, [""] * 5, ("a", "a", "a", "", ""))
    assert scores == pytest.approx([np.exp(-1), NAN, NAN, np.exp(-2), np.exp(-2)], nan_ok=True)


# Whole distributions written out


def by_hand(rows, function):
    """(N,) mean over the items of a row of a function of an item's probabilities and gold tokens."""
    return [np.mean([function(item.p, item.gold) for item in content.items]) for content in rows]


def test_el2n_is_the_length_of_the_error_vector():
    rows = made.content(12, seed=3, broken=False)
    one_hot = np.eye(made.VOCABULARY)
    expected = by_hand(rows, lambda p, gold: np.linalg.norm(p - one_hot[gold], axis=1).mean())
    assert El2n().score(made.signals(rows, El2n().needs)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("measure", "written_out"),
    [
        ("entropy", lambda p, gold: -(p * np.log(p)).sum(1).mean()),
        ("least-confidence", lambda p, gold: (1 - p.max(1)).mean()),
        ("margin", lambda p, gold: -np.diff(np.sort(p, 1)[:, -2:]).mean()),
        ("least-margin", lambda p, gold: -np.diff(np.sort(p, 1)[:, -2:]).min()),
    ],
)
def test_uncertainty_of_whole_distributions(measure, written_out):
    rows = made.content(12, seed=4, broken=False)
    method = Uncertainty(measure)
    assert method.score(made.signals(rows, method.needs)) == pytest.approx(by_hand(rows, written_out), abs=1e-5)


@settings(deadline=None)
@given(st.lists(st.floats(1e-7, 1), min_size=2, max_size=9), st.integers(0, 8))
def test_el2n_is_within_its_range(weights, gold):
    p = np.array(weights) / sum(weights)
    score = El2n().score(one_distribution(p, gold % len(p)))[0]
    assert 0 <= score <= np.sqrt(2) + 1e-6


# Edges


def test_ifd_above_1_is_misaligned_and_exactly_1_is_kept():
    after, alone = [[2, 2], [2, 2], [1, 1], []], [[2, 2], [1, 1], [2, 2], []]
    assert scores(Ifd(), after, alone) == pytest.approx([1, NAN, 0.5, NAN], nan_ok=True)
    assert scores(Superfiltering(), after, alone) == pytest.approx([NAN, NAN, np.exp(-1), NAN], nan_ok=True)
    for method, misaligned in ((Ifd(), [0, 1, 0, NAN]), (Superfiltering(), [1, 1, 0, NAN])):
        parts = method.parts(of(made.token_losses(after, alone)))
        assert parts["misaligned"] == pytest.approx(misaligned, nan_ok=True)
        assert parts["loss"] == pytest.approx([2, 2, 1, NAN], nan_ok=True)
        assert parts["loss_alone"] == pytest.approx([2, 1, 2, NAN], nan_ok=True)
    assert Ifd().parts(of(made.token_losses(after, alone)))["ifd"] == pytest.approx([1, 2, 0.5, NAN], nan_ok=True)


def test_without_a_first_token_the_alone_mean_is_over_one_less():
    """GPT-2's rule: T tokens after the instruction, T - 1 alone; one token alone has no mean."""
    after, alone = [[1, 2, 3], [1]], [[NAN, 4, 6], [NAN]]
    assert scores(Ifd(), after, alone) == pytest.approx([2 / 5, NAN], nan_ok=True)
    assert scores(Superfiltering(), after, alone) == pytest.approx([np.exp(2 - 5), NAN], nan_ok=True)


def test_a_loss_that_is_missing_elsewhere_is_no_score():
    for method in (Ifd(), Superfiltering()):
        assert np.isnan(scores(method, [[1, NAN, 3]], [[4, 5, 6]])).all()
        assert np.isnan(scores(method, [[1, 2, 3]], [[4, NAN, 6]])).all()
    assert np.isnan(scores(Ifd(), [[1, 1]], [[0, 0]])).all(), "a loss of 0 alone has no ratio"


def test_a_row_of_several_responses_has_their_mean():
    losses = dataclasses.replace(
        made.token_losses([[1], [2], [1], [1]], [[2], [2], [4], [NAN]]), row=np.array([0, 0, 1, 1])
    )
    assert Ifd().score(of(losses)) == pytest.approx([0.75, NAN], nan_ok=True)


def test_perplexity_of_each_span():
    losses = made.token_losses([[1, 2, 3], [1]], [[0, 0, 0], [0]], prompt_tokens=5, prompt_loss=0.5)
    expected = {
        "response": [np.exp(2), NAN],  # one token is too few
        "instruction": [np.exp(0.5)] * 2,
        "whole": [np.exp((4 * 0.5 + 6) / 7), np.exp((4 * 0.5 + 1) / 5)],
    }
    for span, values in expected.items():
        high = Perplexity(policy="high", span=span)
        assert high.score(of(losses)) == pytest.approx(values, nan_ok=True)
        assert Perplexity(span=span).score(of(losses)) == pytest.approx([-v for v in values], nan_ok=True)
        assert high.parts(of(losses))["perplexity"] == pytest.approx(values, nan_ok=True)


def test_perplexity_without_a_prompt_before_the_response():
    one = made.token_losses([[1, 2, 3]], [[0, 0, 0]], prompt_tokens=1, prompt_loss=NAN)  # a token for the beginning
    assert Perplexity(policy="high", span="whole").score(of(one)) == pytest.approx([np.exp(2)])
    assert np.isnan(Perplexity(span="instruction").score(of(one))).all()


def test_the_middle_of_the_perplexities():
    losses = made.token_losses([[loss] * 2 for loss in (5, 1, 4, 2, 3)], [[0, 0]] * 5)
    middle = Perplexity(policy="middle").score(of(losses))
    assert np.argsort(-middle, kind="stable").tolist() == [4, 2, 3, 0, 1]
    assert middle[4] == 0
    low = Perplexity(policy="middle", centre=10).score(of(losses))
    assert np.argsort(-low, kind="stable").tolist() == [1, 3, 4, 2, 0]


def test_tshirt_chooses_in_two_stages():
    """Large mean S-IFD first, twice the budget of them; then the steadiest of these, steadiest first."""
    # Row: mean difference and how far two copies lie from it. Alone 5, so that IFD stays below 1.
    rows = [(-0.1, 0.09), (-0.2, 0.01), (-0.3, 0.05), (-0.4, 0.02), (-2.0, 0.0)]
    after = [[[5 + d - e] * 2, [5 + d + e] * 2] for d, e in rows]
    alone = [[[5, 5], [5, 5]]] * len(rows)
    signals = of(noisy(after, alone))
    chosen = Tshirt(copies=2, ratio=1.0).select(signals, 2)
    assert chosen.tolist() == [1, 3]
    assert Tshirt(copies=2, ratio=1.0).select(signals, 5).tolist() == [4, 1, 3, 2, 0]


def test_tshirt_leaves_out_rows_above_1_and_rows_without_losses():
    after, alone = [[[6, 6]], [[4, 4]], [[4]], [[]]], [[[5, 5]], [[5, 5]], [[NAN]], [[]]]
    assert Tshirt(copies=1).select(of(noisy(after, alone)), 4).tolist() == [1]
    nothing = noisy([[[]]], [[[]]])
    assert Tshirt(copies=1).select(of(nothing), 1).tolist() == []


def test_a_row_without_tokens_above_the_threshold_counts_1():
    losses = noisy([[[5, 1]], [[3, 3]]], [[[5, 5]], [[3, 3]]])
    selective, _ = Tshirt(copies=1)._copies(of(losses))
    assert selective[0] == pytest.approx([np.exp(-4), 1])


# The arithmetic they share


@settings(deadline=None)  # the first example loads what is not needed later
@given(st.lists(st.lists(st.floats(-50, 50, width=32), max_size=6), min_size=1, max_size=8))
def test_segments_by_hand(items):
    values = np.array([value for item in items for value in item], dtype="f4")
    start = np.r_[0, np.cumsum([len(item) for item in items])]
    assert means(values, start) == pytest.approx([np.mean(i) if i else NAN for i in items], nan_ok=True, abs=1e-5)
    assert least(values, start) == pytest.approx([min(i) if i else NAN for i in items], nan_ok=True)
    assert means_after_first(values, start) == pytest.approx(means(values, start), nan_ok=True)


def test_a_missing_value_is_skipped_first_only():
    values, start = np.array([NAN, 2, 4, 1, NAN, NAN]), np.array([0, 3, 3, 5, 6])
    assert means_after_first(values, start) == pytest.approx([3, NAN, NAN, NAN], nan_ok=True)
    assert means(values, start) == pytest.approx([NAN] * 4, nan_ok=True)
    assert least(values, start) == pytest.approx([NAN] * 4, nan_ok=True)
    assert np.isnan(values[0]), "the input is as it was"
    assert means_after_first(np.array([NAN, NAN, 2, 4, NAN]), np.array([0, 4, 5])) == pytest.approx(
        [3, NAN], nan_ok=True
    )


# Parameters


def test_the_texts():
    assert ALPACA.template.endswith("### Instruction:\n{instruction}\n\n### Response:")
    assert (PLAIN.template, PLAIN.alone) == ("{instruction}\n", "")
    alpaca, plain, chat = (dataclasses.replace(each, boundary="joint") for each in (ALPACA, PLAIN, CHAT))
    assert Ifd().needs == (alpaca,)
    assert Perplexity().needs == El2n().needs == Uncertainty().needs == (dataclasses.replace(alpaca, both=False),)
    assert Grape().needs == (dataclasses.replace(alpaca, both=False), "texts")
    assert Rsr().needs == (dataclasses.replace(chat, both=False),)
    assert Superfiltering().needs == (plain,)
    assert Superfiltering(cut="published").needs == (dataclasses.replace(plain, shifted=True),)
    assert Tshirt().needs == (dataclasses.replace(plain, copies=30, noise=5.0, seed=42),)
    assert loss_text("plain", "split").boundary == "split"


def test_labels_tell_the_ways_of_reading_apart():
    for method in (Ifd, Superfiltering, Perplexity, El2n, Uncertainty, Tshirt, Rsr, Grape):
        ways = [{}, {"boundary": "split"}, {"template": "plain"}, {"template": "alpaca"}, {"template": "chat"}]
        labels = {method(**way).label for way in ways}
        assert len(labels) == 4, "one of them is the default"
    assert Grape(by="a.b").label != Grape().label
    assert Superfiltering(cut="published").label != Superfiltering().label


@pytest.mark.parametrize(
    ("method", "parameters", "says"),
    [
        (Ifd, {"template": "alpacca"}, "'alpaca'"),
        (Superfiltering, {"boundary": "splt"}, "'split'"),
        (Perplexity, {"policy": "lowest"}, "'low'"),
        (Perplexity, {"span": "respons"}, "'response'"),
        (Perplexity, {"centre": 101.0}, "percentile"),
        (Perplexity, {"centre": NAN}, "percentile"),
        (Uncertainty, {"measure": "entropi"}, "'entropy'"),
        (El2n, {"template": "x"}, "template"),
        (Tshirt, {"ratio": 0.0}, "ratio"),
        (Tshirt, {"copies": 0}, "copies"),
        (Tshirt, {"noise": NAN}, "noise"),
        (Superfiltering, {"cut": "publishd"}, "'published'"),
        (Rsr, {"clip": 0}, "clip"),
        (Grape, {"template": "x"}, "template"),
    ],
)
def test_wrong_parameters_are_refused(method, parameters, says):
    with pytest.raises(SettingsError) as refused:
        method(**parameters)
    assert says in str(refused.value)
