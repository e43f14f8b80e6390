"""lm-evaluation-harness: its task definitions, prompts, filters, metrics and model classes, also on local files."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import logging
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from selectit.engines.memory import release_cached
from selectit.errors import EngineError, ModelError, SettingsError, nearest
from selectit.evaluation import extras, local_files
from selectit.evaluation.results import Part, fingerprint
from selectit.evaluation.settings import EvalSettings
from selectit.evaluation.suites import Protocol
from selectit.models.checkpoints import load_checkpoint
from selectit.models.files import Model

log = logging.getLogger(__name__)
_LANGUAGES = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ko": "korean",
    "ru": "russian", "sw": "swahili", "te": "telugu",
}  # fmt: skip


_SEEDS = {"random": 0, "numpy": 1234, "torch": 1234, "shots": 1234}
"""lm-eval's own defaults (lm_eval/defaults.py), so that its command gives the same numbers."""


_CHAT_HINT = "Leave chat out, or name another chat model."
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


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


@dataclass(frozen=True)
class Harness:
    """lm-eval with one model, which is loaded when it is first asked something."""

    model: Model
    settings: EvalSettings
    dtype: str
    """'fp32', 'bf16' or 'fp16'; 'auto' where the engine decides."""

    @cached_property
    def lm(self) -> Any:
        """lm-eval's model. Raises ModelError where it can't be loaded."""
        name, arguments = self.arguments()
        log.info("loading %s into lm-eval (%s)", self.model.name, name)
        sizes = {"batch_size": arguments.pop("batch_size"), "max_batch_size": None, "device": _device(name)}
        extras.load_module("lm_eval.evaluator")
        if name == "hf":
            check_model(self.model.path, self.settings.trust_remote_code)
        try:
            own = extras.load_module("lm_eval.api.registry").get_model(name)
            with quiet_lm_eval():
                lm = own.create_from_arg_obj(arguments, sizes)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            hint = "See the engine's options in docs/evaluation.md; lm-eval's own message stands above."
            raise ModelError(f"lm-eval can't load {self.model.name}: {error}", hint) from error
        place_system_text(lm)
        return lm

    def arguments(self) -> tuple[str, dict[str, Any]]:
        """The name of lm-eval's model class, and its arguments."""
        own = self.settings
        if own.engine == "server":
            base = (own.base_url or "").rstrip("/")
            about: dict[str, Any] = {
                "model": self.model.name,
                "base_url": f"{base}/completions",
                "tokenizer": self.model.path,
            }
            about |= {"tokenizer_backend": "huggingface", "num_concurrent": own.batch_size, "batch_size": 1}
            return "local-completions", {**about, "max_length": self.context(), **own.engine_param}
        about = {"pretrained": self.model.path, "dtype": _DTYPES.get(self.dtype, "auto")}
        about |= {"trust_remote_code": own.trust_remote_code}
        if own.engine == "vllm":
            return "vllm", {**about, "batch_size": "auto", **own.engine_param}
        return "hf", {**about, "batch_size": own.batch_size, **own.engine_param}

    def context(self) -> int:
        """Most tokens that the model reads, by its configuration, or 4,096 where that is less."""
        from selectit.engines.texts import context_length

        return min(context_length(self.model.path, self.settings.trust_remote_code), 4096)

    def about(self) -> dict[str, Any]:
        """What runs the model: it is stored with the results, and but for the batch size decides the fingerprints."""
        return {
            "engine": self.settings.engine,
            "dtype": self.dtype,
            "chat": self.settings.chat,
            "engine_param": dict(self.settings.engine_param),
            "lm_eval": extras.version("lm_eval"),
        }

    def task_fingerprint(self, eval_task: EvalTask) -> str:
        """The fingerprint of a task's part."""
        return fingerprint(self.model.digest, self.about(), eval_task.name, eval_task.data, eval_task.protocol.plain())

    def run(self, eval_task: EvalTask, folder: Path) -> Part:
        """Ask the model one task; what it answered is kept in `folder`."""
        lm = self.lm
        began = time.monotonic()
        with self._errors(eval_task.name), quiet_lm_eval():
            found = _evaluate(lm, eval_task, self.settings.chat)
        _write_answers(folder / f"{eval_task.name}.jsonl", eval_task, found)
        return _part(eval_task, found, self, time.monotonic() - began)

    def generate(self, prompts: Sequence[str], protocol: Protocol, *, chat: bool) -> list[str]:
        """The model's answer to each prompt, cut before the first stop text, under seeds that never change."""
        texts = [self._in_chat(prompt) for prompt in prompts] if chat else list(prompts)
        sampling = {"do_sample": True, "temperature": protocol.temperature, "top_p": protocol.top_p}
        arguments = {
            **(sampling if protocol.temperature else {"do_sample": False}),
            "until": list(protocol.stop or ()),
            "max_gen_toks": protocol.max_new_tokens or 256,
        }
        instance = extras.load_module("lm_eval.api.instance").Instance
        requests = [
            instance("generate_until", {}, (text, dict(arguments)), at, (None, at, 1)) for at, text in enumerate(texts)
        ]
        lm = self.lm
        seed_all(protocol.seed)
        with self._errors(protocol.task), quiet_lm_eval():
            answers: list[str] = lm.generate_until(requests)
        return answers

    @contextlib.contextmanager
    def _errors(self, task: str) -> Iterator[None]:
        """Turn what lm-eval raises for a user's mistake into errors with a remedy."""
        failures = (extras.load_module("aiohttp").ClientError, OSError) if self.settings.engine == "server" else ()
        try:
            yield
        except AssertionError as error:  # its way to say that context and answer don't fit into the model
            hint = "Choose a model that reads more tokens, or a suite with shorter answers."
            raise ModelError(f"{self.model.name} can't be asked {task}: {error}", hint) from error
        except extras.load_module("jinja2").TemplateError as error:
            raise ModelError(f"the chat template of {self.model.name} fails: {error}", _CHAT_HINT) from error
        except failures as error:
            # The other requests failed too, and each would print a traceback when the program ends.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            hint = "Look at --base-url, the model's name and the key; the server must give log-probabilities with echo."
            raise EngineError(f"{task}: the server failed: {error}", hint) from error

    def _in_chat(self, prompt: str) -> str:
        from selectit.engines.chat import TEMPLATE_ERRORS

        try:
            text: str = self.lm.apply_chat_template([{"role": "user", "content": prompt}])
        except TEMPLATE_ERRORS as error:
            raise ModelError(f"the chat template of {self.model.name} fails: {error}", _CHAT_HINT) from error
        return text

    def close(self) -> None:
        """Free the model's memory."""
        self.__dict__.pop("lm", None)
        gc.collect()
        release_cached()


