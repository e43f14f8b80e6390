"""`evaluate`: which models answer which tasks, and what is stored already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from selectit.data.sources import open_source
from selectit.errors import ModelError, SelectitError, SettingsError
from selectit.evaluation import alpacaeval, humaneval, tasks, translation
from selectit.evaluation.harness import Harness
from selectit.evaluation.heldout import HeldOut, heldout_name
from selectit.evaluation.results import Part, Results, combine_parts, load_parts, store_results
from selectit.evaluation.settings import EvalSettings
from selectit.evaluation.suites import Protocol, choose_protocols
from selectit.models import resolve as model_files
from selectit.models.files import Model
from selectit.runs.files import slug
from selectit.runs.output import check_new_file
from selectit.runs.run import Run

log = logging.getLogger(__name__)
NO_COMET = "comet-score is not installed (pip install unbabel-comet, in its own environment)"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is run and stored as one unit: an interruption loses at most this much."""

    name: str
    fingerprint: str
    run: Callable[[], Part]


def evaluate(models: str | Sequence[str], settings: EvalSettings = EvalSettings()) -> list[Results]:
    """Evaluate models, and store the results part by part. What is stored under the same settings is not run again.

    Args:
        models: packaged names, hub ids or folders; of the engine 'server' the names under which they are served.
        settings: everything else.

    Returns:
        The results of each model, in their order.

    Raises:
        SelectitError: any of its children, with a remedy. What is finished stays.
    """
    names = [models] if isinstance(models, str) else list(models)
    if not names:
        raise SettingsError("no model is named", "Name a packaged model, a hub id or a folder.")
    if len(names) > 1 and settings.out is not None:
        raise SettingsError("--out is one file, and several models are named", "Leave it out: each has its own file.")
    if settings.out is not None:
        check_new_file("--out", Path(settings.out), ".json")
    if len(names) > 1 and settings.served:
        raise SettingsError(
            "several models are named, and a server's --tokenizer is that of one", "Evaluate one at a time."
        )
    protocols = [
        protocol.limited(settings.limit)
        for protocol in choose_protocols(settings.suite, settings.task, heldout=bool(settings.heldout))
    ]
    check_files(settings)
    return [_evaluate_one(_model(name, settings), protocols, settings) for name in names]


def check_files(settings: EvalSettings) -> None:
    """Raise SelectitError, before a model is looked for, where held-out data or the benchmarks' folder is not there."""
    for data in settings.heldout:
        with open_source(data):
            pass
    if settings.data_dir is not None and not Path(settings.data_dir).is_dir():
        raise SettingsError(f"there is no folder {settings.data_dir}", "Name that of the benchmarks with --data-dir.")


def _model(name: str, settings: EvalSettings) -> Model:
    if not settings.served:
        return model_files.resolve(name, accept_terms=settings.accept_terms)
    tokenizer = model_files.resolve_tokenizer(settings.tokenizer or "")
    return Model(name, tokenizer.path, f"server:{name}:{tokenizer.digest}", False)


