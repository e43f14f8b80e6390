"""Methods that read judges, rewards, tags, embeddings and other methods' scores: values by hand and edges."""

import dataclasses
import json
import math

import numpy as np
import pytest

import made_up_signals as made
from places import GOLDEN
from selectit import methods
from selectit.data.records import Sample
from selectit.errors import DataError, RunError, SettingsError
from selectit.methods.alpagasus_local import parse, parse_strict
from selectit.methods.lift import _signs, row_variance
from selectit.numerics.label_probs import expected
from selectit.selection.choose import Budget, select_top
from selectit.signals.arrays import Embeddings, Judgements, Rewards, Signals, Target


def embedded(vectors, **more):
    vectors = np.array(vectors, dtype=np.float32)
    rows = made.rows(len(vectors))
    return Signals(rows, stored={"embeddings": Embeddings(np.arange(len(vectors)), vectors)}, **more)


def build(name, **given):
    return methods.build(name, given)


# Judges


@pytest.mark.parametrize(
    ("reply", "ours", "strict"),
    [
        ("4.5\nok", 4.5, 4.5),
        ("Score: 4", 4, -1),
        ("4/5", 4, -1),
        ("", math.nan, -1),
        ("\n\n3 of 5\n1", 3, -1),
        ("I gave it 17 points, so 2.5", 2.5, -1),
        ("9/10", math.nan, -1),
        ("-3", math.nan, -3),
        ("nan", math.nan, -1),
        ("excellent\n5", math.nan, -1),
    ],
)
def test_reading_a_score(reply, ours, strict):
    assert parse(reply) == pytest.approx(ours, nan_ok=True)
    assert parse_strict(reply) == strict


def judged(replies, judge="gpt-3.5-turbo-0125", row=None):
    row = np.arange(len(replies)) if row is None else np.array(row)
    return Signals(made.rows(int(row.max()) + 1), stored={"judgements": Judgements(row, tuple(replies), judge)})


def test_alpagasus_is_chatgpt_only():
    assert build("alpagasus").score(judged(["4", "5", None]))[:2].tolist() == [4, 5]
    for judge in ("Qwen2.5-7B-Instruct", ""):
        with pytest.raises(SettingsError, match="AlpaGasus's judge is gpt-3.5-turbo") as caught:
            build("alpagasus").score(judged(["4"], judge))
        assert "alpagasus-local" in caught.value.hint
    assert build("alpagasus-local").score(judged(["4"], "Qwen2.5-7B-Instruct")).tolist() == [4]


def test_a_judged_row_is_the_mean_of_its_answers():
    scores = build("alpagasus-local").score(judged(["4", "5", "3", "no idea"], row=[0, 0, 1, 1]))
    assert scores[0] == 4.5 and np.isnan(scores[1])
    assert np.isnan(build("alpagasus-local", parser="strict").score(judged(["Score: 4"]))).all()


def test_equal_judgements_are_in_the_order_of_a_draw():
    signals = judged(["4"] * 40 + ["5"] * 3)

    def kept(seed):
        method = build("alpagasus-local", seed=seed)
        return select_top(method.score(signals), Budget(rows=10), ties=method.tie_break(signals)).rows.tolist()

    assert sorted(kept(0)[:3]) == [40, 41, 42]
    assert kept(0) == kept(0) != kept(1)
    assert kept(0)[3:] != sorted(kept(0)[3:])


def test_the_question_holds_the_pair():
    (question,) = build("alpagasus-local", dimension="helpfulness").needs
    assert question.text.count("{instruction}") == question.text.count("{response}") == 1
    assert "helpful" in question.text and "accurate" not in question.text


def test_rewards_are_as_they_are():
    rewards = Rewards(np.array([0, 0, 1]), np.array([1.0, 2.0, -3.0]))
    scores = build("reward").score(Signals(made.rows(3), stored={"rewards": rewards}))
    assert scores == pytest.approx([1.5, -3, math.nan], nan_ok=True)


def test_deitas_scorers_are_read_by_their_mean():
    assert expected(np.arange(1.0, 7.0)) == pytest.approx(5.432933, abs=1e-6)
    assert np.isnan(expected(np.array([0.0, np.nan])))
    with pytest.raises(SettingsError, match="reads one model, and there are 2"):
        build("expected-rating").check(("a", "b"), 6)


# Linear rules