def check_model(path: str, trust_remote_code: bool) -> None:
    """Refuse a model that is not complete: lm-eval doesn't look. One that is quantised is left to its loader.

    It is looked at without its weights. Raises ModelError.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    from selectit.engines import texts

    texts.check_vocabulary(path, texts.load_tokenizer(path, trust_remote_code), trust_remote_code)
    with texts.model_errors(path):
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
        if not hasattr(config, "quantization_config"):
            load_checkpoint(
                AutoModelForCausalLM, path, dtype="auto", trust_remote_code=trust_remote_code, device_map="meta"
            )


def place_system_text(lm: Any) -> None:
    """Where a chat template takes no system text, let it stand before the user's: lm-eval would leave it out."""
    from selectit.engines import chat

    chat.place_system_text(getattr(lm, "tokenizer", None))


def draw(total: int, wanted: int | None, seed: int) -> tuple[int, ...]:
    """The numbers of the items to ask, rising: all of `total`, or `wanted` drawn with the seed."""
    if wanted is None or wanted >= total:
        return tuple(range(total))
    return tuple(sorted(random.Random(seed).sample(range(total), wanted)))


def seed_all(seed: int | None = None) -> None:
    """Seed random, numpy and torch: with lm-eval's own seeds, or with one of ours."""
    import numpy as np
    import torch

    random.seed(_SEEDS["random"] if seed is None else seed)
    np.random.seed(_SEEDS["numpy"] if seed is None else seed)  # noqa: NPY002  # lm-eval and its tasks draw from it
    torch.manual_seed(_SEEDS["torch"] if seed is None else seed)


