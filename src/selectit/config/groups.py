"""The groups of settings. A verb names those that it takes; `Settings` composes all of them.

A group is cut where something depends on it: what identifies a data set, what decides a number, what decides none.
In each, None means the default that the help names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from selectit.config.options import option

DTYPES = ("auto", "fp32", "bf16", "fp16")
BAD_ROWS = ("stop", "skip")


@dataclass(frozen=True, kw_only=True)
class OptionGroup:
    """Options that belong together."""

    heading: ClassVar[str]
    """Under which --help shows them; several groups may share one."""
    decides: ClassVar[bool] = True
    """Whether they decide a number but for rounding, or only where and how it is computed."""


@dataclass(frozen=True, kw_only=True)
class PlaceOptions(OptionGroup):
    """Where everything is kept."""

    heading: ClassVar[str] = "Data"
    decides: ClassVar[bool] = False

    run: str | None = option(
        None, "Run directory; by itself that of DATA is selectit-runs/<name>-<fingerprint>.", "DIR", first=5
    )


@dataclass(frozen=True, kw_only=True)
class SourceOptions(OptionGroup):
    """What of one data set is read, and as what: another data set has its own."""

    heading: ClassVar[str] = "Data"

    limit: int | None = option(None, "Read the first N rows only.", "N", least=1)
    format: str | None = option(
        None, "alpaca, sharegpt, messages, prompt-completion, seed-tasks, preference [found].", "NAME"
    )
    map: str | None = option(
        None, "instruction=FIELD,response=FIELD (input, system, history, reasoning), or messages=FIELD.", "FIELDS"
    )
    roles: tuple[str, ...] = option((), "What a speaker is, for example boss=user; repeatable.", "NAME=ROLE")
    split: str | None = option(None, "Of a hub data set or a folder [train].", "NAME")
    subset: str | None = option(None, "Of a hub data set.", "NAME")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(OptionGroup):
    """How any data set is read. With `SourceOptions` it identifies a run's data."""

    heading: ClassVar[str] = "Data"

    turns: str = option(
        "last", "Answers to rate: last, each or first [last].", "WHICH", choices=("last", "each", "first")
    )
    bad_rows: str = option("stop", "stop, or skip them and note why [stop].", "WAY", choices=BAD_ROWS)


@dataclass(frozen=True, kw_only=True)
class RatingOptions(OptionGroup):
    """What is asked of the models that rate."""

    heading: ClassVar[str] = "Rating"

    model: tuple[str, ...] = option(
        (), "Packaged name, hub id or folder; repeatable [smollm2; in a run all that rated it].", "NAME", first=1
    )
    prompts: str | None = option(
        None, "Rating prompts: a file, or default, aspects, yes-no [default].", "FILE", first=6
    )
    labels: tuple[str, ...] | None = option(
        None, "The ratings, worst first, for example 1,2,3 [those of the prompts].", "A,B,…", separated=True
    )
    chat: bool = option(False, "Ask through the model's chat template: other ratings.")
    layout: str | None = option(
        None,
        "prompt-first, or sample-first: quicker, another prompt [prompt-first].",
        "NAME",
        choices=("prompt-first", "sample-first"),
    )
    k: int | None = option(None, "Use the first K rating prompts [5].", "K", least=1)
    max_tokens: int | None = option(None, "Limit of a text that is read [the context, at most 4096].", "N", least=1)
    overflow: str | None = option(
        None, "Over the limit: cut the response, or refuse [cut].", "WAY", choices=("cut", "refuse")
    )


@dataclass(frozen=True, kw_only=True)
class CascadeOptions(OptionGroup):
    """Cheap first, fully later."""

    heading: ClassVar[str] = "Cascade"

    cascade: str | int | float | None = option(
        None, "Rate all rows cheaply and only so many of the best fully: 50% [all].", "AMOUNT"
    )
    cascade_k: int | None = option(None, "Prompts of the cheap rating [1].", "K", least=1)
    cascade_model: str | None = option(None, "A smaller model for the cheap rating [the same].", "NAME")


