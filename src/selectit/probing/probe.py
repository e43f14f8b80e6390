"""Can this model, with these prompts and this method, tell good rows of my data from bad ones?

The sample with its planted defects, the labelled rows or the answers of preference pairs are a data set of their own,
with a run directory of its own inside the data's run: so they are rated, stored and resumed like any other.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selectit.config.settings import DEFAULT_MODEL, Settings
from selectit.data.fields import LayoutError
from selectit.data.memory import Data
from selectit.data.words import count_words
from selectit.errors import DataError, SettingsError
from selectit.inference.rate import models_of_run, open_or_create_run, with_stored_engine
from selectit.jsonable import digest_of, plain, without_nan
from selectit.methods._base import ScoringMethod
from selectit.numerics.label_probs import expected
from selectit.numerics.ranking import spearman
from selectit.numerics.statistics import Estimate, auroc_estimate, bootstrap_mean, holm, preferences, rank_sum_test
from selectit.probing.defects import KINDS, ORIGINAL, Corrupted
from selectit.probing.names import describe_differences
from selectit.probing.pairs import (
    CHOSEN,
    PAIRS_HINT,
    REJECTED,
    PairMap,
    PairStats,
    draw_pairs,
    measure_pairs,
    more_than,
    pairs_name,
    split_map,
)
from selectit.probing.rows import (
    BAD,
    GOOD,
    PLANTED,
    Labels,
    create_probe_run,
    draw_labelled_rows,
    draw_rows,
    labels_name,
    pair_scores,
    parse_labels,
    probe_folder,
)
from selectit.probing.verdicts import BARELY, DETECTED, PREFERRED, VERDICTS, KindStats, decide_verdict, measure_kinds
from selectit.progress import Progress, Silent
from selectit.runs.prompt_sets import K, load_prompts
from selectit.runs.run import Run
from selectit.runs.stored import failures
from selectit.selection.collect import collect_all
from selectit.selection.resolve import resolve
from selectit.selection.score import Scored, estimate_seconds, score_part
from selectit.selection.spec import MethodSpec, Plan, needs_ratings
from selectit.signals.arrays import Float64, Int64
from selectit.signals.prompts import PromptSet

SAMPLE = 200
DETECTS, DETECTS_SOME, DETECTS_NONE = (
    "detects planted defects",
    "detects some planted defects",
    "does not detect planted defects",
)
UNSCORED_HINT = "Try --max-tokens, --overflow cut, a server's --missing-label floor, --labels, or another --model."
JUDGES, JUDGES_NOT, JUDGES_WRONG = "judges", "does not judge", "judges the wrong way round"
JUDGES_AS_LENGTH = "judges, not shown to be better than length"


@dataclass(frozen=True, slots=True)
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
    kinds: tuple[KindStats, ...]
    """Empty where no defects were planted."""
    wins: Estimate | None
    """Mean over the kinds of the share of pairs in which the original scores higher."""
    pairs: PairStats | None
    """Of preference pairs."""
    over_length: Estimate | None
    """How many more of the preference pairs are won than by the length of the answers."""
    auroc: Estimate | None
    """Of the user's own labels: chance that a good row scores above a bad one."""
    p: float | None
    """Of the two-sided Mann-Whitney test of the user's own labels, or sign test of the preference pairs, times Holm's
    factor for the number of results."""
    verdict: str
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


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe found."""

    data: str
    folder: Path
    rows: int
    """Rows of the data that were drawn."""
    seed: int
    labelled: str
    """The user's own labels; '' = planted defects."""
    counts: dict[str, int]
    """Rows of each kind, 'original', 'good' and 'bad', or 'chosen' and 'rejected' among them."""
    left_out: dict[str, int]
    """Preference pairs that tell nothing, by the reason."""
    length: PairStats | None
    """Of preference pairs: how many the longer answer wins, in words."""
    results: tuple[Probed, ...]


