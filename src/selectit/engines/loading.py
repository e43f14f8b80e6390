"""From settings to a loaded engine. An engine is a package in this folder; its name is the engine's.

What an engine needs is imported when a model is loaded, not before.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from selectit import engines
from selectit.config.options import defaults, flag, given
from selectit.config.settings import Settings
from selectit.engines.base import CountsTokens, EngineLoader
from selectit.errors import RunError, SettingsError, nearest
from selectit.models.files import Model
from selectit.signals.base import Engine
from selectit.signals.requests import Request

DEFAULT = "hf"
MOST_THREADS = 4096
_USE_DEFAULT = f"Use --engine {DEFAULT} for this method: it loads the model here."


def names() -> list[str]:
    """Every engine that `--engine` takes, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(engines.__path__) if module.ispkg)


def find(name: str) -> EngineLoader:
    """What an engine's package states. Raises SettingsError where there is none of that name."""
    if name not in names():
        raise SettingsError(f"there is no --engine {name!r}", nearest(name, names()))
    loader: EngineLoader = importlib.import_module(f"{engines.__name__}.{name}").ENGINE
    return loader


def check_options(settings: Settings) -> None:
    """Refuse an unknown engine, options of another engine than the one named, and options that can't be.

    Raises SettingsError. Where no engine is named, `check` says the rest when it is known.
    """
    if settings.engine is not None:
        _refuse_others(settings, f"--engine is {settings.engine!r}")
        for option, refusal in find(settings.engine).refuses.items():
            if option in given(settings, Settings):
                raise SettingsError(*refusal)
    for name in names():
        if settings.engine in (None, name):
            find(name).check_options(settings)


def check(settings: Settings, chat: bool) -> None:
    """Refuse options that don't go together with the engine, which is known by now. Raises SettingsError."""
    assert settings.engine is not None
    _refuse_others(settings, f"the engine is {settings.engine}")
    find(settings.engine).check(settings, chat)


def _refuse_others(settings: Settings, engine: str) -> None:
    own = find(settings.engine).options if settings.engine else ()
    for loader in map(find, names()):
        for option in loader.options:
            if option not in own and option in given(settings, Settings):
                raise SettingsError(
                    f"{flag(option)} is for {loader.noun}, and {engine}", f"Give --engine {loader.name}."
                )


def gives(engine: str, signal: str) -> bool:
    """Whether an engine gives a signal, as far as it can be told before a model is loaded."""
    signals = find(engine).signals
    return signals is None or signal in signals


def check_gives(engine: str | None, request: Request) -> None:
    """Raise SettingsError where the engine that is named does not give what is asked, and no other may."""
    if engine is not None and engine_for(engine, request) == engine and not gives(engine, request.signal):
        raise SettingsError(
            f"the engine {engine} gives no {request.signal}",
            _USE_DEFAULT,
        )


def engine_for(engine: str, request: Request) -> str:
    """The engine to ask: encoders and reward models are loaded here where the chosen engine has none."""
    own = "model" not in request.named_by
    return DEFAULT if own and not gives(engine, request.signal) else engine


def load_engine(model: Model, settings: Settings, stored: Mapping[str, Any], signal: str = "ratings") -> Engine:
    """Load a model into the engine for a signal; what the settings leave open, `stored` decides where it has it."""
    loader = find(settings.engine or DEFAULT)
    if loader.signals is not None and signal not in loader.signals:
        raise SettingsError(
            f"{loader.noun} gives no {signal}, only {' and '.join(loader.signals)}",
            _USE_DEFAULT,
        )
    _check_stored(stored)
    return loader.load(model, settings, stored, signal)


def _check_stored(stored: Mapping[str, Any]) -> None:
    """Refuse stored settings that nobody could have typed. Raises RunError."""
    # Options that are mappings are stored as text, in the engine's own way.
    typed = [name for name, default in defaults(Settings).items() if not isinstance(default, Mapping)]
    try:
        Settings(**{name: stored[name] for name in typed if stored.get(name)})
    except SettingsError as error:
        raise RunError(
            f"the run's settings of its model can't be: {error.message}", "Rate anew, with another --run."
        ) from error
    threads = stored.get("threads", 1)
    if not isinstance(threads, int) or not 0 <= threads <= MOST_THREADS:
        raise RunError(f"the run's settings of its model have {threads!r} threads", "Rate anew, with another --run.")


def load_counter(model: Model, settings: Settings) -> CountsTokens:
    """What counts tokens as a model does; loads no weights."""
    return find(settings.engine or DEFAULT).counter(model, settings)
