"""Rows that say again what another row says: by their text, nearly by their words, or by their meaning.

All three go through the rows in a given order, the best first, and keep a row unless it repeats one that was kept
before. So every row that goes has a row that stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.data.words import runs_of, split_bare_words
from selectit.errors import import_extra
from selectit.numerics.clusters import k_means
from selectit.numerics.subsets import nearest_of, similarity_filter
from selectit.signals.arrays import Float32, Float64, Int64

WORDS = 3
"""Two texts are nearly the same by the runs of so many words that they share."""


PERMUTATIONS = 128
"""Of a MinHash signature."""


SEED = 42


CLUSTER = 16384
"""Rows in a cluster of `find_semantic`, on average: more rows are compared within their cluster only."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What repeats what. Both arrays have length N."""

    kept_row: Int64
    """The row that stays in this one's place; -1 = this one stays."""
    likeness: Float64
    """How alike the two are, 0 to 1; NaN for rows that stay."""


def _nothing(rows: int) -> Duplicates:
    return Duplicates(np.full(rows, -1), np.full(rows, np.nan))


def find_exact(texts: Sequence[str], order: Int64) -> Duplicates:
    """Rows whose text is that of a row before them, apart from case and white space.

    Args:
        texts: (N,).
        order: the rows to look at, the best first; the others are neither kept nor found.
    """
    found = _nothing(len(texts))
    kept: dict[str, int] = {}
    for row in order.tolist():
        first = kept.setdefault(fold(texts[row]), row)
        if first != row:
            found.kept_row[row], found.likeness[row] = first, 1.0
    return found


def fold(text: str) -> str:
    """A text without what two texts may differ in that are exactly the same: case, and how much white space."""
    return " ".join(text.lower().split())


def find_near(texts: Sequence[str], order: Int64, threshold: float) -> Duplicates:
    """Rows whose runs of `WORDS` words have a Jaccard index of `threshold` or more with those of a row before them.

    MinHash signatures of `PERMUTATIONS` find the candidates (rensa, MIT); the index of each is exact.

    Args:
        texts: (N,); one without words repeats nothing.
        order: as for `find_exact`.
        threshold: above 0, at most 1.

    Raises:
        SettingsError: rensa is not installed.
    """
    found = _nothing(len(texts))
    index = _open_index(threshold)
    for row, own, signature in _sign(texts, order):
        alike = {other: jaccard(own, set(shingles(texts[other]))) for other in sorted(index.query(signature))}
        nearest = max(alike, key=alike.__getitem__, default=None)
        if nearest is not None and alike[nearest] >= threshold:
            found.kept_row[row], found.likeness[row] = nearest, alike[nearest]
        elif own:
            index.insert(row, signature)
    return found


def share_near(texts: Sequence[str], others: Sequence[str], threshold: float) -> NDArray[np.bool_]:
    """(N,) whether a text is nearly one of the others, or the same: by a Jaccard index as of `find_near`.

    Args:
        texts: (N,).
        others: those that `find_near` lets stay, so that ten thousand copies are not looked at for each text.
        threshold: above 0, at most 1.

    Raises:
        SettingsError: rensa is not installed.
    """
    index = _open_index(threshold)
    for place, own, signature in _sign(others, np.arange(len(others))):
        if own:
            index.insert(place, signature)
    shared = [
        any(jaccard(own, set(shingles(others[place]))) >= threshold for place in index.query(signature))
        for _, own, signature in _sign(texts, np.arange(len(texts)))
    ]
    return np.array(shared, np.bool_)


def import_rensa() -> Any:
    """What `find_near` needs. Raises SettingsError where it is not installed."""
    return import_extra("rensa", "filters", "finding near duplicates")


def _open_index(threshold: float) -> Any:
    """An empty index of signatures. Raises SettingsError: rensa is not installed."""
    return import_rensa().RMinHashLSH(threshold, PERMUTATIONS, count_bands(threshold))


def _sign(texts: Sequence[str], order: Int64) -> Iterator[tuple[int, set[str], Any]]:
    """Each row of `order` with the runs of its words and their MinHash signature."""
    minhash = import_rensa().RMinHash
    for block in np.array_split(order, max(1, len(order) // 4096)):  # the signatures, in Rust, a few at a time
        runs = [shingles(texts[row]) for row in block.tolist()]
        yield from zip(block.tolist(), map(set, runs), minhash.from_token_sets(runs, PERMUTATIONS, SEED), strict=True)


def shingles(text: str) -> list[str]:
    """The runs of `WORDS` words of a text; of a shorter text all words as one; none without words."""
    words = split_bare_words(text)
    return runs_of(words, min(WORDS, len(words))) if words else []


def jaccard(a: set[str], b: set[str]) -> float:
    """Shared elements over elements of either, in [0, 1]; 0 where both are empty."""
    return len(a & b) / max(len(a | b), 1)


def count_bands(threshold: float) -> int:
    """Into how many bands a signature is cut: the fewest with which 99.5 % of pairs at the threshold are candidates.

    With b bands of r values a pair of Jaccard index s is one with probability 1 - (1 - s^r)^b.
    """
    for bands in (2, 4, 8, 16, 32, 64):
        if 1 - (1 - threshold ** (PERMUTATIONS // bands)) ** bands >= 0.995:
            return bands
    return PERMUTATIONS


def find_semantic(vectors: Float32, order: Int64, threshold: float, seed: int = 0) -> Duplicates:
    """Rows whose embedding has a cosine above `threshold` to that of a row before them.

    Up to `CLUSTER` rows all are compared; of more, those in one k-means cluster (SemDeDup, Abbas et al., arXiv
    2303.09540), so that a pair which the clusters part is not found.

    Args:
        vectors: (N, D) float32; NaN where a row has none, which repeats nothing.
        order: as for `find_exact`.
        threshold: from -1 to 1.
        seed: of the clusters.

    Raises:
        SettingsError: there are clusters to be made and no scikit-learn.
    """
    found = _nothing(len(vectors))
    order = order[np.isfinite(vectors[order]).all(axis=1)]
    clusters = -(-len(order) // CLUSTER)
    label = k_means(vectors[order], clusters, seed)[0] if clusters > 1 else np.zeros(len(order), np.int64)
    for cluster in range(clusters):
        rows = order[label == cluster]
        kept = similarity_filter(vectors[rows], np.arange(len(rows)), len(rows), threshold)
        gone = np.setdiff1d(np.arange(len(rows)), kept)
        nearest, cosine = nearest_of(vectors[rows[gone]], vectors[rows[kept]], first=np.searchsorted(kept, gone))
        found.kept_row[rows[gone]], found.likeness[rows[gone]] = rows[kept[nearest]], cosine
    return found
