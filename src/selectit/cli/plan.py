"""`selectit plan`: what a rating will cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cloup

from selectit.cli.options import COMMON, data_argument, options, to_settings
from selectit.cli.printing import print_json, say
from selectit.cli.progress import duration, notes
from selectit.config.groups import (
    AmountOptions,
    EngineOptions,
    LoadingOptions,
    MethodOptions,
    ModelOptions,
    ParameterOptions,
    PlaceOptions,
    RatingOptions,
    ReadingOptions,
    SourceOptions,
    TargetOptions,
)
from selectit.config.settings import Settings
from selectit.data.memory import Data

if TYPE_CHECKING:
    from selectit.costs.measure import Memory
    from selectit.costs.passes import SignalCost
    from selectit.costs.plan import Alternative, Cost, ModelCost, TextStats
    from selectit.costs.tunings import TuningCost


@cloup.command("plan")
@data_argument
@cloup.option_group(
    "The measurement",
    cloup.option("--sample", type=int, default=64, metavar="N", help="Answers to rate for the measurement [64]."),
    cloup.option("--proxy", metavar="NAME", help="A smaller model to measure beside, for example smollm2."),
)
@options(
    PlaceOptions, SourceOptions, ReadingOptions, RatingOptions, ModelOptions, EngineOptions, LoadingOptions,
    MethodOptions, TargetOptions, ParameterOptions, AmountOptions, *COMMON,
)  # fmt: skip  # it measures this process
def command(data: Data | None, sample: int, proxy: str | None, as_json: bool, quiet: bool, **typed: Any) -> None:
    """Say what rating DATA, or the run that --run names, will cost: tokens, time, memory, disk, and what costs less.

    The tokens are counted, and the time is measured: the model is loaded (a packaged one or one of the hub is fetched)
    and rates a small sample whose ratings are thrown away. DATA is read into the run directory, where `selectit
    select` and `selectit rate` with the same options find it; what is rated there already is not counted again.

    With --method, or --target, it says what that method asks of models: ratings as above, anything else in passes over
    the rows and over the examples of the target, whose time is not measured.
    With a --method that tunes models on the way it says what choosing costs: rounds, passes, steps, tokens, disk, time.
    The model is tuned for two steps, and reads a few rows; both are thrown away.
    """
    chosen = to_settings(typed)
    from selectit.methods._tuning import tunes
    from selectit.selection.spec import build_spec

    if tunes(build_spec(chosen, None).method):
        _plan_tuning(data, chosen, as_json, quiet)
        return
    from selectit.costs.plan import plan

    with notes(quiet) as progress:
        cost = plan(data, chosen, sample, proxy, progress)
    if as_json:
        print_json(dataclasses.asdict(cost))
    else:
        say("\n".join(_lines(cost)))


def _plan_tuning(data: Data | None, settings: Settings, as_json: bool, quiet: bool) -> None:
    from selectit.costs.tunings import plan_tuning

    with notes(quiet) as progress:
        cost = plan_tuning(data, settings, progress)
    if as_json:
        print_json({**dataclasses.asdict(cost), "all_rows_seconds": cost.all_rows_seconds})
    else:
        say("\n".join(_tuning_lines(cost)))


def _tuning_lines(cost: TuningCost) -> Iterator[str]:
    steps, tokens = (sum(getattr(each, name) for each in cost.tunings) for name in ("steps", "tokens"))
    counts = [f"{each.rows:,}" for each in cost.tunings]
    yield f"data         {cost.data}: {cost.rows:,} rows, of which {cost.kept:,} are to be kept"
    yield f"run          {cost.run}"
    yield f"method       {cost.method}, tuning {cost.model}"
    yield f"  passes     {cost.base_passes} a row before anything is tuned, {cost.tuned_passes} a row by tuned models"
    yield f"  trainings  {len(counts):,}, on at most {', '.join(counts)} rows: {steps:,} steps, about {tokens:,} tokens"
    yield f"             ({cost.row_tokens:,.0f} a row; more where long rows are chosen)"
    yield (
        f"  expected   about {duration(cost.tuning_seconds)} of tuning and {duration(cost.reading_seconds)} of reading "
        "by tuned models, measured on a few rows"
    )
    yield f"  compare    about {duration(cost.all_rows_seconds)} for one epoch on all rows"
    yield f"  disk       {_size(len(counts) * cost.weights)} of tuned models in {cost.run}/tuned; they may be removed"
    yield "what the run holds already is not subtracted"


def _lines(cost: Cost) -> Iterator[str]:
    counted = "" if cost.counted_rows == cost.rows else f" (tokens counted on {cost.counted_rows:,} of the rows)"
    yield f"data         {cost.data}: {cost.rows:,} rows, {cost.answers:,} rated answers{counted}"
    yield f"run          {cost.run}"
    yield f"disk         source {_size(cost.source_bytes)} (written)"
    for model in cost.models:
        yield from _model_lines(cost, model)
    yield from map(_signal_line, cost.signals)
    if len(cost.models) > 1:
        yield f"all models   {cost.passes:,} passes, {duration(cost.seconds)} with loading"
    if not cost.passes:
        return
    if cost.proxy is None:
        yield "  --proxy NAME           measures a smaller model on the same rows"
    else:
        share = _share(cost.proxy.seconds, sum(model.seconds for model in cost.models))
        yield f"the proxy would take {share} of the time:"
        yield from _model_lines(cost, cost.proxy)


def _model_lines(cost: Cost, model: ModelCost) -> Iterator[str]:
    about = [f"{model.parameters:,} parameters"] if model.parameters else []
    about += [f"{key} {value}" for key, value in model.settings.items()]
    yield f"model        {model.model}: {', '.join(about)}"
    yield f"  texts      {_texts(model.text)}"
    done = f", {model.passes_done:,} of them done" if model.passes_done else ""
    asked = f"{cost.prompts} prompt{'s' * (cost.prompts > 1)}"
    yield f"  passes     {model.passes + model.passes_done:,} = {cost.answers:,} answers x {asked}{done}"
    if model.measured is None:
        yield "  nothing is left to rate"
        return
    sample = model.measured
    yield (
        f"  tokens     {model.text_tokens:,} in the texts; {model.tokens:,} to compute "
        f"({_share(model.tokens, model.text_tokens)}), shared ones once"
    )
    yield (
        f"  measured   {sample.answers:,} answers, {sample.passes:,} passes in {sample.seconds:,.1f} s: "
        f"{sample.passes / sample.seconds:,.1f} passes/s, {sample.tokens / sample.seconds:,.0f} tokens/s"
    )
    yield (
        f"  expected   {duration(model.seconds)} ({duration(model.seconds_low)} to {duration(model.seconds_high)} by "
        f"the two halves of the sample), and {duration(sample.load_seconds)} to load the model"
    )
    if model.memory is not None:
        yield f"  memory     {_memory(model.memory)}"
    yield f"  disk       ratings {_size(model.rating_bytes)}"
    for choice in model.choices:
        yield f"  {choice.option:21}  {_alternative(choice, model)}"


def _signal_line(cost: SignalCost) -> str:
    done = f", {cost.passes_done:,} of them done" if cost.passes_done else ""
    what = "examples of the target" if cost.of_target else "answers"
    total = f"{cost.passes + cost.passes_done:,} {cost.pass_name} = {cost.answers:,} {what} x {cost.each}"
    return f"{cost.signal:12} {cost.model}: {total}{done}"


def _texts(text: TextStats) -> str:
    limit = "" if text.limit is None else f"; {text.over_limit:,} answers over the limit of {text.limit:,}"
    return (
        f"mean {text.mean:,.1f} tokens ({text.rating_prompt:,.1f} rating prompt, {text.sample:,.1f} sample), median "
        f"{text.median:,.0f}, 95 % up to {text.percentile_95:,.0f}, longest {text.longest:,}{limit}"
    )


def _memory(memory: Memory) -> str:
    found = {
        "weights": memory.weights,
        "reading": memory.reading,
        "most held by the process": memory.peak,
        "most held on the GPU": memory.accelerator,
    }
    return ", ".join(f"{what} {_size(size)}" for what, size in found.items() if size is not None) or "not known"


def _alternative(choice: Alternative, model: ModelCost) -> str:
    how = "measured" if choice.measured else "by the tokens"
    return (
        f"{choice.tokens:,} tokens to compute ({_share(choice.tokens, model.tokens)}), {duration(choice.seconds)} "
        f"({_share(choice.seconds, model.seconds)}), {how}"
    )


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}".replace("%", " %") if whole else "?"


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:,.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")