def test_instruction_mining_of_the_specification():
    v1 = build("instruction-mining")
    scores = dict(zip((need.method for need in v1.needs), ([1.5], [300.0], [0.9]), strict=True))
    arrays = {text: np.array(value) for text, value in scores.items()}
    assert v1.score(Signals(made.rows(1), stored_scores=arrays)) == pytest.approx(-0.026971, abs=1e-6)
    v2 = build("instruction-mining", rule="v2")
    arrays = dict(zip((need.method for need in v2.needs), map(np.array, ([1.5], [0.9], [0.8], [0.7])), strict=True))
    assert v2.score(Signals(made.rows(1), stored_scores=arrays)) == pytest.approx(-0.050230, abs=1e-6)
    with pytest.raises(RunError, match="the scores of 'reward'"):
        v2.score(Signals(made.rows(1)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rule": "v3"}, "no rule 'v3'"),
        ({"rule": "own"}, "0 indicators for 0 coefficients"),
        ({"rule": "own", "indicators": "reward", "coefficients": "1"}, "1 indicators for 1"),
        ({"indicators": "reward"}, "1 indicators for 4"),
        ({"coefficients": "1,2,3,4"}, "has its coefficients"),
    ],
)
def test_rules_that_do_not_fit_are_refused(given, message):
    with pytest.raises(SettingsError, match=message):
        methods.build("instruction-mining", given)


# Sets


def test_deita_goes_down_the_product_and_passes_over_what_is_alike():
    angles = np.deg2rad([0, 10, 30, 31, 90, 60])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    method = build("deita", complexity="length", quality="reward")
    scores = {"length": np.array([6, 5, 4, 3, 2, np.nan]), "reward": np.ones(6)}
    signals = embedded(vectors, stored_scores=scores)
    assert method.select(signals, 5).tolist() == [0, 2, 4]
    assert method.select(signals, 2).tolist() == [0, 2]
    scores["reward"] = np.array([0.1, 9, 1, 1, 1, 1])
    assert method.select(embedded(vectors, stored_scores=scores), 1).tolist() == [1]
    scores["reward"] = -np.ones(6)
    with pytest.raises(SettingsError, match="quality is below 0 for 6 rows"):
        method.select(embedded(vectors, stored_scores=scores), 1)


def test_row_variances_of_the_specification():
    vectors = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [3, 1, 1]])
    assert row_variance(vectors, 2) == pytest.approx([0.052393, 0.224893, 2.587368, 1.858303], abs=1e-6)


@pytest.mark.parametrize("components", [2, 3, 0])
def test_the_order_of_the_rows_and_the_svd_s_signs_decide_nothing_in_lift(components):
    rng = np.random.default_rng(5)
    z = (rng.normal(size=(200, 12)) / np.arange(1, 13) + rng.normal(size=12)).astype("f4")
    mixed = rng.permutation(200)
    assert row_variance(z[mixed], components) == pytest.approx(row_variance(z, components)[mixed])
    quality, length = rng.random(200), rng.random(200)
    chosen = [
        order[
            build("lift", components=components).select(
                embedded(z[order], stored_scores={"reward": quality[order], "length": length[order]}), 20
            )
        ].tolist()
        for order in (np.arange(200), mixed)
    ]
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize("components", [2, 3, 0])
def test_a_row_left_out_changes_lift_s_first_step_no_more_than_at_its_edge(components):
    rng = np.random.default_rng(6)
    z = rng.normal(size=(200, 12)) / np.arange(1, 13) + rng.normal(size=12)
    whole = set(np.argsort(-row_variance(z, components))[:40].tolist())
    for row in range(200):
        kept = np.delete(np.arange(200), row)
        found = kept[np.argsort(-row_variance(z[kept], components))[:40]]
        assert len(whole - {row} - set(found.tolist())) <= 2


@pytest.mark.parametrize(
    ("axis", "pointing"),
    [([-0.6, 0.8], 1), ([0.6, -0.8], -1), ([-0.5, 0.5], -1), ([0, 0.5, -0.5], 1), ([-0.5, 0.5 + 1e-16], -1)],
)
def test_which_way_an_axis_points(axis, pointing):
    assert _signs(np.array([axis])).tolist() == [pointing]


def test_the_axes_that_explain_the_variance():
    z = np.random.default_rng(0).normal(size=(200, 4)) * [100, 10, 1, 0.1]
    assert row_variance(z, 0, 0.9) == pytest.approx(row_variance(z, 2))  # one axis would do, and has no variance
    assert row_variance(z, 0, 0.9999) == pytest.approx(row_variance(z, 3))
    assert row_variance(z, 0, 1) == pytest.approx(row_variance(z, 4))
    assert row_variance(z[:1], 0).tolist() == [0]


def test_lift_is_varied_first_and_then_good():
    z = np.random.default_rng(1).normal(size=(50, 6)).astype("f4")
    z[:10] *= 20
    quality, length = np.arange(50.0), np.full(50, 7.0)
    signals = embedded(z, stored_scores={"reward": quality, "length": length})
    found = build("lift").select(signals, 4)
    variance = row_variance(z, 0)
    passed = np.argsort(-variance)[:10]
    assert found.tolist() == sorted(passed, key=lambda row: -quality[row])[:4]
    assert len(build("lift").select(signals, 20)) == 10
    long = embedded(z, stored_scores={"reward": np.ones(50), "length": np.arange(50.0)})
    assert build("lift").select(long, 4).tolist() == sorted(passed, reverse=True)[:4]


