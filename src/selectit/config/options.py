"""What an option is: a field of a settings group that says what the command and the checks need to know of it."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from selectit.errors import SettingsError, nearest

_KEY = "option"


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of an option beside its name, its type and its default."""

    help: str
    """The line of --help, with the default in brackets."""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    """The values that it takes; () = any of its type."""
    least: int | None = None
    """The smallest number that it takes."""
    separated: bool = False
    """Several values stand in one text, with commas between; else the flag is repeated."""
    first: int = 0
    """Its place among the options that most people need, at the top of --help; 0 = it is none of them."""


def option(default: Any, help: str, metavar: str = "", **more: Any) -> Any:
    """A field of a group with its default; `more` are further fields of `Option`."""
    metadata = {_KEY: Option(help, metavar, **more)}
    if isinstance(default, Mapping):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def names(*groups: type[Any]) -> tuple[str, ...]:
    """The names of the options of some groups, in their order."""
    return tuple(field.name for group in groups for field in dataclasses.fields(group))


def options_of(group: type[Any]) -> Iterator[tuple[str, Option]]:
    """The options of a group by name."""
    for field in dataclasses.fields(group):
        yield field.name, field.metadata[_KEY]


def values(settings: Any, *groups: type[Any]) -> dict[str, Any]:
    """What the settings say of the options of some groups."""
    return {name: getattr(settings, name) for name in names(*groups)}


def defaults(*groups: type[Any]) -> dict[str, Any]:
    """The options of some groups with their defaults."""
    return {name: value for group in groups for name, value in values(group(), group).items()}


def list_names(settings: type[Any]) -> Iterator[str]:
    """The options that are lists, for which one value alone stands as well."""
    for name, kind in typing.get_type_hints(settings).items():
        if any(typing.get_origin(each) is tuple for each in (kind, *typing.get_args(kind))):
            yield name


def given(settings: Any, *groups: type[Any]) -> dict[str, Any]:
    """The options of some groups whose values are not the default."""
    plain = defaults(*groups)
    return {name: value for name, value in values(settings, *groups).items() if value != plain[name]}


def idle(default: Any) -> Any:
    """A field, of settings without groups, that decides no result, only where and how it is computed."""
    return dataclasses.field(default=default, metadata={"idle": True})


def deciding(settings: Any) -> dict[str, Any]:
    """The fields, as plain values, that decide a result."""
    plain = dataclasses.asdict(settings)
    return {field.name: plain[field.name] for field in dataclasses.fields(settings) if "idle" not in field.metadata}


def flag(name: str) -> str:
    """The option as it is typed."""
    return "--" + name.replace("_", "-")


def check_values(settings: Any) -> None:
    """Raise SettingsError where a value is of the wrong kind, is none of the choices, or is too small."""
    kinds = typing.get_type_hints(type(settings))
    for name, about in options_of(type(settings)):
        value = getattr(settings, name)
        if not matches_kind(value, kinds[name]):
            raise SettingsError(f"{flag(name)} is {value!r}, a value of the wrong kind", "See selectit select --help.")
        if about.choices and value not in (None, *about.choices):
            raise SettingsError(f"there is no {flag(name)} {value!r}", nearest(value, about.choices))
        if about.least is not None and value is not None and value < about.least:
            raise SettingsError(f"{flag(name)} is {value}", f"It is a number of {about.least} or more.")


def matches_kind(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated kind; true and false are no numbers, and whole numbers are floats too."""
    if typing.get_origin(kind) is types.UnionType:
        return any(matches_kind(value, one) for one in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(matches_kind(item, typing.get_args(kind)[0]) for item in value)
    if typing.get_origin(kind) is not None:
        kind = typing.get_origin(kind)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
