"""What the source of a method says of it: its docstring by paragraphs, and each parameter with what stands under it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from selectit import methods as method_files

SECTIONS = ("Source", "Needs", "Direction", "Cost", "Differs", "Licence", "Checked")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of a method's class."""

    name: str
    default: str
    """As it is typed; 'none' = an empty text, or what depends on other settings."""
    about: str


@dataclass(frozen=True, slots=True)
class About:
    """What is said of a method."""

    name: str
    description: tuple[str, ...]
    """Paragraphs; the first is one sentence."""
    sections: dict[str, str]
    """Of `SECTIONS` those that the docstring has."""
    parameters: tuple[Parameter, ...]


def describe(name: str) -> About:
    """What is said of a method, by its name or as './file.py:Class'. Raises SettingsError: there is none."""
    method = method_files.lookup(name)
    description, sections = [], {}
    for paragraph in (" ".join(each.split()) for each in (inspect.getdoc(method) or "").split("\n\n")):
        section, colon, text = paragraph.partition(": ")
        if colon and section in SECTIONS:
            sections[section] = text
        else:
            description.append(paragraph)
    texts = _read_fields(method)
    parameters = tuple(
        Parameter(field.name, _as_typed(field.default), texts.get(field.name, ""))
        for field in dataclasses.fields(method)  # type: ignore[arg-type]
        if field.init
    )
    return About(name, tuple(description), sections, parameters)


def _read_fields(method: type[Any]) -> dict[str, str]:
    """What stands under each field in the source of the class, or of one that it inherits from."""
    found: dict[str, str] = {}
    for each in reversed(method.mro()):
        if "__dataclass_fields__" in vars(each):
            (own,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
            assert isinstance(own, ast.ClassDef)
            found |= {name: text for above, below in itertools.pairwise(own.body) for name, text in _pair(above, below)}
    return found


def _pair(above: ast.stmt, below: ast.stmt) -> Iterator[tuple[str, str]]:
    """A field and the text under it, where these two statements are such."""
    match above, below:
        case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
            yield name, " ".join(text.split())


def _as_typed(value: Any) -> str:
    if value is dataclasses.MISSING or value is None:
        return "none"
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text or "none"
