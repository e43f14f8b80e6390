"""Can this model, with these prompts and this method, tell good rows of my data from bad ones?

The sample with its planted defects is a data set of its own, with a run directory of its own inside the data's run:
so it is rated, stored and resumed like any other.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selectit.collect import Progress, Silent
from selectit.config import DEFAULT_MODEL, Settings
from selectit.detection import (
    DETECTED,
    LEVEL,
    PREFERRED,
    Estimate,
    KindFacts,
    bootstrap_groups,
    kind_facts,
    mean_over_kinds,
    preferences,
    rank_sum_test,
)
from selectit.draws import draws
from selectit.errors import DataError, SettingsError
from selectit.gather import field_of
from selectit.labels import expected
from selectit.planting import KINDS, ORIGINAL, Planted, only_last, plant, with_response
from selectit.rating import prompts_of_run, rate_prompts, run_of
from selectit.run import Run, create, read_json, replacing, write_json
from selectit.schema import Float64, Int64, Ratings, Sample, ScoringMethod
from selectit.scoring import (
    Part,
    Scored,
    check_all,
    collect_all,
    part_named,
    parts_of,
    prompts_asked_by,
    rates_pairs,
    score_part,
    seconds_of,
    with_inner,
)
from selectit.selection import spearman

SAMPLE = 200
LEAST_PAIRS = 10
"""A kind that fits fewer of the rows is left out: no test could tell it."""
GOOD, BAD = "good", "bad"
DETECTS, DETECTS_SOME, DETECTS_NONE = (
    "detects planted defects",
    "detects some planted defects",
    "does not detect planted defects",
)
JUDGES, JUDGES_NOT, JUDGES_WRONG = "judges", "does not judge", "judges the wrong way round"


@dataclass(frozen=True, slots=True)
class Probed:
    """How well one method, with one model and prompt set, tells good from bad. None = does not apply."""

    method: str
    model: str
    """'' for a method that asks no model."""
    prompts: str
    """The prompt set; '' for a method that reads no ratings."""
    scores: str
    """The name of its scores in the probe's own run."""
    kinds: tuple[KindFacts, ...]
    """Empty where the user's own labels were used."""
    wins: Estimate | None
    """Mean over the kinds of the share of pairs in which the original scores higher."""
    auroc: Estimate | None
    """Of the user's own labels: chance that a good row scores above a bad one."""
    p: float | None
    """Of the two-sided Mann-Whitney test of the user's own labels."""
    verdict: str
    mass: float | None
    """Mean probability of all labels together."""
    spread: float
    """Standard deviation of the scores of the originals, or of all labelled rows."""
    agreement: float | None
    """Mean rank correlation of the expected ratings between two prompts."""
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
    """Rows of each kind, 'original' or 'good' and 'bad' among them."""
    results: tuple[Probed, ...]


@dataclass(frozen=True, slots=True)
class Labels:
    """'FIELD=VALUE' or 'FIELD>=NUMBER': which rows the user calls good."""

    field: str
    operator: str
    value: str

    def good(self, text: str) -> bool | None:
        """Whether a row with this text in the field is good; None where it says nothing."""
        if not text.strip():
            return None
        if self.operator == "=":
            return text.strip() == self.value
        try:
            return float(text) >= float(self.value)
        except ValueError:
            return None


def parse_labels(text: str) -> Labels:
    """Raises SettingsError."""
    found = re.fullmatch(r"(.+?)\s*(>=|=)\s*(.+)", text)
    hint = "Write FIELD=VALUE of the good rows, or FIELD>=NUMBER, for example 'score>=4.5', in quotes."
    if found is None:
        raise SettingsError(f"--labelled is {text!r}", hint)
    labels = Labels(*found.groups())
    if labels.operator == ">=":
        try:
            float(labels.value)
        except ValueError as error:
            raise SettingsError(f"--labelled: {labels.value!r} is no number", hint) from error
    return labels


