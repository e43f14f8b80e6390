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

from selectit.config.settings import DEFAULT_MODEL, Settings
from selectit.data.fields import LayoutError
from selectit.data.memory import Data
from selectit.errors import DataError, SettingsError
from selectit.inference.rate import models_of_run, open_or_create_run, with_stored_engine
from selectit.jsonable import plain
from selectit.methods._base import ScoringMethod
from selectit.probing.defects import KINDS, Corrupted
from selectit.probing.measure import Probed, judge_together, measure, measure_answers, word_counts
from selectit.probing.pairs import (
    PAIRS_HINT,
    PairMap,
    PairStats,
    draw_pairs,
    pairs_name,
    split_map,
)
from selectit.probing.rows import (
    PLANTED,
    Labels,
    create_probe_run,
    draw_labelled_rows,
    draw_rows,
    labels_name,
    parse_labels,
    probe_folder,
)
from selectit.progress import Progress, Silent
from selectit.runs.prompt_sets import K, load_prompts
from selectit.runs.run import Run
from selectit.selection.collect import collect_all
from selectit.selection.resolve import resolve
from selectit.selection.score import Scored, score_part
from selectit.selection.spec import MethodSpec, Plan, needs_ratings
from selectit.signals.prompts import PromptSet
from selectit.text_tables import notebook_html

SAMPLE = 200


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

    def _repr_html_(self) -> str:
        from selectit.probing.report import probe_lines  # which imports this module

        return notebook_html(probe_lines(self))


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
        measure_answers(word_counts(rows), rows) if pairs else None,
        (),
    )
    found: list[Probed] = []
    for scored, part, prompt_set in _scored(run, plans, progress or Silent()):
        found.append(measure(run, scored, part, prompt_set, rows, seed))
        result = dataclasses.replace(result, results=judge_together(found))
        _store(data_run, result)
    return result


def _read(data: Data | None, settings: Settings, pairs: bool) -> Run:
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
            scored = score_part(run, part, plan.prompts, None, progress, asks=True)
            if scored.config not in seen:
                seen.append(scored.config)
                yield scored, part, plan.prompts if needs_ratings(part.method) else None


def _store(run: Run, result: Probe) -> None:
    """Add the results to those of earlier probes of the same rows; the same scores are stored once.

    Results without a digest are of an older version, which judged otherwise: they go.
    """
    path = result.folder / "results.json"
    new = plain(dataclasses.asdict(result))
    known = {None, *(each["digest"] for each in new["results"])}
    old = [each for each in run.read_json(path)["results"] if each.get("digest") not in known] if path.is_file() else []
    run.write_json(path, {**new, "results": [*old, *new["results"]]})
