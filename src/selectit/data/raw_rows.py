"""A record of any kind of file as a line of JSON."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import json
import uuid
from typing import Any

import pyarrow as pa

from selectit.data import write
from selectit.data.json_text import RawValue
from selectit.data.layouts import is_talk


def as_object(item: RawValue) -> RawValue:
    """The item; where it is a list of messages and nothing else, an object with them."""
    if not isinstance(item.value, list) or not is_talk(item.value):
        return item
    return dataclasses.replace(item, raw=f'{{"messages": {item.raw}}}', value={"messages": item.value})


def as_line(item: RawValue) -> RawValue:
    """The item with its text on one line, whatever it came from."""
    if item.problem:
        return item
    if isinstance(item.raw, str):
        return dataclasses.replace(item, raw=write.on_one_line(item.raw))
    try:
        plain = {name: _plain(value) for name, value in item.raw.items()}
        return dataclasses.replace(item, raw=json.dumps(plain, ensure_ascii=False, default=as_text))
    except (TypeError, ValueError, OverflowError) as error:
        return dataclasses.replace(item, problem=f"it has a value that JSON can't hold: {error}")


def _plain(scalar: pa.Scalar[Any]) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, ImportError):  # a time that Python can't hold, as one of nanoseconds
        text = scalar.cast(pa.string()).as_py()
        if "out of range" in text:  # Arrow writes that instead of a time
            raise
        return text


def as_text(value: Any) -> str:
    """A value that JSON has no kind for: times as ISO text, bytes in base64, numbers with their digits."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | decimal.Decimal | uuid.UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__}")
