"""Rows of common layouts, some thousand at once: the same turns and digests as one by one, at a tenth of the time.

Whatever is not plain (an odd type, a field that changes the conversation, a row that is bad) is left to `turns` and
`read`, which look at rows one by one, and say what is wrong with which.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selectit.data.layouts import MEDIA, REASONING, ROLES, SYSTEM, Layout, read_as
from selectit.data.records import TURNS_TYPE
from selectit.data.samples import MAX_CONTEXTS, ROLE_CHARACTERS
from selectit.data.turns import MAX_CHARACTERS
from selectit.data.words import count_words


@dataclass(frozen=True, slots=True)
class PlainRows:
    """What `read` says of each row, as columns of (N,) rows."""

    turns: pa.Array
    digest: pa.Array
    words: pa.Array
    read: tuple[str, ...]
    """The fields that are read in some row."""
    unread: Mapping[str, int]
    """The fields that are not, with how many rows have them."""


@dataclass(frozen=True, slots=True)
class _Talk:
    """Turns of all rows one after the other: (T,) roles and texts, (N + 1,) where each row begins."""

    roles: NDArray[np.int64]
    """Places in _ROLES."""
    texts: pa.Array
    offsets: NDArray[np.int64]


def read_plain(table: pa.Table, layout: Layout, which: str) -> PlainRows | None:
    """The rows of a table of their fields, each null where a record lacks it; None where some row is not plain.

    Args:
        table: at least one row; the fields of its lists of messages are texts.
        layout: as it was found, or named.
        which: the answers that are rated; see `samples.build_samples`.
    """
    if layout.name not in _SPECIAL or any(_is_filled(table, name) for name in (*MEDIA, *_SPECIAL[layout.name])):
        return None
    talk = _conversations(table, layout) if layout.name in _TALKS else _pairs(table, layout)
    unread = _count_unread(table, layout)
    if talk is None or unread is None or pc.any(pc.match_substring(talk.texts, "\0")).as_py():
        return None
    if _may_be_too_long(talk, which):
        return None
    rated = _rated(talk, which)
    if rated is None:
        return None
    words = np.add.reduceat(_count_words(talk.texts, rated), talk.offsets[:-1])
    return PlainRows(
        _turns_array(talk),
        _digests(talk),
        pa.array(words, pa.int64()),
        tuple(name for name in read_as(layout) if name in table.column_names and table[name].null_count < len(table)),
        unread,
    )


_PAIRS = {"alpaca": ("instruction", "input", "output"), "prompt-completion": ("prompt", "", "completion")}
_TALKS = {"sharegpt": ("conversations", "messages"), "messages": ("messages", "conversations")}
_SPECIAL = {
    "alpaca": (*SYSTEM, *REASONING, "history", "kto_tag"),
    "prompt-completion": (*SYSTEM, *REASONING, "kto_tag", "label"),
    **dict.fromkeys(_TALKS, (*SYSTEM, "kto_tag", "label")),
    "": (),
}
"""The fields that make a row another than a plain one, by layout; layouts that have no plain rows are not there."""

_MESSAGES = (("from", "value"), ("role", "content"))
_ROLES = ("system", "user", "assistant", "call", "tool")
_USER, _ASSISTANT = _ROLES.index("user"), _ROLES.index("assistant")


def plain_schema(layout: Layout) -> pa.Schema:
    """The fields that are texts in plain rows of a layout: a JSON reader would take some for times."""
    if layout.name in _TALKS:
        messages = [pa.list_(pa.struct([(name, pa.string()) for name in names])) for names in _MESSAGES]
        return pa.schema(list(zip(_TALKS[layout.name], messages, strict=True)))
    return pa.schema([(name, pa.string()) for name in dict.fromkeys(_pair_fields(layout) or ()) if name])


def _pair_fields(layout: Layout) -> tuple[str, str, str] | None:
    """The fields of the instruction, its input ('' = none) and the response."""
    if layout.name:
        return _PAIRS.get(layout.name)
    fields = dict(layout.fields)
    if not {"instruction", "response"} <= set(fields) <= {"instruction", "input", "response"}:
        return None
    return fields["instruction"], fields.get("input", ""), fields["response"]


def _pairs(table: pa.Table, layout: Layout) -> _Talk | None:
    names = _pair_fields(layout)
    if names is None or (not layout.name and any("." in name for name in (*names, *table.column_names))):
        return None
    question, extra, answer = (_texts(table, name) if name in table.column_names else None for name in names)
    if question is None or answer is None or question.null_count or answer.null_count:
        return None
    if _may_be_talk(question) or (layout.name != "alpaca" and _may_be_talk(answer)):
        return None
    if names[1] and _is_filled(table, names[1]):  # a CSV file may have a column without a name
        if extra is None:
            return None
        filled = pc.fill_null(extra, "")
        joined = pc.binary_join_element_wise(question, filled, "\n")
        question = pc.if_else(pc.equal(filled, ""), question, joined)
    rows = len(table)
    places = np.arange(2 * rows).reshape(2, rows).T.ravel()
    texts = pa.concat_arrays([question, answer]).take(pa.array(places))
    return _Talk(np.tile([_USER, _ASSISTANT], rows), texts, 2 * np.arange(rows + 1))


def _may_be_talk(texts: pa.Array) -> bool:
    """Whether some text may be a list of messages in JSON."""
    return bool(pc.any(pc.match_substring_regex(texts, r"^\s*\[\s*\{")).as_py())


def _conversations(table: pa.Table, layout: Layout) -> _Talk | None:
    first, second = _TALKS.get(layout.name, ("", ""))
    if first not in table.column_names or _is_filled(table, second):
        return None
    column = table[first].combine_chunks()
    if not pa.types.is_list(column.type) or not pa.types.is_struct(column.type.value_type) or column.null_count:
        return None
    messages = column.flatten()
    fields = {field.name: messages.field(place) for place, field in enumerate(messages.type)}
    filled = {name: values for name, values in fields.items() if values.null_count < len(values)}
    names = next((names for names in _MESSAGES if set(filled) == set(names)), None)
    if names is None or messages.null_count:
        return None
    spoken, texts = (filled[name] for name in names)
    if any(each.null_count or not pa.types.is_string(each.type) for each in (spoken, texts)):
        return None
    roles = _role_codes(spoken, layout)
    offsets = np.asarray(column.offsets).astype(np.int64)
    offsets -= offsets[0]
    if roles is None or (np.diff(offsets) == 0).any():
        return None
    return _Talk(roles, texts, offsets)


def _role_codes(spoken: pa.Array, layout: Layout) -> NDArray[np.int64] | None:
    """(T,) places in _ROLES; None where one is unknown."""
    coded = spoken.dictionary_encode()
    known = {**ROLES, **dict(layout.roles)}
    roles = [known.get(name.lower().strip()) for name in coded.dictionary.to_pylist()]
    if not all(role in _ROLES for role in roles):
        return None
    codes: NDArray[np.int64] = np.array([_ROLES.index(str(role)) for role in roles])[np.asarray(coded.indices)]
    return codes


def _texts(table: pa.Table, name: str) -> pa.Array | None:
    """A column as one array of texts; None where it holds others."""
    column = table[name].combine_chunks()
    if pa.types.is_large_string(column.type):
        column = column.cast(pa.string())
    return column if pa.types.is_string(column.type) else None


def _is_filled(table: pa.Table, name: str) -> bool:
    """Whether some row has something in a field."""
    return name in table.column_names and _count_filled(table[name].combine_chunks()) != 0


def _count_unread(table: pa.Table, layout: Layout) -> dict[str, int] | None:
    """The fields that are not read, with how many rows have something there; None where that can't be said."""
    known = read_as(layout)
    counts = {
        name: _count_filled(table[name].combine_chunks())
        for name in table.column_names
        if name not in known and name not in MEDIA
    }
    if any(count is None for count in counts.values()):
        return None
    return {name: count for name, count in counts.items() if count}


