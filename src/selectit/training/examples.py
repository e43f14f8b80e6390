"""What a model is tuned on: conversations as token ids, and the labels that say which tokens have a loss.

A conversation is rendered by a chat template; the loss is on what the assistant says in it, with the token that ends
the turn, and on nothing else. Which rows one optimiser step reads is decided here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit.data.records import Turn
from selectit.data.turns import UNRATED
from selectit.errors import ModelError
from selectit.runs.run import Run
from selectit.signals.arrays import Int64

IGNORED = -100
"""The label of a token without loss, as torch's cross-entropy has it."""


SYSTEM = "What follows is a talk between a curious human and an AI assistant, which answers helpfully and in full."
_PLAIN = """\
{%- if messages[0]['role'] == 'system' %}{{ BOS + messages[0]['content'] }}{% else %}{{ BOS + SYSTEM }}{% endif %}\
{{- '\\n\\n' }}\
{%- for message in messages %}\
{%- if message['role'] == 'assistant' %}{{ 'Assistant:' }}\
{%- generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}\
{%- if not loop.last %}{{ '\\n' }}{% endif %}\
{%- elif message['role'] == 'tool' %}{{ 'Tool: ' + message['content'] + '\\n' }}\
{%- elif message['role'] == 'user' %}{{ 'Human: ' + message['content'] + '\\n' }}\
{%- elif not loop.first %}{{ 'System: ' + message['content'] + '\\n' }}\
{%- endif %}\
{%- endfor %}\
{%- if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"""
_MARKERS = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")


_ROLES = {"call": "assistant", UNRATED: "assistant"}
"""A tool call is what the model has to write, so it counts as an answer."""


