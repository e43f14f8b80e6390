"""The settings of `selectit eval`; each field is a flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selectit.config.groups import DTYPES
from selectit.config.options import idle, list_names
from selectit.errors import SettingsError, nearest
from selectit.signals.loss_templates import TEMPLATES

ENGINES = ("hf", "vllm", "server")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalSettings:
    """What models are asked, by what, and where the answers go."""

    suite: str | None = None
    """A set of tasks with their protocol: see `suites.SUITES`; None = 'quick', or nothing beside `task` and
    `heldout`."""
    task: tuple[str, ...] = ()
    """Single tasks: a benchmark ('mmlu'), one of its parts ('mmlu_anatomy'), or any task of lm-eval."""
    data_dir: str | None = None
    """A folder with the benchmarks' files, for machines without the hub; see docs/evaluation.md."""
    limit: int | None = None
    """The most items of each part, drawn with the protocol's seed."""
    heldout: tuple[str, ...] = ()
    """Data sets of any layout whose responses' losses are measured."""
    format: str | None = None
    map: str | None = None
    """The layout of `heldout`, as of `Settings`."""
    roles: tuple[str, ...] = ()
    """What speakers in `heldout` are called, as of `Settings`."""
    template: str = "plain"
    """What stands before a held-out response: see `loss_templates.TEMPLATES`; 'chat' = the model's chat template."""
    chat: bool = False
    """Ask everything through the model's chat template, held-out responses too."""
    engine: str = "hf"
    engine_param: Mapping[str, Any] = field(default_factory=dict, metadata={"idle": True})
    """More arguments of lm-eval's model class, by name."""
    base_url: str | None = idle(None)
    """Of the engine 'server': what stands before /completions."""
    tokenizer: str | None = None
    """Of the engine 'server': the served model's tokenizer."""
    dtype: str = "auto"
    batch_size: int = idle(8)
    """Texts that lm-eval reads at once (hf), or requests under way at one time (server)."""
    trust_remote_code: bool = idle(False)
    accept_terms: bool = idle(False)
    allow_code_execution: bool = False
    """HumanEval runs what the model wrote, in a sandbox."""
    unsandboxed: bool = idle(False)
    """With `allow_code_execution`: without a sandbox, for machines that have no bubblewrap."""
    judge: str | None = None
    """Compares answers for AlpacaEval: a model, or with `judge_url` the name of a served one."""
    judge_url: str | None = idle(None)
    out: str | None = idle(None)
    """The results' file; None = selectit-evals/<model>/<suite>.json, in a run eval/<model>/<suite>.json."""

    def __post_init__(self) -> None:
        for name in list_names(type(self)):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        choices = {"engine": ENGINES, "dtype": DTYPES, "template": tuple(TEMPLATES)}
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise SettingsError(f"there is no --{name} {value!r}", nearest(value, known))
        for name in ("limit", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"--{name.replace('_', '-')} is {value}", "It is a number of 1 or more.")
        names = [Path(path).name for path in self.heldout]
        if len(set(names)) != len(names):
            raise SettingsError("two held-out data sets have one file name", "Rename one: results go by that name.")
        if self.unsandboxed and not self.allow_code_execution:
            raise SettingsError("--unsandboxed allows no code by itself", "Add --allow-code-execution.")
        self._check_server()

    @property
    def served(self) -> bool:
        """Whether the models run on a server, and not on this machine."""
        return self.engine == "server"

    def _check_server(self) -> None:
        if self.served and self.base_url is None:
            raise SettingsError("the engine server needs an address", "Give --base-url, as http://localhost:8000/v1.")
        if self.served and self.tokenizer is None:
            raise SettingsError(
                "the engine server needs the model's tokenizer: lm-eval counts the tokens of the texts it sends",
                "Name it with --tokenizer: packaged name, hub id or folder.",
            )
        for name in ("base_url", "tokenizer"):
            if not self.served and getattr(self, name) is not None:
                raise SettingsError(f"--{name.replace('_', '-')} is for a server", "Give --engine server.")
        if self.judge_url is not None and self.judge is None:
            raise SettingsError("--judge-url names no model", "Give the name under which it is served with --judge.")
        if self.heldout and self.served:
            raise SettingsError("a server gives no losses for responses", "Use --engine hf for --heldout.")