def test_k_center_starts_where_the_seed_says():
    z = np.random.default_rng(2).normal(size=(30, 3))
    first = {int(build("kcenter", seed=seed).select(embedded(z), 5)[0]) for seed in range(12)}
    assert len(first) > 4
    doubled = embedded(np.repeat(z[:4], 3, axis=0))
    assert len(build("kcenter").select(doubled, 9)) == 4


def test_dpp_prefers_quality():
    z = np.random.default_rng(3).normal(size=(20, 5))
    quality = np.zeros(20)
    quality[13], quality[4] = 30, np.nan
    method = build("dpp", quality="reward", beta=3)
    found = method.select(embedded(z, stored_scores={"reward": quality}), 20)
    assert found[0] == 13 and len(found) == 19 and 4 not in found
    assert len(build("dpp", kernel="cosine").select(embedded(z), 20)) == 5
    assert len(build("dpp", kernel="cosine", jitter=0.1).select(embedded(z), 20)) == 20


def test_a_dpp_of_many_rows_looks_at_the_best_or_at_the_farthest(monkeypatch):
    z = np.random.default_rng(3).normal(size=(60, 5))
    quality = np.arange(60.0)
    monkeypatch.setattr("selectit.methods.dpp._LARGEST", 100)
    few = build("dpp").select(embedded(z), 5)
    farthest = build("kcenter").select(embedded(z), 10)
    assert set(few) <= set(farthest)
    good = build("dpp", quality="reward", beta=0.01).select(embedded(z, stored_scores={"reward": quality}), 5)
    assert len(good) == 5 and good.min() >= 50


def test_of_what_means_the_same_the_better_stays():
    angles = np.deg2rad([0, 10, 20, 90])
    z = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    scores = {"reward": np.array([2, 3, 1, 0.5])}
    method = build("semdedup", score="reward", eps=0.02)
    assert method.select(embedded(z, stored_scores=scores), 4).tolist() == [1, 3]
    assert method.select(embedded(z, stored_scores=scores), 1).tolist() == [1]
    scores["reward"][1] = np.nan
    assert method.select(embedded(z, stored_scores=scores), 4).tolist() == [0, 2, 3]
    # From the centroid the row at 90 degrees is the farthest, then the one at 0; that at 10 is too similar to it.
    assert build("semdedup", eps=0.02).select(embedded(z), 4).tolist() == [3, 0, 2]


def test_superfiltering_d_as_the_published_code():
    case = json.loads((GOLDEN / "rivals" / "superfiltering_d.json").read_text())["whole_step"]
    given = case["inputs"]
    ifd = np.array([value if isinstance(value, (int, float)) else math.nan for value in given["ifd"]], np.float64)
    score = np.where(ifd < given["ifd_lupper"], ifd, np.nan)
    z = np.array(given["embeddings_of_all_rows_float32"], np.float32)
    share = given["ifd_num"] / int((~np.isnan(score)).sum())
    method = build("superfiltering-d", share=share, similarity="submodlib-euclidean")
    signals = embedded(z, stored_scores={"superfiltering": score})
    # The eighth gain is the same for rows 4 and 16, to single precision.
    assert method.select(signals, given["fla_num"])[:7].tolist() == case["outputs"]["fla_rows_in_order"][:7]
    everything = build("superfiltering-d", share=1.0).select(signals, 60)
    assert sorted(everything) == np.flatnonzero(~np.isnan(score)).tolist()


def test_novelselect_starts_where_the_seed_says_and_heeds_quality():
    z = np.random.default_rng(2).normal(size=(30, 4))
    first = {int(build("novelselect", seed=seed).select(embedded(z), 5)[0]) for seed in range(12)}
    assert len(first) > 4
    quality = np.ones(30)
    quality[7], quality[8] = 1000, np.nan
    method = build("novelselect", quality="reward")
    assert 7 in method.select(embedded(z, stored_scores={"reward": quality}), 2)
    assert sorted(method.select(embedded(z, stored_scores={"reward": quality}), 30)) == [*range(8), *range(9, 30)]
    with pytest.raises(SettingsError, match="the quality is below 0 for 30 rows"):
        method.select(embedded(z, stored_scores={"reward": -np.ones(30)}), 2)