@dataclass(frozen=True, kw_only=True)
class ModelOptions(OptionGroup):
    """Models that methods ask beside those that rate."""

    heading: ClassVar[str] = "Other models"

    encoder: str | None = option(None, "Embeds texts, for methods that compare them [minilm].", "NAME")
    pooling: str | None = option(
        None,
        "How a causal encoder sums up a text: last, mean, weighted [mean].",
        "WAY",
        choices=("last", "mean", "weighted"),
    )
    judge: str | None = option(None, "Answers questions of methods that ask [first --model].", "NAME")
    reward_model: str | None = option(None, "For methods that use rewards.", "NAME")


@dataclass(frozen=True, kw_only=True)
class EngineOptions(OptionGroup):
    """What runs the models, as far as it decides a number. An engine's own package says which of them it takes."""

    heading: ClassVar[str] = "Engine"

    engine: str | None = option(
        None,
        "What runs the model: hf, vllm, server; fake makes numbers up [the run's, else hf].",
        "NAME",
        first=7,
    )
    engine_param: Mapping[str, Any] = option({}, "An argument of vllm.LLM; repeatable.", "NAME=VALUE")
    tokenizer: str | None = option(None, "Of a server's model: packaged name, hub id or folder [none].", "NAME")
    missing_label: str | None = option(
        None, "A label that a server leaves out: nan, or floor [nan].", "WAY", choices=("nan", "floor")
    )
    dtype: str = option("auto", "auto, fp32, bf16 or fp16 [auto].", "TYPE", choices=DTYPES)


@dataclass(frozen=True, kw_only=True)
class LoadingOptions(OptionGroup):
    """How the models are loaded and fed."""

    heading: ClassVar[str] = "Engine"
    decides: ClassVar[bool] = False

    base_url: str | None = option(None, "The server's address, for example http://localhost:8000/v1.", "URL")
    concurrency: int | None = option(None, "Requests to the server at one time [16].", "N", least=1)
    batch_tokens: int | None = option(None, "Tokens in one batch [2048; on a GPU what fits].", "N", least=1)
    unit_size: int | None = option(None, "Rows in one unit of work, which is kept when finished [512].", "N", least=1)
    device_map: str | None = option(None, "Passed to transformers, for example auto.", "MAP")
    trust_remote_code: bool = option(False, "Let the model's repository run its own code.")
    accept_terms: bool = option(False, "Accept the terms of a packaged model.")


@dataclass(frozen=True, kw_only=True)
class ResumeOptions(OptionGroup):
    """Which of the missing units are done."""

    heading: ClassVar[str] = "Machines"
    decides: ClassVar[bool] = False

    retry_errors: bool = option(False, "Ask again about failed rows.")
    share: str | None = option(None, "Do only the units whose number is i modulo n.", "i/n")


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions(OptionGroup):
    """Whose machines do the work."""

    heading: ClassVar[str] = "Machines"
    decides: ClassVar[bool] = False

    executor: str = option(
        "local", "Where ratings are made: local, or ray for a Ray cluster [local].", "NAME", choices=("local", "ray")
    )
    ray_address: str | None = option(None, "The cluster [started on this machine].", "HOST:PORT")
    workers: int | None = option(None, "Processes on Ray [one a GPU, or a machine].", "N", least=1)
    worker_cpus: int | None = option(None, "CPUs of each [see docs/cluster.md].", "N", least=1)
    worker_gpus: float | None = option(None, "GPUs of each [1 if there are any].", "N")


@dataclass(frozen=True, kw_only=True)
class MethodOptions(OptionGroup):
    """The method that scores or chooses."""

    heading: ClassVar[str] = "Method"

    method: str = option("selectit", "See `selectit methods`; your own: ./file.py:Class [selectit].", "NAME", first=2)
    param: Mapping[str, Any] = option({}, "Any other parameter of the method; repeatable.", "NAME=VALUE")


@dataclass(frozen=True, kw_only=True)
class TargetOptions(OptionGroup):
    """What the model should become good at, for methods that choose towards it."""

    heading: ClassVar[str] = "Method"

    target: tuple[str, ...] = option((), "Examples of what the model should become good at; repeatable.", "FILE")
    target_by: str | None = option(None, "The field that says which group an example is of [its file].", "FIELD")


