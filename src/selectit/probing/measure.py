"""What the scores of a sample tell: of planted defects, of labelled rows, of preference pairs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit.data.words import count_words
from selectit.errors import DataError
from selectit.jsonable import digest_of, without_nan
from selectit.numerics.label_probs import expected
from selectit.numerics.ranking import spearman
from selectit.numerics.statistics import Estimate, auroc_estimate, bootstrap_mean, holm, preferences, rank_sum_test
from selectit.probing.defects import KINDS, ORIGINAL, Corrupted
from selectit.probing.names import describe_differences
from selectit.probing.pairs import (
    CHOSEN,
    REJECTED,
    PairStats,
    measure_pairs,
    more_than,
)
from selectit.probing.rows import (
    BAD,
    GOOD,
    pair_scores,
)
from selectit.probing.verdicts import BARELY, DETECTED, PREFERRED, VERDICTS, KindStats, decide_verdict, measure_kinds
from selectit.runs.run import Run
from selectit.runs.stored import failures
from selectit.selection.score import Scored, estimate_seconds
from selectit.selection.spec import MethodSpec
from selectit.signals.arrays import Float64, Int64
from selectit.signals.prompts import PromptSet

DETECTS, DETECTS_SOME, DETECTS_NONE = (
    "detects planted defects",
    "detects some planted defects",
    "does not detect planted defects",
)
UNSCORED_HINT = "Try --max-tokens, --overflow cut, a server's --missing-label floor, --labels, or another --model."
JUDGES, JUDGES_NOT, JUDGES_WRONG = "judges", "does not judge", "judges the wrong way round"
JUDGES_AS_LENGTH = "judges, not shown to be better than length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """How well one method, with one model and prompt set, tells good from bad. None = does not apply."""

    method: str
    model: str
    """'' for a method that asks no model."""
    prompts: str
    """The prompt set; '' for a method that reads no ratings."""
    differs: str
    """What of the settings and parameters is not the default and not shown by the names."""
    digest: str
    """Of everything that decides the scores; results with another one are kept beside this one."""
    scores: str
    """The name of its scores in the probe's own run."""
    kinds: tuple[KindStats, ...] = ()
    """Empty where no defects were planted."""
    wins: Estimate | None = None
    """Mean over the kinds of the share of pairs in which the original scores higher."""
    pairs: PairStats | None = None
    """Of preference pairs."""
    over_length: Estimate | None = None
    """How many more of the preference pairs are won than by the length of the answers."""
    auroc: Estimate | None = None
    """Of the user's own labels: chance that a good row scores above a bad one."""
    p: float | None = None
    """Of the two-sided Mann-Whitney test of the user's own labels, or sign test of the preference pairs, times Holm's
    factor for the number of results."""
    verdict: str = ""
    """'' = `judge_together` is still to decide."""
    mass: float | None
    """Mean probability of all labels together, over the same rows as `spread`."""
    spread: float
    """Standard deviation of the scores of the originals, or of all labelled rows."""
    agreement: float | None
    """Mean rank correlation of the expected ratings between two prompts, over the same rows as `spread`."""
    length_correlation: float | None
    """Spearman's, of score and words of the response, over the same rows as `spread`."""
    seconds_per_row: float | None
    unscored: int
    """Rows of the probe without a score; they count as lower than any other."""


def preference_table(scores: Float64, rows: Sequence[Corrupted]) -> Float64:
    """(originals, kinds) 1 where the original scores higher than its defect, 0.5 where equal; NaN = not planted.

    Kinds that are planted nowhere have no column.
    """
    original = {row.of: place for place, row in enumerate(rows) if row.kind == ORIGINAL}
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in rows)]
    table = np.full((len(original), len(kinds)), np.nan)
    line = {of: place for place, of in enumerate(original)}
    for kind, (good, bad) in pair_scores(scores, rows).items():
        of = [row.of for row in rows if row.kind == kind]
        table[[line[each] for each in of], kinds.index(kind)] = preferences(good, bad)
    return table