_PLAIN_HINT = "Tune with the plain template: --recipe-param template=plain"
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Example:
    """A row as it is trained on. `ids` and `labels` are equally long."""

    row: int
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The id itself where the token has a loss, else IGNORED."""
    truncated: bool

    @property
    def loss_tokens(self) -> int:
        """Tokens with a loss; the first of a text is predicted from nothing and never has one."""
        return sum(label != IGNORED for label in self.labels[1:])


def plain_template(tokenizer: Any) -> str:
    """The plain template as a chat template, with markers around the answers.

    SYSTEM (or the conversation's own system text), an empty line, then `Human: …` and `Assistant: …` on lines of their
    own, the tokenizer's end of text after each answer. The shape of SelectIT's (LLMZoo's), in other words.

    Raises ModelError where the tokenizer has no end of text.
    """
    if not tokenizer.eos_token:
        raise ModelError("the tokenizer has no end-of-text token, so an answer's end can't be learnt", "Add one to it.")
    ids = tokenizer("x")["input_ids"]
    bos = tokenizer.bos_token if tokenizer.bos_token and ids[:1] == [tokenizer.bos_token_id] else ""
    return _PLAIN.replace("BOS", repr(bos)).replace("SYSTEM", repr(SYSTEM))


def strip_markers(template: str) -> str:
    """A chat template for programs that don't know the markers around answers."""
    return _MARKERS.sub("", template)


def set_template(tokenizer: Any, template: str) -> None:
    """Let the tokenizer render with the recipe's template ('model' or 'plain'). Raises ModelError."""
    if not tokenizer.is_fast:
        raise ModelError("the tokenizer can't say where its tokens stand in the text", "Use one with tokenizer.json.")
    if template == "plain":
        tokenizer.chat_template = plain_template(tokenizer)
    if not isinstance(tokenizer.chat_template, str):
        raise ModelError("the model has no chat template, or several", _PLAIN_HINT)


def build_examples(run: Run, rows: Int64, tokenizer: Any, max_tokens: int) -> list[Example]:
    """The rows as they are trained on, in rising order of their numbers.

    Args:
        run: the run.
        rows: row numbers, each once.
        tokenizer: with its chat template set.
        max_tokens: what is longer is cut from the right.

    Raises:
        ModelError: the template can't render a row, or its answers can't be found in what it renders.
    """
    found: list[Example] = []
    conversations = _read_conversations(run, rows)
    while chunk := [each for _, each in zip(range(_CHUNK), conversations, strict=False)]:
        rendered = [_render(tokenizer, turns, row) for row, turns in chunk]
        ids = tokenizer(
            [text for text, _ in rendered], add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        for (row, _), (_, spans), own, places in zip(
            chunk, rendered, ids["input_ids"], ids["offset_mapping"], strict=True
        ):
            labels = label_tokens(own, places, spans)
            cut = len(own) > max_tokens
            found.append(Example(row, tuple(own[:max_tokens]), tuple(labels[:max_tokens]), cut))
    return found


def label_tokens(ids: Sequence[int], places: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[int]:
    """(len(ids),) the id where a token has a character of a span, else IGNORED.

    Args:
        ids: token ids.
        places: [start, stop) of each token in the text.
        spans: [start, stop) of each answer.
    """
    labels = [IGNORED] * len(ids)
    for number, (start, stop) in enumerate(places):
        if any(start < end and stop > begin for begin, end in spans if start < stop):
            labels[number] = ids[number]
    return labels


def _read_conversations(run: Run, rows: Int64) -> Iterator[tuple[int, list[Turn]]]:
    wanted = set(rows.tolist())
    for part in run.source(["row", "turns"]):
        for row, turns in zip(part["row"].to_pylist(), part["turns"].to_pylist(), strict=True):
            if row in wanted:
                yield row, [Turn(**turn) for turn in turns]


def _render(tokenizer: Any, turns: Sequence[Turn], row: int) -> tuple[str, list[tuple[int, int]]]:
    """A conversation's text and where its answers stand. Raises ModelError, which names the row."""
    from selectit.engines.chat import TEMPLATE_ERRORS

    messages = [{"role": _ROLES.get(turn.role, turn.role), "content": turn.text} for turn in turns]
    # What stands after the last answer has no loss and no use.
    last = max(place for place, message in enumerate(messages) if message["role"] == "assistant")
    try:
        render = _render_by_markers if _MARKERS.search(tokenizer.chat_template) else _render_by_prefixes
        text, spans = render(tokenizer, messages[: last + 1])
    except TEMPLATE_ERRORS as error:
        name = tokenizer.name_or_path
        raise ModelError(f"the chat template of {name} refuses row {row}: {error}", _PLAIN_HINT) from error
    except _Unlike as error:
        raise ModelError(f"row {row}: {error}, so the answer's place is not known", _PLAIN_HINT) from error
    answers = [turn for turn, message in zip(turns, messages, strict=True) if message["role"] == "assistant"]
    unrated = [turn.role == UNRATED for turn in answers[: len(spans)]]
    if any(unrated) and len(spans) != sum(message["role"] == "assistant" for message in messages[: last + 1]):
        raise ModelError(f"row {row}: the chat template does not mark every answer by itself", _PLAIN_HINT)
    return text, [span for span, without in zip(spans, unrated, strict=False) if not without]


class _Unlike(Exception):
    """A conversation's beginning is not rendered as the whole conversation begins."""


def _render_by_markers(tokenizer: Any, messages: list[dict[str, str]]) -> tuple[str, list[tuple[int, int]]]:
    """The template itself says what the assistant writes; an end of turn right after it belongs to it."""
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, spans = render_jinja_template(
        [messages],
        chat_template=tokenizer.chat_template,
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    text, end = texts[0], tokenizer.eos_token or ""
    return text, [(begin, stop + len(end) if text.startswith(end, stop) else stop) for begin, stop in spans[0]]


def _render_by_prefixes(tokenizer: Any, messages: list[dict[str, str]]) -> tuple[str, list[tuple[int, int]]]:
    """An answer begins where the text that asks for it ends, and ends with the last special token of its turn."""
    whole = _text(tokenizer, messages, asks=False)
    ends = _special_texts(tokenizer)
    spans = []
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _text(tokenizer, messages[:place], asks=True)
        upto = _text(tokenizer, messages[: place + 1], asks=False)
        upto = upto if whole.startswith(upto) else upto.rstrip()  # some write a line break at the very end only
        if not whole.startswith(before) or not whole.startswith(upto) or len(upto) < len(before):
            raise _Unlike(f"the chat template renders the conversation up to message {place} unlike the whole")
        answer = whole[len(before) : len(upto)]
        stops = [answer.rfind(end) + len(end) for end in ends if end in answer]
        spans.append((len(before), len(before) + max(stops, default=len(answer))))
    return whole, spans


def _text(tokenizer: Any, messages: list[dict[str, str]], *, asks: bool) -> str:
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asks)
    return text


def _special_texts(tokenizer: Any) -> set[str]:
    added: Mapping[int, Any] = tokenizer.added_tokens_decoder
    return {token.content for token in added.values() if token.special} | set(tokenizer.all_special_tokens)


def find_answer_end(tokenizer: Any, found: Sequence[Example]) -> int | None:
    """The id of the special token that whole answers end with; None where they end with none, or none is whole."""
    for example in found:
        answers = [label for label in example.labels if label != IGNORED]
        if not example.truncated and answers:
            return answers[-1] if tokenizer.decode([answers[-1]]) in _special_texts(tokenizer) else None
    return None


def order_examples(lengths: Sequence[int], batch_size: int, *, epochs: float, steps: int | None, seed: int) -> Int64:
    """Which example is read when.

    Each pass over the examples is its own permutation, and a batch may hold the end of one and the beginning of the
    next. Within a batch, whose gradient is one sum whatever the order, the long ones come first, so that its
    micro-batches have little padding.

    Args:
        lengths: (N,) tokens of each example, N of 1 or more.
        batch_size: examples of one optimiser step.
        epochs: passes over the examples, where `steps` is None.
        steps: optimiser steps, or None.
        seed: of the permutations.

    Returns:
        (M,) numbers of examples: steps x batch_size of them, or epochs x N rounded, at least one.
    """
    count = steps * batch_size if steps is not None else max(1, round(epochs * len(lengths)))
    passes = -(-count // len(lengths))
    permutations = [np.random.default_rng([seed, number]).permutation(len(lengths)) for number in range(passes)]
    order = np.concatenate(permutations)[:count].astype(np.int64)
    sizes = np.asarray(lengths)
    for start in range(0, count, batch_size):
        batch = order[start : start + batch_size]
        order[start : start + batch_size] = batch[np.argsort(-sizes[batch], kind="stable")]
    return order
