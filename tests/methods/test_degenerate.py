"""Copies, zeros and extremes behind every short cut for many rows: its constants are made small, the rules stay."""

import numpy as np
import pytest

import made_up_signals as made
from selectit import methods
from selectit.errors import SettingsError
from selectit.filters import duplicates
from selectit.methods import dpp, novelselect, semdedup
from selectit.numerics import choosers, clusters, coverage, diversity, largest, neighbours, ranking, subsets, vectors
from selectit.signals.arrays import Embeddings, Signals

NEEDS = {"facility_location_of_neighbours": "scipy", "qdit_of_neighbours": "scipy", "k_means": "sklearn"}
SMALL = [
    (largest, "_ACTIVE", 3), (subsets, "_ACTIVE", 3), (subsets, "_WINDOW", 7), (subsets, "_HEAD", 2),
    (subsets, "_BLOCK", 4), (neighbours, "_BLOCK", 4), (coverage, "_COLUMNS", 4), (coverage, "NEIGHBOURS", 3),
    (clusters, "_WHOLE", 40), (choosers, "_BLOCK", 4), (duplicates, "CLUSTER", 6), (dpp, "_LARGEST", 20),
    (novelselect, "_LARGEST", 5), (semdedup, "_ONE_CLUSTER", 5),
]  # fmt: skip


