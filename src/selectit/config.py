"""Every option of the program, once.

The fields of `Settings` are the flags of the command and the keys of a configuration file.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selectit.errors import SettingsError, nearest

DTYPES = ("auto", "fp32", "bf16", "fp16")
ENGINES = ("hf", "vllm", "server", "fake")
COMBINATIONS = ("rank", "union", "intersection")
ORDERS = ("score", "source")
OVERFLOWS = ("cut", "refuse")
MISSING_LABELS = ("nan", "floor")
BAD_ROWS = ("stop", "skip")
POOLINGS = ("last", "mean", "weighted")
LAYOUTS = ("prompt-first", "sample-first")
TURNS = ("last", "each", "first")
EXECUTORS = ("local", "ray")
DEFAULT_MODEL = "smollm2"


OWN_ARGUMENTS = {
    "model": "--model",
    "tokenizer": "--model",
    "revision": "--model",
    "dtype": "--dtype",
    "max_model_len": "--max-tokens",
    "max_num_batched_tokens": "--batch-tokens",
    "trust_remote_code": "--trust-remote-code",
    "logprobs_mode": "",
    "enable_prefix_caching": "",
    "use_tqdm_on_load": "",
}
"""Arguments of vllm.LLM that are no engine parameters: the flag of each, '' where selectit alone decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What to rate with, how to score and how much to keep. None means: the default that the text names."""

    # Which run, and what of the data
    run: str | None = None
    """The run directory; None = selectit-runs/<name>-<fingerprint of the source>."""
    limit: int | None = None
    """Read the first so many rows only."""
    format: str | None = None
    """The layout; None = found from the first record."""
    map: str | None = None
    """'instruction=FIELD,response=FIELD' (and input=FIELD) for a layout of one's own; dots for fields within fields."""
    turns: str = "last"
    """Which answers of a conversation are rated: the 'last', 'each', or the 'first'."""
    bad_rows: str = "stop"
    """'stop' at rows that can't be used, or 'skip' them and write them to rejected.jsonl in the run."""
    split: str | None = None
    """Of a hub data set or an Arrow folder with several; None = train, or the only one."""
    subset: str | None = None
    """Of a hub data set with several."""

    # The raters
    model: tuple[str, ...] = ()
    """Packaged names, hub ids or folders; empty = smollm2, and without data all that the run was rated with."""
    prompts: str | None = None
    """A file of rating prompts; None = the packaged nine."""
    labels: tuple[str, ...] | None = None
    """The ratings in rising order; None = those of the prompt file, '1' to '5' in the packaged one."""
    chat: bool = False
    """Ask through the model's chat template: another prompt, with ratings of its own."""
    layout: str | None = None
    """'prompt-first' as the paper, or 'sample-first': quicker, another prompt, with ratings of its own; None = as the
    prompt file says."""
    k: int | None = None
    """How many of the prompts; None = 5."""
    engine: str | None = None
    """'hf', 'vllm', 'server' (see `base_url`), or 'fake', which makes numbers up; None = what the run was rated with,
    or hf."""
    engine_param: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Of the engine 'vllm': arguments of vllm.LLM by name; values are what JSON can say. Empty = those of the run, or
    none."""
    base_url: str | None = None
    """Of the engine 'server': what stands before /completions, for example http://localhost:8000/v1."""
    tokenizer: str | None = None
    """Of the engine 'server': packaged name, hub id or folder of the served model's tokenizer; None = what the run was
    rated with, or none."""
    concurrency: int | None = None
    """Of the engine 'server': requests under way at one time; None = 16."""
    missing_label: str | None = None
    """Of the engine 'server': a label that is not returned stays missing ('nan') or takes the smallest log-probability
    that was returned ('floor'); None = nan."""
    dtype: str = "auto"
    max_tokens: int | None = None
    """Token limit of the rated text; None = the smaller of the model's context and 4,096."""
    overflow: str | None = None
    """What to do with a text over the limit: 'cut' the response or 'refuse' the row; None = cut."""
    batch_tokens: int | None = None
    """Tokens in one batch; None = the engine's choice."""
    unit_size: int | None = None
    """Rows in one unit of work; what is finished is kept unit by unit; None = 512."""
    device_map: str | None = None
    trust_remote_code: bool = False
    accept_terms: bool = False
    retry_errors: bool = False
    share: str | None = None
    """'i/n': rate only the units whose number is i modulo n."""

    # Cheap first, dear later
    cascade: str | int | float | None = None
    """Rate all rows cheaply, and fully only the best of them: how many of all rows go on, as `keep` is written; None =
    rate all rows fully."""
    cascade_k: int | None = None
    """How many of the prompts the first rating of a cascade has; None = 1."""
    cascade_model: str | None = None
    """Another, smaller model for the first rating of a cascade; None = the model itself."""

    # Who rates: the settings below change no number
    executor: str = "local"
    """'local': this process, or 'ray': the workers of a Ray cluster."""
    ray_address: str | None = None
    """The cluster, as HOST:PORT or 'auto'; None = started on this machine for this call."""
    workers: int | None = None
    """Processes that hold the engine; None = one for each GPU, where there are none one for each machine."""
    worker_cpus: int | None = None
    """CPUs of each; None = 1 beside a GPU, else the threads of the run, before it is begun all of a machine."""
    worker_gpus: float | None = None
    """GPUs of each, also parts of one; None = 1 where there are any, 0 for engines that load no model."""

    # What other methods ask of other models
    encoder: str | None = None
    """Embeds: a sentence encoder, or a causal model; None = minilm."""
    pooling: str | None = None
    """Of a causal model's states: 'last', 'mean' or 'weighted'; None = mean."""
    judge: str | None = None
    """Answers questions about pairs; None = the first --model."""
    reward_model: str | None = None

    # The method and its parameters; None = the method's default
    method: str = "selectit"
    level: str | None = None
    profile: str | None = None
    alpha: float | None = None
    weights: tuple[float, ...] | None = None
    min_prompts: int | None = None
    seed: int | None = None
    param: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Any other parameters of the method, by name."""

    combine: str | None = None
    """Several methods instead of one: 'selectit:0.7,length:0.3', each 'name', 'name:weight' or
    'name:parameter=value;parameter=value:weight'."""
    combine_by: str = "rank"
    """'rank': the weighted mean of the ranks; 'union' or 'intersection': of what each chooses within the budget."""

    # The budget
    keep: str | int | float | None = None
    """A share (0.2, '20%') of all rows read or a number of rows; None = 20 %, or all above `min_score`."""
    min_score: float | None = None
    allow_fewer: bool = False

    # The output
    out: str | None = None
    """The subset's file; None = <name>.selected.<ext> in the current folder."""
    name: str | None = None
    """The selection's name in the run directory; None = made from the settings."""
    rest: str | None = None
    """A file for the rows that are not chosen, each with the reason."""
    order: str = "score"
    with_scores: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        for name in ("model", "weights", "labels"):  # one alone is a list of one
            value = getattr(self, name)
            if isinstance(value, str | int | float):
                object.__setattr__(self, name, (value,))
            elif isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        self._check_kinds()
        choices = {
            "dtype": DTYPES,
            "engine": ENGINES,
            "order": ORDERS,
            "overflow": OVERFLOWS,
            "layout": LAYOUTS,
            "pooling": POOLINGS,
            "turns": TURNS,
            "bad_rows": BAD_ROWS,
            "executor": EXECUTORS,
            "combine_by": COMBINATIONS,
            "missing_label": MISSING_LABELS,
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in (None, *known):
                raise SettingsError(f"{_flag(name)} is {value!r}, which there is not", nearest(value, known))
        counts = ("limit", "k", "cascade_k", "max_tokens", "batch_tokens", "unit_size", "concurrency")
        for name in (*counts, "workers", "worker_cpus"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{_flag(name)} is {value}", "It is a number of 1 or more.")
        self._check_together()
        self.share_numbers()

    def _check_kinds(self) -> None:
        for name, kind in typing.get_type_hints(Settings).items():
            value = getattr(self, name)
            if not is_of(value, kind):
                raise SettingsError(
                    f"{_flag(name)} is {value!r}, a value of the wrong kind", "See selectit select --help."
                )

    def _check_together(self) -> None:
        if len(set(self.model)) != len(self.model):
            raise SettingsError(f"a model is named twice: {', '.join(self.model)}", "Name each model once.")
        if self.format is not None and self.map is not None:
            raise SettingsError("--format and --map both say what the layout is", "Give one of them.")
        for name in ("ray_address", "workers", "worker_cpus", "worker_gpus"):
            if self.executor == "local" and getattr(self, name) is not None:
                raise SettingsError(f"{_flag(name)} does nothing without Ray", "Add --executor ray, or leave it out.")
        if self.worker_gpus is not None and not 0 <= self.worker_gpus < math.inf:
            raise SettingsError(f"--worker-gpus is {self.worker_gpus}", "It is a number of 0 or more.")
        if self.min_score is not None and math.isnan(self.min_score):
            raise SettingsError("--min-score is no number", "Give a number.")
        self._check_cascade()
        self._check_engine()

    def _check_cascade(self) -> None:
        for name in ("cascade_k", "cascade_model"):
            if self.cascade is None and getattr(self, name) is not None:
                raise SettingsError(
                    f"{_flag(name)} is of a cascade, and there is none", "Say how many rows go on, with --cascade."
                )
        if self.cascade is not None and self.share is not None:
            raise SettingsError(
                "--share can't be used with --cascade: which rows go on is known when all have their first rating",
                "Use --executor ray for several GPUs or machines, or leave --cascade out.",
            )
        if self.cascade_model is not None and self.tokenizer:
            raise SettingsError(
                "--tokenizer is one model's, and --cascade-model names a second one",
                "Use --cascade-k with one model, or leave out --tokenizer.",
            )

    def _check_engine(self) -> None:
        """Refuse options that another engine than the named one has. That --base-url is there, rating itself checks."""
        if self.engine not in (None, "server"):
            for name in ("base_url", "tokenizer", "concurrency", "missing_label"):
                if getattr(self, name) is not None:
                    raise SettingsError(
                        f"{_flag(name)} is for a server, and --engine is {self.engine!r}", "Give --engine server."
                    )
        if self.engine == "server":
            for name, default in {"dtype": "auto", "batch_tokens": None, "device_map": None}.items():
                if getattr(self, name) != default:
                    raise SettingsError(f"{_flag(name)} is the server's to decide", "Leave it out; start it with that.")
            if self.tokenizer and len(self.model) > 1:
                raise SettingsError(
                    "--tokenizer is one model's, and several are named",
                    "Rate them one after another into one run (--run), each with its own; then select from that.",
                )
        if self.engine == "vllm" and self.device_map is not None:
            raise SettingsError(
                "--device-map is for --engine hf", "Several GPUs: --engine-param tensor_parallel_size=N."
            )
        self._check_engine_param()

    def _check_engine_param(self) -> None:
        if self.engine not in (None, "vllm") and self.engine_param:
            raise SettingsError(f"--engine-param is for vllm, and --engine is {self.engine!r}", "Give --engine vllm.")
        for name, value in self.engine_param.items():
            if name in OWN_ARGUMENTS:
                flag = OWN_ARGUMENTS[name]
                raise SettingsError(
                    f"--engine-param {name}: {'it has a flag of its own' if flag else 'selectit sets it'}",
                    f"Write {flag}." if flag else "Leave it out.",
                )
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                raise SettingsError(
                    f"--engine-param {name} is {value!r}: {error}", "Give what JSON can say."
                ) from error

    def share_numbers(self) -> tuple[int, int]:
        """(i, n) of `share`, (0, 1) without one. Raises SettingsError."""
        if self.share is None:
            return 0, 1
        i, slash, n = self.share.partition("/")
        if not (slash and i.isdecimal() and n.isdecimal() and int(i) < int(n)):
            raise SettingsError(f"--share is {self.share!r}", "Write i/n with i from 0 to n-1, for example 0/4.")
        return int(i), int(n)


def keys() -> list[str]:
    """Every key that a configuration file may have, as it is written on the command line without dashes."""
    return [field.name for field in dataclasses.fields(Settings)]


def read_toml(path: str | Path) -> dict[str, Any]:
    """The settings of a configuration file by field name; `-` and `_` are the same in its keys.

    Raises:
        SettingsError: the file can't be read, is not TOML, or has a key that is no setting.
    """
    table = toml_table(path, "configuration", "examples/selective-alpaca.toml")
    settings = {key.replace("-", "_"): value for key, value in table.items()}
    for key in settings:
        if key not in keys():
            raise SettingsError(f"{path}: there is no setting {key!r}", nearest(key, keys()))
    if isinstance(settings.get("param"), dict):
        settings["param"] = {key.replace("-", "_"): value for key, value in settings["param"].items()}
    if isinstance(settings.get("engine_param"), dict):
        settings["engine_param"] = {key.replace("-", "_"): value for key, value in settings["engine_param"].items()}
    try:
        Settings(**settings)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}", error.hint) from error
    return settings


def toml_table(path: str | Path, what: str, example: str) -> dict[str, Any]:
    """The table of a TOML file that a user wrote, a `what`; an `example` shows one. Raises SettingsError."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read the {what} {path}: {error}", "Name a TOML file.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}", f"See {example}.") from error


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated kind; true and false are no numbers, and whole numbers are floats too."""
    if typing.get_origin(kind) is types.UnionType:
        return any(is_of(value, one) for one in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(is_of(item, typing.get_args(kind)[0]) for item in value)
    if typing.get_origin(kind) is not None:
        kind = typing.get_origin(kind)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
