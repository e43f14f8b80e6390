"""Rows as vectors, and their similarities."""

import numpy as np
import pytest

from made_up_signals import rows
from selectit.errors import SettingsError
from selectit.numerics import vectors
from selectit.signals.arrays import Embeddings, Signals


def points(seed=0, n=30, width=5):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def test_similarities_by_hand():
    units = np.eye(384, dtype=np.float32)[:2]
    z = np.concatenate([units, -units[:1]])
    near = vectors.similarity(z, "submodlib-euclidean")(np.array([0]))[:, 0]
    assert near == pytest.approx([1, 0.996324, 0.994805], abs=1e-6)
    assert vectors.similarity(z, "cosine01")(np.array([0]))[:, 0] == pytest.approx([1, 0.5, 0])
    # squared distances 0, 2, 4 in both directions: 0 three times, 2 four times, 4 twice; mean 16 / 9
    assert vectors.similarity(z, "rbf")(np.array([0]))[:, 0] == pytest.approx(np.exp([0, -9 / 8, -9 / 4]), abs=1e-6)
    with pytest.raises(SettingsError, match="no similarity 'cosine'"):
        vectors.similarity(z, "cosine")


def test_row_vectors_are_means_of_items():
    made = np.array([[1, 0], [3, 2], [5, 5], [np.nan, np.nan]], dtype=np.float32)
    found = vectors.row_vectors(Embeddings(np.array([0, 0, 1, 2]), made), 4)
    assert found[:2].tolist() == [[2, 1], [5, 5]] and np.isnan(found[2:]).all()


def test_the_pool_is_in_the_order_of_a_draw_and_has_only_embedded_rows():
    made = points(0, 40, 3)
    made[[5, 9], 1] = np.nan
    signals = Signals(rows(40), stored={"embeddings": Embeddings(np.arange(40), made)})
    chosen, their = vectors.pool(signals)
    assert sorted(chosen) == [row for row in range(40) if row not in (5, 9)] != chosen.tolist()
    assert np.array_equal(their, made[chosen])
    assert chosen.tolist() != vectors.pool(signals, seed=1)[0].tolist()


def test_zero_vectors_stay_zero():
    assert vectors.unit(np.array([[0.0, 0], [3, 4]])).tolist() == [[0, 0], [0.6, 0.8]]
