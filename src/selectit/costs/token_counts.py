"""What a rating costs, as arithmetic on token counts: no model, no files.

A rated text is a rating prompt (the wording and the template's own words) and a sample (instruction and response).
With the wording first, the texts of one batch begin alike and that beginning is read once a batch; with the sample
first, a sample is read once for all prompts and each prompt adds its tail.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.signals.arrays import Int64
from selectit.signals.requests import RatingPrompt


@dataclass(frozen=True, slots=True)
class TextLengths:
    """Tokens of the rated texts of I answers under K prompts."""

    sample: Int64
    """(I,) of instruction and response."""
    fixed: Int64
    """(K,) of everything else: the rating prompt."""
    prefix: Int64
    """(K,) of what stands before the sample."""
    tail: Int64
    """(K,) of what stands after it."""
    shares_sample: bool
    """Whether the sample stands before all wordings, so that it can be read once for all of them."""
    limit: int | None
    """Longest rated text; None = not known."""
    refuse: bool
    """Whether a longer text is refused rather than cut."""

    def take(self, answers: Int64) -> TextLengths:
        """Of these answers only, in this order; one may be taken several times."""
        return dataclasses.replace(self, sample=self.sample[answers])

    def uncut(self) -> Int64:
        """(K, I) tokens of the whole texts."""
        return self.sample + self.fixed[:, None]

    def read(self, prompt: int, answers: slice = slice(None)) -> Int64:
        """(at most I,) tokens of the texts under one prompt as the model reads them: cut, or without the refused."""
        whole: Int64 = self.sample[answers] + self.fixed[prompt]
        if self.limit is not None:
            whole = whole[whole <= self.limit] if self.refuse else np.minimum(whole, self.limit)
        return whole


@dataclass(frozen=True, slots=True)
class Lot:
    """Ratings that one unit of row ranges needs."""

    answers: slice
    """Which of the I answers."""
    prompts: tuple[int, ...]
    """Which of the K prompts."""

    @property
    def passes(self) -> int:
        """Ratings, each of which is one reading of one text."""
        answers: int = self.answers.stop - self.answers.start
        return answers * len(self.prompts)


def text_lengths(
    count: Callable[[Sequence[str]], Int64],
    prompts: Sequence[RatingPrompt],
    sample: Int64,
    *,
    added: int,
    limit: int | None,
    refuse: bool,
) -> TextLengths:
    """The lengths under these prompts of answers with `sample` tokens.

    Args:
        count: counts the tokens of texts.
        prompts: with one template.
        sample: (I,) tokens of instruction and response.
        added: tokens that the engine puts around every text (a special token, a chat template); they count as prefix.
        limit: longest rated text; None = not known.
        refuse: whether a longer text is refused rather than cut.
    """
    first, last = _sample_fields(prompts[0].template)
    # The template up to the sample and from its end on; what is cut off has no field of the sample any more.
    heads = [prompt.template[:first].replace("{prompt}", prompt.text) for prompt in prompts]
    tails = [prompt.template[last:].replace("{prompt}", prompt.text) for prompt in prompts]
    return TextLengths(
        sample=sample,
        fixed=count([prompt.render("", "") for prompt in prompts]) + added,
        prefix=count(heads) + added,
        tail=count(tails),
        shares_sample=prompts[0].template.index("{prompt}") >= last,
        limit=limit,
        refuse=refuse,
    )


def tokens_to_compute(texts: TextLengths, lots: Sequence[Lot], batch_tokens: int | None) -> int:
    """Tokens that a model has to read for these lots, where what can be shared is read once.

    Args:
        texts: of all the answers.
        lots: each is rated in one call.
        batch_tokens: tokens in one batch; None = one batch a call.
    """
    if texts.shares_sample:
        return sum(_sample_first(texts, lot) for lot in lots)
    return sum(
        _prompt_first(texts.read(prompt, lot.answers), int(texts.prefix[prompt]), batch_tokens)
        for lot in lots
        for prompt in lot.prompts
    )


def tokens_in_texts(texts: TextLengths, lots: Sequence[Lot]) -> int:
    """Tokens of all the texts of these lots, nothing shared."""
    return sum(int(texts.read(prompt, lot.answers).sum()) for lot in lots for prompt in lot.prompts)


def fewer_prompts(lots: Sequence[Lot], k: int) -> list[Lot]:
    """What is left of these lots with the first `k` prompts only."""
    kept = [Lot(lot.answers, tuple(prompt for prompt in lot.prompts if prompt < k)) for lot in lots]
    return [lot for lot in kept if lot.prompts]


def even_by_length(lengths: Int64, number: int) -> Int64:
    """At most `number` places of (I,) lengths, shortest first, drawn evenly from their order by length."""
    order = np.argsort(lengths, kind="stable")
    return order[space_evenly(len(order), number)]


def space_evenly(rows: int, number: int) -> Int64:
    """(at most `number`,) row numbers below `rows`, rising and evenly spaced; all of them where there are no more."""
    number = min(rows, number)
    return ((np.arange(number) + 0.5) * rows / number).astype(np.int64)


def extrapolate(answers_of: Int64, rows: int) -> tuple[Int64, Int64]:
    """Let evenly spaced rows stand for all.

    Args:
        answers_of: (n,) how many answers each of n evenly spaced rows has.
        rows: N, how many rows there are.

    Returns:
        (I,) the row of each of the answers of all N rows, and (I,) the counted answer that stands for it.
    """
    stands = np.arange(rows) * len(answers_of) // rows  # (N,) which counted row stands for each
    each = answers_of[stands]
    row = np.repeat(np.arange(rows), each)
    within = np.arange(len(row)) - np.repeat(np.cumsum(each) - each, each)
    first = np.cumsum(answers_of) - answers_of
    return row, first[stands][row] + within


def _sample_fields(template: str) -> tuple[int, int]:
    """Where in the template the sample begins and ends."""
    fields = [("{instruction}", template.index("{instruction}")), ("{response}", template.index("{response}"))]
    return min(at for _, at in fields), max(at + len(name) for name, at in fields)


def _prompt_first(lengths: Int64, prefix: int, batch_tokens: int | None) -> int:
    """Tokens read for texts of one prompt, in batches by length; the prefix is read once a batch.

    The batches are those of the hf engine: as many texts, shortest first, as fit; at least one.
    """
    prefix = min(prefix, int(lengths.min(initial=prefix)))
    own = np.sort(lengths) - prefix
    if batch_tokens is None:
        return int(own.sum()) + prefix * (len(own) > 0)
    until = np.concatenate([[0], np.cumsum(own)])
    batches, start = 0, 0
    while start < len(own):
        stop = int(np.searchsorted(until, until[start] + batch_tokens - prefix, side="right")) - 1
        start = max(stop, start + 1)
        batches += 1
    return int(until[-1]) + prefix * batches


def _sample_first(texts: TextLengths, lot: Lot) -> int:
    """Tokens read for texts whose sample is read once and then each prompt's tail; cut texts are read each whole."""
    sample = texts.sample[lot.answers]
    heads = sample + (texts.fixed[0] - texts.tail[0])
    tokens = int(heads[heads <= (texts.limit or heads)].sum())
    for prompt in lot.prompts:
        whole = sample + texts.fixed[prompt]
        fits = int((whole <= (texts.limit or whole)).sum())
        cut = 0 if texts.refuse else (len(whole) - fits) * (texts.limit or 0)
        tokens += fits * int(texts.tail[prompt]) + cut
    return tokens