def probe(
    data: Data | None,
    settings: Settings = Settings(),
    methods: Sequence[str] = (),
    prompts: Sequence[str] = (),
    sample: int = SAMPLE,
    seed: int = 0,
    labelled: str | None = None,
    progress: Progress | None = None,
    pairs: bool = False,
) -> Probe:
    """Rate a sample of the rows and copies of them with planted defects, and say whether the scores tell them apart.

    Or rows that carry labels, or the two answers of preference pairs.

    Args:
        data: as for `rate`; None = the run that `settings.run` names, whose models and prompts are the default.
        settings: each of its models is probed by itself; its method where `methods` is empty.
        methods: as for `compare`, methods that score rows.
        prompts: prompt sets, each by itself; empty = that of the settings.
        sample: rows to draw, 20 or more; with `labelled` so many good and so many bad ones at most.
        seed: of the drawing, the planting and the bootstrap.
        labelled: 'FIELD=VALUE' or 'FIELD>=NUMBER' of good rows: the user's own labels instead of planted defects.
        progress: shows what is going on.
        pairs: the data has two answers to a question, of which one is preferred. The map of the settings may name
            `chosen`, `rejected` and what else a `PairMap` has; `sample` is pairs.

    Raises:
        SelectitError: any of its children, with a remedy. What is rated stays, and so do the results before it.
    """
    if sample < 20:
        raise SettingsError(f"--sample is {sample}", "It is a number of 20 or more: fewer rows tell nothing.")
    if pairs and labelled is not None:
        raise SettingsError("--pairs and --labelled are two kinds of probe", "Give one of them.")
    labels = None if labelled is None else parse_labels(labelled)
    fields = None
    if pairs:
        as_read, fields = split_map(settings.map)
        settings = dataclasses.replace(settings, map=as_read)
    old = open_or_create_run(None, settings) if data is None else None
    plans = _resolve_all(settings if old is None else _as_rated(old, settings), old, methods, prompts)
    data_run = old or _read(data, settings, pairs)
    name, rows, left_out = _draw(data_run, labelled, labels, fields, sample, seed)
    run = create_probe_run(probe_folder(data_run, name, sample, seed), rows)
    counts = dict(Counter(row.kind for row in rows))
    if name == PLANTED:
        counts |= {kind: 0 for kind in KINDS if kind not in counts}
    result = Probe(
        str(data_run.manifest["data"]),
        run.path.parent,
        len({row.of for row in rows}),
        seed,
        labelled or "",
        counts,
        left_out,
        _measure_pairs(_words(rows), rows) if pairs else None,
        (),
    )
    found: list[Probed] = []
    for scored, part, prompt_set in _scored(run, plans, progress or Silent()):
        found.append(_measure(run, scored, part, prompt_set, rows, seed))
        result = dataclasses.replace(result, results=_judge_together(found))
        _store(data_run, result)
    return result


def _read(data: str | Path | None, settings: Settings, pairs: bool) -> Run:
    """The run of the data. Where the layout of pairs is unknown, the hint is about pairs."""
    try:
        return open_or_create_run(data, settings)
    except DataError as error:
        if pairs and isinstance(error.__cause__, LayoutError):
            raise DataError(error.message, PAIRS_HINT) from error
        raise


def _draw(
    run: Run, labelled: str | None, labels: Labels | None, fields: PairMap | None, sample: int, seed: int
) -> tuple[str, list[Corrupted], dict[str, int]]:
    """A name for the rows of a probe, the rows, and what was left out of preference pairs."""
    if fields is not None:
        drawn = draw_pairs(run, fields, sample, seed)
        return pairs_name(fields), drawn.rows, drawn.left_out
    if labelled is not None and labels is not None:
        return labels_name(labelled), draw_labelled_rows(run, labels, sample, seed), {}
    return PLANTED, draw_rows(run, sample, seed), {}


def _as_rated(run: Run, settings: Settings) -> Settings:
    """The settings with the models and engine that the run was rated with, where they name none."""
    models = settings.model or models_of_run(run, settings)
    settings = dataclasses.replace(settings, model=models)
    return with_stored_engine(run, settings, models) if models else settings


