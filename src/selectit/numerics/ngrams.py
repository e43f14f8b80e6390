"""Counts of words and pairs of words in hashed buckets, and the weights of importance that DSIR makes of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from selectit.numerics.segments import means
from selectit.signals.arrays import Float64, Int64

BUCKETS = 10_000
_TOKEN = re.compile(r"\w+|[^\w\s]+")  # NLTK's WordPunct tokenizer
_BATCH = 65536  # texts whose pairs of words are hashed together
_WORDS = 2**31  # more words than a vocabulary has: a pair of words is one whole number


@dataclass(frozen=True, slots=True)
class Grams:
    """The buckets of the words and pairs of words of N texts, one text after another."""

    bucket: NDArray[np.uint16]
    """(T,)."""
    start: Int64
    """(N + 1,): text i has [start[i], start[i + 1])."""

    def counts(self, buckets: int) -> Int64:
        """(buckets,) how often each bucket occurs in all texts."""
        return np.bincount(self.bucket, minlength=buckets)

    def means(self, weights: Float64) -> Float64:
        """(N,) the mean over each text of the weights (buckets,) of its words and pairs; NaN for a text without any."""
        return means(weights[self.bucket], self.start)


def bucket_of(gram: str, buckets: int = BUCKETS) -> int:
    """SHA-256 of a word, or of two with a space between, modulo the number of buckets."""
    return int.from_bytes(hashlib.sha256(gram.encode()).digest()) % buckets


def hash_texts(texts: Sequence[str], buckets: int = BUCKETS) -> Grams:
    """All words (runs of letters and digits, or of marks, in lower case) and pairs of neighbours as buckets.

    Source: p-lambda/dsir, data_selection/hashed_ngram_dsir.py (MIT), whose buckets these are.
    """
    known = _Known(buckets)
    parts = [known.hash(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)]
    sizes = np.concatenate([[0], *(sizes for _, sizes in parts)]).astype(np.int64)
    return Grams(np.concatenate([np.zeros(0, np.uint16), *(found for found, _ in parts)]), np.cumsum(sizes))


def log_ratios(target: Int64, pool: Int64, smoothing: float) -> Float64:
    """(B,) ln p - ln r of each bucket: its frequency in the target over that in the pool, each count + `smoothing`.

    1e-8 is added to both frequencies, as the published code does, so that none is 0.
    """
    p, r = (smoothed / max(smoothed.sum(), 1e-300) for smoothed in (target + smoothing, pool + smoothing))
    ratios: Float64 = np.log(p + 1e-8) - np.log(r + 1e-8)
    return ratios


def cosines(some: Grams, others: Grams, buckets: int = BUCKETS) -> Float64:
    """(Q, N) cosines of the buckets that occur in each of Q texts and of N others, in [0, 1]; 0 for an empty text.

    A bucket weighs ln((1 + N) / (1 + n)) where n of the others have it, so that those of all texts count for nothing.
    """
    text, bucket = _occurring(others, buckets)
    count = len(others.start) - 1
    weight = np.log((1 + count) / (1 + np.bincount(bucket, minlength=buckets)))
    lengths = np.sqrt(np.bincount(text, weights=weight[bucket] ** 2, minlength=count))
    found = np.zeros((len(some.start) - 1, count))
    asked, occurs = _occurring(some, buckets)
    for place in range(len(found)):
        own = np.zeros(buckets)
        own[occurs[asked == place]] = weight[occurs[asked == place]]
        shared = np.bincount(text, weights=own[bucket] * weight[bucket], minlength=count)
        found[place] = shared / np.maximum(lengths * np.linalg.norm(own), 1e-12)
    return found


def _occurring(grams: Grams, buckets: int) -> tuple[Int64, Int64]:
    """The texts, and the buckets that occur in them, each once."""
    text = np.repeat(np.arange(len(grams.start) - 1), np.diff(grams.start))
    different = np.unique(text * buckets + grams.bucket)
    return different // buckets, different % buckets


@dataclass(slots=True)
class _Known:
    """The words and pairs that have been hashed: most of a data set's occur many times."""

    buckets: int
    words: dict[str, int] = field(default_factory=dict)
    """Each word's number."""
    spelt: list[str] = field(default_factory=list)
    word_bucket: list[int] = field(default_factory=list)
    pairs: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """Sorted: first word's number times `_WORDS` and second word's."""
    pair_bucket: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))

    def hash(self, texts: Sequence[str]) -> tuple[NDArray[np.uint16], Int64]:
        """The buckets of texts, one text after another, each first its words and then its pairs; and their numbers."""
        numbers, lengths = self._number(texts)
        ends = np.cumsum(lengths)
        follows = np.ones(len(numbers), bool)  # whether the word has one before it in its text
        follows[(ends - lengths)[lengths > 0]] = False
        later = np.flatnonzero(follows)
        bucket = np.concatenate(
            [
                np.array(self.word_bucket, np.uint16)[numbers],
                self._hash_pairs(numbers[later - 1] * _WORDS + numbers[later]),
            ]
        )
        text = np.repeat(np.arange(len(texts)), lengths)
        order = np.argsort(np.concatenate([text, text[later]]), kind="stable")
        return bucket[order], lengths + np.maximum(lengths - 1, 0)

    def _number(self, texts: Sequence[str]) -> tuple[Int64, Int64]:
        """The number of every word, one text after another, and how many each text has."""
        found: list[int] = []
        lengths = np.zeros(len(texts), np.int64)
        for place, tokens in enumerate(_tokens(texts)):
            lengths[place] = len(tokens)
            for token in set(tokens).difference(self.words):
                self.words[token] = len(self.spelt)
                self.spelt.append(token)
                self.word_bucket.append(bucket_of(token, self.buckets))
            found.extend(map(self.words.__getitem__, tokens))
        return np.array(found, np.int64), lengths

    def _hash_pairs(self, pairs: Int64) -> NDArray[np.uint16]:
        different, which = np.unique(pairs, return_inverse=True)
        place = np.searchsorted(self.pairs, different)
        seen = np.zeros(len(different), bool)
        inside = place < len(self.pairs)
        seen[inside] = self.pairs[place[inside]] == different[inside]
        fresh = different[~seen]
        spelt = self.spelt
        hashed = [bucket_of(f"{spelt[pair // _WORDS]} {spelt[pair % _WORDS]}", self.buckets) for pair in fresh.tolist()]
        at = np.searchsorted(self.pairs, fresh)
        self.pair_bucket = np.insert(self.pair_bucket, at, np.array(hashed, np.uint16))
        self.pairs = np.insert(self.pairs, at, fresh)
        return self.pair_bucket[np.searchsorted(self.pairs, different)][which]


def _tokens(texts: Sequence[str]) -> Iterator[list[str]]:
    return (_TOKEN.findall(text.lower()) for text in texts)