def test_ltd_keeps_to_the_clusters_of_its_target(folder):
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    rng = np.random.default_rng(0)
    z = np.repeat(np.eye(3) * 20, [8, 4, 4], axis=0) + 0.1 * rng.normal(size=(16, 3))
    (folder / "task.json").write_text("[8, 9, 13]")
    chosen = build("ltd", target=str(folder / "task.json"), clusters=3).select(embedded(z), 3)
    assert set(chosen) < {8, 9, 10, 11} and len(chosen) == 3
    assert sorted(np.digitize(build("ltd", clusters=3).select(embedded(z), 3), [8, 12])) == [0, 1, 2]
    task = Target(embedded(z[[8, 9, 13]] - 1), np.array([0, 0, 1]), ("a", "b"))
    towards = dataclasses.replace(embedded(z), stored_target=task)
    assert build("ltd", clusters=3).select(towards, 3).tolist() == chosen.tolist()
    with pytest.raises(SettingsError, match="in --target and in its parameter target"):
        build("ltd", target=str(folder / "task.json")).check_target([])
    unknown = Target(embedded(np.full((1, 3), np.nan)), np.array([0]), ("a",))
    with pytest.raises(DataError, match="example 0 of the target has no vector"):
        build("ltd", clusters=3).select(dataclasses.replace(towards, stored_target=unknown), 3)
    z[[8, 9, 13]] = np.nan
    with pytest.raises(SettingsError, match="no row of .*task.json has an embedding"):
        build("ltd", target=str(folder / "task.json"), clusters=3).select(embedded(z), 3)


def test_knn_needs_k_others():
    z = [[0.0], [1], [3], [7], [8]]
    assert build("knn", k=2).score(embedded(z)).tolist() == [3, 2, 3, 4, 5]
    assert np.isnan(build("knn", k=5).score(embedded(z))).all()


def test_nothing_is_chosen_where_nothing_is_embedded():
    nothing = np.full((3, 2), np.nan)
    scores = {"reward": np.ones(3), "length": np.ones(3)}
    names = "dpp facility-location herding kcenter kmeans lift ltd novelselect qdit semdedup"
    for name in names.split():
        assert build(name).select(embedded(nothing, stored_scores=scores), 2).tolist() == [], name


def test_instag_says_when_no_tag_counts(caplog):
    signals = judged(['["a"]', '["b"]', "?"], "tagger")
    assert sorted(build("instag").select(signals, 3).tolist()) == [0, 1]
    assert "no tag is in 20 rows or more" in caplog.text
    assert build("instag-complexity", min_count=1).score(signals)[:2].tolist() == [1, 1]


def test_lexical_scores_are_means_over_answers():
    texts = (Sample(0, 0, "", "a a"), Sample(0, 1, "", "a b"), Sample(1, 0, "", ""))
    scores = build("lexical", index="ttr").score(Signals(made.rows(2), stored_texts=texts))
    assert scores[0] == 0.75 and np.isnan(scores[1])


def test_a_field_is_a_number(caplog):
    rows = dataclasses.replace(Signals(made.rows(4)), stored_field=("1.5", "", "-2e1", "inf"))
    assert build("field").score(rows) == pytest.approx([1.5, math.nan, -20, math.nan], nan_ok=True)
    assert not caplog.text
    assert np.isnan(build("field").score(Signals(made.rows(2), stored_field=("", "")))).all()
    assert "no record has a number in the field 'score'" in caplog.text
    with pytest.raises(SettingsError, match="row 0: the field 'score' is 'high'"):
        build("field").score(Signals(made.rows(1), stored_field=("high",)))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("alpagasus", {"dimension": "beauty"}),
        ("alpagasus-local", {"parser": "lax"}),
        ("deita", {"limit": 1.1}),
        ("dpp", {"kernel": "linear"}),
        ("dpp", {"jitter": -1.0}),
        ("facility-location", {"similarity": "cosine"}),
        ("instag", {"min_count": 0}),
        ("instag-complexity", {"min_count": 0}),
        ("instag-tfidf", {"terms": 0}),
        ("instag-tfidf", {"most": 0.0}),
        ("kmeans", {"clusters": -1}),
        ("facility-location", {"neighbours": -1}),
        ("knn", {"k": 0}),
        ("ltd", {"clusters": 0}),
        ("novelselect", {"k": 0}),
        ("novelselect", {"beta": -1.0}),
        ("semdedup", {"eps": -0.1}),
        ("semdedup", {"clusters": -1}),
        ("superfiltering-d", {"share": 0.0}),
        ("superfiltering-d", {"similarity": "dot"}),
        ("superfiltering-d", {"neighbours": -1}),
        ("lexical", {"index": "vocd"}),
        ("lift", {"share": 0.0}),
        ("lift", {"components": 1}),
        ("qdit", {"neighbours": -1}),
        ("qdit", {"alpha": 2.0}),
        ("qdit", {"similarity": "dot"}),
    ],
)
def test_parameters_that_make_no_sense_are_refused(name, given):
    with pytest.raises(SettingsError):
        methods.build(name, given)
