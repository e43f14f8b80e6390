"""Do methods choose what is nearer to a target than random rows are? Asked before anyone tunes a model.

The examples are halved: rows are chosen by one half, and how near they lie to the other half is measured under another
representation than the method's own. Then the halves change places, so that each example is held out once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selectit.config.settings import Settings
from selectit.data.examples import Example
from selectit.data.memory import Data
from selectit.errors import DataError
from selectit.inference.rate import open_or_create_run
from selectit.numerics.ngrams import cosines, hash_texts
from selectit.numerics.statistics import Estimate, Z, bootstrap_mean
from selectit.numerics.vectors import row_vectors, unit
from selectit.progress import Progress, Silent
from selectit.runs.run import Run
from selectit.selection.choose_rows import choose_rows
from selectit.selection.collect import collect, collect_all, load_signals
from selectit.selection.resolve import resolve
from selectit.selection.score import score_part
from selectit.selection.spec import MethodSpec, Plan, flatten, parse_method
from selectit.signals.arrays import Float64, Int64
from selectit.signals.requests import EmbeddingRequest
from selectit.text_tables import table_lines

LEAST = 10
"""Examples that are needed: with fewer an interval says nothing."""


DRAWS = 200
"""Random choices that the methods' are compared with."""


_ROUNDING = 1e-9
"""Of a difference that is 0."""


NEARER, FARTHER, NEITHER = "nearer than random rows", "farther than random rows", "no nearer than random rows"


@dataclass(frozen=True, slots=True)
class TargetProbed:
    """How near what one method chooses lies to held-out examples. Similarities are cosines, in [-1, 1]."""

    method: str
    chosen: int
    measure: str
    """What the similarity is of: 'embeddings', or 'words' where the method itself reads embeddings."""
    mean: Estimate
    """Mean similarity of an example to the chosen rows, less that to as many random rows."""
    nearest: Estimate
    """The same of its similarity to the nearest of them."""
    groups: dict[str, float]
    """`mean` of each group of examples."""
    verdict: str
    """NEARER or FARTHER where the interval of `mean` says so, else NEITHER."""


@dataclass(frozen=True, slots=True)
class TargetProbe:
    """What a probe of a target found."""

    run: Path
    rows: int
    examples: int
    seed: int
    results: tuple[TargetProbed, ...]


