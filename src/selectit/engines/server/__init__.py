"""The `server` engine: models behind an OpenAI-compatible server.

It sends texts and reads log-probabilities; it loads no weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selectit.config.options import flag
from selectit.config.settings import Settings
from selectit.engines.base import EngineLoader, texts_module
from selectit.errors import SettingsError, install_extra
from selectit.jsonable import digest_of
from selectit.models import resolve
from selectit.models.files import Model
from selectit.signals.base import Engine


class ServerLoader(EngineLoader):
    """A model by the name under which it is served, and its tokenizer where that is named."""

    name = "server"
    noun = "a server"
    install = install_extra("server")
    signals = ("ratings", "judgements")
    holds_weights = False
    options = ("base_url", "tokenizer", "concurrency", "missing_label")
    refuses = {
        option: (f"{flag(option)} is the server's to decide", "Leave it out; start it with that.")
        for option in ("dtype", "batch_tokens", "device_map")
    }

    def check_options(self, settings: Settings) -> None:
        if settings.engine == self.name and settings.tokenizer and len(settings.model) > 1:
            raise SettingsError(
                "--tokenizer belongs to one model, and several are named",
                "Rate them one after another into one run (--run), each with its own; then select from that.",
            )

    def check(self, settings: Settings, chat: bool) -> None:
        if settings.base_url is None:
            raise SettingsError("the engine server needs an address", "Give --base-url, as http://localhost:8000/v1.")
        if chat and not settings.tokenizer:
            raise SettingsError(
                "--chat needs the model's chat template", "Name the model's tokenizer with --tokenizer."
            )

    def check_replies(self, settings: Settings) -> None:
        if settings.max_tokens is not None:
            raise SettingsError("--max-tokens is the server's to decide", "Leave it out; start the server with that.")

    def model(self, name: str, settings: Settings) -> Model:
        words = resolve.resolve_tokenizer(settings.tokenizer) if settings.tokenizer else None
        digest = digest_of({"server": name, "tokenizer": words.digest if words else ""})
        return Model(name, words.path if words else "", digest, packaged=False)

    def load(self, model: Model, settings: Settings, stored: Mapping[str, Any], signal: str) -> Engine:
        if signal == "judgements":
            self.check(settings, chat=False)
        server = self.module("engine")
        concurrency = settings.concurrency or server.CONCURRENCY
        if signal == "judgements":
            judge: Engine = server.load_judge(model.name, base_url=settings.base_url, concurrency=concurrency)
            return judge
        context, parameters = None, 0
        if model.path:
            context, parameters = texts_module().read_sizes(model.path, settings.trust_remote_code)
        engine: Engine = server.load(
            model.name,
            base_url=settings.base_url,
            tokenizer_path=model.path,
            tokenizer_name=stored.get("tokenizer", settings.tokenizer or ""),
            context=context,
            max_tokens=settings.max_tokens or stored.get("max_tokens"),
            overflow=settings.overflow or stored.get("overflow"),
            missing_label=settings.missing_label or stored.get("missing_label", "nan"),
            concurrency=concurrency,
            parameters=parameters,
            trust_remote_code=settings.trust_remote_code,
        )
        return engine


ENGINE = ServerLoader()
