"""Choosing rows towards a target, from any (targets, rows) similarity: representations, n-grams or gradients. Pure.

S is (Q, N) float: row q is how like target q each of N rows is, higher = more; NaN and -inf = never for this target.
Nothing larger than S is held. Ties go to the smaller row number.

Source: Ivison et al., arXiv 2503.01807 (round robin over targets, and over tasks); Xia et al., LESS, arXiv 2402.04333
(the largest of the means over tasks); "targeted instruction selection", arXiv 2602.14696 (doubly greedy, transport).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.errors import SettingsError, nearest
from selectit.numerics.largest import largest
from selectit.numerics.ranking import ranking
from selectit.signals.arrays import Float64, Int64

Similarities = NDArray[Any]
CHOOSERS = ("round-robin", "group-round-robin", "mean", "group-max", "doubly-greedy", "transport")
TURNS = ("next", "lost")
_BLOCK = 65536  # rows whose similarities are held in float64 at a time


@dataclass(frozen=True, slots=True)
class Choice:
    """Rows in the order in which they were chosen."""

    rows: Int64
    """(n,) different row numbers."""
    targets: Int64
    """(n,) the target that each was taken for, or is likest to."""


def check_chooser(chooser: str, turns: str) -> None:
    """Raise SettingsError for names that are none of `CHOOSERS` and `TURNS`."""
    if chooser not in CHOOSERS:
        raise SettingsError(f"there is no chooser {chooser!r}", nearest(chooser, CHOOSERS))
    if turns not in TURNS:
        raise SettingsError(f"there is no way to take turns {turns!r}", nearest(turns, TURNS))


def choose_rows(alike: Similarities, n: int, group: Int64, chooser: str = "round-robin", turns: str = "next") -> Choice:
    """At most n rows towards Q targets.

    Args:
        alike: (Q, N) as above.
        n: how many; fewer come back where no target may take more.
        group: (Q,) the group of each target, from 0 to G - 1, each with a target.
        chooser: 'round-robin': each target in turn takes its best row, those of several groups by turns;
            'group-round-robin': each group does, by the largest similarity to one of its targets; or the best rows by a
            score: 'mean' over all targets, 'group-max': the largest of the means over each group's targets,
            'doubly-greedy': the largest over all targets, 'transport': see `transport_masses`.
        turns: in a round robin, a target whose best row is taken takes its 'next' best one, or has 'lost' its turn.
    """
    check_chooser(chooser, turns)
    if chooser == "round-robin":
        order = _alternate(group)
        taken = take_turns(alike[order], n, turns)
        return Choice(taken.rows, order[taken.targets])
    if chooser == "group-round-robin":
        return _take_group_turns(alike, n, group, turns)
    rows = ranking(score_rows(alike, group, chooser))[:n]
    return Choice(rows, _known(alike[:, rows]).argmax(axis=0).astype(np.int64))


def score_rows(alike: Similarities, group: Int64, chooser: str) -> Float64:
    """(N,) float64 scores of a chooser that ranks, higher = keep; NaN for a row that a target may not take."""
    return _SCORES[chooser](alike, group)


def take_turns(alike: Similarities, n: int, turns: str = "next") -> Choice:
    """Round robin: the targets in their order, again and again; see `choose_rows`."""
    count = alike.shape[1]
    first = 2 * -(-n // max(len(alike), 1)) + 16  # as many as a target needs where few are taken by others
    queues = [_best_first(each, first) for each in alike]
    taken = np.zeros(count, bool)
    rows: list[int] = []
    targets: list[int] = []
    going = True
    while going and len(rows) < n:
        going = False
        for target, queue in enumerate(queues):
            row = next((row for row in queue if turns == "lost" or not taken[row]), None)
            going = going or row is not None
            if row is not None and not taken[row] and len(rows) < n:
                taken[row] = True
                rows.append(row)
                targets.append(target)
    return Choice(np.array(rows, np.int64), np.array(targets, np.int64))


def _alternate(group: Int64) -> Int64:
    """The targets in the order of their turns: the first of each group, the second of each, and so on."""
    turn = np.zeros(len(group), np.int64)
    for each in np.unique(group):
        turn[group == each] = np.arange(np.count_nonzero(group == each))
    return np.lexsort([group, turn])


def _take_group_turns(alike: Similarities, n: int, group: Int64, turns: str) -> Choice:
    """Round robin over groups, each with the largest similarity to one of its targets."""
    taken = take_turns(np.stack([_largest(alike[group == each]) for each in np.unique(group)]), n, turns)
    own = group[:, None] == np.unique(group)[taken.targets]
    likest = np.where(own, _known(alike[:, taken.rows]), -np.inf).argmax(axis=0)
    return Choice(taken.rows, likest.astype(np.int64))


def transport_masses(alike: Similarities, temperature: float = 0.01, slack: float = 1e-4) -> Float64:
    """(N,) the mass that unbalanced optimal transport brings from Q equal targets to each row; they sum up to 1.

    The plan is u K v with K = exp(-(1 - S) / 2 / temperature) / (Q N); what leaves each target is exact, what arrives
    at a row may differ from 1 / N at a price of `slack` times the KL divergence. Sinkhorn's iteration, in logarithms.

    Args:
        alike: (Q, N) finite.
        temperature: of the entropic regularisation.
        slack: 0 would leave the rows free: the mean over targets of softmax(S / 2 / temperature).
    """
    targets, rows = alike.shape
    power = slack / (slack + temperature)
    blocks = [slice(at, min(at + _BLOCK, rows)) for at in range(0, rows, _BLOCK)]
    log_v, log_u = np.zeros(rows), np.zeros(targets)

    def kernel(block: slice) -> Float64:
        """(Q, B) ln K."""
        log_k: Float64 = (alike[:, block].astype(np.float64) - 1) / (2 * temperature) - np.log(targets * rows)
        return log_k

    for _ in range(1000):
        sums = np.full(targets, -np.inf)
        for block in blocks:
            sums = np.logaddexp(sums, _log_sum(kernel(block) + log_v[block], axis=1))
        before, log_u = log_u, -np.log(targets) - sums
        arriving = np.concatenate([_log_sum(kernel(block) + log_u[:, None], axis=0) for block in blocks])
        log_v = power * (-np.log(rows) - arriving)
        if np.abs(np.expm1(log_u - before)).max() < 1e-9:
            break
    masses: Float64 = np.exp(log_v + arriving)
    return masses


def _best_first(alike: NDArray[Any], first: int) -> Iterator[int]:
    """Row numbers by similarity, best first; sorted as far as they are asked for, `first` at once."""
    known, done, size = _known(alike), 0, first
    while True:
        order = _top(known, size)
        yield from order[done:].tolist()
        if size >= len(known):
            return
        done, size = len(order), 4 * size


def _top(known: NDArray[Any], size: int) -> Int64:
    """The `size` largest, best first, of equal ones the first; -inf left out."""
    some, _ = largest(known, size)
    some = some[known[some] > -np.inf]
    return some[np.argsort(-known[some], kind="stable")]


def _known(alike: NDArray[Any]) -> NDArray[Any]:
    """The same with -inf for NaN: both say that a target never takes the row."""
    return np.where(np.isnan(alike), -np.inf, alike)


def _largest(alike: Similarities) -> NDArray[Any]:
    """(N,) the largest over the targets that may take the row; -inf where none may."""
    most: NDArray[Any] = _known(alike).max(axis=0)
    return most


def _mean(alike: Similarities, group: Int64) -> Float64:
    means: Float64 = alike.mean(axis=0, dtype=np.float64)
    return np.where(np.isfinite(means), means, np.nan)


def _group_max(alike: Similarities, group: Int64) -> Float64:
    best: Float64 = np.stack([_mean(alike[group == each], group) for each in np.unique(group)]).max(axis=0)
    return best


def _doubly_greedy(alike: Similarities, group: Int64) -> Float64:
    most = _largest(alike).astype(np.float64)
    return np.where(np.isfinite(most), most, np.nan)


def _transport(alike: Similarities, group: Int64) -> Float64:
    fine = np.isfinite(alike).all(axis=0)
    masses = np.full(alike.shape[1], np.nan)
    if fine.any():
        masses[fine] = transport_masses(alike[:, fine])
    return masses


_SCORES: dict[str, Callable[[Similarities, Int64], Float64]] = {
    "mean": _mean, "group-max": _group_max, "doubly-greedy": _doubly_greedy, "transport": _transport,
}  # fmt: skip


def _log_sum(values: Float64, axis: int) -> Float64:
    """The logarithm of the sum of exp, along an axis."""
    top = values.max(axis=axis, keepdims=True)
    total: Float64 = np.log(np.exp(values - top).sum(axis=axis)) + top.squeeze(axis)
    return total
