"""The options of all verbs, once. Their names are the fields of `config.Settings`, and their defaults stand there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from selectit import config
from selectit.errors import SettingsError
from selectit.jsonable import plain

F = TypeVar("F", bound=Callable[..., Any])


class _Weights(click.ParamType[Any]):
    name = "A,B,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        try:
            return tuple(float(part) for part in parts)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a list of numbers such as 7,13,70", param, ctx)


class _Labels(click.ParamType[Any]):
    name = "A,B,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value)


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


class EngineParameter(Parameter):
    """NAME=VALUE whose value is what JSON says, else the text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        name, text = super().convert(value, param, ctx)
        if not isinstance(value, str):  # of a configuration file, which has kinds
            return name, text
        try:
            return name, json.loads(text)
        except ValueError:
            return name, text


def _read_config(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    """Make the file's settings the defaults of this command; what is typed wins."""
    if path is None:
        return
    table = config.read_toml(path)
    for name in ("param", "engine_param"):
        if isinstance(table.get(name), Mapping):
            table[name] = list(table[name].items())
    if isinstance(table.get("model"), str):
        table["model"] = [table["model"]]
    ctx.default_map = table


_OPTIONS: dict[str, Callable[[F], F]] = {
    "run": click.option("--run", metavar="DIR", help="Run directory [selectit-runs/<name>-<fingerprint>]."),
    "limit": click.option("--limit", type=int, metavar="N", help="Read the first N rows only."),
    "format": click.option(
        "--format", metavar="NAME", help="alpaca, sharegpt, messages, prompt-completion, seed-tasks [found]."
    ),
    "map": click.option(
        "--map", metavar="FIELDS", help="For other layouts: instruction=FIELD,response=FIELD; dots go deeper."
    ),
    "turns": click.option("--turns", metavar="WHICH", help="Answers to rate: last, each or first [last]."),
    "bad_rows": click.option("--bad-rows", metavar="WAY", help="stop, or skip them and note why [stop]."),
    "split": click.option("--split", metavar="NAME", help="Of a hub data set or Arrow folder [train]."),
    "subset": click.option("--subset", metavar="NAME", help="Of a hub data set."),
    "labels": click.option(
        "--labels", type=_Labels(), help="The ratings, worst first, for example 1,2,3 [those of the prompts]."
    ),
    "chat": click.option("--chat", is_flag=True, default=None, help="Ask through the model's chat template."),
    "layout": click.option(
        "--layout", metavar="NAME", help="prompt-first, or sample-first: quicker, another prompt [prompt-first]."
    ),
    "rest": click.option("--rest", metavar="FILE", help="Also write what is not chosen, each with why."),
    "model": click.option(
        "--model", multiple=True, metavar="NAME", help="Packaged name, hub id or folder; repeatable [smollm2]."
    ),
    "prompts": click.option(
        "--prompts", metavar="FILE", help="Rating prompts: a file, or default, aspects, yes-no [default]."
    ),
    "k": click.option("--k", type=int, metavar="K", help="Use the first K rating prompts [5]."),
    "engine": click.option(
        "--engine", metavar="NAME", help="What runs the model: hf, vllm, server; fake makes numbers up [hf]."
    ),
    "engine_param": click.option(
        "--engine-param", type=EngineParameter(), multiple=True, help="An argument of vllm.LLM; repeatable."
    ),
    "base_url": click.option(
        "--base-url", metavar="URL", help="The server's address, for example http://localhost:8000/v1."
    ),
    "tokenizer": click.option(
        "--tokenizer", metavar="NAME", help="Of a server's model: packaged name, hub id or folder [none]."
    ),
    "concurrency": click.option(
        "--concurrency", type=int, metavar="N", help="Requests to the server at one time [16]."
    ),
    "missing_label": click.option(
        "--missing-label", metavar="WAY", help="A label that a server leaves out: nan, or floor [nan]."
    ),
    "dtype": click.option("--dtype", metavar="TYPE", help="auto, fp32, bf16 or fp16 [auto]."),
    "max_tokens": click.option(
        "--max-tokens", type=int, metavar="N", help="Limit of the rated text [the context, at most 4096]."
    ),
    "overflow": click.option("--overflow", metavar="WAY", help="Over the limit: cut the response, or refuse [cut]."),
    "batch_tokens": click.option(
        "--batch-tokens", type=int, metavar="N", help="Tokens in one batch [2048; on a GPU what fits]."
    ),
    "unit_size": click.option("--unit-size", type=int, metavar="N", help="Rows in one unit of work [512]."),
    "device_map": click.option("--device-map", metavar="MAP", help="Passed to transformers, for example auto."),
    "trust_remote_code": click.option(
        "--trust-remote-code", is_flag=True, default=None, help="Let the model's repository run its own code."
    ),
    "accept_terms": click.option(
        "--accept-terms", is_flag=True, default=None, help="Accept the terms of a packaged model."
    ),
    "retry_errors": click.option("--retry-errors", is_flag=True, default=None, help="Ask again about failed rows."),
    "share": click.option("--share", metavar="i/n", help="Do only the units whose number is i modulo n."),
    "cascade": click.option(
        "--cascade", metavar="AMOUNT", help="Rate all rows cheaply, fully only the best: 50% goes on [all]."
    ),
    "cascade_k": click.option("--cascade-k", type=int, metavar="K", help="Prompts of the cheap rating [1]."),
    "cascade_model": click.option(
        "--cascade-model", metavar="NAME", help="A smaller model for the cheap rating [the same]."
    ),
    "sample": click.option(
        "--sample", type=int, default=64, metavar="N", help="Answers to rate for the measurement [64]."
    ),
    "proxy": click.option("--proxy", metavar="NAME", help="A smaller model to measure beside, for example smollm2."),
    "executor": click.option("--executor", metavar="NAME", help="Who rates: local, or ray: a Ray cluster [local]."),
    "ray_address": click.option("--ray-address", metavar="HOST:PORT", help="The cluster [started on this machine]."),
    "workers": click.option("--workers", type=int, metavar="N", help="Processes on Ray [one a GPU, or a machine]."),
    "worker_cpus": click.option("--worker-cpus", type=int, metavar="N", help="CPUs of each [see docs/cluster.md]."),
    "worker_gpus": click.option("--worker-gpus", type=float, metavar="N", help="GPUs of each [1 if there are any]."),
    "encoder": click.option(
        "--encoder",
        metavar="NAME",
        help="Embeds texts, for methods that compare them [minilm].",
    ),
    "pooling": click.option("--pooling", metavar="WAY", help="Of a causal encoder: last, mean, weighted [mean]."),
    "judge": click.option("--judge", metavar="NAME", help="Answers questions of methods that ask [first --model]."),
    "reward_model": click.option("--reward-model", metavar="NAME", help="For methods that use rewards."),
    "method": click.option(
        "--method", metavar="NAME", help="See `selectit methods`; ./file.py:Class is one of your own [selectit]."
    ),
    "level": click.option(
        "--level", metavar="LEVEL", help="token, sentence, model, model-token [sentence; several models: model]."
    ),
    "profile": click.option("--profile", metavar="NAME", help="paper, or official: as the published code [paper]."),
    "alpha": click.option("--alpha", type=float, metavar="A", help="Cost of disagreement between prompts [0.2]."),
    "weights": click.option(
        "--weights", type=_Weights(), help="Weights of the models, in their order [parameter counts]."
    ),
    "min_prompts": click.option(
        "--min-prompts", type=int, metavar="N", help="Score rows with at least N of K ratings [all K]."
    ),
    "seed": click.option("--seed", type=int, metavar="N", help="For methods that draw at random [0]."),
    "param": click.option(
        "--param", type=Parameter(), multiple=True, help="Any other parameter of the method; repeatable."
    ),
    "combine": click.option(
        "--combine", metavar="A:W,B:W", help="Several methods instead of one, with weights: selectit:0.7,length:0.3."
    ),
    "combine_by": click.option("--combine-by", metavar="WAY", help="rank (mean), union or intersection [rank]."),
    "keep": click.option("--keep", metavar="AMOUNT", help="0.2, 20% or 1000 (rows) [20%]."),
    "min_score": click.option("--min-score", type=float, metavar="S", help="Keep nothing that scores below S."),
    "allow_fewer": click.option("--allow-fewer", is_flag=True, default=None, help="Take fewer where too few can be."),
    "out": click.option("--out", metavar="FILE", help="The subset [<name>.selected.<ext> in this folder]."),
    "name": click.option("--name", metavar="NAME", help="The selection's name in the run [from the settings]."),
    "order": click.option("--order", metavar="ORDER", help="Order of the subset: score or source [score]."),
    "with_scores": click.option(
        "--with-scores", is_flag=True, default=None, help="Add one field, selectit: row, rank, score."
    ),
    "force": click.option("--force", is_flag=True, default=None, help="Replace a subset that differs."),
    "config": click.option(
        "--config",
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="TOML with any of these options; what is typed wins.",
    ),
    "json": click.option("--json", "as_json", is_flag=True, help="JSON on stdout."),
    "quiet": click.option("--quiet", is_flag=True, help="No notes and no progress."),
}
RATING = (
    "run", "limit", "format", "map", "turns", "bad_rows", "split", "subset",
    "model", "prompts", "labels", "chat", "layout", "k", "engine", "engine_param", "base_url", "tokenizer",
    "concurrency", "missing_label", "dtype", "max_tokens", "overflow", "batch_tokens", "unit_size",
    "device_map", "trust_remote_code", "accept_terms", "retry_errors",
    "executor", "ray_address", "workers", "worker_cpus", "worker_gpus",
)  # fmt: skip
CASCADE = ("cascade", "cascade_k", "cascade_model")
ASKING = ("encoder", "pooling", "judge", "reward_model")
SCORING = ("method", "level", "profile", "alpha", "weights", "min_prompts", "seed", "param")
COMBINING = ("combine", "combine_by")
CHOOSING = ("keep", "min_score", "allow_fewer", "out", "rest", "name", "order", "with_scores", "force")
STORED = (
    "model", "prompts", "labels", "chat", "layout", "k", "engine", "missing_label", "dtype", "max_tokens", "overflow",
)  # fmt: skip
COMMON = ("config", "json", "quiet")


def options(*names: str) -> Callable[[F], F]:
    """Decorate a command with these options, in this order."""

    def decorate(function: F) -> F:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return decorate


def settings(given: Mapping[str, Any]) -> config.Settings:
    """The settings that were typed or configured; the rest keeps its default."""
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in ("param", "engine_param"):
        chosen[name] = dict(chosen.get(name, ()))
    return config.Settings(**chosen)


def data_argument(function: F) -> F:
    """The data set. Whether it is there, and what is in it, the reader says."""
    return click.argument("data", required=False)(function)


def refuse_mixed(data: str | None, chosen: config.Settings) -> None:
    """Refuse --json where the rows go to standard output. Raises SettingsError."""
    if (chosen.out or data) == "-":
        raise SettingsError("--json and the rows can't both go to standard output", "Name a file with --out.")


def print_json(value: Any) -> None:
    """One JSON value on stdout; a number that is none (NaN) becomes null."""
    click.echo(json.dumps(plain(value), ensure_ascii=False))