def _count_filled(column: pa.Array) -> int | None:
    """How many rows are not null, and no empty text or list; None where an object may be empty, or of nulls."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _count_filled(column.dictionary_decode())
    if pa.types.is_null(kind):
        return 0
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return int(pc.sum(pc.not_equal(column, "")).as_py() or 0)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return int(pc.sum(pc.greater(pc.list_value_length(column), 0)).as_py() or 0)
    if pa.types.is_struct(kind):
        inner = [pc.is_valid(pc.struct_field(column, [place])) for place in range(kind.num_fields)]
        there = np.logical_or.reduce([np.asarray(each) for each in inner]) if inner else np.zeros(len(column), bool)
        return None if (~there & np.asarray(pc.is_valid(column))).any() else int(there.sum())
    return int(len(column) - column.null_count)


def _rated(talk: _Talk, which: str) -> NDArray[np.bool_] | None:
    """(T,) whether a turn is a rated answer; None where a row has none: a question, and an answer after it."""
    row = np.repeat(np.arange(len(talk.offsets) - 1), np.diff(talk.offsets))
    asked = np.cumsum(talk.roles == _USER)
    before = np.r_[0, asked][talk.offsets[:-1]][row]  # questions of earlier rows
    answers: NDArray[np.bool_] = (talk.roles == _ASSISTANT) & (asked > before)
    places = np.flatnonzero(answers)
    rows, first = np.unique(row[places], return_index=True)
    if len(rows) < len(talk.offsets) - 1:
        return None
    if which == "each":
        return answers
    chosen = places[first] if which == "first" else places[np.r_[first[1:], len(places)] - 1]
    rated = np.zeros(len(answers), dtype=bool)
    rated[chosen] = True
    return rated


def _may_be_too_long(talk: _Talk, which: str) -> bool:
    """Whether a row may have more text than is read: bytes are counted, of which a character has one or more."""
    turns = np.diff(talk.offsets)
    sizes = np.add.reduceat(np.diff(_text_offsets(talk.texts)), talk.offsets[:-1])
    contexts = turns * (sizes + ROLE_CHARACTERS * turns) if which == "each" else 0
    return bool((sizes > MAX_CHARACTERS).any() or np.any(contexts > MAX_CONTEXTS))


_SPACES = np.zeros(256, dtype=bool)
_SPACES[[*range(9, 14), *range(28, 33)]] = True  # what str.split takes for white space in ASCII


def _count_words(texts: pa.Array, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(T,) runs without white space of the texts that are counted, 0 of the others."""
    words = np.zeros(len(texts), dtype=np.int64)
    places = np.flatnonzero(counted)
    chosen = texts.take(pa.array(places))
    starts = _text_offsets(chosen)
    letters = ~_SPACES[np.frombuffer(chosen.buffers()[2] or b"", np.uint8)[: starts[-1]]]
    begins = letters.copy()
    begins[1:] &= ~letters[:-1]
    edges = starts[:-1][starts[:-1] < starts[1:]]  # the first letter of a text begins a word, whatever stands before
    begins[edges] = letters[edges]
    words[places] = np.diff(np.searchsorted(np.flatnonzero(begins), starts))
    for place in np.flatnonzero(~np.asarray(pc.string_is_ascii(chosen))):
        words[places[place]] = count_words(chosen[int(place)].as_py())
    return words