def _evaluate(lm: Any, eval_task: EvalTask, chat: bool) -> Any:
    """What lm-eval's `evaluate` gives for one task under its protocol."""
    loaded = eval_task.manager.load([eval_task.name])
    task = loaded["tasks"][eval_task.name]
    _apply_protocol(task, eval_task.protocol)
    chosen = draw(len(task.eval_docs), eval_task.protocol.items, eval_task.protocol.seed)
    seed_all()
    return extras.load_module("lm_eval.evaluator").evaluate(
        lm,
        loaded,
        samples={eval_task.name: list(chosen)},
        log_samples=True,
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
    )


def _apply_protocol(task: Any, protocol: Protocol) -> None:
    """Put the protocol into a loaded task, as lm-eval's own command does with --num_fewshot and --gen_kwargs."""
    if protocol.shots is not None:
        task.set_config("num_fewshot", protocol.shots)
    elif task.get_config("num_fewshot") is None:
        task.set_config("num_fewshot", 0)
    task.set_fewshot_seed(seed=_SEEDS["shots"])
    changed: dict[str, Any] = {}
    if protocol.max_new_tokens is not None:
        changed["max_gen_toks"] = protocol.max_new_tokens
    if protocol.stop is not None:
        changed["until"] = list(protocol.stop)
    if changed and task.get_config("output_type") == "generate_until":
        task.set_config("generation_kwargs", changed, update=True)


def _part(eval_task: EvalTask, found: Any, harness: Harness, seconds: float) -> Part:
    figures = found["results"][eval_task.name]
    samples = [each for each in found["samples"][eval_task.name] if each["filter"] == eval_task.filter]
    key = f"{eval_task.metric},{eval_task.filter}"
    if key not in figures:
        raise SettingsError(f"{eval_task.name} has no figure {key}", f"It has {', '.join(figures)}.")
    return Part(
        name=eval_task.name,
        benchmark=eval_task.benchmark,
        fingerprint=harness.task_fingerprint(eval_task),
        metric=f"{eval_task.metric}, {eval_task.filter}" if eval_task.filter != "none" else eval_task.metric,
        value=float(figures[key]),
        stderr=_number(figures.get(f"{eval_task.metric}_stderr,{eval_task.filter}")),
        items=tuple(int(each["doc_id"]) for each in samples),
        values=tuple(float(each[eval_task.metric]) for each in samples),
        metrics={name: float(figure) for name, figure in figures.items() if isinstance(figure, int | float)},
        about={
            "version": found["versions"].get(eval_task.name),
            "shots": found["n-shot"].get(eval_task.name),
            "of": found["n-samples"][eval_task.name]["original"],
            "seeds": {"items": eval_task.protocol.seed, **_SEEDS},
            "batch_size": harness.settings.batch_size,
            "settings": harness.about(),
        },
        seconds=round(seconds, 3),
    )


def _write_answers(path: Path, eval_task: EvalTask, found: Any) -> None:
    """A line of JSON an item: its number, what lm-eval's model gave, and what the filter made of that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for each in found["samples"][eval_task.name]:
            if each["filter"] == eval_task.filter:
                kept = {"item": each["doc_id"], "given": each["resps"], "answer": each["filtered_resps"]}
                file.write(json.dumps({**kept, "wanted": each["target"]}, ensure_ascii=False, default=str) + "\n")


def _number(value: Any) -> float:
    """A standard error; NaN where lm-eval says 'N/A'."""
    return float(value) if isinstance(value, int | float) else float("nan")


def _device(name: str) -> str | None:
    if name != "hf":
        return None
    from selectit.engines.device import default_device

    return default_device()


@contextlib.contextmanager
def quiet_lm_eval() -> Iterator[None]:
    """Silence lm-eval's warnings (each task has several), and its progress bars where nobody looks at them."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    looks = sys.stderr.isatty() and log.isEnabledFor(logging.INFO)
    try:
        # The bars can't be switched off. Imports stay outside: log handlers made in here would write nowhere.
        with contextlib.nullcontext() if looks else contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