def _resolve_all(settings: Settings, run: Run | None, methods: Sequence[str], prompts: Sequence[str]) -> list[Plan]:
    """Each model under each prompt set with the methods: all built and checked before anything is rated."""
    plans = []
    for model, name in itertools.product(settings.model or (DEFAULT_MODEL,), prompts or (settings.prompts,)):
        one = dataclasses.replace(settings, model=(model,), prompts=name)
        prompt_set = load_prompts(one, run)
        if one.k is None and len(prompt_set.texts) < K:
            one = dataclasses.replace(one, k=len(prompt_set.texts))
        plan = resolve(one, run, methods, prompt_set)
        for part in plan.parts:
            if not isinstance(part.method, ScoringMethod):
                raise SettingsError(
                    f"{part.settings.method} chooses a set and scores no rows", "Probe a method that scores rows."
                )
        plans.append(plan)
    return plans


def _scored(
    run: Run, plans: Sequence[Plan], progress: Progress
) -> Iterator[tuple[Scored, MethodSpec, PromptSet | None]]:
    """Each model under each prompt set by each method, what it has no part in once only."""
    seen: list[dict[str, Any]] = []
    for plan in plans:
        collect_all(run, plan, progress)
        for part in plan.parts:
            scored = score_part(run, part, plan.prompts, None, progress)
            if scored.config not in seen:
                seen.append(scored.config)
                yield scored, part, plan.prompts if needs_ratings(part.method) else None


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


def _measure(
    run: Run, scored: Scored, part: MethodSpec, prompts: PromptSet | None, rows: Sequence[Corrupted], seed: int
) -> Probed:
    scores = scored.scores.score
    plain = np.array([row.kind not in KINDS for row in rows])
    _refuse_unscored(run, scored, np.flatnonzero(plain))
    words = _words(rows)
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
    nothing: dict[str, Any] = {"kinds": (), "wins": None, "pairs": None, "over_length": None, "auroc": None, "p": None}
    about |= nothing | {"verdict": ""}  # what is judged by a p, `_judge_together` judges
    if any(row.kind == GOOD for row in rows):
        good, bad = _of_kinds(scores, rows, GOOD, BAD)
        return Probed(**about | {"auroc": auroc_estimate(good, bad), "p": rank_sum_test(good, bad)})
    if any(row.kind == CHOSEN for row in rows):
        pairs, (won, longer) = (
            _measure_pairs(scores, rows),
            (preferences(*_of_kinds(each, rows, CHOSEN, REJECTED)) for each in (scores, words)),
        )
        more = more_than(won, longer, _instructions(rows), seed)
        return Probed(**about | {"pairs": pairs, "over_length": more, "p": pairs.p})
    kinds = measure_kinds(pair_scores(scores, rows))
    wins = bootstrap_mean(preference_table(scores, rows), seed)
    return Probed(**about | {"kinds": kinds, "wins": wins, "verdict": planted_verdict(kinds)})


def _words(rows: Sequence[Corrupted]) -> Float64:
    return np.array([count_words(row.response) for row in rows], np.float64)


def _of_kinds(values: Float64, rows: Sequence[Corrupted], better: str, worse: str) -> tuple[Float64, Float64]:
    good, bad = (values[[row.kind == kind for row in rows]] for kind in (better, worse))
    return good, bad


def _instructions(rows: Sequence[Corrupted]) -> list[str]:
    """Of each preference pair."""
    return [row.instruction for row in rows if row.kind == CHOSEN]


def _measure_pairs(values: Float64, rows: Sequence[Corrupted]) -> PairStats:
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


def _judge_together(found: Sequence[Probed]) -> tuple[Probed, ...]:
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


def _store(run: Run, result: Probe) -> None:
    """Add the results to those of earlier probes of the same rows; the same scores are stored once.

    Results without a digest are of an older version, which judged otherwise: they go.
    """
    path = result.folder / "results.json"
    new = plain(dataclasses.asdict(result))
    known = {None, *(each["digest"] for each in new["results"])}
    old = [each for each in run.read_json(path)["results"] if each.get("digest") not in known] if path.is_file() else []
    run.write_json(path, {**new, "results": [*old, *new["results"]]})