@dataclass(frozen=True, kw_only=True)
class ParameterOptions(OptionGroup):
    """Parameters of methods that have a flag. None = the method's default."""

    heading: ClassVar[str] = "Method"

    level: str | None = option(None, "token, sentence, model, model-token [sentence; several models: model].", "LEVEL")
    profile: str | None = option(None, "paper, or official: as the published code [paper].", "NAME")
    alpha: float | None = option(None, "Cost of disagreement between prompts [0.2].", "A")
    weights: tuple[float, ...] | None = option(
        None, "Weights of the models, in their order [parameter counts].", "A,B,…", separated=True
    )
    min_prompts: int | None = option(None, "Score rows with at least N of K ratings [all K].", "N")
    seed: int | None = option(None, "For methods that draw at random [0].", "N")


@dataclass(frozen=True, kw_only=True)
class CombinationOptions(OptionGroup):
    """Several methods instead of one."""

    heading: ClassVar[str] = "Method"

    combine: str | None = option(
        None, "Several methods instead of one, with weights: selectit:0.7,length:0.3.", "A:W,B:W"
    )
    combine_by: str = option(
        "rank", "rank (mean), union or intersection [rank].", "WAY", choices=("rank", "union", "intersection")
    )


@dataclass(frozen=True, kw_only=True)
class FilterOptions(OptionGroup):
    """Which rows are left out before anything is chosen."""

    heading: ClassVar[str] = "Filters"

    decontaminate: tuple[str, ...] = option(
        (), "Leave out rows that share 13 words in a row with a question of this file or benchmark; repeatable.", "FILE"
    )
    data_dir: str | None = option(None, "The benchmarks' files, as of selectit eval.", "DIR")
    dedup: str | None = option(
        None,
        "Of rows that say the same, keep the one with the best score: exact (case and spaces aside), near (most runs "
        "of 3 words are the same), semantic (the encoder finds them alike).",
        "WAY",
        choices=("exact", "near", "semantic"),
    )
    dedup_threshold: float | None = option(
        None, "From which Jaccard index (near) or above which cosine (semantic) [near 0.7, semantic 0.95].", "X"
    )


@dataclass(frozen=True, kw_only=True)
class QuotaOptions(OptionGroup):
    """How much each group of rows gives."""

    heading: ClassVar[str] = "Quotas"

    by: str | None = option(
        None, "Groups: a field of the records (dots for fields within fields), language, or cluster.", "FIELD"
    )
    shares: str | None = option(
        None, "What each group gives: proportional, equal, or a JSON or TOML file of NAME: share [proportional].", "HOW"
    )
    clusters: int | None = option(None, "Clusters of embeddings, for --by cluster [100].", "N", least=1)


@dataclass(frozen=True, kw_only=True)
class DiversityOptions(OptionGroup):
    """Rows unlike each other among those of the best scores."""

    heading: ClassVar[str] = "Diversity"

    diversity: str | None = option(
        None,
        "Choose rows unlike each other among the best: facility-location, kcenter, similarity, dpp, mmr, novel, "
        "kmeans, or any other method that chooses a set.",
        "METHOD",
    )
    pool: str | int | float | None = option(
        None, "How many of the best it chooses among: 40% [twice what is kept].", "AMOUNT"
    )


@dataclass(frozen=True, kw_only=True)
class AmountOptions(OptionGroup):
    """How much is kept."""

    heading: ClassVar[str] = "Amount"

    keep: str | int | float | None = option(
        None, "0.2, 20% (of the rows that no filter leaves out) or 1000 (rows) [20%].", "AMOUNT", first=3
    )
    min_score: float | None = option(None, "Keep nothing that scores below S.", "S")
    best_of: str | None = option(None, "Of rows with one 'instruction', or one value of FIELD, the best only.", "FIELD")
    allow_fewer: bool = option(False, "Take fewer rows where not enough can be chosen.")


@dataclass(frozen=True, kw_only=True)
class OutputOptions(OptionGroup):
    """What is written, and where."""

    heading: ClassVar[str] = "Output"
    decides: ClassVar[bool] = False

    out: str | None = option(None, "The subset [<name>.selected.<ext> in this folder].", "FILE", first=4)
    rest: str | None = option(None, "Also write what is not chosen, each with why.", "FILE")
    name: str | None = option(None, "The selection's name in the run [from the settings].", "NAME")
    order: str = option("score", "Order of the subset: score or source [score].", "ORDER", choices=("score", "source"))
    with_scores: bool = option(False, "Add one field, selectit: row, rank, score.")
    force: bool = option(False, "Replace what is there and differs.")