def probe_target(
    data: Data | None,
    settings: Settings = Settings(),
    methods: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> TargetProbe:
    """Say whether methods choose rows that are nearer to held-out examples of a target than random rows are.

    Args:
        data: as for `rate`; None = the run that `settings.run` names.
        settings: `target` names the examples, `keep` how many rows are chosen (None = 20 %).
        methods: as for `compare`; empty = that of the settings. At least one chooses towards a target.
        seed: of the halves and the bootstrap.
        progress: shows what is going on.

    Raises:
        SelectitError: any of its children, with a remedy. What is collected stays.
    """
    progress = progress or Silent()
    old = open_or_create_run(None, settings) if data is None else None
    plan = resolve(settings, old, methods)
    target = next(spec.target for spec in flatten(plan.parts) if spec.target)
    if len(target) < LEAST:
        raise DataError(f"the target has {len(target)} examples, and {LEAST} are needed", "Add some to the file.")
    run = old or open_or_create_run(data, settings)
    untargeted = tuple(part for part in plan.parts if not any(spec.target for spec in flatten([part])))
    collect_all(run, dataclasses.replace(plan, parts=untargeted), progress)
    results = tuple(_probe(run, plan, part, target, seed, progress) for part in plan.parts)
    return TargetProbe(run.path, run.rows, len(target), seed, results)


def target_lines(probe: TargetProbe) -> list[str]:
    """The probe as lines of text."""
    head = (
        f"{probe.examples} examples (seed {probe.seed}): rows are chosen by half of them, and compared with the other "
        f"half; {probe.rows:,} rows"
    )
    names = list(dict.fromkeys(name for each in probe.results for name in each.groups))
    rows = [
        (
            each.method,
            f"{each.chosen:,}",
            each.measure,
            each.mean.text(3),
            each.nearest.text(3),
            *(f"{each.groups[name]:+z.3f}" for name in names if len(names) > 1),
        )
        for each in probe.results
    ]
    header = (
        "method",
        "kept",
        "cosine of",
        "mean, less that of random",
        "nearest, likewise",
        *names * (len(names) > 1),
    )
    return [head, *table_lines(header, rows), "", *(f"{each.method}: {each.verdict}" for each in probe.results)]


def measure_nearness(alike: Float64, chosen: Int64) -> Float64:
    """(2, Q): the mean similarity of each of Q examples to the chosen rows, and that to the nearest of them.

    Args:
        alike: (Q, N) finite.
        chosen: n row numbers.
    """
    near = alike[:, chosen]
    return np.stack([near.mean(axis=1), near.max(axis=1)])


def compare_with_random(near: Float64, random: Float64, own: NDArray[np.bool_], seed: int) -> Estimate:
    """How much nearer the chosen rows are than random ones, on the mean over the groups, with a 95 % interval.

    Two errors are in it: that of the examples, by a bootstrap, and that of one random choice, by its spread; together
    as the root of their squares (MOVER: Donner and Zou, Statistical Methods in Medical Research 21, 2012).

    Args:
        near: (Q,) nearness of the chosen rows to each example.
        random: (DRAWS, Q) the same of random rows.
        own: (Q, G) whether an example is of a group.
        seed: of the bootstrap.
    """
    found = bootstrap_mean(np.where(own, (near - random.mean(axis=0))[:, None], np.nan), seed)
    of_choice = Z * float((random @ (own / own.sum(axis=0)).mean(axis=1)).std(ddof=1))
    low, high = (math.hypot(found.value - end, of_choice) for end in (found.low, found.high))
    return Estimate(found.value, found.value - low, found.value + high)


def _draw_random(alike: Float64, n: int, seed: int) -> Float64:
    """(2, DRAWS, Q) nearness of as many random choices of n rows."""
    rng = np.random.default_rng(seed)
    drawn = [measure_nearness(alike, rng.choice(alike.shape[1], n, replace=False)) for _ in range(DRAWS)]
    return np.stack(drawn, axis=1)


def _halve(target: Sequence[Example], seed: int) -> tuple[Int64, Int64]:
    """The places of two halves, of each group as many."""
    drawn = np.random.default_rng(seed).permutation(len(target))
    ordered = sorted(drawn.tolist(), key=lambda place: target[place].group)
    return np.array(ordered[::2]), np.array(ordered[1::2])


def _probe(
    run: Run, plan: Plan, part: MethodSpec, target: tuple[Example, ...], seed: int, progress: Progress
) -> TargetProbed:
    measure = "words" if any(type(need) is EmbeddingRequest for need in part.method.needs) else "embeddings"
    alike = _similarities(run, part.settings, target, measure, progress)
    near = np.full((2, len(target)), np.nan)
    one, two = _halve(target, seed)
    for half, other in ((one, two), (two, one)):
        rows, free = _choose(run, plan, part, tuple(target[place] for place in half), progress)
        near[:, other] = measure_nearness(alike[other], rows)
    groups = list(dict.fromkeys(each.group for each in target))
    own = np.array([[each.group == name for name in groups] for each in target])
    random = _draw_random(alike[:, free], len(rows), seed)
    mean, nearest = (compare_with_random(near[place], random[place], own, seed) for place in (0, 1))
    of_each = near[0] - random[0].mean(axis=0)
    return TargetProbed(
        method=part.method.label,
        chosen=len(rows),
        measure=measure,
        mean=mean,
        nearest=nearest,
        groups={name: float(of_each[own[:, place]].mean()) for place, name in enumerate(groups)},
        verdict=NEARER if mean.low > _ROUNDING else FARTHER if mean.high < -_ROUNDING else NEITHER,
    )


def _choose(
    run: Run, plan: Plan, part: MethodSpec, half: tuple[Example, ...], progress: Progress
) -> tuple[Int64, Int64]:
    """What `select` would choose by half of the target, and the rows that it may choose from."""
    towards = _with_target(part, half)
    step = None if plan.diversity is None else _with_target(plan.diversity, half)
    for spec in flatten([towards, *([step] if step else [])]):
        collect(run, spec, progress)
    scored = score_part(run, towards, plan.prompts, None, progress, asks=True)
    budget = dataclasses.replace(plan.budget, allow_fewer=True)
    plan = dataclasses.replace(plan, diversity=step)
    choice = choose_rows(run, plan, part.method, scored, None, progress, budget)
    return choice.selection.rows, np.flatnonzero(choice.candidates.allowed)


def _with_target(spec: MethodSpec, half: tuple[Example, ...]) -> MethodSpec:
    """The method, and those whose scores it reads, with these examples where they had some."""
    reads = {text: _with_target(each, half) for text, each in spec.reads.items()}
    return dataclasses.replace(spec, reads=reads, target=half if spec.target else ())


def _similarities(
    run: Run, settings: Settings, target: tuple[Example, ...], measure: str, progress: Progress
) -> Float64:
    """(Q, N) cosines of the examples with all rows; a row without any words, or without a vector, has 0."""
    reads = parse_method("knn-target" if measure == "embeddings" else "dsir", settings, run)
    spec = dataclasses.replace(reads, target=target)
    collect(run, spec, progress)
    signals = load_signals(run, spec, None, None, progress).signals
    if measure == "words":
        rows = {each.row: f"{each.instruction}\n{each.response}" for each in signals.texts}
        asked = [f"{each.instruction}\n{each.response}" for each in target]
        return cosines(hash_texts(asked), hash_texts([rows[row] for row in range(run.rows)]))
    own, others = (
        unit(np.nan_to_num(row_vectors(each.embeddings, len(each.rows)))) for each in (signals.target.signals, signals)
    )
    return np.asarray(own @ others.T, np.float64)