def measure(
    run: Run, scored: Scored, part: MethodSpec, prompts: PromptSet | None, rows: Sequence[Corrupted], seed: int
) -> Probed:
    """What a method's scores say of the rows. Raises as `_refuse_unscored`."""
    scores = scored.scores.score
    plain = np.array([row.kind not in KINDS for row in rows])
    _refuse_unscored(run, scored, np.flatnonzero(plain))
    words = word_counts(rows)
    ratings = scored.signals.stored.get("ratings")
    logprob = None if ratings is None else ratings.logprob[plain[ratings.row], 0].astype(np.float64)
    seconds = estimate_seconds(run, scored)
    correlation = spearman(scores[plain], words[plain])
    about: dict[str, Any] = {
        "method": scored.label,
        "model": ", ".join(dict.fromkeys(annotator.name for annotator, _ in scored.answered)),
        "scores": scored.scores.name,
        "prompts": "" if prompts is None else prompts.name,
        "differs": describe_differences(scored, part.method, prompts),
        "digest": digest_of(scored.config)[:12],
        "mass": None if logprob is None else float(np.nanmean(np.exp(logprob).sum(-1))),
        "spread": float(np.nanstd(scores[plain])),
        "agreement": None if logprob is None else agreement(logprob),
        "length_correlation": without_nan(correlation),
        "seconds_per_row": None if seconds is None or not scored.answered else seconds / len(rows),
        "unscored": int(np.isnan(scores).sum()),
    }
    if any(row.kind == GOOD for row in rows):
        good, bad = _of_kinds(scores, rows, GOOD, BAD)
        return Probed(**about, auroc=auroc_estimate(good, bad), p=rank_sum_test(good, bad))
    if any(row.kind == CHOSEN for row in rows):
        pairs = measure_answers(scores, rows)
        won, longer = (preferences(*_of_kinds(each, rows, CHOSEN, REJECTED)) for each in (scores, words))
        more = more_than(won, longer, _instructions(rows), seed)
        return Probed(**about, pairs=pairs, over_length=more, p=pairs.p)
    kinds = measure_kinds(pair_scores(scores, rows))
    wins = bootstrap_mean(preference_table(scores, rows), seed)
    return Probed(**about, kinds=kinds, wins=wins, verdict=planted_verdict(kinds))


def word_counts(rows: Sequence[Corrupted]) -> Float64:
    """The length of each response in words."""
    return np.array([count_words(row.response) for row in rows], np.float64)


def _of_kinds(values: Float64, rows: Sequence[Corrupted], better: str, worse: str) -> tuple[Float64, Float64]:
    good, bad = (values[[row.kind == kind for row in rows]] for kind in (better, worse))
    return good, bad


def _instructions(rows: Sequence[Corrupted]) -> list[str]:
    """Of each preference pair."""
    return [row.instruction for row in rows if row.kind == CHOSEN]


def measure_answers(values: Float64, rows: Sequence[Corrupted]) -> PairStats:
    """How many preference pairs some values, one for each row, win."""
    return measure_pairs(*_of_kinds(values, rows, CHOSEN, REJECTED), _instructions(rows))


def _refuse_unscored(run: Run, scored: Scored, plain: Int64) -> None:
    """Raise DataError where fewer than half of the rows without a planted defect have a score."""
    missing = plain[np.isnan(scored.scores.score[plain])].tolist()
    if len(missing) * 2 <= len(plain):
        return
    failed = (failures(run, [annotator], requests) for annotator, requests in scored.answered)
    reasons = [rows[row] for rows in failed for row in missing if row in rows]
    why = reasons[0] if reasons else "the method gives them none"
    raise DataError(
        f"{scored.label} has no score of {len(missing)} of {len(plain)} rows without a planted defect: {why}",
        f"A verdict would be about what is missing. {UNSCORED_HINT} Rows: selectit show {run.path} --row N",
    )


def judge_together(found: Sequence[Probed]) -> tuple[Probed, ...]:
    """The results with verdicts by the user's own labels or pairs, for all of them together (Holm)."""
    adjusted = iter(holm([each.p for each in found if each.p is not None]))
    judged = []
    for each in found:
        share = each.pairs.wins if each.pairs is not None else each.auroc
        if share is not None:
            p = next(adjusted)
            verdict = decide_verdict(p, share.value, JUDGES, JUDGES_WRONG, JUDGES_NOT)
            if verdict == JUDGES and each.over_length is not None and each.over_length.low <= 0:
                verdict = JUDGES_AS_LENGTH
            each = dataclasses.replace(each, p=p, verdict=verdict)
        judged.append(each)
    return tuple(judged)


def planted_verdict(kinds: Sequence[KindStats]) -> str:
    """One plain sentence."""
    named = {verdict: ", ".join(each.kind for each in kinds if each.verdict == verdict) for verdict in VERDICTS}
    if named[DETECTED] and all(each.verdict == DETECTED for each in kinds):
        return DETECTS
    more = f"; {BARELY}: {named[BARELY]}" if named[BARELY] else ""
    more += f"; prefers the defect: {named[PREFERRED]}" if named[PREFERRED] else ""
    return f"{DETECTS_SOME}: {named[DETECTED]}{more}" if named[DETECTED] else f"{DETECTS_NONE}{more}"


def agreement(logprob: Float64) -> float | None:
    """Mean Spearman correlation of the expected ratings between each two prompts; None for one prompt.

    Args:
        logprob: (S, K, R) of one model.
    """
    values = expected(logprob)
    pairs = [spearman(values[:, a], values[:, b]) for a, b in itertools.combinations(range(values.shape[1]), 2)]
    known = [value for value in pairs if not np.isnan(value)]
    return float(np.mean(known)) if known else None