def probe(
    data: str | Path | None,
    settings: Settings = Settings(),
    methods: Sequence[str] = (),
    prompts: Sequence[str] = (),
    sample: int = SAMPLE,
    seed: int = 0,
    labelled: str | None = None,
    progress: Progress | None = None,
) -> Probe:
    """Rate a sample of the rows and copies of them with planted defects, and say whether the scores tell them apart.

    Args:
        data: as for `rate`; None = the run that `settings.run` names.
        settings: each of its models is probed by itself; its method where `methods` is empty.
        methods: as for `compare`, methods that score rows.
        prompts: prompt sets, each by itself; empty = that of the settings.
        sample: rows to draw, 20 or more; with `labelled` so many good and so many bad ones at most.
        seed: of the drawing, the planting and the bootstrap.
        labelled: 'FIELD=VALUE' or 'FIELD>=NUMBER' of good rows: the user's own labels instead of planted defects.
        progress: told what is going on.

    Raises:
        SelectitError: any of its children, with a remedy. What is rated stays.
    """
    if sample < 20:
        raise SettingsError(f"--sample is {sample}", "It is a number of 20 or more: fewer rows tell nothing.")
    labels = None if labelled is None else parse_labels(labelled)
    data_run = run_of(data, settings)
    rows = drawn(data_run, sample, seed) if labels is None else _labelled_rows(data_run, labels, sample, seed)
    name = "planted" if labelled is None else f"labelled-{re.sub(r'[^A-Za-z0-9.]+', '-', labelled)}"
    folder = data_run.path / "probes" / f"{name}-{sample}-s{seed}"
    run = planted_run(folder, rows)
    found: list[Probed] = []
    for scored, part, prompt_set in _scored(run, settings, methods, prompts, progress or Silent()):
        found.append(_probed(run, scored, part, prompt_set, rows, seed))
    counts = dict(Counter(row.kind for row in rows))
    if labels is None:
        counts |= {kind: 0 for kind in KINDS if kind not in counts}
    result = Probe(
        str(data_run.manifest["data"]),
        folder,
        len({row.of for row in rows}),
        seed,
        labelled or "",
        counts,
        tuple(found),
    )
    _store(folder, result)
    return result


def drawn(run: Run, sample: int, seed: int) -> list[Planted]:
    """A seeded sample of the rows with a response, and copies of them with planted defects.

    Raises DataError where there are fewer than `LEAST_PAIRS` such rows.
    """
    basic = run.basic_rows()
    order = np.argsort(draws(basic, f"probe {seed}"), kind="stable")
    order = order[basic.response_words[order] > 0][:sample]
    if len(order) < LEAST_PAIRS:
        raise DataError(
            f"{run.manifest['data']} has {len(order)} rows with a response, and {LEAST_PAIRS} are the least",
            "Probe a larger data set.",
        )
    rows = plant(_pairs(run, order), tuple(KINDS), seed)
    counts = Counter(row.kind for row in rows)
    return [row for row in rows if row.kind == ORIGINAL or counts[row.kind] >= LEAST_PAIRS]


def planted_run(folder: Path, rows: Sequence[Planted]) -> Run:
    """The run directory of a probe's rows: written where it is not there."""
    path = folder / "rows.jsonl"
    lines = [
        json.dumps({"prompt": row.instruction, "completion": row.response, "of": row.of, "kind": row.kind})
        for row in rows
    ]
    text = ("\n".join(lines) + "\n").encode()
    if not path.is_file() or path.read_bytes() != text:
        with replacing(path) as file:
            file.write(text)
    return create(path, Settings(run=str(folder / "run"), format="prompt-completion"))