def _text_offsets(texts: pa.Array) -> NDArray[np.int64]:
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)


def _turns_array(talk: _Talk) -> pa.Array:
    roles = pa.array(_ROLES).take(pa.array(talk.roles))
    turns = pa.StructArray.from_arrays([roles, talk.texts], fields=list(TURNS_TYPE.value_type))
    return pa.ListArray.from_arrays(pa.array(talk.offsets, pa.int32()), turns, type=TURNS_TYPE)


def _digests(talk: _Talk) -> pa.Array:
    """As of `turns.digest_turns`."""
    heads = pa.array([len(role).to_bytes(8, "little") + role.encode() for role in _ROLES])
    lengths = np.diff(_text_offsets(talk.texts))
    ends = pa.py_buffer(np.arange(0, 8 * len(lengths) + 1, 8, dtype=np.int32))
    sizes = pa.Array.from_buffers(pa.binary(), len(lengths), [None, ends, pa.py_buffer(lengths.astype("<i8"))])
    parts = (heads.take(pa.array(talk.roles)), sizes, talk.texts.cast(pa.binary()), b"")
    joined = pc.binary_join_element_wise(*parts)
    data = memoryview(joined.buffers()[2])
    edges = _text_offsets(joined)[talk.offsets].tolist()
    blake2b = hashlib.blake2b
    spans = itertools.pairwise(edges)
    digests = [blake2b(data[start:stop], digest_size=16).digest() for start, stop in spans]
    return pa.array(digests, pa.binary(16))
