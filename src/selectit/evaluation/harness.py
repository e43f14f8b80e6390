"""lm-evaluation-harness with one model: its prompts, filters, metrics and model classes."""

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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from selectit.engines.memory import release_cached
from selectit.errors import EngineError, ModelError, SettingsError
from selectit.evaluation import extras
from selectit.evaluation.results import Part, fingerprint
from selectit.evaluation.settings import EvalSettings
from selectit.evaluation.suites import Protocol
from selectit.evaluation.tasks import EvalTask
from selectit.models.files import Model

log = logging.getLogger(__name__)


_SEEDS = {"random": 0, "numpy": 1234, "torch": 1234, "shots": 1234}
"""lm-eval's own defaults (lm_eval/defaults.py), so that its command gives the same numbers."""


_CHAT_HINT = "Leave chat out, or name another chat model."
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


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
            from selectit.engines.hf import completeness

            completeness.check_model(self.model.path, self.settings.trust_remote_code)  # lm-eval doesn't look
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
