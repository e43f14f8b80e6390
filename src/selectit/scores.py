"""The methods on arrays: scores, or chosen rows, of numbers that you have already. No model, no data set, no files.

What each method is, and where it comes from, stands in its own class and in docs/methods.md; these functions check the
shapes and call it. Draws go with the vectors here, and with the rows' text in a run.

Scores: (N,) float64, higher = keep, NaN = could not be scored. Choices: row numbers, int64, in the order of choice.
Each function raises SettingsError for a shape or a value that can't be what it asks for.

`Tokens` are numbers of tokens: a list with one array a row, or the tuple (values, offsets), where row i has
values[offsets[i]:offsets[i + 1]]. A row may have none; it has no score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from selectit.errors import SettingsError
from selectit.methods._base import ScoringMethod, SetMethod
from selectit.methods.dpp import Dpp
from selectit.methods.el2n import El2n
from selectit.methods.expected_rating import ExpectedRating
from selectit.methods.facility_location import FacilityLocation
from selectit.methods.ifd import Ifd
from selectit.methods.kcenter import Kcenter
from selectit.methods.kmeans import Kmeans
from selectit.methods.log_odds import LogOdds
from selectit.methods.perplexity import Perplexity
from selectit.methods.rsr import Rsr
from selectit.methods.selectit import SelectIT
from selectit.methods.similarity import Similarity
from selectit.methods.uncertainty import Uncertainty
from selectit.signals.arrays import Embeddings, Float64, Int64, Losses, Ratings, Signals
from selectit.signals.rows import Rows, build_rows

Tokens = Sequence[ArrayLike] | tuple[ArrayLike, ArrayLike]

_ROUNDING = 1e-3
"""How far a log-probability may lie above 0: float16 and bfloat16 logits round."""
_QUALITY = "quality"
"""The text of the `ScoreOf` whose scores are given."""


def selectit(
    logprobs: ArrayLike,
    *,
    level: str | None = None,
    alpha: float = 0.2,
    profile: str = "paper",
    parameters: Sequence[float] = (),
    k: int | None = None,
    min_prompts: int = 0,
) -> Float64:
    """SelectIT's scores, in [0, R] (`methods.selectit.SelectIT`).

    Args:
        logprobs: (N, K, R) natural-log probabilities of the R rating labels, the worst first, under K prompts; or
            (N, M, K, R) of M models. Any constant normalisation; NaN = missing.
        level: `token` (the first prompt), `sentence` (K prompts), `model` (the mean of M models' sentence scores) or
            `model-token`; None = `model` for several models, else `sentence`.
        alpha: how much disagreement between the prompts costs; 0 or more.
        profile: `paper`, or `official`, what the published code computes.
        parameters: (M,) how much each model weighs, as its parameter count, in any unit; `paper` with several models.
        k: how many of the prompts are read, from the first; None = all K. In `official` also its divisor k - 1.
        min_prompts: how many of these ratings a row must have; 0 = all.
    """
    ratings = _ratings(logprobs)
    models, prompts = ratings.logprob.shape[1:3]
    level = level or SelectIT.defaults((), ratings.models).get("level", "sentence")
    if np.shape(parameters) not in ((0,), (models,)):
        raise SettingsError(f"parameters has the shape {np.shape(parameters)}", f"Give {models}, one number a model.")
    if models > 1 and profile == "paper" and not len(parameters):
        raise SettingsError(
            f"there are {models} models, and each weighs as its parameter count", "Give parameters, one a model."
        )
    weights = tuple(float(count) for count in parameters)
    method = SelectIT(level, profile, prompts if k is None else k, alpha, weights, min_prompts)
    _check_prompts(method.prompts, prompts)
    return _score(method, ratings=ratings)


def expected_rating(logprobs: ArrayLike, *, alpha: float = 0.0) -> Float64:
    """Mean ratings, in [1, R], with `alpha` from 0; `logprobs` (N, K, R) as of `selectit`."""
    ratings = _ratings(logprobs)
    return _score(ExpectedRating(ratings.logprob.shape[2], alpha), ratings=ratings)


def log_odds(logprobs: ArrayLike, *, upper: int = 0) -> Float64:
    """Natural logs of the odds of the `upper` last labels (0 = half); `logprobs` (N, K, R) as of `selectit`."""
    ratings = _ratings(logprobs)
    return _score(LogOdds(ratings.logprob.shape[2], upper), ratings=ratings)


def ifd(given: Tokens, alone: Tokens) -> Float64:
    """Instruction-following difficulty, in (0, 1]; NaN above 1 (`methods.ifd.Ifd`).

    Args:
        given: -log p of each response token after its instruction, in nats.
        alone: the same without the instruction, for the same tokens; NaN for a first token that has none.
    """
    return _score(Ifd(), losses=_losses(given=given, alone=alone))


def perplexity(given: Tokens, *, policy: str = "low", centre: float = 50.0) -> Float64:
    """Minus the perplexity of each response (`low`), the perplexity (`high`), or nearness to a percentile (`middle`).

    Args:
        given: -log p of each response token after its instruction, in nats; two tokens at least, or NaN.
        policy: `low`, `high` or `middle`.
        centre: the percentile of `middle`, in [0, 100].
    """
    return _score(Perplexity(policy, centre=centre), losses=_losses(given=given))


def el2n(given: Tokens, squares: Tokens) -> Float64:
    """Mean lengths of the error vector, in [0, √2] (`methods.el2n.El2n`).

    Args:
        given: -log p of each response token after its instruction, in nats.
        squares: the sum of the squared probabilities of the whole vocabulary at each.
    """
    return _score(El2n(), losses=_losses(given=given, squares=squares))


def rsr(given: Tokens, rank: Tokens, *, clip: int = 100) -> Float64:
    """Minus the rank-surprisal ratio, below 0 (`methods.rsr.Rsr`).

    Args:
        given: -log p of each response token after its instruction, in nats.
        rank: 1 + the number of tokens that are more likely than it.
        clip: ranks above it count as it.
    """
    return _score(Rsr(clip), losses=_losses(given=given, rank=rank))


def entropy(values: Tokens) -> Float64:
    """Mean entropies, 0 or more (`methods.uncertainty.Uncertainty`); `values`: -Σ p log p at each token, in nats."""
    return _score(Uncertainty(), losses=_losses(entropy=values))


def margin(largest: Tokens, second: Tokens, *, measure: str = "margin") -> Float64:
    """How undecided a model is, by its two largest probabilities at each token (`methods.uncertainty.Uncertainty`).

    `measure`: `margin`, `least-margin` or `least-confidence`; in [-1, 0], the last in [0, 1].
    """
    return _score(Uncertainty(measure), losses=_losses(largest=largest, second=second))


def kcenter(vectors: ArrayLike, budget: int, *, seed: int = 0) -> Int64:
    """Rows, each the farthest from those before it; fewer than `budget` where the rest are duplicates.

    Args:
        vectors: (N, D), one a row, read as float32; a row with NaN is never chosen. So in all of the following.
        budget: how many rows, from 1 to N.
        seed: of the first row, which goes with the vectors and not with their order.
    """
    return _choose(Kcenter(seed=seed), vectors, budget)


def facility_location(vectors: ArrayLike, budget: int, *, similarity: str = "cosine01", neighbours: int = 0) -> Int64:
    """Rows that have something similar to every row; `vectors` and `budget` as of `kcenter`.

    `similarity`: `cosine01`, `rbf` or `submodlib-euclidean`. `neighbours`: so many nearest rows cover a row; 0 = all
    of up to 20,000, 64 of more, which needs the extra `methods`.
    """
    return _choose(FacilityLocation(similarity=similarity, neighbours=neighbours), vectors, budget)


def dpp(
    vectors: ArrayLike,
    budget: int,
    *,
    kernel: str = "rbf",
    jitter: float = 0.0,
    quality: ArrayLike | None = None,
    beta: float = 1.0,
) -> Int64:
    """Rows that span much volume (a determinantal point process); `vectors` and `budget` as of `kcenter`.

    Without `quality` the first row is a draw, which goes with the vectors and not with their order.

    `kernel`: `rbf` or `cosine`. `jitter`: added to its diagonal; 0 stops where the kernel has no more rank.
    `quality`: (N,) scores, which count `beta` times; a row with NaN is not chosen.
    """
    method = Dpp(kernel=kernel, jitter=jitter, quality="" if quality is None else _QUALITY, beta=beta)
    return _choose(method, vectors, budget, quality)


def kmeans(vectors: ArrayLike, budget: int, *, clusters: int = 0, seed: int = 0, restarts: int = 1) -> Int64:
    """Rows nearest to the centroids of k-means; needs the extra `methods`. `vectors` and `budget` as of `kcenter`.

    `clusters`: 0 = as many as rows are kept. `restarts`: the best of so many runs.
    """
    return _choose(Kmeans(clusters=clusters, seed=seed, restarts=restarts), vectors, budget)


def similarity(vectors: ArrayLike, budget: int, quality: ArrayLike, *, limit: float = 0.9) -> Int64:
    """The best rows by `quality`, (N,) scores, without those whose cosine to one before exceeds `limit`.

    `vectors` and `budget` as of `kcenter`; fewer rows where the rest are too similar.
    """
    return _choose(Similarity(_QUALITY, limit), vectors, budget, quality)


def _score(method: ScoringMethod, **stored: Ratings | Losses) -> Float64:
    (signal,) = stored.values()
    n = len(signal.row)
    nothing = np.zeros(n, np.int64)
    return method.score(Signals(Rows(np.zeros(n, "V16"), nothing, nothing), stored))


def _choose(method: SetMethod, vectors: ArrayLike, budget: int, quality: ArrayLike | None = None) -> Int64:
    points = np.ascontiguousarray(_numbers(vectors, "vectors"), np.float32)
    if points.ndim != 2 or not points.size:
        raise SettingsError(f"vectors has the shape {points.shape}", "Give (N, D): D numbers for each of N rows.")
    if not 1 <= budget <= len(points):
        raise SettingsError(f"budget is {budget} of {len(points)} rows", "It is a number of rows, from 1 to N.")
    scores = {} if quality is None else {_QUALITY: _numbers(quality, "quality").astype(np.float64)}
    if any(each.shape != (len(points),) for each in scores.values()):
        raise SettingsError(f"quality has the shape {scores[_QUALITY].shape}", f"Give ({len(points)},), a score a row.")
    rows = _rows_of(points)
    embeddings = Embeddings(np.arange(len(points)), points)
    return method.select(Signals(rows, {"embeddings": embeddings}, stored_scores=scores), int(budget))


def _rows_of(points: NDArray[np.float32]) -> Rows:
    """Rows whose content is their vector: draws go with it, wherever the row stands."""
    digests = [hashlib.blake2b(point.tobytes(), digest_size=16).digest() for point in points]
    return build_rows(np.array(digests, dtype="V16"), np.zeros(len(points), np.int64))


def _ratings(logprobs: ArrayLike) -> Ratings:
    values = _numbers(logprobs, "logprobs")
    if values.ndim not in (3, 4) or 0 in values.shape[1:] or values.shape[-1] < 2:
        raise SettingsError(
            f"logprobs has the shape {values.shape}",
            "Give (rows, prompts, labels) or (rows, models, prompts, labels), with two labels at least.",
        )
    if (values > _ROUNDING).any():
        raise SettingsError(f"logprobs has {np.nanmax(values):g}", "Give natural logs of probabilities, 0 at most.")
    values = values[:, None] if values.ndim == 3 else values
    n, models, prompts, _ = values.shape
    nothing = np.zeros((n, models, prompts))
    names = tuple(f"model {m}" for m in range(1, models + 1))
    return Ratings(
        values, np.arange(n), nothing.astype(np.uint8), nothing.astype(np.int32), np.ones(models, np.int64), names
    )


def _check_prompts(read: int, there: int) -> None:
    if read > there:
        raise SettingsError(f"k is {read}, and logprobs has {there} prompts", "Give k from 1 to that, or leave it out.")


def _losses(**tokens: Tokens) -> Losses:
    """The losses with these fields; the others, which the method does not read, are NaN."""
    flat = {name: _flatten(values, name) for name, values in tokens.items()}
    (first, (_, start)), *others = flat.items()
    for name, (_, offsets) in others:
        if not np.array_equal(offsets, start):
            raise SettingsError(f"{name} and {first} have different numbers of tokens", "Give one number a token.")
    n, total = len(start) - 1, int(start[-1])
    fields: dict[str, NDArray[Any]] = dict.fromkeys(
        ("given", "alone", "entropy", "largest", "second", "squares", "rank"), np.full(total, np.nan)
    )
    fields |= {name: values for name, (values, _) in flat.items()}
    for name in ("given", "alone"):
        if (fields[name] < -_ROUNDING).any():
            raise SettingsError(f"{name} has {np.nanmin(fields[name]):g}", "Give -log p, which is 0 or more.")
        fields[name] = fields[name][None]
    return Losses(
        row=np.arange(n),
        start=start,
        prompt_tokens=np.zeros(n, np.int64),
        prompt_loss=np.full(n, np.nan, np.float32),
        truncated=np.zeros(n, np.bool_),
        **fields,
    )


def _flatten(tokens: Tokens, name: str) -> tuple[NDArray[Any], Int64]:
    """All tokens' values one after the other, and (N + 1,) where each row begins."""
    if isinstance(tokens, tuple):
        return _check_offsets(tokens, name)
    rows = [_numbers(each, name) for each in tokens]
    if any(each.ndim != 1 for each in rows):
        raise SettingsError(f"{name} is no list of rows", "Give one array of numbers a row, or (values, offsets).")
    start = np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64)
    return np.concatenate([np.empty(0, np.float32), *rows]), start


def _check_offsets(tokens: tuple[ArrayLike, ...], name: str) -> tuple[NDArray[Any], Int64]:
    hint = "A tuple is (values, offsets): offsets rise from 0 to the number of values. Rows stand in a list."
    if len(tokens) != 2:
        raise SettingsError(f"{name} is a tuple of {len(tokens)}", hint)
    values, offsets = _numbers(tokens[0], name), np.asarray(tokens[1])
    if values.ndim != 1 or offsets.ndim != 1 or offsets.dtype.kind not in "iu" or not len(offsets):
        raise SettingsError(f"{name} has values of shape {values.shape} and offsets of {offsets.shape}", hint)
    start = offsets.astype(np.int64)
    if start[0] != 0 or start[-1] != len(values) or (np.diff(start) < 0).any():
        raise SettingsError(f"the offsets of {name} do not fit its {len(values)} values", hint)
    return values, start


def _numbers(values: ArrayLike, name: str) -> NDArray[Any]:
    """Numbers as an array: float32 and float64 as they are, others as float64."""
    try:
        array = np.asarray(values)
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name} is no array of numbers: {error}", "Give numbers, as many in each row.") from error
