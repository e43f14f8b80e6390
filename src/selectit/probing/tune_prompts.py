"""Which K of many rating prompts best tell good from bad on your data: picked on one half, measured on the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.config.settings import DEFAULT_MODEL, Settings
from selectit.data.memory import Data
from selectit.errors import DataError, RunError, SettingsError
from selectit.inference.rate import open_or_create_run, rate_prompts
from selectit.numerics.label_probs import expected
from selectit.numerics.segments import mean_by_row
from selectit.numerics.statistics import Estimate, bootstrap_mean
from selectit.probing.defects import ORIGINAL, Corrupted
from selectit.probing.measure import UNSCORED_HINT, preference_table
from selectit.probing.probe import SAMPLE
from selectit.probing.rows import PLANTED, create_probe_run, draw_rows, probe_folder
from selectit.progress import Progress, Silent
from selectit.runs.files import write_toml
from selectit.runs.output import check_new_file
from selectit.runs.prompt_sets import load_prompts
from selectit.runs.run import Run
from selectit.runs.stored import load_arrays
from selectit.signals import prompts as prompt_files
from selectit.signals.arrays import Float64, Int64
from selectit.signals.prompts import PromptSet


@dataclass(frozen=True, slots=True)
class TunedPrompts:
    """What was picked, and what it is worth on rows that had no part in the picking."""

    out: Path
    prompts: tuple[str, ...]
    """In the order of picking."""
    alone: tuple[float, ...]
    """Share of pairs won by each of the pool alone, on the half that picks."""
    wins: Estimate
    """Share of pairs won by the picked prompts, mean over the kinds of defects, on the other half."""
    first: Estimate
    """The same of the first K of the pool."""
    gain: Estimate
    """Their difference, pair by pair."""


def tune_prompts(
    data: Data | None,
    out: str | Path,
    settings: Settings = Settings(),
    k: int = 5,
    sample: int = SAMPLE,
    seed: int = 0,
    progress: Progress | None = None,
) -> TunedPrompts:
    """Pick K prompts of the set that the settings name by what they detect, and write them as a prompt file.

    The mean expected rating is what is compared. Prompts are added one at a time, always the one with which the share
    of pairs won, mean over the kinds of planted defects, is the highest.

    Args:
        data: as for `rate`.
        out: a TOML file to write.
        settings: one model; `prompts` is the pool.
        k: how many to pick.
        sample: rows to draw; half of them pick, half of them tell.
        seed: of the drawing and planting.
        progress: shows what is going on.

    Raises:
        SelectitError: any of its children, with a remedy.
    """
    if sample < 40:
        raise SettingsError(f"--sample is {sample}", "It is a number of 40 or more: each half has 20 rows.")
    if len(settings.model) > 1:
        raise SettingsError("prompts are tuned for one model", "Name one with --model.")
    pool = load_prompts(settings, None)
    if not 1 <= k < len(pool.texts):
        raise SettingsError(
            f"--k is {k}, and the pool has {len(pool.texts)} prompts", "Pick fewer, or give a larger pool (--prompts)."
        )
    path = Path(out)
    check_new_file("--out", path, ".toml")
    if path.exists() and not settings.force:
        raise RunError(f"{path} is there already", "Name another with --out, or add --force.")
    data_run = open_or_create_run(data, settings)
    rows = draw_rows(data_run, sample, seed)
    run = create_probe_run(probe_folder(data_run, PLANTED, sample, seed), rows)
    ratings = _expected(run, settings, pool, progress or Silent())
    _refuse_unrated(run, ratings, rows)
    picking, telling = split_halves(rows)
    picked, alone = pick(ratings, rows, picking, k)
    chosen, first = (_table(ratings[:, which], rows)[telling] for which in (picked, list(range(k))))
    best = PromptSet(f"{pool.name}-tuned", tuple(pool.texts[n] for n in picked), pool.template, pool.labels, pool.chat)
    write_toml(path, prompt_files.to_toml_table(best))
    return TunedPrompts(
        path,
        best.texts,
        tuple(alone),
        bootstrap_mean(chosen, seed),
        bootstrap_mean(first, seed),
        bootstrap_mean(chosen - first, seed),
    )


def split_halves(rows: Sequence[Corrupted]) -> tuple[Int64, Int64]:
    """Places of the originals that pick, and of those that tell: every second one, in the order of the drawing."""
    originals = len({row.of for row in rows})
    return np.arange(0, originals, 2), np.arange(1, originals, 2)


def pick(ratings: Float64, rows: Sequence[Corrupted], picking: Int64, k: int) -> tuple[list[int], list[float]]:
    """The places of K prompts, and what each of the pool is worth alone.

    Args:
        ratings: (rows, pool) expected ratings.
        rows: the originals and their defects.
        picking: places of the originals that count.
        k: how many.
    """

    def worth(which: list[int]) -> float:
        return bootstrap_mean(_table(ratings[:, which], rows)[picking], 0).value

    alone = [worth([n]) for n in range(ratings.shape[1])]
    picked: list[int] = []
    while len(picked) < k:
        rest = [n for n in range(ratings.shape[1]) if n not in picked]
        picked.append(max(rest, key=lambda n: worth([*picked, n])))
    return picked, alone


def _refuse_unrated(run: Run, ratings: Float64, rows: Sequence[Corrupted]) -> None:
    """Raise DataError where a prompt has rated fewer than half of the originals."""
    originals = ratings[[row.kind == ORIGINAL for row in rows]]
    missing = int(np.isnan(originals).sum(axis=0).max())
    if missing * 2 > len(originals):
        raise DataError(
            f"{missing} of {len(originals)} originals have no rating under one of the prompts",
            f"What is missing would decide. {UNSCORED_HINT} Rows: selectit show {run.path} --row N",
        )


def _table(ratings: Float64, rows: Sequence[Corrupted]) -> Float64:
    return preference_table(ratings.mean(axis=1), rows)


def _expected(run: Run, settings: Settings, pool: PromptSet, progress: Progress) -> Float64:
    """(rows, pool) expected ratings of every row under every prompt."""
    here = dataclasses.replace(settings, model=settings.model or (DEFAULT_MODEL,))
    asked = pool.first(len(pool.texts))
    ratings = load_arrays(run, rate_prompts(run, here, pool, asked, progress), asked)
    values = expected(ratings.logprob[:, 0])
    return np.stack([mean_by_row(column, ratings.row, run.rows) for column in values.T], axis=1)
