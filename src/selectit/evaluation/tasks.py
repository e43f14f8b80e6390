"""The tasks of lm-evaluation-harness that a benchmark stands for, also on local files."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selectit.errors import SettingsError, nearest
from selectit.evaluation import extras, local_files
from selectit.evaluation.settings import EvalSettings
from selectit.evaluation.suites import Protocol

log = logging.getLogger(__name__)
_LANGUAGES = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ko": "korean",
    "ru": "russian", "sw": "swahili", "te": "telugu",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A set of lm-eval's tasks that are one benchmark."""

    folder: str
    """Of lm_eval/tasks; '' = all of them."""
    tasks: tuple[str, ...]
    """Empty = every task in the folder."""
    metric: str
    filter: str
    """The filter of lm-eval whose metric is the score."""


BENCHMARKS = {
    "mmlu": Benchmark("mmlu/default", (), "acc", "none"),
    "bbh": Benchmark("bbh/cot_fewshot", (), "exact_match", "get-answer"),
    "gsm8k": Benchmark("gsm8k", ("gsm8k_cot",), "exact_match", "flexible-extract"),  # the last number
    "tydiqa": Benchmark("tydiqa", (), "f1", "none"),
}


@dataclass(frozen=True, slots=True)
class EvalTask:
    """One task of lm-eval to run."""

    name: str
    benchmark: str
    """The name of its benchmark, or its own."""
    metric: str
    filter: str
    manager: Any
    """lm-eval's TaskManager, which knows the task."""
    protocol: Protocol
    data: str = ""
    """The digest of its local files, or '' where it comes from the hub."""


def find_tasks(protocol: Protocol, settings: EvalSettings, folder: Path) -> list[EvalTask]:
    """The tasks of lm-eval that a protocol's task stands for.

    Args:
        protocol: its task is a benchmark, a part of one, or any single task of lm-eval.
        settings: its `data_dir` has local files of the benchmarks; None = the hub.
        folder: where the task files that read local files are written; lm-eval's command takes them by --include_path.

    Raises:
        SettingsError: no such task, or a group of tasks that is not a benchmark here.
        DataError: a local file is missing.
    """
    for name, benchmark in BENCHMARKS.items():
        root = _root() / benchmark.folder
        if protocol.task != name and not protocol.task.startswith(f"{name}_"):
            continue
        manager = _manager(root)
        known = benchmark.tasks or tuple(sorted(_tasks_in(manager, root)))
        if protocol.task != name and protocol.task not in known:
            break
        wanted = known if protocol.task == name else (protocol.task,)
        found = [EvalTask(each, name, benchmark.metric, benchmark.filter, manager, protocol) for each in wanted]
        return found if settings.data_dir is None else _read_locally(found, settings.data_dir, folder / name)
    # Of a benchmark's protocol nothing holds for a task that only has its name ('mmlu_pro').
    return [_find_any_task(Protocol(task=protocol.task).limited(settings.limit))]


def _read_locally(found: Sequence[EvalTask], data_dir: str, folder: Path) -> list[EvalTask]:
    """The same with local files: each a task file that includes lm-eval's and names a reader of `local`."""
    digests = []
    for eval_task in found:
        name, task, manager = eval_task.benchmark, eval_task.name, eval_task.manager
        entry = manager.task_index[task]
        part = _LANGUAGES[task.rpartition("_")[2]] if name == "tydiqa" else str(entry.cfg.get("dataset_name"))
        digests.append(local_files.digest(local_files.find_files(name, data_dir, part)))
        write_task(folder / f"{task}.yaml", entry.yaml_path, task, name, data_dir, part)
    manager = _manager(folder)
    return [replace(eval_task, manager=manager, data=digest) for eval_task, digest in zip(found, digests, strict=True)]


def write_task(path: Path, own: Path, task: str, benchmark: str, data_dir: str, part: str) -> None:
    """Write a task file for lm-eval: its own definition (`own`), with the data from a reader of `local`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arguments = json.dumps({"data_dir": str(Path(data_dir).resolve()), "name": part}, ensure_ascii=False)
    path.write_text(
        f"include: {json.dumps(str(own))}\ntask: {task}\n"
        f"custom_dataset: !function {local_files.__name__}.{benchmark}\ndataset_kwargs: {arguments}\n",
        encoding="utf-8",
    )


def _find_any_task(protocol: Protocol) -> EvalTask:
    name = protocol.task
    log.info("looking for %s among all tasks of lm-eval: half a minute", name)
    manager = _task_manager()()
    if name not in manager.all_subtasks:
        if name in manager.all_tasks:
            raise SettingsError(f"{name} is a group of lm-eval's tasks", "Name its tasks, each with --task.")
        known = [*BENCHMARKS, "humaneval", "alpacaeval", "wmt22", *manager.all_subtasks]
        raise SettingsError(f"there is no task {name!r}", nearest(name, known))
    config = manager.task_index[name].cfg
    filters = config.get("filter_list") or [{"name": "none"}]
    metric = str((config.get("metric_list") or [{}])[0].get("metric"))
    return EvalTask(name, name, metric, filters[0]["name"], manager, protocol)


def _task_manager() -> Any:
    return extras.load_module("lm_eval.tasks").TaskManager


def _manager(folder: Path) -> Any:
    """A TaskManager of one folder: reading all of lm-eval's takes half a minute."""
    return _task_manager()(include_path=str(folder), include_defaults=False)


def _root() -> Path:
    return Path(extras.load_module("lm_eval.tasks").__file__).parent


def _tasks_in(manager: Any, folder: Path) -> list[str]:
    """The single tasks whose files lie in this very folder."""
    return [name for name in manager.all_subtasks if manager.task_index[name].yaml_path.parent == folder]