def _labelled_rows(run: Run, labels: Labels, sample: int, seed: int) -> list[Planted]:
    values = [labels.good(text) for text in field_of(run, labels.field)]
    order = np.argsort(draws(run.basic_rows(), f"probe {seed}"), kind="stable").tolist()
    found: list[Planted] = []
    for kind, wanted in ((GOOD, True), (BAD, False)):
        rows = [row for row in order if values[row] is wanted][:sample]
        if len(rows) < 10:
            raise DataError(
                f"{run.manifest['data']} has {len(rows)} {kind} rows by {labels.field}{labels.operator}{labels.value}",
                "Ten of each are the least; look for a typing error in the field (dots go deeper) or the value.",
            )
        found += [Planted(each.row, kind, each.instruction, each.response) for each in _pairs(run, np.array(rows))]
    return found


def _pairs(run: Run, rows: Int64) -> list[Sample]:
    """The last rated pair of each of these rows, in their order."""
    pairs = {pair.row: pair for pair in only_last(run.samples_at(np.sort(rows)))}
    return [pairs[row] for row in rows.tolist() if with_response(pairs[row])]


def _scored(
    run: Run, settings: Settings, methods: Sequence[str], prompts: Sequence[str], progress: Progress
) -> Iterator[tuple[Scored, Part, str]]:
    """Each model under each prompt set by each method, what it has no part in once only."""
    seen: list[dict[str, Any]] = []
    # The probe's run has its own source: nothing of the data's reading applies to it.
    plain = {
        name: getattr(Settings(), name) for name in ("limit", "format", "map", "turns", "bad_rows", "split", "subset")
    }
    here = dataclasses.replace(settings, **plain, run=str(run.path))
    for model, name in itertools.product(
        settings.model or (DEFAULT_MODEL,), prompts or (settings.prompts or "default",)
    ):
        one = dataclasses.replace(here, model=(model,), prompts=name)
        parts = scoring_parts(one, methods, run)
        collect_for(run, one, parts, progress)
        for part in parts:
            scored = score_part(run, part.settings, part.method, None, progress)
            if scored.config not in seen:
                seen.append(scored.config)
                yield scored, part, name


def scoring_parts(settings: Settings, methods: Sequence[str], run: Run) -> list[Part]:
    """The methods by name, or that of the settings. Raises SettingsError where one chooses a set."""
    parts = [part_named(text, settings, run) for text in methods] if methods else parts_of(settings, run)
    for part in parts:
        if not isinstance(part.method, ScoringMethod):
            raise SettingsError(
                f"{part.settings.method} chooses a set and scores no rows", "Probe a method that scores rows."
            )
    return parts


def collect_for(run: Run, settings: Settings, parts: Sequence[Part], progress: Progress) -> None:
    """Collect everything that the methods read, where it is not there yet."""
    every = with_inner(parts, run)
    check_all(every)
    if any(rates_pairs(part.method) for part in every):
        prompts = prompts_of_run(settings, run)
        rate_prompts(run, settings, prompts, prompts_asked_by(every, prompts), progress)
    collect_all(run, every, progress)


def pairs_of(scores: Float64, rows: Sequence[Planted]) -> dict[str, tuple[Float64, Float64]]:
    """Scores of the originals and of the defects of each kind, pair by pair."""
    original = {row.of: place for place, row in enumerate(rows) if row.kind == ORIGINAL}
    found: dict[str, tuple[Float64, Float64]] = {}
    for kind in KINDS:
        places = [place for place, row in enumerate(rows) if row.kind == kind]
        if places:
            found[kind] = (scores[[original[rows[place].of] for place in places]], scores[places])
    return found


def preference_table(scores: Float64, rows: Sequence[Planted]) -> Float64:
    """(originals, kinds) 1 where the original scores higher than its defect, 0.5 where equal; NaN = not planted.

    Kinds that are planted nowhere have no column.
    """
    original = {row.of: place for place, row in enumerate(rows) if row.kind == ORIGINAL}
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in rows)]
    table = np.full((len(original), len(kinds)), np.nan)
    line = {of: place for place, of in enumerate(original)}
    for kind, (good, bad) in pairs_of(scores, rows).items():
        of = [row.of for row in rows if row.kind == kind]
        table[[line[each] for each in of], kinds.index(kind)] = preferences(good, bad)
    return table


