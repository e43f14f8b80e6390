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
from selectit.data.memory import Data
from selectit.errors import SettingsError
from selectit.text_tables import write_count

if TYPE_CHECKING:
    from selectit.costs.elsewhere import Elsewhere
    from selectit.costs.measure import Memory
    from selectit.costs.passes import SignalCost
    from selectit.costs.plan import Cost
    from selectit.costs.ratings import Alternative, ModelCost, TextStats
    from selectit.costs.tunings import TuningCost


@cloup.command("plan")
@data_argument
@cloup.option_group(
    "The measurement",
    cloup.option(
        "--sample", type=int, metavar="N", help="Answers to ask about for the measurement [64; 8 where it tunes]."
    ),
    cloup.option("--proxy", metavar="NAME", help="A smaller model to measure beside, for example smollm2."),
)
@cloup.option_group(
    "A machine that is not here",
    cloup.option(
        "--on",
        metavar="DEVICE:N",
        help="Estimate it on N devices: a100, l40s, h100, h200, b200, or operations a second: 400e12:8.",
    ),
    cloup.option("--parameters", type=float, metavar="P", help="A model of so many parameters in place of --model."),
    cloup.option("--rows", type=float, metavar="N", help="So many rows like these in place of DATA's."),
    cloup.option(
        "--reached", type=float, metavar="SHARE", help="Share of the devices' peak that is reached, a guess [0.3]."
    ),
)
@options(
    PlaceOptions, SourceOptions, ReadingOptions, RatingOptions, ModelOptions, EngineOptions, LoadingOptions,
    MethodOptions, TargetOptions, ParameterOptions, AmountOptions, *COMMON,
)  # fmt: skip  # it measures this process
def command(
    data: Data | None,
    sample: int | None,
    proxy: str | None,
    on: str | None,
    parameters: float | None,
    rows: float | None,
    reached: float | None,
    as_json: bool,
    quiet: bool,
    **typed: Any,
) -> None:
    """Say what rating DATA, or the run that --run names, will cost: tokens, time, memory, disk, and what costs less.

    The tokens are counted, and the time is measured: the model is loaded (a packaged one or one of the hub is fetched)
    and rates a small sample whose ratings are thrown away. DATA is read into the run directory, where `selectit
    select` and `selectit rate` with the same options find it; what is rated there already is not counted again.

    With --method, or --target, it says what that method asks of models: ratings, losses, embeddings, gradients. Models
    that are loaded here are measured on the sample; what a server is asked is counted in passes.
    With a --method that tunes models on the way it says what choosing costs: rounds, passes, steps, tokens, disk, time.
    The model is tuned for two steps, and reads a few rows; both are thrown away.
    With --on it estimates the same for another machine by the number of operations, and states what it assumes.
    """
    chosen = to_settings(typed)
    from selectit.costs.elsewhere import estimate_elsewhere, read_machine
    from selectit.costs.plan import plan
    from selectit.costs.tunings import TuningCost, plan_tuning
    from selectit.methods._tuning import tunes
    from selectit.selection.spec import build_spec

    machine, many, large = read_machine(on, reached, rows, parameters)
    cost: Cost | TuningCost
    with notes(quiet) as progress:
        if tunes(build_spec(chosen, None).method):
            if proxy is not None:
                raise SettingsError(f"--proxy does nothing: {chosen.method} tunes --model itself", "Leave it out.")
            cost = plan_tuning(data, chosen, 8 if sample is None else sample, many, progress)
        else:
            cost = plan(data, chosen, 64 if sample is None else sample, proxy, progress)
    other = None if machine is None else estimate_elsewhere(cost, machine, many, large)
    if as_json:
        more = {"all_rows_seconds": cost.all_rows_seconds} if isinstance(cost, TuningCost) else {}
        print_json({**dataclasses.asdict(cost), **more, "elsewhere": other and dataclasses.asdict(other)})
        return
    lines = _tuning_lines(cost) if isinstance(cost, TuningCost) else _lines(cost)
    say("\n".join([*lines, *(_elsewhere_lines(other) if other else ())]))


def _tuning_lines(cost: TuningCost) -> Iterator[str]:
    steps, tokens = sum(each.steps for each in cost.tunings), sum(each.tokens for each in cost.tunings)
    counts = [f"{each.rows:,}" for each in cost.tunings]
    like = "" if cost.rows == cost.data_rows else f"; planned for {write_count(cost.rows, 'row')} like them"
    yield f"data         {cost.data}: {write_count(cost.data_rows, 'row')}{like}, of which {cost.kept:,} are to be kept"
    yield f"run          {cost.run}"
    yield f"method       {cost.method}, tuning {cost.model}"
    yield f"  passes     {cost.base_passes} a row before anything is tuned, {cost.tuned_passes} a row by tuned models"
    yield (
        f"  trainings  {len(counts):,}, on at most {', '.join(counts)} rows: {write_count(steps, 'step')}, about "
        f"{tokens:,} tokens"
    )
    yield f"             ({cost.row_tokens:,.0f} a row; more where long rows are chosen)"
    yield (
        f"  expected   about {duration(cost.tuning_seconds)} of tuning and {duration(cost.reading_seconds)} of reading "
        "by models, measured on a few rows"
    )
    yield f"  compare    about {duration(cost.all_rows_seconds)} for one epoch on all rows"
    tuned = write_count(len(counts), "tuned model")
    yield f"  disk       {_size(len(counts) * cost.weights)} of {tuned} in {cost.run}/tuned, which may be removed"
    for signal in cost.signals:
        yield from _signal_lines(signal)
    yield "what the run holds already is not subtracted"


