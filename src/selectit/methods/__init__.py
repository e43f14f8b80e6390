"""One file = one published method; the file's name is the method's name, its one public class the method.

A method is a frozen dataclass whose fields are its parameters; `ScoringMethod` and `SetMethod` have all that the
program reads of one. Your own method is `./mine.py:Mine`, or an entry point of the group `selectit.methods`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selectit.errors import SettingsError, nearest
from selectit.methods._base import Method, ScoringMethod, SetMethod
from selectit.signals.requests import ScoreOf

ENTRY_POINTS = "selectit.methods"


STORED = "stored:"
"""What a `ScoreOf` begins with that means scores which the run already has."""


POOL = "pool"
"""In the place of a `ScoreOf`'s method, in a diversity step: the score that made the pool."""


def names() -> list[str]:
    """Every method that `--method` takes by name, sorted."""
    added = [point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]
    return sorted({*_packaged(), *added})


def _packaged() -> list[str]:
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return [name.replace("_", "-") for name in found if not name.startswith("_")]


def lookup(name: str) -> type[Method]:
    """The class of a method, by its name or as `./file.py:Class`. Raises SettingsError.

    One that does not inherit from `ScoringMethod` or `SetMethod` gets the defaults of what it leaves out.
    """
    if ".py:" in name:
        return _from_file(*name.rsplit(":", 1))
    if name in _packaged():  # looking through all installed packages takes a while
        return _checked(importlib.import_module(f"{__name__}.{name.replace('-', '_')}").METHOD, name)
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        return _checked(point.load(), name)
    raise SettingsError(f"there is no method {name!r}", nearest(name, names()))


def build(name: str, parameters: Mapping[str, Any]) -> Method:
    """The method with its parameters; those that are None keep the method's default.

    Text is turned into the type of the field; a tuple's values stand between commas.

    Raises:
        SettingsError: a parameter that the method does not have, or a value that it refuses.
    """
    method = lookup(name)
    fields = {field.name: field for field in dataclasses.fields(method) if field.init}  # type: ignore[arg-type]
    kinds = typing.get_type_hints(method)
    chosen: dict[str, Any] = {}
    for key, value in parameters.items():
        if value is None:
            continue
        if key not in fields:
            raise SettingsError(f"the method {name!r} has no parameter {key!r}", nearest(key, fields))
        chosen[key] = _converted(value, kinds[key], key, fields[key].default)
    built: Method = method(**chosen)
    return built


def parameters(method: Method) -> dict[str, Any]:
    """The parameters of a method by name."""
    values: dict[str, Any] = dataclasses.asdict(method)  # type: ignore[call-overload]
    return values


def with_parameters(method: Method, parameters: Mapping[str, Any]) -> Method:
    """The method with other values of some parameters. Raises SettingsError where it refuses them."""
    other: Method = dataclasses.replace(method, **parameters)  # type: ignore[type-var]
    return other


def parse_spec(text: str) -> tuple[str, dict[str, str]]:
    """'selectit:alpha=0.4;k=3' as a name and parameters. Raises SettingsError.

    Your own method keeps its colon: './mine.py:Mine:least=3'.
    """
    own = re.match(r".*?\.py:[^:]*", text)
    name = own[0] if own else text.partition(":")[0]
    parameters = {}
    for part in filter(None, (part.strip() for part in text[len(name) :].removeprefix(":").split(";"))):
        key, equals, value = part.partition("=")
        if not equals:
            raise SettingsError(
                f"{text!r}: {part!r} is not a parameter", "Write name:parameter=value;parameter=value, in quotes."
            )
        parameters[key.strip().replace("-", "_")] = value.strip()
    return name.strip(), parameters


def list_score_texts(method: Method) -> list[str]:
    """The texts of the `ScoreOf` that a method names in its `needs`, each once."""
    return list(dict.fromkeys(need.method for need in method.needs if isinstance(need, ScoreOf)))


def shorten(text: str) -> str:
    """The text of a `ScoreOf` as part of a label: fit for a file name, at most 24 characters."""
    return re.sub(r"[^\w.+-]+", "_", text)[:24]


def summary(method: type[Method]) -> str:
    """The first line of the method's docstring."""
    return (method.__doc__ or "").strip().partition("\n")[0]


def _converted(value: Any, kind: Any, key: str, default: Any) -> Any:
    """Text as a value of the annotated kind, and a list as a tuple; anything else as it is."""
    if isinstance(value, list):
        return tuple(value)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(each for each in typing.get_args(kind) if each is not type(None))
    if not isinstance(value, str):
        return value
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_converted(part.strip(), item, key, default) for part in value.split(",") if part.strip())
    if kind is bool and value not in ("true", "false"):
        raise SettingsError(f"the parameter {key!r} takes true or false, not {value!r}")
    if kind is bool:
        return value == "true"
    try:
        return kind(value) if kind in (int, float) else value
    except ValueError as error:
        raise SettingsError(
            f"the parameter {key!r} is {value!r}", f"Give it a value like its default, {default!r}."
        ) from error


def _from_file(path: str, class_name: str) -> type[Method]:
    if not Path(path).is_file():
        raise SettingsError(f"there is no file {path}", "Name your own method as ./file.py:Class.")
    name = f"selectit_own_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where the types of a dataclass's fields are looked up
    spec.loader.exec_module(module)
    if not hasattr(module, class_name):
        raise SettingsError(f"{path} has no class {class_name!r}", nearest(class_name, vars(module)))
    return _checked(getattr(module, class_name), f"{path}:{class_name}")


def _checked(method: Any, name: str) -> type[Method]:
    if not (isinstance(method, type) and dataclasses.is_dataclass(method)):
        raise SettingsError(f"{name} is not a dataclass", "See docs/methods.md for an example.")
    whole = method if issubclass(method, ScoringMethod | SetMethod) else _with_defaults(method)
    if whole.__abstractmethods__:
        raise SettingsError(f"{name} lacks needs, label, or one of score and select", "See docs/methods.md.")
    return whole


def _with_defaults(method: type[Any]) -> type[Method]:
    """A class that inherits from neither kind of method, with the defaults of the kind that it is."""
    base: Any = SetMethod if hasattr(method, "select") and not hasattr(method, "score") else ScoringMethod
    takes_k = hasattr(method, "prompts") and any(field.name == "k" for field in dataclasses.fields(method))
    own = {"__doc__": method.__doc__, "__module__": method.__module__, "__slots__": (), "takes_k": takes_k}
    whole: type[Method] = type(base)(method.__name__, (method, base), own)
    return whole


def list_methods() -> dict[str, str]:
    """Every method by name with the first line of its description."""
    return {name: summary(lookup(name)) for name in names()}
