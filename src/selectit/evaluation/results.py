"""What was measured: parts (a subject, a language, a benchmark of one part), and scores made of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from selectit.errors import RunError
from selectit.jsonable import digest_of, plain
from selectit.runs.files import read_json, write_json
from selectit.text_tables import table_lines


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The answers of one model to one task under one protocol."""

    name: str
    benchmark: str
    fingerprint: str
    """Changes with the model, the protocol, the data and what runs them."""
    metric: str
    value: float
    stderr: float
    """NaN where there are too few items for one."""
    items: tuple[int, ...]
    """Their numbers in the set, rising."""
    values: tuple[float, ...]
    """The metric of each item; empty for a metric of the whole (BLEU)."""
    metrics: Mapping[str, float]
    """Every other figure that the task has, by name."""
    about: Mapping[str, Any]
    """Version, shots, seeds and so on."""
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkResult:
    """One line of the table: a benchmark, over all its parts."""

    benchmark: str
    metric: str
    value: float
    stderr: float
    items: int
    parts: int
    shots: int | None
    version: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """All of one model."""

    model: str
    digest: str
    suite: str
    path: Path
    scores: tuple[BenchmarkResult, ...]
    skipped: Mapping[str, str]
    """Why a task of the suite was not run."""
    settings: Mapping[str, Any]
    parts: tuple[Part, ...] = field(repr=False)


def fingerprint(*about: Any) -> str:
    """16 hexadecimal digits over values that JSON can say."""
    return digest_of(about)[:16]


def load_parts(path: Path) -> dict[str, Part]:
    """The parts in a results file by name; none where there is no file. Raises RunError where it is damaged."""
    if not path.exists():
        return {}
    try:
        return {plain["name"]: _part(plain) for plain in read_json(path)["parts"]}
    except (KeyError, TypeError) as error:
        raise RunError(f"{path} holds no results of selectit eval", "Name another file with --out.") from error


def store_results(results: Results, kept: Mapping[str, Part]) -> None:
    """Write the results, with the parts that other tasks left in the file (`kept`)."""
    parts = {**kept, **{part.name: part for part in results.parts}}
    about = {key: value for key, value in to_plain(results).items() if key != "path"}
    write_json(results.path, plain({**about, "parts": [asdict(part) for part in parts.values()]}))


def to_plain(results: Results) -> dict[str, Any]:
    """The results without their parts, as JSON can say them."""
    return {
        "model": results.model,
        "digest": results.digest,
        "suite": results.suite,
        "path": str(results.path),
        "settings": dict(results.settings),
        "scores": [asdict(combine_parts) for combine_parts in results.scores],
        "skipped": dict(results.skipped),
    }


def combine_parts(parts: Sequence[Part]) -> BenchmarkResult:
    """A benchmark's score: the mean over all items of all its parts.

    The standard error is lm-eval's for groups (`pooled_sample_stderr`: the pooled variance within the parts), and that
    of the mean of all items where a part has a single one.
    """
    first = parts[0]
    sizes = [len(part.items) for part in parts]
    value = sum(part.value * size for part, size in zip(parts, sizes, strict=True)) / sum(sizes)
    return BenchmarkResult(
        benchmark=first.benchmark,
        metric=first.metric,
        value=first.value if len(parts) == 1 else value,
        stderr=first.stderr if len(parts) == 1 else _pooled(parts, sizes),
        items=sum(sizes),
        parts=len(parts),
        shots=first.about.get("shots"),
        version=str(first.about.get("version", "")),
        seconds=sum(part.seconds for part in parts),
    )


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of values: sample deviation / sqrt(n); NaN of fewer than two."""
    if len(values) < 2:
        return math.nan
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def _pooled(parts: Sequence[Part], sizes: Sequence[int]) -> float:
    if min(sizes) < 2:
        return standard_error([value for part in parts for value in part.values])
    variance = sum((size - 1) * part.stderr**2 * size for size, part in zip(sizes, parts, strict=True))
    return math.sqrt(variance / (sum(sizes) - len(sizes)) / sum(sizes))


def result_lines(results: Results) -> Iterator[str]:
    """Lines to read: one a benchmark, then what was left out and why."""
    yield f"{results.model}  ({results.suite}, {results.path})"
    rows = [("task", "metric", "value", "std. error", "items", "shots", "version", "seconds")]
    for each in results.scores:
        shots = "" if each.shots is None else str(each.shots)
        figures = (_figure(each.value), _figure(each.stderr), f"{each.items:,}", shots)
        rows.append((each.benchmark, each.metric, *figures, each.version, f"{each.seconds:,.0f}"))
    yield from table_lines(rows[0], rows[1:], names=2)
    for name, why in results.skipped.items():
        yield f"{name}: not run, {why}"


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _part(plain: Mapping[str, Any]) -> Part:
    numbers = {name: math.nan if plain[name] is None else plain[name] for name in ("value", "stderr")}
    metrics = {name: math.nan if value is None else value for name, value in plain["metrics"].items()}
    lists = {name: tuple(plain[name]) for name in ("items", "values")}
    return Part(**{**plain, **numbers, **lists, "metrics": metrics})