def _lines(cost: Cost) -> Iterator[str]:
    rated = f", {write_count(cost.answers, 'rated answer')}" if cost.models else ""
    counted = "" if cost.counted_rows == cost.rows else f" (tokens counted on {cost.counted_rows:,} of the rows)"
    yield f"data         {cost.data}: {write_count(cost.rows, 'row')}{rated}{counted if cost.models else ''}"
    yield f"run          {cost.run}"
    yield f"disk         source {_size(cost.source_bytes)} (written)"
    for model in cost.models:
        yield from _model_lines(cost, model)
    for signal in cost.signals:
        yield from _signal_lines(signal)
    if not cost.models and not cost.signals:
        yield "no model is asked"
    if len(cost.models) > 1:
        yield f"all models   {write_count(cost.passes, 'pass', 'passes')}, {duration(cost.seconds)} with loading"
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
    asked = f"{write_count(cost.answers, 'answer')} x {write_count(cost.prompts, 'prompt')}"
    yield f"  passes     {model.passes + model.passes_done:,} = {asked}{done}"
    if model.measured is None:
        yield "  nothing is left to rate"
        return
    sample = model.measured
    yield (
        f"  tokens     {model.text_tokens:,} in the texts; {model.tokens:,} to compute "
        f"({_share(model.tokens, model.text_tokens)}), shared ones once"
    )
    yield (
        f"  measured   {write_count(sample.answers, 'answer')}, {write_count(sample.passes, 'pass', 'passes')} in "
        f"{sample.seconds:,.1f} s: "
        f"{sample.passes / sample.seconds:,.1f} passes/s, {sample.tokens / sample.seconds:,.0f} tokens/s"
    )
    yield _expected(model, sample.load_seconds)
    if model.memory is not None:
        yield f"  memory     {_memory(model.memory)}"
    yield f"  disk       ratings {_size(model.rating_bytes)}"
    for choice in model.choices:
        yield f"  {choice.option:21}  {_alternative(choice, model)}"


def _signal_lines(cost: SignalCost) -> Iterator[str]:
    done = f", {cost.passes_done:,} of them done" if cost.passes_done else ""
    what = ("example of the target", "examples of the target") if cost.of_target else ("answer", "")
    total = f"{cost.passes + cost.passes_done:,} {cost.pass_name} = {write_count(cost.answers, *what)} x {cost.each}"
    yield f"{cost.signal:12} {cost.model}: {total}{done}"
    trial = cost.measured
    if trial is None:
        return
    rate = f", {trial.tokens / trial.seconds:,.0f} tokens/s" if trial.tokens else ""
    tokens = f" of {write_count(trial.tokens, 'token')}" if trial.tokens else ""
    yield (
        f"  measured   {write_count(trial.answers, 'answer')}{tokens} in {trial.seconds:,.1f} s: "
        f"{trial.answers / trial.seconds:,.1f} answers/s{rate}"
    )
    yield _expected(cost, trial.load_seconds)
    yield f"  memory     {_memory(trial.memory)}"
    yield f"  disk       {_size(cost.bytes)}: {trial.bytes_each:,.0f} bytes an answer"


def _expected(cost: ModelCost | SignalCost, load_seconds: float) -> str:
    return (
        f"  expected   {duration(cost.seconds)} ({duration(cost.seconds_low)} to {duration(cost.seconds_high)} by the "
        f"two halves of the sample), and {duration(load_seconds)} to load the model"
    )


def _elsewhere_lines(found: Elsewhere) -> Iterator[str]:
    machine = found.machine
    yield f"elsewhere    {write_count(found.rows, 'row')} on {machine.devices} x {machine.name}, by the operations:"
    for part, seconds in zip(found.parts, found.seconds, strict=True):
        yield (
            f"  {part.what:10} {duration(seconds)}: {part.operations} operations x {part.parameters:,} parameters x "
            f"{part.tokens:,.0f} tokens; {_size(part.bytes)} of disk"
        )
    yield f"  all        {duration(sum(found.seconds))}, {_size(sum(part.bytes for part in found.parts))} of disk"
    yield f"  memory     {_size(found.weights)} of weights in bf16, beside what reading takes, which is not estimated"
    yield (
        f"  assumed    {_share(machine.reached, 1)} of {machine.peak / 1e12:,.0f}e12 operations/s a device, dense, in "
        "bf16; all devices busy throughout; rows as long as those of the sample"
    )
    yield "             and as many tokens as the model here counts; answers that weigh as much; loading left out"
    if any(part.what == "tuning" for part in found.parts):
        yield "             and tuned weights that grow with the parameters"
    if found.unknown:
        yield f"  not in it  {', '.join(found.unknown)}: their tokens are not counted"


def _texts(text: TextStats) -> str:
    limit = "" if text.limit is None else f"; {text.over_limit:,} answers over the limit of {text.limit:,}"
    return (
        f"mean {text.mean:,.1f} tokens ({text.rating_prompt:,.1f} rating prompt, {text.sample:,.1f} instruction and "
        f"response), median {text.median:,.0f}, 95 % up to {text.percentile_95:,.0f}, longest {text.longest:,}{limit}"
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
    how = "measured" if choice.measured else "estimated by the tokens"
    return (
        f"{choice.tokens:,} tokens to compute ({_share(choice.tokens, model.tokens)} of those above), "
        f"{duration(choice.seconds)} ({_share(choice.seconds, model.seconds)} of the time above), {how}"
    )


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}".replace("%", " %") if whole else "?"


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:,.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:,.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")