def _evaluate_one(model: Model, protocols: Sequence[Protocol], settings: EvalSettings) -> Results:
    if settings.chat or settings.template == "chat":
        _check_chat(model, settings)
    path = _path(model, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Run(path.parent, {}).lock(path.name, f"another selectit is evaluating into {path.parent}"):
        losses = HeldOut(model, settings)
        lm = Harness(model, settings, _dtype(settings))
        evaluations = [
            Evaluation(heldout_name(data), losses.task_fingerprint(data), partial(losses.run, data))
            for data in settings.heldout
        ]
        more, skipped = _plan_evaluations(lm, protocols, path), list_left_out(settings)
        comets = _plan_comets(lm, protocols, path)
        kept = load_parts(path)
        done: list[Part] = []
        total = len(evaluations) + len(more) + len(comets)
        try:
            # Each holder is closed before the next model is loaded: two may not fit into memory.
            for some, holder in ((evaluations, losses), (more, lm), (comets, None)):
                for evaluation in some:
                    done.append(_run_or_reuse(evaluation, kept, f"{len(done) + 1} of {total}"))
                    store_results(_results(model, settings, path, done, skipped, lm), kept)
                if holder is not None:
                    holder.close()
        finally:
            losses.close()
            lm.close()
        results = _results(model, settings, path, done, skipped, lm)
        store_results(results, kept)
    return results


def _check_chat(model: Model, settings: EvalSettings) -> None:
    from selectit.engines.texts import load_tokenizer

    if not load_tokenizer(model.path, settings.trust_remote_code).chat_template:
        raise ModelError(
            f"{model.name} has no chat template",
            "Leave out chat, or name a chat model; in an experiment: base = false.",
        )


def _run_or_reuse(evaluation: Evaluation, kept: Mapping[str, Part], place: str) -> Part:
    """The part of an evaluation: the stored one where model, protocol and data are the same, else a new one."""
    old = kept.get(evaluation.name)
    if old is not None and old.fingerprint == evaluation.fingerprint:
        log.info("%s: %s is done already", place, evaluation.name)
        return old
    log.info("%s: %s", place, evaluation.name)
    part = evaluation.run()
    log.info(
        "%s: %s %.4f of %d items in %.0f s", evaluation.name, part.metric, part.value, len(part.items), part.seconds
    )
    return part


def _plan_evaluations(lm: Harness, protocols: Sequence[Protocol], path: Path) -> list[Evaluation]:
    """What the protocols ask, but those that are refused. A task that was named is never left out."""
    evaluations: list[Evaluation] = []
    for protocol in protocols:
        why = find_refusal(protocol.task, lm.settings)
        if why and protocol.task in lm.settings.task:
            raise SettingsError(f"{protocol.task} can't be run", why[:1].upper() + why[1:] + ".")
        if not why:
            evaluations += _plan_protocol(lm, protocol, path)
    return evaluations


def find_refusal(task: str, settings: EvalSettings) -> str:
    """Why a task can't be run under these settings; '' where it can."""
    if task == "humaneval":
        return humaneval.find_refusal(settings.allow_code_execution, settings.unsandboxed)
    if task == "alpacaeval" and settings.judge is None:
        return alpacaeval.REFUSAL
    if task.partition("_")[0] in ("alpacaeval", "wmt22") and settings.data_dir is None:
        return "its files are read from --data-dir"
    return ""


def list_left_out(settings: EvalSettings) -> dict[str, str]:
    """The tasks of the suite that can't be run under these settings, and why; COMET where its command is missing."""
    protocols = choose_protocols(settings.suite, settings.task, heldout=bool(settings.heldout))
    found = {protocol.task: find_refusal(protocol.task, settings) for protocol in protocols}
    translates = any(_translates(protocol) and not found[protocol.task] for protocol in protocols)
    if translates and not translation.has_comet():
        found["COMET"] = NO_COMET
    return {task: why for task, why in found.items() if why}


def _plan_protocol(lm: Harness, protocol: Protocol, path: Path) -> list[Evaluation]:
    folder = path.with_suffix("")
    if protocol.task == "humaneval":
        humaneval.load_problems()  # says what is not installed before anything is loaded
        return [Evaluation("humaneval", humaneval.task_fingerprint(lm, protocol), partial(humaneval.run, lm, protocol))]
    if protocol.task == "alpacaeval":
        judge = alpacaeval.resolve_judge(lm.settings)
        mark = alpacaeval.task_fingerprint(lm, protocol, judge)
        return [Evaluation("alpacaeval", mark, partial(alpacaeval.run, lm, protocol, judge, folder))]
    if _translates(protocol):
        return [
            Evaluation(
                f"wmt22_{pair}",
                translation.task_fingerprint(lm, protocol, pair),
                partial(translation.run, lm, protocol, pair, folder),
            )
            for pair in translation.find_pairs(protocol.task, lm.settings.data_dir)
        ]
    return [
        Evaluation(eval_task.name, lm.task_fingerprint(eval_task), partial(lm.run, eval_task, folder / "answers"))
        for eval_task in tasks.find_tasks(protocol, lm.settings, folder / "tasks")
    ]


def _plan_comets(lm: Harness, protocols: Sequence[Protocol], path: Path) -> list[Evaluation]:
    """COMET of what is translated, where its command is there."""
    if not translation.has_comet():
        return []
    return [
        Evaluation(
            f"wmt22_{pair}_comet",
            translation.comet_fingerprint(lm, protocol, pair),
            partial(translation.measure_comet, lm, protocol, pair, path.with_suffix("")),
        )
        for protocol in protocols
        if _translates(protocol) and not find_refusal(protocol.task, lm.settings)
        for pair in translation.find_pairs(protocol.task, lm.settings.data_dir)
    ]


def _translates(protocol: Protocol) -> bool:
    return protocol.task.partition("_")[0] == "wmt22"


def _results(
    model: Model, settings: EvalSettings, path: Path, parts: Sequence[Part], skipped: Mapping[str, str], lm: Harness
) -> Results:
    benchmarks = dict.fromkeys(part.benchmark for part in parts)
    groups = [[part for part in parts if part.benchmark == name] for name in benchmarks]
    about = lm.about() if len(parts) > len(settings.heldout) else {"engine": settings.engine, "dtype": settings.dtype}
    return Results(
        model=model.name,
        digest=model.digest,
        suite=_suite_name(settings),
        path=path,
        scores=tuple(combine_parts(group) for group in groups),
        skipped=dict(skipped),
        settings=about,
        parts=tuple(parts),
    )


def _suite_name(settings: EvalSettings) -> str:
    if settings.task:
        return "tasks"
    return settings.suite or ("heldout" if settings.heldout else "quick")


def _path(model: Model, settings: EvalSettings) -> Path:
    """The results' file: --out, or one beside others of the model; of a model in a run directory, in that run."""
    if settings.out is not None:
        return Path(settings.out)
    name = f"{_suite_name(settings)}.json"
    run = next((folder for folder in Path(model.path).parents if _is_run(folder)), None)
    if run is None or settings.served:
        return Path("selectit-evals") / slug(model.name) / name
    return run / "eval" / slug(str(Path(model.path).relative_to(run))) / name


def _is_run(folder: Path) -> bool:
    from selectit.runs.run import open_run

    if not (folder / "manifest.json").is_file():
        return False
    try:
        open_run(folder)
    except SelectitError:
        return False
    return True


def _dtype(settings: EvalSettings) -> str:
    if settings.engine != "hf":
        return settings.dtype
    from selectit.engines.device import default_device, resolve_dtype

    return resolve_dtype(settings.dtype, default_device())