def points(n, width=12, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


DATA = {
    "one row": points(1),
    "identical": np.repeat(points(1), 40, axis=0),
    "zeros": np.zeros((40, 12), np.float32),
    "one-hot": np.tile(np.eye(12, dtype=np.float32), (4, 1)),
    "two points": np.repeat(points(2), 20, axis=0),
    "mostly copies": np.concatenate([np.repeat(points(1), 30, axis=0), points(12, seed=1)]),
    "two clusters": np.repeat(points(2) * 9, 20, axis=0) + points(40, seed=1) / 99,
    "rounding apart": np.float32(1000) + points(40) / 8000,
}


def kernel(z):
    z = z.astype(np.float64)
    return lambda some, others: np.exp(-((z[some, None] - z[others]) ** 2).sum(-1))


# Each chooses n of the points; those of the first group all n, those of the second fewer where no more differ.
WHOLE = {
    "herding": lambda z, n: subsets.herding(z, n),
    "mmr": lambda z, n: subsets.marginal_relevance(z, np.ones(len(z)), n, 0.5),
    "novelselect": lambda z, n: subsets.novel_select(z, subsets.density(z, 3), n),
    "facility_location": lambda z, n: coverage.cover(z, n, "cosine01")[0],
    "facility_location_of_neighbours": lambda z, n: coverage.cover(z, n, "rbf", 3)[0],
    "qdit": lambda z, n: coverage.cover_well(z, np.ones(len(z)), n, 0.5, "submodlib-euclidean"),
    "qdit_of_neighbours": lambda z, n: coverage.cover_well(z, -np.zeros(len(z)), n, 0.5, "cosine01", 3),
    "round_robin": lambda z, n: choosers.take_turns(z.T, n).rows,
}
FEWER = {
    "k_center": lambda z, n: coverage.k_center(z, n),
    "dpp": lambda z, n: subsets.dpp(kernel(z), np.ones(len(z)), n)[0],
    "filter": lambda z, n: subsets.similarity_filter(z, np.arange(len(z)), n, 0.9),
    "k_means": lambda z, n: clusters.k_means_pick(z, n),
}


@pytest.fixture
def small(monkeypatch):
    for module, name, value in SMALL:
        monkeypatch.setattr(module, name, value)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", [*WHOLE, *FEWER])
def test_different_rows_and_no_more_than_asked_for(small, name, data):
    pytest.importorskip(NEEDS.get(name, "numpy"), reason="the extra 'methods' is not installed")
    z, choose = DATA[data], (WHOLE | FEWER)[name]
    many = len(z)
    for n in sorted({0, 1, many - 1, many, many + 5}):
        chosen = choose(z, n)
        assert len(np.unique(chosen)) == len(chosen) <= min(n, many)
        assert ((chosen >= 0) & (chosen < many)).all()
        assert chosen.tolist() == choose(z, n).tolist()
        assert n == 0 or len(chosen) >= (min(n, many) if name in WHOLE else 1)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", ["mmr", "k_center", "dpp"])
def test_what_is_kept_up_to_date_does_not_decide(monkeypatch, name, data):
    z, choose = DATA[data], (WHOLE | FEWER)[name]
    whole = choose(z, 20)
    monkeypatch.setattr(largest, "_ACTIVE", 3)
    monkeypatch.setattr(subsets, "_ACTIVE", 3)
    few = choose(z, 20)
    # Of points that differ by rounding alone either may be taken.
    assert len(few) == len(whole)
    assert z[few] == pytest.approx(z[whole], abs=0.01) or data in ("rounding apart", "two clusters")


# k-means of copies


@pytest.mark.parametrize(
    ("data", "different"), [("identical", 1), ("two points", 2), ("one-hot", 12), ("mostly copies", 13)]
)
def test_k_means_in_two_levels_takes_one_of_each_different_point(monkeypatch, data, different):
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    monkeypatch.setattr(clusters, "_WHOLE", 40)
    chosen = clusters.k_means_pick(DATA[data], 30)
    assert len(chosen) == len(np.unique(DATA[data][chosen], axis=0)) == different
    assert len(clusters.k_means_pick(DATA[data], 30, clusters=20)) == 30


def test_no_cluster_is_empty(monkeypatch):
    """Points that k-means can't part are in fewer clusters, whose numbers have no gaps."""
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    sklearn = clusters.import_sklearn()

    class Gappy(sklearn.KMeans):
        def fit(self, z):
            super().fit(z)
            self.labels_ = self.labels_ * 2
            self.cluster_centers_ = np.repeat(self.cluster_centers_, 2, axis=0)
            return self

    fake = type("Module", (), {"KMeans": Gappy, "MiniBatchKMeans": sklearn.MiniBatchKMeans})
    monkeypatch.setattr(clusters, "import_sklearn", lambda: fake)
    label, _ = clusters.k_means(points(30), 5)
    assert np.bincount(label).min() > 0 and label.max() == 4
    assert len(clusters.core_of_clusters(points(30), points(3, seed=1), 9, 5)) == 9


# Rounding that decided


@pytest.mark.parametrize("seed", range(8))
def test_no_cosine_exceeds_one(seed):
    z = np.repeat(points(1, 384, seed), 40, axis=0)
    assert subsets.similarity_filter(z, np.arange(40), 40, 1.0).tolist() == list(range(40))
    assert (duplicates.find_semantic(z, np.arange(40), 1.0).kept_row == -1).all()
    assert duplicates.find_semantic(z, np.arange(40), 0.95).likeness[1:].max() <= 1


def test_copies_are_equally_dense():
    z = vectors.unit(np.repeat(points(20, 384), 4, axis=0))
    assert subsets.density(z, 3) == pytest.approx(np.full(80, 1e9))


@pytest.mark.parametrize("seed", range(4))
def test_quality_decides_among_copies(seed):
    z, quality = np.repeat(points(1, 384, seed), 300, axis=0), np.random.default_rng(seed).random(300)
    chosen = coverage.cover_well(z, quality, 9, 0.5, "cosine01")
    assert chosen.tolist() == np.argsort(-quality)[:9].tolist()


@pytest.mark.parametrize("value", [0.1, 0.7, 3.3, -0.0])
def test_equal_scores_stand_for_nothing(value):
    assert not ranking.standardised(np.full(1000, value)).any()
    assert not coverage.scaled(np.full(1000, value)).any()


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_score_is_refused_where_it_is_calculated_with(infinite):
    for standardise in (ranking.standardised, coverage.scaled):
        with pytest.raises(SettingsError, match="infinite for 1 row,"):
            standardise(np.array([1, infinite, 2]))


def test_the_mean_distance_has_no_scale():
    line = np.array([[0.0], [1.0]])
    assert vectors.mean_squared_distance(1e-9 * line) == pytest.approx(0.5e-18)
    assert vectors.mean_squared_distance(np.full((999, 5), 1000.1, np.float32)) == 1


def test_one_text_alone_is_not_varied():
    assert diversity.novel_sum(np.ones((5, 3)), np.ones((9, 3))) == 0


def test_equal_similarities_are_not_all_sorted_at_once():
    assert choosers._top(np.zeros(1000), 5).tolist() == [0, 1, 2, 3, 4]
    assert choosers.take_turns(np.zeros((2, 50)), 60).rows.tolist() == list(range(50))
    assert choosers.take_turns(np.full((2, 50), -np.inf), 9).rows.tolist() == []


# Methods


def signals(z, **scores):
    known = {name: np.asarray(values) for name, values in scores.items()}
    return Signals(made.rows(len(z)), stored={"embeddings": Embeddings(np.arange(len(z)), z)}, stored_scores=known)


def test_dpp_with_one_score_far_above_all_others():
    quality = np.zeros(40)
    quality[7] = 1
    method = methods.build("dpp", {"quality": "reward", "beta": 200.0})
    chosen = method.select(signals(points(40), reward=quality), 9)
    assert chosen[0] == 7 and len(chosen) == 9


def test_dpp_with_jitter_takes_copies_too(small):
    chosen = methods.build("dpp", {"jitter": 0.01}).select(signals(DATA["two points"]), 9)
    assert len(set(chosen.tolist())) == 9


@pytest.mark.parametrize("name", ["novelselect", "deita", "mmr", "qdit"])
def test_a_method_that_calculates_with_scores_refuses_infinite_ones(name):
    given = {"complexity": "reward", "quality": "reward"} if name == "deita" else {"quality": "reward"}
    with pytest.raises(SettingsError, match="infinite"):
        methods.build(name, given).select(signals(points(5), reward=[1, np.inf, 2, 3, 4]), 2)


def test_lift_refuses_a_negative_length():
    method = methods.build("lift", {"quality": "reward", "length": "length:order=shortest"})
    scores = {"reward": np.arange(5.0), "length:order=shortest": -np.arange(5.0)}
    with pytest.raises(SettingsError, match="below 0 for 4 rows"):
        method.select(signals(points(5), **scores), 2)


SETS = "dpp facility-location herding kcenter kmeans mmr novelselect qdit semdedup similarity".split()


@pytest.mark.parametrize("name", SETS)
def test_no_row_with_a_vector_is_no_row(small, name):
    z = np.full((6, 4), np.nan, np.float32)
    assert methods.build(name, {}).select(signals(z, reward=np.ones(6)), 3).tolist() == []


@pytest.mark.parametrize("texts", [[""] * 9, ["same words here again"] * 9, ["", "one", "one", "two two", "two two"]])
def test_duplicates_of_equal_and_empty_texts(texts):
    pytest.importorskip("rensa", reason="the extra 'filters' is not installed")
    near = duplicates.find_near(texts, np.arange(len(texts)), 0.7).kept_row
    exact = duplicates.find_exact(texts, np.arange(len(texts))).kept_row
    assert all(near[row] == (exact[row] if text else -1) for row, text in enumerate(texts))
    assert duplicates.find_near(texts, np.zeros(0, np.int64), 0.7).kept_row.tolist() == [-1] * len(texts)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("data", DATA)
def test_semantic_duplicates_name_a_row_that_stays(small, data):
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    z = DATA[data]
    found = duplicates.find_semantic(z, np.arange(len(z))[::-1], 0.9)
    gone = np.flatnonzero(found.kept_row >= 0)
    assert (found.kept_row[found.kept_row[gone]] == -1).all()
    assert (found.likeness[gone] > 0.9 - 1e-6).all() and len(gone) < len(z)
