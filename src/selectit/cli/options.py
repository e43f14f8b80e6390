"""The options of the verbs, made from the groups of settings: a verb names the groups, and single options, it takes."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
import cloup

from selectit.config.groups import OptionGroup
from selectit.config.options import flag, names, options_of
from selectit.config.settings import GROUPS, Settings, read_settings
from selectit.data.memory import Data
from selectit.errors import SettingsError
from selectit.jsonable import parse_json

F = TypeVar("F", bound=Callable[..., Any])


class _Separated(click.ParamType[Any]):
    """Values of one kind with commas between them."""

    name = "A,B,…"

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        try:
            return tuple(self.kind(part) for part in parts)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a list of numbers such as 7,13,70", param, ctx)


class Parameter(click.ParamType[Any]):
    """NAME=VALUE as a pair of texts."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals:
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name.replace("-", "_"), text


class JSONParameter(Parameter):
    """NAME=VALUE whose value is what JSON says, else the text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        name, text = super().convert(value, param, ctx)
        if not isinstance(value, str):  # of a configuration file, which has kinds
            return name, text
        try:
            return name, parse_json(text)
        except ValueError:
            return name, text


def _read_config(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    """Make the file's settings the defaults of this command; what is typed wins."""
    if path is None:
        return
    table = read_settings(path)
    for name, value in table.items():
        if isinstance(value, Mapping):
            table[name] = list(value.items())
    for each in ctx.command.params:
        if isinstance(each, click.Option) and each.multiple and isinstance(table.get(str(each.name)), str):
            table[str(each.name)] = [table[str(each.name)]]
    ctx.default_map = table


COMMON = {
    "config": cloup.option(
        "--config",
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="TOML with any of these options; what is typed wins.",
    ),
    "json": cloup.option("--json", "as_json", is_flag=True, help="JSON on stdout."),
    "quiet": cloup.option("--quiet", is_flag=True, help="No notes and no progress; results are printed all the same."),
}
"""The options that are no settings: how the command itself behaves."""

_OWN = {
    "no_report": cloup.option("--no-report", is_flag=True, help="Write no page; selectit report can later."),
    "report": cloup.option("--report", metavar="FILE", help="Write a page too, one file for a browser [no page]."),
    "selection": cloup.option("--selection", metavar="NAME", help="The same as RUN:NAME."),
}
"""The same, of few verbs."""


def options(*wanted: type[OptionGroup] | str, without: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Decorate a command with options under the headings of their groups; those that most people need come first.

    Args:
        wanted: groups of settings, and names of single options: of a group, or of `COMMON`.
        without: names of options that the verb has no use for.
    """
    chosen = [name for each in wanted for name in ([each] if isinstance(each, str) else names(each))]
    made = {name: (COMMON | _OWN).get(name) or _click_option(name) for name in chosen if name not in without}

    def decorate(function: F) -> F:
        if not any(isinstance(each, type) for each in wanted):  # few options need no headings
            for option in reversed(made.values()):
                function = option(function)
            return function
        first = sorted((name for name in made if _first(name)), key=_first)
        under = {"Most used": [made[name] for name in first]}
        for name in [name for name in made if name not in first]:
            under.setdefault(_HEADINGS.get(name, "This command"), []).append(made[name])
        for heading, some in reversed(under.items()):
            function = cloup.option_group(heading, *some)(function) if some else function
        return function

    return decorate


def _first(name: str) -> int:
    """The option's place among those that most people need; 0 = it is none of them."""
    return 8 if name == "config" else _ABOUT[name].first if name in _ABOUT else 0


def _click_option(name: str) -> Any:
    """The flag of a setting, its type as annotated. Without the flag the value is None, or empty where it repeats."""
    kind, about = _kind(name), _ABOUT[name]
    if kind is bool:
        return cloup.option(flag(name), is_flag=True, default=None, help=about.help)
    more: dict[str, Any] = {"type": kind if kind in (int, float) else str}
    if typing.get_origin(kind) is tuple:
        more = {"type": _Separated(typing.get_args(kind)[0])} if about.separated else {"multiple": True}
    elif typing.get_origin(kind) is not None:
        more = {"type": JSONParameter() if name == "engine_param" else Parameter(), "multiple": True}
    return cloup.option(flag(name), metavar=about.metavar, help=about.help, **more)


def _kind(name: str) -> Any:
    """The type of a setting beside None; text where it may be several."""
    kind = _KINDS[name]
    if isinstance(kind, types.UnionType):
        others = [each for each in typing.get_args(kind) if each is not type(None)]
        return others[0]
    return kind


_KINDS = typing.get_type_hints(Settings)
_ABOUT = dict(options_of(Settings))
_HEADINGS = {name: group.heading for group in GROUPS for name in names(group)}


def to_settings(given: Mapping[str, Any]) -> Settings:
    """The settings that were typed or configured; the rest keeps its default."""
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in ("param", "engine_param"):
        chosen[name] = dict(chosen.get(name, ()))
    return Settings(**chosen)


def split_names(*texts: str) -> list[str]:
    """The names that stand between commas in some texts."""
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def join_selection(run: str, selection: str | None) -> str:
    """'RUN:NAME', or 'RUN', of a name that is typed with the run or by --selection. Raises SettingsError."""
    from selectit.runs.selections import split_selection

    path, name = split_selection(run)
    if selection is None:
        return run
    if name not in (None, selection):
        raise SettingsError(f"{run} names one selection and --selection {selection} another", "Name one of them.")
    return f"{path}:{selection}"


def data_argument(function: F) -> F:
    """The data set, one file or several. Whether it is there, and what is in it, the reader says."""
    return click.argument("data", nargs=-1, callback=_read_data)(function)


def _read_data(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> Data | None:
    return names if names[1:] else names[0] if names else None


def refuse_mixed(data: Data | None, chosen: Settings) -> None:
    """Refuse --json where the rows go to standard output. Raises SettingsError."""
    if (chosen.out or data) == "-":
        raise SettingsError("--json and the rows can't both go to standard output", "Name a file with --out.")
