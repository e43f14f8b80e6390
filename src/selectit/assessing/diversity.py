"""How varied data sets are by an encoder, and how far they lie from a target: on equally many rows of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selectit.assessing.sample import has_answered, open_sample_run
from selectit.config.settings import Settings
from selectit.data.examples import Example
from selectit.errors import DataError, RunError, is_installed
from selectit.numerics.clusters import k_means
from selectit.numerics.diversity import cluster_entropy, novel_sum, squared_mmd, vendi_score
from selectit.numerics.statistics import Estimate
from selectit.numerics.vectors import Vectors, row_vectors, unit
from selectit.progress import Progress
from selectit.runs.annotators import models_in
from selectit.runs.run import Run
from selectit.runs.targets import open_target_run
from selectit.selection.collect import collect_requests, load_answers
from selectit.signals.arrays import Embeddings, Float32
from selectit.signals.requests import EmbeddingRequest

CLUSTERS = 50
"""Into which the rows of all data sets together are put."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """How varied one data set is. Higher is more varied, but for the last."""

    encoder: str
    rows: int
    """So many were compared, of each data set as many."""
    vendi: float
    """The number of wholly different rows that would be as varied, from 1 to `rows`."""
    novelsum: float
    """With the rows of all data sets as reference."""
    entropy: float | None
    """Over `CLUSTERS` clusters of the rows of all data sets, from 0 (all in one) to 1 (evenly).

    None = scikit-learn is not installed.
    """
    target: Estimate | None
    """Squared MMD to the target's examples, lower is nearer and about 0 alike; None = there is no target."""


def measure_diversity(
    runs: Sequence[Run],
    rows: Sequence[Sequence[int]],
    target: tuple[Example, ...],
    settings: Settings,
    seed: int,
    progress: Progress,
) -> tuple[Diversity, ...]:
    """The diversity of each data set; none where no encoder is named and none has embedded all of them.

    Args:
        runs: of the data.
        rows: the sample of each, in the order of the draw.
        target: examples of what is wanted; where one has no answer, instructions alone are compared.
        settings: `encoder` names what embeds the samples.
        seed: of the samples' folders and the clusters.
        progress: shows the embedding.

    Raises:
        DataError: a data set has fewer than two rows with a vector.
        SelectitError: others, with a remedy.
    """
    alone = any(not example.response.strip() for example in target)
    request = EmbeddingRequest("instruction") if alone else EmbeddingRequest()
    encoder = settings.encoder or _find_stored(runs, request, settings)
    if encoder is None:
        return ()
    found = [
        _embed(run, some, encoder, request, settings, seed, progress) for run, some in zip(runs, rows, strict=True)
    ]
    for run, vectors in zip(runs, found, strict=True):
        _require_two(vectors, str(run.manifest["data"]), encoder)
    least = min(map(len, found))
    points = [unit(vectors[:least]) for vectors in found]
    wanted = None
    if target:
        inner = open_target_run(runs[0], target)
        wanted = unit(_embed(inner, range(inner.rows), encoder, request, settings, seed, progress))
        _require_two(wanted, "--target", encoder)
    if len({vectors.shape[1] for vectors in (*points, *([] if wanted is None else [wanted]))}) > 1:
        raise RunError(
            f"the vectors by {encoder} have different lengths: some are by another engine, or made up",
            "Say which engine with --engine, in run directories that hold no other answers.",
        )
    together = np.concatenate(points)
    entropies = _measure_entropies(together, len(runs), seed) if is_installed("sklearn") else [None] * len(runs)
    return tuple(
        Diversity(
            encoder,
            least,
            vendi_score(own),
            novel_sum(own, together),
            entropy,
            None if wanted is None else squared_mmd(own, wanted),
        )
        for own, entropy in zip(points, entropies, strict=True)
    )


def _measure_entropies(together: Vectors, parts: int, seed: int) -> list[float]:
    """Of each of so many equal parts of the vectors."""
    label, _ = k_means(together, CLUSTERS, seed)
    return [cluster_entropy(own, CLUSTERS) for own in np.split(label, parts)]


def _find_stored(runs: Sequence[Run], request: EmbeddingRequest, settings: Settings) -> str | None:
    """An encoder that has embedded every row of all data sets."""
    names = models_in(runs[0], request.signal)
    return next((name for name in names if all(has_answered(run, name, request, settings) for run in runs)), None)


def _embed(
    run: Run,
    rows: Sequence[int],
    encoder: str,
    request: EmbeddingRequest,
    settings: Settings,
    seed: int,
    progress: Progress,
) -> Vectors:
    """The vectors of these rows that have one, in their order: the stored ones where all rows have been embedded."""
    here = dataclasses.replace(settings, encoder=encoder, model=())
    if has_answered(run, encoder, request, settings):
        vectors = _load(run, request, here)[list(rows)]
    else:
        sample = run if len(rows) == run.rows else open_sample_run(run, rows, seed)
        collect_requests(sample, [request], here, progress)
        vectors = _load(sample, request, here)
    return vectors[np.isfinite(vectors).all(axis=1)]


def _require_two(vectors: Vectors, what: str, encoder: str) -> None:
    if len(vectors) < 2:
        raise DataError(f"of {what} {encoder} can embed {len(vectors)} rows, and 2 are needed")


def _load(run: Run, request: EmbeddingRequest, settings: Settings) -> Float32:
    loaded = load_answers(run, request, settings)[1]
    assert isinstance(loaded, Embeddings)
    return row_vectors(loaded, run.rows)
