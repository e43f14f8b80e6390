"""Turn, Record and Sample: one row of a data set, and the pair in it that is rated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from selectit.data.columns import stored_schema


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; `role` is system, user, assistant, call or tool. Only assistants are rated."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the data set. `row` (its place in the source, from 0) is its identity everywhere.

    `digest` is 16 bytes over the turns: equal rows have equal digests. `raw` is the record's own JSON
    text, kept so that what is written is what was read, to the last digit; of a table it is the Arrow row.
    """

    row: int
    digest: bytes
    turns: tuple[Turn, ...]
    raw: Any
    words: int
    """Words of the responses that are rated; see `words`."""
    left_out: tuple[str, ...]
    """Kinds of content that are not text ('image') and are not rated."""
    inputs: Mapping[str, str]
    """Of each question that ends in an input, the input."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One (instruction, response) pair to rate. `item` counts the rated answers of one row, from 0."""

    row: int
    item: int
    instruction: str
    """All that is asked, with the input at its end where there is one."""
    response: str
    input: str = ""
    """What the instruction is about, where the data has that apart (Alpaca's `input`)."""

    @property
    def task(self) -> str:
        """The instruction without its input."""
        return without_input(self.instruction, self.input)


def without_input(instruction: str, extra: str) -> str:
    """An instruction without the input that stands on lines of its own at its end, where there is one."""
    return instruction.removesuffix(f"\n{extra}") if extra else instruction


TURNS_TYPE = pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))


def record_schema(table: pa.Schema | None) -> pa.Schema:
    """Columns of records. `raw` is the JSON text, or the row of a table with that schema."""
    return pa.schema(
        [
            ("row", pa.int64()),
            ("digest", pa.binary(16)),
            ("words", pa.int64()),
            ("turns", TURNS_TYPE),
            ("left_out", pa.list_(pa.string())),
            ("raw", pa.string() if table is None else pa.struct(list(stored_schema(table)))),
        ]
    )


def record_table(records: Sequence[Record], schema: pa.Schema) -> pa.Table:
    """The records as rows of a table of `record_schema`."""
    columns = {
        "row": [record.row for record in records],
        "digest": [record.digest for record in records],
        "words": [record.words for record in records],
        "turns": [[{"role": turn.role, "text": turn.text} for turn in record.turns] for record in records],
        "left_out": [record.left_out for record in records],
        "raw": _raw([record.raw for record in records], schema.field("raw").type),
    }
    return pa.table(columns, schema=schema)


def _raw(values: Sequence[Any], kind: pa.DataType) -> Any:
    """The records; of a table they are pyarrow's scalars, which make no array of a type that is in part unknown."""
    if not pa.types.is_struct(kind) or not _untyped(kind):
        return values
    fields = []
    for field in kind:
        column = [value[field.name] for value in values]
        if _untyped(field.type):
            items = [each.as_py() for each in column]
        else:
            items = [each if each.is_valid else None for each in column]  # a map's null scalar makes no array
        fields.append(pa.array(items, field.type))
    return pa.StructArray.from_arrays(fields, fields=list(kind))


def _untyped(kind: pa.DataType) -> bool:
    """Whether a column, or something in it, is null throughout and so has no type."""
    return pa.types.is_null(kind) or any(_untyped(kind.field(place).type) for place in range(kind.num_fields))