def _probed(run: Run, scored: Scored, part: Part, prompts: str, rows: Sequence[Planted], seed: int) -> Probed:
    scores = scored.scores.score
    plain = np.array([row.kind in (ORIGINAL, GOOD, BAD) for row in rows])
    words = np.array([len(row.response.split()) for row in rows], np.float64)
    present = scores[plain & ~np.isnan(scores)]
    ratings = scored.signals.stored_ratings
    seconds = seconds_of(run, scored)
    correlation = spearman(scores[plain], words[plain])
    about: dict[str, Any] = {
        "method": scored.label,
        "model": ", ".join(dict.fromkeys(rater.name for rater, _ in scored.answered)),
        "scores": scored.scores.name,
        "prompts": prompts if rates_pairs(part.method) else "",
        "mass": None if ratings is None else float(np.nanmean(np.exp(ratings.logprob.astype(np.float64)).sum(-1))),
        "spread": float(present.std()) if len(present) else 0.0,
        "agreement": None if ratings is None else agreement(ratings),
        "length_correlation": None if math.isnan(correlation) else correlation,
        "seconds_per_row": None if seconds is None or not scored.answered else seconds / len(rows),
        "unscored": int(np.isnan(scores).sum()),
    }
    if any(row.kind == GOOD for row in rows):
        return _labelled(scores, rows, seed, about)
    kinds = kind_facts(pairs_of(scores, rows), seed)
    wins = mean_over_kinds(preference_table(scores, rows), seed)
    return Probed(**about, kinds=kinds, wins=wins, auroc=None, p=None, verdict=planted_verdict(kinds))


def _labelled(scores: Float64, rows: Sequence[Planted], seed: int, about: dict[str, Any]) -> Probed:
    good, bad = (scores[[row.kind == kind for row in rows]] for kind in (GOOD, BAD))
    p, auroc = rank_sum_test(good, bad), bootstrap_groups(good, bad, seed)
    verdict = JUDGES_NOT if p >= LEVEL else JUDGES if auroc.value > 0.5 else JUDGES_WRONG
    return Probed(**about, kinds=(), wins=None, auroc=auroc, p=p, verdict=verdict)


def planted_verdict(kinds: Sequence[KindFacts]) -> str:
    """One plain sentence."""
    detected = [facts.kind for facts in kinds if facts.verdict == DETECTED]
    preferred = [facts.kind for facts in kinds if facts.verdict == PREFERRED]
    turned = f"; prefers the defect: {', '.join(preferred)}" if preferred else ""
    if len(detected) == len(kinds):
        return DETECTS
    return f"{DETECTS_SOME}: {', '.join(detected)}{turned}" if detected else f"{DETECTS_NONE}{turned}"


def agreement(ratings: Ratings) -> float | None:
    """Mean Spearman correlation of the expected ratings between each two prompts; None for one prompt."""
    values = expected(ratings.logprob[:, 0])
    pairs = [spearman(values[:, a], values[:, b]) for a, b in itertools.combinations(range(values.shape[1]), 2)]
    known = [value for value in pairs if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _store(folder: Path, result: Probe) -> None:
    """Add the results to those of earlier probes of the same rows: the same method, model and prompts anew."""
    path = folder / "results.json"
    new = json.loads(json.dumps(dataclasses.asdict(result), default=str))
    known = {_key(each) for each in new["results"]}
    old = [each for each in read_json(path)["results"] if _key(each) not in known] if path.is_file() else []
    write_json(path, {**new, "results": [*old, *new["results"]]})


def _key(result: dict[str, Any]) -> tuple[str, str, str]:
    return result["method"], result["model"], result["prompts"]
